//! One worker: a line, and the loop that gives it turns.

use std::hint;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use core_affinity::CoreId;
use nix::sys::prctl;
use portlane_rings::{self as rings, Device, Losses, Socket};
use portlane_shaper::{Nanos, Wake};

use super::bell::Bell;
use super::desk::{Desk, Scheme, Slip, Told};
use super::numbers;
use super::outages::Outages;
use super::rest::{Pause, Rest, Waker};
use crate::clock::Clock;
use crate::config::Running;
use crate::control::questions::{Beat, Inbox, Request};
use crate::failure::Failure;
use crate::line::Line;

/// Lanes' numbers that a worker copies between two turns, each of two directions: some 50 us.
const LANES_AT_ONCE: usize = 128;

/// A line with a core of its own.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) number: usize,
    pub(super) line: Line<Socket>,
    pub(super) rest: Rest,
    /// The core that it is to have.
    pub(super) core: Option<CoreId>,
    /// Whether it has.
    pub(super) is_pinned: bool,
    pub(super) running: Running,
    pub(super) clock: Clock,
    /// Of all workers.
    pub(super) bells: Arc<[Bell]>,
    pub(super) desks: Arc<[Desk]>,
    /// What it is about to tell.
    pub(super) slip: Option<Slip>,
    pub(super) outages: Arc<Outages>,
    /// Whose interface was down after the last turn, by port.
    pub(super) down: Vec<bool>,
    /// Of the first worker, its inbox has it.
    pub(super) beat: Option<Beat>,
}

impl Worker {
    /// Gives the calling thread, which is to work, its core. Its sleeps end when they are to, not when it suits the kernel
    /// (50 us later, unless asked).
    pub(super) fn settle_down(&mut self) {
        // Where this is refused, sleeps end a little later, and the worker learns by how much.
        let _ = prctl::set_timerslack(1);
        self.is_pinned = self.core.is_some_and(core_affinity::set_for_current);
    }

    /// Takes turns until all workers are called together.
    pub(super) fn work(&mut self, called: &AtomicBool) -> Result<(), Failure> {
        while !called.load(Ordering::Relaxed) {
            self.step()?;
        }
        Ok(())
    }

    /// Takes turns until `stop` is set, all workers are called together, or something is wanted for which they have to be.
    pub(super) fn lead(
        &mut self,
        stop: &AtomicBool,
        called: &AtomicBool,
        inbox: &Inbox,
        scheme: &Arc<Scheme>,
    ) -> Result<Option<Request>, Failure> {
        while !stop.load(Ordering::Relaxed) && !called.load(Ordering::Relaxed) {
            self.step()?;
            match inbox.turn() {
                Some(Request::Read(question)) if !question.restart_sojourn && !self.line.emptied().any(|is| is) => {
                    // Who asked may have gone.
                    let _ = question.answer.send(scheme.ask(&self.desks));
                    self.bells
                        .iter()
                        .enumerate()
                        .filter(|&(one, _)| one != self.number)
                        .for_each(|(_, bell)| bell.ring());
                }
                Some(request) => return Ok(Some(request)),
                None => {}
            }
        }
        Ok(None)
    }

    /// A turn, and what is to be done between it and the next.
    #[inline]
    fn step(&mut self) -> Result<(), Failure> {
        let now = self.clock.now();
        let moved = self.turn(now)?;
        if self.is_asked() {
            return self.tell(now, LANES_AT_ONCE);
        }
        if !moved {
            self.pause(now)?;
        }
        Ok(())
    }

    #[inline]
    fn is_asked(&self) -> bool {
        self.slip.is_some() || !self.desks[self.number].is_empty()
    }

    /// Tells everything that it has been asked for: nothing changes but by turns until it has.
    pub(super) fn tell_all(&mut self) -> Result<(), Failure> {
        while self.is_asked() {
            self.tell(self.clock.now(), usize::MAX)?;
        }
        Ok(())
    }

    /// Copies the lanes of so many numbers for who asks, and tells all when that was the last of them.
    #[inline(never)]
    fn tell(&mut self, now: Nanos, lanes: usize) -> Result<(), Failure> {
        let Some(mut slip) = self.slip.take().or_else(|| self.pick_up()) else { return Ok(()) };
        if slip.answer.is_closed() {
            return Ok(());
        }
        let is_complete = self.copy(&mut slip.told, now, lanes)?;
        slip.told.spent = slip.told.spent + (self.clock.now() - now);
        if is_complete {
            // Who asked may have gone.
            let _ = slip.answer.send(slip.told);
        } else {
            self.slip = Some(slip);
        }
        Ok(())
    }

