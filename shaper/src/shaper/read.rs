//! What a shaper has to tell about itself.

use portlane_stats::counters::{LaneCounters, Volume};

use super::Shaper;
use crate::lane::Place;
use crate::params::NodeId;
use crate::queue::{FlowStats, QueueStats};
use crate::tree::{Limit, NodeReading};
use crate::units::Nanos;
use crate::{LaneId, codel};

/// What limits a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limited {
    /// It has nothing to send, or may send it.
    Nothing,
    /// Its own rate, or that of its token bucket filter.
    Rate,
    /// Its own ceil: it sends more than its rate, on loan.
    Ceil,
    /// A group or the link: the lane has used up its guarantee, and this node has nothing to lend.
    Node(NodeId),
    /// CoDel, which drops packets of a lane or of one of its flows because they wait too long for their turn.
    Codel,
}

impl<P> Shaper<P> {
    /// Packets in all lanes.
    #[inline]
    #[must_use]
    pub fn queued(&self) -> usize {
        self.store.held()
    }

    /// Number of lanes, those included that were removed and whose number is free.
    #[inline]
    #[must_use]
    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// What a lane has counted.
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    #[must_use]
    pub fn counters(&self, id: LaneId) -> LaneCounters {
        let mut counters = self.lanes[id.index()].counters;
        counters.passed(self.tree.passed(id));
        counters.overlimits += self.tree.overlimits(id);
        counters
    }

    /// Packets that went straight through a lane ([`offer`](Self::offer)), and so left in the instant in which they arrived.
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    #[must_use]
    pub fn passed(&self, id: LaneId) -> u64 {
        self.tree.passed(id).packets
    }

    /// What a lane holds now: its queue, a packet waiting for tokens, and one that the device would not take.
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    #[must_use]
    pub fn backlog(&self, id: LaneId) -> Volume {
        let mut held = self.lanes[id.index()].held();
        if let Some(returned) = self.returned.as_ref().filter(|returned| returned.lane == id) {
            held.add(returned.len);
        }
        held
    }

    /// How a node of the tree stands at `now`.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    #[must_use]
    pub fn node(&self, id: NodeId, now: Nanos) -> NodeReading {
        self.tree.node(id, now)
    }

    /// What limits a lane at `now`.
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    #[must_use]
    pub fn limited_by(&self, id: LaneId, now: Nanos) -> Limited {
        if self.lanes[id.index()].place() == Place::Parked {
            return Limited::Rate;
        }
        match self.tree.limited_by(id, now) {
            Some(Limit::Rate) => Limited::Rate,
            Some(Limit::Ceil) => Limited::Ceil,
            Some(Limit::Node(node)) => Limited::Node(node),
            None if self.drops(id) => Limited::Codel,
            None => Limited::Nothing,
        }
    }

    fn drops(&self, id: LaneId) -> bool {
        self.codel(id).is_some_and(|state| state.dropping) || self.flows(id).any(|flow| flow.codel.dropping)
    }

    /// Where a lane's CoDel stands; `None` for a FIFO, and for FQ-CoDel, where each [flow](Self::flows) has its own.
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    #[must_use]
    pub fn codel(&self, id: LaneId) -> Option<&codel::State> {
        self.lanes[id.index()].codel()
    }

    /// What a lane's queue has to tell.
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    #[must_use]
    pub fn queue_stats(&self, id: LaneId) -> QueueStats {
        self.lanes[id.index()].queue_stats()
    }

    /// The flows of an FQ-CoDel lane that wait for their turn, in that order: new ones, then old ones. One that has become
    /// empty is among them until its turn has come.
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    pub fn flows(&self, id: LaneId) -> impl Iterator<Item = FlowStats> {
        self.lanes[id.index()].queue.flows(&self.store)
    }
}
