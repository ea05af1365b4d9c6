//! Two lists of departures of the same arrivals, ours and the kernel's.

use std::collections::HashMap;

use crate::recording::Recording;
use crate::virtual_time::{CE, Packet, Tag};

/// How far from the kernel's time a departure may be to count as the same.
const SAME_TIME_NS: u64 = 100_000;

const SECOND_NS: u64 = 1_000_000_000;

/// What the comparison found.
pub(crate) struct Comparison {
    /// Departures of the kernel.
    pub(crate) departures: usize,
    /// Of these, the share that is the same packet in the same place of our list, at the same time, in percent.
    pub(crate) same_percent: f64,
    /// Differences in time, nanoseconds, of the same packets in the same places: median and largest.
    pub(crate) median_ns: u64,
    pub(crate) largest_ns: u64,
    /// The largest difference of the bytes sent in a second, in percent of the kernel's.
    pub(crate) second_percent: f64,
    /// Packets marked CE: ours, the kernel's.
    pub(crate) marks: [usize; 2],
    /// For each flow its median sojourn time in nanoseconds: ours, the kernel's.
    pub(crate) sojourns: Vec<[u64; 2]>,
}

impl Comparison {
    /// Compares what left until the recording ended.
    pub(crate) fn new(recording: &Recording, ours: &[Packet]) -> Self {
        let kernels = &recording.departures;
        let end = kernels.last().unwrap().time_ns + SAME_TIME_NS;
        let ours = &ours[..ours.partition_point(|departure| departure.time_ns <= end)];
        let in_place = kernels.iter().zip(ours).filter(|(kernels, ours)| kernels.tag == ours.tag);
        let mut differences: Vec<_> = in_place.map(|(kernels, ours)| kernels.time_ns.abs_diff(ours.time_ns)).collect();
        differences.sort_unstable();
        let same = differences.partition_point(|difference| *difference <= SAME_TIME_NS);
        let lists = [ours, kernels.as_slice()];
        let start_ns = recording.arrivals[0].time_ns;
        let seconds = (end - start_ns) / SECOND_NS;
        Self {
            departures: kernels.len(),
            same_percent: same as f64 * 100.0 / kernels.len() as f64,
            median_ns: median(&differences),
            largest_ns: differences.last().copied().unwrap_or(0),
            second_percent: largest_difference(lists.map(|list| per_second(list, start_ns, seconds))),
            marks: lists.map(|list| list.iter().filter(|packet| packet.ecn == CE).count()),
            sojourns: sojourns(recording, lists),
        }
    }
}

/// Bytes that left in each of so many seconds.
fn per_second(departures: &[Packet], start_ns: u64, seconds: u64) -> Vec<u64> {
    let mut bytes = vec![0; usize::try_from(seconds).unwrap()];
    for packet in departures {
        let second = usize::try_from((packet.time_ns - start_ns) / SECOND_NS).unwrap();
        if let Some(bytes) = bytes.get_mut(second) {
            *bytes += u64::from(packet.len);
        }
    }
    bytes
}

fn largest_difference([ours, kernels]: [Vec<u64>; 2]) -> f64 {
    let percent = |(ours, kernels): (u64, u64)| ours.abs_diff(kernels) as f64 * 100.0 / kernels.max(1) as f64;
    ours.into_iter().zip(kernels).map(percent).fold(0.0, f64::max)
}

fn sojourns(recording: &Recording, lists: [&[Packet]; 2]) -> Vec<[u64; 2]> {
    let arrived: HashMap<Tag, u64> = recording.arrivals.iter().map(|packet| (packet.tag, packet.time_ns)).collect();
    let of_flow = |list: &[Packet], flow: u8| {
        let of_flow = list.iter().filter(|packet| packet.tag.flow == flow);
        let mut waits: Vec<_> = of_flow.map(|packet| packet.time_ns - arrived[&packet.tag]).collect();
        waits.sort_unstable();
        median(&waits)
    };
    (0..recording.flows).map(|flow| lists.map(|list| of_flow(list, flow))).collect()
}

/// 0 of nothing.
fn median(sorted: &[u64]) -> u64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}
