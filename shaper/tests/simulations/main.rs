//! The shaper in virtual time, in situations that can be worked out on paper. Each prints a table:
//! `cargo test -p portlane-shaper --test simulations -- --nocapture --test-threads 1`.

#[path = "../support/mod.rs"]
mod support;

mod isolation;
mod rates;
mod reno;
mod rounds;
mod shortage;

use portlane_shaper::{
    DropReason, Fate, LaneCounters, LaneId, LaneParams, Limiter, LinkParams, Nanos, QueueParams, Rate, Shaper, Size,
    Wake,
};

/// Nanobits in a byte: what the exact comparisons count in.
const NANOBITS: i128 = 8_000_000_000;

/// Forgets dropped packets, which the shaper has counted; nothing is ECN-capable.
struct Bin;

impl<P> Fate<P> for Bin {
    fn dropped(&mut self, _lane: LaneId, _packet: P, _reason: DropReason) {}

    fn mark(&mut self, _packet: &mut P) -> bool {
        false
    }
}

fn rate(text: &str) -> Rate {
    text.parse().expect("a rate")
}

fn size(text: &str) -> Size {
    text.parse().expect("a size")
}

/// A link with Ethernet's quantum.
fn link(limit: Option<(Rate, Size)>) -> LinkParams {
    LinkParams { limit, quantum: 1_514 }
}

/// A lane with a FIFO that holds anything.
fn fifo(limiter: Limiter) -> LaneParams {
    LaneParams { limiter, queue: QueueParams { limit: u32::MAX, limit_bytes: None, codel: None } }
}

fn counters<P>(shaper: &Shaper<P>) -> Vec<LaneCounters> {
    let lanes = u32::try_from(shaper.lanes()).expect("few lanes");
    (0..lanes).map(|lane| *shaper.counters(LaneId(lane))).collect()
}

/// The next time at which a packet may leave; `None` if there is no packet.
fn next_departure<P>(shaper: &Shaper<P>, now: Nanos) -> Option<Nanos> {
    match shaper.next_wake(now) {
        Wake::Now => Some(now),
        Wake::At(at) => Some(at),
        Wake::Never => None,
    }
}

/// The value that `percent` of the sample are at most.
fn percentile(sorted: &[u64], percent: usize) -> Nanos {
    assert!(sorted.is_sorted());
    Nanos(sorted[(sorted.len() - 1) * percent / 100])
}

/// A time in milliseconds with three decimals.
fn millis(time: Nanos) -> String {
    format!("{}.{:03} ms", time.0 / 1_000_000, time.0 / 1_000 % 1_000)
}
