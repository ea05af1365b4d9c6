//! What would have become of the packets of a lane that is only watched.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::LaneReport;
use crate::counters::{DropReason, Volume};
use crate::histogram::{LaneHistogram, Octaves, Quantiles};

/// What an observed lane would have done: its counters, as they would be if its limits held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Would {
    /// Packets that would have left the lane.
    pub sent_packets: u64,
    /// Bytes that would have left the lane.
    pub sent_bytes: u64,
    /// Packets among them that would have waited.
    pub delayed_packets: u64,
    /// Packets that would have been dropped, by reason; every reason is present.
    pub drops: BTreeMap<DropReason, u64>,
    /// Bytes that would have been dropped.
    pub dropped_bytes: u64,
    /// Arrivals that would have cost the packet itself, or another of its flow, its place.
    pub refused: u64,
    /// Packets that would have been marked CE instead of dropped.
    pub ecn_marks: u64,
    /// Packets that would have been marked CE, or found to be, because they waited longer than `ce_threshold`.
    pub ce_marks: u64,
    /// How long packets would have stayed in the lane.
    pub sojourn_ns: Quantiles,
    /// The same as counts by powers of two.
    pub sojourn_octaves: Octaves,
}

impl LaneReport {
    /// The report of a lane that is only watched. What was counted is what would have been; in truth all packets but those that
    /// the device would not take yet, `held_up`, have left as they came.
    #[must_use]
    pub fn observed(self, sojourn: &LaneHistogram, held_up: Volume) -> Self {
        let would = Would {
            sent_packets: self.sent_packets,
            sent_bytes: self.sent_bytes,
            delayed_packets: sojourn.delayed(),
            drops: self.drops,
            dropped_bytes: self.dropped_bytes,
            refused: self.refused,
            ecn_marks: self.ecn_marks,
            ce_marks: self.ce_marks,
            sojourn_ns: self.sojourn_ns,
            sojourn_octaves: self.sojourn_octaves,
        };
        let sent_packets = self.offered_packets - held_up.packets;
        let at_once = LaneHistogram::default().with_zeros(sent_packets);
        Self {
            mode: LaneMode::Observe,
            sent_packets,
            sent_bytes: self.offered_bytes - held_up.bytes,
            drops: DropReason::ALL.map(|reason| (reason, 0)).into(),
            dropped_bytes: 0,
            refused: 0,
            ecn_marks: 0,
            ce_marks: 0,
            sojourn_ns: at_once.quantiles(),
            sojourn_octaves: at_once.octaves(),
            would: Some(would),
            ..self
        }
    }

    /// What left the lane's queue and limiter: of an observed lane, what would have. Nodes above it are charged for this.
    #[must_use]
    pub fn shaped(&self) -> Volume {
        match &self.would {
            Some(would) => Volume { packets: would.sent_packets, bytes: would.sent_bytes },
            None => self.sent(),
        }
    }

    /// What the lane's queue and limiter dropped: of an observed lane, what they would have.
    #[must_use]
    pub fn shaped_drops(&self) -> &BTreeMap<DropReason, u64> {
        self.would.as_ref().map_or(&self.drops, |would| &would.drops)
    }

    /// Packets that the queue marked, and arrivals that it refused: of an observed lane, those that it would have.
    #[must_use]
    pub fn shaped_marks_and_refusals(&self) -> (u64, u64) {
        match &self.would {
            Some(would) => (would.ecn_marks, would.refused),
            None => (self.ecn_marks, self.refused),
        }
    }

    /// What was taken and has not left: of an observed lane, what the device would not take yet.
    #[must_use]
    pub fn held(&self) -> Volume {
        match &self.would {
            Some(_) => Volume {
                packets: self.offered_packets.saturating_sub(self.sent_packets),
                bytes: self.offered_bytes.saturating_sub(self.sent_bytes),
            },
            None => self.queued(),
        }
    }
}

/// Whether the limits of a lane hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LaneMode {
    /// They do.
    #[default]
    Enforce,
    /// What they would do is counted, and all packets leave at once.
    Observe,
}

impl LaneMode {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
