//! Where the time of a turn goes.

use std::time::{Duration, Instant};

use crate::line::{BATCH, Stage, Watch};

const STAGES: [Stage; 6] =
    [Stage::Reclaim, Stage::Dequeue, Stage::Receive, Stage::Classify, Stage::Enqueue, Stage::Flush];

/// Reads the clock after every stage. That takes time itself, some 30 ns, so the stages add up to more than a turn that
/// nobody watches.
#[derive(Debug)]
pub(super) struct Stopwatch {
    last: Instant,
    spent: [Duration; STAGES.len()],
}

impl Default for Stopwatch {
    fn default() -> Self {
        Self { last: Instant::now(), spent: [Duration::ZERO; STAGES.len()] }
    }
}

impl Watch for &mut Stopwatch {
    type Lent<'a>
        = &'a mut Stopwatch
    where
        Self: 'a;

    fn lend(&mut self) -> &mut Stopwatch {
        self
    }

    #[inline]
    fn passed(&mut self, stage: Stage) {
        let now = Instant::now();
        self.spent[stage as usize] += now - self.last;
        self.last = now;
    }
}

impl Stopwatch {
    /// Of two the one that has measured less, if it has measured anything.
    pub(super) fn faster(self, other: Self) -> Self {
        let total = |watch: &Self| watch.spent.iter().sum::<Duration>();
        if total(&self) > Duration::ZERO && total(&self) <= total(&other) { self } else { other }
    }

    /// The time that a packet takes in each stage, when so many turns have been watched.
    pub(super) fn ns_per_packet(&self, turns: u64) -> Vec<(&'static str, f64)> {
        let packets = turns * BATCH as u64;
        let ns = |stage: Stage| self.spent[stage as usize].as_secs_f64() * 1e9 / packets as f64;
        STAGES.iter().map(|&stage| (name(stage), ns(stage))).collect()
    }
}

fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Reclaim => "reclaim",
        Stage::Dequeue => "dequeue",
        Stage::Receive => "receive",
        Stage::Classify => "classify",
        Stage::Enqueue => "enqueue",
        Stage::Flush => "flush",
    }
}
