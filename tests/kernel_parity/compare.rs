//! A scenario in the kernel and in portlane, side by side.

use std::time::Duration;

use portlane_stats::lane::LaneReport;

use crate::kernel::{Counts, Observed};
use crate::scenarios::SECONDS;
use crate::virtual_time::Packet;

const SECOND_NS: u64 = 1_000_000_000;

/// The most that figures may differ, in percent of the kernel's.
const MOST_APART_PERCENT: u64 = 1;

/// How late the kernel may wake up: what should have left just before a second ended then counts in the next. It sends
/// as much in the end, as buckets hold more than is earned meanwhile.
const WAKE_UP_NS: u64 = 4_000_000;

/// Drops that may differ, where one percent is less.
const FEW_DROPS: u64 = 3;

/// A figure in the kernel and in portlane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) kernels: u64,
    pub(crate) ours: u64,
}

/// What became of a leaf's packets.
pub(crate) struct Comparison {
    pub(crate) leaf: &'static str,
    /// Bytes in each whole second while packets were sent.
    pub(crate) seconds: Vec<Pair>,
    pub(crate) longest: u32,
    pub(crate) counts: [Counts; 2],
}

impl Comparison {
    /// Of the leaf at `place` among the leaves.
    pub(crate) fn new(place: usize, leaf: &'static str, observed: &Observed, ours: &Ours) -> Self {
        let start_ns = observed.arrivals[0].time_ns;
        let of_leaf = |packets: &[Packet]| -> Vec<Packet> {
            packets.iter().filter(|packet| usize::from(packet.tag.flow) == place).copied().collect()
        };
        let kernels = of_leaf(&observed.departures);
        let longest = kernels.iter().map(|packet| packet.len).max().unwrap_or(0);
        let [kernels, ours_then] = [kernels, of_leaf(&ours.departures)].map(|packets| per_second(&packets, start_ns));
        let seconds = kernels.into_iter().zip(ours_then).map(|(kernels, ours)| Pair { kernels, ours }).collect();
        Self { leaf, seconds, longest, counts: [observed.counts[place], ours.counts[place]] }
    }

    /// The largest difference of the bytes in a second, in percent.
    pub(crate) fn worst_percent(&self) -> f64 {
        let percent = |pair: &Pair| pair.ours.abs_diff(pair.kernels) as f64 * 100.0 / pair.kernels.max(1) as f64;
        self.seconds.iter().map(percent).fold(0.0, f64::max)
    }

    pub(crate) fn bytes(&self) -> Pair {
        let sum = |of: fn(&Pair) -> u64| self.seconds.iter().map(of).sum();
        Pair { kernels: sum(|pair| pair.kernels), ours: sum(|pair| pair.ours) }
    }

    /// What is not as close as it should be.
    pub(crate) fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for (second, &Pair { kernels, ours }) in self.seconds.iter().enumerate() {
            let late = kernels * WAKE_UP_NS / SECOND_NS + u64::from(self.longest);
            if ours.abs_diff(kernels) > kernels * MOST_APART_PERCENT / 100 + late {
                failures.push(format!("{}: {ours} B in second {second}, the kernel {kernels}", self.leaf));
            }
        }
        let [kernels, ours] = self.counts;
        if ours.drops.abs_diff(kernels.drops) > FEW_DROPS.max(kernels.drops * MOST_APART_PERCENT / 100) {
            failures.push(format!("{}: {} drops, the kernel's are {}", self.leaf, ours.drops, kernels.drops));
        }
        for (whose, counts) in [("the kernel", kernels), ("portlane", ours)] {
            if counts.lended.is_some_and(|[lended, borrowed]| lended + borrowed != counts.sent) {
                failures
                    .push(format!("{}: {whose} lended and borrowed {:?} of {}", self.leaf, counts.lended, counts.sent));
            }
        }
        failures
    }
}

/// What portlane did.
pub(crate) struct Ours {
    pub(crate) departures: Vec<Packet>,
    /// By leaf.
    pub(crate) counts: Vec<Counts>,
}

/// The counters of a lane, as the kernel's are read.
pub(crate) fn counts(lane: &LaneReport, is_class: bool) -> Counts {
    let lended = is_class.then_some([lane.class.lended, lane.class.borrowed]);
    Counts { sent: lane.sent_packets, drops: lane.dropped().packets, lended }
}

/// How long the kernel sent nothing after portlane had sent, at most: how late it woke up.
pub(crate) fn latest_wake_up(observed: &Observed, ours: &Ours) -> Duration {
    let mut kernels = observed.departures.iter().map(|packet| packet.time_ns).peekable();
    let late_ns = ours.departures.iter().map(|packet| {
        while kernels.next_if(|at| *at < packet.time_ns).is_some() {}
        kernels.peek().map_or(0, |at| at - packet.time_ns)
    });
    Duration::from_nanos(late_ns.max().unwrap_or(0))
}

/// Bytes that left in each second while packets were sent.
fn per_second(departures: &[Packet], start_ns: u64) -> Vec<u64> {
    let mut bytes = vec![0; usize::try_from(SECONDS).unwrap()];
    for packet in departures {
        let second = usize::try_from((packet.time_ns - start_ns) / SECOND_NS).unwrap();
        if let Some(bytes) = bytes.get_mut(second) {
            *bytes += u64::from(packet.len);
        }
    }
    bytes
}
