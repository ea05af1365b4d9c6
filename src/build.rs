//! From a plan to a packet line.

use portlane_classify::{Classifier, DEFAULT_FRAGMENT_LIFETIME_NS, Direction, Fragments};
use portlane_rings::{Device, Pool};
use portlane_shaper::{LinkParams, Nanos, Shaper};

use crate::config::Plan;
use crate::line::{Line, Packet, Port};

/// First fragments remembered at a time: at 30 s each, 136 fragmented packets a second before the oldest is forgotten.
const FRAGMENTS: usize = 4_096;

/// Bytes that a lane may send before it is the next one's turn: an Ethernet packet, as DRR wants at least.
const QUANTUM: u32 = 1_514;

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
    let classifier = Classifier::new(plan.owners.clone(), fragments, &plan.host_addresses);
    let capacity = pool.total() as usize;
    let shapers = Direction::ALL.map(|direction| shaper(plan, direction, capacity, now));
    Line::new(pool, ports, leaves_by, classifier, shapers)
}

fn shaper(plan: &Plan, direction: Direction, capacity: usize, now: Nanos) -> Shaper<Packet> {
    let containers = plan.containers.iter().map(|container| container.lanes[direction.index()].clone());
    let lanes = containers.chain([plan.unmatched.clone()]).collect();
    Shaper::new(LinkParams { limit: plan.link.limit, quantum: QUANTUM }, lanes, capacity, now)
}
