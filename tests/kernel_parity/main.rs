//! portlane beside the kernel's own HTB and TBF: packets are sent through a veth on which `tc` shapes, in throw-away network
//! namespaces, and the same packets at the same times through `portlane replay`. Prints a table of how far they are apart.
//! Needs root; reported as ignored where namespaces may not be made.
//!
//! The machine that this runs on has other things to do. Where packets were sent late, or the kernel woke up
//! late, and the figures are apart, the scenario is tried again.
#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod change;
mod compare;
mod kernel;
mod load;
mod scenarios;
mod shaping;
mod sink;
#[path = "../traces/virtual_time.rs"]
mod virtual_time;

use std::io::ErrorKind;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use portlane::args::Way;
use portlane::netns::Namespace;

use crate::compare::{Comparison, Ours};
use crate::kernel::{Bench, Observed};
use crate::scenarios::{SECONDS, Scenario};
use crate::shaping::Shaping;

/// A machine that sends or wakes up later than this is too busy to be believed.
const LATE: Duration = Duration::from_millis(2);

const ATTEMPTS: usize = 3;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They mostly wait, and each has namespaces of its own; but each also has a sender that must not be late.
    arguments.test_threads.get_or_insert(2);
    // Anything else than a lacking permission is a failure of the trials, not a reason to skip them.
    let forbidden = Namespace::new().is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
    let table: &'static Mutex<Vec<String>> = Box::leak(Box::default());
    let trial = |(scenario, run): (Scenario, Run)| {
        let name = scenario.name;
        Trial::test(name, move || judge(&scenario, run, table)).with_ignored_flag(forbidden)
    };
    let replayed = scenarios::all().into_iter().map(|scenario| (scenario, replay as Run));
    let changed = [(change::scenario(), change::run as Run)];
    let conclusion = libtest_mimic::run(&arguments, replayed.chain(changed).map(trial).collect());
    print_table(&table.lock().unwrap());
    conclusion.exit_code()
}

/// Runs a scenario in the kernel, and its packets through portlane.
type Run = fn(&Scenario) -> (Observed, Ours);

/// Tries until the figures agree, or disagree on a machine that was not late.
fn judge(scenario: &Scenario, run: Run, table: &Mutex<Vec<String>>) -> Result<(), Failed> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let (observed, ours) = run(scenario);
        let leaves = scenario.shaping.leaves().into_iter().enumerate();
        let leaves: Vec<_> = leaves.map(|(place, leaf)| Comparison::new(place, leaf, &observed, &ours)).collect();
        let failures: Vec<_> = leaves.iter().flat_map(Comparison::failures).collect();
        let late = observed.latest.max(compare::latest_wake_up(&observed, &ours));
        if failures.is_empty() || late <= LATE || attempts == ATTEMPTS {
            table.lock().unwrap().extend(leaves.iter().map(|leaf| row(scenario.name, leaf, late)));
            return if failures.is_empty() { Ok(()) } else { Err(failures.join("\n").into()) };
        }
    }
}

/// The scenario with one configuration from beginning to end.
fn replay(scenario: &Scenario) -> (Observed, Ours) {
    let (observed, ()) = Bench::new(&scenario.shaping).run(&load::plan(&scenario.loads, SECONDS), |_| ());
    let replayed = virtual_time::replay(&scenario.shaping.config(), Way::Egress, &observed.arrivals);
    let is_class = matches!(scenario.shaping, Shaping::Htb(_));
    let counts = replayed.stats.containers.iter().map(|container| compare::counts(&container.egress, is_class));
    let ours = Ours { counts: counts.collect(), departures: replayed.departures };
    (observed, ours)
}

fn print_table(rows: &[String]) {
    if rows.is_empty() {
        return;
    }
    let of_both = "kernel portlane";
    println!(
        "{:<20} {:<8} {:>15} {:>8} {:>15} {:>15} {:>15} {:>7}",
        "", "", "kB", "apart in", "drops", "lended", "borrowed", "late"
    );
    println!(
        "{:<20} {:<8} {of_both} {:>8} {of_both} {of_both} {of_both} {:>7}",
        "scenario", "class", "a second", "at most"
    );
    rows.iter().for_each(|row| println!("{row}"));
}

fn row(name: &str, leaf: &Comparison, late: Duration) -> String {
    let both = |[kernels, ours]: [u64; 2]| format!("{kernels:>6} {ours:>8}");
    let of_class = |packets: fn([u64; 2]) -> u64| match leaf.counts.map(|counts| counts.lended) {
        [Some(kernels), Some(ours)] => both([kernels, ours].map(packets)),
        _ => format!("{:>6} {:>8}", "-", "-"),
    };
    let bytes = leaf.bytes();
    format!(
        "{name:<20} {:<8} {} {:>6.2} % {} {} {} {:>4.1} ms",
        leaf.leaf,
        both([bytes.kernels, bytes.ours].map(|bytes| bytes / 1_000)),
        leaf.worst_percent(),
        both(leaf.counts.map(|counts| counts.drops)),
        of_class(|[lended, _]| lended),
        of_class(|[_, borrowed]| borrowed),
        late.as_secs_f64() * 1e3,
    )
}
