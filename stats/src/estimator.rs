//! Rates as the kernel estimates them (`net/core/gen_estimator.c`): an exponentially weighted moving average in fixed point.
//!
//! An [`Estimator`] is tc's `estimator 1sec 8sec`: every second an eighth of the difference between what has just passed and the
//! average so far is added to it. A rate that begins shows 12 % of itself after a second, 66 % after eight, 98 % after half a
//! minute; one that ends fades likewise.
//!
//! The kernel trusts its timer to come every second. Here what has passed is divided by the time that it took, and a sample that
//! comes late counts for all the seconds since the last.
//!
//! [`Estimators`] follows all lanes, and where it is wanted their [windows](crate::window), too.
//!
//! ```
//! use portlane_stats::counters::Volume;
//! use portlane_stats::estimator::Estimator;
//!
//! const SECOND: u64 = 1_000_000_000;
//! let mut estimator = Estimator::new(0, Volume::default());
//! for second in 1..=60 {
//!     estimator.sample(second * SECOND, Volume { packets: 1_000 * second, bytes: 1_514_000 * second });
//! }
//! assert_eq!(estimator.rate().packets_per_s, 999);
//! ```

use std::collections::BTreeMap;

use crate::counters::Volume;
use crate::lane::{LaneReport, Rate};
use crate::snapshot::Snapshot;
use crate::window::{Sampling, Window};

/// From one sample to the next, nanoseconds.
pub const INTERVAL_NS: u64 = 1_000_000_000;

/// A sample that comes by this much too soon counts all the same: timers are not exact.
const TOO_SOON_NS: u64 = INTERVAL_NS / 16;

/// A sample's weight is 2^-3: `ewma_log` of an interval of 1 s and a time constant of 8 s.
const EWMA_LOG: u32 = 3;

/// Binary digits after the point.
const POINT: u32 = 8;

/// After so many intervals an average has forgotten what was before.
const FORGOTTEN: u64 = 512;

/// The rate of one counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimator {
    sampled_ns: u64,
    counted: Volume,
    /// Averages with [`POINT`] binary digits: `avbps` and `avpps` of `struct net_rate_estimator`.
    bytes_per_s: u64,
    packets_per_s: u64,
}

impl Estimator {
    /// An estimator that begins when `counted` has been counted.
    #[must_use]
    pub const fn new(now_ns: u64, counted: Volume) -> Self {
        Self { sampled_ns: now_ns, counted, bytes_per_s: 0, packets_per_s: 0 }
    }

    /// Takes a sample, unless the last was less than a second ago. A counter that has begun anew is followed from there.
    pub fn sample(&mut self, now_ns: u64, counted: Volume) {
        let elapsed = now_ns.saturating_sub(self.sampled_ns);
        if elapsed < INTERVAL_NS - TOO_SOON_NS {
            return;
        }
        let intervals = ((elapsed + INTERVAL_NS / 2) / INTERVAL_NS).clamp(1, FORGOTTEN);
        let per_second = |now: u64, before: u64| {
            let scaled =
                (u128::from(now.saturating_sub(before)) << POINT) * u128::from(INTERVAL_NS) / u128::from(elapsed);
            u64::try_from(scaled).unwrap_or(u64::MAX)
        };
        let bytes = per_second(counted.bytes, self.counted.bytes);
        let packets = per_second(counted.packets, self.counted.packets);
        for _ in 0..intervals {
            self.bytes_per_s = moved(self.bytes_per_s, bytes);
            self.packets_per_s = moved(self.packets_per_s, packets);
        }
        (self.sampled_ns, self.counted) = (now_ns, counted);
    }

    /// The average, rounded down.
    #[must_use]
    pub const fn rate(&self) -> Rate {
        Rate { bytes_per_s: self.bytes_per_s >> POINT, packets_per_s: self.packets_per_s >> POINT }
    }
}

/// `est_timer`: both terms are shifted before they are subtracted.
const fn moved(average: u64, sample: u64) -> u64 {
    average - (average >> EWMA_LOG) + (sample >> EWMA_LOG)
}

/// Estimators for both elements of every lane, and its window if one is wanted, fed with one snapshot after the other.
#[derive(Debug, Default)]
pub struct Estimators {
    windows: Option<Sampling>,
    containers: BTreeMap<u32, Container>,
    unmatched: Option<[Lane; 2]>,
    round: u64,
}

#[derive(Debug)]
struct Container {
    id: String,
    lanes: [Lane; 2],
    /// When it was last seen.
    round: u64,
}

