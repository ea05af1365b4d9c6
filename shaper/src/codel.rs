//! CoDel: drops when the standing queue has been too long for too long (RFC 8289).
//!
//! Three structs, as in Linux' `codel.h`: what was asked for ([`Params`]), where the algorithm stands ([`State`]), and
//! what happened (the caller's counters). The algorithm knows no queue: it is lent one as a [`Source`]. Under FQ-CoDel
//! there is a state for each flow, so it is kept small.

use std::num::NonZeroU64;

use crate::units::Nanos;

/// Bits of a time in nanoseconds that Linux leaves away (`CODEL_SHIFT`).
const TICK_BITS: u32 = 10;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params {
    /// The standing delay that is acceptable (RFC 8289 section 4.3: 5 ms).
    pub target: Nanos,
    /// The time in which a standing queue must show itself, about a worst-case round trip (section 4.2: 100 ms).
    pub interval: Nanos,
    /// Mark packets of ECN-capable flows instead of dropping them (section 3, last paragraph; RFC 3168).
    pub ecn: bool,
    /// No drop while the backlog behind the packet is at most this: one MTU (section 4.4, `maxpacket`), in bytes.
    pub mtu: u32,
    /// Mark every ECN-capable packet that leaves after a longer delay than this, dropping state or not, whether or not
    /// [`ecn`](Self::ecn) is on (`codel_dequeue`); `None`: never.
    pub ce_threshold: Option<Nanos>,
    /// How the times of drops are worked out.
    pub law: ControlLaw,
}

/// How `t + interval / sqrt(count)` (RFC 8289 section 5.3) is worked out, by which the time from drop to drop shrinks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ControlLaw {
    /// As Linux does: the inverse root has 16 bits and comes closer by one step of Newton's method a drop; time is in units
    /// of 1.024 us (`codel_Newton_step`, `codel_control_law`). At first it is ahead of the exact root: the second drop
    /// comes after half an interval and not after 0.71 of it.
    #[default]
    Newton,
    /// Exact to the nanosecond, rounded down.
    Exact,
}

impl Default for Params {
    /// tc's defaults of `codel`, for Ethernet's MTU of 1500 and its header of 14 bytes.
    fn default() -> Self {
        Self {
            target: Nanos::from_millis(5),
            interval: Nanos::from_millis(100),
            ecn: false,
            mtu: 1_514,
            ce_threshold: None,
            law: ControlLaw::Newton,
        }
    }
}

/// Where the algorithm stands. The names are the RFC's (section 5.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct State {
    /// The RFC's zero for "below target" is a niche.
    first_above_time: Option<NonZeroU64>,
    /// In the dropping state, the time of the next drop; afterwards that of the drop which was not made.
    pub drop_next: Nanos,
    /// Drops since the dropping state was entered.
    pub count: u32,
    /// `count` when the dropping state was last entered.
    pub lastcount: u32,
    /// In the dropping state.
    pub dropping: bool,
    /// Of [`ControlLaw::Newton`]: about 65,536 / sqrt(count).
    inverse_root: u16,
    /// Delay of the packet looked at last.
    pub ldelay: Nanos,
}

/// A packet as CoDel sees it.
pub trait Packet {
    /// When it was enqueued.
    fn enqueued(&self) -> Nanos;
}

/// Why a packet is marked "congestion experienced".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Instead of being dropped.
    NotDropped,
    /// It waited longer than [`Params::ce_threshold`].
    Threshold,
}

/// The queue that CoDel watches, and the fate of packets that it condemns.
pub trait Source {
    /// What the queue holds.
    type Packet: Packet;

    /// Takes the oldest packet.
    fn pop(&mut self) -> Option<Self::Packet>;

    /// Bytes that wait, without what was taken. Under FQ-CoDel those of all flows of the queue: `fq_codel_dequeue` hands
    /// `codel_dequeue` the whole qdisc's backlog.
    fn backlog(&self) -> u64;

    /// The packet is dropped.
    fn drop(&mut self, packet: Self::Packet);

    /// Marks the packet "congestion experienced"; false if its flow does not understand that.
    fn mark(&mut self, packet: &mut Self::Packet, why: Mark) -> bool;
}

impl State {
    /// When the delay will have been above target for an interval; `None` while it is below.
    #[must_use]
    pub fn first_above_time(&self) -> Option<Nanos> {
        self.first_above_time.map(|time| Nanos(time.get()))
    }

    /// A packet came and went while the queue was empty: an empty queue is not above target, nor dropping.
    #[inline]
    pub(crate) fn passed(&mut self) {
        (self.first_above_time, self.dropping, self.ldelay) = (None, false, Nanos::ZERO);
    }

    /// The queue was emptied by others, and an empty queue is not above target (RFC 8289 section 5.4).
    pub(crate) fn emptied(&mut self) {
        self.first_above_time = None;
    }

