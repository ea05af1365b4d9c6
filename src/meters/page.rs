//! What a worker counts on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use portlane_classify::{Addresses, Direction, Found, Link, ends};
use portlane_meters::{Direction as Way, Label, Lookup};
use portlane_rings::{Frame, Pool};
use portlane_shaper::Volume;

use super::shared::Meters;
use crate::config::Plan;
use crate::line::places::Places;

/// The most counters of a page: 256 MiB. With more labels times containers, those of a label are together.
const MOST_COUNTERS: usize = 16 << 20;

/// No version of what is counted.
const NEVER: u64 = u64::MAX;

/// What is counted, until labels or rules change.
#[derive(Debug)]
pub(super) struct Metering {
    pub(super) version: u64,
    pub(super) labels: Vec<Arc<Label>>,
    pub(super) lookup: Lookup,
    /// Containers are told apart.
    pub(super) granular: bool,
}

/// Whose a lane is: the name of a container, or nobody's.
type Names = Arc<[Option<Arc<str>>]>;

/// The counters of one worker, for as long as labels, rules and containers stay. The worker alone adds to them.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) metering: Arc<Metering>,
    names: Names,
    /// Labels of each lane, or of all of them together.
    counters: Box<[Counter]>,
    lanes: usize,
}

/// Packets, and their bytes from the IP header on.
#[derive(Debug, Default)]
struct Counter {
    packets: AtomicU64,
    bytes: AtomicU64,
}

impl Page {
    fn new(metering: Arc<Metering>, names: &Names) -> Self {
        let labels = metering.labels.len();
        let apart = metering.granular && names.len().saturating_mul(labels) <= MOST_COUNTERS;
        let lanes = if apart { names.len() } else { 1 };
        let counters = std::iter::repeat_with(Counter::default).take(lanes * labels).collect();
        Self { metering, names: Arc::clone(names), counters, lanes }
    }

    #[inline]
    fn add(&self, lane: u32, label: u32, bytes: u32) {
        let row = if self.lanes > 1 { lane as usize } else { 0 };
        let Some(counter) = self.counters.get(row * self.metering.labels.len() + label as usize) else { return };
        // There is no other writer.
        let add = |to: &AtomicU64, more: u64| to.store(to.load(Ordering::Relaxed) + more, Ordering::Relaxed);
        add(&counter.packets, 1);
        add(&counter.bytes, u64::from(bytes));
    }

    /// Each label with what was counted for it; and for which container, if that is told apart.
    pub(super) fn read(&self) -> impl Iterator<Item = (&Arc<Label>, Option<&Arc<str>>, Volume)> {
        let labels = &self.metering.labels;
        self.counters.iter().enumerate().map(move |(position, counter)| {
            let container = self.names.get(position / labels.len()).and_then(Option::as_ref);
            let volume = Volume {
                packets: counter.packets.load(Ordering::Relaxed),
                bytes: counter.bytes.load(Ordering::Relaxed),
            };
            (&labels[position % labels.len()], container.filter(|_| self.lanes > 1), volume)
        })
    }
}

/// How a worker counts.
#[derive(Debug)]
pub struct Meter {
    meters: Arc<Meters>,
    /// The version of what the page is of.
    version: u64,
    page: Option<Arc<Page>>,
    names: Names,
    unmatched: u32,
}

impl Meter {
    /// One that counts for what labels there are.
    #[must_use]
    pub fn new(meters: Arc<Meters>, plan: &Plan, places: &Places) -> Self {
        let mut meter = Self { meters, version: NEVER, page: None, names: Arc::new([]), unmatched: 0 };
        meter.follow(plan, places);
        meter
    }

    /// The lanes are those of another plan.
    pub(crate) fn follow(&mut self, plan: &Plan, places: &Places) {
        let last = places.lanes().map(|lane| lane.0 as usize + 1).max().unwrap_or(0);
        // Those that are leaving keep their names.
        let mut names: Vec<_> = (0..last).map(|lane| self.names.get(lane).cloned().flatten()).collect();
        for (container, place) in plan.containers.iter().zip(&places.containers) {
            let name = &mut names[place.lane.0 as usize];
            if name.as_deref() != Some(container.id.as_str()) {
                *name = Some(container.id.as_str().into());
            }
        }
        names[places.unmatched.0 as usize] = None;
        self.unmatched = places.unmatched.0;
        if names[..] != self.names[..] {
            self.names = names.into();
            self.version = NEVER;
        }
    }

    /// Counts packets that have arrived. Looks first at whether something else is to be counted than before.
    #[inline]
    pub(crate) fn count<E>(&mut self, pool: &Pool, frames: &[Frame], owners: &[Result<Found<u32>, E>]) {
        if self.meters.version() != self.version {
            self.begin_page();
        }
        if self.page.is_some() {
            self.count_on_page(pool, frames, owners);
        }
    }

    #[cold]
    #[inline(never)]
    fn begin_page(&mut self) {
        self.page = None;
        let metering = self.meters.metering();
        self.version = metering.version;
        if !metering.labels.is_empty() {
            let page = Arc::new(Page::new(metering, &self.names));
            self.meters.register(Arc::clone(&page));
            self.page = Some(page);
        }
    }

    #[inline(never)]
    fn count_on_page<E>(&self, pool: &Pool, frames: &[Frame], owners: &[Result<Found<u32>, E>]) {
        let Some(page) = &self.page else { return };
        let lookup = &page.metering.lookup;
        for (frame, owner) in frames.iter().zip(owners) {
            let Ok(found) = owner else { continue };
            let link = Link::from_linktype(frame.link_type());
            let Some(link) = link.filter(|_| found.owner != self.unmatched) else { continue };
            let Some((addresses, len)) = ends(link, pool.bytes(frame), frame.wire_len()) else { continue };
            let way = match found.direction {
                Direction::Ingress => Way::Ingress,
                Direction::Egress => Way::Egress,
            };
            let labels = match addresses {
                Addresses::V4 { source, destination } => lookup.find_v4(way, source.to_bits(), destination.to_bits()),
                Addresses::V6 { source, destination } => lookup.find_v6(way, source.to_bits(), destination.to_bits()),
            };
            for &label in labels {
                page.add(found.owner, label, len);
            }
        }
    }
}
