//! The token bucket: how much may be sent by now.
//!
//! `sch_tbf.c` states the rule that this module keeps: for every interval, the packets sent in it satisfy
//! `s_i + ... + s_k <= burst + rate * (t_k - t_i)`.
//!
//! What is missing in the bucket is kept in nanobits (10^-9 bit), of which a rate of *r* bits a second earns exactly *r* a
//! nanosecond. So earning is a multiplication without remainder and nothing is ever rounded away; only the answer to "when"
//! divides, and rounds up.

use crate::params::Framing;
use crate::units::{NANOS_PER_SECOND, Nanos, Rate, Size};

/// Nanobits in a byte.
const PER_BYTE: u64 = 8 * NANOS_PER_SECOND;

/// The largest burst: 256 MiB. Keeps what may be missing within 63 bits.
pub const MAX_BURST: Size = Size(256 << 20);

/// The deepest debt, 512 MiB: what is owed beyond is forgiven. A bucket that pays only in credit never owes more than a
/// packet; that of a group pays also for what its members send on guarantees of their own, while it is in debt itself.
const MAX_DEBT: u64 = (512 << 20) * PER_BYTE;

/// The largest packet that a bucket charges for: 16 MiB. No network carries one; a hostile capture may claim one.
pub const MAX_PACKET: u32 = 16 << 20;

/// A token bucket: fills at a rate up to a burst, pays for packets, and may owe.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// Nanobits that would fill it: more than `burst` when in debt.
    missing: u64,
    /// When that was true.
    updated: Nanos,
    /// Nanobits earned in a nanosecond: the rate in bits a second.
    rate: u64,
    /// Nanobits that the bucket holds when full.
    burst: u64,
    /// Nanoseconds that fill it from the deepest debt.
    fill: u64,
}

// What is earned in the time that it takes to fill the bucket can be counted: that, and less than a nanosecond's.
const _: () = assert!(MAX_DEBT + MAX_BURST.0 * PER_BYTE <= u64::MAX - Rate::MAX.bits_per_second());

impl Bucket {
    /// A full bucket. A burst above [`MAX_BURST`] counts as that.
    #[must_use]
    pub fn new(rate: Rate, burst: Size, now: Nanos) -> Self {
        let (rate, burst) = (rate.bits_per_second(), capacity(burst));
        Self { missing: 0, updated: now, rate, burst, fill: (MAX_DEBT + burst).div_ceil(rate) }
    }

    /// Another rate and burst from `now` on. What was earned or is owed by then stays, in bytes, up to the new burst.
    pub fn set(&mut self, rate: Rate, burst: Size, now: Nanos) {
        self.refill(now);
        let full = Self::new(rate, burst, self.updated);
        *self = Self { missing: (self.missing + full.burst).saturating_sub(self.burst), ..full };
    }

    /// True if the bucket fills at `rate` up to `burst`.
    #[must_use]
    pub fn fills_at(&self, rate: Rate, burst: Size) -> bool {
        self.rate == rate.bits_per_second() && self.burst == capacity(burst)
    }

    /// The rate that the bucket fills at.
    ///
    /// # Panics
    ///
    /// Never: it was made from a rate.
    #[must_use]
    pub fn rate(&self) -> Rate {
        Rate::from_bits_per_second(self.rate).expect("made from a rate")
    }

    /// Earns what is due by `now`. A clock that stands still or runs backwards earns nothing.
    #[inline]
    pub fn refill(&mut self, now: Nanos) {
        // Packets of a batch share their time, and come at random: no branch for that. Zero if the clock ran backwards.
        let elapsed = (now - self.updated).0;
        self.missing = self.missing.saturating_sub(elapsed.min(self.fill) * self.rate);
        self.updated = self.updated.max(now);
    }

    /// As [`refill`](Self::refill), for a bucket that many pay from: mostly it has earned by `now` already.
    #[inline]
    pub(crate) fn refill_once(&mut self, now: Nanos) {
        if self.updated != now {
            self.refill(now);
        }
    }

    /// True if nothing is owed, as of the last refill: an HTB class may send then (`htb_class_mode`).
    #[inline]
    #[must_use]
    pub fn in_credit(&self) -> bool {
        self.missing <= self.burst
    }

