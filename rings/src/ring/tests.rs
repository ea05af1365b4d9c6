//! The ring against a queue of the standard library.

use std::collections::VecDeque;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Consumer, Producer, Ring, plain};

#[derive(Debug, Clone, Copy)]
enum Step {
    Push,
    Publish,
    Pop,
    Release,
}

/// A ring as it should behave: three queues instead of four indices.
#[derive(Default)]
struct Oracle {
    hidden: VecDeque<u64>,
    visible: VecDeque<u64>,
    /// Entries popped whose slots are not yet released.
    taken: u32,
}

impl Oracle {
    fn occupied(&self) -> u32 {
        u32::try_from(self.hidden.len() + self.visible.len()).unwrap() + self.taken
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![4 => Just(Step::Push), 1 => Just(Step::Publish), 4 => Just(Step::Pop), 1 => Just(Step::Release)]
}

proptest! {
    #[test]
    fn behaves_like_a_queue(
        exponent in 0_u32..5,
        before_wrap in 0_u32..20,
        steps in vec(step(), 0..400),
    ) {
        let size = 1 << exponent;
        let (mut producer, mut consumer) = plain(size, u32::MAX - before_wrap, 0_u64);
        let mut oracle = Oracle::default();
        for (step, entry) in steps.into_iter().zip(1_u64..) {
            match step {
                Step::Push => {
                    let full = oracle.occupied() == size;
                    let room = producer.room();
                    prop_assert!(room <= size - oracle.occupied() && (room == 0) == full);
                    prop_assert_eq!(producer.push(entry), if full { Err(entry) } else { Ok(()) });
                    oracle.hidden.extend((!full).then_some(entry));
                }
                Step::Publish => {
                    producer.publish();
                    oracle.visible.append(&mut oracle.hidden);
                }
                Step::Pop => {
                    let expected = oracle.visible.pop_front();
                    oracle.taken += u32::from(expected.is_some());
                    prop_assert_eq!(consumer.pop(), expected);
                }
                Step::Release => {
                    consumer.release();
                    oracle.taken = 0;
                }
            }
            prop_assert_eq!(producer.pending(), oracle.occupied());
        }
    }

    #[test]
    fn nonsense_from_the_other_side_stops_the_ring_and_nothing_else(index: u32) {
        let [ours, theirs] = Ring::plain(8, 0, 0_u64);
        theirs.consumer().store(index, super::Ordering::Release);
        let mut producer = Producer::new(ours);
        prop_assert!(producer.room() <= 8);
        let accepted = (0..100).filter(|&entry| producer.push(entry).is_ok()).count();
        prop_assert!(accepted <= 8);

        let [ours, theirs] = Ring::plain(8, 0, 0_u64);
        theirs.producer().store(index, super::Ordering::Release);
        let mut consumer = Consumer::new(ours);
        let taken = std::iter::from_fn(|| consumer.pop()).take(100).count();
        prop_assert_eq!(taken, if index <= 8 { usize::try_from(index).unwrap() } else { 0 });
    }
}

#[test]
fn the_kernel_asks_for_a_wakeup_with_its_flag() {
    let [ours, kernels] = Ring::plain(8, 0, 0_u64);
    let producer = Producer::new(ours);
    assert!(!producer.needs_wakeup());
    kernels.flags().store(libc::XDP_RING_NEED_WAKEUP, super::Ordering::Relaxed);
    assert!(producer.needs_wakeup());
}

#[test]
fn entries_cross_threads_in_order() {
    const COUNT: u64 = 200_000;
    let (mut producer, mut consumer) = plain(64, u32::MAX - 1_000, 0_u64);
    let sender = std::thread::spawn(move || {
        for entry in 0..COUNT {
            while producer.push(entry).is_err() {
                producer.publish();
                std::thread::yield_now();
            }
        }
        producer.publish();
    });
    for expected in 0..COUNT {
        let entry = loop {
            match consumer.pop() {
                Some(entry) => break entry,
                None => std::thread::yield_now(),
            }
            consumer.release();
        };
        assert_eq!(entry, expected);
    }
    sender.join().unwrap();
}
