//! Sojourn times, in nanoseconds, of all lanes.
//!
//! Each lane has a fixed log-linear array: values below 64 ns are exact, each octave above has 32 buckets, up to
//! 2^36 ns (68.7 s); longer sojourns count in the last bucket. A quantile is reported as the middle of its bucket and so is
//! off by at most 1/64 (1.6 %). The maximum is kept apart and exact, whatever its size.
//!
//! [`Histograms`] holds those of all lanes for whoever records; [`LaneHistogram`] is a copy of one lane's, to be asked.

mod merged;
mod octaves;
mod percentiles;
mod store;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

pub use octaves::Octaves;
pub use percentiles::Percentiles;
pub use store::Histograms;

/// Each octave is cut in 2^5 buckets.
const SUB_BITS: u32 = 5;
const SUBS: u64 = 1 << SUB_BITS;

/// Buckets of a lane: 32 exact ones, then 31 octaves of 32, the first of which is exact too.
const BUCKETS: usize = 1024;

/// The largest value with a bucket of its own.
const LARGEST: u64 = (1 << 36) - 1;

/// One lane's histogram, owned and sparse: what a worker sends to whoever makes the report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaneHistogram {
    /// Used buckets, ascending, with their counts.
    buckets: Vec<(u16, u64)>,
    max: u64,
}

/// What a report says of a lane's sojourn times. Nanoseconds; all 0 when `count` is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Half of the frames took no longer.
    pub p50: u64,
    /// 90 % of the frames took no longer.
    pub p90: u64,
    /// 99 % of the frames took no longer.
    pub p99: u64,
    /// 99.9 % of the frames took no longer.
    pub p999: u64,
    /// The longest, exact.
    pub max: u64,
    /// Frames measured.
    pub count: u64,
}

impl LaneHistogram {
    /// Of [copied](Histograms::copy) buckets, and the maximum.
    #[must_use]
    pub fn of(buckets: &[(u16, u64)], max: u64) -> Self {
        Self { buckets: buckets.to_vec(), max }
    }

    /// With `count` more frames that did not wait at all.
    #[must_use]
    pub fn with_zeros(mut self, count: u64) -> Self {
        match self.buckets.first_mut() {
            Some((0, zeros)) => *zeros += count,
            _ if count > 0 => self.buckets.insert(0, (0, count)),
            _ => {}
        }
        self
    }

    /// Frames recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|&(_, count)| count).sum()
    }

    /// Frames that waited at all.
    #[must_use]
    pub fn delayed(&self) -> u64 {
        self.buckets.iter().filter(|&&(bucket, _)| bucket > 0).map(|&(_, count)| count).sum()
    }

    /// The longest sojourn in nanoseconds, exact; 0 if there is none.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The smallest sojourn, in nanoseconds, that at least `per_mille` thousandths of the frames did not exceed (nearest
    /// rank), within 1.6 %. 0 if nothing was recorded. Sojourns beyond 68.7 s are told apart by [`LaneHistogram::max`] only.
    #[must_use]
    pub fn quantile(&self, per_mille: u16) -> u64 {
        let wanted = u128::from(self.count()) * u128::from(per_mille.min(1000));
        let rank = wanted.div_ceil(1000).max(1);
        let mut seen = 0;
        for &(bucket, count) in &self.buckets {
            seen += u128::from(count);
            if seen >= rank {
                return self.value_of(bucket);
            }
        }
        0
    }

    /// The quantiles that reports show.
    #[must_use]
    pub fn quantiles(&self) -> Quantiles {
        Quantiles {
            p50: self.quantile(500),
            p90: self.quantile(900),
            p99: self.quantile(990),
            p999: self.quantile(999),
            max: self.max,
            count: self.count(),
        }
    }

    /// The same as an `hdrhistogram` of three significant digits, for its whole vocabulary of statistics. Takes some
    /// 200 kB, so make it for the lanes that are asked for.
    #[must_use]
    pub fn to_hdr(&self) -> Histogram<u64> {
        let mut hdr = Histogram::new_with_bounds(1, LARGEST, 3)
            .expect("1 < 2^36 and three digits are within hdrhistogram's range");
        for &(bucket, count) in &self.buckets {
            hdr.saturating_record_n(self.value_of(bucket), count);
        }
        hdr
    }

    /// The value that stands for a bucket: never more than was recorded.
    fn value_of(&self, bucket: u16) -> u64 {
        middle_of(bucket).min(self.max)
    }
}

/// The bucket of a value. Below 2^6 it is the value itself; above, five bits after the leading one choose among the 32
/// buckets of the octave.
#[inline]
fn bucket_of(ns: u64) -> usize {
    let ns = ns.min(LARGEST);
    let shift = (ns >> SUB_BITS | 1).ilog2();
    let bucket = (u64::from(shift) << SUB_BITS) + (ns >> shift);
    #[expect(clippy::cast_possible_truncation, reason = "at most 30 * 32 + 63 = 1023")]
    {
        bucket as usize
    }
}

/// The middle of a bucket, rounded up: the inverse of [`bucket_of`].
fn middle_of(bucket: u16) -> u64 {
    let bucket = u64::from(bucket);
    let octave = bucket >> SUB_BITS;
    if octave < 2 {
        return bucket;
    }
    let shift = octave - 1;
    let low = (SUBS + bucket % SUBS) << shift;
    low + (1 << shift) / 2
}

#[cfg(test)]
mod tests;
