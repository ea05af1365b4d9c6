//! One round of the demo: the line, traffic through it, and what was measured.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{self, Sender};
use portlane_shaper::Limiter;
use portlane_stats::snapshot::Snapshot;
use tokio::sync::oneshot;

use super::topology::Topology;
use super::traffic::{Customer, Traffic};
use crate::config::{Container, Plan};
use crate::control::server::{Question, Questions};
use crate::failure::Failure;
use crate::live::{self, Live};

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
    let traffic = Traffic::start(topology, &customers).map_err(Failure::failed)?;
    pause(WARM_UP, stop)?;
    let (earlier, client_earlier, started) = (line.ask(Sojourn::Restart)?, client_bytes(topology)?, Instant::now());
    pause(window, stop)?;
    let (later, client_later, elapsed) = (line.ask(Sojourn::Continue)?, client_bytes(topology)?, started.elapsed());
    traffic.stop().map_err(Failure::failed)?;
    line.quiet_down()?;
    let end = line.stop()?;
    let after = topology.line_packets().map_err(Failure::failed)?;
    let ingress =
        |snapshot: &Snapshot| snapshot.containers.iter().map(|one| one.ingress.sent_bytes).collect::<Vec<_>>();
    let ingress_bps = rates(&ingress(&earlier), &ingress(&later), elapsed);
    Ok(Measured {
        window: later,
        end,
        egress_bps: rates(&client_earlier, &client_later, elapsed),
        ingress_bps,
        kernel: (after.0 - before.0, after.1 - before.1),
    })
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
    // Being stopped is how holding ends.
    let _ = pause(window, stop);
    traffic.stop().map_err(Failure::failed)?;
    line.stop()
}

fn customers(plan: &Plan) -> Vec<Customer> {
    let customer = |container: &Container| Customer {
        first_port: container.ports[0].first(),
        limited: container.lanes.iter().any(|lane| lane.limiter != Limiter::None),
    };
    plan.containers.iter().map(customer).collect()
}

/// Waits; being asked to stop is a failure to finish.
fn pause(time: Duration, stop: &AtomicBool) -> Result<(), Failure> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        if stop.load(Ordering::Relaxed) {
            return Err(Failure::failed("interrupted; everything has been removed"));
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
    questions: Sender<Question>,
}

impl LineThread {
    fn start(topology: &Topology, plan: Plan) -> Result<Self, Failure> {
        Self::start_answering(topology, plan, channel::bounded(1))
    }

    fn start_answering(topology: &Topology, plan: Plan, (questions, answers): Questions) -> Result<Self, Failure> {
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
            live::pin_to_a_core();
            live.work(&stopped, &answers)?;
            live.snapshot()
        };
        let thread = topology.line.spawn("portlane-worker", work).map_err(Failure::failed)?;
        is_open.recv().map_err(|_| Failure::failed("the line ended before it was open"))??;
        Ok(Self { thread: Some(thread), stop, questions })
    }

    fn ask(&self, sojourn: Sojourn) -> Result<Snapshot, Failure> {
        let silent = || Failure::failed("the line does not answer");
        let (question, answer) = oneshot::channel();
        let question = Question { answer: question, restart_sojourn: sojourn == Sojourn::Restart };
        self.questions.send(question).map_err(|_| silent())?;
        answer.blocking_recv().map_err(|_| silent())
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
