//! Live traffic: a packet line between sockets on interfaces, and the loop that gives it turns.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::prctl;
use portlane_rings::{self as rings, Device, Interface, Losses, Rules, Socket};
use portlane_shaper::{Nanos, Wake};
use portlane_stats::live::WorkerReport;
use portlane_stats::snapshot::{Mode, Snapshot};

use crate::build;
use crate::clock::Clock;
use crate::config::{Checksums, Idle, InterfaceDown, Plan};
use crate::control::questions::{Inbox, Question, Reload, Reloaded, Request};
use crate::failure::{self, Failure};
use crate::line::Line;
use crate::report::{self, Context};

mod attach;
mod numbers;
mod reload;
mod rest;

pub use attach::owners;

use attach::{Attached, Steered, attach};
use rest::{Pause, Rest};

/// A packet line between interfaces.
#[derive(Debug)]
pub struct Live {
    /// Let go of first.
    steered: Option<Steered>,
    line: Line<Socket>,
    plan: Plan,
    context: Context,
    clock: Clock,
    rest: Rest,
    core: Option<usize>,
    /// Whose interface was down after the last turn, by port.
    down: Vec<bool>,
}

impl Live {
    /// Attaches to the interfaces of the plan, in the network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// Refused if the plan has no interfaces, or one cannot be used; whatever had been attached is detached.
    pub fn open(plan: Plan) -> Result<Self, Failure> {
        let Attached { steered, pool, mut ports, leaves_by, devices, modes } = attach(&plan)?;
        if plan.running.idle == Idle::BusyPoll {
            ports.iter_mut().try_for_each(|port| prefer_busy_poll(&mut port.device))?;
        }
        let complete = plan.running.checksums == Checksums::Complete;
        ports.iter_mut().for_each(|port| port.device.complete_checksums(complete));
        let down = vec![false; ports.len()];
        let clock = Clock::start();
        let started = clock.now();
        let line = build::line(&plan, pool, ports, leaves_by, secret_key(), started);
        let context = Context { started, devices, modes, ..Context::default() };
        Ok(Self { steered, line, plan, context, clock, rest: Rest::new(started), core: None, down })
    }

    /// What the kernel chooses by, once, if it chooses: for who reloads.
    pub fn take_rules(&mut self) -> Option<Rules> {
        self.steered.as_mut()?.take_rules()
    }

    /// Gives the calling thread, which is to [`work`](Self::work), a core of its own, the last of those allowed: the first
    /// is where interrupts usually go. Its sleeps end when they are to, not when it suits the kernel (50 us later, unless
    /// asked). Returns which core; `None` if the system does not let us choose.
    pub fn pin_to_a_core(&mut self) -> Option<usize> {
        // Where this is refused, sleeps end a little later, and the worker learns by how much.
        let _ = prctl::set_timerslack(1);
        let core = core_affinity::get_core_ids()?.into_iter().next_back()?;
        self.core = core_affinity::set_for_current(core).then_some(core.id);
        self.core
    }

    /// The interfaces, each once, as they were when opened.
    #[must_use]
    pub fn interfaces(&self) -> Vec<Interface> {
        let mut interfaces: Vec<_> = self.line.ports.iter().map(|port| port.device.interface().clone()).collect();
        // The queues of an interface are next to each other.
        interfaces.dedup_by_key(|interface| interface.index);
        interfaces
    }

    /// For each interface how it is attached, and what refused to be attached better: `eth0: copy (not zero-copy: ...)`.
    #[must_use]
    pub fn modes(&self) -> Vec<String> {
        let of = |(name, mode): (&String, &Mode)| {
            let mut devices = self.line.ports.iter().map(|port| &port.device);
            let refusal = devices.find(|device| device.interface().name == *name).and_then(Socket::refusal);
            format!("{name}: {}{}", mode.as_str(), refusal.map(|why| format!(" ({why})")).unwrap_or_default())
        };
        self.context.modes.iter().map(of).collect()
    }

    /// How each interface is attached, by its name.
    #[must_use]
    pub fn attached(&self) -> &BTreeMap<String, Mode> {
        &self.context.modes
    }

    /// Has reports say which offloads are off for the run, by interface.
    pub fn tell_offloads(&mut self, off: BTreeMap<String, Vec<String>>) {
        self.context.offloads = off;
    }

    /// Everything counted so far.
    ///
    /// # Errors
    ///
    /// An interface does not tell its statistics.
    pub fn snapshot(&mut self) -> Result<Snapshot, Failure> {
        let now = self.clock.now();
        self.line.forget_leaving(&self.plan, now);
        let losses = self.line.ports.iter().map(|port| port.device.losses());
        let add = |sum: Losses, one: io::Result<Losses>| Ok::<_, io::Error>(sum + one?);
        self.context.losses = losses.into_iter().try_fold(Losses::default(), add).map_err(Failure::failed)?;
        if let Some(steered) = &self.steered {
            self.context.steering = steered.verdicts().map_err(Failure::failed)?;
        }
        let sockets = self.line.ports.iter().map(|port| numbers::socket(&port.device));
        self.context.sockets = sockets.collect::<io::Result<_>>().map_err(Failure::failed)?;
        let worker = numbers::worker(self.core, self.plan.running.idle, &self.rest.counters);
        self.context.workers = vec![WorkerReport { frames: numbers::frames(&self.line), ..worker }];
        Ok(report::snapshot(&self.line, &self.plan, &self.context, now))
    }

