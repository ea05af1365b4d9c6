//! What concerns a run besides its packets, on a thread of its own: the configuration is read again on SIGHUP, the service
//! manager is told how things are, and changes of the interfaces are noticed.

use std::io::{self, ErrorKind, Read};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use caps::Capability;
use crossbeam::channel;
use nix::unistd::gettid;
use portlane_rings::{Interface, NewRules, Rules};
use sd_notify::NotifyState;
use serde_json::{Value, json};
use signal_hook::consts::SIGHUP;
use tokio::sync::{mpsc, oneshot};

use crate::attach::{Attachments, Readings};
use crate::config::Plan;
use crate::containers::{Draft, Order, Orders, Refusal, Registry, Wanted};
use crate::control::questions::{Beats, Pulse, Reload, Reloaded, Request, Requests};
use crate::failure::{self, Failure};
use crate::flows::Observed;
use crate::line::change::Change;
use crate::live;
use crate::meters::Meters;
use crate::netstat::Latest;
use crate::netstat::wired::Followed;
use crate::privileges;

mod interfaces;

use interfaces::Watched;

/// How often there is a look at everything, if nothing asks for one before.
const TICK: Duration = Duration::from_millis(50);

/// How often the kernel's counters of containers are read, and of how many in a tick: each takes a part of a millisecond.
const READ: Duration = Duration::from_secs(5);
const AT_A_TIME: usize = 8;

/// How often interfaces are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The running supervisor; it stops when dropped.
#[derive(Debug)]
pub struct Supervisor {
    hangups: UnixStream,
    thread: Option<JoinHandle<Option<Attachments>>>,
}

/// What a supervisor needs to know.
#[derive(Debug)]
pub struct Charge {
    /// The configuration.
    pub config: PathBuf,
    /// Tells of SIGHUP: see [`reload_on_hangup`].
    pub hangups: UnixStream,
    /// Where the worker takes requests.
    pub requests: Requests,
    /// Whether the worker takes turns.
    pub pulse: Pulse,
    /// The interfaces in use.
    pub interfaces: Vec<Interface>,
    /// What the kernel chooses by, if it chooses.
    pub rules: Option<Rules>,
    /// The containers that have interfaces of their own, if they have.
    pub attachments: Option<Attachments>,
    /// The containers that are not attached, and are read all the same, if there may be some.
    pub readings: Option<Readings>,
    /// The containers that were added.
    pub registry: Registry,
    /// Where the kernel's counters of containers go.
    pub netstat: Latest,
    /// What is counted by prefixes.
    pub meters: Arc<Meters>,
    /// What observes flows, if they are observed.
    pub observed: Option<Arc<Observed>>,
    /// Who tells TCP's counters from frames, if somebody does.
    pub wired: Followed,
    /// Changes that are wanted: the bell is `hangups`.
    pub orders: mpsc::Receiver<Order>,
    /// Ends the run.
    pub stop: Arc<AtomicBool>,
    /// Those of the workers.
    pub cores: Vec<Option<usize>>,
}

impl Supervisor {
    /// Starts it, and returns when it keeps off the workers' cores and has given up its privileges. It lives in the network
    /// namespace of the calling thread. Of that one's capabilities it keeps `CAP_BPF` if there are rules, since other rules are
    /// another map in the kernel.
    ///
    /// # Errors
    ///
    /// Failed if there is no thread to be had, or its privileges are not as they have to be.
    pub fn start(charge: Charge) -> Result<Self, Failure> {
        let hangups = charge.hangups.try_clone().map_err(Failure::failed)?;
        let (ready, begun) = channel::bounded(1);
        let watch = move || {
            live::keep_off(&charge.cores, gettid());
            let kept: &[_] = if charge.rules.is_some() { &[Capability::CAP_BPF] } else { &[] };
            let kept = privileges::keep(kept);
            let goes_on = kept.is_ok();
            // Who started it waits.
            let _ = ready.send(kept);
            if !goes_on {
                return charge.attachments;
            }
            let mut shift = Shift::new(charge);
            while let Some(is_hangup) = shift.wait() {
                shift.tick(is_hangup);
            }
            shift.charge.attachments
        };
        let thread = thread::Builder::new().name("portlane-watch".to_owned()).spawn(watch).map_err(Failure::failed)?;
        begun.recv().map_err(Failure::failed)??;
        Ok(Self { hangups, thread: Some(thread) })
    }

    /// Ends it; the containers stay attached until what is returned is dropped.
    #[must_use]
    pub fn end(mut self) -> Option<Attachments> {
        self.join()
    }

