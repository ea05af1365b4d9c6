//! From a plan to a packet line.

use portlane_classify::{Classifier, DEFAULT_FRAGMENT_LIFETIME_NS, Direction, FlowKey, Fragments, Table};
use portlane_rings::{Device, Pool};
use portlane_shaper::{Nanos, Shaper};

use crate::config::Plan;
use crate::line::places::Places;
use crate::line::{Line, Port};

/// First fragments remembered at a time: at 30 s each, 136 fragmented packets a second before the oldest is forgotten.
const FRAGMENTS: usize = 4_096;

/// A line with the lanes and owners of `plan`, at `now`. `key` is for hashing what arrives: secret for live traffic,
/// fixed for replay.
#[must_use]
pub fn line<D: Device>(
    plan: &Plan,
    pool: Pool,
    ports: Vec<Port<D>>,
    leaves_by: [usize; 2],
    key: [u64; 2],
    now: Nanos,
) -> Line<D> {
    let fragments = Fragments::new(FRAGMENTS, DEFAULT_FRAGMENT_LIFETIME_NS, key);
    // Attached containers have their pings leave as their ports.
    let echoes = plan.nic.as_ref().is_some_and(|nic| nic.attached);
    let classifier = Classifier::new(Table::clone(&plan.owners), fragments, &plan.host_addresses).with_echoes(echoes);
    // Lanes may hold frames of other workers too.
    let capacity = pool.total_of_all() as usize;
    let shapers = Direction::ALL.map(|direction| shaper(plan, direction, capacity, now));
    let mut line = Line::new(pool, ports, leaves_by, classifier, FlowKey::new(key), shapers, Places::of(plan));
    line.observe(plan);
    line
}

/// The shaper of one direction of `plan`, with room for `capacity` packets.
pub(crate) fn shaper<P>(plan: &Plan, direction: Direction, capacity: usize, now: Nanos) -> Shaper<P> {
    Shaper::new(&plan.tree(direction), capacity, now).expect("a plan keeps the rules of a tree")
}
