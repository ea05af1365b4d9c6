//! The token bucket: how much may be sent by now.
//!
//! `sch_tbf.c` states the rule that this module keeps: for every interval, the packets sent in it satisfy
//! `s_i + ... + s_k <= burst + rate * (t_k - t_i)`.
//!
//! The level is kept in nanobits (10^-9 bit), of which a rate of *r* bits a second earns exactly *r* a nanosecond. So
//! earning is a multiplication without remainder and nothing is ever rounded away; only the answer to "when" divides,
//! and rounds up.

use crate::units::{NANOS_PER_SECOND, Nanos, Rate, Size};

/// Nanobits in a byte.
const PER_BYTE: i64 = 8 * NANOS_PER_SECOND.cast_signed();

/// The largest burst: 256 MiB. Keeps every level, earned or owed, within 63 bits.
pub const MAX_BURST: Size = Size(256 << 20);

/// The deepest debt, 512 MiB: what is owed beyond is forgiven. A bucket that pays only in credit never owes more than a
/// packet; that of a group pays also for what its members send on guarantees of their own, while it is in debt itself.
const MAX_DEBT: i64 = (512 << 20) * PER_BYTE;

/// The largest packet that a bucket charges for: 16 MiB. No network carries one; a hostile capture may claim one.
pub const MAX_PACKET: u32 = 16 << 20;

/// A token bucket: fills at a rate up to a burst, pays for packets, and may owe.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// Nanobits to spend; negative when in debt. At most `burst`.
    level: i64,
    /// When `level` was true.
    updated: Nanos,
    /// Nanobits earned in a nanosecond: the rate in bits a second.
    rate: i64,
    /// Nanobits that the bucket holds when full.
    burst: i64,
    /// Nanoseconds that fill it from the deepest debt.
    fill: u64,
}

// What is earned in less time than it takes to fill the bucket can be counted, and so can the level that it leads to.
const _: () = assert!(2 * MAX_BURST.0.cast_signed() * PER_BYTE <= i64::MAX - MAX_DEBT);

impl Bucket {
    /// A full bucket. A burst above [`MAX_BURST`] counts as that.
    #[must_use]
    pub fn new(rate: Rate, burst: Size, now: Nanos) -> Self {
        let rate = rate.bits_per_second().cast_signed();
        let burst = capacity(burst);
        let fill = (MAX_DEBT + burst).unsigned_abs().div_ceil(rate.unsigned_abs());
        Self { level: burst, updated: now, rate, burst, fill }
    }

    /// Another rate and burst from `now` on. What was earned or is owed by then stays, in bytes, up to the new burst.
    pub fn set(&mut self, rate: Rate, burst: Size, now: Nanos) {
        self.refill(now);
        let full = Self::new(rate, burst, self.updated);
        *self = Self { level: self.level.min(full.level), ..full };
    }

    /// True if the bucket fills at `rate` up to `burst`.
    #[must_use]
    pub fn fills_at(&self, rate: Rate, burst: Size) -> bool {
        self.rate == rate.bits_per_second().cast_signed() && self.burst == capacity(burst)
    }

    /// The rate that the bucket fills at.
    ///
    /// # Panics
    ///
    /// Never: it was made from a rate.
    #[must_use]
    pub fn rate(&self) -> Rate {
        Rate::from_bits_per_second(self.rate.unsigned_abs()).expect("made from a rate")
    }

    /// Earns what is due by `now`. A clock that stands still or runs backwards earns nothing.
    #[inline]
    pub fn refill(&mut self, now: Nanos) {
        // Packets of a batch share their time, and come at random: no branch.
        let elapsed = (now - self.updated).0;
        let level = self.level.wrapping_add(elapsed.cast_signed().wrapping_mul(self.rate)).min(self.burst);
        self.level = if elapsed < self.fill { level } else { self.burst };
        self.updated = self.updated.max(now);
    }

    /// True if nothing is owed, as of the last refill: an HTB class may send then (`htb_class_mode`).
    #[inline]
    #[must_use]
    pub fn in_credit(&self) -> bool {
        self.level >= 0
    }

    /// True if the bucket can pay that at once, as of the last refill: a TBF may send then.
    #[inline]
    #[must_use]
    pub fn affords(&self, cost: Cost) -> bool {
        self.level >= cost.0
    }

    /// Pays, into debt if need be; true if nothing is owed then.
    #[inline]
    pub fn pay(&mut self, cost: Cost) -> bool {
        self.level -= cost.0;
        let credit = self.in_credit();
        if !credit {
            self.level = self.level.max(-MAX_DEBT);
        }
        credit
    }

    /// True if this bucket holds less than the other, in bytes, as of the last refill of each.
    #[must_use]
    pub fn holds_less_than(&self, other: &Self) -> bool {
        self.level < other.level
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
        bucket.level / bucket.rate
    }

    fn reaches(&self, level: i64) -> Nanos {
        let missing = (level - self.level).max(0).unsigned_abs();
        self.updated + Nanos(missing.div_ceil(self.rate.unsigned_abs()))
    }
}

/// Nanobits that a bucket of this burst holds.
fn capacity(burst: Size) -> i64 {
    burst.0.min(MAX_BURST.0).cast_signed() * PER_BYTE
}

/// What a packet takes from a bucket, in nanobits: at most 1.4 * 10^17.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost(i64);

impl Cost {
    /// The cost of `len` bytes; a length above [`MAX_PACKET`] counts as that.
    #[inline]
    #[must_use]
    pub fn of(len: u32) -> Self {
        Self(i64::from(len.min(MAX_PACKET)) * PER_BYTE)
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