    fn join(&mut self) -> Option<Attachments> {
        // The thread hears of the end; that the other side has gone already would be no harm.
        let _ = self.hangups.shutdown(Shutdown::Both);
        // A panic there has been printed; there is nothing to add.
        self.thread.take()?.join().ok()?
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        drop(self.join());
    }
}

/// Has each SIGHUP write a byte to what is returned first: who waits for one need not look for it time and again. What is returned
/// second writes there, too.
///
/// # Errors
///
/// Failed if the handler cannot be installed.
pub fn reload_on_hangup() -> Result<(UnixStream, UnixStream), Failure> {
    let install = || -> io::Result<_> {
        let (hangups, handler) = UnixStream::pair()?;
        hangups.set_read_timeout(Some(TICK))?;
        let bell = handler.try_clone()?;
        bell.set_nonblocking(true)?;
        signal_hook::low_level::pipe::register(SIGHUP, handler)?;
        Ok((hangups, bell))
    };
    install().map_err(Failure::failed)
}

/// Tells the service manager, if one has started this process (`NOTIFY_SOCKET`).
pub fn notify(states: &[NotifyState<'_>]) {
    if let Err(cause) = sd_notify::notify(states) {
        failure::tell(format!("the service manager cannot be told: {cause}"));
    }
}

/// Has the service manager wait for a start that goes on: it would end one that takes longer than it has been told
/// (`TimeoutStartSec`).
#[derive(Debug)]
pub struct Patience {
    asked: Instant,
}

impl Patience {
    /// Each time so much is asked for, and so often.
    const LONGER: Duration = Duration::from_secs(30);
    const EVERY: Duration = Duration::from_secs(5);

    /// The start begins.
    #[must_use]
    pub fn begin() -> Self {
        Self { asked: Instant::now() }
    }

    /// The start goes on.
    pub fn ask(&mut self) {
        if self.is_due(Instant::now()) {
            let micros = u32::try_from(Self::LONGER.as_micros()).unwrap_or(u32::MAX);
            notify(&[NotifyState::ExtendTimeoutUsec(micros)]);
        }
    }

    fn is_due(&mut self, now: Instant) -> bool {
        let is_due = now.duration_since(self.asked) >= Self::EVERY;
        if is_due {
            self.asked = now;
        }
        is_due
    }
}

/// The supervisor at work.
struct Shift {
    charge: Charge,
    watched: Vec<Watched>,
    looked: Instant,
    /// When the kernel's counters began to be read last.
    read: Option<Instant>,
    watchdog: Option<Watchdog>,
}

impl Shift {
    fn new(mut charge: Charge) -> Self {
        let watched = charge.interfaces.drain(..).map(Watched::new).collect();
        let watchdog = sd_notify::watchdog_enabled().map(|patience| Watchdog::new(patience, charge.pulse.beats()));
        Self { charge, watched, looked: Instant::now(), read: None, watchdog }
    }

    /// Waits for a tick, or less: whether it was told of a SIGHUP, or of several. `None`: it is to end.
    fn wait(&mut self) -> Option<bool> {
        let mut heard = [0; 64];
        match self.charge.hangups.read(&mut heard) {
            Ok(count) => (count > 0).then(|| Orders::is_hangup(&heard[..count])),
            Err(cause) if matches!(cause.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Some(false),
            Err(cause) => {
                failure::tell(format!("SIGHUP is no longer heard of: {cause}"));
                None
            }
        }
    }

    fn tick(&mut self, is_hangup: bool) {
        if is_hangup {
            // What it says it has said.
            let _ = self.reload();
        }
        while let Ok(Order { wanted, answer }) = self.charge.orders.try_recv() {
            // Who asked may have gone.
            let _ = answer.send(self.carry_out(wanted));
        }
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            self.watched.iter_mut().filter_map(Watched::look).for_each(failure::tell);
            if let Some(attachments) = &mut self.charge.attachments {
                let mut going_on = || feed(&mut self.watchdog, &self.charge.pulse);
                attachments.follow_addresses(&mut going_on).into_iter().for_each(failure::tell);
            }
        }
        self.read_counters();
        feed(&mut self.watchdog, &self.charge.pulse);
    }

    /// Reads some of what the kernel counts for containers, once in a while all of it.
    fn read_counters(&mut self) {
        let Charge { attachments, readings, .. } = &self.charge;
        let is_attached = attachments.as_ref().map(Attachments::have_read_all);
        let Some(have_read_all) = is_attached.or(readings.as_ref().map(Readings::have_read_all)) else { return };
        if have_read_all {
            if self.read.is_some_and(|read| read.elapsed() < READ) {
                return;
            }
            self.read = Some(Instant::now());
        }
        let Charge { attachments, readings, netstat, .. } = &mut self.charge;
        if let Some(attachments) = attachments {
            attachments.read_counters(AT_A_TIME, netstat);
        } else if let Some(readings) = readings {
            readings.read_counters(AT_A_TIME, netstat);
        }
    }

    fn carry_out(&mut self, wanted: Wanted) -> Result<Value, Refusal> {
        // A clock before the epoch lets ports rest.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        match wanted {
            Wanted::Put(id, keys) => self.publish(self.charge.registry.put(&id, keys, now)?),
            Wanted::Set(id, keys) => self.publish(self.charge.registry.set(&id, keys, now)?),
            Wanted::Remove(id) => self.publish(self.charge.registry.remove(&id, now)?),
            Wanted::List => Ok(self.charge.registry.list()),
            Wanted::Reload => {
                let Change { added, changed, removed } =
                    self.reload().map_err(|why| Refusal::Invalid(why.message()))?;
                Ok(json!({ "added": added, "changed": changed, "removed": removed }))
            }
            Wanted::Drain => {
                self.charge.stop.store(true, Ordering::Relaxed);
                Ok(json!({ "draining": true }))
            }
        }
    }

    /// What is written down first can be read again whatever happens then.
    fn publish(&mut self, Draft { plan, registry, container }: Draft) -> Result<Value, Refusal> {
        registry.save()?;
        if let Err(Failure::Refused(why) | Failure::Failed(why)) = self.install(plan) {
            self.charge.registry.save()?;
            return Err(Refusal::Failed(why));
        }
        self.charge.registry = registry;
        let keys = container.map(|container| serde_json::to_value(container.table()));
        Ok(keys.and_then(Result::ok).unwrap_or_else(|| json!({})))
    }

    fn reload(&mut self) -> Result<Change, Failure> {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => notify(&[NotifyState::Reloading, now]),
            Err(_) => notify(&[NotifyState::Reloading]),
        }
        let reloaded = self.try_reload();
        match &reloaded {
            Ok(Change { added, changed, removed }) => failure::tell(format!(
                "configuration reloaded: containers: {added} added, {changed} changed, {removed} removed"
            )),
            Err(why) => failure::tell(format!("{}\nnot reloaded: portlane goes on as before", why.message())),
        }
        notify(&[NotifyState::Ready]);
        reloaded
    }

    fn try_reload(&mut self) -> Result<Change, Failure> {
        let (registry, plan) = self.charge.registry.reopen(&self.charge.config).map_err(Failure::refused)?;
        let (mut warnings, meters) = (plan.warnings.clone(), Arc::clone(&plan.meters));
        let change = self.install(plan)?;
        self.charge.registry = registry;
        match self.charge.meters.reload(&meters) {
            Ok(left_out) => warnings.extend(left_out),
            Err(why) => warnings.push(format!("meters are as before: {why}")),
        }
        warnings.iter().for_each(|warning| failure::tell(format!("warning: {warning}")));
        Ok(change)
    }

    /// The rules in the kernel change last: what the kernel may refuse of them has been prepared before.
    fn install(&mut self, plan: Plan) -> Result<Change, Failure> {
        let refused = |cause| Failure::refused(format!("the kernel does not take the ports of containers: {cause}"));
        let steers = self.charge.rules.is_some() && plan.nic.is_some();
        let prepared = steers.then(|| NewRules::prepare(&live::owners(&plan))).transpose().map_err(refused)?;
        let plan = Arc::new(plan);
        let places = self.charge.readings.as_mut().map(|readings| readings.prepare(&plan)).transpose();
        let places = places.map_err(Failure::refused)?;
        let mut unmeant = Vec::new();
        if let Some(attachments) = &mut self.charge.attachments {
            let mut going_on = || feed(&mut self.watchdog, &self.charge.pulse);
            unmeant = attachments.extend(&plan, &mut going_on).map_err(Failure::refused)?;
        }
        let followed = self.follow_with(Arc::clone(&plan), prepared);
        let mut going_on = || feed(&mut self.watchdog, &self.charge.pulse);
        match (&mut self.charge.attachments, &followed) {
            (Some(attachments), Ok(_)) => {
                attachments.shrink(&plan, &mut going_on);
                unmeant.iter().for_each(|warning| failure::tell(format!("warning: {warning}")));
            }
            (Some(attachments), Err(_)) => attachments.restore(&mut going_on),
            (None, _) => {}
        }
        if let (Some(readings), Some(places), Ok(_)) = (&mut self.charge.readings, places, &followed) {
            readings.follow(places);
        }
        followed
    }

    fn follow_with(&mut self, plan: Arc<Plan>, prepared: Option<NewRules>) -> Result<Change, Failure> {
        let Reloaded { change, former } = self.follow(plan)?;
        if let (Some(rules), Some(prepared)) = (&mut self.charge.rules, prepared)
            && let Err(cause) = rules.put(prepared)
        {
            self.follow(former)?;
            return Err(Failure::refused(format!("the kernel does not take the ports of containers: {cause}")));
        }
        Ok(change)
    }

    /// Has the worker follow another plan.
    fn follow(&self, plan: Arc<Plan>) -> Result<Reloaded, Failure> {
        let (answer, answered) = oneshot::channel();
        let silent = || Failure::failed("the worker does not answer");
        let reload = Reload { plan: Arc::clone(&plan), answer };
        self.charge.requests.send(Request::Reload(Box::new(reload))).map_err(|_| silent())?;
        let reloaded = answered.blocking_recv().map_err(|_| silent())?.map_err(Failure::refused)?;
        self.charge.meters.follow(&plan);
        self.charge.wired.follow(Arc::clone(&plan));
        self.charge.observed.iter().for_each(|observed| observed.follow(Arc::clone(&plan)));
        Ok(reloaded)
    }
}

