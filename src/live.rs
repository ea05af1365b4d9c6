//! Live traffic: packet lines between sockets on interfaces, and the workers that give them turns.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use crossbeam::queue::ArrayQueue;
use portlane_rings::{Gate, Interface, Rules, Socket};
use portlane_stats::snapshot::{Mode, Snapshot};

use crate::clock::Clock;
use crate::config::{Checksums, Idle, Plan, Running};
use crate::control::questions::{Inbox, Question, Reload, Reloaded, Request};
use crate::failure::Failure;
use crate::flows::heads::{self, Deliveries};
use crate::line::{Line, Port};
use crate::meters::{Meter, Meters};
use crate::report::Context;
use crate::workers::{self, Owners};

mod attach;
mod attached;
mod bell;
mod captures;
mod cores;
mod crew;
mod desk;
mod duties;
mod interfaces;
mod numbers;
mod outages;
mod reload;
mod rest;
mod worker;

pub use attach::owners;
pub use cores::{keep_off, one as core};

use attach::{Attached, Station, Steered, attach};
use bell::Bell;
use crew::Crew;
use desk::{Desk, Scheme, Told};
use outages::Outages;
use rest::Rest;
use worker::Worker;

/// How long the calling thread, which has all workers' turns at the end, sleeps when nothing moves.
const DRAIN_NAP: Duration = Duration::from_micros(100);

/// Packet lines between interfaces: one for each worker.
#[derive(Debug)]
pub struct Live {
    /// Let go of first.
    steered: Option<Steered>,
    /// The first one leads: it takes requests, and calls the others together. Those are in `others`, unless they work.
    first: Box<Worker>,
    others: Vec<Box<Worker>>,
    scheme: Arc<Scheme>,
    clock: Clock,
    interfaces: Vec<Interface>,
}

impl Live {
    /// Attaches to the interfaces of the plan, in the network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// Refused if the plan has no interfaces, or one cannot be used, or a core; whatever had been attached is detached.
    pub fn open(plan: Plan) -> Result<Self, Failure> {
        let Attached { steered, stations, interfaces, devices, modes } = attach(&plan)?;
        let clock = Clock::start();
        let memory = stations.first().map(|station| numbers::memory(&station.part.pool));
        let context = Context { started: clock.now(), devices, modes, memory, ..Context::default() };
        let both = stations.iter().enumerate().filter(|(_, station)| station.serves_both);
        let owners = Owners::among(&plan, both.map(|(worker, _)| worker));
        let bells = stations.iter().map(|_| Bell::new()).collect::<io::Result<Arc<_>>>().map_err(Failure::failed)?;
        let desks: Arc<[_]> = stations.iter().map(|_| Desk::new()).collect();
        let spare = Arc::new(ArrayQueue::new(stations.len()));
        let (outages, key) = (Arc::new(Outages::new(&interfaces)), secret_key());
        let worker = |(number, station): (usize, Station)| {
            let Station { core, part, mut ports, leaves_by, within, .. } = station;
            complete_checksums(&mut ports, plan.running);
            if plan.running.idle == Idle::BusyPoll {
                ports.iter_mut().try_for_each(|port| prefer_busy_poll(&mut port.device))?;
            }
            let down = vec![false; ports.len()];
            let line = workers::line(&plan, &owners, part, (ports, leaves_by), key, context.started);
            let line = match within {
                Some(port) => line.with_host(port),
                None => line,
            };
            Ok(Box::new(Worker {
                number,
                line,
                rest: Rest::new(context.started),
                core,
                is_pinned: false,
                running: plan.running,
                clock,
                bells: Arc::clone(&bells),
                desks: Arc::clone(&desks),
                slip: None,
                outages: Arc::clone(&outages),
                down,
                beat: None,
            }))
        };
        let mut others = stations.into_iter().enumerate().map(worker).collect::<Result<Vec<_>, Failure>>()?;
        let first = others.remove(0);
        let verdicts = steered.as_ref().map(Steered::verdicts);
        let scheme = Arc::new(Scheme { plan: Arc::new(plan), owners, context, verdicts, spare });
        Ok(Self { steered, first, others, scheme, clock, interfaces })
    }

