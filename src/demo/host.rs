//! `portlane demo --host`: containers in namespaces of their own, on a host's address, and one of them a bad neighbour: by what it may
//! not send, or by more than it may. And they speak with each other, and with the host, on that address.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::print::HostRounds;
use super::topology::Topology;
use super::traffic::{Flood, Peers};
use super::{cannot_build, observed, print, round, tell_of_store, virtual_time};
use crate::args::Demo;
use crate::commands::outputs;
use crate::config;
use crate::failure::Failure;

/// What the demo configures, but for the namespaces.
const CONFIG: &str = include_str!("../../examples/demo-host.toml");

/// Container `free` floods from the first port of container `fast`.
const FOREIGN: Flood = Flood { container: 2, port: 31_744, per_ms: 100, bytes: 64 };

/// Container `slow` sends eight times what it may, from a port of its own: its queue is full.
const TOO_MUCH: Flood = Flood { container: 1, port: 32_778, per_ms: 20, bytes: 1_000 };

/// Runs all rounds: without bad neighbours, with one of either kind, and what stays on the host; and the first three in virtual time.
///
/// # Errors
///
/// As those of the demo; and if something is left behind.
pub(super) fn run(arguments: &Demo, stop: &AtomicBool) -> Result<(), Failure> {
    let named = config::parse(CONFIG, "examples/demo-host.toml").map_err(Failure::refused)?;
    let topology = Topology::of_host(named.containers.len()).map_err(|cause| cannot_build(&cause))?;
    let before = topology.state().map_err(Failure::failed)?;
    let plan = || {
        let mut plan = observed(named.clone(), arguments);
        for (number, container) in plan.containers.iter_mut().enumerate() {
            Arc::make_mut(container).netns = Some(PathBuf::from(topology.servers_of(number).path()));
        }
        plan
    };
    let (seconds, window) = (arguments.seconds, Duration::from_secs(arguments.seconds));
    if !arguments.json {
        outputs::print(&format!(
            "Four rounds of real TCP (cubic) and UDP, {seconds} s each, of containers on one host's address ...\n"
        ))?;
    }
    let without =
        round::run_with(&topology, plan(), window, stop, Peers::Clients, |traffic| traffic.outwards(&topology))?;
    let beside = |flood| {
        round::run_with(&topology, plan(), window, stop, Peers::Clients, |traffic| {
            traffic.outwards(&topology)?;
            traffic.flood(&topology, flood)
        })
    };
    let (flood, full) = (beside(FOREIGN)?, beside(TOO_MUCH)?);
    let between = round::run_with(&topology, plan(), window, stop, Peers::Neighbours, |_| Ok(()))?;
    let in_virtual_time = virtual_time::run()?;
    let rounds = HostRounds { without, flood, full, fills: TOO_MUCH.container, between, in_virtual_time };
    let after = topology.state().map_err(Failure::failed)?;
    if after != before {
        return Err(Failure::failed(format!("something is left behind.\nBefore:\n{before}\nAfter:\n{after}")));
    }
    let print = if arguments.json { print::host_json } else { print::host_text };
    outputs::print(&print(&rounds))?;
    tell_of_store(arguments)
}
