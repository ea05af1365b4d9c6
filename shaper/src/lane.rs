//! One lane: its queue, and the token bucket filter that it may have to pass.

use std::sync::Arc;

use portlane_hint::{prefetch, prefetch_line};
use portlane_stats::counters::{DropReason, LaneCounters, Volume};

use crate::bucket::MAX_PACKET;
use crate::params::{FqParams, Framing, LaneParams, Limiter, QueueParams};
use crate::queue::{Outcome, Popped, Queue, QueueStats, Queued, Store};
use crate::tbf::Tbf;
use crate::units::Nanos;
use crate::{Arrival, Fate, LaneId, codel};

/// Whether a lane has a packet for the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// It has nothing to send.
    Empty,
    /// It has a packet.
    Ready,
    /// It has a packet, and a token bucket filter that lets it go at this time.
    Waits(Nanos),
}

/// Where the scheduler keeps a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nowhere: the lane is empty.
    Idle,
    /// Active in the tree.
    Active,
    /// In the wheel, until its filter has tokens; nowhere if that is after the end of time.
    Parked,
}

/// A lane. What a packet touches that goes straight through is in the first cache line.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Lane<P> {
    /// A packet that is shorter may go straight through: none, unless the lane is idle and has no filter.
    passes_below: u32,
    place: Place,
    filter: Option<Box<Filter<P>>>,
    pub(crate) queue: Queue,
    pub(crate) counters: LaneCounters,
}

/// A token bucket filter with its next packet: CoDel has let that go, and it waits to be affordable.
#[derive(Debug)]
struct Filter<P> {
    /// `None`: the lane has become one without, and sends what is at the head as soon as the tree permits.
    tbf: Option<Tbf>,
    head: Option<Queued<P>>,
}

impl<P> Lane<P> {
    /// An empty lane; parameters of FQ-CoDel are `shared` with the last lane made, if they are the same.
    pub(crate) fn new(params: &LaneParams, framing: Framing, now: Nanos, shared: &mut Option<Arc<FqParams>>) -> Self {
        let mut lane = Self {
            passes_below: 0,
            place: Place::Idle,
            queue: Queue::new(&params.queue, shared),
            filter: None,
            counters: LaneCounters::default(),
        };
        lane.set_limiter(params.limiter, framing, now);
        lane
    }

    /// Becomes a token bucket filter, another one, or none. What waits at the head stays there.
    pub(crate) fn set_limiter(&mut self, limiter: Limiter, framing: Framing, now: Nanos) {
        if let Limiter::Tbf { rate, burst, peak } = limiter {
            let filter = self.filter.get_or_insert_with(|| Box::new(Filter { tbf: None, head: None }));
            match &mut filter.tbf {
                Some(tbf) => tbf.set(rate, burst, peak, framing, now),
                tbf => *tbf = Some(Tbf::new(rate, burst, peak, framing, now)),
            }
        } else {
            self.filter.iter_mut().for_each(|filter| filter.tbf = None);
        }
        self.set_place(self.place);
    }

    /// Starts to bring into the cache what a packet touches that leaves.
    #[inline]
    pub(crate) fn prefetch(&self) {
        prefetch(self);
        prefetch_line(self, 1);
        prefetch_line(self, 2);
    }

    /// Where the scheduler keeps it.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    #[inline]
    pub(crate) fn set_place(&mut self, place: Place) {
        self.place = place;
        self.passes_below = match (place, &self.filter) {
            (Place::Idle, None) => self.queue.too_long(),
            _ => 0,
        };
    }

    /// Changes the queue's parameters. What is queued stays.
    pub(crate) fn set_queue(&mut self, store: &mut Store<P>, params: &QueueParams, now: Nanos) {
        self.queue.set(store, params, now);
        self.set_place(self.place);
    }

    /// Changes what a packet takes on a filter's wire.
    pub(crate) fn set_framing(&mut self, framing: Framing) {
        if let Some(Filter { tbf: Some(tbf), .. }) = self.filter.as_deref_mut() {
            tbf.framing = framing;
        }
    }

    /// When a filter lets its next packet go; `None`: now, or there is none.
    pub(crate) fn filter_opens(&mut self, now: Nanos) -> Option<Nanos> {
        match self.filter.as_deref_mut() {
            Some(Filter { tbf: Some(tbf), head: Some(head) }) => tbf.affordable_at(head.len, now),
            _ => None,
        }
    }

    /// What [`pass`](Self::pass) does, if that takes no more than mostly; else false, and nothing happened.
    #[inline(always)]
    pub(crate) fn pass_quickly(&mut self, flow: u32, len: u32) -> bool {
        len < self.passes_below && self.queue.pass_quickly(flow, len)
    }

    /// A packet comes and goes at once, if the lane is empty and does as if it had queued it. The tree has to agree before,
    /// and counts it.
    #[inline]
    pub(crate) fn pass(&mut self, flow: u32, len: u32) -> bool {
        len < self.passes_below && self.queue.pass(flow, len)
    }

    /// Takes a packet into the queue; or drops it, or packets that wait.
    #[inline]
    pub(crate) fn enqueue<F: Fate<P>>(&mut self, id: LaneId, store: &mut Store<P>, item: Queued<P>, fate: &mut F) {
        let beside = self.head().map_or(Volume::default(), |head| Volume { packets: 1, bytes: head.len.into() });
        let carried = self.tbf().map_or(item.len <= MAX_PACKET, |tbf| tbf.carries(item.len));
        let counters = &mut self.counters;
        counters.offered.add(item.len);
        let mut outcome = Outcome { lane: id, counters, fate };
        let taken = if carried {
            self.queue.push(store, item, beside, &mut outcome)
        } else {
            outcome.drop(item.packet, item.len, DropReason::Oversize);
            false
        };
        self.counters.refused += u64::from(!taken);
    }

