//! Who measures and reports: Neutron's metering agent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::unistd::gettid;
use portlane_meters::{Label, Uuid};
use portlane_shaper::Volume;

use super::event::{Event, Payload};
use super::settings::Settings;
use super::shared::{Counted, Meters};
use super::sinks::Sinks;
use crate::failure::Failure;
use crate::{live, privileges};

/// The running agent; when dropped it measures and reports a last time.
#[derive(Debug)]
pub struct Agent {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Agent {
    /// Starts it, and returns when it keeps off the workers' cores and has given up its privileges.
    ///
    /// # Errors
    ///
    /// Failed if there is no thread to be had, or it keeps privileges.
    pub fn start(
        settings: &Settings,
        meters: Arc<Meters>,
        mut sinks: Sinks,
        cores: Vec<Option<usize>>,
    ) -> Result<Self, Failure> {
        let (stop, stopped) = mpsc::channel::<()>();
        let (ready, begun) = mpsc::channel();
        let mut ledger = Ledger::new(settings, now());
        let (measure, report) = (settings.measure, settings.report);
        let work = move || {
            live::keep_off(&cores, gettid());
            let given_up = privileges::give_up();
            let goes_on = given_up.is_ok();
            // Who started it waits.
            let _ = ready.send(given_up);
            if !goes_on {
                return;
            }
            sinks.begin();
            let (mut next, mut reported) = (Instant::now() + measure, Instant::now());
            loop {
                let wait = next.saturating_duration_since(Instant::now());
                let ends = stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout);
                ledger.measure(&meters, now());
                if ends || reported.elapsed() + TOLERANCE >= report {
                    reported = Instant::now();
                    sinks.publish(&ledger.report(&meters, now()));
                }
                if ends {
                    return;
                }
                // What a machine that stood still has missed is not made up for.
                next = (next + measure).max(Instant::now());
            }
        };
        let thread = thread::Builder::new().name("portlane-meters".to_owned()).spawn(work).map_err(Failure::failed)?;
        begun.recv().map_err(Failure::failed)??;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; there is nothing to add.
            let _ = thread.join();
        }
    }
}

/// A report is due a moment early, so that wake-ups that come late do not put it off by a measurement.
const TOLERANCE: Duration = Duration::from_millis(500);

/// Seconds since the epoch.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// What an entry is of.
type Key = (Uuid, Option<Arc<str>>);

/// What was counted of a label, or of one for a container, since the last report.
#[derive(Debug)]
struct Entry {
    label: Arc<Label>,
    since: Volume,
    time: u64,
    first_update: u64,
    last_update: u64,
    /// Its container was gone when it was told of last.
    has_left: bool,
}

impl Entry {
    /// There is no more to tell of it.
    fn is_over(&self) -> bool {
        self.has_left && self.since == Volume::default()
    }
}

/// What has been measured.
#[derive(Debug)]
struct Ledger {
    host: String,
    granular: bool,
    started: u64,
    seen: BTreeMap<Key, Volume>,
    entries: BTreeMap<Key, Entry>,
    /// Whether all workers count for the labels that there are, and for no others.
    settled: bool,
}

impl Ledger {
    fn new(settings: &Settings, now: u64) -> Self {
        Self {
            host: settings.host.clone(),
            granular: settings.granular,
            started: now,
            seen: BTreeMap::new(),
            entries: BTreeMap::new(),
            settled: true,
        }
    }

    fn measure(&mut self, meters: &Meters, now: u64) {
        let (counted, settled) = meters.counted();
        self.settled = settled;
        for Counted { label, container, volume } in counted {
            let key = (label.id, container);
            let before = self.seen.insert(key.clone(), volume).unwrap_or_default();
            let started = self.started;
            let entry = self.entries.entry(key).or_insert_with(|| {
                // Of those that there were from the beginning it is known when it was.
                let nothing = Volume::default();
                Entry {
                    label: Arc::clone(&label),
                    since: nothing,
                    time: 0,
                    first_update: started,
                    last_update: started,
                    has_left: false,
                }
            });
            let more = Volume { packets: volume.packets - before.packets, bytes: volume.bytes - before.bytes };
            (entry.label, entry.since) = (label, entry.since.plus(more));
            entry.time += now.saturating_sub(entry.last_update);
            entry.last_update = now;
        }
        self.started = now;
    }

