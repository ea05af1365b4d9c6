//! The queue of a lane: first in first out, CoDel, or FQ-CoDel.
//!
//! Packets of all lanes, and the flows of those under FQ-CoDel, are in one [`Store`].

mod fq;
mod lone;
mod slab;
mod stats;
mod store;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use portlane_stats::counters::{DropReason, LaneCounters, Volume};

use self::fq::FqCodel;
use self::slab::Slab;
pub use self::stats::{FlowStats, QueueStats};
use self::store::Fifo;
pub(crate) use self::store::{Queued, Store};
use crate::bucket::MAX_PACKET;
use crate::params::{Aqm, FqParams, QueueParams};
use crate::shaper::PASSING_MEMORY;
use crate::units::{Nanos, Size};
use crate::{Arrival, Fate, LaneId, codel};

/// Where packets go that the queue drops, and what counts them.
pub(crate) struct Outcome<'a, F> {
    pub(crate) lane: LaneId,
    pub(crate) counters: &'a mut LaneCounters,
    pub(crate) fate: &'a mut F,
}

impl<F> Outcome<'_, F> {
    pub(crate) fn drop<P>(&mut self, packet: P, len: u32, reason: DropReason)
    where
        F: Fate<P>,
    {
        self.counters.drop_frame(reason, len);
        self.fate.dropped(self.lane, packet, reason);
    }
}

/// What a queue holds in all.
#[derive(Debug, Default)]
struct Totals {
    packets: u32,
    bytes: u64,
    /// Of the packets' buffers.
    memory: u64,
}

impl Totals {
    #[inline]
    fn add<P>(&mut self, item: &Queued<P>) {
        self.packets += 1;
        self.bytes += u64::from(item.len);
        self.memory += u64::from(item.memory);
    }

    #[inline]
    fn sub<P>(&mut self, item: &Queued<P>) {
        self.packets -= 1;
        self.bytes -= u64::from(item.len);
        self.memory -= u64::from(item.memory);
    }
}

/// With a tag of its own, for what passes is told by it.
#[derive(Debug)]
#[repr(u8)]
enum Kind {
    Fifo(Fifo),
    Codel(Box<Codel>),
    FqCodel(FqCodel),
}

/// One queue under CoDel. It takes more than the others, and is rare.
#[derive(Debug)]
struct Codel {
    params: codel::Params,
    state: codel::State,
    fifo: Fifo,
}

impl Kind {
    /// A queue of this kind; parameters of FQ-CoDel are `shared` with the last queue made, if they are the same.
    fn new(aqm: &Aqm, shared: &mut Option<Arc<FqParams>>) -> Self {
        match aqm {
            Aqm::Fifo => Self::Fifo(Fifo::default()),
            &Aqm::Codel(params) => {
                Self::Codel(Box::new(Codel { params, state: codel::State::default(), fifo: Fifo::default() }))
            }
            Aqm::FqCodel(params) => {
                let known = shared.take().filter(|known| **known == *params);
                let known = known.unwrap_or_else(|| FqCodel::kept(params));
                *shared = Some(Arc::clone(&known));
                Self::FqCodel(FqCodel::new(known))
            }
        }
    }

    #[inline]
    fn push<P>(&mut self, store: &mut Store<P>, item: Queued<P>) {
        match self {
            Self::Fifo(fifo) => fifo.push(&mut store.packets, item),
            Self::Codel(codel) => codel.fifo.push(&mut store.packets, item),
            Self::FqCodel(fq) => {
                fq.push(store, item);
            }
        }
    }

    /// Takes all packets, in the order in which they came.
    fn drain<P>(&mut self, store: &mut Store<P>) -> Vec<Queued<P>> {
        let fifo = match self {
            Self::Fifo(fifo) => fifo,
            Self::Codel(codel) => &mut codel.fifo,
            Self::FqCodel(fq) => return fq.drain(store),
        };
        std::iter::from_fn(|| fifo.take(&mut store.packets)).collect()
    }
}

