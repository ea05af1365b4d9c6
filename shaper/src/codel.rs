//! CoDel: drops when the standing queue has been too long for too long (RFC 8289).
//!
//! Three structs, as in Linux' `codel.h`: what was asked for ([`Params`]), where the algorithm stands ([`State`]), and
//! what happened (the caller's counters). The algorithm knows no queue: it is lent one as a [`Source`].

use crate::units::Nanos;

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
}

impl Default for Params {
    /// tc's defaults of `codel`, for Ethernet's MTU of 1500 and its header of 14 bytes.
    fn default() -> Self {
        Self { target: Nanos::from_millis(5), interval: Nanos::from_millis(100), ecn: false, mtu: 1_514 }
    }
}

/// Where the algorithm stands. The names are the RFC's (section 5.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct State {
    /// When the delay will have been above target for an interval; `None` while it is below.
    pub first_above_time: Option<Nanos>,
    /// In the dropping state, the time of the next drop; afterwards that of the drop which was not made.
    pub drop_next: Nanos,
    /// Drops since the dropping state was entered.
    pub count: u32,
    /// `count` when the dropping state was last entered.
    pub lastcount: u32,
    /// In the dropping state.
    pub dropping: bool,
    /// Delay of the packet looked at last.
    pub ldelay: Nanos,
}

/// A packet as CoDel sees it.
pub trait Packet {
    /// When it was enqueued.
    fn enqueued(&self) -> Nanos;
}

/// The queue that CoDel watches, and the fate of packets that it condemns.
pub trait Source {
    /// What the queue holds.
    type Packet: Packet;

    /// Takes the oldest packet.
    fn pop(&mut self) -> Option<Self::Packet>;

    /// Bytes in the queue, without what was taken.
    fn backlog(&self) -> u64;

    /// The packet is dropped.
    fn drop(&mut self, packet: Self::Packet);

    /// Marks the packet "congestion experienced"; false if its flow does not understand that.
    fn mark(&mut self, packet: &mut Self::Packet) -> bool;
}

impl State {
    /// Takes the packet that is to leave now, dropping and marking as RFC 8289 section 5.5 says. `None` if the queue
    /// is empty, or has become so. The last packet of a queue is never dropped.
    pub fn dequeue<S: Source>(&mut self, params: &Params, now: Nanos, queue: &mut S) -> Option<S::Packet> {
        let (packet, ok_to_drop) = self.next(params, now, queue);
        let Some(packet) = packet else {
            self.dropping = false;
            return None;
        };
        if self.dropping {
            self.continue_dropping(params, now, queue, packet, ok_to_drop)
        } else if ok_to_drop {
            self.start_dropping(params, now, queue, packet)
        } else {
            Some(packet)
        }
    }

    /// The RFC's `dodequeue`: the next packet, and whether the delay has been above target for an interval.
    #[inline]
    fn next<S: Source>(&mut self, params: &Params, now: Nanos, queue: &mut S) -> (Option<S::Packet>, bool) {
        let Some(packet) = queue.pop() else {
            self.first_above_time = None;
            return (None, false);
        };
        self.ldelay = now - packet.enqueued();
        if self.ldelay < params.target || queue.backlog() <= u64::from(params.mtu) {
            self.first_above_time = None;
            return (Some(packet), false);
        }
        match self.first_above_time {
            None => {
                self.first_above_time = Some(now + params.interval);
                (Some(packet), false)
            }
            Some(time) => (Some(packet), now >= time),
        }
    }

    /// In the dropping state: leave it, wait for the next drop, or drop until the schedule is met.
    #[cold]
    fn continue_dropping<S: Source>(
        &mut self,
        params: &Params,
        now: Nanos,
        queue: &mut S,
        packet: S::Packet,
        ok_to_drop: bool,
    ) -> Option<S::Packet> {
        let mut current = Some(packet);
        self.dropping = ok_to_drop;
        while self.dropping && now >= self.drop_next {
            let mut packet = current?;
            self.count = self.count.saturating_add(1);
            if params.ecn && queue.mark(&mut packet) {
                self.drop_next = control_law(self.drop_next, params.interval, self.count);
                return Some(packet);
            }
            queue.drop(packet);
            let (next, ok_to_drop) = self.next(params, now, queue);
            current = next;
            self.dropping = ok_to_drop;
            if ok_to_drop {
                self.drop_next = control_law(self.drop_next, params.interval, self.count);
            }
        }
        current
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
        let leaving = if params.ecn && queue.mark(&mut packet) {
            Some(packet)
        } else {
            queue.drop(packet);
            self.next(params, now, queue).0
        };
        let delta = self.count.saturating_sub(self.lastcount);
        let recently = now - self.drop_next < Nanos(params.interval.0.saturating_mul(16));
        self.count = if delta > 1 && recently { delta } else { 1 };
        self.drop_next = control_law(now, params.interval, self.count);
        self.lastcount = self.count;
        self.dropping = true;
        leaving
    }
}

/// `t + interval / sqrt(count)` (section 5.3), in integers and rounded down: `interval / sqrt(count)` is
/// `sqrt(interval^2 / count)`, of which the integer root is exact.
#[inline]
fn control_law(t: Nanos, interval: Nanos, count: u32) -> Nanos {
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
            let step = control_law(Nanos::ZERO, Nanos(interval), count);
            prop_assert_eq!(step, inverse_root(Nanos(interval), count));
        }
    }

    #[test]
    fn the_control_law_is_the_inverse_square_root() {
        let after = |count| control_law(Nanos::ZERO, Nanos::from_millis(100), count).0;
        assert_eq!([after(1), after(2), after(4), after(100)], [100_000_000, 70_710_678, 50_000_000, 10_000_000]);
        assert_eq!(after(u32::MAX), 1_525);
        assert_eq!(control_law(Nanos(u64::MAX), Nanos(u64::MAX), 0), Nanos(u64::MAX));
    }
}
