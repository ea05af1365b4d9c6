//! What concerns a run besides its packets, on a thread of its own: the configuration is read again on SIGHUP, the service
//! manager is told how things are, and changes of the interfaces are noticed.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam::channel::{self, RecvTimeoutError, Sender};
use portlane_rings::Interface;
use sd_notify::NotifyState;
use signal_hook::consts::SIGHUP;
use tokio::sync::oneshot;

use crate::config;
use crate::control::questions::{Pulse, Reload, Request};
use crate::failure::{self, Failure};
use crate::line::change::Change;

mod interfaces;

use interfaces::Watched;

/// How often there is a look at everything.
const TICK: Duration = Duration::from_millis(50);

/// How often interfaces are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The running supervisor; it stops when dropped.
#[derive(Debug)]
pub struct Supervisor {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What a supervisor needs to know.
#[derive(Debug)]
pub struct Charge {
    /// The configuration.
    pub config: PathBuf,
    /// Set by SIGHUP: see [`reload_on_hangup`].
    pub hangup: Arc<AtomicBool>,
    /// Where the worker takes requests.
    pub requests: Sender<Request>,
    /// Whether the worker takes turns.
    pub pulse: Pulse,
    /// The interfaces in use.
    pub interfaces: Vec<Interface>,
}

impl Supervisor {
    /// Starts it. It lives in the network namespace of the calling thread, with its privileges.
    ///
    /// # Errors
    ///
    /// Failed if there is no thread to be had.
    pub fn start(charge: Charge) -> Result<Self, Failure> {
        let (stop, stopped) = channel::bounded(0);
        let watch = move || {
            let mut shift = Shift::new(charge);
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                shift.tick();
            }
        };
        let thread = thread::Builder::new().name("portlane-watch".to_owned()).spawn(watch).map_err(Failure::failed)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; there is nothing to add.
            let _ = thread.join();
        }
    }
}

/// A flag that SIGHUP sets.
///
/// # Errors
///
/// Failed if the handler cannot be installed.
pub fn reload_on_hangup() -> Result<Arc<AtomicBool>, Failure> {
    let hangup = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGHUP, Arc::clone(&hangup)).map_err(Failure::failed)?;
    Ok(hangup)
}

/// Tells the service manager, if one has started this process (`NOTIFY_SOCKET`).
pub fn notify(states: &[NotifyState<'_>]) {
    if let Err(cause) = sd_notify::notify(states) {
        failure::tell(format!("the service manager cannot be told: {cause}"));
    }
}

/// The supervisor at work.
struct Shift {
    charge: Charge,
    watched: Vec<Watched>,
    looked: Instant,
    watchdog: Option<Watchdog>,
}

impl Shift {
    fn new(mut charge: Charge) -> Self {
        let watched = charge.interfaces.drain(..).map(Watched::new).collect();
        let watchdog = sd_notify::watchdog_enabled().map(|patience| Watchdog::new(patience, charge.pulse.beats()));
        Self { charge, watched, looked: Instant::now(), watchdog }
    }

    fn tick(&mut self) {
        if self.charge.hangup.swap(false, Ordering::Relaxed) {
            self.reload();
        }
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            self.watched.iter_mut().filter_map(Watched::look).for_each(failure::tell);
        }
        if let Some(watchdog) = &mut self.watchdog
            && watchdog.is_fed_by(self.charge.pulse.beats(), Instant::now())
        {
            notify(&[NotifyState::Watchdog]);
        }
    }

    fn reload(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => notify(&[NotifyState::Reloading, now]),
            Err(_) => notify(&[NotifyState::Reloading]),
        }
        match self.try_reload() {
            Ok(Change { added, changed, removed }) => failure::tell(format!(
                "configuration reloaded: containers: {added} added, {changed} changed, {removed} removed"
            )),
            Err(why) => failure::tell(format!("{}\nnot reloaded: portlane goes on as before", why.message())),
        }
        notify(&[NotifyState::Ready]);
    }

    fn try_reload(&self) -> Result<Change, Failure> {
        let plan = config::load(&self.charge.config).map_err(Failure::refused)?;
        let warnings = plan.warnings.clone();
        let (answer, answered) = oneshot::channel();
        let silent = || Failure::failed("the worker does not answer");
        self.charge.requests.send(Request::Reload(Box::new(Reload { plan, answer }))).map_err(|_| silent())?;
        let reloaded = answered.blocking_recv().map_err(|_| silent())?.map_err(Failure::refused)?;
        warnings.iter().for_each(|warning| failure::tell(format!("warning: {warning}")));
        Ok(reloaded.change)
    }
}

/// The service manager's watchdog: it is to hear of a worker that takes turns, and of no other.
#[derive(Debug)]
struct Watchdog {
    interval: Duration,
    fed: Instant,
    beats: u64,
}

impl Watchdog {
    /// Told every third of the time, a busy machine may be late twice.
    fn new(patience: Duration, beats: u64) -> Self {
        Self { interval: patience / 3, fed: Instant::now(), beats }
    }

    /// Whether it is time to tell, and there is something to be told: the worker has taken turns.
    fn is_fed_by(&mut self, beats: u64, now: Instant) -> bool {
        let is_fed = now.duration_since(self.fed) >= self.interval && beats != self.beats;
        if is_fed {
            (self.fed, self.beats) = (now, beats);
        }
        is_fed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_hears_of_a_worker_that_takes_turns() {
        let mut watchdog = Watchdog::new(Duration::from_secs(3), 7);
        let at = |millis| watchdog.fed + Duration::from_millis(millis);
        let [early, late, later, last] = [at(999), at(1_000), at(1_500), at(2_000)];
        assert!(!watchdog.is_fed_by(8, early), "not yet");
        assert!(watchdog.is_fed_by(8, late));
        assert!(!watchdog.is_fed_by(9, later), "not yet again");
        assert!(!watchdog.is_fed_by(8, last), "no turn was taken");
        assert!(watchdog.is_fed_by(9, last));
    }
}
