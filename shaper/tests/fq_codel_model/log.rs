//! What happens in a run, in the order in which it happens.

use portlane_shaper::DropReason;

/// What happened, and when.
pub(crate) type Log = Vec<(u64, Event)>;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The packet left.
    Sent(u32),
    /// The packet was marked "congestion experienced", and is about to leave.
    Marked(u32),
    /// The packet was dropped.
    Dropped(u32, DropReason),
    /// Asked when to ask again.
    Wake(Option<u64>),
    /// A look at the counters.
    Stats(Stats),
    /// A look at a flow on the lists. All are looked at in the order of their turns: new ones, then old ones.
    Flow(FlowState),
}

impl Event {
    /// Nothing happened.
    pub(crate) fn is_look(&self) -> bool {
        matches!(self, Self::Wake(_) | Self::Stats(_) | Self::Flow(_))
    }
}

/// The counters of `sch_fq_codel` (`tc -s qdisc`), and what is queued.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) memory_used: u64,
    pub(crate) maxpacket: u32,
    pub(crate) drop_overlimit: u64,
    pub(crate) drop_overmemory: u64,
    pub(crate) refused: u64,
    pub(crate) ecn_mark: u64,
    pub(crate) ce_mark: u64,
    pub(crate) new_flow_count: u64,
    pub(crate) new_flows_len: u64,
    pub(crate) old_flows_len: u64,
}

/// A flow on one of the lists (`tc -s class`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FlowState {
    pub(crate) index: u64,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) credits: i64,
    pub(crate) first_above_time: u64,
    /// As far as it matters: a flow that became empty is not above target, and will not go on dropping.
    pub(crate) dropping: bool,
    /// While it is above target.
    pub(crate) ldelay: Option<u64>,
    pub(crate) memory: Option<Memory>,
}

/// What a flow's CoDel remembers of dropping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) drop_next: u64,
    pub(crate) count: u64,
    pub(crate) lastcount: u64,
}

impl Memory {
    /// What is remembered for no purpose may be forgotten: without drops, or when the pace of the last spell is too old
    /// to be resumed.
    pub(crate) fn if_of_use(self, dropping: bool, interval: u64, now: u64) -> Option<Self> {
        let recent = now < self.drop_next.saturating_add(16 * interval);
        (dropping || self.count > 0 && recent).then_some(self)
    }
}
