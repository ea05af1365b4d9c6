//! `portlane demo --host`: containers in namespaces of their own, on a host's address, and one of them a bad neighbour.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::topology::Topology;
use super::{cannot_build, print, round};
use crate::args::Demo;
use crate::commands::outputs;
use crate::config;
use crate::failure::Failure;

/// What the demo configures, but for the namespaces.
const CONFIG: &str = include_str!("../../examples/demo-host.toml");

/// The container that floods: by its position.
const FLOODS: usize = 2;

/// The port that it floods from: the first of container `fast`.
const FOREIGN: u16 = 31_744;

/// Datagrams of the flood each millisecond.
const PER_MS: u64 = 100;

/// Runs both rounds: without the flood and with it.
///
/// # Errors
///
/// As those of the demo; and if something is left behind.
pub(super) fn run(arguments: &Demo, stop: &AtomicBool) -> Result<(), Failure> {
    let named = config::parse(CONFIG, "examples/demo-host.toml").map_err(Failure::refused)?;
    let topology = Topology::of_host(named.containers.len()).map_err(|cause| cannot_build(&cause))?;
    let before = topology.state().map_err(Failure::failed)?;
    let plan = || {
        let mut plan = named.clone();
        for (number, container) in plan.containers.iter_mut().enumerate() {
            Arc::make_mut(container).netns = Some(PathBuf::from(topology.servers_of(number).path()));
        }
        plan
    };
    let (seconds, window) = (arguments.seconds, Duration::from_secs(arguments.seconds));
    if !arguments.json {
        outputs::print(&format!(
            "Two rounds of real TCP (cubic) and UDP, {seconds} s each, of containers on one host's address ...\n"
        ))?;
    }
    let without = round::run_with(&topology, plan(), window, stop, |traffic| traffic.outwards(&topology))?;
    let with = round::run_with(&topology, plan(), window, stop, |traffic| {
        traffic.outwards(&topology)?;
        traffic.flood(&topology, FLOODS, FOREIGN, PER_MS)
    })?;
    let after = topology.state().map_err(Failure::failed)?;
    if after != before {
        return Err(Failure::failed(format!("something is left behind.\nBefore:\n{before}\nAfter:\n{after}")));
    }
    let print = if arguments.json { print::host_json } else { print::host_text };
    outputs::print(&print(&without, &with))
}
