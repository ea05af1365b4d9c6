//! What the shaper promises, tried in virtual time. Prints a table for each promise, and fails if a bound is broken.
//!
//! `cargo test -p portlane-shaper --test conformance rates sparse` prints only the tables of these names.

#[path = "../support/mod.rs"]
mod support;

mod bursts;
mod fairness;
mod floods;
mod load;
mod rates;
mod reno;
mod shortage;
mod sparse;
mod table;
mod tree;
mod wakes;

use std::process::ExitCode;

use portlane_shaper::{DropReason, Fate, LaneId, LaneParams, Limiter, Nanos, QueueParams, Rate, Shaper, Size, Wake};

use crate::table::Table;

/// Nanobits in a byte: what the exact comparisons count in.
const NANOBITS: i128 = 8_000_000_000;

type MakeTable = fn() -> Table;

const TABLES: [(&str, MakeTable); 10] = [
    ("rates", rates::table),
    ("bursts", bursts::table),
    ("fairness", fairness::table),
    ("sparse", sparse::table),
    ("floods", floods::table),
    ("weights", tree::weights),
    ("tree", tree::table),
    ("shortage", shortage::table),
    ("reno", reno::table),
    ("wakes", wakes::table),
];

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    let broken: usize =
        TABLES.iter().filter(|(name, _)| is_wanted(name)).map(|(_, make_table)| make_table().print()).sum();
    println!("\n{broken} bounds broken");
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

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

/// A lane with a FIFO that holds anything.
fn fifo(limiter: Limiter) -> LaneParams {
    LaneParams { limiter, queue: QueueParams::fifo(u32::MAX), ..LaneParams::default() }
}

/// The next time at which a packet may leave; `None` if there is no packet.
fn next_departure<P>(shaper: &mut Shaper<P>, now: Nanos) -> Option<Nanos> {
    match shaper.next_wake(now) {
        Wake::Now => Some(now),
        Wake::At(at) => Some(at),
        Wake::Never => None,
    }
}
