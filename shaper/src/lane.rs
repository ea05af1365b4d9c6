//! One lane: a queue, the CoDel that watches it, and the limiter that it must pass.

use portlane_stats::counters::{DropReason, LaneCounters, Volume};

use crate::bucket::{Bucket, MAX_PACKET};
use crate::codel;
use crate::queue::{Fifo, Queued, Store};
use crate::units::{Nanos, Rate, Size};
use crate::{Fate, LaneId};

/// What a lane is asked to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LaneParams {
    /// What the lane must pass to send.
    pub limiter: Limiter,
    /// How long the lane's queue may become.
    pub queue: QueueParams,
}

/// The rate limiter of a lane (`bw_limit`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Limiter {
    /// Not limited by the lane itself.
    #[default]
    None,
    /// As a class of `sch_htb`: must be in credit, then sends, and may owe up to one packet.
    Htb {
        /// Long-term rate.
        rate: Rate,
        /// Credit that an idle lane gathers.
        burst: Size,
    },
    /// As `sch_tbf`: the packet at the head waits until it can be paid for at once.
    Tbf {
        /// Long-term rate.
        rate: Rate,
        /// Credit that an idle lane gathers; longer packets can never be sent and are refused.
        burst: Size,
        /// A second bucket in front, so that a burst leaves no faster than this.
        peak: Option<Peak>,
    },
}

/// The peak rate of a TBF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peak {
    /// The rate of the second bucket.
    pub rate: Rate,
    /// Its size, tc's `mtu`; longer packets are refused.
    pub mtu: Size,
}

/// The queue of a lane (`bloat_reduction`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueParams {
    /// Packets that the queue may hold.
    pub limit: u32,
    /// Bytes that the queue may hold, where that is bounded too (TBF's `limit`).
    pub limit_bytes: Option<Size>,
    /// CoDel's parameters; without it the queue is a plain FIFO.
    pub codel: Option<codel::Params>,
}

impl Default for QueueParams {
    /// CoDel with tc's defaults: 1000 packets, 5 ms, 100 ms.
    fn default() -> Self {
        Self { limit: 1_000, limit_bytes: None, codel: Some(codel::Params::default()) }
    }
}

/// Whether a lane may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// It has nothing to send.
    Empty,
    /// It may send now.
    Ready,
    /// It has a packet, and tokens for it at this time.
    Waits(Nanos),
}

/// The limiter at work.
#[derive(Debug)]
enum Gate {
    Open,
    Credit(Bucket),
    Afford { rate: Bucket, peak: Option<Bucket>, longest: u32 },
}

impl Gate {
    fn new(limiter: Limiter, now: Nanos) -> Self {
        match limiter {
            Limiter::None => Self::Open,
            Limiter::Htb { rate, burst } => Self::Credit(Bucket::new(rate, burst, now)),
            Limiter::Tbf { rate, burst, peak } => Self::Afford {
                rate: Bucket::new(rate, burst, now),
                peak: peak.map(|peak| Bucket::new(peak.rate, peak.mtu, now)),
                longest: longest_packet(burst).min(peak.map_or(u32::MAX, |peak| longest_packet(peak.mtu))),
            },
        }
    }

    /// The longest packet that can ever pass.
    fn longest(&self) -> u32 {
        match self {
            Self::Open | Self::Credit(_) => MAX_PACKET,
            Self::Afford { longest, .. } => *longest,
        }
    }

    /// Pays for a packet that leaves now. Earning comes first: a lane may have stood ready for long, and what it earned
    /// meanwhile ends at the burst, before this packet is paid for and not after.
    #[inline]
    fn pay(&mut self, len: u32, now: Nanos) {
        match self {
            Self::Open => {}
            Self::Credit(bucket) => {
                bucket.refill(now);
                bucket.pay(len);
            }
            Self::Afford { rate, peak, .. } => {
                rate.refill(now);
                rate.pay(len);
                if let Some(peak) = peak {
                    peak.refill(now);
                    peak.pay(len);
                }
            }
        }
    }
}

fn longest_packet(burst: Size) -> u32 {
    u32::try_from(burst.0).unwrap_or(MAX_PACKET).min(MAX_PACKET)
}

/// Where the scheduler keeps a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nowhere: the lane is empty.
    Idle,
    /// In the round of lanes that may send.
    Round,
    /// In the round, though it has given up all that it had.
    Spent,
    /// In the wheel, until it has tokens; nowhere if that is after the end of time.
    Wheel,
}

#[derive(Debug)]
pub(crate) struct Lane<P> {
    pub(crate) place: Place,
    /// Bytes that the lane may still send in this round (deficit round robin, Shreedhar and Varghese 1995).
    pub(crate) deficit: i64,
    gate: Gate,
    fifo: Fifo,
    codel: codel::State,
    params: QueueParams,
    /// A TBF lane's next packet: CoDel has let it go, and it waits to be affordable.
    head: Option<Queued<P>>,
    pub(crate) counters: LaneCounters,
    longest_seen: u32,
}

impl<P> Lane<P> {
    pub(crate) fn new(params: LaneParams, now: Nanos) -> Self {
        Self {
            place: Place::Idle,
            deficit: 0,
            gate: Gate::new(params.limiter, now),
            fifo: Fifo::default(),
            codel: codel::State::default(),
            params: params.queue,
            head: None,
            counters: LaneCounters::default(),
            longest_seen: 0,
        }
    }