    /// The flow of a packet, if that waits in the tree and takes the packet as it is: then nothing changes but the flow's
    /// length.
    #[inline(always)]
    pub(crate) fn flow_that_waits(&self, store: &Store<P>, len: u32, memory: u32, flow: u32) -> Option<u32> {
        if self.place != Place::Active || self.filter.is_some() || len > MAX_PACKET {
            return None;
        }
        self.queue.flow_that_waits(store, len, memory, flow)
    }

    /// A packet joins a [flow that waits](Self::flow_that_waits).
    #[inline(always)]
    pub(crate) fn follow(&mut self, store: &mut Store<P>, flow: u32, arrival: Arrival<P>, now: Nanos) {
        self.counters.offered.add(arrival.len);
        self.queue.follow(store, flow, arrival, now);
    }

    fn tbf(&self) -> Option<&Tbf> {
        self.filter.as_ref()?.tbf.as_ref()
    }

    fn head(&self) -> Option<&Queued<P>> {
        self.filter.as_ref()?.head.as_ref()
    }

    /// Packets in the queue and at its head.
    pub(crate) fn held(&self) -> Volume {
        let mut held = Volume { packets: self.queue.packets().into(), bytes: self.queue.bytes() };
        if let Some(head) = self.head() {
            held.add(head.len);
        }
        held
    }

    /// Packets that the lane could give up: all but a filter's head.
    pub(crate) fn spare(&self) -> u32 {
        self.queue.packets()
    }

    /// Drops `count` packets that the lane could give up.
    pub(crate) fn give_up<F: Fate<P>>(&mut self, id: LaneId, store: &mut Store<P>, count: u32, fate: &mut F) {
        self.queue.give_up(store, count, &mut Outcome { lane: id, counters: &mut self.counters, fate });
    }

    /// Whether the lane has a packet for the tree. A token bucket filter brings its next one to the head for that
    /// (`qdisc_peek_dequeued`).
    #[inline]
    pub(crate) fn readiness<F: Fate<P>>(
        &mut self,
        id: LaneId,
        store: &mut Store<P>,
        now: Nanos,
        fate: &mut F,
    ) -> Readiness {
        match &self.filter {
            None if self.queue.packets() > 0 => Readiness::Ready,
            None => Readiness::Empty,
            Some(_) => self.filtered(id, store, now, fate),
        }
    }

    #[inline(never)]
    fn filtered<F: Fate<P>>(&mut self, id: LaneId, store: &mut Store<P>, now: Nanos, fate: &mut F) -> Readiness {
        if self.tbf().is_some() && self.head().is_none() {
            let mut head = self.dequeue(id, store, now, fate).map(|popped| store.take(popped));
            if head.is_some() {
                store.put_aside();
            }
            self.filter.iter_mut().for_each(|filter| filter.head = head.take());
        }
        let Some(Filter { tbf, head }) = self.filter.as_deref_mut() else { return Readiness::Empty };
        match (tbf, head) {
            (Some(tbf), Some(head)) => tbf.affordable_at(head.len, now).map_or(Readiness::Ready, Readiness::Waits),
            (None, None) if self.queue.packets() > 0 => Readiness::Ready,
            (None, Some(_)) => Readiness::Ready,
            (_, None) => Readiness::Empty,
        }
    }

    /// Takes the packet that leaves now, and pays a filter for it. `None` if CoDel left none.
    #[inline(never)]
    pub(crate) fn take<F: Fate<P>>(
        &mut self,
        id: LaneId,
        store: &mut Store<P>,
        now: Nanos,
        fate: &mut F,
    ) -> Option<Queued<P>> {
        let item = match self.filter.as_mut().and_then(|filter| filter.head.take()) {
            Some(head) => {
                store.take_up();
                head
            }
            None => {
                let popped = self.dequeue(id, store, now, fate)?;
                store.take(popped)
            }
        };
        if let Some(Filter { tbf: Some(tbf), .. }) = self.filter.as_deref_mut() {
            tbf.pay(item.len, now);
        }
        self.counters.sent.add(item.len);
        Some(item)
    }

    /// Whether there is a token bucket filter, or was one.
    #[inline]
    pub(crate) fn is_filtered(&self) -> bool {
        self.filter.is_some()
    }

    /// What [`take`](Self::take) does in a lane that is not [filtered](Self::is_filtered), but for taking the packet from the store.
    #[inline(always)]
    pub(crate) fn take_unfiltered<F: Fate<P>>(
        &mut self,
        id: LaneId,
        store: &mut Store<P>,
        now: Nanos,
        fate: &mut F,
    ) -> Option<Popped> {
        let popped = self.dequeue(id, store, now, fate)?;
        self.counters.sent.add(popped.len);
        Some(popped)
    }

    /// The next packet that CoDel lets go.
    #[inline(always)]
    fn dequeue<F: Fate<P>>(&mut self, id: LaneId, store: &mut Store<P>, now: Nanos, fate: &mut F) -> Option<Popped> {
        let mut outcome = Outcome { lane: id, counters: &mut self.counters, fate };
        let popped = self.queue.dequeue(store, now, &mut outcome)?;
        self.counters.dequeued.add(popped.len);
        Some(popped)
    }

    /// Where CoDel stands, if there is one for the whole queue.
    pub(crate) fn codel(&self) -> Option<&codel::State> {
        self.queue.codel()
    }

    /// What the queue has to tell.
    pub(crate) fn queue_stats(&self) -> QueueStats {
        self.queue.stats(&self.counters)
    }
}
