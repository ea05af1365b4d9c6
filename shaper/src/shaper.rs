//! All lanes of one direction, and the link that they share.

mod shed;

use std::collections::VecDeque;

use portlane_stats::counters::{DropReason, LaneCounters, Volume};

pub use self::shed::shed;
use crate::bucket::Bucket;
use crate::codel;
use crate::lane::{Lane, LaneParams, Place, Readiness};
use crate::lengths::Lengths;
use crate::queue::{Queued, Store};
use crate::units::{Nanos, Rate, Size};
use crate::wheel::Wheel;

/// A lane of a shaper: its position in the list that the shaper was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub u32);

impl LaneId {
    #[inline]
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// The link that all lanes share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkParams {
    /// Rate and burst of the link; `None`: as fast as the device takes packets.
    pub limit: Option<(Rate, Size)>,
    /// Bytes that a lane may send before it is the next one's turn.
    pub quantum: u32,
}

impl Default for LinkParams {
    /// No rate of its own, and a full Ethernet frame for each lane in turn.
    fn default() -> Self {
        Self { limit: None, quantum: 1_514 }
    }
}

/// What becomes of packets that do not leave by [`Shaper::dequeue`], and of those that are marked.
pub trait Fate<P> {
    /// The packet was dropped; the shaper has counted it.
    fn dropped(&mut self, lane: LaneId, packet: P, reason: DropReason);

    /// Marks the packet "congestion experienced" (RFC 3168); false if it is not ECN-capable.
    fn mark(&mut self, packet: &mut P) -> bool;
}

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

/// The lanes of one direction: every packet is queued in its lane, and leaves when lane and link permit.
///
/// A shaper has no clock: `now` is passed in, and must not run backwards (if it does, no tokens are earned until it has
/// caught up). Lanes that may send take turns by deficit round robin; lanes that wait for tokens are in a
/// [`Wheel`] and cost nothing.
#[derive(Debug)]
pub struct Shaper<P> {
    lanes: Vec<Lane<P>>,
    store: Store<P>,
    lengths: Lengths,
    /// Lanes that may send, and those that may not but have not been passed over yet.
    round: VecDeque<LaneId>,
    /// Lanes in the round that have nothing left to send.
    spent: usize,
    wheel: Wheel,
    /// Lanes due by this time have been woken.
    woken: Option<Nanos>,
    link: Option<Bucket>,
    /// Packets wait for the link's tokens.
    link_waits: bool,
    link_overlimits: u64,
    quantum: i64,
    /// A packet that the device would not take: the next to leave.
    returned: Option<Departure<P>>,
    /// The packet given last had come back before.
    given_again: bool,
}

impl<P> Shaper<P> {
    /// A shaper of the given lanes, all empty and in full credit. It allocates no more until `capacity` packets are
    /// queued.
    ///
    /// # Panics
    ///
    /// If there are 2^32 lanes or more, or the quantum is 0.
    #[must_use]
    pub fn new(link: LinkParams, lanes: Vec<LaneParams>, capacity: usize, now: Nanos) -> Self {
        assert!(link.quantum > 0, "a quantum of 0 would never send");
        let count = lanes.len();
        assert!(u32::try_from(count).is_ok(), "lanes are numbered in 32 bits");
        Self {
            lanes: lanes.into_iter().map(|params| Lane::new(params, now)).collect(),
            store: Store::with_capacity(capacity),
            lengths: Lengths::new(count),
            round: VecDeque::with_capacity(count),
            spent: 0,
            wheel: Wheel::new(count, now),
            woken: None,
            link: link.limit.map(|(rate, burst)| Bucket::new(rate, burst, now)),
            link_waits: false,
            link_overlimits: 0,
            quantum: i64::from(link.quantum),
            returned: None,
            given_again: false,
        }
    }