    /// Nothing happened but that packets were let go, the last one after this delay.
    pub(crate) fn fresh(ldelay: Nanos) -> Self {
        Self { ldelay, ..Self::default() }
    }

    /// Whether nothing happened but that packets were let go.
    pub(crate) fn is_fresh(&self) -> bool {
        *self == Self::fresh(self.ldelay)
    }

    /// Whether a queue that is empty at `now` may forget where it stood. Of a queue without packets only the last drop
    /// matters, which sets the pace of the next spell; and that is too long ago 16 intervals after [`drop_next`](Self::drop_next).
    pub(crate) fn forgettable(&self, interval: Nanos, now: Nanos) -> bool {
        self.count == 0 || !self.recent(interval, now)
    }

    /// Whether the last spell of dropping ended so lately that the next one goes on at its pace (section 5.5).
    #[inline]
    fn recent(&self, interval: Nanos, now: Nanos) -> bool {
        now - self.drop_next < Nanos(interval.0.saturating_mul(16))
    }

    /// Takes the packet that is to leave now, dropping and marking as RFC 8289 section 5.5 says. `None` if the queue
    /// is empty, or has become so. The last packet of all that [`Source::backlog`] counts is never dropped.
    #[inline(always)]
    pub fn dequeue<S: Source>(&mut self, params: &Params, now: Nanos, queue: &mut S) -> Option<S::Packet> {
        let mut packet = self.survivor(params, now, queue)?;
        if params.ce_threshold.is_some_and(|threshold| self.ldelay > threshold) {
            queue.mark(&mut packet, Mark::Threshold);
        }
        Some(packet)
    }

    /// The first packet that is not dropped.
    #[inline(always)]
    fn survivor<S: Source>(&mut self, params: &Params, now: Nanos, queue: &mut S) -> Option<S::Packet> {
        let Some(packet) = self.pop(queue) else {
            self.dropping = false;
            return None;
        };
        let ok_to_drop = self.is_above_target(params, now, queue.backlog(), packet.enqueued());
        if self.dropping {
            self.dropping = ok_to_drop;
            if ok_to_drop && now >= self.drop_next {
                return self.continue_dropping(params, now, queue, packet);
            }
        } else if ok_to_drop {
            return self.start_dropping(params, now, queue, packet);
        }
        Some(packet)
    }

    /// Takes the oldest packet. An empty queue is not above target.
    #[inline(always)]
    fn pop<S: Source>(&mut self, queue: &mut S) -> Option<S::Packet> {
        let packet = queue.pop();
        if packet.is_none() {
            self.first_above_time = None;
        }
        packet
    }

    /// The RFC's `dodequeue`, of a packet that was taken: whether the delay has been above target for an interval.
    #[inline(always)]
    fn is_above_target(&mut self, params: &Params, now: Nanos, backlog: u64, enqueued: Nanos) -> bool {
        self.ldelay = now - enqueued;
        if self.ldelay < params.target || backlog <= u64::from(params.mtu) {
            self.first_above_time = None;
            return false;
        }
        match self.first_above_time {
            None => {
                self.first_above_time = NonZeroU64::new((now + params.interval).0);
                false
            }
            Some(time) => now.0 >= time.get(),
        }
    }

    /// In the dropping state, at the time of the next drop or later: drops until the schedule is met, or the delay.
    #[inline(never)]
    fn continue_dropping<S: Source>(
        &mut self,
        params: &Params,
        now: Nanos,
        queue: &mut S,
        mut packet: S::Packet,
    ) -> Option<S::Packet> {
        loop {
            self.count = self.count.saturating_add(1);
            self.approach_root();
            if params.ecn && queue.mark(&mut packet, Mark::NotDropped) {
                self.drop_next = self.after(self.drop_next, params);
                return Some(packet);
            }
            queue.drop(packet);
            let Some(next) = self.pop(queue) else {
                self.dropping = false;
                return None;
            };
            packet = next;
            self.dropping = self.is_above_target(params, now, queue.backlog(), packet.enqueued());
            if !self.dropping {
                return Some(packet);
            }
            self.drop_next = self.after(self.drop_next, params);
            if now < self.drop_next {
                return Some(packet);
            }
        }
    }

    /// Enters the dropping state with one drop, at the old pace if the last spell ended less than 16 intervals ago.
    #[cold]
    fn start_dropping<S: Source>(
        &mut self,
        params: &Params,
        now: Nanos,
        queue: &mut S,
        mut packet: S::Packet,
    ) -> Option<S::Packet> {
        let leaving = if params.ecn && queue.mark(&mut packet, Mark::NotDropped) {
            Some(packet)
        } else {
            queue.drop(packet);
            let next = self.pop(queue);
            if let Some(next) = &next {
                self.is_above_target(params, now, queue.backlog(), next.enqueued());
            }
            next
        };
        let delta = self.count.saturating_sub(self.lastcount);
        if delta > 1 && self.recent(params.interval, now) {
            self.count = delta;
            self.approach_root();
        } else {
            (self.count, self.inverse_root) = (1, u16::MAX);
        }
        self.drop_next = self.after(now, params);
        self.lastcount = self.count;
        self.dropping = true;
        leaving
    }

