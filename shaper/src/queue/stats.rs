//! What a queue has to tell for reports.

use portlane_stats::counters::{DropReason, LaneCounters, Volume};

use super::lone::Lone;
use super::{Kind, Queue, Store};
use crate::codel;

/// What a lane's queue has to tell, as `tc -s qdisc` does of `fq_codel` and `codel`. What a kind of queue does not have is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// The longest packet that left the queue, or was dropped by CoDel, in bytes.
    pub maxpacket: u32,
    /// Packets dropped because a limit was reached, that of memory included.
    pub drop_overlimit: u64,
    /// Packets dropped because the limit of memory was reached.
    pub drop_overmemory: u64,
    /// Packets marked instead of dropped.
    pub ecn_mark: u64,
    /// Packets marked because they waited longer than `ce_threshold`.
    pub ce_mark: u64,
    /// Times that a flow became a new one.
    pub new_flow_count: u64,
    /// Flows in the list of new ones, those included that have become empty and have not been visited since.
    pub new_flows_len: u32,
    /// Flows in the list of old ones, likewise.
    pub old_flows_len: u32,
    /// Bytes of the buffers that the packets in the queue hold.
    pub memory_used: u64,
}

/// A flow of an FQ-CoDel queue, as `tc -s class show` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowStats {
    /// The bucket that it is hashed into, from 0.
    pub index: u32,
    /// What it has in the queue.
    pub backlog: Volume,
    /// Bytes that it may still send in its turn; negative if it sent more.
    pub deficit: i32,
    /// Where its CoDel stands.
    pub codel: codel::State,
}

impl From<Lone> for FlowStats {
    fn from(Lone { bucket, deficit, ldelay, .. }: Lone) -> Self {
        let codel = codel::State::fresh(ldelay);
        Self { index: bucket.into(), backlog: Volume::default(), deficit, codel }
    }
}

impl Queue {
    /// What the queue has to tell, with what its lane counted.
    pub(crate) fn stats(&self, counters: &LaneCounters) -> QueueStats {
        let [limit, memory] =
            [DropReason::Limit, DropReason::Memory].map(|reason| counters.dropped_for(reason).packets);
        let stats = QueueStats {
            maxpacket: self.maxpacket,
            drop_overlimit: limit + memory,
            drop_overmemory: memory,
            ecn_mark: counters.ecn_marks,
            ce_mark: counters.ce_marks,
            memory_used: self.totals.memory,
            ..QueueStats::default()
        };
        match &self.kind {
            Kind::Fifo(_) | Kind::Codel(_) => stats,
            Kind::FqCodel(fq) => QueueStats {
                new_flow_count: fq.new_flow_count,
                new_flows_len: fq.new.len() + fq.lone.get().map_or(0, |lone| u32::from(!lone.old)),
                old_flows_len: fq.old.len() + fq.lone.get().map_or(0, |lone| u32::from(lone.old)),
                ..stats
            },
        }
    }

    /// Where CoDel stands, if there is one for the whole queue.
    pub(crate) fn codel(&self) -> Option<&codel::State> {
        match &self.kind {
            Kind::Codel(codel) => Some(&codel.state),
            Kind::Fifo(_) | Kind::FqCodel(_) => None,
        }
    }

    /// The flows, if there are some, in the order in which their turns come.
    pub(crate) fn flows<'a, P>(&self, store: &'a Store<P>) -> impl Iterator<Item = FlowStats> + use<'a, P> {
        let (lone, fq) = match &self.kind {
            Kind::FqCodel(fq) => (fq.lone.get().map(FlowStats::from), Some(fq.listed(&store.flows))),
            Kind::Fifo(_) | Kind::Codel(_) => (None, None),
        };
        let listed = fq.into_iter().flatten().map(|flow| FlowStats {
            index: flow.bucket.into(),
            backlog: Volume { packets: flow.fifo.packets().into(), bytes: flow.fifo.bytes() },
            deficit: flow.deficit,
            codel: flow.codel,
        });
        lone.into_iter().chain(listed)
    }
}
