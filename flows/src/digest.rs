//! What is kept of a packet.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};

use portlane_classify::{Headers, Link, Malformed, Packet, Ports, parse};

use crate::application::Messages;
use crate::tags::Cast;

#[cfg(test)]
mod tests;

const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// What is not IP, in `FlowMetrics`.
const NOT_IP: u8 = 0;

/// The Ethertype of ARP.
const ARP: u16 = 0x0806;

/// One end of a packet or of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Its address.
    pub address: IpAddr,
    /// Its port; 0 where there is none: protocols other than TCP and UDP, and later fragments.
    pub port: u16,
    /// Whose it is, in numbers of the caller's; `None` for one that is not at home here.
    pub owner: Option<u32>,
}

impl Endpoint {
    /// Its address, and all else, of which the upper byte is 0.
    pub(crate) fn bits(&self) -> (u128, u64) {
        let (address, family) = match self.address {
            IpAddr::V4(address) => (u128::from(address.to_bits()), 0),
            IpAddr::V6(address) => (address.to_bits(), 1 << 49),
        };
        let owner = self.owner.map_or(0, |owner| 1 << 48 | u64::from(owner) << 16);
        (address, u64::from(self.port) | owner | family)
    }
}

impl Hash for Endpoint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (address, rest) = self.bits();
        state.write_u128(address);
        state.write_u64(rest);
    }
}

/// A packet, as far as flow metrics are concerned.
///
/// A plain value: it does not borrow the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// When it was seen, in nanoseconds since 1970.
    pub time_ns: u64,
    /// Who sent it.
    pub source: Endpoint,
    /// Who it is for.
    pub destination: Endpoint,
    /// The IP protocol number; 0 of what is not IP.
    pub protocol: u8,
    /// The length of the frame, from the link header to the end of the IP packet: without padding, unless the frame exceeds
    /// that by more than 16 bytes. Of what is not IP all of it.
    pub frame_bytes: u32,
    /// Bytes after the IP header and its options or extensions.
    pub l3_bytes: u32,
    /// Bytes after the header of TCP or UDP; none of ICMP; those of `l3_bytes` in any other protocol, and in later fragments.
    pub l4_bytes: u32,
    /// What else matters.
    pub kind: Kind,
    /// The questions and answers of an application that it begins.
    pub messages: Messages,
    /// Who its frame is for, if not for one interface alone.
    pub cast: Option<Cast>,
}

/// What matters of a packet besides endpoints and lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// TCP, and its header was captured.
    Tcp(Segment),
    /// UDP.
    Udp,
    /// ICMP of either version, and what it is of an echo.
    Icmp(Option<Echo>),
    /// Any other protocol, a later fragment, or TCP of which too little was captured.
    Other,
}

/// An echo request or reply (RFC 792, RFC 4443 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// Whether it is the reply.
    pub reply: bool,
    /// Identifier and sequence number, one behind the other: of a request and its reply the same.
    pub id: u32,
}

/// The fields of a TCP header that are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number, whether or not its flag is set.
    pub ack: u32,
    /// The window field as it is, not scaled.
    pub window: u16,
    /// The six flags of RFC 793.
    pub flags: Flags,
}

/// URG, ACK, PSH, RST, SYN and FIN; those of ECN are left out.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flags(u8);

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// The sender has no more to send.
    pub const FIN: Self = Self(1);
    /// Sequence numbers begin.
    pub const SYN: Self = Self(2);
    /// The connection is over.
    pub const RST: Self = Self(4);
    /// Data is to be handed to the application.
    pub const PSH: Self = Self(8);
    /// The acknowledgment number is valid.
    pub const ACK: Self = Self(16);
    /// The urgent pointer is valid.
    pub const URG: Self = Self(32);

    /// The flags of a header's byte of flags.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 0x3f)
    }

    /// These and others.
    #[must_use]
    pub const fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether all of `others` are among these.
    #[must_use]
    pub const fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG"];
        let set = names.iter().enumerate().filter(|(bit, _)| self.0 >> bit & 1 == 1);
        f.debug_list().entries(set.map(|(_, name)| name)).finish()
    }
}

