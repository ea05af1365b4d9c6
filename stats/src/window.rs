//! Percentiles of rate over a sliding window, as a Mesos agent's `net_rate_statistics`: averages hide bursts, percentiles of short
//! samples show them.
//!
//! A [`Window`] follows one lane. Every interval what has passed since the last sample, divided by the time that it took, is one
//! sample of its rate; the window has those of the last while. The rules are those of Mesos' `process::Statistics` (percentiles) and
//! of its collector: at most window / interval samples, no answer from fewer than two.
//!
//! ```
//! use portlane_stats::counters::Volume;
//! use portlane_stats::window::{Counted, Sampling, Window};
//!
//! const SECOND: u64 = 1_000_000_000;
//! let mut window = Window::new(Sampling::new(60 * SECOND, SECOND).unwrap(), 0, Counted::default());
//! let mut counted = Counted::default();
//! for (second, bytes) in (1..).zip([100, 100, 50, 50, 50]) {
//!     counted.sent.bytes += bytes;
//!     window.sample(second * SECOND, counted);
//! }
//! let rate = window.rates().unwrap().bytes_per_s;
//! assert_eq!((rate.samples, rate.min, rate.p50, rate.p90, rate.max), (5, 50, 50, 100, 100));
//! ```

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::counters::Volume;

/// The shortest interval: Mesos' own.
pub const LEAST_INTERVAL_NS: u64 = 20_000_000;

/// The most samples that a window has room for: an hour of seconds, or 72 seconds of the shortest interval.
pub const MOST_SAMPLES: u64 = 3_600;

/// What a sample takes: three figures, each by its age and by its size, and when it was taken.
const SAMPLE_BYTES: u64 = 7 * size_of::<u64>() as u64;

/// How far a window looks back, and how often it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampling {
    window_ns: u64,
    interval_ns: u64,
}

/// Why there is no such sampling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSampling {
    /// The interval is shorter than [`LEAST_INTERVAL_NS`].
    #[error("the interval is under {LEAST_INTERVAL_NS} ns")]
    ShortInterval,
    /// The window is not longer than the interval.
    #[error("the window is not longer than the interval")]
    ShortWindow,
    /// The window has more than [`MOST_SAMPLES`] intervals.
    #[error("the window has more than {MOST_SAMPLES} intervals")]
    TooManySamples,
}

impl Sampling {
    /// A window and an interval, nanoseconds.
    ///
    /// # Errors
    ///
    /// If the interval is too short, the window not longer than that, or so long that it would have too many samples.
    pub const fn new(window_ns: u64, interval_ns: u64) -> Result<Self, BadSampling> {
        if interval_ns < LEAST_INTERVAL_NS {
            Err(BadSampling::ShortInterval)
        } else if window_ns <= interval_ns {
            Err(BadSampling::ShortWindow)
        } else if window_ns / interval_ns > MOST_SAMPLES {
            Err(BadSampling::TooManySamples)
        } else {
            Ok(Self { window_ns, interval_ns })
        }
    }

    /// How far the window looks back, nanoseconds.
    #[must_use]
    pub const fn window_ns(self) -> u64 {
        self.window_ns
    }

    /// From one sample to the next, nanoseconds.
    #[must_use]
    pub const fn interval_ns(self) -> u64 {
        self.interval_ns
    }

    /// The most samples that a window has.
    #[must_use]
    pub const fn samples(self) -> u64 {
        self.window_ns / self.interval_ns
    }

    /// The memory that a full window takes, bytes.
    #[must_use]
    pub const fn window_bytes(self) -> u64 {
        self.samples() * SAMPLE_BYTES
    }

    /// A sample that comes by this much too soon counts all the same: timers are not exact.
    const fn too_soon_ns(self) -> u64 {
        self.interval_ns / 16
    }
}

/// What a lane has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// What it sent.
    pub sent: Volume,
    /// Packets that it dropped.
    pub dropped: u64,
}

impl Counted {
    /// What has passed since `before`; nothing of a counter that has begun anew.
    fn since(self, before: Self) -> [u64; 3] {
        [
            self.sent.bytes.saturating_sub(before.sent.bytes),
            self.sent.packets.saturating_sub(before.sent.packets),
            self.dropped.saturating_sub(before.dropped),
        ]
    }
}

/// A lane's rates over a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowRates {
    /// How far the window looks back, nanoseconds.
    pub window_ns: u64,
    /// From one sample to the next, nanoseconds.
    pub interval_ns: u64,
    /// Bytes sent, per second.
    pub bytes_per_s: Percentiles,
    /// Packets sent, per second.
    pub packets_per_s: Percentiles,
    /// Packets dropped, per second.
    pub drops_per_s: Percentiles,
}

