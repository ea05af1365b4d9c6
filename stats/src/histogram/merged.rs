//! Several lanes as one.

use super::{BUCKETS, LaneHistogram};

impl LaneHistogram {
    /// What all these lanes recorded, as if it had been one.
    #[must_use]
    pub fn merged(lanes: impl IntoIterator<Item = Self>) -> Self {
        let mut counts = [0; BUCKETS];
        let mut max = 0;
        for lane in lanes {
            lane.buckets.iter().for_each(|&(bucket, count)| counts[usize::from(bucket)] += count);
            max = max.max(lane.max);
        }
        let buckets = (0..).zip(counts).filter(|&(_, count)| count > 0).collect();
        Self { buckets, max }
    }

    /// Frames that left at the time at which they came.
    #[must_use]
    pub fn unwaited(&self) -> u64 {
        self.buckets.first().filter(|&&(bucket, _)| bucket == 0).map_or(0, |&(_, count)| count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Histograms;

    #[test]
    fn lanes_together_are_as_one_lane() {
        let mut histograms = Histograms::new(5);
        for ns in (0..200_u64).map(|n| n * n * n) {
            histograms.record(usize::try_from(ns % 3).unwrap(), ns);
            histograms.record(4, ns);
        }
        let merged = LaneHistogram::merged((0..4).map(|lane| histograms.lane(lane)));
        assert_eq!(merged, histograms.lane(4));
        assert_eq!(merged.unwaited(), 1);
        assert_eq!(LaneHistogram::merged([]), LaneHistogram::default());
        assert_eq!(LaneHistogram::default().unwaited(), 0);
    }
}