/// A lane's queue. The order of its fields is that of [`Lane`](crate::lane::Lane).
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Queue {
    /// See [`QueueStats::maxpacket`].
    maxpacket: u32,
    limit: u32,
    kind: Kind,
    totals: Totals,
    limit_bytes: Size,
}

impl Queue {
    /// An empty queue; parameters of FQ-CoDel are `shared` with the last queue made, if they are the same.
    pub(crate) fn new(params: &QueueParams, shared: &mut Option<Arc<FqParams>>) -> Self {
        let kind = Kind::new(&params.aqm, shared);
        let (totals, limit_bytes) = (Totals::default(), Size(0));
        let mut queue = Self { maxpacket: 0, limit: 0, kind, totals, limit_bytes };
        queue.set_limits(params);
        queue
    }

    fn set_limits(&mut self, params: &QueueParams) {
        self.limit = params.limit;
        self.limit_bytes = params.limit_bytes.unwrap_or(Size(u64::MAX));
    }

    /// A packet of this length is too long for an empty queue, or for any; 0: there is none that [passes](Self::pass) for certain.
    #[inline]
    pub(crate) fn too_long(&self) -> u32 {
        let longest = u32::try_from(self.limit_bytes.0).unwrap_or(MAX_PACKET).min(MAX_PACKET);
        let has_memory = match &self.kind {
            Kind::FqCodel(fq) => fq.memory_limit() >= u64::from(PASSING_MEMORY),
            Kind::Fifo(_) | Kind::Codel(_) => true,
        };
        if self.limit > 0 && has_memory { longest + 1 } else { 0 }
    }

    /// A packet that is not [too long](Self::too_long) comes while the queue is empty and goes at once: what
    /// [`push`](Self::push) and [`dequeue`](Self::dequeue) would do, without the queue. False, and nothing happened, where that
    /// is not known.
    pub(crate) fn pass(&mut self, flow: u32, len: u32) -> bool {
        let Kind::FqCodel(fq) = &mut self.kind else { return self.pass_without_flows(len) };
        let passes = fq.pass(flow, len);
        if passes {
            self.maxpacket = self.maxpacket.max(len);
        }
        passes
    }

    /// What [`pass`](Self::pass) does, if that takes no more than mostly; else false, and nothing happened.
    #[inline(always)]
    pub(crate) fn pass_quickly(&mut self, flow: u32, len: u32) -> bool {
        let Kind::FqCodel(fq) = &mut self.kind else { return self.pass_without_flows(len) };
        if !fq.pass_alone(flow, len) {
            return false;
        }
        if self.maxpacket < len {
            self.maxpacket = len;
        }
        true
    }

    #[inline(never)]
    fn pass_without_flows(&mut self, len: u32) -> bool {
        if let Kind::Codel(codel) = &mut self.kind {
            codel.state.passed();
        }
        self.maxpacket = self.maxpacket.max(len);
        true
    }

    /// Packets in the queue.
    #[inline]
    pub(crate) fn packets(&self) -> u32 {
        self.totals.packets
    }

    /// Bytes in the queue.
    #[inline]
    pub(crate) fn bytes(&self) -> u64 {
        self.totals.bytes
    }

    /// Adds a packet, or drops it, or drops others. `beside` is what the lane holds beside the queue, and counts. False if
    /// the packet itself was dropped, or one of its flow (`NET_XMIT_DROP`, `NET_XMIT_CN`).
    #[inline]
    pub(crate) fn push<P, F: Fate<P>>(
        &mut self,
        store: &mut Store<P>,
        item: Queued<P>,
        beside: Volume,
        outcome: &mut Outcome<'_, F>,
    ) -> bool {
        if self.refuses(item.len, beside) {
            outcome.drop(item.packet, item.len, DropReason::Limit);
            return false;
        }
        self.totals.add(&item);
        let Kind::FqCodel(fq) = &mut self.kind else {
            self.kind.push(store, item);
            return true;
        };
        let flow = fq.push(store, item);
        let over_memory = fq.is_over_memory(&self.totals);
        if !over_memory && u64::from(self.totals.packets) + beside.packets <= u64::from(self.limit) {
            return true;
        }
        let reason = if over_memory { DropReason::Memory } else { DropReason::Limit };
        let dropped = fq.drop_longest(store, &mut self.totals, fq.drop_batch(), |item| {
            outcome.drop(item.packet, item.len, reason);
        });
        dropped.is_some_and(|(longest, _)| longest != flow)
    }

