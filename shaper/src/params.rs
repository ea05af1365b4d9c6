//! What a shaper is asked to be: its link, its groups, and its lanes with their queues.

use crate::codel;
use crate::units::{Rate, Size};

/// A tree of one direction: link, optional groups, and lanes as leaves.
///
/// A group or a lane is known by its position in these lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TreeParams {
    /// What all share.
    pub link: LinkParams,
    /// Inner nodes, each under the link or under another group, in any order.
    pub groups: Vec<GroupParams>,
    /// Leaves.
    pub lanes: Vec<LaneParams>,
}

/// A lane of a shaper: its position in the list that the shaper was made from, or what it was given when it was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub u32);

impl LaneId {
    /// Its position among all.
    #[inline]
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A group of a shaper, likewise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

/// A node of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeId {
    /// The root.
    Link,
    /// An inner node.
    Group(GroupId),
    /// A leaf.
    Lane(LaneId),
}

/// The link that all lanes share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkParams {
    /// Its rates; `None`: as fast as the device takes packets.
    pub shape: Option<Shape>,
    /// What a packet takes on the link's wire.
    pub framing: Framing,
}

/// A group of lanes: tenants, services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupParams {
    /// The group that it is in; `None`: directly under the link.
    pub group: Option<GroupId>,
    /// Its rates; `None`: not limited by the group itself.
    pub shape: Option<Shape>,
    /// What a packet takes on the wire, for the group's rates.
    pub framing: OwnFraming,
    /// The priority of its members that have none of their own, 0 (first) to 7; `None`: that of the group above, or 0.
    pub priority: Option<u8>,
    /// Multiplies the quantum of each lane below.
    pub weight: u32,
}

impl Default for GroupParams {
    /// Under the link, not limited.
    fn default() -> Self {
        Self { group: None, shape: None, framing: OwnFraming::default(), priority: None, weight: 1 }
    }
}

/// What a lane is asked to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LaneParams {
    /// The group that it is in; `None`: directly under the link.
    pub group: Option<GroupId>,
    /// What the lane must pass to send.
    pub limiter: Limiter,
    /// What a packet takes on the wire, for the lane's rates.
    pub framing: OwnFraming,
    /// How it shares what others leave.
    pub share: Share,
    /// How long the lane's queue may become.
    pub queue: QueueParams,
}

/// Rates of a node, as those of a class of `sch_htb`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// What the node is guaranteed.
    pub rate: Rate,
    /// What it may reach by borrowing; at least the rate.
    pub ceil: Rate,
    /// Credit that an idle node gathers under its rate.
    pub burst: Size,
    /// Credit that an idle node gathers under its ceil.
    pub cburst: Size,
}

impl Shape {
    /// A rate that is its own ceil: nothing is borrowed.
    #[must_use]
    pub fn flat(rate: Rate, burst: Size) -> Self {
        Self { rate, ceil: rate, burst, cburst: burst }
    }
}

/// What a packet takes on the wire beyond its own length, so that shaped bytes can mean bytes on the wire (tc's `overhead`
/// and `mpu`, `psched_l2t_ns`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Framing {
    /// Bytes added to each packet.
    pub overhead: u16,
    /// A packet with its overhead counts at least this many bytes.
    pub mpu: u16,
}

impl Framing {
    /// Bytes that a packet of `len` bytes takes.
    #[inline]
    #[must_use]
    pub fn on_wire(self, len: u32) -> u32 {
        len.saturating_add(u32::from(self.overhead)).max(u32::from(self.mpu))
    }
}

/// The framing of a group or a lane. What is `None` is that of the node above: so a packet takes the same on the way up, and
/// what is guaranteed to the children of a node never adds up to more than the node itself may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OwnFraming {
    /// Bytes added to each packet.
    pub overhead: Option<u16>,
    /// A packet with its overhead counts at least this many bytes.
    pub mpu: Option<u16>,
}

impl OwnFraming {
    /// The framing under a node that has `above`.
    #[must_use]
    pub fn under(self, above: Framing) -> Framing {
        Framing { overhead: self.overhead.unwrap_or(above.overhead), mpu: self.mpu.unwrap_or(above.mpu) }
    }
}

