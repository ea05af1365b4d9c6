//! A whole report as plain data: what `--format json` prints, what the control socket carries, what every renderer reads.
//!
//! Knows nothing of shaping: whoever reads the lanes fills it in. Everything survives a trip through JSON, so that a report
//! can be fetched from a running instance and rendered elsewhere.

use std::collections::BTreeMap;
use std::iter::Sum;

use serde::{Deserialize, Serialize};

use crate::counters::Volume;
use crate::flows::FlowsReport;
use crate::lane::{ClassReport, HtbReport, LaneReport};
use crate::live::{AttachedReport, InterfaceReport, MemoryReport, SocketReport, WorkerReport};

mod laws;

pub use laws::Unbalanced;

/// Everything that is reported, at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When: nanoseconds since the epoch; in replay, virtual time.
    pub time_ns: u64,
    /// How long has been counted, nanoseconds.
    pub duration_ns: u64,
    /// Instants that this is of, at each worker. Figures of one lane are of one, and so are the totals; with one for all, lanes
    /// and groups are of the same.
    #[serde(default = "one")]
    pub slices: u32,
    /// The name of the interface each direction is sent by: tc's `dev`.
    pub devices: Directions<String>,
    /// How each interface is attached; empty where there is none, as in replay.
    #[serde(default)]
    pub mode: BTreeMap<String, Mode>,
    /// Offloads that are off for the run, by interface, and on again after it. None in replay.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub offloads: BTreeMap<String, Vec<String>>,
    /// What the kernel's steering program has decided about the frames that arrived at each interface, by verdict; empty
    /// where all are taken. Of these the worker has received those that are `owned`, and no others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub steering: BTreeMap<String, BTreeMap<String, u64>>,
    /// The interfaces of attached containers, by their names on the host.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attached: BTreeMap<String, AttachedReport>,
    /// The sockets, by interface and queue: `eth0:0`. None in replay.
    #[serde(default)]
    pub sockets: BTreeMap<String, SocketReport>,
    /// The frames that they share. None in replay.
    #[serde(default)]
    pub memory: Option<MemoryReport>,
    /// The workers. None in replay.
    #[serde(default)]
    pub workers: Vec<WorkerReport>,
    /// All packets.
    pub totals: Totals,
    /// What containers have counted whose lanes are gone.
    #[serde(default)]
    pub gone: Gone,
    /// The link, which all share.
    pub link: Directions<NodeReport>,
    /// The groups, in the order of the configuration.
    #[serde(default)]
    pub groups: Vec<GroupReport>,
    /// The containers, in the order of the configuration.
    pub containers: Vec<ContainerReport>,
    /// Traffic that no container owns.
    pub unmatched: Directions<LaneReport>,
    /// Containers that the configuration no longer has, and that still have packets.
    #[serde(default)]
    pub leaving: Vec<ContainerReport>,
    /// What was counted for the labels of meters. None in replay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub meters: Vec<MeterReport>,
    /// What became of reports of meters; `None`: there are none. None in replay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meter_delivery: Option<MeterDelivery>,
    /// The kernel's counters of containers' network namespaces, as `Tcp_InSegs`: by container, then by where they are from (`proc`).
    /// Of attached containers alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub netstat: BTreeMap<String, BTreeMap<String, BTreeMap<String, i64>>>,
    /// Packets of containers that were not seen by who tells TCP's counters from frames: it was late.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub wire_lost_packets: u64,
    /// How flows are observed; `None`: they are not. None in replay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flows: Option<FlowsReport>,
}

/// What was counted for a label of meters since the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeterReport {
    /// The label's.
    pub label_id: String,
    /// Its name.
    pub label: String,
    /// Its project.
    pub project_id: String,
    /// Of this container alone; all of them together otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Packets.
    pub packets: u64,
    /// Their bytes, from the IP header on.
    pub bytes: u64,
}

/// What became of reports of meters since the start, in reports: each is of all labels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeterDelivery {
    /// Those that wait for their receiver.
    pub waiting: u64,
    /// Those that it will not get: for want of room, refused, or unreadable.
    pub lost: u64,
    /// Those that could not be written to the file, or to standard output.
    pub unwritten: u64,
}

/// Packets of lanes that are gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// Sent.
    pub sent: u64,
    /// Dropped, for whatever reason.
    pub dropped: u64,
}

impl Sum for Gone {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self { sent: sum.sent + one.sent, dropped: sum.dropped + one.dropped })
    }
}

