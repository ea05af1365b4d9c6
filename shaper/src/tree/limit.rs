//! How nodes stand, and what holds a lane back.

use portlane_stats::counters::Volume;

use super::node::{Mode, Slot};
use super::{Tree, id_of, slot_of};
use crate::LaneId;
use crate::bucket::Bucket;
use crate::params::{Framing, NodeId, Shape};
use crate::units::{Nanos, Rate};

/// How a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeReading {
    /// What it gets when all want theirs; `None`: it is not limited.
    pub guarantee: Option<Rate>,
    /// Its own rates; `None` for a node without, and for a TBF.
    pub shape: Option<Shape>,
    /// Credit of its guarantee, as the time it takes to earn it, in nanoseconds; negative in debt, 0 if not limited.
    pub tokens_ns: i64,
    /// Credit of its ceil, likewise.
    pub ctokens_ns: i64,
    /// Packets sent from its own guarantee: by the lane itself, or by those that a group or the link lent to.
    pub lended: u64,
    /// Packets sent, by itself or by lanes below, on loan from a node above.
    pub borrowed: u64,
    /// Times that it went above its ceil, and could not send for a while.
    pub overlimits: u64,
    /// What was sent, by itself or by lanes below.
    pub sent: Volume,
    /// What a packet takes on its wire.
    pub framing: Framing,
    /// A lane's priority; for a group, what its members get that have none of their own.
    pub priority: u8,
    /// A lane's quantum in bytes, multiplied by all weights; 0 for groups and the link.
    pub quantum: u32,
    /// 0 for a lane; the link is the highest, a group one below what it is in.
    pub level: u8,
}

/// What holds a lane back that has packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Its rate, which is its ceil too.
    Rate,
    /// Its ceil. It has sent more than its rate, on loan.
    Ceil,
    /// It has used up its guarantee, and this node, which would lend, has nothing to lend or is above its own ceil.
    Node(NodeId),
}

impl Tree {
    /// How a node stands at `now`.
    pub(crate) fn node(&self, id: NodeId, now: Nanos) -> NodeReading {
        let slot = slot_of(id);
        let node = self.at(slot);
        let credit = |bucket: Option<&Bucket>| bucket.map_or(0, |bucket| bucket.credit_ns(now));
        let passed = match slot {
            Slot::Leaf(leaf) => self.passed(LaneId(leaf)),
            Slot::Inner(_) => Volume::default(),
        };
        NodeReading {
            guarantee: node.limits.rate().map(Bucket::rate),
            shape: self.spec(slot).shape(),
            tokens_ns: credit(node.limits.rate()),
            ctokens_ns: credit(node.limits.ceil()),
            lended: node.lended + passed.packets,
            borrowed: node.borrowed,
            overlimits: node.overlimits,
            sent: node.sent().plus(passed),
            framing: node.framing,
            priority: self.priority(slot),
            quantum: match slot {
                Slot::Leaf(leaf) => self.leaves[leaf as usize].quantum.unsigned_abs(),
                Slot::Inner(_) => 0,
            },
            level: node.level,
        }
    }

    /// What a packet takes on a lane's wire.
    pub(crate) fn framing(&self, lane: LaneId) -> Framing {
        self.leaves[lane.index()].node.framing
    }

    /// Times that a lane went above its ceil.
    pub(crate) fn overlimits(&self, lane: LaneId) -> u64 {
        self.leaves[lane.index()].node.overlimits
    }

    /// Why a lane that has packets may not send at `now`; `None` if it may, or has none.
    pub(crate) fn limited_by(&self, lane: LaneId, now: Nanos) -> Option<Limit> {
        let leaf = Slot::Leaf(lane.0);
        if self.at(leaf).active == 0 {
            return None;
        }
        let mode = |slot| {
            let mut limits = self.at(slot).limits.clone();
            limits.refill(now);
            limits.mode()
        };
        match mode(leaf) {
            Mode::CanSend => return None,
            Mode::CantSend => {
                let flat = self.spec(leaf).shape().is_some_and(|shape| shape.rate == shape.ceil);
                return Some(if flat { Limit::Rate } else { Limit::Ceil });
            }
            Mode::MayBorrow => {}
        }
        for lender in self.ancestors(leaf).map(Slot::Inner) {
            match mode(lender) {
                Mode::CanSend => return None,
                Mode::MayBorrow if self.at(lender).parent.is_some() => {}
                Mode::MayBorrow | Mode::CantSend => return Some(Limit::Node(id_of(lender))),
            }
        }
        None
    }
}