impl Digest {
    /// Reads a frame that was seen at `time_ns`; `None` if too little of it was captured. Nobody owns its
    /// endpoints, see [`owned_by`](Self::owned_by).
    ///
    /// What is not IP has no ports. Addresses of ARP are those of sender and target; whatever else is between unspecified ones.
    ///
    /// `frame` is what was captured of it and `wire_len` its length on the wire. Where the IP header states more than the frame
    /// had, it is believed: some tools cut frames and do not say so.
    ///
    /// # Errors
    ///
    /// Headers that contradict themselves in another way.
    pub fn read(link: Link, frame: &[u8], wire_len: u32, time_ns: u64) -> Result<Option<Self>, Malformed> {
        Self::read_with_headers(link, frame, wire_len, time_ns).map(|read| read.map(|(digest, _)| digest))
    }

    /// The same, with all that its headers say: for who has to find the owners of its ends.
    ///
    /// # Errors
    ///
    /// As of [`read`](Self::read).
    pub fn read_with_headers(
        link: Link,
        frame: &[u8],
        wire_len: u32,
        time_ns: u64,
    ) -> Result<Option<(Self, Headers)>, Malformed> {
        let (headers, wire) = match parse(link, frame, wire_len) {
            Err(Malformed::Ipv4TotalLength | Malformed::Ipv6PayloadLength) => (parse(link, frame, u32::MAX)?, u32::MAX),
            other => (other?, wire_len),
        };
        let digest = match Packet::of(&headers, frame, wire) {
            Some(packet) => Some(Self::of(link, &packet, frame, wire_len, time_ns)),
            None => Self::beside_ip(link, &headers, frame, wire_len, time_ns),
        };
        Ok(digest.map(|digest| (digest, headers)))
    }

    /// Of a frame that is not IP; `None` if it is, and was cut too early.
    #[cold]
    fn beside_ip(link: Link, headers: &Headers, frame: &[u8], wire_len: u32, time_ns: u64) -> Option<Self> {
        const CUT: [u16; 5] = [0x0800, 0x86dd, 0x8100, 0x88a8, 0x9100];
        let ethertype = link.ethertype(frame, headers.network_offset).filter(|ethertype| !CUT.contains(ethertype))?;
        let packet = frame.get(headers.network_offset..).unwrap_or_default();
        let ends = if ethertype == ARP { arp(packet) } else { None };
        let [source, destination] = ends.unwrap_or([Ipv4Addr::UNSPECIFIED; 2]).map(|address| Endpoint {
            address: IpAddr::V4(address),
            port: 0,
            owner: None,
        });
        Some(Self {
            time_ns,
            source,
            destination,
            protocol: NOT_IP,
            frame_bytes: wire_len.max(u32::try_from(frame.len()).unwrap_or(u32::MAX)),
            l3_bytes: 0,
            l4_bytes: 0,
            kind: Kind::Other,
            messages: Messages::default(),
            cast: Cast::of(link, frame),
        })
    }

    /// The same packet, with the owners of its ends.
    #[must_use]
    pub fn owned_by(mut self, source: Option<u32>, destination: Option<u32>) -> Self {
        self.source.owner = source;
        self.destination.owner = destination;
        self
    }