fn one() -> u32 {
    1
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
    /// Packets that arrived, those missed or too long included: what the interfaces count as received.
    pub received: u64,
    /// Packets sent on.
    pub sent: u64,
    /// Packets dropped: by lanes, for being malformed, between workers (handoff), missed, too long, and unsent.
    pub dropped: u64,
    /// Packets that lanes hold now.
    pub queued: u64,
    /// Packets that no container owns. They are sent, dropped or queued like the others.
    pub unmatched: u64,
    /// Packets dropped for a malformed header, by reason; reasons that occurred.
    pub malformed: BTreeMap<String, u64>,
    /// Packets dropped because another worker owns their lane, and had no room for more.
    #[serde(default)]
    pub handoff: u64,
    /// Packets dropped by the kernel because the worker was late: the ring was full, or had no frame to fill (DPDK's
    /// `imissed`).
    #[serde(default)]
    pub missed: u64,
    /// Packets dropped because they are longer than a frame, where packet sockets tell.
    #[serde(default)]
    pub too_long: u64,
    /// Packets dropped by an interface that could not send them (its `tx_dropped`): lanes count them as sent, the totals
    /// as dropped.
    #[serde(default)]
    pub unsent: u64,
    /// Timestamps of a capture that ran backwards and were held at the latest one.
    #[serde(default)]
    pub backwards_timestamps: u64,
}

/// The link or a group, in one direction: an inner node of the tree.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// Packets sent by the lanes below it.
    pub sent_packets: u64,
    /// Bytes sent by the lanes below it.
    pub sent_bytes: u64,
    /// Its rates; `None`: it limits nobody.
    pub limit: Option<HtbReport>,
    /// Its credit and its counters.
    pub class: ClassReport,
    /// What it sent for members that have left it.
    #[serde(default)]
    pub former: Former,
}

/// What a node sent for members that have left it, less what members that came later had sent before they did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    /// Packets.
    pub packets: i64,
    /// Bytes.
    pub bytes: i64,
    /// Packets that those members sent on loan from the node.
    pub borrowed: i64,
}

impl Former {
    /// Counts what a member had sent that is no longer one.
    pub fn add(&mut self, sent: Volume, borrowed: u64) {
        self.packets = self.packets.wrapping_add_unsigned(sent.packets);
        self.bytes = self.bytes.wrapping_add_unsigned(sent.bytes);
        self.borrowed = self.borrowed.wrapping_add_unsigned(borrowed);
    }

    /// Both together: of a node at two workers.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            packets: self.packets.wrapping_add(other.packets),
            bytes: self.bytes.wrapping_add(other.bytes),
            borrowed: self.borrowed.wrapping_add(other.borrowed),
        }
    }

    /// Counts what a member had sent that was none.
    pub fn sub(&mut self, sent: Volume, borrowed: u64) {
        self.packets = self.packets.wrapping_sub_unsigned(sent.packets);
        self.bytes = self.bytes.wrapping_sub_unsigned(sent.bytes);
        self.borrowed = self.borrowed.wrapping_sub_unsigned(borrowed);
    }
}

impl NodeReport {
    /// What the lanes below it sent.
    #[must_use]
    pub fn sent(&self) -> Volume {
        Volume { packets: self.sent_packets, bytes: self.sent_bytes }
    }
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupReport {
    /// Its id in the configuration.
    pub id: String,
    /// Its number among groups, which stays its own as long as it is there. tc's handle follows from it.
    pub number: u32,
    /// The group that it is in; `None`: directly under the link.
    pub group: Option<String>,
    /// Traffic to its containers.
    pub ingress: NodeReport,
    /// Traffic from its containers.
    pub egress: NodeReport,
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerReport {
    /// Its id in the configuration.
    pub id: String,
    /// Its number among containers, from 0, which stays its own as long as it is there. tc's handles follow from it.
    pub number: u32,
    /// The group that it is in; `None`: directly under the link.
    #[serde(default)]
    pub group: Option<String>,
    /// What Mesos calls it, where that is not its id.
    #[serde(default, skip_serializing_if = "Identity::is_default")]
    pub mesos: Identity,
    /// The ports that its programs get which ask for none, where they were given from the pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral_ports: Option<Ports>,
    /// What is counted at its own interface, where portlane has attached it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<InterfaceReport>,
    /// Traffic to it.
    pub ingress: LaneReport,
    /// Traffic from it.
    pub egress: LaneReport,
}

/// Ports, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// The first.
    pub begin: u16,
    /// The last.
    pub end: u16,
}

/// What Mesos calls a container: its executor. What is not given is the container's id, and nothing for the framework's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// `executor_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executor_id: Option<String>,
    /// `executor_name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executor_name: Option<String>,
    /// `framework_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub framework_id: Option<String>,
    /// `source`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl Identity {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Snapshot {
    /// The lanes of one direction: every container's, then the unmatched one, with the names they go by. Those of
    /// containers that are leaving come after the others'.
    pub fn ingress(&self) -> impl Iterator<Item = (&str, &LaneReport)> {
        let containers = self.with_leaving().map(|c| (c.id.as_str(), &c.ingress));
        containers.chain([("unmatched", &self.unmatched.ingress)])
    }

    /// The same for the other direction.
    pub fn egress(&self) -> impl Iterator<Item = (&str, &LaneReport)> {
        let containers = self.with_leaving().map(|c| (c.id.as_str(), &c.egress));
        containers.chain([("unmatched", &self.unmatched.egress)])
    }

    /// The containers, then those that are leaving.
    pub fn with_leaving(&self) -> impl Iterator<Item = &ContainerReport> {
        self.containers.iter().chain(&self.leaving)
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}
