//! The whole packet line between the ends of a device made for measuring: the loads of `portlane bench`.

use portlane::bench::{Load, Options, Scenario};
use portlane::line::BATCH;
use portlane::reading::Reading;
use portlane_shaper::Nanos;

use super::{Element, Rounds};

pub(super) fn idle() -> Box<dyn Element> {
    turn(Load::Idle)
}

pub(super) fn default() -> Box<dyn Element> {
    turn(Load::Default)
}

pub(super) fn overload() -> Box<dyn Element> {
    turn(Load::Overload)
}

/// The device alone: what every turn holds that is not the line's.
pub(super) fn device() -> Box<dyn Element> {
    let mut scenario = scenario(Load::Idle);
    Box::new(Rounds(BATCH as u64, move || scenario.turns_of_device(1)))
}

/// What a worker copies for a report, a container at a time: beside the turns, which are the same whoever asks.
pub(super) fn reading() -> Box<dyn Element> {
    let mut scenario = scenario(Load::Default);
    scenario.warm_up();
    let (mut reading, containers) = (Reading::default(), scenario.line().places.containers.len());
    let read = move || {
        reading.begin(scenario.line());
        assert!(reading.go_on(scenario.settled_line(), Nanos::ZERO, usize::MAX));
    };
    Box::new(Rounds(containers as u64, read))
}

fn turn(load: Load) -> Box<dyn Element> {
    let mut scenario = scenario(load);
    scenario.warm_up();
    Box::new(Rounds(BATCH as u64, move || scenario.turns(1)))
}

fn scenario(load: Load) -> Scenario {
    Scenario::new(&Options { load, ..Options::default() }).expect("options within their ranges")
}
