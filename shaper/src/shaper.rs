//! All lanes of one direction, in their tree.

mod change;
mod leave;
mod read;
mod shed;
mod still;

pub use self::read::Limited;
pub use self::shed::shed;
pub use self::still::{AtRest, Still};
use portlane_hint::{prefetch, prefetch_line, vec_in_huge_pages};

use crate::lane::{Lane, Place, Readiness};
use crate::lengths::Lengths;
use crate::params::TreeParams;
use crate::queue::{Queued, Store};
use crate::tree::{Chosen, Tree, TreeError};
use crate::units::Nanos;
use crate::{DropReason, LaneId};

/// So much is in a second-level cache of a megabyte: in units of what a packet that waits takes there, of which a lane is as
/// much as some.
const IN_CACHE: usize = 16_384;
const PACKETS_A_LANE: usize = 4;

/// What becomes of packets that do not leave by [`Shaper::dequeue`], and of those that are marked.
pub trait Fate<P> {
    /// The packet was dropped; the shaper has counted it.
    fn dropped(&mut self, lane: LaneId, packet: P, reason: DropReason);

    /// Marks the packet "congestion experienced" (RFC 3168); false if it is not ECN-capable.
    fn mark(&mut self, packet: &mut P) -> bool;

    /// What is dropped next is of the shaper at this position among those that [give up](shed) packets together.
    fn turns_to(&mut self, _shaper: usize) {}
}

/// Where packets go that leave, and what becomes of the others.
pub trait Way<P>: Fate<P> {
    /// A packet leaves.
    ///
    /// # Errors
    ///
    /// The packet, if the device's ring has no room for it.
    fn send(&mut self, departure: Departure<P>) -> Result<(), Departure<P>>;
}

/// The most memory that a packet [may hold](Arrival::memory) which goes straight through, in bytes: lanes whose limit is lower let none.
pub(crate) const PASSING_MEMORY: u32 = 64 << 10;

/// A packet that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival<P> {
    /// The packet.
    pub packet: P,
    /// Its length in bytes, as shaped.
    pub len: u32,
    /// Bytes of the buffers that it holds while it waits: what `memory_limit` counts (the kernel's `truesize`).
    pub memory: u32,
    /// Hash of its flow, all 32 bits of it random, with a key that senders do not know (RFC 8290 section 4.1.1). Only FQ-CoDel
    /// looks at it.
    pub flow: u32,
    /// Whether [`Fate::mark`] is asked, if it comes to that: not of what is known not to be ECN-capable.
    pub ect: bool,
}

/// A flow of a lane that packets wait in.
#[derive(Debug)]
pub struct WaitingFlow(u32);

/// A packet that leaves.
#[derive(Debug, PartialEq, Eq)]
pub struct Departure<P> {
    /// The lane that it waited in.
    pub lane: LaneId,
    /// The packet.
    pub packet: P,
    /// Its length in bytes, as shaped.
    pub len: u32,
    /// When it was enqueued.
    pub enqueued: Nanos,
    /// It went straight through the lane, and [is counted](Shaper::passed) among those that did.
    pub passed: bool,
}

/// When to ask a shaper again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// It has a packet that may leave now.
    Now,
    /// Nothing may leave before this time; then something may. [The end of time](Nanos::MAX): what waits would leave later
    /// than that, and never does.
    At(Nanos),
    /// It is empty, or time has ended.
    Never,
}

/// The lanes of one direction: every packet is queued in its lane, and leaves when the tree permits.
///
/// A shaper has no clock: `now` is passed in, and must not run backwards (if it does, no tokens are earned until it has
/// caught up). Lanes that wait for tokens are in a [`Wheel`](crate::wheel::Wheel) and cost nothing.
#[derive(Debug)]
pub struct Shaper<P> {
    tree: Tree,
    lanes: Vec<Lane<P>>,
    store: Store<P>,
    lengths: Lengths,
    /// Waits that ended by this time have been seen to.
    woken: Option<Nanos>,
    /// Lanes whose filter has tokens again; empty between calls.
    due: Vec<LaneId>,
    /// Lanes that may send now and were not in the cache; empty between calls.
    ready: Vec<LaneId>,
    /// Their flows whose turn it is; empty between calls.
    flows_ready: Vec<u32>,
    /// The time at which [`dequeue`](Self::dequeue) would say that nothing may leave, if that is known of one.
    still_at: Option<Nanos>,
    /// A packet that the device would not take: the next to leave.
    returned: Option<Departure<P>>,
    /// Whose guarantee the packet given last was sent from.
    last: Option<Chosen>,
    /// The packet given last had come back before.
    given_again: bool,
}