#[derive(Debug)]
struct Lane {
    /// Of what was sent, and of what was dequeued.
    elements: [Estimator; 2],
    window: Option<Window>,
}

impl Estimators {
    /// Estimators with a window for each lane, if one is wanted.
    #[must_use]
    pub fn new(windows: Option<Sampling>) -> Self {
        Self { windows, ..Self::default() }
    }

    /// Takes the snapshot as a sample, and puts the rates into it: `ratebps` and `ratepps` of both elements, and `rates` of the lane's
    /// window. A container that was not there before begins with 0, and with an empty window.
    pub fn observe(&mut self, snapshot: &mut Snapshot) {
        self.round += 1;
        let (now, windows) = (snapshot.time_ns, self.windows);
        for container in snapshot.containers.iter_mut().chain(&mut snapshot.leaving) {
            let begin = |lanes| Container { id: container.id.clone(), lanes, round: self.round };
            let mut lanes = [&mut container.ingress, &mut container.egress];
            let known = self.containers.remove(&container.number).filter(|known| known.id == container.id);
            let mut known =
                known.unwrap_or_else(|| begin(lanes.each_ref().map(|lane| Lane::begin(now, lane, windows))));
            known.round = self.round;
            known.lanes.iter_mut().zip(&mut lanes).for_each(|(rates, lane)| rates.observe(now, lane));
            self.containers.insert(container.number, known);
        }
        self.containers.retain(|_, known| known.round == self.round);
        let mut lanes = [&mut snapshot.unmatched.ingress, &mut snapshot.unmatched.egress];
        let known = self.unmatched.get_or_insert_with(|| lanes.each_ref().map(|lane| Lane::begin(now, lane, windows)));
        known.iter_mut().zip(&mut lanes).for_each(|(rates, lane)| rates.observe(now, lane));
    }
}

impl Lane {
    fn begin(now_ns: u64, lane: &LaneReport, windows: Option<Sampling>) -> Self {
        Self {
            elements: lane.traffic_control.each_ref().map(|of| Estimator::new(now_ns, of.left())),
            window: windows.map(|sampling| Window::new(sampling, now_ns, lane.counted())),
        }
    }

