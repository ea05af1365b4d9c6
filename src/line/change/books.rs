//! What groups and the link have sent for those that leave them.
//!
//! The law is that a node has sent what its members have. When members come or go while nothing is sent, what they had
//! sent before is put down beside the node's own count, and the law holds again.

use std::collections::HashMap;
use std::sync::Arc;

use portlane_classify::Direction;
use portlane_rings::Device;
use portlane_shaper::{GroupId, Nanos, NodeId, Volume};
use portlane_stats::snapshot::Former;

use crate::config::Plan;
use crate::line::Line;

/// What every node had sent before members came or went, by [`Direction::index`]; one that is not in it had sent nothing.
pub(super) struct Ledger([HashMap<NodeId, Account>; 2]);

/// What a node has sent.
#[derive(Debug, Clone, Copy, Default)]
struct Account {
    sent: Volume,
    /// Packets, on loan from the node above.
    borrowed: u64,
    /// Packets, for members that borrowed.
    lent: u64,
}

impl Ledger {
    pub(super) fn read<D: Device>(line: &Line<D>, plan: &Plan, now: Nanos) -> Self {
        Self(Direction::ALL.map(|direction| {
            let shaper = &line.shapers[direction.index()];
            let read = |node: NodeId| {
                let reading = shaper.node(node, now);
                let sent = match node {
                    NodeId::Lane(lane) => shaper.counters(lane).sent,
                    NodeId::Link | NodeId::Group(_) => reading.sent,
                };
                (node, Account { sent, borrowed: reading.borrowed, lent: reading.lended + reading.borrowed })
            };
            nodes(line, plan).map(|(node, _)| node).chain([NodeId::Link]).map(read).collect()
        }))
    }

    /// Puts down what the members that there are now have not sent.
    pub(super) fn settle<D: Device>(&self, line: &mut Line<D>, plan: &Plan) {
        let mut former = vec![[Former::default(); 2]; plan.groups.len() + 1];
        for (direction, before) in Direction::ALL.map(Direction::index).into_iter().zip(&self.0) {
            let of = |node| before.get(&node).copied().unwrap_or_default();
            let groups = line.places.groups.iter().map(|&group| NodeId::Group(group));
            for (node, former) in groups.chain([NodeId::Link]).zip(&mut former) {
                let Account { sent, lent, .. } = of(node);
                former[direction].add(sent, lent);
            }
            for (node, parent) in nodes(line, plan) {
                let parent = parent.map_or(plan.groups.len(), |group| group.0 as usize);
                let Account { sent, borrowed, .. } = of(node);
                former[parent][direction].sub(sent, borrowed);
            }
        }
        Arc::make_mut(&mut line.places).former = former;
    }
}

/// Every lane and group, and the position in the plan of the group that it is in.
fn nodes<D>(line: &Line<D>, plan: &Plan) -> impl Iterator<Item = (NodeId, Option<GroupId>)> {
    let places = &line.places;
    let groups = places.groups.iter().zip(&plan.groups).map(|(&id, group)| (NodeId::Group(id), group.group));
    let containers = places.containers.iter().zip(&plan.containers).map(|(place, of)| (place.lane, of.group));
    let leaving = places.leaving.iter().map(|one| (one.place.lane, one.lanes[0].group));
    let lanes = containers.chain(leaving).chain([(places.unmatched, None)]);
    groups.chain(lanes.map(|(lane, group)| (NodeId::Lane(lane), group)))
}
