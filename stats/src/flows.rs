//! How flows are observed, and what they did, in numbers since the start.

use serde::{Deserialize, Serialize};

/// Packets, and the bytes of their frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowVolume {
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What became of the packets that workers have received.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowsReport {
    /// Flows that live.
    pub live: u64,
    /// Counted in flows.
    pub counted: FlowVolume,
    /// They would have begun a flow when there was no room for one.
    pub refused: FlowVolume,
    /// They are of a second that was over.
    pub late: FlowVolume,
    /// The observer had no room for them: it was late.
    pub lost: FlowVolume,
    /// Between two containers, and seen before, when they were sent.
    pub repeated_packets: u64,
    /// Frames that cannot be read: their headers make no sense, or too little of them was captured.
    pub other_frames: u64,
    /// Counted in flows, and missing in rows: a second or minute had too many pairs.
    pub left_out: FlowVolume,
    /// Seconds and minutes whose rows were lost before they were added up or kept, for whoever does so was late.
    pub lost_batches: u64,
    /// Where rows are kept, if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreReport>,
    /// What the flows of each container did.
    pub containers: Vec<ContainerFlows>,
}

/// How rows are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreReport {
    /// The folder.
    pub folder: String,
    /// Rows in files that are whole.
    pub rows: u64,
    /// Rows that could not be written.
    pub lost_rows: u64,
    /// Files that were removed for their age, or for there were too many.
    pub removed_files: u64,
    /// Why nothing can be written, if that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How long something took, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowTiming {
    /// All of it.
    pub sum_us: u64,
    /// How often it was measured.
    pub count: u64,
}

/// What the flows of a container did, be it client or server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerFlows {
    /// Its id.
    pub id: String,
    /// Flows that began.
    pub new: u64,
    /// Flows that ended.
    pub closed: u64,
    /// Handshakes.
    pub rtt: FlowTiming,
    /// Questions until they were acknowledged.
    pub srt: FlowTiming,
    /// Questions until they were answered.
    pub art: FlowTiming,
    /// Packets that it sent again.
    pub retransmitted: u64,
    /// Packets that it received again.
    pub retransmitted_to: u64,
    /// Times that it said that it can take no more.
    pub zero_windows: u64,
    /// Connections that were not established.
    pub establish_failures: u64,
    /// Connections that failed later.
    pub transfer_failures: u64,
    /// Questions of applications.
    pub requests: u64,
    /// Answers of applications.
    pub responses: u64,
    /// Answers that tell of an error.
    pub errors: u64,
    /// Questions without an answer.
    pub timeouts: u64,
}
