//! A whole report as plain data: what `--format json` prints, what the control socket carries, what every renderer reads.
//!
//! Knows nothing of shaping: whoever reads the lanes fills it in. Everything survives a trip through JSON, so that a report
//! can be fetched from a running instance and rendered elsewhere.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::counters::Volume;
use crate::lane::{HtbReport, LaneReport};

/// Everything that is reported, at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When: nanoseconds since the epoch; in replay, virtual time.
    pub time_ns: u64,
    /// How long has been counted, nanoseconds.
    pub duration_ns: u64,
    /// The name of the interface each direction is sent by: tc's `dev`.
    pub devices: Directions<String>,
    /// How each interface is attached; empty where there is none, as in replay.
    #[serde(default)]
    pub mode: BTreeMap<String, Mode>,
    /// All packets.
    pub totals: Totals,
    /// The link's own limit, where it has one.
    pub link: Directions<Option<LinkReport>>,
    /// The containers, in the order of the configuration.
    pub containers: Vec<ContainerReport>,
    /// Traffic that no container owns.
    pub unmatched: Directions<LaneReport>,
}

/// Something for each direction, as seen from the containers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directions<T> {
    /// To the container.
    pub ingress: T,
    /// From the container.
    pub egress: T,
}

/// How an interface is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// AF_XDP, native driver, the NIC writes into the pool.
    ZeroCopy,
    /// AF_XDP, native driver, the kernel copies.
    Copy,
    /// AF_XDP, generic XDP.
    Generic,
    /// AF_PACKET.
    Packet,
}

impl Mode {
    /// The mode's name in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ZeroCopy => "zero-copy",
            Self::Copy => "copy",
            Self::Generic => "generic",
            Self::Packet => "packet",
        }
    }
}

/// All packets and what became of them: received = sent + dropped + queued.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Packets that arrived, those missed included: what the interfaces count as received.
    pub received: u64,
    /// Packets sent on.
    pub sent: u64,
    /// Packets dropped: by lanes, for being malformed, missed, and unsent.
    pub dropped: u64,
    /// Packets that lanes hold now.
    pub queued: u64,
    /// Packets that no container owns. They are sent, dropped or queued like the others.
    pub unmatched: u64,
    /// Packets dropped for a malformed header, by reason; reasons that occurred.
    pub malformed: BTreeMap<String, u64>,
    /// Packets dropped by the kernel because the worker was late: the ring was full, or had no frame to fill (DPDK's
    /// `imissed`).
    #[serde(default)]
    pub missed: u64,
    /// Packets dropped by an interface that could not send them (its `tx_dropped`): lanes count them as sent, the totals
    /// as dropped.
    #[serde(default)]
    pub unsent: u64,
    /// Timestamps of a capture that ran backwards and were held at the latest one.
    #[serde(default)]
    pub backwards_timestamps: u64,
}

/// The limit that all lanes of a direction share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkReport {
    /// The limit's settings and credit.
    pub limit: HtbReport,
    /// Times that a lane had to wait for the link's tokens.
    pub overlimits: u64,
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerReport {
    /// Its id in the configuration.
    pub id: String,
    /// Traffic to it.
    pub ingress: LaneReport,
    /// Traffic from it.
    pub egress: LaneReport,
}

/// A count that does not add up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{who}: {taken} {unit} taken are not {sent} sent + {dropped} dropped + {queued} queued")]
pub struct Unbalanced {
    /// Whose count: `all lanes`, or a container's id and a direction.
    pub who: String,
    /// `packets` or `bytes`.
    pub unit: &'static str,
    /// Received or offered.
    pub taken: u64,
    /// Sent.
    pub sent: u64,
    /// Dropped.
    pub dropped: u64,
    /// Queued.
    pub queued: u64,
}

impl Snapshot {
    /// The lanes of one direction: every container's, then the unmatched one, with the names they go by.
    pub fn ingress(&self) -> impl Iterator<Item = (&str, &LaneReport)> {
        let containers = self.containers.iter().map(|c| (c.id.as_str(), &c.ingress));
        containers.chain([("unmatched", &self.unmatched.ingress)])
    }

    /// The same for the other direction.
    pub fn egress(&self) -> impl Iterator<Item = (&str, &LaneReport)> {
        let containers = self.containers.iter().map(|c| (c.id.as_str(), &c.egress));
        containers.chain([("unmatched", &self.unmatched.egress)])
    }

    /// Checks the law for the totals (received = sent + dropped + queued, in packets) and for every lane (offered = sent +
    /// dropped + queued, in packets and bytes).
    ///
    /// # Errors
    ///
    /// The first count that does not add up.
    pub fn check(&self) -> Result<(), Unbalanced> {
        let totals = &self.totals;
        balance("all lanes", "packets", totals.received, [totals.sent, totals.dropped, totals.queued])?;
        for (id, lane) in self.ingress() {
            check_lane(&format!("{id} ingress"), lane)?;
        }
        for (id, lane) in self.egress() {
            check_lane(&format!("{id} egress"), lane)?;
        }
        Ok(())
    }
}

fn check_lane(who: &str, lane: &LaneReport) -> Result<(), Unbalanced> {
    let fates = [lane.sent(), lane.dropped(), lane.queued()];
    let packets = fates.map(|fate: Volume| fate.packets);
    let bytes = fates.map(|fate: Volume| fate.bytes);
    balance(who, "packets", lane.offered_packets, packets)?;
    balance(who, "bytes", lane.offered_bytes, bytes)
}

fn balance(who: &str, unit: &'static str, taken: u64, fates: [u64; 3]) -> Result<(), Unbalanced> {
    let sum: u128 = fates.into_iter().map(u128::from).sum();
    if sum == u128::from(taken) {
        return Ok(());
    }
    let [sent, dropped, queued] = fates;
    Err(Unbalanced { who: who.to_owned(), unit, taken, sent, dropped, queued })
}

#[cfg(test)]
mod tests {
    use crate::samples;

    #[test]
    fn a_balanced_snapshot_passes_and_each_slip_is_named() {
        let good = samples::snapshot();
        assert_eq!(good.check(), Ok(()));

        let mut lost = good.clone();
        lost.totals.received += 1;
        let error = lost.check().unwrap_err().to_string();
        assert!(error.starts_with("all lanes: "), "{error}");

        let mut lost = good.clone();
        lost.containers[1].egress.sent_packets -= 1;
        let error = lost.check().unwrap_err().to_string();
        assert!(error.starts_with("db egress: 120 packets taken are not "), "{error}");

        let mut lost = good;
        lost.unmatched.ingress.offered_bytes += 1;
        let error = lost.check().unwrap_err();
        assert_eq!((error.who.as_str(), error.unit), ("unmatched ingress", "bytes"));
    }

    #[test]
    fn modes_are_named_as_serialized() {
        use super::Mode;
        for mode in [Mode::ZeroCopy, Mode::Copy, Mode::Generic, Mode::Packet] {
            assert_eq!(serde_json::to_string(&mode).unwrap(), format!("{:?}", mode.as_str()));
        }
    }
}
