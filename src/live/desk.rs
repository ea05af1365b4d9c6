//! Workers are asked for what they have counted without being called together: each copies it between its own turns, and
//! whoever asked makes a report of what all have told.

use std::io;
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;
use portlane_rings::{Losses, Socket};
use portlane_shaper::Nanos;
use portlane_stats::live::{SocketReport, WorkerReport};
use portlane_stats::snapshot::Snapshot;
use tokio::sync::oneshot;

use super::attach::Verdicts;
use crate::config::Plan;
use crate::control::questions::{Answer, Telling};
use crate::line::Line;
use crate::reading::Reading;
use crate::report::{self, Context};
use crate::workers::Owners;

/// What one worker tells.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) reading: Reading,
    pub(super) sockets: Vec<(String, SocketReport)>,
    pub(super) losses: Losses,
    pub(super) worker: WorkerReport,
    /// The worker's time that it has taken.
    pub(super) spent: Nanos,
}

impl Told {
    /// Forgets what was told before.
    pub(super) fn begin(&mut self, line: &Line<Socket>) {
        self.spent = Nanos::ZERO;
        self.reading.begin(line);
    }
}

/// What lies on a worker's desk: somebody waits for it.
#[derive(Debug)]
pub(super) struct Slip {
    pub(super) answer: oneshot::Sender<Told>,
    /// From the last time, or empty: so the worker need not allocate.
    pub(super) told: Told,
}

/// Where a worker is asked.
#[derive(Debug)]
pub(super) struct Desk(ArrayQueue<Slip>);

impl Desk {
    pub(super) fn new() -> Self {
        Self(ArrayQueue::new(1))
    }

    /// Whether nobody asks.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&self) -> Option<Slip> {
        self.0.pop()
    }
}

/// What a report needs beside that: of one plan.
#[derive(Debug, Clone)]
pub(super) struct Scheme {
    pub(super) plan: Arc<Plan>,
    pub(super) owners: Owners,
    /// What does not change during a run.
    pub(super) context: Context,
    pub(super) verdicts: Option<Verdicts>,
    /// What has been told before, to be used again.
    pub(super) spare: Arc<ArrayQueue<Told>>,
}

impl Scheme {
    /// Asks all workers, each at its desk. The report is made by whoever awaits it.
    pub(super) fn ask(self: &Arc<Self>, desks: &[Desk]) -> Telling {
        let ask = |desk: &Desk| {
            let (answer, told) = oneshot::channel();
            // Whoever asked before, and was not heard, has given up.
            desk.0.force_push(Slip { answer, told: self.spare.pop().unwrap_or_default() });
            told
        };
        let parts: Vec<_> = desks.iter().map(ask).collect();
        let scheme = Arc::clone(self);
        Box::pin(async move {
            let mut told = Vec::with_capacity(parts.len());
            for part in parts {
                told.push(part.await.map_err(io::Error::other)?);
            }
            scheme.make(told)
        })
    }

    /// The report of what all workers have told, in their order.
    pub(super) fn make(&self, told: Vec<Told>) -> io::Result<Answer> {
        let mut context = self.context.clone();
        if let Some(verdicts) = &self.verdicts {
            (context.steering, context.interfaces) = (verdicts.read()?, verdicts.interfaces()?);
            context.attached = verdicts.attached(&context.interfaces)?;
        }
        let (mut readings, mut rest, mut spent) = (Vec::new(), Vec::new(), Nanos::ZERO);
        for (number, mut told) in told.into_iter().enumerate() {
            let reading = std::mem::take(&mut told.reading);
            context.losses = context.losses + told.losses;
            context.sockets.extend(told.sockets.drain(..));
            let owned = reading.places().containers.iter().filter(|place| self.owners.of_lane(place.lane.0) == number);
            let containers = owned.count() as u64;
            context.workers.push(WorkerReport { containers, ..std::mem::take(&mut told.worker) });
            spent = spent.max(told.spent);
            readings.push(reading);
            rest.push(told);
        }
        let snapshot = self.report(&readings, &context);
        for (told, mut reading) in rest.into_iter().zip(readings) {
            reading.end();
            // There is room for as many as there are workers.
            let _ = self.spare.push(Told { reading, ..told });
        }
        Ok(Answer { snapshot, spent: std::time::Duration::from_nanos(spent.0) })
    }

    fn report(&self, readings: &[Reading], context: &Context) -> Snapshot {
        report::make(readings, &self.owners, &self.plan, context)
    }
}