    fn pick_up(&self) -> Option<Slip> {
        let mut slip = self.desks[self.number].take()?;
        slip.told.begin(&self.line);
        Some(slip)
    }

    /// Copies some lanes, and with the last of them all else. Whether that is done.
    fn copy(&mut self, told: &mut Told, now: Nanos, lanes: usize) -> Result<bool, Failure> {
        self.line.settle_histograms();
        if !told.reading.go_on(&self.line, now, lanes) {
            return Ok(false);
        }
        let devices = || self.line.ports.iter().map(|port| &port.device);
        let add = |sum: Losses, device: &Socket| Ok::<_, io::Error>(sum + device.losses()?);
        told.losses = devices().try_fold(Losses::default(), add).map_err(Failure::failed)?;
        told.sockets = devices().map(numbers::socket).collect::<io::Result<_>>().map_err(Failure::failed)?;
        told.worker = numbers::worker(self);
        Ok(true)
    }

    /// All that it has counted, at once.
    pub(super) fn told(&mut self, now: Nanos) -> Result<Told, Failure> {
        let mut told = Told::default();
        told.begin(&self.line);
        self.copy(&mut told, now, usize::MAX)?;
        Ok(told)
    }

    /// A turn. Whether something moved.
    #[inline]
    pub(super) fn turn(&mut self, now: Nanos) -> Result<bool, Failure> {
        let turned = if self.line.is_seen() { self.line.turn_seen(now) } else { self.line.turn(now) };
        let moved = turned.map_err(Failure::failed)? > 0;
        let to_wake = self.line.take_wakes();
        if to_wake != 0 {
            self.wake(to_wake);
        }
        self.rest.turned(moved, now);
        if let Some(beat) = &self.beat {
            beat.beat();
        }
        self.notice_interfaces()?;
        Ok(moved)
    }

    /// Wakes workers, a bit for each.
    #[inline(never)]
    fn wake(&self, workers: u64) {
        let rung = self.bells.iter().enumerate().filter(|&(worker, _)| workers >> worker & 1 == 1);
        rung.for_each(|(_, bell)| bell.ring());
    }

    #[inline]
    fn notice_interfaces(&mut self) -> Result<(), Failure> {
        for (port, was_down) in self.line.ports.iter().zip(&mut self.down) {
            let is_down = port.device.is_down();
            if is_down != *was_down {
                *was_down = is_down;
                self.outages.notice(port.device.interface(), is_down, self.running.interface_down)?;
            }
        }
        Ok(())
    }

    /// Whether frames wait in a ring for the kernel to look at it again.
    pub(super) fn has_unsent(&self) -> bool {
        self.line.ports.iter().any(|port| port.device.has_unsent())
    }

    /// Nothing moves: the worker spins, or sleeps until a packet comes or the next departure is due.
    fn pause(&mut self, now: Nanos) -> Result<(), Failure> {
        let next = self.line.next_wake(now);
        let next = if self.has_unsent() { Wake::Now } else { next };
        let is_down = self.down.contains(&true);
        match self.rest.pause(self.running.idle, next, is_down, now) {
            Pause::Spin => hint::spin_loop(),
            Pause::Yield => thread::yield_now(),
            Pause::Sleep(time) => self.sleep(time)?,
        }
        Ok(())
    }

    fn sleep(&mut self, time: Nanos) -> Result<(), Failure> {
        let bell = &self.bells[self.number];
        if self.line.falls_asleep() {
            let devices = self.line.ports.iter_mut().map(|port| &mut port.device);
            let begun = self.clock.now();
            let woken = rings::wait(devices, Some(bell.as_fd()), Duration::from_nanos(time.0));
            let by = match woken.map_err(Failure::failed)? {
                true if bell.has_rung() => Waker::Worker,
                true => Waker::Packet,
                false => Waker::Time,
            };
            self.rest.slept(time, self.clock.now() - begun, by);
        }
        self.line.is_awake();
        Ok(())
    }
}
