//! One round of the demo: the line, traffic through it, and what was measured.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel;
use portlane_shaper::Limiter;
use portlane_stats::snapshot::Snapshot;
use tokio::sync::oneshot;

use super::topology::Topology;
use super::traffic::{Customer, Traffic};
use crate::config::{Container, Plan};
use crate::control::questions::{self, Question, Questions, Request};
use crate::failure::Failure;
use crate::live::Live;

/// Traffic flows this long before measuring, so that bursts are spent, slow start is over and queues are full.
const WARM_UP: Duration = Duration::from_secs(5);

/// How long the line gets to empty its queues after traffic has stopped.
const QUIET_DOWN: Duration = Duration::from_secs(10);

/// What a round measured.
#[derive(Debug)]
pub(super) struct Measured {
    /// Everything counted at the end of the window; sojourn times are those of the window.
    pub(super) window: Snapshot,
    /// Everything counted, after the queues were empty.
    pub(super) end: Snapshot,
    /// Bits a second of each container's egress, by the kernel's counters at its clients.
    pub(super) egress_bps: Vec<u64>,
    /// Bits a second of each container's ingress, by the lanes' counters.
    pub(super) ingress_bps: Vec<u64>,
    /// Packets that the kernel counted at the line's interfaces: received, sent.
    pub(super) kernel: (u64, u64),
}

/// Runs traffic through a line of `plan` and measures for `window`.
pub(super) fn run(topology: &Topology, plan: Plan, window: Duration, stop: &AtomicBool) -> Result<Measured, Failure> {
    let customers = customers(&plan);
    let before = topology.line_packets().map_err(Failure::failed)?;
    let line = LineThread::start(topology, plan)?;
    let during = measure(topology, &customers, &line, window, stop);
    let end = line.stop()?;
    let after = topology.line_packets().map_err(Failure::failed)?;
    let (window, egress_bps, ingress_bps) = during?;
    Ok(Measured { window, end, egress_bps, ingress_bps, kernel: (after.0 - before.0, after.1 - before.1) })
}

/// The snapshot at the end of the window, and the rates in it: egress, ingress.
type InWindow = (Snapshot, Vec<u64>, Vec<u64>);

fn measure(
    topology: &Topology,
    customers: &[Customer],
    line: &LineThread,
    window: Duration,
    stop: &AtomicBool,
) -> Result<InWindow, Failure> {
    let traffic = Traffic::start(topology, customers).map_err(Failure::failed)?;
    pause(WARM_UP, stop, line)?;
    let (earlier, client_earlier, started) = (line.ask(Sojourn::Restart)?, client_bytes(topology)?, Instant::now());
    pause(window, stop, line)?;
    let (later, client_later, elapsed) = (line.ask(Sojourn::Continue)?, client_bytes(topology)?, started.elapsed());
    traffic.stop().map_err(Failure::failed)?;
    line.quiet_down()?;
    let ingress = |read: &Snapshot| read.containers.iter().map(|one| one.ingress.sent_bytes).collect::<Vec<_>>();
    let ingress_bps = rates(&ingress(&earlier), &ingress(&later), elapsed);
    Ok((later, rates(&client_earlier, &client_later, elapsed), ingress_bps))
}

/// Keeps traffic flowing until `stop` is set or the time is over; `questions` are answered by the line.
pub(super) fn hold(
    topology: &Topology,
    plan: Plan,
    window: Duration,
    stop: &AtomicBool,
    questions: Questions,
) -> Result<Snapshot, Failure> {
    let customers = customers(&plan);
    let line = LineThread::start_answering(topology, plan, questions)?;
    let traffic = Traffic::start(topology, &customers).map_err(Failure::failed)?;
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

/// When the line has ended, `LineThread::stop` says why; this only says that it has.
fn silent() -> Failure {
    Failure::failed("the line does not answer")
}

/// What becomes of the sojourn times recorded so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sojourn {
    Continue,
    Restart,
}

/// The line at work in its namespace, on a core of its own.
struct LineThread {
    thread: Option<thread::JoinHandle<io::Result<Result<Snapshot, Failure>>>>,
    stop: Arc<AtomicBool>,
    questions: questions::Requests,
}

impl LineThread {
    fn start(topology: &Topology, plan: Plan) -> Result<Self, Failure> {
        Self::start_answering(topology, plan, questions::channel(1))
    }

    fn start_answering(topology: &Topology, plan: Plan, (questions, inbox): Questions) -> Result<Self, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (opened, is_open) = channel::bounded(1);
        let work = move || {
            let mut live = match Live::open(plan) {
                Ok(live) => live,
                Err(failure) => {
                    let _ = opened.send(Err(failure));
                    return Err(Failure::failed("the line did not open"));
                }
            };
            let _ = opened.send(Ok(()));
            live.work(&stopped, &inbox)?;
            live.snapshot()
        };
        let thread = topology.line.spawn("portlane-worker", work).map_err(Failure::failed)?;
        is_open.recv().map_err(|_| Failure::failed("the line ended before it was open"))??;
        Ok(Self { thread: Some(thread), stop, questions })
    }

    fn ask(&self, sojourn: Sojourn) -> Result<Snapshot, Failure> {
        let (question, answer) = oneshot::channel();
        let question = Question { answer: question, restart_sojourn: sojourn == Sojourn::Restart };
        self.questions.send(Request::Read(question)).map_err(|_| silent())?;
        let telling = answer.blocking_recv().map_err(|_| silent())?;
        let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(Failure::failed)?;
        runtime.block_on(telling).map(|answer| answer.snapshot).map_err(|_| silent())
    }

    fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(thread::JoinHandle::is_finished)
    }

    /// Waits until nothing is queued and nothing arrives any more.
    fn quiet_down(&self) -> Result<(), Failure> {
        let end = Instant::now() + QUIET_DOWN;
        let mut last = self.ask(Sojourn::Continue)?.totals;
        loop {
            thread::sleep(Duration::from_millis(300));
            let totals = self.ask(Sojourn::Continue)?.totals;
            if totals.queued == 0 && totals.received == last.received || Instant::now() > end {
                return Ok(());
            }
            last = totals;
        }
    }

    /// What it has counted in the end, or why it had ended before.
    fn stop(mut self) -> Result<Snapshot, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("stopped once");
        thread.join().expect("the line does not panic").map_err(Failure::failed)?
    }
}

impl Drop for LineThread {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
