//! What is known of flows while they are observed: for those who ask.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crossbeam::queue::ArrayQueue;
use portlane_flows::{Batch, Grain, Meter, Timing, Volume};
use portlane_stats::flows::{ContainerFlows, FlowTiming, FlowVolume, FlowsReport, StoreReport};

use super::columns::Known;
use super::figures::{By, Told};
use super::names::List;
use super::observation::Seen;
use super::recent::Recent;
use crate::config::Plan;

/// What the observer has seen, and what became of it.
#[derive(Debug)]
pub struct Flows {
    inner: Mutex<Inner>,
    /// That is to be followed next.
    plans: ArrayQueue<Arc<Plan>>,
}

impl Default for Flows {
    /// Nothing yet.
    fn default() -> Self {
        Self { inner: Mutex::default(), plans: ArrayQueue::new(1) }
    }
}

#[derive(Debug, Default)]
struct Inner {
    seen: Seen,
    lost_batches: u64,
    store: Option<StoreReport>,
    /// The containers that `totals` are of.
    names: Option<List>,
    recent: Recent,
    totals: BTreeMap<Arc<str>, ContainerFlows>,
}

impl Flows {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Whoever panicked has left all of it whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the observer follow another plan. Of two at about the same time the latter counts.
    pub fn follow(&self, plan: Arc<Plan>) {
        self.plans.force_push(plan);
    }

    /// A plan that is to be followed from now on, if there is one.
    pub(super) fn take_plan(&self) -> Option<Arc<Plan>> {
        self.plans.pop()
    }

    /// What was seen so far.
    pub(super) fn saw(&self, seen: Seen) {
        self.lock().seen = seen;
    }

    /// The rows of a second or minute were lost, for nobody was there in time to take them.
    pub(super) fn lost_batch(&self) {
        self.lock().lost_batches += 1;
    }

    /// How rows are kept.
    pub(super) fn stored(&self, store: &StoreReport) {
        self.lock().store = Some(store.clone());
    }

    /// The rows of a second or minute.
    pub(super) fn take(&self, batch: &Batch, Known { names, .. }: &Known) {
        if batch.grain != Grain::Second {
            return;
        }
        let mut inner = self.lock();
        inner.recent.take(batch);
        let Inner { names: known, totals, .. } = &mut *inner;
        if known.as_ref().is_none_or(|known| !Arc::ptr_eq(known, names)) {
            let there: HashSet<_> = names.iter().collect();
            totals.retain(|name, _| there.contains(name));
            *known = Some(Arc::clone(names));
        }
        for row in &batch.flow {
            if let Some(name) = row.end.owner.and_then(|owner| names.get(owner as usize)) {
                let begin = || ContainerFlows { id: name.to_string(), ..ContainerFlows::default() };
                add(totals.entry(Arc::clone(name)).or_insert_with(begin), &row.meter);
            }
        }
    }

    /// What flows did in the last seconds, of those with the most bytes.
    #[must_use]
    pub fn told(&self, by: By, seconds: u64, top: usize) -> Told {
        let now = SystemTime::UNIX_EPOCH.elapsed().map(|now| now.as_secs()).unwrap_or_default();
        let Inner { recent, names, .. } = &*self.lock();
        let name = |owner: u32| names.as_ref().and_then(|names| names.get(owner as usize)).map(ToString::to_string);
        recent.told(by, (now.saturating_sub(seconds), now), top, |owner| name(owner).unwrap_or_default())
    }

    /// All in numbers.
    #[must_use]
    pub fn report(&self) -> FlowsReport {
        let Inner { seen, lost_batches, store, totals, .. } = &*self.lock();
        FlowsReport {
            live: seen.live as u64,
            counted: volume(seen.counters.counted),
            refused: volume(seen.counters.refused),
            late: volume(seen.counters.late),
            lost: volume(seen.lost),
            repeated_packets: seen.repeated,
            other_frames: seen.others,
            left_out: volume(seen.left_out),
            lost_batches: *lost_batches,
            store: store.clone(),
            containers: totals.values().cloned().collect(),
        }
    }
}

fn volume(Volume { packets, bytes }: Volume) -> FlowVolume {
    FlowVolume { packets, bytes }
}

fn add(to: &mut ContainerFlows, meter: &Meter) {
    let more = |to: &mut FlowTiming, timing: Timing| {
        to.sum_us += timing.sum_us();
        to.count += timing.count;
    };
    to.new += meter.new_flow;
    to.closed += meter.closes.total();
    more(&mut to.rtt, meter.rtt);
    more(&mut to.srt, meter.srt);
    more(&mut to.art, meter.art);
    to.retransmitted += meter.retrans.tx;
    to.retransmitted_to += meter.retrans.rx;
    to.zero_windows += meter.zero_win.tx;
    to.establish_failures += meter.closes.establish_fail();
    to.transfer_failures += meter.closes.transfer_fail();
    let applications = meter.applications();
    to.requests += u64::from(applications.request);
    to.responses += u64::from(applications.response);
    to.errors += u64::from(applications.error());
    to.timeouts += u64::from(applications.timeout);
}
