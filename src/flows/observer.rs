//! Who observes flows while they pass, on threads that keep no packet waiting: one reads what workers show and follows flows,
//! the other keeps the rows that this comes to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam::channel::{self, Receiver as Taker, RecvTimeoutError, Sender as Giver};
use nix::unistd::gettid;
use portlane_flows::Batch;

use super::columns::Known;
use super::heads::Receiver;
use super::observation::Observation;
use super::settings::Settings;
use super::shared::Flows;
use super::store::Keeper;
use crate::clock::Clock;
use crate::config::Plan;
use crate::failure::Failure;
use crate::{live, privileges};

/// Slots of each worker's ring: 8 MiB.
pub const SLOTS: u32 = 1 << 17;

/// How long the observer sleeps when there is nothing to see. The rings hold what 130 million packets a second come to in that
/// time.
const NAP: Duration = Duration::from_millis(1);

/// Rounds in which something was seen, until others learn how much.
const ROUNDS: u32 = 64;

/// How often it is looked whether files have grown for long enough, if nothing comes.
const LOOK_AFTER_FILES: Duration = Duration::from_secs(1);

/// Seconds and minutes whose rows may wait to be kept. Each may be large, and who is that late would rather lose some than have all
/// the memory.
const WAITING: usize = 4;

/// Rows, and what is known of their ends.
type Told = (Batch, Arc<Known>);

/// The running observer; when dropped it tells what it has seen until then, and ends.
#[derive(Debug)]
pub struct Observer {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// What is observed, and what is needed for it.
#[derive(Debug)]
pub struct Watched {
    /// What workers show.
    pub receivers: Vec<Receiver>,
    /// What is followed.
    pub plan: Arc<Plan>,
    /// For hashing: secret.
    pub key: [u64; 2],
    /// That of workers.
    pub clock: Clock,
    /// Those of workers.
    pub cores: Vec<Option<usize>>,
    /// Where all is told.
    pub flows: Arc<Flows>,
}

impl Observer {
    /// Starts it, and returns when it is on its core and has given up its privileges.
    ///
    /// # Errors
    ///
    /// Refused if the core cannot be had, or rows cannot be kept where they are to be; failed if there is no thread to be had, or it keeps privileges.
    pub fn start(settings: &Settings, watched: Watched) -> Result<Self, Failure> {
        let core = settings.core.map(|core| live::core(core, &watched.cores, "[flows] core")).transpose()?;
        let keeper = settings.store.clone().map(Keeper::open).transpose()?;
        keeper.iter().for_each(|keeper| watched.flows.stored(keeper.report()));
        let stop = Arc::new(AtomicBool::new(false));
        let (giver, taker) = channel::bounded(WAITING);
        let mut observer = Self { stop: Arc::clone(&stop), threads: Vec::new() };
        let (cores, flows) = (watched.cores.clone(), Arc::clone(&watched.flows));
        observer.spawn("portlane-rows", cores.clone(), None, move || keep(&taker, &flows, keeper))?;
        let max_flows = settings.max_flows;
        let watch = move || {
            let Watched { receivers, plan, key, clock, flows, .. } = watched;
            let now = clock.now();
            let observation = Observation::new(receivers, &plan, max_flows, key, now.0);
            let known = Arc::new(observation.known());
            Watch { observation, known, clock, flows, giver }.until(&stop);
        };
        observer.spawn("portlane-flows", cores, core, watch)?;
        Ok(observer)
    }

    fn spawn(
        &mut self,
        name: &str,
        cores: Vec<Option<usize>>,
        own: Option<core_affinity::CoreId>,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<(), Failure> {
        let (ready, begun) = channel::bounded(1);
        let run = move || {
            match own {
                // Where this is refused, it is on another one.
                Some(core) => drop(core_affinity::set_for_current(core)),
                None => live::keep_off(&cores, gettid()),
            }
            let given_up = privileges::give_up();
            let goes_on = given_up.is_ok();
            // Who started it waits.
            let _ = ready.send(given_up);
            if goes_on {
                work();
            }
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run).map_err(Failure::failed)?;
        // The one that others end by is the last.
        self.threads.insert(0, thread);
        begun.recv().map_err(Failure::failed)?
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic there has been printed; there is nothing to add.
            let _ = thread.join();
        }
    }
}

/// The observer at work.
struct Watch {
    observation: Observation,
    known: Arc<Known>,
    clock: Clock,
    flows: Arc<Flows>,
    giver: Giver<Told>,
}

impl Watch {
    fn until(mut self, stop: &AtomicBool) {
        let mut rounds = 0;
        while !stop.load(Ordering::Relaxed) {
            if let Some(plan) = self.flows.take_plan() {
                self.observation.follow(&plan, self.clock.now().0);
                self.known = Arc::new(self.observation.known());
            }
            let Self { observation, known, clock, flows, giver } = &mut self;
            let looked = observation.look(clock.now().0, &mut |batch| tell(giver, flows, batch, known));
            rounds += 1;
            if looked == 0 || rounds >= ROUNDS {
                rounds = 0;
                self.flows.saw(self.observation.seen());
            }
            if looked == 0 {
                thread::sleep(NAP);
            }
        }
        let Self { observation, known, clock, flows, giver } = self;
        let seen = observation.leave(clock.now().0, &mut |batch| {
            // It is the last: there is time to wait for room.
            let _ = giver.send((batch, Arc::clone(&known)));
        });
        flows.saw(seen);
    }
}

fn tell(giver: &Giver<Told>, flows: &Flows, batch: Batch, known: &Arc<Known>) {
    if giver.try_send((batch, Arc::clone(known))).is_err() {
        flows.lost_batch();
    }
}

/// Keeps rows until nobody gives any.
fn keep(taker: &Taker<Told>, flows: &Flows, mut keeper: Option<Keeper>) {
    loop {
        let goes_on = match taker.recv_timeout(LOOK_AFTER_FILES) {
            Ok((batch, known)) => {
                flows.take(&batch, &known);
                keeper.iter_mut().for_each(|keeper| keeper.take(&batch, &known));
                true
            }
            Err(RecvTimeoutError::Timeout) => {
                keeper.iter_mut().for_each(Keeper::tend);
                true
            }
            Err(RecvTimeoutError::Disconnected) => {
                keeper.iter_mut().for_each(Keeper::finish);
                false
            }
        };
        keeper.iter().for_each(|keeper| flows.stored(keeper.report()));
        if !goes_on {
            return;
        }
    }
}
