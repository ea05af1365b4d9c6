//! Warm-up, and then rounds in turns: the line, its device alone, and the floor, so that they meet the machine in the same
//! moods.

use std::time::Instant;

use portlane_shaper::Nanos;
use portlane_stats::histogram::LaneHistogram;

use super::floor::floor;
use super::stages::Stopwatch;
use super::{Options, Scenario, Setup, Totals};
use crate::failure::Failure;
use crate::line::BATCH;
use crate::report;

/// Rounds of each. The lowest counts: what disturbs a round only ever makes it longer.
const ROUNDS: usize = 25;

/// Nanoseconds a packet, of each round in ascending order.
#[derive(Debug, Clone, PartialEq)]
pub struct Times(Vec<f64>);

impl Times {
    pub(super) fn sorted(mut rounds: Vec<f64>) -> Self {
        rounds.sort_by(f64::total_cmp);
        Self(rounds)
    }

    /// How many rounds there were.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Of the fastest round.
    #[must_use]
    pub fn lowest(&self) -> f64 {
        self.0[0]
    }

    /// Of the round in the middle.
    #[must_use]
    pub fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }

    /// Of the slowest round.
    #[must_use]
    pub fn highest(&self) -> f64 {
        self.0[self.0.len() - 1]
    }
}

/// What came out.
#[derive(Debug)]
pub struct Measured {
    /// What was measured.
    pub options: Options,
    /// The figures that followed from it.
    pub setup: Setup,
    /// Packets of a round.
    pub packets: u64,
    /// Number of rounds.
    pub rounds: usize,
    /// The whole of the line: what the benchmark is about.
    pub line: Times,
    /// Nanoseconds a packet in each stage of a turn, from the fastest of the rounds in which a clock was read after each.
    pub stages: Vec<(&'static str, f64)>,
    /// The part of it that is the benchmark's own device.
    pub device: Times,
    /// The floor on this machine: see `portlane_floor`.
    pub floor: Times,
    /// Counted since all was warm.
    pub totals: Totals,
    /// Packets for which there was no frame.
    pub missed: u64,
    /// Frames of the pool.
    pub pool: u32,
    /// How long packets stayed, in virtual time.
    pub sojourn: LaneHistogram,
    /// Virtual time since all was warm.
    pub elapsed: Nanos,
}

/// Measures rounds of at least so many packets each.
///
/// # Errors
///
/// Refused as [`Scenario::new`] says.
pub fn measure(options: &Options, packets: u64) -> Result<Measured, Failure> {
    let mut scenario = Scenario::new(options)?;
    let mut floor = floor(options, scenario.traffic())?;
    scenario.warm_up();
    let turns = packets.div_ceil(BATCH as u64);
    let mut stages = Stopwatch::default();
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        let [line, device, bare] = &mut times;
        line.push(ns_per_packet(turns, |turns| scenario.turns(turns)));
        device.push(ns_per_packet(turns, |turns| scenario.turns_of_device(turns)));
        bare.push(ns_per_packet(turns, |turns| floor.turns(turns)));
        let mut watch = Stopwatch::default();
        scenario.turns_watched(turns, &mut watch);
        stages = stages.faster(watch);
    }
    let [line, device, bare] = times.map(Times::sorted);
    Ok(Measured {
        options: *options,
        setup: *scenario.setup(),
        packets: turns * BATCH as u64,
        rounds: ROUNDS,
        line,
        stages: stages.ns_per_packet(turns),
        device,
        floor: bare,
        totals: scenario.totals(),
        missed: scenario.line().ports[0].device.missed(),
        pool: scenario.line().pool.total(),
        sojourn: report::sojourns(scenario.line()),
        elapsed: scenario.elapsed(),
    })
}

fn ns_per_packet(turns: u64, run: impl FnOnce(u64)) -> f64 {
    let started = Instant::now();
    run(turns);
    let packets = turns * BATCH as u64;
    started.elapsed().as_secs_f64() * 1e9 / packets as f64
}
