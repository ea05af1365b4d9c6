//! The report of one lane: its counters, and the two elements they pass through.
//!
//! A lane is a rate limiter with a queue under it. Mesos reports the two as `bw_limit` (there the container's HTB) and
//! `bloat_reduction` (there fq_codel under it), with ten fields each. The same names and meanings are used here, both
//! taken from one instant:
//!
//! | field | `bw_limit` | `bloat_reduction` |
//! |---|---|---|
//! | `packets`, `bytes` | sent: left the lane | dequeued: left the AQM |
//! | `drops` | all drops of the lane, as the kernel propagates a child's drops to its parents | the same without `oversize`, which never reached the queue |
//! | `overlimits` | waits for tokens | 0 |
//! | `requeues` | frames put back because the device's ring was full | 0 |
//! | `backlog`, `qlen` | all that the lane holds | the same: a frame that waits for tokens stays in its queue's length (`qdisc_peek_dequeued`), and a parent mirrors its child |
//! | `ratebps`, `ratepps` | of what was sent: live, as the kernel [estimates](crate::estimator); in a replay, the average over all of it | of what was dequeued |

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::counters::{DropReason, LaneCounters, Volume};
use crate::histogram::{LaneHistogram, Octaves, Quantiles};
use crate::window::{Counted, WindowRates};

mod class;
mod limit;
mod queue;
mod would;

pub use class::{ClassReport, LimitedBy, UnknownLimit};
pub use limit::{HtbReport, LimitReport, PeakReport, TbfReport};
pub use queue::{CodelReport, FlowReport, FqCodelReport, QueueReport};
pub use would::{LaneMode, Would};

/// The rate limiter's name in reports.
pub const BW_LIMIT: &str = "bw_limit";

/// The name of the queue with its AQM in reports.
pub const BLOAT_REDUCTION: &str = "bloat_reduction";

/// Everything that is read of a lane at one instant to make its report.
#[derive(Debug)]
pub struct LaneReading<'a> {
    /// The lane's counters.
    pub counters: &'a LaneCounters,
    /// What the lane holds now, a frame that waits for tokens or for the device included.
    pub queued: Volume,
    /// The current rate of `counters.sent`.
    pub sent_rate: Rate,
    /// The current rate of `counters.dequeued`.
    pub dequeued_rate: Rate,
    /// The lane's sojourn times.
    pub sojourn: &'a LaneHistogram,
    /// The rate limiter.
    pub limit: LimitReport,
    /// The lane as a leaf of the tree.
    pub class: ClassReport,
    /// The queue.
    pub queue: QueueReport,
    /// What keeps it from sending more.
    pub limited_by: LimitedBy,
}

/// A rate in the units of Mesos' `ratebps` and `ratepps`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rate {
    /// Bytes per second.
    pub bytes_per_s: u64,
    /// Packets per second.
    pub packets_per_s: u64,
}

impl Rate {
    /// `volume` spread over `duration_ns` nanoseconds, rounded down; 0 over no time.
    #[must_use]
    pub fn average(volume: Volume, duration_ns: u64) -> Self {
        let per_second = |amount: u64| {
            let scaled = u128::from(amount) * 1_000_000_000;
            let rate = scaled.checked_div(u128::from(duration_ns)).unwrap_or(0);
            u64::try_from(rate).unwrap_or(u64::MAX)
        };
        Self { bytes_per_s: per_second(volume.bytes), packets_per_s: per_second(volume.packets) }
    }
}

