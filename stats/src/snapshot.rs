//! A whole report as plain data: what `--format json` prints, what the control socket carries, what every renderer reads.
//!
//! Knows nothing of shaping: whoever reads the lanes fills it in. Everything survives a trip through JSON, so that a report
//! can be fetched from a running instance and rendered elsewhere.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::counters::Volume;
use crate::lane::{ClassReport, HtbReport, LaneReport};
use crate::live::{MemoryReport, SocketReport, WorkerReport};

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
    /// Traffic to it.
    pub ingress: LaneReport,
    /// Traffic from it.
    pub egress: LaneReport,
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

/// A count that does not add up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unbalanced {
    /// A packet has no fate, or two.
    #[error("{who}: {taken} {unit} taken are not {sent} sent + {dropped} dropped + {queued} queued")]
    Fates {
        /// Whose count: `all lanes`, or a container's id and a direction.
        who: String,
        /// `packets` or `bytes`.
        unit: &'static str,
        /// Received or offered.
        taken: u64,
        /// Sent.
        sent: u64,
        /// Dropped.
        dropped: u64,
        /// Queued.
        queued: u64,
    },
    /// A packet was sent on nobody's credit, or on that of two.
    #[error("{who}: {charged} packets charged are not {lended} lended + {borrowed} borrowed")]
    Credit {
        /// A container's or a group's id, or `link`, and a direction.
        who: String,
        /// Sent by the lane; of a group or the link, borrowed by its members.
        charged: u64,
        /// Sent on its own credit.
        lended: u64,
        /// Sent on the credit of a node above.
        borrowed: u64,
    },
    /// A group or the link has not sent what its members have.
    #[error("{who}: {sent} {unit} sent are not the {members} that its members sent")]
    Members {
        /// A group's id, or `link`, and a direction.
        who: String,
        /// `packets` or `bytes`.
        unit: &'static str,
        /// Sent by the node.
        sent: u64,
        /// Sent by those directly below it.
        members: u64,
    },
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

    /// Checks the laws:
    ///
    /// - all packets, and every lane: received or offered = sent + dropped + queued (of lanes, in bytes too)
    /// - every lane: sent = lended + borrowed
    /// - every group and the link: sent is what its members sent, former ones included, and what they borrowed it lended or
    ///   borrowed; this one if all is of one instant
    /// - every observed lane: the same of what it would have sent, dropped and queued
    ///
    /// # Errors
    ///
    /// The first count that does not add up.
    pub fn check(&self) -> Result<(), Unbalanced> {
        let totals = &self.totals;
        balance("all lanes", "packets", totals.received, [totals.sent, totals.dropped, totals.queued])?;
        self.check_direction("ingress", &self.link.ingress, self.ingress(), |group| &group.ingress)?;
        self.check_direction("egress", &self.link.egress, self.egress(), |group| &group.egress)
    }

    fn check_direction<'a>(
        &'a self,
        direction: &str,
        link: &'a NodeReport,
        lanes: impl Iterator<Item = (&'a str, &'a LaneReport)>,
        of: impl Fn(&'a GroupReport) -> &'a NodeReport,
    ) -> Result<(), Unbalanced> {
        let mut members: HashMap<Option<&str>, Members> = HashMap::new();
        let parents = self.with_leaving().map(|container| container.group.as_deref()).chain([None]);
        for ((id, lane), parent) in lanes.zip(parents) {
            check_lane(&format!("{id} {direction}"), lane)?;
            members.entry(parent).or_default().add(lane.shaped(), lane.class.borrowed);
        }
        for group in &self.groups {
            let node = of(group);
            members.entry(group.group.as_deref()).or_default().add(node.sent(), node.class.borrowed);
        }
        if self.slices > 1 {
            return Ok(());
        }
        let groups = self.groups.iter().map(|group| (Some(group.id.as_str()), of(group)));
        for (id, node) in groups.chain([(None, link)]) {
            let mut members = members.remove(&id).unwrap_or_default();
            members.add_former(node.former);
            members.check(&format!("{} {direction}", id.unwrap_or("link")), node)?;
        }
        Ok(())
    }
}

/// Sums over what is directly below a node.
#[derive(Default)]
struct Members {
    sent: Volume,
    borrowed: u64,
}

impl Members {
    fn add(&mut self, sent: Volume, borrowed: u64) {
        self.sent = self.sent.plus(sent);
        self.borrowed = self.borrowed.saturating_add(borrowed);
    }

    /// Wraps where the sum of all members, former ones included, does not.
    fn add_former(&mut self, former: Former) {
        self.sent.packets = self.sent.packets.wrapping_add_signed(former.packets);
        self.sent.bytes = self.sent.bytes.wrapping_add_signed(former.bytes);
        self.borrowed = self.borrowed.wrapping_add_signed(former.borrowed);
    }

    fn check(&self, who: &str, node: &NodeReport) -> Result<(), Unbalanced> {
        let (sent, members) = (node.sent(), self.sent);
        for (unit, sent, members) in [("packets", sent.packets, members.packets), ("bytes", sent.bytes, members.bytes)]
        {
            if sent != members {
                return Err(Unbalanced::Members { who: who.to_owned(), unit, sent, members });
            }
        }
        check_credit(who, self.borrowed, &node.class)
    }
}