/// Mesos' `RatePercentiles`: percentiles of the samples in a window, rounded down. In the order of their names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Percentiles {
    /// The greatest.
    pub max: u64,
    /// The least.
    pub min: u64,
    /// The median.
    pub p50: u64,
    /// 90 % are not above.
    pub p90: u64,
    /// 95 % are not above.
    pub p95: u64,
    /// 99 % are not above.
    pub p99: u64,
    /// 99.9 % are not above.
    pub p999: u64,
    /// 99.99 % are not above.
    pub p9999: u64,
    /// How many samples there are.
    pub samples: u64,
}

impl Percentiles {
    /// Of samples in ascending order; `None` of fewer than two.
    fn of(sorted: &[u64]) -> Option<Self> {
        let (&[min, ..], &[_, .., max]) = (sorted, sorted) else { return None };
        let at = |per_10_000| percentile(sorted, per_10_000);
        Some(Self {
            max,
            min,
            p50: at(5_000),
            p90: at(9_000),
            p95: at(9_500),
            p99: at(9_900),
            p999: at(9_990),
            p9999: at(9_999),
            samples: sorted.len() as u64,
        })
    }
}

/// The value at position p (n - 1), linear between its neighbours: `process::Statistics`. `sorted` is not empty, and
/// `per_10_000` at most 10,000.
fn percentile(sorted: &[u64], per_10_000: usize) -> u64 {
    let position = per_10_000 * (sorted.len() - 1);
    let (index, rest) = (position / 10_000, position % 10_000);
    let below = sorted[index];
    let above = sorted.get(index + 1).map_or(below, |&next| next);
    let part = u128::from(above - below) * rest as u128 / 10_000;
    below + u64::try_from(part).expect("less than the difference of two u64")
}

/// Samples of one figure: in the order in which they came, and in that of their values.
#[derive(Debug, Default)]
struct Series {
    arrived: VecDeque<u64>,
    sorted: Vec<u64>,
}

impl Series {
    fn push(&mut self, value: u64) {
        self.arrived.push_back(value);
        let place = self.sorted.partition_point(|&one| one < value);
        self.sorted.insert(place, value);
    }

    fn forget_oldest(&mut self) {
        if let Some(value) = self.arrived.pop_front() {
            self.sorted.remove(self.sorted.partition_point(|&one| one < value));
        }
    }
}

/// The rates of one lane over a window: of bytes, of packets, and of drops.
#[derive(Debug)]
pub struct Window {
    sampling: Sampling,
    sampled_ns: u64,
    counted: Counted,
    taken_ns: VecDeque<u64>,
    series: [Series; 3],
}

impl Window {
    /// A window that begins when `counted` has been counted.
    #[must_use]
    pub fn new(sampling: Sampling, now_ns: u64, counted: Counted) -> Self {
        Self { sampling, sampled_ns: now_ns, counted, taken_ns: VecDeque::new(), series: Default::default() }
    }

    /// Takes a sample, unless the last was less than an interval ago. One that comes late is the average since the last. Of a
    /// counter that has begun anew nothing has passed, and it is followed from there.
    pub fn sample(&mut self, now_ns: u64, counted: Counted) {
        let elapsed = now_ns.saturating_sub(self.sampled_ns);
        if elapsed < self.sampling.interval_ns - self.sampling.too_soon_ns() {
            return;
        }
        self.taken_ns.push_back(now_ns);
        for (series, passed) in self.series.iter_mut().zip(counted.since(self.counted)) {
            series.push(per_second(passed, elapsed));
        }
        (self.sampled_ns, self.counted) = (now_ns, counted);
        self.forget(now_ns);
    }

    /// Forgets what is older than the window, and what the window has no room for.
    fn forget(&mut self, now_ns: u64) {
        let is_old = |&taken: &u64| now_ns.saturating_sub(taken) >= self.sampling.window_ns;
        while self.taken_ns.len() as u64 > self.sampling.samples() || self.taken_ns.front().is_some_and(is_old) {
            self.taken_ns.pop_front();
            self.series.iter_mut().for_each(Series::forget_oldest);
        }
    }

    /// The percentiles of what is in the window; `None` while there are fewer than two samples.
    #[must_use]
    pub fn rates(&self) -> Option<WindowRates> {
        let [bytes, packets, drops] = self.series.each_ref().map(|series| Percentiles::of(&series.sorted));
        Some(WindowRates {
            window_ns: self.sampling.window_ns,
            interval_ns: self.sampling.interval_ns,
            bytes_per_s: bytes?,
            packets_per_s: packets?,
            drops_per_s: drops?,
        })
    }
}

/// Rounded down; `elapsed_ns` is not 0.
fn per_second(passed: u64, elapsed_ns: u64) -> u64 {
    u64::try_from(u128::from(passed) * 1_000_000_000 / u128::from(elapsed_ns)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
