//! The queue of a lane: first in first out, CoDel, or FQ-CoDel.
//!
//! Packets of all lanes, and the flows of those under FQ-CoDel, are in one [`Store`].

mod fq;
mod slab;
mod stats;
mod store;
mod table;
#[cfg(test)]
mod tests;

use portlane_stats::counters::{DropReason, LaneCounters, Volume};

use self::fq::FqCodel;
use self::slab::Slab;
pub use self::stats::{FlowStats, QueueStats};
use self::store::Fifo;
pub(crate) use self::store::{Queued, Store};
use crate::params::{Aqm, QueueParams};
use crate::units::{Nanos, Size};
use crate::{Fate, LaneId, codel};

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
    /// See [`QueueStats::maxpacket`].
    maxpacket: u32,
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

#[derive(Debug)]
enum Kind {
    Fifo(Fifo),
    Codel { params: codel::Params, state: codel::State, fifo: Fifo },
    FqCodel(FqCodel),
}

impl Kind {
    fn new(aqm: Aqm) -> Self {
        match aqm {
            Aqm::Fifo => Self::Fifo(Fifo::default()),
            Aqm::Codel(params) => Self::Codel { params, state: codel::State::default(), fifo: Fifo::default() },
            Aqm::FqCodel(params) => Self::FqCodel(FqCodel::new(params)),
        }
    }

    #[inline]
    fn push<P>(&mut self, store: &mut Store<P>, item: Queued<P>) {
        match self {
            Self::Fifo(fifo) | Self::Codel { fifo, .. } => fifo.push(&mut store.packets, item),
            Self::FqCodel(fq) => {
                fq.push(store, item);
            }
        }
    }

    /// Takes all packets, in the order in which they came.
    fn drain<P>(&mut self, store: &mut Store<P>) -> Vec<Queued<P>> {
        match self {
            Self::Fifo(fifo) | Self::Codel { fifo, .. } => {
                std::iter::from_fn(|| fifo.pop(&mut store.packets)).collect()
            }
            Self::FqCodel(fq) => fq.drain(store),
        }
    }
}

/// A lane's queue.
#[derive(Debug)]
pub(crate) struct Queue {
    limit: u32,
    limit_bytes: Size,
    totals: Totals,
    kind: Kind,
}

impl Queue {
    pub(crate) fn new(params: &QueueParams) -> Self {
        let QueueParams { limit, limit_bytes, aqm } = *params;
        let limit_bytes = limit_bytes.unwrap_or(Size(u64::MAX));
        Self { limit, limit_bytes, totals: Totals::default(), kind: Kind::new(aqm) }
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

    /// Whether a packet is dropped on arrival. FQ-CoDel takes every packet that the bytes allow, and drops from the longest
    /// flow.
    #[inline]
    fn refuses(&self, len: u32, beside: Volume) -> bool {
        let full = match self.kind {
            Kind::Fifo(_) | Kind::Codel { .. } => {
                u64::from(self.totals.packets) + beside.packets >= u64::from(self.limit)
            }
            Kind::FqCodel(_) => false,
        };
        full || self.totals.bytes + beside.bytes + u64::from(len) > self.limit_bytes.0
    }

    /// Takes the packet that is to leave now, CoDel permitting.
    #[inline]
    pub(crate) fn dequeue<P, F: Fate<P>>(
        &mut self,
        store: &mut Store<P>,
        now: Nanos,
        outcome: &mut Outcome<'_, F>,
    ) -> Option<Queued<P>> {
        let totals = &mut self.totals;
        match &mut self.kind {
            Kind::Fifo(fifo) => codel::Source::pop(&mut Watched { fifo, packets: &mut store.packets, totals, outcome }),
            Kind::Codel { params, state, fifo } => {
                state.dequeue(params, now, &mut Watched { fifo, packets: &mut store.packets, totals, outcome })
            }
            Kind::FqCodel(fq) => fq.dequeue(store, totals, now, outcome),
        }
    }

    /// Drops the `count` oldest packets because memory is short; under FQ-CoDel those of the longest flows.
    pub(crate) fn give_up<P, F: Fate<P>>(&mut self, store: &mut Store<P>, count: u32, outcome: &mut Outcome<'_, F>) {
        let mut drop = |item: Queued<P>| outcome.drop(item.packet, item.len, DropReason::NoFrame);
        let (fifo, state) = match &mut self.kind {
            Kind::Fifo(fifo) => (fifo, None),
            Kind::Codel { fifo, state, .. } => (fifo, Some(state)),
            Kind::FqCodel(fq) => return fq.give_up(store, &mut self.totals, count, drop),
        };
        for _ in 0..count {
            let Some(item) = fifo.pop(&mut store.packets) else { break };
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
        (self.limit, self.limit_bytes) = (params.limit, params.limit_bytes.unwrap_or(Size(u64::MAX)));
        let kept = match (&mut self.kind, params.aqm) {
            (Kind::Fifo(_), Aqm::Fifo) => true,
            (Kind::Codel { params, .. }, Aqm::Codel(new)) => {
                *params = new;
                true
            }
            (Kind::FqCodel(fq), Aqm::FqCodel(new)) => fq.set(new, &mut store.flows, now),
            _ => false,
        };
        if !kept {
            let queued = self.kind.drain(store);
            self.kind = Kind::new(params.aqm);
            queued.into_iter().for_each(|item| self.kind.push(store, item));
        }
    }
}

/// A queue of packets as CoDel sees it: its own, or one of several that together are the lane's.
struct Watched<'a, 'b, P, F> {
    fifo: &'a mut Fifo,
    packets: &'a mut Slab<Queued<P>>,
    totals: &'a mut Totals,
    outcome: &'a mut Outcome<'b, F>,
}

impl<P, F: Fate<P>> codel::Source for Watched<'_, '_, P, F> {
    type Packet = Queued<P>;

    #[inline]
    fn pop(&mut self) -> Option<Queued<P>> {
        let item = self.fifo.pop(self.packets)?;
        self.totals.sub(&item);
        self.totals.maxpacket = self.totals.maxpacket.max(item.len);
        Some(item)
    }

    #[inline]
    fn backlog(&self) -> u64 {
        self.totals.bytes
    }

    fn drop(&mut self, item: Queued<P>) {
        self.outcome.drop(item.packet, item.len, DropReason::Codel);
    }

    fn mark(&mut self, item: &mut Queued<P>, why: codel::Mark) -> bool {
        let marked = self.outcome.fate.mark(&mut item.packet);
        let counter = match why {
            codel::Mark::NotDropped => &mut self.outcome.counters.ecn_marks,
            codel::Mark::Threshold => &mut self.outcome.counters.ce_marks,
        };
        *counter += u64::from(marked);
        marked
    }
}
