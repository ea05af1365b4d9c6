//! A packet that is [offered](portlane_shaper::Shaper::offer) and goes straight through leaves everything as if it had been
//! queued and dequeued.

mod examples;
mod scene;
mod seen;
mod twin;
mod twins;

use proptest::test_runner::{Config, TestRunner};

use crate::seen::Seen;
use crate::twins::Twins;

/// Two shapers of the same random tree, side by side: what leaves, what is dropped and marked, and all that can be read of
/// them is the same after every step.
#[test]
fn a_packet_that_goes_straight_through_leaves_all_as_if_it_had_been_queued() {
    let config = Config { cases: 10_000, max_shrink_iters: 20_000, failure_persistence: None, ..Config::default() };
    let seen = Seen::default();
    let mut runner = TestRunner::new(config);
    let run = runner.run(&(scene::trees(), scene::starts(), scene::ops()), |(tree, start, ops)| {
        let mut twins = Twins::new(&tree, start, &seen);
        ops.iter().for_each(|op| twins.apply(op));
        twins.drain();
        Ok(())
    });
    if let Err(failure) = run {
        panic!("{failure}\n{runner}");
    }
    seen.assert_that_all_was_tried();
}
