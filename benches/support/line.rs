//! The whole packet line between the ends of a device made for measuring: the loads of `portlane bench`.

use portlane::bench::{Load, Options, Scenario};
use portlane::line::BATCH;

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

fn turn(load: Load) -> Box<dyn Element> {
    let mut scenario = scenario(load);
    scenario.warm_up();
    Box::new(Rounds(BATCH as u64, move || scenario.turns(1)))
}

fn scenario(load: Load) -> Scenario {
    Scenario::new(&Options { load, ..Options::default() }).expect("options within their ranges")
}
