//! Both ends of a ring in plain memory, in batches.

use std::hint::black_box;

use portlane_rings::ring;

use super::{Element, Rounds};

const BATCH: u64 = 64;

pub(super) fn push_and_pop() -> Box<dyn Element> {
    let (mut producer, mut consumer) = ring::plain(2_048, 0, 0_u64);
    Box::new(Rounds(BATCH, move || {
        for entry in 0..BATCH {
            producer.push(black_box(entry)).expect("the ring is empty");
        }
        producer.publish();
        while let Some(entry) = consumer.pop() {
            black_box(entry);
        }
        consumer.release();
    }))
}
