//! What passes between the worker and those who ask: questions one way, a pulse the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam::channel::{self, Receiver, Sender};
use portlane_stats::snapshot::Snapshot;
use tokio::sync::oneshot;
use tokio::time::{self, Instant};

/// A question to the worker.
#[derive(Debug)]
pub struct Question {
    /// Where the answer goes.
    pub answer: oneshot::Sender<Snapshot>,
    /// Sojourn times are recorded anew from the answer on: a measurement begins.
    pub restart_sojourn: bool,
}

/// Where questions are asked, and where the worker takes them.
pub type Questions = (Sender<Question>, Inbox);

/// A channel on which this many questions may wait for the worker.
#[must_use]
pub fn channel(waiting: usize) -> Questions {
    let (sender, questions) = channel::bounded(waiting);
    (sender, Inbox { questions, pulse: Pulse::default() })
}

/// The worker's end.
#[derive(Debug)]
pub struct Inbox {
    questions: Receiver<Question>,
    pulse: Pulse,
}

impl Inbox {
    /// Shows that the worker has taken a turn, and returns a question that somebody still waits for.
    #[inline]
    #[must_use]
    pub fn turn(&self) -> Option<Question> {
        self.pulse.beat();
        self.questions.try_recv().ok().filter(|question| !question.answer.is_closed())
    }

    /// How others see that the worker takes turns.
    pub(super) fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }
}

/// The number of turns taken, seen from any thread.
#[derive(Debug, Clone, Default)]
pub(super) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// How often it is looked at while it is waited for.
    const LOOK: Duration = Duration::from_millis(10);

    /// Only the worker counts, so that a load and a store will do: no turn pays for a locked addition.
    #[inline]
    fn beat(&self) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Whether a turn is taken within `patience` from now.
    pub(super) async fn beats_within(&self, patience: Duration) -> bool {
        let (before, deadline) = (self.0.load(Ordering::Relaxed), Instant::now() + patience);
        while self.0.load(Ordering::Relaxed) == before {
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
            sender.send(Question { answer, restart_sojourn: false }).unwrap();
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
    }
}