impl From<Framing> for OwnFraming {
    fn from(Framing { overhead, mpu }: Framing) -> Self {
        Self { overhead: Some(overhead), mpu: Some(mpu) }
    }
}

/// How a lane shares what is lent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Lanes of a lower number are lent to first, 0 to 7; `None`: the group's.
    pub priority: Option<u8>,
    /// Multiplies the quantum.
    pub weight: u32,
    /// Bytes that the lane may send before it is the next one's turn; `None`: a tenth (tc's `r2q`) of what its rate sends in a
    /// second, within 1,000 to 200,000 bytes.
    pub quantum: Option<u32>,
}

impl Default for Share {
    /// The group's priority, a weight of 1, and tc's quantum.
    fn default() -> Self {
        Self { priority: None, weight: 1, quantum: None }
    }
}

/// The rate limiter of a lane (`bw_limit`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Limiter {
    /// Not limited by the lane itself.
    #[default]
    None,
    /// As a class of `sch_htb`: must be in credit, then sends, and may owe up to one packet.
    Htb(Shape),
    /// As `sch_tbf`: the packet at the head waits until it can be paid for at once.
    Tbf {
        /// Long-term rate.
        rate: Rate,
        /// Credit that an idle lane gathers; longer packets can never be sent and are refused.
        burst: Size,
        /// A second bucket in front, so that a burst leaves no faster than this.
        peak: Option<Peak>,
    },
}

/// The peak rate of a TBF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peak {
    /// The rate of the second bucket.
    pub rate: Rate,
    /// Its size, tc's `mtu`; longer packets are refused.
    pub mtu: Size,
}

/// The queue of a lane (`bloat_reduction`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueParams {
    /// Packets that the queue may hold.
    pub limit: u32,
    /// Bytes that the queue may hold, where that is bounded too (TBF's `limit`).
    pub limit_bytes: Option<Size>,
    /// What keeps it short.
    pub aqm: Aqm,
}

impl QueueParams {
    /// First in, first out: tc's `pfifo`.
    #[must_use]
    pub fn fifo(limit: u32) -> Self {
        Self { limit, limit_bytes: None, aqm: Aqm::Fifo }
    }

    /// One queue under CoDel, of tc's 1,000 packets.
    #[must_use]
    pub fn codel(params: codel::Params) -> Self {
        Self { limit: 1_000, limit_bytes: None, aqm: Aqm::Codel(params) }
    }
}

impl Default for QueueParams {
    /// FQ-CoDel with tc's defaults: 10,240 packets.
    fn default() -> Self {
        Self { limit: 10_240, limit_bytes: None, aqm: Aqm::FqCodel(FqParams::default()) }
    }
}

/// What keeps a queue short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aqm {
    /// Nothing but the limit.
    Fifo,
    /// CoDel over one queue (RFC 8289).
    Codel(codel::Params),
    /// A queue for each flow, served in turn, each under CoDel (RFC 8290).
    FqCodel(FqParams),
}

/// FQ-CoDel (RFC 8290 section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FqParams {
    /// CoDel, for each flow.
    pub codel: codel::Params,
    /// Queues that flows are hashed into, 1 to 65,536.
    pub flows: u32,
    /// Bytes that a flow may send before it is the next one's turn.
    pub quantum: u32,
    /// Memory that the packets in the queue may hold, in bytes of the buffers that they are in.
    pub memory_limit: Size,
    /// Packets dropped from the longest flow at a time, at most, when a limit is reached.
    pub drop_batch: u32,
}

impl Default for FqParams {
    /// tc's defaults: 1,024 flows, a quantum of an Ethernet frame, 32 MB, 64 packets, ECN.
    fn default() -> Self {
        Self {
            codel: codel::Params { ecn: true, ..codel::Params::default() },
            flows: 1_024,
            quantum: 1_514,
            memory_limit: Size(32 << 20),
            drop_batch: 64,
        }
    }
}
