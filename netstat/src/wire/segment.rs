//! What is looked at of a TCP segment.

use portlane_classify::{Addresses, Direction, Link, Packet, Ports};

const TCP: u8 = 6;

/// The shortest header, in bytes (RFC 9293, section 3.1).
const HEADER: usize = 20;

/// ACK, RST, SYN and FIN of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flags(u8);

impl Flags {
    /// The sender has no more to send.
    pub(super) const FIN: Self = Self(1);
    /// Sequence numbers begin.
    pub(super) const SYN: Self = Self(2);
    /// The connection is over.
    pub(super) const RST: Self = Self(4);
    /// The acknowledgment number is valid.
    pub(super) const ACK: Self = Self(16);

    /// Those of a header's byte of flags; others are left out.
    #[must_use]
    pub(super) const fn from_bits(bits: u8) -> Self {
        Self(bits & 0x17)
    }

    /// Whether all of `others` are among these.
    #[inline]
    #[must_use]
    pub(super) const fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

/// What is wrong with a segment, as the kernel that gets it finds (`tcp_v4_rcv`): it counts it, and looks at nothing else of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// The header says that it is shorter than a header is.
    Header,
    /// The checksum.
    Checksum,
}

/// A TCP segment, as its container sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The container's address as the source, and the other end's.
    pub(super) ends: Addresses,
    /// The container's port as the source, and the other end's.
    pub(super) ports: Ports,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: Flags,
    /// Sequence numbers that it takes, but for SYN and FIN: bytes of data.
    pub(super) data: u32,
    pub(super) flaw: Option<Flaw>,
}

impl Segment {
    /// Reads a frame on its way to a container, or from it. `None`: the container's TCP does not see it, or has seen it with the first
    /// fragment; or too little of it was captured.
    ///
    /// `frame` is what was captured of it and `wire_len` its length on the wire. Of a segment on its way to a container the checksum
    /// is looked at, if all of it is here.
    #[must_use]
    pub fn read(link: Link, frame: &[u8], wire_len: u32, direction: Direction) -> Option<Self> {
        let packet = Packet::read(link, frame, wire_len).ok()??;
        let payload = frame.get(packet.payload_offset..)?;
        let payload = payload.get(..usize::try_from(packet.payload_len).ok()?).unwrap_or(payload);
        let header = payload.first_chunk::<HEADER>()?;
        if packet.protocol != TCP || packet.fragment.is_some_and(|fragment| fragment.later) {
            return None;
        }
        let [p0, p1, p2, p3, s0, s1, s2, s3, a0, a1, a2, a3, offset, flags, ..] = *header;
        let header_len = usize::from(offset >> 4) * 4;
        let is_delivered = direction == Direction::Ingress;
        if is_delivered && !is_heard(link, frame, &packet) {
            return None;
        }
        let sums_up = || !is_whole(&packet, payload) || sum(&packet, payload) == u16::MAX;
        let flaw = match is_delivered {
            _ if header_len < HEADER => Some(Flaw::Header),
            true if !sums_up() => Some(Flaw::Checksum),
            _ => None,
        };
        let (one, other) = (u16::from_be_bytes([p0, p1]), u16::from_be_bytes([p2, p3]));
        let (ports, ends) = if is_delivered {
            (Ports::new(other, one), exchanged(packet.addresses))
        } else {
            (Ports::new(one, other), packet.addresses)
        };
        Some(Self {
            ends,
            ports,
            seq: u32::from_be_bytes([s0, s1, s2, s3]),
            ack: u32::from_be_bytes([a0, a1, a2, a3]),
            flags: Flags::from_bits(flags),
            data: packet.payload_len.saturating_sub(u32::try_from(header_len).ok()?),
            flaw,
        })
    }

    /// The first sequence number behind it.
    #[inline]
    pub(super) fn end(&self) -> u32 {
        let ends = [Flags::SYN, Flags::FIN].into_iter().filter(|&flag| self.flags.contains(flag)).count();
        self.seq.wrapping_add(self.data).wrapping_add(u32::try_from(ends).unwrap_or_default())
    }
}

fn exchanged(addresses: Addresses) -> Addresses {
    match addresses {
        Addresses::V4 { source, destination } => Addresses::V4 { source: destination, destination: source },
        Addresses::V6 { source, destination } => Addresses::V6 { source: destination, destination: source },
    }
}

/// Whether the kernel gives the packet to TCP: not if the frame is for everybody, or the IP header's checksum is wrong (`ip_rcv`).
fn is_heard(link: Link, frame: &[u8], packet: &Packet) -> bool {
    let is_for_many = link == Link::Ethernet && frame.first().is_some_and(|first| first & 1 == 1);
    let is_ipv4 = matches!(packet.addresses, Addresses::V4 { .. });
    let header = frame.get(packet.offset..).unwrap_or_default();
    let header_len = header.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
    let sums_up = !is_ipv4 || header.get(..header_len).is_some_and(|header| fold(add(0, header)) == u16::MAX);
    !is_for_many && sums_up
}

/// Whether all of a segment is here: it was not cut, nor is it one of several fragments.
fn is_whole(packet: &Packet, payload: &[u8]) -> bool {
    packet.fragment.is_none() && u32::try_from(payload.len()).is_ok_and(|len| len == packet.payload_len)
}

/// The sum of a segment and its pseudo-header: all ones where the checksum is right (RFC 9293, section 3.1; RFC 8200, section 8.1).
fn sum(packet: &Packet, payload: &[u8]) -> u16 {
    let pseudo = match packet.addresses {
        Addresses::V4 { source, destination } => add(add(0, &source.octets()), &destination.octets()),
        Addresses::V6 { source, destination } => add(add(0, &source.octets()), &destination.octets()),
    };
    fold(add(pseudo + u64::from(TCP) + u64::from(packet.payload_len), payload))
}

/// Adds the words of 16 bits; the last one may be half a word (RFC 1071). 32 bits at a time: sums of 64 have room for all carries.
fn add(sum: u64, bytes: &[u8]) -> u64 {
    let words = bytes.chunks_exact(4);
    let rest = words.remainder();
    let sum = sum + words.map(|word| u64::from(u32::from_be_bytes([word[0], word[1], word[2], word[3]]))).sum::<u64>();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    sum + u64::from(u32::from_be_bytes(last))
}

fn fold(mut sum: u64) -> u16 {
    loop {
        match u16::try_from(sum) {
            Ok(folded) => return folded,
            Err(_) => sum = (sum & 0xffff) + (sum >> 16),
        }
    }
}
