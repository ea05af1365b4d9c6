//! The line at work in its namespace.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel;
use portlane_stats::snapshot::Snapshot;
use tokio::sync::oneshot;

use super::topology::Topology;
use crate::attach::Attachments;
use crate::commands::run::observer;
use crate::config::Plan;
use crate::control::questions::{self, Question, Questions, Request};
use crate::failure::Failure;
use crate::flows::{Observed, Observer};
use crate::live::Live;

/// How long the line gets to empty its queues after traffic has stopped.
const QUIET_DOWN: Duration = Duration::from_secs(10);

/// When the line has ended, `LineThread::stop` says why; this only says that it has.
pub(super) fn silent() -> Failure {
    Failure::failed("the line does not answer")
}

/// What becomes of the sojourn times recorded so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sojourn {
    Continue,
    Restart,
}

/// The line at work in its namespace, on a core of its own.
pub(super) struct LineThread {
    thread: Option<thread::JoinHandle<io::Result<Result<Snapshot, Failure>>>>,
    stop: Arc<AtomicBool>,
    questions: questions::Requests,
}

impl LineThread {
    pub(super) fn start(topology: &Topology, plan: Plan) -> Result<Self, Failure> {
        let observed = plan.flows.as_ref().map(|_| Arc::default());
        Self::start_answering(topology, plan, observed, questions::channel(1))
    }

    pub(super) fn start_answering(
        topology: &Topology,
        plan: Plan,
        observed: Option<Arc<Observed>>,
        (questions, inbox): Questions,
    ) -> Result<Self, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (opened, is_open) = channel::bounded(1);
        let work = move || {
            // In this order: sockets are closed before their interface goes.
            let (_attachments, mut live, observer) = match open(plan, observed) {
                Ok(all) => all,
                Err(failure) => {
                    let _ = opened.send(Err(failure));
                    return Err(Failure::failed("the line did not open"));
                }
            };
            let _ = opened.send(Ok(()));
            live.work(&stopped, &inbox)?;
            drop(observer);
            live.snapshot()
        };
        let thread = topology.line.spawn("portlane-worker", work).map_err(Failure::failed)?;
        is_open.recv().map_err(|_| Failure::failed("the line ended before it was open"))??;
        Ok(Self { thread: Some(thread), stop, questions })
    }

    pub(super) fn ask(&self, sojourn: Sojourn) -> Result<Snapshot, Failure> {
        let (question, answer) = oneshot::channel();
        let question = Question { answer: question, restart_sojourn: sojourn == Sojourn::Restart };
        self.questions.send(Request::Read(question)).map_err(|_| silent())?;
        let telling = answer.blocking_recv().map_err(|_| silent())?;
        let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(Failure::failed)?;
        runtime.block_on(telling).map(|answer| answer.snapshot).map_err(|_| silent())
    }

    pub(super) fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(thread::JoinHandle::is_finished)
    }

    /// Waits until nothing is queued and nothing arrives any more.
    pub(super) fn quiet_down(&self) -> Result<(), Failure> {
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
    pub(super) fn stop(mut self) -> Result<Snapshot, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("stopped once");
        thread.join().expect("the line does not panic").map_err(Failure::failed)?
    }
}

/// Opens the interfaces, attaches the plan's containers, where it does attach them, and begins to observe flows, if it says so.
fn open(plan: Plan, observed: Option<Arc<Observed>>) -> Result<(Option<Attachments>, Live, Option<Observer>), Failure> {
    // Added, as by `portlane container add`: what a start finds in `/proc` it does not take for the process it was.
    let nobody = Plan { containers: Vec::new(), ..plan.clone() };
    let mut attachments = Attachments::start(&nobody, &mut || ())?;
    let mut live = Live::open(plan)?;
    if let (Some(attachments), Some(gate)) = (&mut attachments, live.take_gate()) {
        attachments.open(gate, &mut || ()).into_iter().map(Failure::failed).try_for_each(Err)?;
        attachments.extend(live.plan(), &mut || ()).map_err(Failure::failed)?;
        attachments.shrink(live.plan(), &mut || ());
    }
    let observer = observer(&mut live, observed)?;
    Ok((attachments, live, observer))
}

impl Drop for LineThread {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