    /// Puts a packet of `len` bytes into a lane, or drops it there: full (`limit`), or too long ever to be sent
    /// (`oversize`).
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    pub fn enqueue(&mut self, id: LaneId, packet: P, len: u32, now: Nanos, fate: &mut impl Fate<P>) {
        let lane = &mut self.lanes[id.index()];
        lane.counters.offered.add(len);
        if let Some(reason) = lane.refuses(len) {
            lane.counters.drop_frame(reason, len);
            fate.dropped(id, packet, reason);
            return;
        }
        let before = lane.spare();
        lane.push(&mut self.store, Queued { packet, len, enqueued: now });
        match lane.place {
            Place::Round | Place::Wheel => {}
            Place::Idle => self.settle(id, now, fate),
            Place::Spent => {
                // It was in credit when it gave up all, and has paid for nothing since.
                lane.place = Place::Round;
                self.spent -= 1;
            }
        }
        self.lengths.changed(id.0, before, self.lanes[id.index()].spare());
    }

    /// The next packet that may leave at `now`; `None` if none may.
    pub fn dequeue(&mut self, now: Nanos, fate: &mut impl Fate<P>) -> Option<Departure<P>> {
        if let Some(departure) = self.returned.take() {
            self.store.take_up();
            self.lanes[departure.lane.index()].counters.sent.add(departure.len);
            self.given_again = true;
            return Some(departure);
        }
        self.wake(now);
        while let Some(id) = self.next_in_round() {
            if !self.link_permits(now) {
                self.link_overlimits += u64::from(!std::mem::replace(&mut self.link_waits, true));
                return None;
            }
            self.link_waits = false;
            self.round.pop_front();
            let lane = &mut self.lanes[id.index()];
            let before = lane.spare();
            let taken = lane.take(id, &mut self.store, now, fate);
            let len = taken.as_ref().map_or(0, |item| item.len);
            lane.deficit -= i64::from(len);
            if let Some(link) = &mut self.link {
                link.pay(len);
            }
            self.settle(id, now, fate);
            self.lengths.changed(id.0, before, self.lanes[id.index()].spare());
            if let Some(Queued { packet, len, enqueued }) = taken {
                self.given_again = false;
                return Some(Departure { lane: id, packet, len, enqueued });
            }
        }
        None
    }

    /// Takes back a packet that [`dequeue`](Self::dequeue) gave and the device's ring had no room for. It stays at the
    /// head: the next call gives it again. Only the packet given last may come back, as often as need be: `requeues` counts
    /// the first time.
    ///
    /// # Panics
    ///
    /// If one has come back already.
    pub fn put_back(&mut self, departure: Departure<P>) {
        assert!(self.returned.is_none(), "only the packet given last may come back");
        let counters = &mut self.lanes[departure.lane.index()].counters;
        counters.sent.sub(departure.len);
        counters.requeues += u64::from(!self.given_again);
        self.returned = Some(departure);
        self.store.put_aside();
    }

    /// When to ask again. Asking [`At`](Wake::At) the time given yields a packet, if nothing is enqueued before and
    /// the device takes packets.
    #[must_use]
    pub fn next_wake(&self, now: Nanos) -> Wake {
        if self.returned.is_some() {
            return Wake::Now;
        }
        if self.queued() == 0 {
            return Wake::Never;
        }
        let waits = self.round.len() == self.spent;
        let lane = if waits { self.wheel.earliest().unwrap_or(Nanos::MAX) } else { Nanos::ZERO };
        let link = self.link.as_ref().filter(|link| !link.in_credit()).map_or(Nanos::ZERO, Bucket::credit_at);
        match lane.max(link) {
            Nanos::MAX if now == Nanos::MAX => Wake::Never,
            at if at <= now => Wake::Now,
            at => Wake::At(at),
        }
    }

    /// Packets in all lanes.
    #[inline]
    #[must_use]
    pub fn queued(&self) -> usize {
        self.store.held()
    }

    /// Number of lanes.
    #[must_use]
    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// What a lane has counted.
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    #[must_use]
    pub fn counters(&self, id: LaneId) -> &LaneCounters {
        &self.lanes[id.index()].counters
    }