    /// The time of the drop that follows one at `t`.
    fn after(&self, t: Nanos, params: &Params) -> Nanos {
        match params.law {
            ControlLaw::Newton => {
                let interval = u128::from(params.interval.0 >> TICK_BITS);
                let step = u64::try_from((interval * u128::from(self.inverse_root)) >> 16).unwrap_or(u64::MAX);
                let ticks = (t.0 >> TICK_BITS).saturating_add(step);
                Nanos(ticks.min(u64::MAX >> TICK_BITS) << TICK_BITS)
            }
            ControlLaw::Exact => exactly_after(t, params.interval, self.count),
        }
    }

    /// One step of Newton's method for 1 / sqrt(count): `x (3 - count x^2) / 2`, in fixed point. Where it would not converge,
    /// after `count` was raised by many drops at a time, the root is taken instead.
    fn approach_root(&mut self) {
        let x = u64::from(self.inverse_root) << 16;
        let square = (x * x) >> 32;
        self.inverse_root = match (3_u64 << 32).checked_sub(u64::from(self.count) * square) {
            Some(factor) if x > 0 && factor > 0 => {
                let next = ((factor >> 2) * x) >> 47;
                u16::try_from(next).unwrap_or(u16::MAX)
            }
            _ => u16::try_from(((1_u64 << 32) / u64::from(self.count.max(1))).isqrt()).unwrap_or(u16::MAX),
        };
    }
}

/// `t + interval / sqrt(count)`, in integers and rounded down: `interval / sqrt(count)` is
/// `sqrt(interval^2 / count)`, of which the integer root is exact.
#[inline]
fn exactly_after(t: Nanos, interval: Nanos, count: u32) -> Nanos {
    let count = count.max(1);
    match u32::try_from(interval.0) {
        Ok(short) => t + Nanos((u64::from(short) * u64::from(short) / u64::from(count)).isqrt()),
        Err(_) => t + inverse_root(interval, count),
    }
}

/// `interval / sqrt(count)` of an interval above four seconds, whose square takes more than 64 bits.
#[cold]
fn inverse_root(interval: Nanos, count: u32) -> Nanos {
    let squared = u128::from(interval.0) * u128::from(interval.0) / u128::from(count);
    Nanos(u64::try_from(squared.isqrt()).expect("the root of a square of 64 bits has 64 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// In 64 bits as in 128, to the last bit and beyond it.
        #[test]
        fn short_and_long_intervals_have_one_law(
            interval in prop_oneof![0..=u64::from(u32::MAX), u64::from(u32::MAX) - 9..1 << 33, any::<u64>()],
            count in prop_oneof![1..100_u32, 1..=u32::MAX],
        ) {
            let step = exactly_after(Nanos::ZERO, Nanos(interval), count);
            prop_assert_eq!(step, inverse_root(Nanos(interval), count));
        }
    }

    #[test]
    fn the_exact_law_is_the_inverse_square_root() {
        let after = |count| exactly_after(Nanos::ZERO, Nanos::from_millis(100), count).0;
        assert_eq!([after(1), after(2), after(4), after(100)], [100_000_000, 70_710_678, 50_000_000, 10_000_000]);
        assert_eq!(after(u32::MAX), 1_525);
        assert_eq!(exactly_after(Nanos(u64::MAX), Nanos(u64::MAX), 0), Nanos(u64::MAX));
    }

    #[test]
    fn newtons_method_finds_the_root_in_the_end_and_is_ahead_at_first() {
        let mut state = State { count: 1, inverse_root: u16::MAX, ..State::default() };
        let mut roots = vec![];
        for _ in 0..10_000 {
            state.count += 1;
            state.approach_root();
            roots.push(state.inverse_root);
        }
        // 0.5 and not 0.71, then 0.56 and not 0.58.
        assert_eq!(roots[..2], [32_769, 36_864]);
        assert!(roots[98].abs_diff(6_553) < 20 && roots[9_998].abs_diff(655) < 3, "{} {}", roots[98], roots[9_998]);
        // Counts that jump are caught up with.
        state.count = 4_000_000;
        state.approach_root();
        assert!(state.inverse_root.abs_diff(32) < 2, "{}", state.inverse_root);
        for (inverse_root, count) in [(0, 64), (u16::MAX, 1 << 20)] {
            let mut state = State { count, inverse_root, ..State::default() };
            state.approach_root();
            assert_eq!(u32::from(state.inverse_root), 65_536 / count.isqrt());
        }
    }
}
