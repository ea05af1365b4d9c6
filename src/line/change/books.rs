//! What groups and the link have sent for those that leave them.
//!
//! The law is that a node has sent what its members have. When members come or go while nothing is sent, what they had
//! sent before is put down beside the node's own count, and the law holds again.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use portlane_classify::Direction;
use portlane_rings::Device;
use portlane_shaper::{GroupId, Nanos, NodeId, Volume};
use portlane_stats::snapshot::Former;

use crate::config::Plan;
use crate::line::Line;

/// What is put down while members come and go, by [`Direction::index`].
pub(super) struct Ledger {
    /// What those had sent that may come or go; one that is not in it had sent nothing.
    sent: HashMap<NodeId, [Account; 2]>,
    /// What every group and the link sent for those that are not among their members, as if all those had left.
    former: HashMap<NodeId, [Former; 2]>,
}

/// What a node has sent.
#[derive(Debug, Clone, Copy, Default)]
struct Account {
    sent: Volume,
    /// Packets, on loan from the node above.
    borrowed: u64,
}

impl Ledger {
    /// Before members come and go: of the containers, only those at these positions.
    pub(super) fn read<D: Device>(line: &Line<D>, plan: &Plan, among: Range<usize>, now: Nanos) -> Self {
        let of = |node: NodeId| {
            Direction::ALL.map(|direction| {
                let shaper = &line.shapers[direction.index()];
                let reading = shaper.node(node, now);
                let sent = match node {
                    NodeId::Lane(lane) => shaper.counters(lane).sent,
                    NodeId::Link | NodeId::Group(_) => reading.sent,
                };
                Account { sent, borrowed: reading.borrowed }
            })
        };
        let mut ledger =
            Self { sent: HashMap::new(), former: inner(line).zip(line.places.former.iter().copied()).collect() };
        for (node, parent) in members(line, plan, among) {
            let accounts = of(node);
            let former = ledger.former.entry(parent).or_default();
            former.iter_mut().zip(accounts).for_each(|(former, Account { sent, borrowed })| former.add(sent, borrowed));
            ledger.sent.insert(node, accounts);
        }
        ledger
    }

    /// After that, `plan` being the line's now.
    pub(super) fn settle<D: Device>(mut self, line: &mut Line<D>, plan: &Plan, among: Range<usize>) {
        for (node, parent) in members(line, plan, among) {
            let accounts = self.sent.get(&node).copied().unwrap_or_default();
            let former = self.former.entry(parent).or_default();
            former.iter_mut().zip(accounts).for_each(|(former, Account { sent, borrowed })| former.sub(sent, borrowed));
        }
        let former = inner(line).map(|node| self.former.get(&node).copied().unwrap_or_default()).collect();
        Arc::make_mut(&mut line.places).former = former;
    }
}

/// Every group, in the order of the plan, and the link.
fn inner<D>(line: &Line<D>) -> impl Iterator<Item = NodeId> {
    line.places.groups.iter().map(|&group| NodeId::Group(group)).chain([NodeId::Link])
}

/// Who is a member of what: all groups, the lanes of these containers, of those that are leaving, and nobody's.
fn members<D>(line: &Line<D>, plan: &Plan, among: Range<usize>) -> impl Iterator<Item = (NodeId, NodeId)> {
    let places = &line.places;
    let groups = places.groups.iter().zip(&*plan.groups).map(|(&id, group)| (NodeId::Group(id), group.group));
    let containers = places.containers[among.clone()].iter().zip(&plan.containers[among]);
    let containers = containers.map(|(place, of)| (place.lane, of.group));
    let leaving = places.leaving.iter().map(|one| (one.place.lane, one.lanes[0].group));
    let lanes = containers.chain(leaving).chain([(places.unmatched, None)]);
    let above = |group: Option<GroupId>| match group {
        Some(GroupId(position)) => NodeId::Group(places.groups[position as usize]),
        None => NodeId::Link,
    };
    groups.chain(lanes.map(|(lane, group)| (NodeId::Lane(lane), group))).map(move |(node, group)| (node, above(group)))
}