    /// What a lane holds now: its queue, a packet waiting for tokens, and one that the device would not take.
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    #[must_use]
    pub fn backlog(&self, id: LaneId) -> Volume {
        let mut held = self.lanes[id.index()].held();
        if let Some(returned) = self.returned.as_ref().filter(|returned| returned.lane == id) {
            held.add(returned.len);
        }
        held
    }

    /// A lane's credit at `now`, as the time it takes to earn it, in nanoseconds: negative while it owes, 0 without a
    /// limiter.
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    #[must_use]
    pub fn credit_ns(&self, id: LaneId, now: Nanos) -> i64 {
        self.lanes[id.index()].credit_ns(now)
    }

    /// The link's credit at `now`, likewise.
    #[must_use]
    pub fn link_credit_ns(&self, now: Nanos) -> i64 {
        self.link.as_ref().map_or(0, |link| link.credit_ns(now))
    }

    /// Times that packets began to wait for the link's tokens.
    #[must_use]
    pub fn link_overlimits(&self) -> u64 {
        self.link_overlimits
    }

    /// Where a lane's CoDel stands; `None` for a FIFO.
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    #[must_use]
    pub fn codel(&self, id: LaneId) -> Option<&codel::State> {
        self.lanes[id.index()].codel()
    }

    /// The longest packet that left a lane's queue, in bytes.
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    #[must_use]
    pub fn longest_seen(&self, id: LaneId) -> u32 {
        self.lanes[id.index()].longest_seen()
    }

    /// Puts a lane that is nowhere to where it belongs: in the round, into the wheel, or aside.
    #[inline]
    fn settle(&mut self, id: LaneId, now: Nanos, fate: &mut impl Fate<P>) {
        let lane = &mut self.lanes[id.index()];
        let had_the_turn = lane.place == Place::Round;
        match lane.readiness(id, &mut self.store, now, fate) {
            Readiness::Empty => lane.place = Place::Idle,
            Readiness::Waits(until) => {
                lane.counters.overlimits += 1;
                lane.place = Place::Wheel;
                // A wait until the end of time may be longer than can be told: such a lane is never woken.
                if until < Nanos::MAX {
                    self.wheel.insert(id.0, until);
                }
                if self.woken.is_some_and(|woken| until <= woken) {
                    self.woken = None;
                }
            }
            Readiness::Ready => {
                lane.place = Place::Round;
                if had_the_turn {
                    self.round.push_front(id);
                } else {
                    self.round.push_back(id);
                }
            }
        }
    }

    /// Takes a lane that has nothing left from where it was; from the round when it comes to it.
    fn retire(&mut self, id: LaneId) {
        let place = &mut self.lanes[id.index()].place;
        match *place {
            Place::Idle | Place::Spent => {}
            Place::Round => {
                *place = Place::Spent;
                self.spent += 1;
            }
            Place::Wheel => {
                *place = Place::Idle;
                self.wheel.remove(id.0);
            }
        }
    }

    /// The lane whose turn it is. One that has used up its turn gets a quantum and goes to the back.
    #[inline]
    fn next_in_round(&mut self) -> Option<LaneId> {
        loop {
            let id = *self.round.front()?;
            let lane = &mut self.lanes[id.index()];
            if lane.place == Place::Spent {
                lane.place = Place::Idle;
                self.spent -= 1;
                self.round.pop_front();
                continue;
            }
            if lane.deficit > 0 {
                return Some(id);
            }
            lane.deficit += self.quantum;
            self.round.rotate_left(1);
        }
    }

    /// Brings the lanes whose tokens have come back into the round.
    #[inline]
    fn wake(&mut self, now: Nanos) {
        if self.woken == Some(now) {
            return;
        }
        self.woken = Some(now);
        let (lanes, round) = (&mut self.lanes, &mut self.round);
        self.wheel.expire(now, |entry| {
            lanes[entry as usize].place = Place::Round;
            round.push_back(LaneId(entry));
        });
    }

    #[inline]
    fn link_permits(&mut self, now: Nanos) -> bool {
        self.link.as_mut().is_none_or(|link| {
            link.refill(now);
            link.in_credit()
        })
    }
}