impl<P> Shaper<P> {
    /// A shaper of the given tree, all lanes empty and in full credit. It allocates no more until more than `capacity`
    /// packets are queued; but for FQ-CoDel lanes, whose tables of flows grow with the flows that they have.
    ///
    /// # Errors
    ///
    /// The first node whose parameters break a rule, and which.
    pub fn new(params: &TreeParams, capacity: usize, now: Nanos) -> Result<Self, TreeError> {
        let tree = Tree::new(params, now)?;
        let (mut lanes, mut shared) = (vec_in_huge_pages(params.lanes.len()), None);
        let ids = (0..).map(LaneId).zip(&params.lanes);
        lanes.extend(ids.map(|(id, params)| Lane::new(params, tree.framing(id), now, &mut shared)));
        Ok(Self {
            lanes,
            tree,
            store: Store::with_capacity(capacity),
            lengths: Lengths::new(params.lanes.len()),
            woken: None,
            due: Vec::new(),
            ready: Vec::new(),
            flows_ready: Vec::new(),
            still_at: None,
            returned: None,
            last: None,
            given_again: false,
        })
    }

    /// Puts a packet into a lane, or drops it there: full (`limit`), or too long ever to be sent (`oversize`). A full
    /// FQ-CoDel lane takes it, and drops from the head of its longest flow (`limit`, `memory`).
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    pub fn enqueue(&mut self, id: LaneId, arrival: Arrival<P>, now: Nanos, fate: &mut impl Fate<P>) {
        let Arrival { packet, len, memory, flow, ect } = arrival;
        self.still_at = None;
        let lane = &mut self.lanes[id.index()];
        let before = lane.spare();
        lane.enqueue(id, &mut self.store, Queued { packet, len, memory, flow, ect, enqueued: now }, fate);
        let (after, place) = (lane.spare(), lane.place());
        if place == Place::Active && after > 0 {
            return self.lengths.changed(id.0, before, after);
        }
        if place == Place::Idle {
            self.settle(id, now, fate);
        } else if lane.held().packets == 0 {
            self.retire(id);
        }
        self.lengths.changed(id.0, before, self.lanes[id.index()].spare());
    }

    /// Whether there are so many lanes, or packets that wait, that what packets touch is not all in the cache.
    #[must_use]
    pub fn outgrows_cache(&self) -> bool {
        self.lanes.len() * PACKETS_A_LANE + self.queued() > IN_CACHE
    }

    /// Whether anybody may not send before tokens have come back.
    #[inline]
    #[must_use]
    pub fn is_owed(&self) -> bool {
        self.tree.has_waits()
    }

    /// Whether a lane may not send at all before tokens of its own have come back, and time has gone on: a packet that arrives
    /// [joins](Self::join) it and waits, and nothing leaves for that.
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    #[inline]
    #[must_use]
    pub fn owes(&self, id: LaneId) -> bool {
        self.tree.owes(id)
    }

    /// Starts to bring into the cache what a packet of a lane touches.
    #[inline]
    pub fn prefetch(&self, id: LaneId) {
        self.tree.prefetch(id);
        if let Some(lane) = self.lanes.get(id.index()) {
            prefetch(lane);
            prefetch_line(lane, 1);
        }
    }

