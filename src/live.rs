//! Live traffic: a packet line over AF_XDP, and the loop that gives it turns.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use portlane_rings::{self as rings, AfXdp, Device, Losses};
use portlane_shaper::{Nanos, Wake};
use portlane_stats::snapshot::{Mode, Snapshot};

use crate::build;
use crate::clock::Clock;
use crate::config::Plan;
use crate::control::questions::{Inbox, Question};
use crate::failure::Failure;
use crate::line::Line;
use crate::report::{self, Context};

mod attach;

use attach::{Attached, Steered, attach};

/// Sleeping may end this much too late, so that a departure due sooner is waited for by spinning.
const LATE: Nanos = Nanos::from_millis(2);

/// The longest sleep: how late a signal or a question may be noticed.
const NAP: Nanos = Nanos::from_millis(20);

/// A packet line between interfaces.
#[derive(Debug)]
pub struct Live {
    /// Let go of first.
    steered: Option<Steered>,
    line: Line<AfXdp>,
    plan: Plan,
    context: Context,
    clock: Clock,
}

impl Live {
    /// Attaches to the interfaces of the plan, in the network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// Refused if the plan has no interfaces, or one cannot be used; whatever had been attached is detached.
    pub fn open(plan: Plan) -> Result<Self, Failure> {
        let Attached { steered, pool, ports, leaves_by, devices, modes } = attach(&plan)?;
        let clock = Clock::start();
        let started = clock.now();
        let line = build::line(&plan, pool, ports, leaves_by, secret_key(), started);
        let context = Context { started, devices, modes, ..Context::default() };
        Ok(Self { steered, line, plan, context, clock })
    }

    /// How each interface is attached, by its name.
    #[must_use]
    pub fn modes(&self) -> &BTreeMap<String, Mode> {
        &self.context.modes
    }

    /// Everything counted so far.
    ///
    /// # Errors
    ///
    /// An interface does not tell its statistics.
    pub fn snapshot(&mut self) -> Result<Snapshot, Failure> {
        let losses = self.line.ports.iter().map(|port| port.device.losses());
        let add = |sum: Losses, one: io::Result<Losses>| Ok::<_, io::Error>(sum + one?);
        self.context.losses = losses.into_iter().try_fold(Losses::default(), add).map_err(Failure::failed)?;
        if let Some(steered) = &self.steered {
            self.context.steering = steered.verdicts().map_err(Failure::failed)?;
        }
        Ok(report::snapshot(&self.line, &self.plan, &self.context, self.clock.now()))
    }

    /// Takes turns until `stop` is set, and answers questions between them.
    ///
    /// # Errors
    ///
    /// An interface failed: it went down, or was deleted.
    pub fn work(&mut self, stop: &AtomicBool, inbox: &Inbox) -> Result<(), Failure> {
        let mut patience = Patience::default();
        let mut last_moved = self.clock.now();
        let mut slept = false;
        while !stop.load(Ordering::Relaxed) {
            let now = self.clock.now();
            if self.line.turn(now).map_err(Failure::failed)? > 0 {
                if std::mem::take(&mut slept) {
                    patience.learn(now - last_moved);
                }
                last_moved = now;
            } else if now - last_moved > patience.0 && self.rest(now)? {
                slept = true;
            } else {
                // Others may be waiting for this core, the receiver of the last packet for one.
                thread::yield_now();
            }
            if let Some(question) = inbox.turn() {
                self.answer(question)?;
            }
        }
        Ok(())
    }

    fn answer(&mut self, question: Question) -> Result<(), Failure> {
        let snapshot = self.snapshot()?;
        if question.restart_sojourn {
            self.line.restart_histograms();
        }
        // Who asked may have gone.
        let _ = question.answer.send(snapshot);
        Ok(())
    }

    /// Sleeps until a frame arrives, or shortly before the next departure is due; false if that is too soon to sleep.
    fn rest(&mut self, now: Nanos) -> Result<bool, Failure> {
        let next = self.line.next_wake(now);
        let devices: Vec<_> = self.line.ports.iter().map(|port| &port.device).collect();
        if devices.iter().any(|device| device.has_unsent()) {
            return Ok(false);
        }
        let idle = match next {
            Wake::Now => Nanos::ZERO,
            Wake::At(time) => time - now - LATE,
            Wake::Never => NAP,
        };
        if idle == Nanos::ZERO {
            return Ok(false);
        }
        rings::wait(&devices, Duration::from_nanos(idle.min(NAP).0)).map_err(Failure::failed)?;
        Ok(true)
    }
}

/// How long the worker spins after the last frame before it sleeps.
///
/// Waking up costs a packet 50 us and more, so a pause short enough had better be spun through; but a pause cannot be
/// told in advance. So the worker goes by the pauses that it slept through: it spins longer after one that was too short
/// to sleep, and less after one that was not, as KVM does when a guest halts (`halt_poll_ns`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Patience(Nanos);

impl Patience {
    const LEAST: Nanos = Nanos::from_micros(50);
    /// With frames further apart than this the worker's core is idle for the most part.
    const MOST: Nanos = Nanos::from_millis(1);

    /// A pause during which the worker slept has ended.
    fn learn(&mut self, pause: Nanos) {
        let Nanos(now) = self.0;
        self.0 = if pause < Self::MOST { Nanos(now * 2).min(Self::MOST) } else { Nanos(now / 2).max(Self::LEAST) };
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self(Nanos::from_micros(200))
    }
}

/// A key that senders cannot know, so that they cannot choose what collides.
fn secret_key() -> [u64; 2] {
    [0_u8, 1].map(|half| RandomState::new().hash_one(half))
}

/// Gives the calling thread a core of its own, the last of those allowed: the first is where interrupts usually go.
/// Returns which; `None` if the system does not let us choose.
pub fn pin_to_a_core() -> Option<usize> {
    let core = core_affinity::get_core_ids()?.into_iter().next_back()?;
    core_affinity::set_for_current(core).then_some(core.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_that_were_not_worth_a_sleep_are_spun_through() {
        let mut patience = Patience::default();
        let pause = Nanos::from_micros(500);
        let slept = (0..10).filter(|_| {
            let sleeps = pause > patience.0;
            if sleeps {
                patience.learn(pause);
            }
            sleeps
        });
        assert_eq!(slept.count(), 2);
        patience.learn(Nanos::from_micros(999));
        assert_eq!(patience.0, Patience::MOST);
    }

    #[test]
    fn an_idle_worker_hardly_spins() {
        let mut patience = Patience::default();
        (0..10).for_each(|_| patience.learn(Nanos::from_millis(20)));
        assert_eq!(patience.0, Patience::LEAST);
    }
}
