//! Sojourn times by powers of two: few enough numbers to be sent anywhere, with bounds that are the same everywhere.

use serde::{Deserialize, Serialize};

use super::{LaneHistogram, middle_of};

/// How many sojourns were in each octave, and what they add up to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Octaves {
    /// Sojourns below each bound and not below the one before it, then those that are not below the last. Empty: none.
    pub counts: Vec<u64>,
    /// All sojourns together in microseconds, within 1.6 %.
    pub sum_us: u64,
}

impl Octaves {
    /// The logarithm of the first bound, 1,024 ns.
    const FIRST: u32 = 10;

    /// The bounds, nanoseconds: powers of two from 1.024 µs to 1.07 s.
    pub const BOUNDS_NS: [u64; 21] = {
        let mut bounds = [1 << Self::FIRST; 21];
        let mut octave = 1;
        while octave < bounds.len() {
            bounds[octave] = bounds[octave - 1] * 2;
            octave += 1;
        }
        bounds
    };

    /// Sojourns below each bound, then all of them.
    pub fn cumulative(&self) -> impl Iterator<Item = u64> {
        let counts = self.counts.iter().copied().chain(std::iter::repeat(0)).take(Self::BOUNDS_NS.len() + 1);
        counts.scan(0_u64, |below, count| {
            *below = below.saturating_add(count);
            Some(*below)
        })
    }
}

impl LaneHistogram {
    /// The sojourns by powers of two.
    #[must_use]
    pub fn octaves(&self) -> Octaves {
        if self.buckets.is_empty() {
            return Octaves::default();
        }
        let mut counts = vec![0; Octaves::BOUNDS_NS.len() + 1];
        let mut sum_ns = 0_u128;
        for &(bucket, count) in &self.buckets {
            // A bucket is within one octave, and so is its middle.
            let middle = middle_of(bucket);
            counts[Octaves::BOUNDS_NS.partition_point(|&bound| bound <= middle)] += count;
            sum_ns += u128::from(middle) * u128::from(count);
        }
        Octaves { counts, sum_us: u64::try_from(sum_ns / 1_000).unwrap_or(u64::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Histograms;

    #[test]
    fn each_sojourn_is_between_its_bounds() {
        let mut all = Histograms::new(2);
        let values = [0, 1_023, 1_024, 2_047, 2_048, 5_000_000, (1 << 30) - 1, 1 << 30, u64::MAX];
        values.iter().for_each(|&ns| all.record(0, ns));
        let octaves = all.lane(0).octaves();
        let below: Vec<_> = octaves.cumulative().collect();
        assert_eq!(below.len(), 22);
        for (bound, below) in Octaves::BOUNDS_NS.iter().zip(&below) {
            assert_eq!(*below, values.iter().filter(|&ns| ns < bound).count() as u64, "{bound}");
        }
        assert_eq!(below[21], 9);
        assert_eq!(all.lane(1).octaves(), Octaves::default());
        assert!(all.lane(1).octaves().cumulative().eq([0; 22]));
    }

    #[test]
    fn the_sum_is_within_the_precision_of_buckets() {
        let mut all = Histograms::new(1);
        (1..=10_000_u64).for_each(|n| all.record(0, n * 1_000));
        let exact = 10_000 * 10_001 / 2;
        assert!(all.lane(0).octaves().sum_us.abs_diff(exact) * 1_000 < exact * 16);
    }
}
