//! Parts that hand frames over to each other, against queues of the standard library.

use std::collections::VecDeque;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::Layout;

/// What one worker does.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Fills a frame, and hands it over to the other at this distance.
    HandOver(usize),
    Publish,
    /// Takes a frame over from the other at this distance, and keeps it.
    TakeOver(usize),
    /// Is done with the frame that it has kept longest.
    Put,
    Exchange,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..3_usize).prop_map(Step::HandOver),
        2 => Just(Step::Publish),
        6 => (1..3_usize).prop_map(Step::TakeOver),
        4 => Just(Step::Put),
        1 => Just(Step::Exchange),
    ]
}

/// What is in the ring between two: numbers that are not yet shown, and those that are.
#[derive(Default)]
struct Queue {
    hidden: VecDeque<u64>,
    visible: VecDeque<u64>,
    /// Taken, and their slots not yet given back.
    taken: usize,
}

struct Scene {
    parts: Vec<Part<u64>>,
    /// By sender and receiver.
    queues: Vec<Vec<Queue>>,
    kept: Vec<VecDeque<(Frame, u64)>>,
    next: u64,
    /// Frames that one may lend to another.
    most: u32,
}

impl Scene {
    fn new(frames: u32, parts: usize, ring: u32) -> Self {
        let others = u32::try_from(parts - 1).unwrap();
        let pool = Pool::new(Layout { frames, frame_size: 64 }).unwrap();
        let queues = || std::iter::repeat_with(Queue::default).take(parts).collect();
        Self {
            parts: divide(pool, u32::try_from(parts).unwrap(), ring, 0).unwrap(),
            queues: std::iter::repeat_with(queues).take(parts).collect(),
            kept: std::iter::repeat_with(VecDeque::new).take(parts).collect(),
            next: 1,
            most: (frames / (others + 1) / 2).checked_div(others).unwrap_or(0),
        }
    }

    fn take(&mut self, who: usize, step: Step, ring: usize) {
        let Part { pool, peers } = &mut self.parts[who];
        let other = |distance: usize| (who + distance) % peers.len();
        match step {
            Step::HandOver(distance) if other(distance) != who => {
                let to = other(distance);
                let Some(mut frame) = pool.take() else { return };
                pool.write(&mut frame, &self.next.to_be_bytes()).unwrap();
                frame.set_wire_len(1_000);
                let queue = &mut self.queues[who][to];
                let full = queue.hidden.len() + queue.visible.len() + queue.taken == ring;
                match peers[to].as_mut().unwrap().hand_over(pool, frame, self.next) {
                    Ok(()) => {
                        assert!(!full);
                        queue.hidden.push_back(self.next);
                    }
                    Err(frame) => {
                        assert!(full || pool.lent() >= self.most, "refused without a reason");
                        assert_eq!(pool.bytes(&frame), self.next.to_be_bytes());
                        pool.put(frame);
                    }
                }
                self.next += 1;
            }
            Step::TakeOver(distance) if other(distance) != who => {
                let from = other(distance);
                let queue = &mut self.queues[from][who];
                let taken = peers[from].as_mut().unwrap().take_over(pool);
                assert_eq!(taken.as_ref().map(|&(_, number)| number), queue.visible.pop_front());
                queue.taken += usize::from(taken.is_some());
                self.kept[who].extend(taken);
            }
            Step::HandOver(_) | Step::TakeOver(_) => {}
            Step::Publish => {
                for (to, peer) in peers.iter_mut().enumerate().filter_map(|(to, peer)| Some((to, peer.as_mut()?))) {
                    peer.publish();
                    peer.release();
                    let Queue { hidden, visible, .. } = &mut self.queues[who][to];
                    visible.append(hidden);
                    self.queues[to][who].taken = 0;
                }
            }
            Step::Put => {
                let Some((frame, number)) = self.kept[who].pop_front() else { return };
                assert_eq!(pool.bytes(&frame), number.to_be_bytes());
                assert_eq!((frame.wire_len(), pool.owns(&frame)), (1_000, false));
                pool.put(frame);
            }
            Step::Exchange => pool.exchange(),
        }
    }

    /// The laws of each part; returns the sum of what they have.
    fn check(&self) -> u32 {
        let kept = |who: usize| u32::try_from(self.kept[who].len()).unwrap();
        let parts = self.parts.iter().enumerate();
        let here = parts.map(|(who, Part { pool, .. })| {
            assert_eq!(pool.free() + kept(who), pool.here(), "part {who}");
            pool.here()
        });
        here.sum()
    }

    fn in_rings(&self) -> usize {
        self.queues.iter().flatten().map(|queue| queue.hidden.len() + queue.visible.len()).sum()
    }
}

