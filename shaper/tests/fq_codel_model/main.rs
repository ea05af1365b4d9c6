//! FQ-CoDel against an independent model, written from RFC 8290 sections 4 and 5 and RFC 8289 section 5, driven with the
//! same random packets. Same packets dropped, for the same reasons, same marked, same departure times and order, same
//! counters.

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/rfc8289.rs"]
mod rfc8289;

mod gate;
mod log;
mod model;
mod scenario;
mod subject;

use portlane_shaper::DropReason;

use crate::log::{Event, Log};
use crate::model::Model;
use crate::scenario::Scenario;
use crate::subject::{Lane, drive};

#[test]
fn a_lane_does_what_the_model_of_the_rfc_does() {
    let (seeds, packets) = (600, 2_000);
    let mut seen = Seen::default();
    for seed in 0..seeds {
        let scenario = Scenario::random(seed, packets);
        let mut model = Model::new(&scenario);
        let expected = drive(&mut model, &scenario);
        let log = drive(&mut Lane::new(&scenario), &scenario);
        compare(seed, &log, &expected);
        seen.add(&expected, &model);
    }
    println!("{seeds} seeds: {seen:?}");
    assert!(seen.sent + seen.dropped_by_codel + seen.dropped_over_limit + seen.dropped_over_memory >= 1_000_000);
    seen.assert_that_all_was_tried();
}

fn compare(seed: u64, log: &Log, expected: &Log) {
    if let Some(place) = log.iter().zip(expected).position(|(ours, models)| ours != models) {
        let before: Vec<_> = expected[..place].iter().rev().filter(|(_, event)| !event.is_look()).take(8).collect();
        let (ours, models) = (&log[place], &expected[place]);
        panic!("seed {seed}, event {place}\nours     {ours:?}\nmodel's  {models:?}\nbefore, latest first: {before:?}");
    }
    assert_eq!(log.len(), expected.len(), "seed {seed}: events");
}

/// Where the traffic led.
#[derive(Debug, Default)]
struct Seen {
    sent: u64,
    marked: u64,
    dropped_by_codel: u64,
    dropped_over_limit: u64,
    dropped_over_memory: u64,
    dropped_in_batches: u64,
    emptied_by_codel: u64,
    resumed: u64,
    ce_marked: u64,
}

impl Seen {
    fn add(&mut self, log: &Log, model: &Model) {
        for (_, event) in log {
            match event {
                Event::Sent(_) => self.sent += 1,
                Event::Marked(_) => self.marked += 1,
                Event::Dropped(_, DropReason::Codel) => self.dropped_by_codel += 1,
                Event::Dropped(_, DropReason::Memory) => self.dropped_over_memory += 1,
                Event::Dropped(..) => self.dropped_over_limit += 1,
                Event::Wake(_) | Event::Stats(_) | Event::Flow(_) => {}
            }
        }
        self.dropped_in_batches += model.dropped_in_batches;
        self.emptied_by_codel += model.emptied_by_codel;
        self.resumed += model.resumed();
        self.ce_marked += model.ce_marked();
    }

    fn assert_that_all_was_tried(&self) {
        let rare = [self.marked, self.dropped_by_codel, self.dropped_over_limit, self.dropped_over_memory];
        let rarer = [self.dropped_in_batches, self.emptied_by_codel, self.resumed, self.ce_marked];
        assert!(rare.into_iter().chain(rarer).all(|times| times > 1_000), "too seldom: {self:?}");
    }
}
