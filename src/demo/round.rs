//! One round of the demo: the line, traffic through it, and what was measured.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use portlane_shaper::Limiter;
use portlane_stats::snapshot::{ContainerReport, Snapshot};

use super::line::{LineThread, Sojourn, silent};
use super::topology::Topology;
use super::traffic::{Customer, Peers, Traffic};
use crate::config::{Container, Plan};
use crate::control::questions::Questions;
use crate::failure::Failure;
use crate::flows::Observed;

/// Traffic flows this long before measuring, so that bursts are spent, slow start is over and queues are full.
const WARM_UP: Duration = Duration::from_secs(5);

/// What a round measured.
#[derive(Debug)]
pub(super) struct Measured {
    /// Everything counted at the end of the window; sojourn times are those of the window.
    pub(super) window: Snapshot,
    /// Everything counted, after the queues were empty.
    pub(super) end: Snapshot,
    /// Bits a second of each container's egress, by the kernel's counters at its clients; by the lanes' of what stays on the host.
    pub(super) egress_bps: Vec<u64>,
    /// Bits a second of each container's ingress, by the lanes' counters.
    pub(super) ingress_bps: Vec<u64>,
    /// Packets that the kernel counted at the line's interfaces: received, sent.
    pub(super) kernel: (u64, u64),
}

/// Runs traffic through a line of `plan` and measures for `window`.
pub(super) fn run(topology: &Topology, plan: Plan, window: Duration, stop: &AtomicBool) -> Result<Measured, Failure> {
    run_with(topology, plan, window, stop, Peers::Clients, |_| Ok(()))
}

/// The same with `more` traffic, which begins with the other.
pub(super) fn run_with(
    topology: &Topology,
    plan: Plan,
    window: Duration,
    stop: &AtomicBool,
    peers: Peers,
    more: impl Fn(&mut Traffic) -> io::Result<()>,
) -> Result<Measured, Failure> {
    let customers = customers(&plan);
    let start = || {
        let mut traffic = Traffic::start(topology, &customers, peers)?;
        more(&mut traffic)?;
        Ok(traffic)
    };
    let before = topology.line_packets().map_err(Failure::failed)?;
    let line = LineThread::start(topology, plan)?;
    let during = measure(topology, start, &line, window, stop);
    let end = line.stop()?;
    let after = topology.line_packets().map_err(Failure::failed)?;
    let (window, [clients_bps, egress_bps, ingress_bps]) = during?;
    let egress_bps = if peers == Peers::Clients { clients_bps } else { egress_bps };
    Ok(Measured { window, end, egress_bps, ingress_bps, kernel: (after.0 - before.0, after.1 - before.1) })
}

/// The snapshot at the end of the window, and the rates in it: at clients, and of lanes, egress and ingress.
type InWindow = (Snapshot, [Vec<u64>; 3]);

fn measure(
    topology: &Topology,
    start: impl Fn() -> io::Result<Traffic>,
    line: &LineThread,
    window: Duration,
    stop: &AtomicBool,
) -> Result<InWindow, Failure> {
    let traffic = start().map_err(Failure::failed)?;
    pause(WARM_UP, stop, line)?;
    let (earlier, client_earlier, started) = (line.ask(Sojourn::Restart)?, client_bytes(topology)?, Instant::now());
    pause(window, stop, line)?;
    let (later, client_later, elapsed) = (line.ask(Sojourn::Continue)?, client_bytes(topology)?, started.elapsed());
    traffic.stop().map_err(Failure::failed)?;
    line.quiet_down()?;
    let sent = |of: fn(&ContainerReport) -> u64| {
        let [earlier, later] = [&earlier, &later].map(|read| read.containers.iter().map(of).collect::<Vec<_>>());
        rates(&earlier, &later, elapsed)
    };
    let lanes = [sent(|one| one.egress.sent_bytes), sent(|one| one.ingress.sent_bytes)];
    let [egress_bps, ingress_bps] = lanes;
    Ok((later, [rates(&client_earlier, &client_later, elapsed), egress_bps, ingress_bps]))
}

/// Keeps traffic flowing until `stop` is set or the time is over; `questions` are answered by the line.
pub(super) fn hold(
    topology: &Topology,
    plan: Plan,
    window: Duration,
    stop: &AtomicBool,
    (observed, questions): (Option<Arc<Observed>>, Questions),
) -> Result<Snapshot, Failure> {
    let customers = customers(&plan);
    let line = LineThread::start_answering(topology, plan, observed, questions)?;
    let traffic = Traffic::start(topology, &customers, Peers::Clients).map_err(Failure::failed)?;
    // Being stopped is how holding ends; if the line has ended, it says why.
    let _ = pause(window, stop, &line);
    let stopped = traffic.stop();
    let end = line.stop()?;
    stopped.map_err(Failure::failed)?;
    Ok(end)
}

fn customers(plan: &Plan) -> Vec<Customer> {
    let customer = |container: &Container| Customer {
        first_port: container.ports[0].first(),
        limited: container.lanes.iter().any(|lane| lane.limiter != Limiter::None),
    };
    plan.containers.iter().map(|container| customer(container)).collect()
}

/// Waits; being asked to stop is a failure to finish, and so is the line's end.
fn pause(time: Duration, stop: &AtomicBool, line: &LineThread) -> Result<(), Failure> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        if stop.load(Ordering::Relaxed) {
            return Err(Failure::failed("interrupted; everything has been removed"));
        }
        if line.has_ended() {
            return Err(silent());
        }
        thread::sleep(Duration::from_millis(50).min(end - Instant::now().min(end)));
    }
    Ok(())
}

fn client_bytes(topology: &Topology) -> Result<Vec<u64>, Failure> {
    let bytes = (0..topology.clients.len()).map(|client| Ok(topology.received_by(client)?.rx_bytes));
    bytes.collect::<io::Result<_>>().map_err(Failure::failed)
}

/// Bits a second between two readings of bytes.
fn rates(earlier: &[u64], later: &[u64], elapsed: Duration) -> Vec<u64> {
    let rate = |bytes: u64| u128::from(bytes) * 8_000_000_000 / elapsed.as_nanos().max(1);
    let rates = earlier.iter().zip(later).map(|(earlier, later)| rate(later - earlier));
    rates.map(|rate| u64::try_from(rate).unwrap_or(u64::MAX)).collect()
}