    /// Why a packet of `len` bytes may not be enqueued now.
    pub(crate) fn refuses(&self, len: u32) -> Option<DropReason> {
        let held = self.held();
        let full = held.packets >= u64::from(self.params.limit)
            || self.params.limit_bytes.is_some_and(|limit| held.bytes + u64::from(len) > limit.0);
        if len > self.gate.longest() {
            Some(DropReason::Oversize)
        } else if full {
            Some(DropReason::Limit)
        } else {
            None
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, store: &mut Store<P>, item: Queued<P>) {
        self.fifo.push(store, item);
    }

    /// Packets in the queue and at its head.
    pub(crate) fn held(&self) -> Volume {
        let mut held = Volume { packets: u64::from(self.fifo.packets()), bytes: self.fifo.bytes() };
        if let Some(head) = &self.head {
            held.add(head.len);
        }
        held
    }

    /// Packets that the lane could give up: all but a TBF's head.
    pub(crate) fn spare(&self) -> u32 {
        self.fifo.packets()
    }

    pub(crate) fn give_up(&mut self, store: &mut Store<P>) -> Option<Queued<P>> {
        let item = self.fifo.pop(store)?;
        self.counters.drop_frame(DropReason::NoFrame, item.len);
        if self.fifo.packets() == 0 {
            // An empty queue is not above target (RFC 8289 section 5.4).
            self.codel.first_above_time = None;
        }
        Some(item)
    }

    /// Whether the lane may send. A TBF lane brings its next packet to the head for that (`qdisc_peek_dequeued`).
    #[inline]
    pub(crate) fn readiness<F: Fate<P>>(
        &mut self,
        id: LaneId,
        store: &mut Store<P>,
        now: Nanos,
        fate: &mut F,
    ) -> Readiness {
        match &mut self.gate {
            Gate::Open if self.fifo.packets() > 0 => Readiness::Ready,
            Gate::Credit(bucket) if self.fifo.packets() > 0 => {
                bucket.refill(now);
                if bucket.in_credit() { Readiness::Ready } else { Readiness::Waits(bucket.credit_at()) }
            }
            Gate::Open | Gate::Credit(_) => Readiness::Empty,
            Gate::Afford { .. } => self.afford(id, store, now, fate),
        }
    }

    fn afford<F: Fate<P>>(&mut self, id: LaneId, store: &mut Store<P>, now: Nanos, fate: &mut F) -> Readiness {
        if self.head.is_none() {
            self.head = self.dequeue(id, store, now, fate);
            if self.head.is_some() {
                store.put_aside();
            }
        }
        let (Some(head), Gate::Afford { rate, peak, .. }) = (&self.head, &mut self.gate) else {
            return Readiness::Empty;
        };
        let mut at = None;
        for bucket in [Some(rate), peak.as_mut()].into_iter().flatten() {
            bucket.refill(now);
            if !bucket.affords(head.len) {
                at = at.max(bucket.affordable_at(head.len));
            }
        }
        at.map_or(Readiness::Ready, Readiness::Waits)
    }

    /// Takes the packet that leaves now, and pays for it. `None` if CoDel left none.
    #[inline]
    pub(crate) fn take<F: Fate<P>>(
        &mut self,
        id: LaneId,
        store: &mut Store<P>,
        now: Nanos,
        fate: &mut F,
    ) -> Option<Queued<P>> {
        let item = match self.head.take() {
            Some(head) => {
                store.take_up();
                head
            }
            None => self.dequeue(id, store, now, fate)?,
        };
        self.gate.pay(item.len, now);
        self.counters.sent.add(item.len);
        Some(item)
    }

    /// The next packet that CoDel lets go.
    #[inline]
    fn dequeue<F: Fate<P>>(&mut self, id: LaneId, store: &mut Store<P>, now: Nanos, fate: &mut F) -> Option<Queued<P>> {
        let item = match &self.params.codel {
            None => self.fifo.pop(store)?,
            Some(params) => {
                let counters = &mut self.counters;
                let mut queue = Watched { id, fifo: &mut self.fifo, store, counters, fate };
                self.codel.dequeue(params, now, &mut queue)?
            }
        };
        self.counters.dequeued.add(item.len);
        self.longest_seen = self.longest_seen.max(item.len);
        Some(item)
    }

    /// Credit of the limiter at `now`, see [`Bucket::credit_ns`]; 0 without one.
    pub(crate) fn credit_ns(&self, now: Nanos) -> i64 {
        match &self.gate {
            Gate::Open => 0,
            Gate::Credit(rate) | Gate::Afford { rate, .. } => rate.credit_ns(now),
        }
    }

    /// Where CoDel stands; `None` for a FIFO.
    pub(crate) fn codel(&self) -> Option<&codel::State> {
        self.params.codel.is_some().then_some(&self.codel)
    }

    /// The longest packet that left the queue, in bytes.
    pub(crate) fn longest_seen(&self) -> u32 {
        self.longest_seen
    }
}

/// A lane's queue as CoDel sees it.
struct Watched<'a, P, F> {
    id: LaneId,
    fifo: &'a mut Fifo,
    store: &'a mut Store<P>,
    counters: &'a mut LaneCounters,
    fate: &'a mut F,
}

impl<P, F: Fate<P>> codel::Source for Watched<'_, P, F> {
    type Packet = Queued<P>;

    #[inline]
    fn pop(&mut self) -> Option<Queued<P>> {
        self.fifo.pop(self.store)
    }

    #[inline]
    fn backlog(&self) -> u64 {
        self.fifo.bytes()
    }

    fn drop(&mut self, item: Queued<P>) {
        self.counters.drop_frame(DropReason::Codel, item.len);
        self.fate.dropped(self.id, item.packet, DropReason::Codel);
    }

    fn mark(&mut self, item: &mut Queued<P>) -> bool {
        let marked = self.fate.mark(&mut item.packet);
        self.counters.ecn_marks += u64::from(marked);
        marked
    }
}
