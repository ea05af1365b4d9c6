//! The threads of all workers but the first. Workers go out to their threads, and are called home when all are wanted together:
//! to tell what they have counted, to follow another configuration, to end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, Scope};

use crossbeam::channel::{self, Receiver, Sender};

use super::worker::Worker;
use crate::failure::Failure;

/// The threads. When dropped they end, if their workers are at home.
pub(super) struct Crew<'a> {
    threads: Vec<Thread>,
    called: &'a AtomicBool,
}

/// The way to a thread, and the way back from it.
struct Thread {
    out: Sender<Box<Worker>>,
    home: Receiver<(Box<Worker>, Result<(), Failure>)>,
}

/// Calls everybody when a thread ends, in whatever way.
struct Leaver<'a>(&'a AtomicBool);

impl Drop for Leaver<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<'a> Crew<'a> {
    /// Starts so many threads. `called` is what workers look at; it is set too when one of them cannot go on.
    pub(super) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        count: usize,
        called: &'scope AtomicBool,
    ) -> Result<Self, Failure>
    where
        'scope: 'a,
    {
        let thread = |_| {
            let (out, orders) = channel::bounded::<Box<Worker>>(1);
            let (back, home) = channel::bounded(1);
            let work = move || {
                let _leaver = Leaver(called);
                for mut worker in orders {
                    worker.settle_down();
                    let outcome = worker.work(called);
                    called.store(true, Ordering::Relaxed);
                    if back.send((worker, outcome)).is_err() {
                        return;
                    }
                }
            };
            Builder::new().name("portlane-worker".to_owned()).spawn_scoped(scope, work).map_err(Failure::failed)?;
            Ok(Thread { out, home })
        };
        Ok(Self { threads: (0..count).map(thread).collect::<Result<_, Failure>>()?, called })
    }

    /// Sends workers out, one to each thread.
    pub(super) fn send_out(&self, workers: &mut Vec<Box<Worker>>) {
        self.called.store(false, Ordering::Relaxed);
        for (thread, worker) in self.threads.iter().zip(workers.drain(..)) {
            // A thread that is gone is noticed when its worker is called home.
            let _ = thread.out.send(worker);
        }
    }

    /// Calls those home that are out, in their order.
    ///
    /// # Errors
    ///
    /// One of them could not go on: why. All that came are in `workers`.
    pub(super) fn call_home(&self, first: &Worker, workers: &mut Vec<Box<Worker>>) -> Result<(), Failure> {
        self.called.store(true, Ordering::Relaxed);
        first.bells.iter().skip(1).for_each(super::bell::Bell::ring);
        let mut all = Ok(());
        for thread in &self.threads {
            match thread.home.recv() {
                Ok((worker, outcome)) => {
                    workers.push(worker);
                    all = all.and(outcome);
                }
                Err(_) => all = all.and(Err(Failure::failed("a worker has ended unexpectedly"))),
            }
        }
        all
    }
}