    /// What is followed.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.scheme.plan
    }

    /// Has all workers count what there is to count by prefixes.
    pub fn meter(&mut self, meters: &Arc<Meters>) {
        let plan = Arc::clone(&self.scheme.plan);
        for worker in self.all_mut() {
            let meter = Meter::new(Arc::clone(meters), &plan, &worker.line.places);
            worker.line.count_by(meter);
        }
    }

    /// Has all workers show the beginnings of frames, each in so many slots: for who observes flows.
    pub fn observe(&mut self, slots: u32) -> Vec<heads::Receiver> {
        let show = |worker: &mut Worker| {
            let (sender, receiver) = heads::way(slots);
            worker.line.show_heads(sender);
            receiver
        };
        self.all_mut().map(show).collect()
    }

    /// Has all workers show what containers have sent, and what they are given: for who tells TCP's counters from it.
    pub fn tell_deliveries(&mut self, slots: u32) -> Vec<heads::Receiver> {
        let show = |worker: &mut Worker| {
            let (sender, receiver) = heads::way(slots);
            worker.line.tell_deliveries(Deliveries::new(sender));
            receiver
        };
        self.all_mut().map(show).collect()
    }

    /// That of workers.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The plan, to be kept.
    #[must_use]
    pub fn shared_plan(&self) -> Arc<Plan> {
        Arc::clone(&self.scheme.plan)
    }

    /// What the kernel chooses by, once, if it chooses: for who reloads.
    pub fn take_rules(&mut self) -> Option<Rules> {
        self.steered.as_mut()?.take_rules()
    }

    /// The way to containers with interfaces of their own, once, if there are to be any: for who attaches them.
    pub fn take_gate(&mut self) -> Option<Gate> {
        self.steered.as_mut()?.take_gate()
    }

    /// The interfaces, each once, as they were when opened.
    #[must_use]
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// For each interface how it is attached, and what refused to be attached better: `eth0: copy (not zero-copy: ...)`.
    #[must_use]
    pub fn modes(&self) -> Vec<String> {
        let of = |(name, mode): (&String, &Mode)| {
            let mut devices = self.all().flat_map(|worker| &worker.line.ports).map(|port| &port.device);
            let refusal = devices.find(|device| device.interface().name == *name).and_then(Socket::refusal);
            format!("{name}: {}{}", mode.as_str(), refusal.map(|why| format!(" ({why})")).unwrap_or_default())
        };
        self.scheme.context.modes.iter().map(of).collect()
    }

    /// How each interface is attached, by its name.
    #[must_use]
    pub fn attached(&self) -> &BTreeMap<String, Mode> {
        &self.scheme.context.modes
    }

    /// Has reports say which offloads are off for the run, by interface.
    pub fn tell_offloads(&mut self, off: BTreeMap<String, Vec<String>>) {
        let context = Context { offloads: off, ..self.scheme.context.clone() };
        self.scheme = Arc::new(Scheme { context, ..Scheme::clone(&self.scheme) });
    }

    /// The cores of the workers; `None` where the system does not let us choose.
    #[must_use]
    pub fn cores(&self) -> Vec<Option<usize>> {
        self.all().map(|worker| worker.core.map(|core| core.id)).collect()
    }

    fn all(&self) -> impl Iterator<Item = &Worker> {
        [&self.first].into_iter().chain(&self.others).map(Box::as_ref)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Worker> {
        [&mut self.first].into_iter().chain(&mut self.others).map(Box::as_mut)
    }

    /// Everything counted so far.
    ///
    /// # Errors
    ///
    /// An interface does not tell its statistics.
    pub fn snapshot(&mut self) -> Result<Snapshot, Failure> {
        let told = self.told()?;
        self.scheme.make(told).map(|answer| answer.snapshot).map_err(Failure::failed)
    }

    /// What all workers have counted, as of now. Those that have left are forgotten.
    fn told(&mut self) -> Result<Vec<Told>, Failure> {
        let now = self.clock.now();
        let mut lines = lines(&mut self.first, &mut self.others);
        if workers::leaves(&lines) {
            workers::settle(&mut lines, now).map_err(Failure::failed)?;
            workers::forget_leaving(&mut lines, &self.scheme.plan, now);
        }
        self.all_mut().map(|worker| worker.told(now)).collect()
    }

    /// Has all workers take turns until `stop` is set, and does what is wanted of them between their turns. The first of them
    /// has the calling thread; each has its core.
    ///
    /// # Errors
    ///
    /// An interface was deleted, or went down where that is to end the run.
    pub fn work(&mut self, stop: &AtomicBool, inbox: &Inbox) -> Result<(), Failure> {
        let (pulse, bells) = (inbox.pulse(), Arc::clone(&self.first.bells));
        inbox.wake_by(move || bells[0].ring());
        self.others.iter_mut().for_each(|worker| worker.beat = Some(pulse.join()));
        self.first.settle_down();
        let called = AtomicBool::new(false);
        thread::scope(|scope| {
            let crew = Crew::start(scope, self.others.len(), &called)?;
            loop {
                crew.send_out(&mut self.others);
                let wanted = self.first.lead(stop, &called, inbox, &self.scheme);
                let at_home = crew.call_home(&self.first, &mut self.others);
                let wanted = wanted.and_then(|wanted| at_home.map(|()| wanted))?;
                self.all_mut().try_for_each(Worker::tell_all)?;
                match wanted {
                    Some(request) => self.satisfy(request)?,
                    None => return Ok(()),
                }
            }
        })
    }

    /// Takes nothing more from the interfaces, and turns until all that was taken has left, or the plan's `drain` is over.
    /// The kernel has its packets back from the beginning on. All workers turn on the calling thread.
    ///
    /// # Errors
    ///
    /// As [`work`](Self::work).
    pub fn drain(&mut self, inbox: &Inbox) -> Result<(), Failure> {
        if let Some(steered) = &mut self.steered {
            steered.stop_taking();
        }
        for port in self.all_mut().flat_map(|worker| &mut worker.line.ports) {
            port.device.stop_taking().map_err(Failure::failed)?;
        }
        let end = self.clock.now() + self.scheme.plan.running.drain;
        loop {
            let now = self.clock.now();
            let mut moved = false;
            for worker in self.all_mut() {
                moved |= worker.turn(now)?;
            }
            if let Some(request) = inbox.turn() {
                self.satisfy(request)?;
            }
            let waits = self.all().any(|worker| worker.line.queued() > 0 || worker.has_unsent());
            if !moved && !waits || now >= end {
                return Ok(());
            }
            if !moved {
                thread::sleep(DRAIN_NAP);
            }
        }
    }

    fn satisfy(&mut self, request: Request) -> Result<(), Failure> {
        match request {
            Request::Read(question) => self.answer(question),
            Request::Reload(reload) => self.reload(*reload),
            Request::Capture(begin) => {
                captures::begin(self, *begin);
                Ok(())
            }
        }
    }

    fn answer(&mut self, question: Question) -> Result<(), Failure> {
        let told = self.told()?;
        if question.restart_sojourn {
            self.all_mut().for_each(|worker| worker.line.restart_histograms());
        }
        let scheme = Arc::clone(&self.scheme);
        // Who asked may have gone.
        let _ = question.answer.send(Box::pin(async move { scheme.make(told) }));
        Ok(())
    }

    /// Follows another plan, if it can while it runs: at all workers, or at none.
    fn reload(&mut self, Reload { plan, answer }: Reload) -> Result<(), Failure> {
        let now = self.clock.now();
        let mut lines = lines(&mut self.first, &mut self.others);
        workers::settle(&mut lines, now).map_err(Failure::failed)?;
        let (former, mut owners) = (Arc::clone(&self.scheme.plan), self.scheme.owners.clone());
        let changed = reload::check(&former, &plan).and_then(|()| {
            workers::change(&mut lines, &mut owners, &former, &plan, now).map_err(|why| why.to_string())
        });
        let reloaded = changed.map(|change| {
            self.scheme = Arc::new(Scheme { plan, owners, ..Scheme::clone(&self.scheme) });
            Reloaded { change, former }
        });
        let running = self.scheme.plan.running;
        for worker in self.all_mut() {
            worker.running = running;
            complete_checksums(&mut worker.line.ports, running);
        }
        // Who asked may have gone.
        let _ = answer.send(reloaded);
        Ok(())
    }
}

/// The lines of all workers.
fn lines<'a>(first: &'a mut Worker, others: &'a mut [Box<Worker>]) -> Vec<&'a mut Line<Socket>> {
    let others = others.iter_mut().map(|worker| &mut worker.line);
    [&mut first.line].into_iter().chain(others).collect()
}

fn complete_checksums(ports: &mut [Port<Socket>], running: Running) {
    let complete = running.checksums == Checksums::Complete;
    ports.iter_mut().for_each(|port| port.device.complete_checksums(complete));
}

fn prefer_busy_poll(device: &mut Socket) -> Result<(), Failure> {
    device.prefer_busy_poll().map_err(|cause| {
        let name = &device.interface().name;
        let remedy = "it needs Linux 5.11 and CAP_NET_ADMIN; idle = \"busy\" spins without it";
        Failure::refused(format!("interface {name} cannot be busy-polled: {cause}: {remedy}"))
    })
}

/// A key that senders cannot know, so that they cannot choose what collides.
#[must_use]
pub fn secret_key() -> [u64; 2] {
    [0_u8, 1].map(|half| RandomState::new().hash_one(half))
}
