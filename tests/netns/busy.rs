//! What a machine that has other things to do may spoil, and nothing else: such a trial is tried again.

use std::panic::{catch_unwind, panic_any, resume_unwind};

/// Why a try does not count.
struct Busy(String);

/// For what only slowness can violate: at least a share of a limit, at most a delay or a share of a core. A limit that is
/// exceeded, a packet that is missing, memory that grows are no matter of time: those are asserted.
pub(crate) fn assert_in_time(holds: bool, told: impl FnOnce() -> String) {
    if !holds {
        panic_any(Busy(told()));
    }
}

/// Runs a trial: too late three times in a row is a failure, anything else that fails is one at once.
pub(crate) fn run(name: &str, test: fn()) {
    for attempt in 1.. {
        let Err(panic) = catch_unwind(test) else { return };
        match panic.downcast::<Busy>() {
            Ok(busy) if attempt < 3 => eprintln!("{name}: tried again, for the machine may have been busy: {}", busy.0),
            Ok(busy) => panic!("{attempt} times in a row, the last: {}", busy.0),
            Err(other) => resume_unwind(other),
        }
    }
}