/// Tells the watchdog if it is time and all workers take turns: also time and again while something takes long.
fn feed(watchdog: &mut Option<Watchdog>, pulse: &Pulse) {
    if let Some(watchdog) = watchdog
        && watchdog.is_fed_by(pulse.beats(), Instant::now())
    {
        notify(&[NotifyState::Watchdog]);
    }
}

/// The service manager's watchdog: it is to hear of workers that all take turns, and of no others.
#[derive(Debug)]
struct Watchdog {
    interval: Duration,
    fed: Instant,
    beats: Beats,
}

impl Watchdog {
    /// Told every third of the time, a busy machine may be late twice.
    fn new(patience: Duration, beats: Beats) -> Self {
        Self { interval: patience / 3, fed: Instant::now(), beats }
    }

    /// Whether it is time to tell, and there is something to be told: every worker has taken turns.
    fn is_fed_by(&mut self, beats: Beats, now: Instant) -> bool {
        if beats.workers() != self.beats.workers() {
            // They have just begun.
            self.beats = beats;
            return false;
        }
        let is_fed = now.duration_since(self.fed) >= self.interval && beats.all_since(&self.beats);
        if is_fed {
            (self.fed, self.beats) = (now, beats);
        }
        is_fed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::questions::Beat;

    #[test]
    fn a_long_start_asks_for_time_now_and_then() {
        let mut patience = Patience::begin();
        let begun = patience.asked;
        let at = |seconds| begun + Duration::from_secs(seconds);
        let due: Vec<_> = (0..=20).filter(|&second| patience.is_due(at(second))).collect();
        assert_eq!(due, [5, 10, 15, 20]);
        assert!(Patience::LONGER > 2 * Patience::EVERY, "one that is late does no harm");
    }

    #[test]
    fn the_watchdog_hears_of_workers_that_take_turns() {
        let pulse = Pulse::default();
        let workers = [pulse.join(), pulse.join()];
        let mut watchdog = Watchdog::new(Duration::from_secs(3), pulse.beats());
        let at = |millis| watchdog.fed + Duration::from_millis(millis);
        let [early, late, later, last] = [at(999), at(1_000), at(1_500), at(2_000)];
        let mut is_fed = |now| watchdog.is_fed_by(pulse.beats(), now);
        workers.iter().for_each(Beat::beat);
        assert!(!is_fed(early), "not yet");
        assert!(is_fed(late));
        workers.iter().for_each(Beat::beat);
        assert!(!is_fed(later), "not yet again");
        assert!(is_fed(last));
        let much_later = last + Duration::from_secs(2);
        workers[1].beat();
        assert!(!is_fed(much_later), "one takes no turns");
        workers[0].beat();
        assert!(is_fed(much_later));
        let _third = pulse.join();
        workers.iter().for_each(Beat::beat);
        assert!(!is_fed(much_later + Duration::from_secs(2)), "another has begun, and not yet taken a turn");
    }
}
