//! Who may send next: link, groups and lanes as classes of `sch_htb`, without packets, clock or I/O.
//!
//! Every node has two token buckets. The first fills at what the node is *guaranteed*, the second at its *ceil*. A node
//! whose ceil is in debt cannot send; one whose guarantee is in debt may borrow from its parent; else it can send. Decisions
//! are those of `sch_htb`, one by one:
//!
//! - Nodes that can send stand in *rows*, one for each level and priority; nodes that may borrow stand in a *feed* of
//!   their parent, one for each priority. Lower levels go first, then lower priorities, then turns: within rows and feeds a
//!   lane sends its quantum of bytes at each level before it is the next one's turn (`htb_lookup_leaf`,
//!   `htb_dequeue_tree`).
//! - A packet that a lane sent at a level is paid for by the lane and all nodes above: from their ceils, and from the
//!   guarantees of those at that level or above (`htb_charge_class`).
//! - A node that owes waits in a timing wheel until its debt is paid, be it idle or not (`htb_do_events`).
//!
//! Four things differ, each for a reason:
//!
//! - Buckets are exact (see [`bucket`](crate::bucket)), where the kernel rounds to nanoseconds and caps debts at a minute.
//! - Guarantees always fit: what a node is guaranteed is a share of its parent's guarantee (see `guarantee`). The kernel
//!   takes rates as they come, and then sends more than the ceil of an over-subscribed parent.
//! - A quantum may be smaller than a packet: a lane in deficit gets another quantum and waits for its next turn, as
//!   Shreedhar and Varghese (1995) have it. The kernel would let it send.
//! - Eight groups may be nested, two more than there.
//!
//! A node without a framing has that of the node above. If it is given one by which a packet takes less than above, what
//! children are guaranteed fits in bytes of their own, and the node above may exceed its ceil by the difference, as there.

mod change;
mod check;
mod direct;
mod guarantee;
mod limit;
mod node;
mod pass;
mod round;
mod rows;
mod schedule;
#[cfg(test)]
mod tests;
mod waiting;
mod wake;

use portlane_hint::vec_in_huge_pages;

pub use self::check::{Rule, TreeError};
pub(crate) use self::direct::Afterwards;
pub(crate) use self::limit::Limit;
pub use self::limit::NodeReading;
use self::node::{Inner, Leaf, Node, Slot, Spec, node_at};
use self::round::Set;
use self::rows::Rows;
use self::waiting::Waiting;
use crate::params::{NodeId, TreeParams};
use crate::units::Nanos;
use crate::wheel::Wheel;
use crate::{GroupId, LaneId};

/// Groups that may be nested in each other.
const MAX_DEPTH: u8 = 8;
/// Leaves, nested groups, and the link.
const LEVELS: usize = MAX_DEPTH as usize + 2;
/// The level of the link.
const TOP: u8 = MAX_DEPTH + 1;
/// Priorities are 0 to 7 (`TC_HTB_NUMPRIO`).
const PRIORITIES: usize = 8;
/// The link, among the inner nodes; group *g* is *g* + 1.
const LINK: u32 = 0;

/// A leaf that may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// Who.
    pub(crate) lane: LaneId,
    /// The level of the node whose guarantee lends: the lane's own, or that of a group or the link.
    pub(crate) level: u8,
}

/// A scheduler of leaves.
///
/// Its user says which lanes have packets ([`activate`](Self::activate), [`deactivate`](Self::deactivate)), asks with
/// [`choose`](Self::choose) whose packet is next, and reports with [`sent`](Self::sent) what became of it. Time is an
/// argument and should not run backwards; if it does, no tokens are earned until it has caught up. All ids given must be
/// those of nodes that exist.
#[derive(Debug)]
pub(crate) struct Tree {
    leaves: Vec<Leaf>,
    /// What the leaves were asked to be.
    specs: Vec<Spec>,
    inner: Vec<Inner>,
    /// Ids of removed lanes and groups.
    free_lanes: Set,
    free_groups: Set,
    rows: Rows,
    waiting: Waiting,
    /// Lanes that asked to be woken; it has no room before the first does.
    parked: Wheel,
    active_leaves: usize,
    /// The first time at which a leaf may send, as far as it is known.
    wake: Option<Nanos>,
}

impl Tree {
    /// A tree in which nobody has a packet and every node has its full burst.
    ///
    /// # Errors
    ///
    /// The first node, in the order of link, groups, lanes, whose parameters break a [`Rule`].
    pub(crate) fn new(params: &TreeParams, now: Nanos) -> Result<Self, TreeError> {
        check::tree(params)?;
        let link = Inner::new(TOP, Spec::from(&params.link));
        let mut tree = Self {
            leaves: vec_in_huge_pages(params.lanes.len()),
            specs: Vec::with_capacity(params.lanes.len()),
            inner: vec![link],
            free_lanes: Set::default(),
            free_groups: Set::default(),
            rows: Rows::default(),
            waiting: Waiting::new(params.lanes.len(), params.groups.len() + 1, now),
            parked: Wheel::new(0, now),
            active_leaves: 0,
            wake: None,
        };
        tree.inner.extend(params.groups.iter().map(|group| Inner::new(0, Spec::from(group))));
        for (index, group) in (1..).zip(&params.groups) {
            tree.adopt(Slot::Inner(index), group.group);
        }
        for lane in &params.lanes {
            let slot = tree.new_leaf(lane);
            tree.adopt(slot, lane.group);
        }
        tree.settle_all(now);
        Ok(tree)
    }

    #[inline]
    fn at(&self, slot: Slot) -> &Node {
        node_at(&self.leaves, &self.inner, slot)
    }

    #[inline]
    fn at_mut(&mut self, slot: Slot) -> &mut Node {
        match slot {
            Slot::Leaf(leaf) => &mut self.leaves[leaf as usize].node,
            Slot::Inner(inner) => &mut self.inner[inner as usize].node,
        }
    }

    fn spec(&self, slot: Slot) -> &Spec {
        match slot {
            Slot::Leaf(leaf) => &self.specs[leaf as usize],
            Slot::Inner(inner) => &self.inner[inner as usize].spec,
        }
    }

    /// The inner nodes above, from the parent to the link.
    fn ancestors(&self, slot: Slot) -> impl Iterator<Item = u32> {
        std::iter::successors(self.at(slot).parent, |&inner| self.inner[inner as usize].node.parent)
    }
}

/// The inner node of a group, or the link.
fn parent_slot(group: Option<GroupId>) -> u32 {
    group.map_or(LINK, |group| group.0 + 1)
}

fn slot_of(id: NodeId) -> Slot {
    match id {
        NodeId::Link => Slot::Inner(LINK),
        NodeId::Group(group) => Slot::Inner(group.0 + 1),
        NodeId::Lane(lane) => Slot::Leaf(lane.0),
    }
}

fn id_of(slot: Slot) -> NodeId {
    match slot {
        Slot::Inner(LINK) => NodeId::Link,
        Slot::Inner(inner) => NodeId::Group(GroupId(inner - 1)),
        Slot::Leaf(leaf) => NodeId::Lane(LaneId(leaf)),
    }
}