proptest! {
    #[test]
    fn frames_arrive_in_order_and_come_home(
        frames in 12..100_u32,
        parts in 1..4_usize,
        ring in prop_oneof![Just(1), Just(4), Just(64)],
        steps in vec((0..3_usize, step()), 0..600),
    ) {
        let mut scene = Scene::new(frames, parts, ring);
        for (who, step) in steps {
            scene.take(who % parts, step, ring as usize);
            prop_assert!(scene.check() as usize + scene.in_rings() <= frames as usize);
        }
        for _ in 0..2 {
            for who in 0..parts {
                scene.take(who, Step::Publish, 0);
                for distance in 1..parts {
                    (0..frames).for_each(|_| scene.take(who, Step::TakeOver(distance), 0));
                }
                (0..frames).for_each(|_| scene.take(who, Step::Put, 0));
                scene.take(who, Step::Exchange, 0);
            }
        }
        (0..parts).for_each(|who| scene.take(who, Step::Exchange, 0));
        for part in &scene.parts {
            prop_assert_eq!((part.pool.free(), part.pool.here()), (part.pool.total(), part.pool.total()));
        }
        prop_assert_eq!(scene.check(), frames);
    }
}

fn two(frames: u32, ring: u32) -> [Part<u32>; 2] {
    divide(Pool::new(Layout { frames, frame_size: 64 }).unwrap(), 2, ring, 0).unwrap().try_into().unwrap()
}

#[test]
fn a_worker_lends_no_more_than_half() {
    let [mut one, mut other] = two(32, 64);
    let peer = one.peers[1].as_mut().unwrap();
    let frames: Vec<_> = std::iter::from_fn(|| one.pool.take()).collect();
    let refused: Vec<_> =
        frames.into_iter().filter_map(|frame| peer.hand_over(&mut one.pool, frame, 0).err()).collect();
    peer.publish();
    assert_eq!((refused.len(), one.pool.here()), (8, 8));
    refused.into_iter().for_each(|frame| one.pool.put(frame));
    let peer = other.peers[0].as_mut().unwrap();
    while let Some((frame, _)) = peer.take_over(&mut other.pool) {
        other.pool.put(frame);
    }
    assert_eq!((other.pool.free(), other.pool.here()), (16, 16));
    other.pool.exchange();
    one.pool.exchange();
    assert_eq!((one.pool.free(), one.pool.here()), (16, 16));
}

#[test]
#[should_panic(expected = "by the part that it is of")]
fn guests_are_not_handed_on() {
    let [mut one, mut other] = two(32, 64);
    let peer = one.peers[1].as_mut().unwrap();
    let frame = one.pool.take().unwrap();
    peer.hand_over(&mut one.pool, frame, 0).unwrap();
    peer.publish();
    let peer = other.peers[0].as_mut().unwrap();
    let (frame, _) = peer.take_over(&mut other.pool).unwrap();
    let _ = peer.hand_over(&mut other.pool, frame, 0);
}

#[test]
fn pools_that_cannot_be_divided_are_refused() {
    for (frames, parts, ring) in [(8, 0, 4), (8, 3, 4), (8, 2, 3), (8, 2, 0)] {
        let pool = Pool::new(Layout { frames, frame_size: 64 }).unwrap();
        let refused = divide(pool, parts, ring, ()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{refused}");
    }
}

#[test]
fn frames_cross_threads_and_come_home() {
    const COUNT: u32 = 100_000;
    let [mut one, mut other] = two(64, 8);
    let taker = std::thread::spawn(move || {
        let mut expected = 0;
        while expected < COUNT {
            let peer = other.peers[0].as_mut().unwrap();
            while let Some((mut frame, number)) = peer.take_over(&mut other.pool) {
                assert_eq!((number, other.pool.bytes(&frame)), (expected, &number.to_be_bytes()[..]));
                other.pool.bytes_mut(&mut frame).fill(0xff);
                other.pool.put(frame);
                expected += 1;
            }
            peer.release();
            other.pool.exchange();
            std::thread::yield_now();
        }
        other
    });
    let mut number = 0;
    while number < COUNT {
        one.pool.exchange();
        let Some(mut frame) = one.pool.take() else { continue };
        one.pool.write(&mut frame, &number.to_be_bytes()).unwrap();
        let peer = one.peers[1].as_mut().unwrap();
        match peer.hand_over(&mut one.pool, frame, number) {
            Ok(()) => number += 1,
            Err(frame) => {
                one.pool.put(frame);
                std::thread::yield_now();
            }
        }
        peer.publish();
    }
    let other = taker.join().unwrap();
    one.pool.exchange();
    assert_eq!((one.pool.free(), other.pool.free()), (32, 32));
}
