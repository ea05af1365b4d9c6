//! The packet line with load idle, the beginnings of whose frames are shown to who observes flows.

use portlane::bench::{Load, Options, Scenario};
use portlane::flows::heads::{Taken, way};
use portlane::line::BATCH;

use super::{Element, Rounds};

/// Room for what is shown between two looks.
const SLOTS: u32 = 1 << 19;

/// Turns from one look to the next: more than are counted, so that it is not what the worker does that is counted with it.
const TURNS: u64 = 1 << 12;

pub(super) fn turn() -> Box<dyn Element> {
    let options = Options { load: Load::Idle, ..Options::default() };
    let (sender, mut receiver) = way(SLOTS);
    let mut scenario = Scenario::observed(&options, sender).expect("options within their ranges");
    scenario.warm_up();
    let (mut turns, mut taken) = (TURNS, Taken::default());
    Box::new(Rounds(BATCH as u64, move || {
        if turns == TURNS {
            turns = 0;
            while let Some(time_ns) = receiver.oldest_ns() {
                while receiver.take(time_ns, &mut taken).is_some() {}
            }
            receiver.release();
        }
        turns += 1;
        scenario.turns(1);
    }))
}
