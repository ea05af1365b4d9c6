//! Every interleaving of a short exchange, tried by loom: it fails if a slot is read and written at once, or if an
//! entry is seen before what it says.
//!
//! Nobody waits in it, so that the number of interleavings is small: either side tries a few times and goes on.

#![allow(unsafe_code, reason = "accesses what the rings are to keep apart")]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
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

/// One worker writes to a frame and hands it over, the other writes to it too and gives it back through another ring: with
/// the address goes the right to the bytes. Two frames, each handed over as long as it is there to be.
#[test]
fn what_is_handed_over_comes_back() {
    struct Frames([UnsafeCell<u32>; 2]);
    // SAFETY: what is under test: loom notices two accesses at once.
    unsafe impl Sync for Frames {}
    fn write(frames: &Frames, frame: usize) {
        // SAFETY: under test as well.
        frames.0[frame].with_mut(|bytes| unsafe { *bytes += 1 });
    }
    loom::model(move || {
        let frames = Arc::new(Frames([UnsafeCell::new(0), UnsafeCell::new(0)]));
        let (mut out, mut incoming) = plain(2, u32::MAX, 0_usize);
        let (mut back, mut home) = plain(2, u32::MAX, 0_usize);
        let other = thread::spawn({
            let frames = Arc::clone(&frames);
            move || {
                for _ in 0..2 {
                    while let Some(frame) = incoming.pop() {
                        write(&frames, frame);
                        back.push(frame).unwrap();
                    }
                    incoming.release();
                    back.publish();
                }
                (incoming, back)
            }
        });
        for frame in [0, 1] {
            write(&frames, frame);
            out.push(frame).unwrap();
            out.publish();
        }
        if let Some(frame) = home.pop() {
            home.release();
            write(&frames, frame);
            out.push(frame).unwrap();
            out.publish();
        }
        let (mut incoming, _back) = other.join().unwrap();
        let returned = std::iter::from_fn(|| home.pop()).inspect(|&frame| write(&frames, frame)).count();
        let left = std::iter::from_fn(|| incoming.pop()).count();
        assert_eq!(returned + left, 2);
    });
}

/// A consumer that sleeps is woken, or has seen the entry before: never neither.
#[test]
fn who_sleeps_is_woken() {
    loom::model(|| {
        let (mut producer, mut consumer) = plain(2, u32::MAX, 0_u32);
        let sender = thread::spawn(move || {
            producer.push(7).unwrap();
            producer.publish_and_ask()
        });
        let sleeps = consumer.falls_asleep();
        let woken = sender.join().unwrap();
        assert!(woken || !sleeps, "it sleeps, and nobody wakes it");
        consumer.is_awake();
        assert_eq!(consumer.pop(), Some(7));
    });
}
