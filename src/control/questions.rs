//! What passes between the worker and those who ask: questions one way, a pulse the other.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crossbeam::channel::{self, Receiver, SendError, Sender, TrySendError};
use crossbeam::utils::CachePadded;
use portlane_shaper::Nanos;
use portlane_stats::snapshot::Snapshot;
use tokio::sync::oneshot;
use tokio::time::{self, Instant};

use crate::capture::{Pipe, Wanted};
use crate::config::Plan;
use crate::line::change::Change;

/// A question to the workers.
pub struct Question {
    /// Where the answer goes.
    pub answer: oneshot::Sender<Telling>,
    /// Sojourn times are recorded anew from the answer on: a measurement begins.
    pub restart_sojourn: bool,
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question").field("restart_sojourn", &self.restart_sojourn).finish_non_exhaustive()
    }
}

/// What workers are going to tell: a report is made of it by whoever awaits it, on a thread that keeps no packet waiting.
pub type Telling = Pin<Box<dyn Future<Output = io::Result<Answer>> + Send>>;

/// A report, and what it has cost the workers.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The report.
    pub snapshot: Snapshot,
    /// The time that it took from a worker, at most.
    pub spent: Duration,
}

/// Another plan for the worker.
#[derive(Debug)]
pub struct Reload {
    /// What it is to be, from now on.
    pub plan: Arc<Plan>,
    /// Where the answer goes: a refusal says why, and everything is as before.
    pub answer: oneshot::Sender<Result<Reloaded, String>>,
}

/// What became of a reload.
#[derive(Debug)]
pub struct Reloaded {
    /// What changed.
    pub change: Change,
    /// The plan that was: given back, since to forget a large one takes time that the worker has not.
    pub former: Arc<Plan>,
}

/// A capture that is to begin.
#[derive(Debug)]
pub struct Begin {
    /// What it is to have.
    pub wanted: Wanted,
    /// Where the frames go, of each worker.
    pub pipes: Vec<Arc<Pipe>>,
    /// Where the answer goes; none comes if there are not as many workers as pipes.
    pub answer: oneshot::Sender<Begun>,
}

/// A capture that has begun.
#[derive(Debug)]
pub struct Begun {
    /// The interfaces, as captures number them.
    pub interfaces: Vec<String>,
    /// When it began.
    pub now: Nanos,
}

/// What is wanted of the workers.
#[derive(Debug)]
pub enum Request {
    /// To tell what it has counted.
    Read(Question),
    /// To follow another plan.
    Reload(Box<Reload>),
    /// To show its frames.
    Capture(Box<Begin>),
}

/// Where requests are made, and where the worker takes them.
pub type Questions = (Requests, Inbox);

/// What wakes the worker.
type Doorbell = Arc<OnceLock<Box<dyn Fn() + Send + Sync>>>;

/// Where requests are made.
#[derive(Clone)]
pub struct Requests {
    sender: Sender<Request>,
    doorbell: Doorbell,
}

impl Requests {
    /// Makes a request, and wakes the worker for it; waits while too many others do.
    ///
    /// # Errors
    ///
    /// The worker is gone: the request comes back.
    pub fn send(&self, request: Request) -> Result<(), Box<SendError<Request>>> {
        self.sender.send(request)?;
        self.ring();
        Ok(())
    }

    /// Makes a request, and wakes the worker for it, if there is room.
    ///
    /// # Errors
    ///
    /// There is none, or the worker is gone: the request comes back.
    pub fn try_send(&self, request: Request) -> Result<(), Box<TrySendError<Request>>> {
        self.sender.try_send(request)?;
        self.ring();
        Ok(())
    }

    fn ring(&self) {
        if let Some(doorbell) = self.doorbell.get() {
            doorbell();
        }
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").field("sender", &self.sender).finish_non_exhaustive()
    }
}

/// A channel on which this many requests may wait for the worker.
#[must_use]
pub fn channel(waiting: usize) -> Questions {
    let (sender, requests) = channel::bounded(waiting);
    let (pulse, doorbell) = (Pulse::default(), Doorbell::default());
    (Requests { sender, doorbell: Arc::clone(&doorbell) }, Inbox { requests, doorbell, beat: pulse.join(), pulse })
}

