//! What is counted, and what has been: shared by workers, those who ask, and those who change it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portlane_meters::{Book, Label, Lookup, Refusal, Rule, Uuid};
use portlane_shaper::Volume;
use portlane_stats::snapshot::MeterReport;
use serde_json::{Value, json};

use super::delivery::Delivery;
use super::page::{Metering, Page};
use super::settings::Settings;
use super::state::State;
use crate::config::Plan;

/// A change of labels or rules.
#[derive(Debug, Clone)]
pub enum Change {
    /// A label comes.
    AddLabel(Label),
    /// A rule comes.
    AddRule(Rule),
    /// The label of this id or name goes.
    RemoveLabel(String),
    /// The rule of this id goes.
    RemoveRule(String),
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum Unchanged {
    /// It cannot be.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It is not this way that it is changed.
    #[error("{0} is in the configuration file: change it there, and reload")]
    InFile(String),
    /// It could not be written down.
    #[error("{0}: nothing has changed, for it could not be written down")]
    Unwritten(String),
}

/// What was counted for a label, of all workers since the start.
#[derive(Debug, Clone)]
pub struct Counted {
    /// For whom.
    pub label: Arc<Label>,
    /// Of a container, if they are told apart.
    pub container: Option<Arc<str>>,
    /// Packets, and bytes from the IP header on.
    pub volume: Volume,
}

/// Labels and rules, from which workers learn what to count; and all that they have counted.
#[derive(Debug)]
pub struct Meters {
    /// Of what is counted: workers look at it in every turn.
    version: AtomicU64,
    /// Held while labels and rules are changed: to compile them and to write them down may take long, and workers wait for `inner`.
    changing: Mutex<()>,
    inner: Mutex<Inner>,
    delivery: Arc<Delivery>,
}

#[derive(Debug)]
struct Inner {
    book: Book,
    /// What of it is the configuration file's.
    file: Book,
    state: State,
    metering: Arc<Metering>,
    granular: bool,
    pages: Vec<Reading>,
    totals: BTreeMap<(Uuid, Option<Arc<str>>), Counted>,
    /// Those that there are; `None`: it was not said.
    containers: Option<BTreeSet<String>>,
}

/// A page, and what of it is in the totals.
#[derive(Debug)]
struct Reading {
    page: Arc<Page>,
    read: Vec<Volume>,
}

impl Meters {
    /// Those with the labels and rules of the configuration and those that were added before. What of the latter cannot be any more is
    /// left out, and said so.
    ///
    /// # Errors
    ///
    /// Those of the configuration are too many to be looked up.
    pub fn open(settings: &Settings) -> Result<(Self, Vec<String>), Refusal> {
        let (state, mut warnings) = State::read(&settings.state);
        let (book, state) = together(&settings.book, state, &mut warnings);
        Ok((Self::new(settings.book.clone(), book, state, settings.granular)?, warnings))
    }

    /// These labels and rules, for all containers together; what is added is kept nowhere.
    ///
    /// # Errors
    ///
    /// They are too many to be looked up.
    pub fn of(book: Book) -> Result<Self, Refusal> {
        Self::new(book.clone(), book, State::default(), false)
    }

