//! A queue's settings, and the state of what keeps it short.

use serde::{Deserialize, Serialize};

/// A lane's queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum QueueReport {
    /// First in, first out: tc's `pfifo`.
    Fifo {
        /// Packets that may wait.
        limit_packets: u64,
    },
    /// CoDel over one queue: tc's `codel`.
    Codel(CodelReport),
    /// A queue for each flow, each under CoDel: tc's `fq_codel`.
    FqCodel(FqCodelReport),
}

/// CoDel: settings, and state (`struct tc_codel_xstats`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodelReport {
    /// Packets that may wait.
    pub limit_packets: u64,
    /// Sojourn time aimed at, nanoseconds.
    pub target_ns: u64,
    /// How long the sojourn time may stay above target, nanoseconds.
    pub interval_ns: u64,
    /// Packets that waited longer are marked at once, nanoseconds; `None`: off.
    #[serde(default)]
    pub ce_threshold_ns: Option<u64>,
    /// Whether ECN-capable packets are marked instead of dropped.
    pub ecn: bool,
    /// Drops or marks since dropping began.
    pub count: u32,
    /// `count` when the last dropping state began.
    pub lastcount: u32,
    /// Sojourn time of the last packet that was dequeued, nanoseconds.
    pub ldelay_ns: u64,
    /// Whether CoDel is in its dropping state.
    pub dropping: bool,
    /// Time to the next drop, nanoseconds, negative when overdue; 0 while not dropping.
    pub drop_next_ns: i64,
    /// The largest packet seen, bytes.
    pub maxpacket: u32,
    /// Packets marked for having waited longer than `ce_threshold`.
    #[serde(default)]
    pub ce_mark: u64,
}

/// FQ-CoDel: settings, and counters (`struct tc_fq_codel_qd_stats`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FqCodelReport {
    /// Packets that may wait, of all flows together.
    pub limit_packets: u64,
    /// Queues that flows are hashed into.
    pub flows: u32,
    /// Bytes that a flow may send before it is the next one's turn.
    pub quantum_bytes: u32,
    /// Sojourn time aimed at, nanoseconds.
    pub target_ns: u64,
    /// How long the sojourn time may stay above target, nanoseconds.
    pub interval_ns: u64,
    /// Packets that waited longer are marked at once, nanoseconds; `None`: off.
    pub ce_threshold_ns: Option<u64>,
    /// Bytes of buffers that waiting packets may hold.
    pub memory_limit_bytes: u64,
    /// Whether ECN-capable packets are marked instead of dropped.
    pub ecn: bool,
    /// Packets dropped at a time, at most, when a limit is reached.
    pub drop_batch: u32,
    /// The largest packet seen, bytes.
    pub maxpacket: u32,
    /// Packets dropped because a limit was reached.
    pub drop_overlimit: u64,
    /// Those of them for which it was the limit of memory.
    pub drop_overmemory: u64,
    /// Packets that CoDel marked instead of dropping them.
    pub ecn_mark: u64,
    /// Packets marked for having waited longer than `ce_threshold`.
    pub ce_mark: u64,
    /// Times that a flow without packets got one and went to the list of new flows.
    pub new_flow_count: u64,
    /// Flows in the list of new flows.
    pub new_flows_len: u64,
    /// Flows in the list of old flows.
    pub old_flows_len: u64,
    /// Bytes of buffers that waiting packets hold.
    pub memory_used_bytes: u64,
    /// Flows in either list, at most [`FqCodelReport::MAX_FLOW_STATES`] of them.
    pub flow_states: Vec<FlowReport>,
}

impl FqCodelReport {
    /// Flows that are reported of a lane, so that a report stays short whatever number of flows it has.
    pub const MAX_FLOW_STATES: usize = 32;
}

/// One flow's queue under FQ-CoDel (`struct tc_fq_codel_cl_stats`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowReport {
    /// Which of the queues, from 0.
    pub flow: u32,
    /// Bytes that wait.
    pub backlog_bytes: u64,
    /// Packets that wait.
    pub qlen: u64,
    /// Bytes that the flow may still send before it is the next one's turn.
    pub deficit_bytes: i64,
    /// Drops or marks since dropping began.
    pub count: u32,
    /// `count` when the last dropping state began.
    pub lastcount: u32,
    /// Sojourn time of the last packet that was dequeued, nanoseconds.
    pub ldelay_ns: u64,
    /// Whether CoDel is in its dropping state.
    pub dropping: bool,
    /// Time to the next drop, nanoseconds, negative when overdue; 0 while not dropping.
    pub drop_next_ns: i64,
}
