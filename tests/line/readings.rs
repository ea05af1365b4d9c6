//! Readings that are taken while packets pass, of each worker at its time and in slices: every count has its other half.

use portlane::reading::Reading;
use portlane::report::{self, Context};
use portlane_stats::snapshot::Snapshot;
use proptest::prelude::*;

use crate::workers::{Crew, Step, config, step};

/// Readings of all workers, until all are complete.
struct Readers {
    readings: Vec<Reading>,
    complete: Vec<bool>,
}

impl Readers {
    fn begin(crew: &Crew) -> Self {
        let begin = |line| {
            let mut reading = Reading::default();
            reading.begin(line);
            reading
        };
        Self { readings: crew.lines.iter().map(begin).collect(), complete: vec![false; crew.lines.len()] }
    }

    /// One of the workers copies some lanes. A report if it was the last to be complete.
    fn go_on(&mut self, crew: &Crew, worker: usize, lanes: usize) -> Option<Snapshot> {
        let worker = worker % crew.lines.len();
        if !self.complete[worker] {
            self.complete[worker] = self.readings[worker].go_on(&crew.lines[worker], crew.now, lanes);
        }
        let all = self.complete.iter().all(|&complete| complete);
        all.then(|| report::make(&self.readings, &crew.owners, &crew.plan, &Context::default()))
    }
}

/// What `check` does not look at.
fn check(snapshot: &Snapshot) -> Result<(), TestCaseError> {
    prop_assert_eq!(snapshot.check(), Ok(()));
    for (id, lane) in snapshot.ingress().chain(snapshot.egress()) {
        prop_assert_eq!(lane.sojourn_ns.count, lane.sent_packets, "{}", id);
        prop_assert_eq!(lane.sojourn_octaves.counts.iter().sum::<u64>(), lane.sent_packets, "{}", id);
        let [limiter, queue] = &lane.traffic_control;
        prop_assert!(queue.packets >= limiter.packets && limiter.packets == lane.sent_packets, "{}", id);
        let oversize = limiter.drops - queue.drops;
        prop_assert_eq!(lane.drops.values().sum::<u64>(), queue.drops + oversize, "{}", id);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn every_reading_balances(
        count in 1..4_u32,
        steps in prop::collection::vec((step(), 0..3_usize, 1..7_usize), 1..300),
        ring in 1..300_usize,
    ) {
        let mut crew = Crew::new(&config(), count, 1_000, ring);
        let mut readers = Readers::begin(&crew);
        for (step, worker, lanes) in steps {
            prop_assert!(!matches!(step, Step::Change(_)), "they come only when nobody reads");
            crew.step(step);
            if let Some(snapshot) = readers.go_on(&crew, worker, lanes) {
                check(&snapshot)?;
                readers = Readers::begin(&crew);
            }
        }
    }
}