/// One lane, as reported. The counters' meanings: [`crate::counters`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneReport {
    /// Whether its limits hold. In mode `observe` the counters say what has been, `traffic_control`, `class` and `limited_by` what
    /// would have been.
    #[serde(default, skip_serializing_if = "LaneMode::is_default")]
    pub mode: LaneMode,
    /// Packets handed to the lane.
    pub offered_packets: u64,
    /// Bytes handed to the lane.
    pub offered_bytes: u64,
    /// Packets that left the lane.
    pub sent_packets: u64,
    /// Bytes that left the lane.
    pub sent_bytes: u64,
    /// Packets dropped, by reason; every reason is present.
    pub drops: BTreeMap<DropReason, u64>,
    /// Bytes dropped, for whatever reason.
    pub dropped_bytes: u64,
    /// Arrivals that cost the packet itself, or another of its flow, its place: what a class of `sch_htb` counts as drops.
    #[serde(default)]
    pub refused: u64,
    /// Packets marked CE instead of dropped.
    pub ecn_marks: u64,
    /// Packets marked CE, or found to be, because they waited longer than `ce_threshold`.
    #[serde(default)]
    pub ce_marks: u64,
    /// How long packets stayed in the lane.
    pub sojourn_ns: Quantiles,
    /// The same as counts by powers of two.
    #[serde(default)]
    pub sojourn_octaves: Octaves,
    /// What would have been, in mode `observe`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would: Option<Would>,
    /// Percentiles of its rates, if they are followed, and have been for long enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rates: Option<WindowRates>,
    /// `bw_limit`, then `bloat_reduction`.
    pub traffic_control: [TrafficControl; 2],
    /// The rate limiter's settings.
    pub limit: LimitReport,
    /// The lane as a leaf of the tree: its share, its credit and its counters.
    #[serde(default)]
    pub class: ClassReport,
    /// The queue: its settings and its AQM's state.
    pub queue: QueueReport,
    /// What keeps it from sending more.
    #[serde(default)]
    pub limited_by: LimitedBy,
}

impl LaneReport {
    /// The report of what was read.
    #[must_use]
    pub fn new(reading: LaneReading<'_>) -> Self {
        let counters = reading.counters;
        let dropped = counters.dropped_total();
        let oversize = counters.dropped_for(DropReason::Oversize).packets;
        Self {
            mode: LaneMode::Enforce,
            would: None,
            offered_packets: counters.offered.packets,
            offered_bytes: counters.offered.bytes,
            sent_packets: counters.sent.packets,
            sent_bytes: counters.sent.bytes,
            drops: DropReason::ALL.map(|reason| (reason, counters.dropped_for(reason).packets)).into(),
            dropped_bytes: dropped.bytes,
            refused: counters.refused,
            ecn_marks: counters.ecn_marks,
            ce_marks: counters.ce_marks,
            sojourn_ns: reading.sojourn.quantiles(),
            sojourn_octaves: reading.sojourn.octaves(),
            rates: None,
            traffic_control: [
                TrafficControl {
                    drops: dropped.packets,
                    overlimits: counters.overlimits,
                    requeues: counters.requeues,
                    ..TrafficControl::of(BW_LIMIT, counters.sent, reading.sent_rate, reading.queued)
                },
                TrafficControl {
                    drops: dropped.packets - oversize,
                    ..TrafficControl::of(BLOAT_REDUCTION, counters.dequeued, reading.dequeued_rate, reading.queued)
                },
            ],
            limit: reading.limit,
            class: reading.class,
            queue: reading.queue,
            limited_by: reading.limited_by,
        }
    }

    /// The rate limiter's figures.
    #[must_use]
    pub fn bw_limit(&self) -> &TrafficControl {
        &self.traffic_control[0]
    }

    /// The queue's figures.
    #[must_use]
    pub fn bloat_reduction(&self) -> &TrafficControl {
        &self.traffic_control[1]
    }

    /// Packets dropped for `reason`.
    #[must_use]
    pub fn dropped_for(&self, reason: DropReason) -> u64 {
        self.drops.get(&reason).copied().unwrap_or(0)
    }

    /// What was handed to the lane.
    #[must_use]
    pub fn offered(&self) -> Volume {
        Volume { packets: self.offered_packets, bytes: self.offered_bytes }
    }

    /// What left the lane.
    #[must_use]
    pub fn sent(&self) -> Volume {
        Volume { packets: self.sent_packets, bytes: self.sent_bytes }
    }

    /// What was dropped, for whatever reason.
    #[must_use]
    pub fn dropped(&self) -> Volume {
        Volume { packets: self.drops.values().fold(0, |sum, n| sum.saturating_add(*n)), bytes: self.dropped_bytes }
    }

    /// What a window follows.
    #[must_use]
    pub fn counted(&self) -> Counted {
        Counted { sent: self.sent(), dropped: self.dropped().packets }
    }

