//! CoDel over a queue that never ends, in which every packet has waited as long.

use std::hint::black_box;

use portlane_shaper::Nanos;
use portlane_shaper::codel::{Mark, Packet, Params, Source, State};

use super::{Element, Rounds};

const PACKETS: u64 = 4_096;

/// A full packet at 1 gbit.
const PACE: Nanos = Nanos(12_112);

/// Below target: nothing to do.
pub(super) fn short_queue() -> Box<dyn Element> {
    watching(Nanos::from_millis(1))
}

/// Above target: drops come ever faster.
pub(super) fn dropping() -> Box<dyn Element> {
    watching(Nanos::from_millis(20))
}

/// Every round begins where a second of it has led.
fn watching(delay: Nanos) -> Box<dyn Element> {
    let mut start = (State::default(), Endless { delay, now: Nanos::from_millis(1_000), dropped: 0 });
    (0..20).for_each(|_| round(&mut start));
    Box::new(Rounds(PACKETS, move || round(&mut black_box(start))))
}

fn round((state, queue): &mut (State, Endless)) {
    let params = Params::default();
    for _ in 0..PACKETS {
        queue.now = queue.now + PACE;
        black_box(state.dequeue(&params, queue.now, queue));
    }
}

#[derive(Clone, Copy)]
struct Endless {
    delay: Nanos,
    now: Nanos,
    dropped: u64,
}

struct Waited(Nanos);

impl Packet for Waited {
    fn enqueued(&self) -> Nanos {
        self.0
    }
}

impl Source for Endless {
    type Packet = Waited;

    fn pop(&mut self) -> Option<Waited> {
        Some(Waited(self.now - self.delay))
    }

    fn backlog(&self) -> u64 {
        1_000_000
    }

    fn drop(&mut self, _packet: Waited) {
        self.dropped += 1;
    }

    fn mark(&mut self, _packet: &mut Waited, _why: Mark) -> bool {
        false
    }
}
