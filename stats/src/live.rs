//! What live traffic alone counts: sockets on interfaces, and the workers that serve them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::snapshot::Mode;

/// Sizes of batches are counted by powers of two: 1, 2 to 3, and so on, to 64 and more.
pub const BATCH_SIZES: usize = 7;

/// One socket: the kernel's counters (`XDP_STATISTICS`), ours, and how full its rings are. Of a packet socket `rx_ring_full`
/// is what the kernel calls `tp_drops`, `rx_dropped` what was longer than a frame, and there is nothing to count for most others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketReport {
    /// How it is attached.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// Packets dropped by the kernel for other reasons than those below: longer than a frame, for one.
    pub rx_dropped: u64,
    /// Packets dropped because an entry of the fill ring was invalid.
    pub rx_invalid_descs: u64,
    /// Packets dropped because the receive ring was full: the worker was late.
    pub rx_ring_full: u64,
    /// Times that the kernel wanted a frame to fill and found none: the worker was late, or short of frames.
    pub rx_fill_ring_empty_descs: u64,
    /// Packets not sent because their entry of the transmit ring was invalid.
    pub tx_invalid_descs: u64,
    /// Times that the kernel looked for a packet to send and found none.
    pub tx_ring_empty_descs: u64,
    /// System calls made to have packets sent.
    pub kicks: u64,
    /// Of these, how many ended with `EAGAIN`: not all could be sent at once.
    pub stalls_again: u64,
    /// Of these, how many ended with `EBUSY`: the interface dropped a packet.
    pub stalls_busy: u64,
    /// Of these, how many ended with `ENOBUFS`: no memory, or a full interface.
    pub stalls_no_buffers: u64,
    /// Entries handed back by the kernel that lay outside the pool, or that it had never been given.
    pub strays: u64,
    /// Packets of TCP and UDP whose checksum was left to a network card that is not there.
    #[serde(default)]
    pub unfinished_checksums: u64,
    /// How full the rings are.
    pub rings: Rings,
    /// Receive calls that returned packets, by how many: 1, 2 to 3, 4 to 7, to 64 and more.
    pub batches: [u64; BATCH_SIZES],
}

/// The interface of an attached container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachedReport {
    /// Frames for the container that its interface had no room for, or that were too long for it, since the interface was made.
    pub undelivered: u64,
    /// The last packet that the container should not have sent; `None` if there was none.
    #[serde(default)]
    pub last_offender: Option<OffenderReport>,
}

/// A packet that was dropped, since its container should not have sent it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffenderReport {
    /// The verdict of the steering program.
    pub verdict: String,
    /// The number of its protocol (IANA, "Assigned Internet Protocol Numbers").
    pub protocol: u8,
    /// The source address.
    pub address: IpAddr,
    /// The source port; of a ping the one that it would have left as.
    pub port: u16,
}

/// Entries in the rings of a socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rings {
    /// Entries that each has room for.
    pub size: u32,
    /// Packets that have arrived.
    pub rx: u32,
    /// Frames for packets to come.
    pub fill: u32,
    /// Packets to be sent.
    pub tx: u32,
    /// Frames whose packets have been sent.
    pub completion: u32,
}

/// The memory that packets are received into, queued in and sent from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryReport {
    /// Frames, of all workers together.
    pub frames: u32,
    /// Bytes of a frame.
    pub frame_bytes: u32,
    /// Whether it is in huge pages that the system had set aside (`vm.nr_hugepages`).
    pub huge_pages: bool,
}

/// One worker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerReport {
    /// The core that it is pinned to.
    pub core: Option<usize>,
    /// The queues that it serves, as `sockets` are named: `eth0:0`.
    #[serde(default)]
    pub queues: Vec<String>,
    /// Containers whose lanes it owns.
    #[serde(default)]
    pub containers: u64,
    /// What it does while nothing happens: `adaptive`, `busy` or `busy-poll`.
    pub idle: String,
    /// Turns taken.
    pub turns: u64,
    /// Turns in which something was received or sent.
    pub busy_turns: u64,
    /// Times that it slept.
    pub sleeps: u64,
    /// Of these, how many a packet ended; those that nobody ended by themselves, or by a signal.
    pub woken_by_packet: u64,
    /// Of these, how many another worker ended: with packets that it handed over, or for a report or a reload.
    #[serde(default)]
    pub woken_by_worker: u64,
    /// How long it slept, all in all, nanoseconds.
    pub slept_ns: u64,
    /// Packets received whose lanes are other workers', and that it has handed over to them.
    #[serde(default)]
    pub handed_over: u64,
    /// Packets taken over from other workers.
    #[serde(default)]
    pub taken_over: u64,
    /// Packets dropped because their worker had no room for more: that one was late.
    #[serde(default)]
    pub handoff: u64,
    /// Where its frames are.
    #[serde(default)]
    pub frames: FrameReport,
}

/// Frames that a worker has: total = free + filling + sending + queued.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameReport {
    /// All of them.
    pub total: u32,
    /// In nobody's use.
    pub free: u32,
    /// With the kernel, for packets to come; those received and not yet asked for included.
    pub filling: u32,
    /// With the kernel, to be sent, or sent and not yet taken back.
    pub sending: u32,
    /// In lanes.
    pub queued: u32,
}

/// What the kernel counts at the interface of an attached container, as seen from the container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceReport {
    /// What it received.
    pub rx: Passed,
    /// What it sent, before its lane took it; of this dropped is also what was not from its own ports.
    pub tx: Passed,
}

/// Frames in one direction; bytes are those of Ethernet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    /// Frames.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames with errors.
    pub errors: u64,
    /// Frames dropped at the interface.
    pub dropped: u64,
}
