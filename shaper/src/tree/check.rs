//! What a tree refuses.

use super::node::Slot;
use super::{MAX_DEPTH, PRIORITIES, TOP, Tree, parent_slot};
use crate::params::{
    Aqm, FqParams, GroupParams, LaneParams, Limiter, LinkParams, NodeId, QueueParams, Shape, TreeParams,
};
use crate::units::Rate;
use crate::{GroupId, LaneId};

/// Lanes, and likewise groups, that a tree may have: 2^20.
const MAX_NODES: usize = 1 << 20;
/// Buckets that FQ-CoDel may hash flows into.
const MAX_FLOWS: u32 = 65_536;
/// The greatest weight.
const MAX_WEIGHT: u32 = 10_000;

/// A node that a tree refuses; the tree stays as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}: {rule}", name(*node))]
pub struct TreeError {
    /// Which node.
    pub node: NodeId,
    /// What it breaks.
    pub rule: Rule,
}

/// A rule that every node of a tree keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// Ceil below rate.
    #[error("ceil {ceil} is below rate {rate}: it must be the rate or more")]
    CeilBelowRate {
        /// The rate.
        rate: Rate,
        /// The ceil.
        ceil: Rate,
    },
    /// Burst of 0.
    #[error("burst is 0: it must hold at least one packet")]
    NoBurst,
    /// Ceil's burst of 0.
    #[error("cburst is 0: it must hold at least one packet")]
    NoCburst,
    /// A peak rate whose bucket has a size of 0.
    #[error("mtu is 0: it must hold the longest packet")]
    NoMtu,
    /// Quantum of 0.
    #[error("quantum is 0: it must be at least 1 byte, better a packet or more")]
    NoQuantum,
    /// Weight of 0, or too great.
    #[error("weight is {0}: it must be 1 to 10000")]
    Weight(u32),
    /// Priority too great.
    #[error("priority is {0}: it must be 0 (first) to 7 (last)")]
    Priority(u8),
    /// In a group that there is not.
    #[error("it is in group {}, which does not exist", .0.0)]
    UnknownGroup(GroupId),
    /// In itself.
    #[error("it is in a group that is in it: the groups above must end at the link")]
    Circle,
    /// Too many groups in each other.
    #[error("more than 8 groups are nested in each other")]
    TooDeep,
    /// A group to be removed that has members.
    #[error("it is not empty: its groups and lanes must be removed or moved first")]
    NotEmpty,
    /// A lane to be removed that has packets.
    #[error("it has packets: they must leave first")]
    HasPackets,
    /// Flows of FQ-CoDel out of range.
    #[error("flows is {0}: it must be 1 to 65536")]
    Flows(u32),
    /// Quantum of FQ-CoDel of 0.
    #[error("quantum of fq_codel is 0: it must be at least 1 byte, better a packet or more")]
    NoFlowQuantum,
    /// Too many lanes or groups.
    #[error("there may be no more than 1048576 lanes, and as many groups")]
    TooMany,
    /// A node to be changed that there is not.
    #[error("it does not exist")]
    Unknown,
}

impl Rule {
    pub(super) fn at(self, node: NodeId) -> TreeError {
        TreeError { node, rule: self }
    }
}

fn name(node: NodeId) -> String {
    match node {
        NodeId::Link => "link".to_owned(),
        NodeId::Group(group) => format!("group {}", group.0),
        NodeId::Lane(lane) => format!("lane {}", lane.0),
    }
}

/// Refuses what breaks a rule by itself: link, groups, lanes, in this order.
pub(super) fn tree(params: &TreeParams) -> Result<(), TreeError> {
    link(&params.link)?;
    let groups = &params.groups;
    if params.lanes.len() > MAX_NODES || groups.len() > MAX_NODES {
        return Err(Rule::TooMany.at(NodeId::Link));
    }
    let known = |id: Option<GroupId>| id.is_none_or(|id| (id.0 as usize) < groups.len());
    let unknown = |id: Option<GroupId>| id.filter(|_| !known(id)).map_or(Ok(()), |id| Err(Rule::UnknownGroup(id)));
    for (id, params) in (0..).map(GroupId).zip(groups) {
        group(params).and_then(|()| unknown(params.group)).map_err(|rule| rule.at(NodeId::Group(id)))?;
    }
    for (id, params) in (0..).map(GroupId).zip(groups) {
        let above = |id: GroupId| groups[id.0 as usize].group;
        nesting(params.group, groups.len(), above).map_err(|rule| rule.at(NodeId::Group(id)))?;
    }
    for (id, params) in (0..).map(crate::LaneId).zip(&params.lanes) {
        lane(params).and_then(|()| unknown(params.group)).map_err(|rule| rule.at(NodeId::Lane(id)))?;
    }
    Ok(())
}

/// Refuses a group whose ancestors do not end at the link soon enough.
fn nesting(parent: Option<GroupId>, groups: usize, above: impl Fn(GroupId) -> Option<GroupId>) -> Result<(), Rule> {
    let ancestors = || std::iter::successors(parent, |&id| above(id));
    if ancestors().take(usize::from(MAX_DEPTH)).count() < usize::from(MAX_DEPTH) {
        return Ok(());
    }
    // Whoever has more ancestors than there are groups meets one twice.
    Err(if ancestors().take(groups + 1).count() > groups { Rule::Circle } else { Rule::TooDeep })
}

