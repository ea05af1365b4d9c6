//! Every interleaving of a short exchange, tried by loom: it fails if a slot is read and written at once, or if an
//! entry is seen before what it says.
//!
//! Nobody waits in it, so that the number of interleavings is small: either side tries a few times and goes on.

use loom::thread;

use super::plain;

/// One thread offers `offers` entries to a ring of `size` and publishes after each `batch`; the other looks `looks`
/// times and releases what it gets. What was accepted arrives, once and in order.
fn exchange(size: u32, offers: u32, batch: u32, looks: u32) {
    loom::model(move || {
        let (mut producer, mut consumer) = plain(size, u32::MAX, 0_u32);
        assert!(!producer.needs_wakeup());
        let sender = thread::spawn(move || {
            let mut accepted = Vec::new();
            for entry in 1..=offers {
                accepted.extend(producer.push(entry).is_ok().then_some(entry));
                if entry % batch == 0 {
                    producer.publish();
                }
            }
            assert!(producer.pending() <= size);
            accepted
        });
        let mut arrived = Vec::new();
        for _ in 0..looks {
            if let Some(entry) = consumer.pop() {
                arrived.push(entry);
                consumer.release();
            }
        }
        let accepted = sender.join().unwrap();
        arrived.extend(std::iter::from_fn(|| consumer.pop()));
        assert_eq!(arrived, accepted);
    });
}

#[test]
fn one_slot_is_handed_to_and_fro() {
    exchange(1, 3, 1, 3);
}

#[test]
fn slots_are_reused_after_the_indices_wrap() {
    exchange(2, 4, 1, 3);
}

#[test]
fn a_batch_becomes_visible_as_a_whole() {
    exchange(2, 4, 2, 4);
}