    /// True if the bucket can pay that at once, as of the last refill: a TBF may send then.
    #[inline]
    #[must_use]
    pub fn affords(&self, cost: Cost) -> bool {
        self.missing + cost.0 <= self.burst
    }

    /// What [`pay`](Self::pay) does if nothing was owed before.
    #[inline]
    pub(crate) fn spend(&mut self, cost: Cost) -> bool {
        debug_assert!(self.in_credit(), "the deepest debt is not looked at");
        self.missing += cost.0;
        self.in_credit()
    }

    /// Pays, into debt if need be; true if nothing is owed then.
    #[inline]
    pub fn pay(&mut self, cost: Cost) -> bool {
        self.missing += cost.0;
        let credit = self.in_credit();
        if !credit {
            self.missing = self.missing.min(self.burst + MAX_DEBT);
        }
        credit
    }

    /// True if this bucket holds less than the other, in bytes, as of the last refill of each.
    #[must_use]
    pub fn holds_less_than(&self, other: &Self) -> bool {
        self.level() < other.level()
    }

    /// The first time at which the bucket is in credit.
    #[must_use]
    pub fn credit_at(&self) -> Nanos {
        self.reaches(0)
    }

    /// The first time at which the bucket affords that; `None` if it is more than its burst.
    #[must_use]
    pub fn affordable_at(&self, cost: Cost) -> Option<Nanos> {
        (cost.0 <= self.burst).then(|| self.reaches(cost.0))
    }

    /// The credit at `now`, as the time it takes to earn it, in nanoseconds; negative while in debt. The unit of tc's
    /// `tokens`, which counts in ticks of 64 ns.
    #[must_use]
    pub fn credit_ns(&self, now: Nanos) -> i64 {
        let mut bucket = self.clone();
        bucket.refill(now);
        bucket.level() / bucket.rate.cast_signed()
    }

    /// Nanobits to spend; negative when in debt.
    fn level(&self) -> i64 {
        self.burst.cast_signed() - self.missing.cast_signed()
    }

    /// When there will be as much to spend, which is no more than a burst.
    fn reaches(&self, level: u64) -> Nanos {
        let missing = (self.missing + level).saturating_sub(self.burst);
        self.updated + Nanos(missing.div_ceil(self.rate))
    }
}

/// Nanobits that a bucket of this burst holds.
fn capacity(burst: Size) -> u64 {
    burst.0.min(MAX_BURST.0) * PER_BYTE
}

/// What a packet takes from a bucket, in nanobits: at most 1.4 * 10^17, for 16 MiB and 64 kB of framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost(u64);

impl Cost {
    /// The cost of `len` bytes; a length above [`MAX_PACKET`] counts as that.
    #[inline]
    #[must_use]
    pub fn of(len: u32) -> Self {
        Self(u64::from(len.min(MAX_PACKET)) * PER_BYTE)
    }

    /// The cost of a packet of `len` bytes on a wire of this framing, likewise.
    #[inline]
    #[must_use]
    pub fn on_wire(framing: Framing, len: u32) -> Self {
        Self::on_wire_of_short(framing, len.min(MAX_PACKET))
    }