/// The end of the first worker, who answers for all.
pub struct Inbox {
    requests: Receiver<Request>,
    doorbell: Doorbell,
    beat: Beat,
    pulse: Pulse,
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("requests", &self.requests).finish_non_exhaustive()
    }
}

impl Inbox {
    /// Has every request wake the worker in this way. Those that came before it finds by itself.
    pub fn wake_by(&self, doorbell: impl Fn() + Send + Sync + 'static) {
        // Set once: an inbox has one worker.
        let _ = self.doorbell.set(Box::new(doorbell));
    }

    /// Shows that the worker has taken a turn, and returns a request, unless it is a question that nobody waits for any more.
    #[inline]
    #[must_use]
    pub fn turn(&self) -> Option<Request> {
        self.beat.beat();
        let abandoned = |request: &Request| matches!(request, Request::Read(question) if question.answer.is_closed());
        self.requests.try_recv().ok().filter(|request| !abandoned(request))
    }

    /// How others see that the workers take turns.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }
}

/// Whether the workers take turns, seen from any thread.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<Mutex<Vec<Beat>>>);

/// A worker's part of the pulse: the number of its turns.
#[derive(Debug, Clone, Default)]
pub struct Beat(Arc<CachePadded<AtomicU64>>);

impl Beat {
    /// Only the worker counts, so that a load and a store will do: no turn pays for a locked addition.
    #[inline]
    pub fn beat(&self) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }
}

/// The turns of each worker, at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beats(Vec<u64>);

impl Beats {
    /// How many workers there are.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.0.len()
    }

    /// Whether every worker has taken a turn at all.
    #[must_use]
    pub fn have_begun(&self) -> bool {
        self.0.iter().all(|&beats| beats > 0)
    }

    /// Whether every worker has taken a turn since those.
    #[must_use]
    pub fn all_since(&self, before: &Self) -> bool {
        self.0.len() == before.0.len() && self.0.iter().zip(&before.0).all(|(now, before)| now != before)
    }
}

impl Pulse {
    /// How often it is looked at while it is waited for.
    const LOOK: Duration = Duration::from_millis(10);

    /// Another worker begins.
    #[must_use]
    pub fn join(&self) -> Beat {
        let beat = Beat::default();
        self.workers().push(beat.clone());
        beat
    }

    /// Turns taken so far.
    #[must_use]
    pub fn beats(&self) -> Beats {
        Beats(self.workers().iter().map(|beat| beat.0.load(Ordering::Relaxed)).collect())
    }

    fn workers(&self) -> MutexGuard<'_, Vec<Beat>> {
        // Whoever panicked has left the list whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether every worker takes a turn within `patience` from now.
    pub(super) async fn beats_within(&self, patience: Duration) -> bool {
        let (before, deadline) = (self.beats(), Instant::now() + patience);
        while !self.beats().all_since(&before) {
            if Instant::now() > deadline {
                return false;
            }
            time::sleep(Self::LOOK).await;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abandoned_questions_cost_the_worker_nothing() {
        let (sender, inbox) = channel(2);
        let ask = || {
            let (answer, waiting) = oneshot::channel();
            sender.send(Request::Read(Question { answer, restart_sojourn: false })).unwrap();
            waiting
        };
        drop(ask());
        let _waiting = ask();
        assert!(inbox.turn().is_none());
        assert!(inbox.turn().is_some());
    }

    #[test]
    fn a_pulse_is_felt_while_turns_are_taken() {
        let (_sender, inbox) = channel(1);
        let pulse = inbox.pulse();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let felt = |patience| runtime.block_on(pulse.beats_within(patience));
        assert!(!felt(Duration::from_millis(30)));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(50));
                inbox.turn().is_some()
            });
            assert!(felt(Duration::from_secs(20)));
        });
        assert!(!felt(Duration::from_millis(30)), "what it counted before is no sign of life");
        let (other, before) = (pulse.join(), pulse.beats());
        assert!(inbox.turn().is_none() && !pulse.beats().all_since(&before), "the other worker takes none");
        other.beat();
        assert!(pulse.beats().all_since(&before));
    }
}