pub(super) fn link(params: &LinkParams) -> Result<(), TreeError> {
    params.shape.as_ref().map_or(Ok(()), shape).map_err(|rule| rule.at(NodeId::Link))
}

fn group(params: &GroupParams) -> Result<(), Rule> {
    params.shape.as_ref().map_or(Ok(()), shape)?;
    priority(params.priority)?;
    weight(params.weight)
}

fn lane(params: &LaneParams) -> Result<(), Rule> {
    match &params.limiter {
        Limiter::None => {}
        Limiter::Htb(of) => shape(of)?,
        Limiter::Tbf { burst, .. } if burst.0 == 0 => return Err(Rule::NoBurst),
        Limiter::Tbf { peak, .. } if peak.is_some_and(|peak| peak.mtu.0 == 0) => return Err(Rule::NoMtu),
        Limiter::Tbf { .. } => {}
    }
    if params.share.quantum == Some(0) {
        return Err(Rule::NoQuantum);
    }
    priority(params.share.priority)?;
    weight(params.share.weight)?;
    queue(&params.queue)
}

fn queue(params: &QueueParams) -> Result<(), Rule> {
    match params.aqm {
        Aqm::FqCodel(FqParams { flows, .. }) if !(1..=MAX_FLOWS).contains(&flows) => Err(Rule::Flows(flows)),
        Aqm::FqCodel(FqParams { quantum: 0, .. }) => Err(Rule::NoFlowQuantum),
        _ => Ok(()),
    }
}

fn shape(shape: &Shape) -> Result<(), Rule> {
    let Shape { rate, ceil, burst, cburst } = *shape;
    if ceil < rate {
        Err(Rule::CeilBelowRate { rate, ceil })
    } else if burst.0 == 0 {
        Err(Rule::NoBurst)
    } else if cburst.0 == 0 {
        Err(Rule::NoCburst)
    } else {
        Ok(())
    }
}

fn priority(priority: Option<u8>) -> Result<(), Rule> {
    match priority {
        Some(priority) if usize::from(priority) >= PRIORITIES => Err(Rule::Priority(priority)),
        _ => Ok(()),
    }
}

fn weight(weight: u32) -> Result<(), Rule> {
    if (1..=MAX_WEIGHT).contains(&weight) { Ok(()) } else { Err(Rule::Weight(weight)) }
}

impl Tree {
    /// Refuses a group as it would be added (`None`) or changed.
    pub(super) fn check_group(&self, changed: Option<GroupId>, params: &GroupParams) -> Result<(), Rule> {
        group(params)?;
        let Some(parent) = self.find_group(params.group) else {
            return Err(params.group.map_or(Rule::Unknown, Rule::UnknownGroup));
        };
        let own = changed.map(|id| parent_slot(Some(id)));
        if own.is_some_and(|own| own == parent || self.ancestors(Slot::Inner(parent)).any(|inner| inner == own)) {
            return Err(Rule::Circle);
        }
        let height = own.map_or(1, |own| self.height(own));
        let depth = TOP - self.inner[parent as usize].node.level;
        if depth + height > MAX_DEPTH { Err(Rule::TooDeep) } else { Ok(()) }
    }

    /// Refuses a lane as it would be added or changed.
    pub(super) fn check_lane(&self, params: &LaneParams) -> Result<(), Rule> {
        lane(params)?;
        match (self.find_group(params.group), params.group) {
            (None, Some(group)) => Err(Rule::UnknownGroup(group)),
            _ => Ok(()),
        }
    }

    /// Refuses a lane's queue as it would be changed.
    pub(crate) fn check_queue(&self, id: LaneId, params: &QueueParams) -> Result<(), TreeError> {
        let exists = self.leaves.get(id.index()).is_some_and(|leaf| leaf.node.parent.is_some());
        let known = if exists { Ok(()) } else { Err(Rule::Unknown) };
        known.and_then(|()| queue(params)).map_err(|rule| rule.at(NodeId::Lane(id)))
    }

    /// Refuses one more, when there are `count`.
    pub(super) fn check_room(count: usize) -> Result<(), Rule> {
        if count < MAX_NODES { Ok(()) } else { Err(Rule::TooMany) }
    }

    /// The inner node of a group that exists, or the link.
    pub(super) fn find_group(&self, group: Option<GroupId>) -> Option<u32> {
        match group {
            None => Some(parent_slot(None)),
            Some(GroupId(id)) if (id as usize) < self.inner.len() - 1 => {
                Some(id + 1).filter(|&inner| self.inner[inner as usize].node.parent.is_some())
            }
            Some(_) => None,
        }
    }

    /// Groups nested in each other below an inner node, and the node itself.
    fn height(&self, inner: u32) -> u8 {
        let below = self.inner[inner as usize].children.iter().flatten().map(|&child| match child {
            Slot::Inner(child) => self.height(child),
            Slot::Leaf(_) => 0,
        });
        below.max().unwrap_or(0) + 1
    }
}