    /// Takes turns until `stop` is set, and answers questions between them.
    ///
    /// # Errors
    ///
    /// An interface was deleted, or went down where that is to end the run.
    pub fn work(&mut self, stop: &AtomicBool, inbox: &Inbox) -> Result<(), Failure> {
        while !stop.load(Ordering::Relaxed) {
            self.step(inbox)?;
        }
        Ok(())
    }

    /// Takes nothing more from the interfaces, and turns until all that was taken has left, or the plan's `drain` is over.
    /// The kernel has its packets back from the beginning on.
    ///
    /// # Errors
    ///
    /// As [`work`](Self::work).
    pub fn drain(&mut self, inbox: &Inbox) -> Result<(), Failure> {
        if let Some(steered) = &mut self.steered {
            steered.stop_taking();
        }
        self.line.ports.iter_mut().try_for_each(|port| port.device.stop_taking()).map_err(Failure::failed)?;
        let end = self.clock.now() + self.plan.running.drain;
        loop {
            let moved = self.step(inbox)?;
            let waits = self.line.queued() > 0 || self.line.ports.iter().any(|port| port.device.has_unsent());
            if !moved && !waits || self.clock.now() >= end {
                return Ok(());
            }
        }
    }

    /// A turn, and what is to be done between it and the next. Whether something moved.
    #[inline]
    fn step(&mut self, inbox: &Inbox) -> Result<bool, Failure> {
        let now = self.clock.now();
        let moved = self.line.turn(now).map_err(Failure::failed)? > 0;
        self.rest.turned(moved, now);
        self.notice_interfaces()?;
        if !moved {
            self.pause(now)?;
        }
        match inbox.turn() {
            Some(Request::Read(question)) => self.answer(question)?,
            Some(Request::Reload(reload)) => self.reload(*reload),
            None => {}
        }
        Ok(moved)
    }

    /// Says which interface has gone down, or come up again: when the first of its queues has, or the last.
    #[inline]
    fn notice_interfaces(&mut self) -> Result<(), Failure> {
        for position in 0..self.down.len() {
            let is_down = self.line.ports[position].device.is_down();
            if is_down != self.down[position] {
                self.down[position] = is_down;
                self.notice(position)?;
            }
        }
        Ok(())
    }

    fn notice(&self, position: usize) -> Result<(), Failure> {
        let interface = self.line.ports[position].device.interface();
        let is_same = |other: usize| self.line.ports[other].device.interface().index == interface.index;
        if (0..self.down.len()).any(|other| other != position && self.down[other] && is_same(other)) {
            return Ok(());
        }
        let name = &interface.name;
        match (self.down[position], self.plan.running.interface_down) {
            (false, _) => failure::tell(format!("interface {name} is up again")),
            (true, InterfaceDown::Wait) => failure::tell(format!("interface {name} is down: waiting until it is up")),
            (true, InterfaceDown::End) => {
                return Err(Failure::failed(format!("interface {name} is down: start again when it is up")));
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

    /// Follows another plan, if it can while it runs.
    fn reload(&mut self, Reload { plan, answer }: Reload) {
        let changed = reload::check(&self.plan, &plan)
            .and_then(|()| self.line.change(&self.plan, &plan, self.clock.now()).map_err(|why| why.to_string()));
        if changed.is_ok() {
            let complete = plan.running.checksums == Checksums::Complete;
            self.line.ports.iter_mut().for_each(|port| port.device.complete_checksums(complete));
        }
        // Who asked may have gone.
        let _ = answer.send(changed.map(|change| Reloaded { change, former: std::mem::replace(&mut self.plan, plan) }));
    }

    /// Nothing moves: the worker spins, or sleeps until a packet comes or the next departure is due.
    fn pause(&mut self, now: Nanos) -> Result<(), Failure> {
        let next = self.line.next_wake(now);
        let has_unsent = self.line.ports.iter().any(|port| port.device.has_unsent());
        let next = if has_unsent { Wake::Now } else { next };
        let is_down = self.down.contains(&true);
        match self.rest.pause(self.plan.running.idle, next, is_down, now) {
            Pause::Spin => std::hint::spin_loop(),
            Pause::Yield => thread::yield_now(),
            Pause::Sleep(time) => {
                let devices = self.line.ports.iter_mut().map(|port| &mut port.device);
                let begun = self.clock.now();
                let by_packet = rings::wait(devices, Duration::from_nanos(time.0)).map_err(Failure::failed)?;
                self.rest.slept(time, self.clock.now() - begun, by_packet);
            }
        }
        Ok(())
    }
}

fn prefer_busy_poll(device: &mut Socket) -> Result<(), Failure> {
    device.prefer_busy_poll().map_err(|cause| {
        let name = &device.interface().name;
        let remedy = "it needs Linux 5.11 and CAP_NET_ADMIN; idle = \"busy\" spins without it";
        Failure::refused(format!("interface {name} cannot be busy-polled: {cause}: {remedy}"))
    })
}

/// A key that senders cannot know, so that they cannot choose what collides.
fn secret_key() -> [u64; 2] {
    [0_u8, 1].map(|half| RandomState::new().hash_one(half))
}
