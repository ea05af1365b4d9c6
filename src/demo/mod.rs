//! `portlane demo`: real traffic through `run`, in namespaces of its own.

mod host;
mod line;
mod print;
mod round;
mod topology;
mod traffic;
mod virtual_time;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use portlane_shaper::QueueParams;

use crate::args::Demo;
use crate::commands::outputs;
use crate::commands::run::stop_on_signals;
use crate::config::{self, Plan};
use crate::control::server::{Beside, Server};
use crate::failure::Failure;
use crate::flows::Settings;
use topology::Topology;

/// What the demo configures.
const CONFIG: &str = include_str!("../../examples/demo.toml");

/// How long `--hold` holds at most.
const LONGEST_HOLD: Duration = Duration::from_secs(600);

/// Runs the command.
///
/// # Errors
///
/// Refused without the permission to make namespaces, or without `ip` and `ethtool`; failed if it is interrupted, or
/// something in the namespaces fails. Either way nothing is left behind.
pub fn run(arguments: &Demo) -> Result<(), Failure> {
    let stop = stop_on_signals()?;
    if arguments.host {
        return host::run(arguments, &stop);
    }
    let plan = || plan().map(|plan| observed(plan, arguments));
    let topology = Topology::of_wire(plan()?.containers.len()).map_err(|cause| cannot_build(&cause))?;
    if arguments.hold {
        let plan = plan()?;
        let observed = plan.flows.as_ref().map(|_| Arc::default());
        let beside = Beside { observed: observed.clone(), ..Beside::default() };
        let (_server, questions) = Server::start(&plan, None, beside)?;
        let listen = plan.listen;
        outputs::print(&format!(
            "traffic flows until Ctrl-C; numbers on http://{listen}/stats.json, by `portlane stats`\n"
        ))?;
        let end = round::hold(&topology, plan, LONGEST_HOLD, &stop, (observed, questions))?;
        return outputs::print(&portlane_stats::render::text::render(&end));
    }
    let window = Duration::from_secs(arguments.seconds);
    if !arguments.json {
        let seconds = arguments.seconds;
        outputs::print(&format!("Two rounds of real TCP (cubic) and UDP, {seconds} s each, through `run` ...\n"))?;
    }
    let with = round::run(&topology, plan()?, window, &stop)?;
    let without = round::run(&topology, without_codel(plan()?), window, &stop)?;
    let print = if arguments.json { print::json } else { print::text };
    outputs::print(&print(&with, &without))?;
    tell_of_store(arguments)
}

fn plan() -> Result<Plan, Failure> {
    config::parse(CONFIG, "examples/demo.toml").map_err(Failure::refused)
}

/// The same, whose flows are observed if that is wanted.
fn observed(plan: Plan, arguments: &Demo) -> Plan {
    Plan { flows: arguments.flows.clone().map(Settings::kept_in).map(Arc::new), ..plan }
}

/// Says what may be done with what was kept of flows.
fn tell_of_store(arguments: &Demo) -> Result<(), Failure> {
    match arguments.flows.as_ref().filter(|_| !arguments.json) {
        Some(folder) => outputs::print(&format!(
            "\nWhat flows did is in {}: `portlane flows --store {0}`, or docs/flows.md for DuckDB\n",
            folder.display()
        )),
        None => Ok(()),
    }
}

/// Packets that a queue without CoDel may hold: an interface's default (`txqueuelen`).
const FIFO_LIMIT: u32 = 1_000;

fn without_codel(mut plan: Plan) -> Plan {
    let lanes = plan.containers.iter_mut().flat_map(|container| &mut Arc::make_mut(container).lanes);
    lanes.chain([&mut plan.unmatched]).for_each(|lane| lane.queue = QueueParams::fifo(FIFO_LIMIT));
    plan
}

fn cannot_build(cause: &io::Error) -> Failure {
    match cause.kind() {
        io::ErrorKind::PermissionDenied => Failure::refused(
            "the demo makes network namespaces, which needs root: run it with sudo (`portlane replay` needs nothing)",
        ),
        io::ErrorKind::NotFound => {
            Failure::refused(format!("{cause}: install iproute2 and ethtool, or run `make demo`"))
        }
        _ => Failure::refused(format!("the demo's namespaces cannot be made: {cause}")),
    }
}