    /// The same of a packet that is known to be no longer than [`MAX_PACKET`].
    #[inline]
    pub(crate) fn on_wire_of_short(framing: Framing, len: u32) -> Self {
        debug_assert!(len <= MAX_PACKET, "what it costs is not counted");
        let bytes = (u64::from(len) + u64::from(framing.overhead)).max(u64::from(framing.mpu));
        Self(bytes * PER_BYTE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rate(bits: u64) -> Rate {
        Rate::from_bits_per_second(bits).unwrap()
    }

    #[test]
    fn no_token_is_lost_to_rounding_in_a_thousand_million_packets() {
        // A prime rate and sizes without a common factor, so that every remainder of a nanosecond occurs.
        let mut bucket = Bucket::new(rate(9_999_999_967), Size(1_514), Nanos::ZERO);
        bucket.pay(Cost::of(1_514));
        let (mut now, mut sent) = (Nanos::ZERO, 1_514_u64);
        for packet in 0..1_000_000_000_u64 {
            let len = if packet % 3 == 0 { 61 } else { 127 };
            now = bucket.affordable_at(Cost::of(len)).unwrap();
            bucket.refill(now);
            bucket.pay(Cost::of(len));
            sent += u64::from(len);
        }
        let earned_bits = u128::from(now.0) * 9_999_999_967 / 1_000_000_000;
        let sent_bits = u128::from(sent - 1_514) * 8;
        assert!(sent_bits <= earned_bits, "more left than was earned");
        // Each wait is rounded up to a whole nanosecond, in which 10 bits are earned and kept.
        assert!(earned_bits - sent_bits < 11, "{} bits lost", earned_bits - sent_bits);
    }

    #[test]
    fn a_simulated_year_does_not_drift() {
        let mut bucket = Bucket::new(rate(64_000), Size(1_600), Nanos::ZERO);
        let year = Nanos::from_secs(365 * 86_400);
        let (mut now, mut sent) = (Nanos::ZERO, 0_u64);
        while now < year {
            bucket.refill(now);
            bucket.pay(Cost::of(9_000));
            sent += 9_000;
            now = bucket.credit_at();
        }
        let expected = 8 * (now.0 / 1_000_000) + 1_600; // 64 kbit is 8 bytes a millisecond
        assert!(sent.abs_diff(expected) <= 1, "{sent} bytes, expected {expected}");
    }

    #[test]
    fn a_clock_that_runs_backwards_earns_nothing() {
        let mut bucket = Bucket::new(rate(8_000_000_000), Size(1_000), Nanos(500));
        bucket.pay(Cost::of(1_000));
        bucket.refill(Nanos(0));
        assert!(!bucket.affords(Cost::of(1)));
        bucket.refill(Nanos(501));
        assert!(bucket.affords(Cost::of(1)) && !bucket.affords(Cost::of(2)));
    }

    #[test]
    fn more_than_the_burst_is_never_affordable() {
        let bucket = Bucket::new(rate(1_000), Size(1_000), Nanos::ZERO);
        assert_eq!(bucket.affordable_at(Cost::of(1_001)), None);
        assert_eq!(bucket.affordable_at(Cost::of(1_000)), Some(Nanos::ZERO));
    }

    proptest! {
        /// The conformance rule of `sch_tbf.c`, over every interval.
        #[test]
        fn no_interval_passes_more_than_burst_and_rate(
            bits in 1..400_000_000_000_u64,
            burst in 1..100_000_u64,
            wishes in prop::collection::vec((0..2_000_000_u64, 1..9_001_u32), 1..60),
        ) {
            let mut bucket = Bucket::new(rate(bits), Size(burst), Nanos::ZERO);
            let mut now = Nanos::ZERO;
            let mut sent = Vec::new();
            for (gap, len) in wishes {
                now = now + Nanos(gap);
                bucket.refill(now);
                if bucket.affords(Cost::of(len)) {
                    bucket.pay(Cost::of(len));
                    sent.push((now, u128::from(len) * 8));
                }
            }
            for (i, &(start, _)) in sent.iter().enumerate() {
                let mut total = 0;
                for &(end, len) in &sent[i..] {
                    total += len;
                    let earned = u128::from((end - start).0) * u128::from(bits) / 1_000_000_000;
                    prop_assert!(total <= u128::from(burst) * 8 + earned + 1);
                }
            }
        }

        /// The answer to "when" is the first nanosecond at which it is true.
        #[test]
        fn when_is_exact(bits in 1..Rate::MAX.bits_per_second(), burst in 1..MAX_BURST.0, len in 1..MAX_PACKET) {
            let mut bucket = Bucket::new(rate(bits), Size(burst), Nanos(7));
            bucket.pay(Cost::of(len));
            let at = bucket.credit_at();
            let mut late = bucket.clone();
            late.refill(at);
            prop_assert!(late.in_credit());
            if at > Nanos(7) {
                bucket.refill(at - Nanos(1));
                prop_assert!(!bucket.in_credit());
            }
        }
    }
}