    /// What the lane holds; of an observed one, what it would.
    #[must_use]
    pub fn queued(&self) -> Volume {
        Volume { packets: self.bw_limit().qlen, bytes: self.bw_limit().backlog }
    }
}

/// One queueing element: Mesos' `TrafficControlStatistics`, all ten fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficControl {
    /// [`BW_LIMIT`] or [`BLOAT_REDUCTION`].
    pub id: String,
    /// Bytes held now.
    pub backlog: u64,
    /// Bytes that left.
    pub bytes: u64,
    /// Packets dropped.
    pub drops: u64,
    /// Waits for tokens.
    pub overlimits: u64,
    /// Packets that left.
    pub packets: u64,
    /// Packets held now.
    pub qlen: u64,
    /// Rate in bytes (not bits) per second.
    pub ratebps: u64,
    /// Rate in packets per second.
    pub ratepps: u64,
    /// Packets put back because the device's ring was full.
    pub requeues: u64,
}

impl TrafficControl {
    fn of(id: &str, left: Volume, rate: Rate, queued: Volume) -> Self {
        Self {
            id: id.to_owned(),
            backlog: queued.bytes,
            bytes: left.bytes,
            drops: 0,
            overlimits: 0,
            packets: left.packets,
            qlen: queued.packets,
            ratebps: rate.bytes_per_s,
            ratepps: rate.packets_per_s,
            requeues: 0,
        }
    }

    /// What has left it.
    #[must_use]
    pub fn left(&self) -> Volume {
        Volume { packets: self.packets, bytes: self.bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(packets: u64, bytes: u64) -> Volume {
        Volume { packets, bytes }
    }

    fn counted() -> LaneCounters {
        let mut counters = LaneCounters {
            offered: volume(100, 100_000),
            dequeued: volume(81, 81_000),
            sent: volume(80, 80_000),
            ecn_marks: 5,
            overlimits: 70,
            requeues: 3,
            ..LaneCounters::default()
        };
        for reason in DropReason::ALL {
            for _ in 0..=reason.index() {
                counters.drop_frame(reason, 1000);
            }
        }
        counters
    }

    #[test]
    fn each_element_shows_its_own_view_of_the_same_instant() {
        let report = LaneReport::new(LaneReading {
            counters: &counted(),
            queued: volume(10, 10_000),
            sent_rate: Rate::average(volume(80, 80_000), 2_000_000_000),
            dequeued_rate: Rate::average(volume(81, 81_000), 2_000_000_000),
            sojourn: &LaneHistogram::default(),
            limit: LimitReport::None,
            class: ClassReport::default(),
            queue: QueueReport::Fifo { limit_packets: 10 },
            limited_by: LimitedBy::Nothing,
        });
        let [limiter, queue] = &report.traffic_control;
        assert_eq!((limiter.packets, limiter.bytes), (80, 80_000));
        assert_eq!((queue.packets, queue.bytes), (81, 81_000));
        assert_eq!((limiter.drops, queue.drops), (15, 11), "four were oversize");
        assert_eq!((limiter.overlimits, queue.overlimits), (70, 0));
        assert_eq!((limiter.requeues, queue.requeues), (3, 0));
        assert_eq!((limiter.qlen, limiter.backlog), (10, 10_000));
        assert_eq!((queue.qlen, queue.backlog), (10, 10_000));
        assert_eq!((limiter.ratebps, limiter.ratepps), (40_000, 40));
        assert_eq!((queue.ratebps, queue.ratepps), (40_500, 40));
        assert_eq!(report.drops.len(), DropReason::COUNT);
        assert_eq!(report.dropped(), volume(15, 15_000));
    }

    #[test]
    fn a_rate_over_no_time_is_zero_and_a_huge_one_saturates() {
        assert_eq!(Rate::average(volume(5, 5000), 0), Rate::default());
        let huge = Rate::average(volume(1, u64::MAX), 1);
        assert_eq!(huge.bytes_per_s, u64::MAX);
        assert_eq!(huge.packets_per_s, 1_000_000_000);
    }
}