    /// What there is to tell; from then on it begins anew. Labels and containers that are gone are told of a last time.
    fn report(&mut self, meters: &Meters, now: u64) -> Vec<Event> {
        let mut events = Vec::new();
        let event = |event_type: &str, payload: Payload| Event {
            event_type: event_type.to_owned(),
            payload: Payload { host: self.host.clone(), ..payload },
            publisher_id: format!("metering.{}", self.host),
            timestamp: now,
            message_id: Uuid::new_v4().to_string(),
        };
        let labels = self.entries.iter().filter(|((_, container), _)| container.is_none());
        if self.granular {
            labels.for_each(|(_, entry)| events.push(event("l3.meter.label", of_label(entry))));
            let apart = self.entries.iter().filter(|(_, entry)| !entry.is_over());
            let apart = apart.filter_map(|((_, container), entry)| Some((container.as_ref()?, entry)));
            apart.clone().for_each(|(id, entry)| events.push(event("l3.meter.label_container", of_both(id, entry))));
            sums(apart.map(|(id, entry)| (id.as_ref(), entry)))
                .into_iter()
                .for_each(|(id, payload)| events.push(event("l3.meter.container", of_container(id, payload))));
            let projects = self.entries.iter().filter(|((_, container), _)| container.is_none());
            sums(projects.map(|(_, entry)| (entry.label.project_id.as_str(), entry)))
                .into_iter()
                .for_each(|(id, payload)| events.push(event("l3.meter.project", of_project(id, payload))));
        } else {
            labels.for_each(|(_, entry)| events.push(event("l3.meter", plain(entry))));
        }
        self.begin_anew(meters);
        events
    }

    fn begin_anew(&mut self, meters: &Meters) {
        let book = meters.book();
        let exists = |label: &Uuid| book.labels().iter().any(|other| other.id == *label);
        if self.settled {
            let gone: Vec<_> = self.seen.keys().map(|(label, _)| *label).filter(|label| !exists(label)).collect();
            gone.iter().for_each(|label| meters.forget(*label));
            self.seen.retain(|(label, _), _| exists(label));
            self.entries.retain(|(label, _), _| exists(label));
        }
        let Self { entries, seen, .. } = self;
        entries.retain(|key, entry| {
            let has_left = key.1.as_deref().is_some_and(|container| meters.is_gone(container));
            let told = seen.get(key).copied().unwrap_or_default();
            let is_forgotten = has_left && entry.is_over() && meters.forget_container(key, told);
            if is_forgotten {
                seen.remove(key);
            }
            (entry.since, entry.time, entry.has_left) = (Volume::default(), 0, has_left);
            !is_forgotten
        });
    }
}

fn figures(entry: &Entry) -> Payload {
    let Entry { since, time, first_update, last_update, .. } = *entry;
    Payload { pkts: since.packets, bytes: since.bytes, time, first_update, last_update, ..Payload::default() }
}

fn plain(entry: &Entry) -> Payload {
    let project = Some(entry.label.project_id.clone());
    Payload {
        label_id: Some(entry.label.id.to_string()),
        project_id: project.clone(),
        tenant_id: project,
        ..figures(entry)
    }
}

fn of_label(entry: &Entry) -> Payload {
    let label = &entry.label;
    // A shared label is everybody's.
    let project = if label.shared { Some("all".to_owned()) } else { Some(label.project_id.clone()) };
    Payload {
        resource_id: Some(format!("label-{}", label.id)),
        label_name: Some(label.name.clone()),
        label_shared: Some(label.shared),
        project_id: project.clone(),
        tenant_id: project,
        ..plain(entry)
    }
}

fn of_both(container: &str, entry: &Entry) -> Payload {
    Payload {
        resource_id: Some(format!("container-{container}-label-{}", entry.label.id)),
        container_id: Some(container.to_owned()),
        ..of_label(entry)
    }
}

fn of_container(container: &str, sum: Payload) -> Payload {
    Payload { resource_id: Some(format!("container-{container}")), container_id: Some(container.to_owned()), ..sum }
}

fn of_project(project: &str, sum: Payload) -> Payload {
    let id = Some(project.to_owned());
    Payload { resource_id: Some(format!("project-{project}")), project_id: id.clone(), tenant_id: id, ..sum }
}

/// Entries of one name together.
fn sums<'a>(entries: impl Iterator<Item = (&'a str, &'a Entry)>) -> BTreeMap<&'a str, Payload> {
    let mut sums: BTreeMap<&str, Payload> = BTreeMap::new();
    for (name, entry) in entries {
        let one = figures(entry);
        sums.entry(name)
            .and_modify(|sum| {
                (sum.pkts, sum.bytes, sum.time) = (sum.pkts + one.pkts, sum.bytes + one.bytes, sum.time.max(one.time));
                sum.first_update = sum.first_update.min(one.first_update);
                sum.last_update = sum.last_update.max(one.last_update);
            })
            .or_insert_with(|| one.clone());
    }
    sums
}