fn check_lane(who: &str, lane: &LaneReport) -> Result<(), Unbalanced> {
    check_fates(who, lane.offered(), [lane.sent(), lane.dropped(), lane.held()])?;
    if let Some(would) = &lane.would {
        let dropped = Volume { packets: would.drops.values().sum(), bytes: would.dropped_bytes };
        check_fates(&format!("{who}, observed"), lane.offered(), [lane.shaped(), dropped, lane.queued()])?;
    }
    check_credit(who, lane.shaped().packets, &lane.class)
}

fn check_fates(who: &str, offered: Volume, fates: [Volume; 3]) -> Result<(), Unbalanced> {
    balance(who, "packets", offered.packets, fates.map(|fate| fate.packets))?;
    balance(who, "bytes", offered.bytes, fates.map(|fate| fate.bytes))
}

fn check_credit(who: &str, charged: u64, class: &ClassReport) -> Result<(), Unbalanced> {
    let &ClassReport { lended, borrowed, .. } = class;
    if u128::from(lended) + u128::from(borrowed) == u128::from(charged) {
        return Ok(());
    }
    Err(Unbalanced::Credit { who: who.to_owned(), charged, lended, borrowed })
}

fn balance(who: &str, unit: &'static str, taken: u64, fates: [u64; 3]) -> Result<(), Unbalanced> {
    let sum: u128 = fates.into_iter().map(u128::from).sum();
    if sum == u128::from(taken) {
        return Ok(());
    }
    let [sent, dropped, queued] = fates;
    Err(Unbalanced::Fates { who: who.to_owned(), unit, taken, sent, dropped, queued })
}

#[cfg(test)]
mod tests {
    use super::{Snapshot, Volume};
    use crate::counters::DropReason;
    use crate::histogram::LaneHistogram;
    use crate::samples;

    /// What `check` says of the sample after `slip`.
    fn slip(slip: impl FnOnce(&mut Snapshot)) -> String {
        let mut snapshot = samples::grouped();
        assert_eq!(snapshot.check(), Ok(()));
        slip(&mut snapshot);
        snapshot.check().unwrap_err().to_string()
    }

    #[test]
    fn a_packet_without_a_fate_is_noticed() {
        let error = slip(|lost| lost.totals.received += 1);
        assert_eq!(error, "all lanes: 1684 packets taken are not 1339 sent + 344 dropped + 0 queued");
        let error = slip(|lost| lost.containers[0].egress.sent_packets -= 1);
        assert_eq!(error, "web egress: 1500 packets taken are not 1155 sent + 344 dropped + 0 queued");
        let error = slip(|lost| lost.unmatched.ingress.offered_bytes += 1);
        assert_eq!(error, "unmatched ingress: 1 bytes taken are not 0 sent + 0 dropped + 0 queued");
        assert_eq!(samples::snapshot().check(), Ok(()));
    }

    #[test]
    fn an_observed_lane_has_two_books() {
        let observe = |snapshot: &mut Snapshot| {
            let lane = snapshot.containers[0].egress.clone();
            snapshot.containers[0].egress = lane.observed(&LaneHistogram::default(), Volume::default());
        };
        let mut snapshot = samples::grouped();
        observe(&mut snapshot);
        let (lane, queued) = (&snapshot.containers[0].egress, samples::grouped().containers[0].egress.queued());
        assert_eq!((lane.sent(), lane.held(), lane.queued()), (lane.offered(), Volume::default(), queued));
        assert_eq!(snapshot.check(), Ok(()));
        let error = slip(|lost| {
            observe(lost);
            lost.containers[0].egress.would.iter_mut().for_each(|would| would.sent_packets -= 1);
        });
        assert!(error.starts_with("web egress, observed: 1500 packets taken are not 1155 sent + "), "{error}");
        let error = slip(|lost| {
            observe(lost);
            lost.containers[0].egress.drops.insert(DropReason::Codel, 1);
        });
        assert_eq!(error, "web egress: 1500 packets taken are not 1500 sent + 1 dropped + 0 queued");
        let json = serde_json::to_string(&snapshot).unwrap();
        assert!(json.contains("\"mode\":\"observe\"") && serde_json::from_str::<Snapshot>(&json).unwrap() == snapshot);
    }

    #[test]
    fn a_packet_without_credit_is_noticed() {
        let error = slip(|free| free.containers[1].egress.class.borrowed -= 1);
        assert_eq!(error, "db egress: 150 packets charged are not 113 lended + 36 borrowed");
        let error = slip(|free| free.groups[0].egress.class.lended += 1);
        assert_eq!(error, "tenant-a egress: 601 packets charged are not 234 lended + 368 borrowed");
        let error = slip(|free| free.link.egress.class.lended = 0);
        assert_eq!(error, "link egress: 368 packets charged are not 0 lended + 0 borrowed");
    }

    #[test]
    fn a_group_must_have_sent_what_its_members_sent() {
        let error = slip(|odd| odd.groups[0].egress.sent_bytes -= 1);
        assert_eq!(error, "tenant-a egress: 1360851 bytes sent are not the 1360852 that its members sent");
        let error = slip(|odd| odd.link.ingress.sent_packets += 1);
        assert_eq!(error, "link ingress: 1 packets sent are not the 0 that its members sent");
        let error = slip(|odd| odd.containers[1].group = None);
        assert_eq!(error, "tenant-a egress: 1306 packets sent are not the 1156 that its members sent");
    }

    #[test]
    fn modes_are_named_as_serialized() {
        use super::Mode;
        for mode in [Mode::ZeroCopy, Mode::Copy, Mode::Generic, Mode::Packet] {
            assert_eq!(serde_json::to_string(&mode).unwrap(), format!("{:?}", mode.as_str()));
        }
    }
}