    /// The flow of a packet, if it has packets and no limit is reached by another one.
    #[inline(always)]
    pub(crate) fn flow_that_waits<P>(&self, store: &Store<P>, len: u32, memory: u32, flow: u32) -> Option<u32> {
        let Kind::FqCodel(fq) = &self.kind else { return None };
        let Totals { packets, bytes, memory: held } = &self.totals;
        let fits = *packets < self.limit
            && bytes + u64::from(len) <= self.limit_bytes.0
            && held + u64::from(memory) <= fq.memory_limit();
        if fits { fq.flow_that_waits(&store.flows, flow) } else { None }
    }

    /// The flow of a hash, if there are flows and it has a place.
    #[inline]
    pub(crate) fn known_flow(&self, hash: u32) -> Option<u32> {
        let Kind::FqCodel(fq) = &self.kind else { return None };
        fq.known_flow(hash)
    }

    /// A packet joins a [flow that waits](Self::flow_that_waits).
    #[inline(always)]
    pub(crate) fn follow<P>(&mut self, store: &mut Store<P>, flow: u32, arrival: Arrival<P>, now: Nanos) {
        let Arrival { packet, len, memory, flow: hash, ect } = arrival;
        let item = Queued { packet, len, memory, flow: hash, ect, enqueued: now };
        self.totals.add(&item);
        store.flows.get_mut(flow).fifo.push(&mut store.packets, item);
    }

    /// The flow whose turn it is, if there are flows.
    #[inline]
    pub(crate) fn next_flow(&self) -> Option<u32> {
        let Kind::FqCodel(fq) = &self.kind else { return None };
        fq.next_flow()
    }

    /// Whether a packet is dropped on arrival. FQ-CoDel takes every packet that the bytes allow, and drops from the longest
    /// flow.
    #[inline]
    fn refuses(&self, len: u32, beside: Volume) -> bool {
        let full = match self.kind {
            Kind::Fifo(_) | Kind::Codel(_) => u64::from(self.totals.packets) + beside.packets >= u64::from(self.limit),
            Kind::FqCodel(_) => false,
        };
        full || self.totals.bytes + beside.bytes + u64::from(len) > self.limit_bytes.0
    }

    /// The packet that is to leave now, CoDel permitting. It leaves the queue, and is [taken](Store::take) from the store next.
    #[inline(always)]
    pub(crate) fn dequeue<P, F: Fate<P>>(
        &mut self,
        store: &mut Store<P>,
        now: Nanos,
        outcome: &mut Outcome<'_, F>,
    ) -> Option<Popped> {
        let Self { totals, maxpacket, .. } = self;
        let Kind::FqCodel(fq) = &mut self.kind else { return self.dequeue_one(store, now, outcome) };
        let popped = fq.dequeue(store, totals, maxpacket, now, outcome);
        if totals.packets == 0 {
            fq.isolate(&mut store.flows);
        }
        popped
    }

    /// The same of a queue that is one.
    #[inline(never)]
    fn dequeue_one<P, F: Fate<P>>(
        &mut self,
        store: &mut Store<P>,
        now: Nanos,
        outcome: &mut Outcome<'_, F>,
    ) -> Option<Popped> {
        let Self { totals, maxpacket, .. } = self;
        let packets = &mut store.packets;
        match &mut self.kind {
            Kind::Fifo(fifo) => codel::Source::pop(&mut Watched { fifo, packets, totals, maxpacket, outcome }),
            Kind::Codel(codel) => {
                let Codel { params, state, fifo } = codel.as_mut();
                state.dequeue(params, now, &mut Watched { fifo, packets, totals, maxpacket, outcome })
            }
            Kind::FqCodel(_) => None,
        }
    }