    fn new(file: Book, book: Book, state: State, granular: bool) -> Result<Self, Refusal> {
        let metering = Arc::new(metering(&book, granular, 0)?);
        let (pages, totals) = (Vec::new(), BTreeMap::new());
        let inner = Inner { book, file, state, metering, granular, pages, totals, containers: None };
        let (version, changing) = (AtomicU64::new(0), Mutex::default());
        Ok(Self { version, changing, inner: Mutex::new(inner), delivery: Arc::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that panics is done while it is held.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One change at a time.
    fn alone(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What becomes of reports.
    #[must_use]
    pub fn delivery(&self) -> &Arc<Delivery> {
        &self.delivery
    }

    /// The containers are those of a plan.
    pub fn follow(&self, plan: &Plan) {
        let containers = plan.containers.iter().map(|container| container.id.clone()).collect();
        self.lock().containers = Some(containers);
    }

    /// The version of what is counted.
    #[inline]
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    pub(super) fn metering(&self) -> Arc<Metering> {
        Arc::clone(&self.lock().metering)
    }

    pub(super) fn register(&self, page: Arc<Page>) {
        self.lock().pages.push(Reading { page, read: Vec::new() });
    }

    /// Labels and rules of a configuration that was read again take the place of its former ones.
    ///
    /// # Errors
    ///
    /// They are too many to be looked up; nothing has changed.
    pub fn reload(&self, settings: &Settings) -> Result<Vec<String>, Refusal> {
        let _alone = self.alone();
        let (state, version) = {
            let inner = self.lock();
            if inner.file == settings.book && inner.granular == settings.granular {
                return Ok(Vec::new());
            }
            (inner.state.clone(), inner.metering.version + 1)
        };
        let mut warnings = Vec::new();
        let (book, state) = together(&settings.book, state, &mut warnings);
        let metering = metering(&book, settings.granular, version)?;
        let mut inner = self.lock();
        (inner.file, inner.granular, inner.state) = (settings.book.clone(), settings.granular, state);
        self.publish(&mut inner, book, metering);
        Ok(warnings)
    }

    /// Makes a change, once it is written down; returns the label or rule that comes or goes.
    ///
    /// # Errors
    ///
    /// It cannot be, or not be written down; nothing has changed.
    pub fn change(&self, change: &Change) -> Result<Value, Unchanged> {
        let _alone = self.alone();
        let (mut book, mut state, file, granular, version) = {
            let inner = self.lock();
            (inner.book.clone(), inner.state.clone(), inner.file.clone(), inner.granular, inner.metering.version + 1)
        };
        let told = match change {
            Change::AddLabel(label) => {
                book.add_label(label.clone())?;
                state.labels.push(label.clone());
                json!(label)
            }
            Change::AddRule(rule) => {
                book.add_rule(rule.clone())?;
                state.rules.push(rule.clone());
                json!(rule)
            }
            Change::RemoveLabel(wanted) => {
                let id = book.label(wanted)?.id;
                if file.labels().iter().any(|label| label.id == id) {
                    return Err(Unchanged::InFile(format!("metering label {wanted}")));
                }
                state.labels.retain(|label| label.id != id);
                json!(book.remove_label(id)?)
            }
            Change::RemoveRule(wanted) => {
                let id = book.rule(wanted)?.id;
                if file.rules().iter().any(|rule| rule.id == id) {
                    return Err(Unchanged::InFile(format!("metering label rule {wanted}")));
                }
                state.rules.retain(|rule| rule.id != id);
                json!(book.remove_rule(id)?)
            }
        };
        let metering = metering(&book, granular, version)?;
        state.write().map_err(Unchanged::Unwritten)?;
        let mut inner = self.lock();
        inner.state = state;
        self.publish(&mut inner, book, metering);
        Ok(told)
    }

    fn publish(&self, inner: &mut Inner, book: Book, metering: Metering) {
        let version = metering.version;
        (inner.book, inner.metering) = (book, Arc::new(metering));
        self.version.store(version, Ordering::Relaxed);
    }

    /// All labels and rules.
    #[must_use]
    pub fn book(&self) -> Book {
        self.lock().book.clone()
    }

    /// The label of this id or name.
    ///
    /// # Errors
    ///
    /// There is none, or several have the name.
    pub fn label(&self, wanted: &str) -> Result<Label, Refusal> {
        self.lock().book.label(wanted).cloned()
    }

    /// All that was counted, of labels that there are and of those whose last report is yet to be made; and whether no worker counts any more for a label that is
    /// gone.
    #[must_use]
    pub fn counted(&self) -> (Vec<Counted>, bool) {
        let mut inner = self.lock();
        let Inner { pages, totals, metering, .. } = &mut *inner;
        for label in &metering.labels {
            let nothing = || Counted { label: Arc::clone(label), container: None, volume: Volume::default() };
            totals.entry((label.id, None)).or_insert_with(nothing);
        }
        // Who has let go of a page adds no more to it.
        let left: Vec<_> = pages.iter().map(|reading| Arc::strong_count(&reading.page) == 1).collect();
        fence(Ordering::Acquire);
        pages.iter_mut().for_each(|reading| reading.add_to(totals));
        let mut left = left.into_iter();
        pages.retain(|_| !left.next().unwrap_or_default());
        let settled = pages.iter().all(|reading| reading.page.metering.version == metering.version);
        (totals.values().cloned().collect(), settled)
    }

    /// What was counted for the labels that there are.
    #[must_use]
    pub fn reports(&self) -> Vec<MeterReport> {
        let counted = self.counted().0;
        let book = self.book();
        let exists = |id: Uuid| book.labels().iter().any(|label| label.id == id);
        let report = |Counted { label, container, volume }: Counted| MeterReport {
            label_id: label.id.to_string(),
            label: label.name.clone(),
            project_id: label.project_id.clone(),
            container: container.map(|container| container.to_string()),
            packets: volume.packets,
            bytes: volume.bytes,
        };
        counted.into_iter().filter(|counted| exists(counted.label.id)).map(report).collect()
    }

    /// What was counted for a label that is gone is of no use any more.
    #[cfg(feature = "af-xdp")]
    pub(super) fn forget(&self, label: Uuid) {
        let mut inner = self.lock();
        if inner.book.labels().iter().all(|other| other.id != label) {
            inner.totals.retain(|(id, _), _| *id != label);
        }
    }

    /// Whether a container is none of those that there are.
    #[must_use]
    pub fn is_gone(&self, container: &str) -> bool {
        self.lock().containers.as_ref().is_some_and(|containers| !containers.contains(container))
    }

    /// What was counted for a label and a container that is gone is of no use any more. False if it is more than was told of.
    #[cfg(feature = "af-xdp")]
    pub(super) fn forget_container(&self, key: &(Uuid, Option<Arc<str>>), told: Volume) -> bool {
        let mut inner = self.lock();
        let is_told = inner.totals.get(key).is_none_or(|counted| counted.volume == told);
        if is_told {
            inner.totals.remove(key);
        }
        is_told
    }
}

impl Reading {
    fn add_to(&mut self, totals: &mut BTreeMap<(Uuid, Option<Arc<str>>), Counted>) {
        for (position, (label, container, volume)) in self.page.read().enumerate() {
            if position == self.read.len() {
                self.read.push(Volume::default());
            }
            let before = std::mem::replace(&mut self.read[position], volume);
            let more = Volume { packets: volume.packets - before.packets, bytes: volume.bytes - before.bytes };
            if more == Volume::default() {
                continue;
            }
            for container in [None, container.cloned()].iter().take(1 + usize::from(container.is_some())) {
                let nothing = || {
                    let (label, container) = (Arc::clone(label), container.clone());
                    Counted { label, container, volume: Volume::default() }
                };
                let counted = totals.entry((label.id, container.clone())).or_insert_with(nothing);
                counted.volume = counted.volume.plus(more);
            }
        }
    }
}

fn metering(book: &Book, granular: bool, version: u64) -> Result<Metering, Refusal> {
    let labels = book.labels().iter().cloned().map(Arc::new).collect();
    Ok(Metering { version, labels, lookup: Lookup::new(book)?, granular })
}

/// The file's labels and rules, and of those that were added what can be beside them.
fn together(file: &Book, state: State, warnings: &mut Vec<String>) -> (Book, State) {
    let (mut book, mut kept) = (file.clone(), state.emptied());
    for label in state.labels {
        match book.add_label(label.clone()) {
            Ok(()) => kept.labels.push(label),
            Err(why) => warnings.push(format!("metering label {}, added at run time, is left out: {why}", label.id)),
        }
    }
    for rule in state.rules {
        match book.add_rule(rule.clone()) {
            Ok(()) => kept.rules.push(rule),
            Err(why) => {
                warnings.push(format!("metering label rule {}, added at run time, is left out: {why}", rule.id));
            }
        }
    }
    (book, kept)
}