    /// A packet arrives, and what may leave after that does: [`pass`](Self::pass) or else [`join`](Self::join).
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    #[inline]
    pub fn offer(
        &mut self,
        id: LaneId,
        arrival: Arrival<P>,
        now: Nanos,
        fate: &mut impl Fate<P>,
    ) -> Option<Departure<P>> {
        let Arrival { packet, len, memory, flow, ect } = arrival;
        if self.pass(id, len, memory, flow, now) {
            return Some(Departure { lane: id, packet, len, enqueued: now, passed: true });
        }
        self.join(id, Arrival { packet, len, memory, flow, ect }, now, fate)
    }

    /// Whether a packet that arrives [goes straight through](Still::pass): nothing else may leave at `now`, as
    /// [`dequeue`](Self::dequeue) has said. The parameters are those of an [`Arrival`], whose packet stays where it is.
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    #[inline(always)]
    pub fn pass(&mut self, id: LaneId, len: u32, memory: u32, flow: u32, now: Nanos) -> bool {
        self.still(memory, now).is_some_and(|mut still| still.pass(id, len, flow))
    }

    /// The shaper, if nothing may leave at `now`, as [`dequeue`](Self::dequeue) has said; for packets that hold so much `memory` each.
    #[inline(always)]
    pub fn still(&mut self, memory: u32, now: Nanos) -> Option<Still<'_, P>> {
        let still = self.still_at == Some(now) && memory <= PASSING_MEMORY;
        still.then_some(Still { shaper: self, now })
    }

    /// The shaper, if nobody waits for anything; for packets that hold so much `memory` each.
    #[inline]
    pub fn at_rest(&mut self, memory: u32) -> Option<AtRest<'_, P>> {
        let rests = self.queued() == 0 && self.tree.is_at_rest() && memory <= PASSING_MEMORY;
        rests.then_some(AtRest { shaper: self })
    }

    /// The flow of a packet that [joins](Self::join) it and nothing else, for others of it wait already. The parameters are those
    /// of an [`Arrival`].
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    #[inline(always)]
    pub fn flow_that_waits(&self, id: LaneId, len: u32, memory: u32, flow: u32) -> Option<WaitingFlow> {
        self.lanes[id.index()].flow_that_waits(&self.store, len, memory, flow).map(WaitingFlow)
    }

    /// Starts to bring into the cache the flows that packets join whose lanes owe. Packets are given by their lanes and the hashes of
    /// their flows.
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    pub fn prefetch_flows(&self, packets: impl Iterator<Item = (LaneId, u32)>) {
        let waiting = packets.filter(|&(lane, _)| self.tree.owes(lane));
        let known = waiting.filter_map(|(lane, hash)| self.lanes[lane.index()].queue.known_flow(hash));
        known.for_each(|flow| self.store.prefetch_flow(flow));
    }

    /// A packet joins its [flow that waits](Self::flow_that_waits), as was just said.
    ///
    /// # Panics
    ///
    /// If there is no such lane or flow.
    #[inline(always)]
    pub fn follow(&mut self, id: LaneId, WaitingFlow(flow): WaitingFlow, arrival: Arrival<P>, now: Nanos) {
        let lane = &mut self.lanes[id.index()];
        let before = lane.spare();
        lane.follow(&mut self.store, flow, arrival, now);
        self.lengths.changed(id.0, before, before + 1);
    }

    /// A packet is enqueued, and if it is the only one that may leave at `now` it does (`__dev_xmit_skb`). Where others may
    /// leave too, [`dequeue`](Self::dequeue) has not been asked for all of them, and is to be.
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    pub fn join(
        &mut self,
        id: LaneId,
        arrival: Arrival<P>,
        now: Nanos,
        fate: &mut impl Fate<P>,
    ) -> Option<Departure<P>> {
        if let Some(waiting) = self.flow_that_waits(id, arrival.len, arrival.memory, arrival.flow) {
            self.follow(id, waiting, arrival, now);
            return None;
        }
        let still = self.still_at == Some(now);
        self.enqueue(id, arrival, now, fate);
        if still && self.tree.sends_now() {
            return self.dequeue(now, fate);
        }
        self.see_if_still(now);
        None
    }

    #[inline]
    fn see_if_still(&mut self, now: Nanos) {
        let still = self.woken == Some(now) && self.returned.is_none() && self.tree.is_still();
        self.still_at = still.then_some(now);
    }

    /// When to ask again. Asking [`At`](Wake::At) the time given yields a packet, if nothing is enqueued before and
    /// the device takes packets.
    #[must_use]
    pub fn next_wake(&mut self, now: Nanos) -> Wake {
        if self.returned.is_some() {
            return Wake::Now;
        }
        if self.queued() == 0 {
            return Wake::Never;
        }
        match self.tree.next_wake(now) {
            Nanos::MAX if now == Nanos::MAX && !self.tree.sends_now() => Wake::Never,
            at if at <= now => Wake::Now,
            at => Wake::At(at),
        }
    }

    /// Finds out whether a lane that is nowhere has a packet, and puts it where it belongs.
    #[inline]
    fn settle(&mut self, id: LaneId, now: Nanos, fate: &mut impl Fate<P>) {
        let readiness = self.lanes[id.index()].readiness(id, &mut self.store, now, fate);
        self.put(id, readiness);
    }

    /// Puts a lane where it belongs: active in the tree, into the wheel, or aside.
    #[inline]
    fn put(&mut self, id: LaneId, readiness: Readiness) {
        let lane = &mut self.lanes[id.index()];
        match readiness {
            Readiness::Ready => {
                lane.set_place(Place::Active);
                self.tree.activate(id);
            }
            Readiness::Empty => lane.set_place(Place::Idle),
            Readiness::Waits(until) => {
                lane.counters.overlimits += 1;
                lane.set_place(Place::Parked);
                // A wait until the end of time may be longer than can be told: such a lane is never woken.
                if until < Nanos::MAX {
                    self.tree.park(id, until);
                    if self.woken.is_some_and(|woken| until <= woken) {
                        self.woken = None;
                    }
                }
            }
        }
    }

    /// Takes a lane that has nothing left from where it was.
    fn retire(&mut self, id: LaneId) {
        let lane = &mut self.lanes[id.index()];
        let place = lane.place();
        lane.set_place(Place::Idle);
        match place {
            Place::Idle => {}
            Place::Active => self.tree.deactivate(id),
            Place::Parked => self.tree.unpark(id),
        }
    }

    /// Sees to the waits that have ended.
    #[inline(always)]
    fn wake(&mut self, now: Nanos, fate: &mut impl Fate<P>) {
        if self.woken != Some(now) {
            self.woken = Some(now);
            self.end_waits(now, fate);
        }
    }

    #[inline(never)]
    fn end_waits(&mut self, now: Nanos, fate: &mut impl Fate<P>) {
        let far = self.outgrows_cache();
        let Self { tree, lanes, due, ready, .. } = self;
        if far {
            tree.expire(
                now,
                |lane| due.push(lane),
                |lane| {
                    lanes[lane.index()].prefetch();
                    ready.push(lane);
                },
            );
            self.prefetch_ready();
        } else {
            tree.expire(now, |lane| due.push(lane), |_| {});
        }
        if !self.due.is_empty() {
            self.settle_due(now, fate);
        }
    }

    /// Starts to bring into the cache what lanes touch that are going to send: the flow whose turn it is, and its first packet.
    /// One after the other, for each tells where the next is; but those of all lanes at the same time.
    fn prefetch_ready(&mut self) {
        let Self { lanes, store, ready, flows_ready, .. } = self;
        flows_ready.extend(ready.drain(..).filter_map(|lane| lanes[lane.index()].queue.next_flow()));
        flows_ready.iter().for_each(|&flow| store.prefetch_flow(flow));
        flows_ready.iter().for_each(|&flow| store.prefetch_first(flow));
        flows_ready.iter().for_each(|&flow| store.prefetch_second(flow));
        flows_ready.clear();
    }

    /// Lanes whose filter has tokens again go where they belong.
    fn settle_due(&mut self, now: Nanos, fate: &mut impl Fate<P>) {
        let mut due = std::mem::take(&mut self.due);
        for lane in due.drain(..) {
            self.settle(lane, now, fate);
        }
        self.due = due;
    }
}