    fn observe(&mut self, now_ns: u64, lane: &mut LaneReport) {
        for (estimator, element) in self.elements.iter_mut().zip(&mut lane.traffic_control) {
            estimator.sample(now_ns, element.left());
            let Rate { bytes_per_s, packets_per_s } = estimator.rate();
            (element.ratebps, element.ratepps) = (bytes_per_s, packets_per_s);
        }
        if let Some(window) = &mut self.window {
            window.sample(now_ns, lane.counted());
            lane.rates = window.rates();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn volume(packets: u64) -> Volume {
        Volume { packets, bytes: packets * 1_000 }
    }

    /// What `est_timer` does with samples exactly a second apart, in its own terms: `brate` and `rate` are signed there.
    fn kernels(deltas: &[u64]) -> u64 {
        let mut average = 0_i64;
        for &delta in deltas {
            let (intvl_log, ewma_log) = (2, 3);
            let rate = i64::try_from(delta).unwrap() << (10 - intvl_log);
            average += (rate >> ewma_log) - (average >> ewma_log);
        }
        u64::try_from(average >> 8).unwrap()
    }

    #[test]
    fn every_second_is_as_in_the_kernel() {
        let deltas: Vec<u64> = (0..200).map(|n| if n < 100 { 625_000 + n * 7_919 % 1_001 } else { n % 3 }).collect();
        let mut estimator = Estimator::new(5, Volume::default());
        let (mut now, mut bytes) = (5, 0);
        for (second, delta) in deltas.iter().enumerate() {
            now += INTERVAL_NS;
            bytes += delta;
            estimator.sample(now, Volume { packets: 0, bytes });
            assert_eq!(estimator.rate().bytes_per_s, kernels(&deltas[..=second]), "second {second}");
        }
    }

    /// A TBF of 5 Mbit/s, busy for 16 s and then idle, as a kernel estimated it.
    #[test]
    fn a_recorded_kernel_estimated_the_same() {
        let recorded = include_str!("../tests/golden/estimator.txt");
        let mut estimator = Estimator::new(0, Volume::default());
        let mut samples = 0;
        for line in recorded.lines().filter(|line| !line.starts_with('#')) {
            let numbers: Vec<f64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
            let &[seconds, bytes, packets, bytes_per_s, packets_per_s] = numbers.as_slice() else { panic!("{line}") };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and not negative")]
            let [now, bytes, packets] = [seconds * 1e9, bytes, packets].map(|number| number as u64);
            estimator.sample(now, Volume { packets, bytes });
            let Rate { bytes_per_s: ours, packets_per_s: our_packets } = estimator.rate();
            assert!((ours as f64 - bytes_per_s).abs() < 0.02 * bytes_per_s, "{ours} at {line}");
            assert!((our_packets as f64 - packets_per_s).abs() < 0.02 * packets_per_s + 1.0, "{our_packets} at {line}");
            samples += 1;
        }
        assert_eq!(samples, 26);
    }

    #[test]
    fn a_sample_that_comes_late_counts_for_all_its_seconds() {
        let mut regular = Estimator::new(0, Volume::default());
        (1..=10).for_each(|second| regular.sample(second * INTERVAL_NS, volume(500 * second)));
        let mut late = Estimator::new(0, Volume::default());
        late.sample(10 * INTERVAL_NS, volume(5_000));
        assert_eq!(late.rate(), regular.rate());
        let mut soon = regular;
        soon.sample(10 * INTERVAL_NS + INTERVAL_NS / 2, volume(9_999));
        assert_eq!(soon, regular, "not yet");
        late.sample(u64::MAX, volume(6_000));
        assert_eq!(late.rate(), Rate::default(), "an age later");
    }

    #[test]
    fn absurd_counters_do_not_panic() {
        let mut estimator = Estimator::new(0, volume(7));
        for (now, bytes) in [(INTERVAL_NS, u64::MAX), (2 * INTERVAL_NS, 0), (0, 5), (u64::MAX, u64::MAX), (u64::MAX, 1)]
        {
            estimator.sample(now, Volume { packets: bytes, bytes });
            assert!(estimator.rate().bytes_per_s < 1 << 56);
        }
    }

    /// Of the first container's egress: what was sent.
    fn rate(snapshot: &Snapshot) -> (u64, u64) {
        let element = snapshot.containers[0].egress.bw_limit();
        (element.ratebps, element.ratepps)
    }

    #[test]
    fn lanes_are_followed_from_snapshot_to_snapshot() {
        let mut estimators = Estimators::default();
        let mut snapshot = samples::snapshot();
        estimators.observe(&mut snapshot);
        assert_eq!(rate(&snapshot), (0, 0), "what was before is not known");
        let mut later = |snapshot: &mut Snapshot, id: &str| {
            snapshot.time_ns += INTERVAL_NS;
            snapshot.containers[0].id = id.to_owned();
            let element = &mut snapshot.containers[0].egress.traffic_control[0];
            element.bytes += 800_000;
            element.packets += 800;
            estimators.observe(snapshot);
            rate(snapshot)
        };
        assert_eq!(later(&mut snapshot, "web"), (100_000, 100));
        assert_eq!(later(&mut snapshot, "web"), (187_500, 187));
        assert_eq!(later(&mut snapshot, "other"), (0, 0), "the lane is another's");
        snapshot.containers.remove(0);
        estimators.observe(&mut snapshot);
        assert_eq!(estimators.containers.len(), 2, "who is gone is forgotten");
    }

    #[test]
    fn every_lane_has_a_window_if_one_is_wanted() {
        let sampling = Sampling::new(4 * INTERVAL_NS, INTERVAL_NS).unwrap();
        let (mut with, mut without) = (Estimators::new(Some(sampling)), Estimators::default());
        let mut snapshot = samples::snapshot();
        for second in 0..3 {
            without.observe(&mut snapshot);
            assert_eq!(snapshot.containers[0].egress.rates, None);
            with.observe(&mut snapshot);
            let rates = snapshot.egress().chain(snapshot.ingress()).map(|(_, lane)| lane.rates);
            assert!(rates.into_iter().all(|rates| rates.is_some() == (second == 2)), "two samples after two seconds");
            if second < 2 {
                snapshot.time_ns += INTERVAL_NS;
                let egress = &mut snapshot.containers[0].egress;
                egress.sent_bytes += 1_000 * (second + 1);
                egress.sent_packets += 10;
                *egress.drops.entry(crate::DropReason::Codel).or_default() += 3;
            }
        }
        let rates = snapshot.containers[0].egress.rates.unwrap();
        assert_eq!((rates.bytes_per_s.min, rates.bytes_per_s.max), (1_000, 2_000));
        assert_eq!((rates.packets_per_s.p50, rates.drops_per_s.p50), (10, 3));
        snapshot.containers[0].id = "other".to_owned();
        snapshot.time_ns += INTERVAL_NS;
        snapshot.containers[0].egress.rates = None;
        with.observe(&mut snapshot);
        assert_eq!(snapshot.containers[0].egress.rates, None, "the lane is another's");
    }
}