    /// Drops the `count` oldest packets because memory is short; under FQ-CoDel those of the longest flows.
    pub(crate) fn give_up<P, F: Fate<P>>(&mut self, store: &mut Store<P>, count: u32, outcome: &mut Outcome<'_, F>) {
        let mut drop = |item: Queued<P>| outcome.drop(item.packet, item.len, DropReason::NoFrame);
        let (fifo, state) = match &mut self.kind {
            Kind::Fifo(fifo) => (fifo, None),
            Kind::Codel(codel) => (&mut codel.fifo, Some(&mut codel.state)),
            Kind::FqCodel(fq) => return fq.give_up(store, &mut self.totals, count, drop),
        };
        for _ in 0..count {
            let Some(item) = fifo.take(&mut store.packets) else { break };
            self.totals.sub(&item);
            drop(item);
        }
        if let Some(state) = state.filter(|_| fifo.packets() == 0) {
            state.emptied();
        }
    }

    /// Changes the parameters. What is queued stays, in its order; limits apply to what comes later. CoDel begins anew, unless
    /// the kind of queue stays the same and, of FQ-CoDel, the number of buckets.
    pub(crate) fn set<P>(&mut self, store: &mut Store<P>, params: &QueueParams, now: Nanos) {
        self.set_limits(params);
        let kept = match (&mut self.kind, params.aqm) {
            (Kind::Fifo(_), Aqm::Fifo) => true,
            (Kind::Codel(codel), Aqm::Codel(new)) => {
                codel.params = new;
                true
            }
            (Kind::FqCodel(fq), Aqm::FqCodel(ref new)) => fq.set(new, &mut store.flows, now),
            _ => false,
        };
        if !kept {
            let queued = self.kind.drain(store);
            self.kind = Kind::new(&params.aqm, &mut None);
            queued.into_iter().for_each(|item| self.kind.push(store, item));
        }
    }
}

/// A queue of packets as CoDel sees it: its own, or one of several that together are the lane's.
struct Watched<'a, 'b, P, F> {
    fifo: &'a mut Fifo,
    packets: &'a mut Slab<Queued<P>>,
    totals: &'a mut Totals,
    maxpacket: &'a mut u32,
    outcome: &'a mut Outcome<'b, F>,
}

/// A packet that left its queue and is still in the store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Popped {
    pub(crate) index: u32,
    /// Its length in bytes, as shaped.
    pub(crate) len: u32,
    /// When it was enqueued.
    pub(crate) enqueued: Nanos,
}

impl codel::Packet for Popped {
    #[inline]
    fn enqueued(&self) -> Nanos {
        self.enqueued
    }
}

impl<P, F: Fate<P>> codel::Source for Watched<'_, '_, P, F> {
    type Packet = Popped;

    #[inline]
    fn pop(&mut self) -> Option<Popped> {
        let (index, item) = self.fifo.pop(self.packets)?;
        self.totals.sub(item);
        *self.maxpacket = (*self.maxpacket).max(item.len);
        Some(Popped { index, len: item.len, enqueued: item.enqueued })
    }

    #[inline]
    fn backlog(&self) -> u64 {
        self.totals.bytes
    }

    #[inline(always)]
    fn drop(&mut self, popped: Popped) {
        let item = self.packets.remove(popped.index);
        self.outcome.drop(item.packet, item.len, DropReason::Codel);
    }

    #[inline(always)]
    fn mark(&mut self, popped: &mut Popped, why: codel::Mark) -> bool {
        self.packets.get(popped.index).ect && self.mark_capable(popped.index, why)
    }
}

impl<P, F: Fate<P>> Watched<'_, '_, P, F> {
    /// Marks a packet that may be ECN-capable.
    #[inline(never)]
    fn mark_capable(&mut self, index: u32, why: codel::Mark) -> bool {
        let item = self.packets.get_mut(index);
        let marked = self.outcome.fate.mark(&mut item.packet);
        let counter = match why {
            codel::Mark::NotDropped => &mut self.outcome.counters.ecn_marks,
            codel::Mark::Threshold => &mut self.outcome.counters.ce_marks,
        };
        *counter += u64::from(marked);
        marked
    }
}
