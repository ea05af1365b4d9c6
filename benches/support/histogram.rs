//! Sojourn times of many lanes.

use portlane_stats::Histograms;

use super::packets::Random;
use super::{Element, one_by_one};

const LANES: usize = 64;

/// Up to 16 ms, every octave as often as the others.
pub(super) fn record() -> Box<dyn Element> {
    let mut random = Random::default();
    let sojourns =
        (0..4_096).map(|_| (random.next() as usize % LANES, u64::from(random.next() >> 8) >> (random.next() % 24)));
    let mut histograms = Histograms::new(LANES);
    one_by_one(sojourns.collect(), move |&(lane, ns)| histograms.record(lane, ns))
}