    fn of(link: Link, packet: &Packet, frame: &[u8], wire_len: u32, time_ns: u64) -> Self {
        let payload = frame.get(packet.payload_offset..).unwrap_or_default();
        // Padding is none of it.
        let payload = payload.get(..usize::try_from(packet.payload_len).unwrap_or(usize::MAX)).unwrap_or(payload);
        let (kind, l4_header) = kind(packet, payload);
        let ports = packet.ports.filter(|_| matches!(packet.protocol, TCP | UDP)).unwrap_or(Ports::new(0, 0));
        let end = |address, port| Endpoint { address, port, owner: None };
        Self {
            time_ns,
            source: end(packet.addresses.source(), ports.source()),
            destination: end(packet.addresses.destination(), ports.destination()),
            protocol: packet.protocol,
            frame_bytes: frame_bytes(packet, wire_len),
            l3_bytes: packet.payload_len,
            l4_bytes: packet.payload_len.saturating_sub(l4_header),
            kind,
            cast: Cast::of(link, frame),
            messages: messages(&kind, payload.get(l4_header as usize..).unwrap_or_default(), ports),
        }
    }
}

/// Sender and target of ARP for IPv4 over Ethernet (RFC 826).
fn arp(packet: &[u8]) -> Option<[Ipv4Addr; 2]> {
    let [0, 1, 8, 0, 6, 4, rest @ ..] = packet.first_chunk::<28>()? else { return None };
    let address = |at: usize| rest.get(at..)?.first_chunk::<4>().copied().map(Ipv4Addr::from);
    // Behind the operation, and the sender's address at the link; then the target's.
    Some([address(2 + 6)?, address(2 + 6 + 4 + 6)?])
}

/// What a packet is, and the length of the header that its `l4_bytes` are behind.
fn kind(packet: &Packet, payload: &[u8]) -> (Kind, u32) {
    if packet.fragment.is_some_and(|fragment| fragment.later) {
        return (Kind::Other, 0);
    }
    match packet.protocol {
        TCP => match payload.first_chunk::<20>() {
            Some(header) => (Kind::Tcp(segment(header)), u32::from(header[12] >> 4) * 4),
            None => (Kind::Other, 20),
        },
        UDP => (Kind::Udp, 8),
        protocol @ (ICMP | ICMPV6) => (Kind::Icmp(echo(protocol, payload)), packet.payload_len),
        _ => (Kind::Other, 0),
    }
}

/// The echo that a message of ICMP is, if it is one.
fn echo(protocol: u8, payload: &[u8]) -> Option<Echo> {
    let [kind, _, _, _, id @ ..] = *payload.first_chunk::<8>()?;
    let reply = match (protocol, kind) {
        (ICMP, 8) | (ICMPV6, 128) => false,
        (ICMP, 0) | (ICMPV6, 129) => true,
        _ => return None,
    };
    Some(Echo { reply, id: u32::from_be_bytes(id) })
}

/// What a packet with ports begins, by what is behind the header of TCP or UDP.
fn messages(kind: &Kind, payload: &[u8], ports: Ports) -> Messages {
    let ports = [ports.source(), ports.destination()];
    match kind {
        Kind::Tcp(_) => Messages::of_segment(payload, ports),
        Kind::Udp => Messages::of_datagram(payload, ports),
        Kind::Icmp(_) | Kind::Other => Messages::default(),
    }
}

/// RFC 9293, section 3.1.
fn segment(header: &[u8; 20]) -> Segment {
    let [_, _, _, _, s0, s1, s2, s3, a0, a1, a2, a3, _, flags, w0, w1, ..] = *header;
    Segment {
        seq: u32::from_be_bytes([s0, s1, s2, s3]),
        ack: u32::from_be_bytes([a0, a1, a2, a3]),
        window: u16::from_be_bytes([w0, w1]),
        flags: Flags::from_bits(flags),
    }
}

/// Padding is left out; what a NIC has put together, or is to take apart, is counted as it is.
fn frame_bytes(packet: &Packet, wire_len: u32) -> u32 {
    const MOST_PADDING: u32 = 16;
    let stated = packet.len.saturating_add(u32::try_from(packet.offset).unwrap_or(u32::MAX));
    if wire_len > stated.saturating_add(MOST_PADDING) { wire_len } else { stated }
}
