//! `portlane run`: live traffic, until a signal.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use portlane_stats::render::Format;
use sd_notify::NotifyState;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::outputs;
use crate::args::Run;
use crate::attach::{Attachments, Readings};
use crate::containers::{Orders, Registry};
use crate::control::server::{Beside, Server};
use crate::failure::{self, Failure};
use crate::flows::{Observed, Observer, SLOTS, Watched};
use crate::live::{self, Live};
use crate::meters::{Agent, Meters, Sinks};
use crate::netstat::Latest;
use crate::netstat::wired::{self, Followed, Wired};
use crate::offloads::Offloads;
use crate::privileges;
use crate::supervisor::{Charge, Patience, Supervisor, notify, reload_on_hangup};

/// Runs the command.
///
/// # Errors
///
/// Refused if the configuration or an interface cannot be used; failed if an interface fails later,
/// or standard output cannot be written.
pub fn run(arguments: &Run) -> Result<(), Failure> {
    let (registry, plan) = Registry::open(&arguments.config).map_err(Failure::refused)?;
    for warning in &plan.warnings {
        failure::tell(format!("warning: {warning}"));
    }
    let (meters, left_out) = Meters::open(&plan.meters).map_err(Failure::refused)?;
    left_out.iter().for_each(|why| failure::tell(format!("warning: {why}")));
    let (meters, settings) = (Arc::new(meters), Arc::clone(&plan.meters));
    let sinks = Sinks::open(&settings.sinks, meters.delivery())?;
    let (stop, (hangups, bell)) = (stop_on_signals()?, reload_on_hangup()?);
    let (ordered, orders) = Orders::new(bell);
    let (netstat, wired) = (Latest::default(), Followed::default());
    let latest = netstat.clone();
    let observed = plan.flows.as_ref().map(|_| Arc::new(Observed::default()));
    let beside = Beside { meters: Some(Arc::clone(&meters)), netstat: netstat.clone(), observed: observed.clone() };
    let (server, (requests, inbox)) = Server::start(&plan, Some(ordered), beside)?;
    let (listen, socket) = (plan.listen, plan.socket.display().to_string());
    let mut patience = Patience::begin();
    let mut attachments = Attachments::start(&plan, &mut || patience.ask())?;
    let (readings, unread) = Readings::start(&plan)?.unzip();
    unread.into_iter().flatten().for_each(|why| failure::tell(format!("warning: {why}")));
    let mut offloads = Offloads::before_attaching(&plan);
    let mut live = Live::open(plan)?;
    live.meter(&meters);
    meters.follow(&live.shared_plan());
    if let (Some(attachments), Some(gate)) = (&mut attachments, live.take_gate()) {
        let left_out = attachments.open(gate, &mut || patience.ask());
        left_out.iter().for_each(|why| failure::tell(format!("warning: {why}")));
    }
    offloads.attached(live.attached())?;
    live.tell_offloads(offloads.off());
    let (config, pulse) = (arguments.config.clone(), inbox.pulse());
    let (interfaces, rules) = (live.interfaces().to_vec(), live.take_rules());
    let stopped = Arc::clone(&stop);
    let charge = Charge {
        config,
        hangups,
        requests,
        pulse,
        interfaces,
        rules,
        attachments,
        readings,
        registry,
        meters: Arc::clone(&meters),
        netstat,
        observed: observed.clone(),
        wired: wired.clone(),
        orders,
        stop: stopped,
        cores: live.cores(),
    };
    server.keep_off(&live.cores());
    let supervisor = Supervisor::start(charge)?;
    let observer = observer(&mut live, observed)?;
    let teller = teller(&mut live, wired, latest)?;
    let agent = Agent::start(&settings, meters, sinks, live.cores())?;
    privileges::give_up()?;
    for mode in live.modes() {
        outputs::print(&format!("{mode}\n"))?;
    }
    for (interface, features) in offloads.off() {
        outputs::print(&format!("{interface} has {} off until the end\n", features.join(", ")))?;
    }
    let workers = workers(&live.cores());
    outputs::print(&format!("{workers}; numbers on http://{listen}/stats.json and {socket}\n"))?;
    notify(&[NotifyState::Ready]);
    let worked = live.work(&stop, &inbox);
    notify(&[NotifyState::Stopping]);
    let ended = worked.and_then(|()| live.drain(&inbox));
    // Whoever still waits for the worker learns that it is gone.
    drop(inbox);
    // Nothing is counted any more.
    drop(agent);
    drop(observer);
    drop(teller);
    drop(server);
    let attachments = supervisor.end();
    let reported = live.snapshot().and_then(|end| outputs::print(&Format::Text.render(&end)));
    // Sockets are closed before their interface goes.
    drop(live);
    drop(attachments);
    ended.and(reported)
}

/// Begins to observe flows, if that is wanted.
///
/// # Errors
///
/// As of [`Observer::start`].
pub fn observer(live: &mut Live, observed: Option<Arc<Observed>>) -> Result<Option<Observer>, Failure> {
    let plan = live.shared_plan();
    let (Some(settings), Some(flows)) = (&plan.flows, observed) else { return Ok(None) };
    let receivers = live.observe(SLOTS);
    let (clock, cores, key) = (live.clock(), live.cores(), live::secret_key());
    let charge = Watched { receivers, plan: Arc::clone(&plan), key, clock, cores, flows };
    Observer::start(settings, charge).map(Some)
}

/// Begins to tell TCP's counters from frames, if that is wanted.
fn teller(live: &mut Live, followed: Followed, latest: Latest) -> Result<Option<Wired>, Failure> {
    let plan = live.shared_plan();
    let Some(connections) = plan.netstat else { return Ok(None) };
    let receivers = live.tell_deliveries(wired::SLOTS);
    let (clock, cores, key) = (live.clock(), live.cores(), live::secret_key());
    Wired::start(wired::Watched { receivers, connections, plan, followed, key, clock, cores, latest }).map(Some)
}

/// The workers, by their cores.
fn workers(cores: &[Option<usize>]) -> String {
    let word = if cores.len() == 1 { "worker" } else { "workers" };
    let known: Vec<_> = cores.iter().flatten().map(usize::to_string).collect();
    match known.len() {
        0 => format!("{} {word}", cores.len()),
        1 => format!("{word} on core {}", known[0]),
        _ => format!("{word} on cores {}", known.join(", ")),
    }
}

/// A flag that SIGINT and SIGTERM set.
///
/// # Errors
///
/// Failed if the handlers cannot be installed.
pub fn stop_on_signals() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(Failure::failed)?;
    }
    Ok(stop)
}
