//! What is known about a frame once its headers have been read.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What [`parse`](crate::parse()) found in a frame.
///
/// A plain value: it does not borrow the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Source and destination; `None` if the frame is not IP, or if too little of its IP header
    /// was captured.
    pub addresses: Option<Addresses>,
    /// The IP protocol number at which reading stopped, 0 if `addresses` is `None`. For IPv6 this
    /// is the header after the last extension header that could be passed.
    pub protocol: u8,
    /// `None` if the protocol has no ports, or if they are in another fragment, encrypted or not
    /// captured.
    pub ports: Option<Ports>,
    /// The identifier of an ICMP echo request or of a reply (RFC 792, RFC 4443), or of the request that an error quotes.
    pub echo: Option<u16>,
    /// `Some` if the packet is one of several fragments. Never of a quoted packet, see `quoted`.
    pub fragment: Option<Fragment>,
    /// Whether `addresses`, `protocol` and `ports` come from the packet that an ICMP error quotes.
    ///
    /// They are then **swapped**: `source` is the quoted destination. An error about a packet that
    /// a container sent is so addressed to that container and its port, like an answer would be.
    pub quoted: bool,
    /// Where the network layer's header starts, in bytes from the start of the frame; the outer
    /// one if `quoted`.
    pub network_offset: usize,
}

impl Headers {
    /// A frame that carries no IP packet.
    #[inline]
    pub(crate) fn not_ip(network_offset: usize) -> Self {
        Self { addresses: None, protocol: 0, ports: None, echo: None, fragment: None, quoted: false, network_offset }
    }
}

/// The two addresses of a packet, both of one IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Addresses {
    /// Of an IPv4 packet.
    V4 {
        /// Where it comes from.
        source: Ipv4Addr,
        /// Where it goes.
        destination: Ipv4Addr,
    },
    /// Of an IPv6 packet.
    V6 {
        /// Where it comes from.
        source: Ipv6Addr,
        /// Where it goes.
        destination: Ipv6Addr,
    },
}

impl Addresses {
    /// Where the packet comes from.
    #[inline]
    #[must_use]
    pub fn source(&self) -> IpAddr {
        match *self {
            Self::V4 { source, .. } => IpAddr::V4(source),
            Self::V6 { source, .. } => IpAddr::V6(source),
        }
    }

    /// Where the packet goes.
    #[inline]
    #[must_use]
    pub fn destination(&self) -> IpAddr {
        match *self {
            Self::V4 { destination, .. } => IpAddr::V4(destination),
            Self::V6 { destination, .. } => IpAddr::V6(destination),
        }
    }

    /// The addresses of a packet that goes the other way.
    #[must_use]
    pub(crate) fn swapped(self) -> Self {
        match self {
            Self::V4 { source, destination } => Self::V4 { source: destination, destination: source },
            Self::V6 { source, destination } => Self::V6 { source: destination, destination: source },
        }
    }
}

/// The two ports of a TCP, UDP, UDP-Lite, SCTP or DCCP packet.
///
/// Kept in one word, as on the wire, so that an `Option` of it is passed in registers: this is on
/// the path of every packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ports(u32);

impl Ports {
    /// The ports of a packet from port `source` to port `destination`.
    #[inline]
    #[must_use]
    pub const fn new(source: u16, destination: u16) -> Self {
        let ([s0, s1], [d0, d1]) = (source.to_be_bytes(), destination.to_be_bytes());
        Self::from_wire([s0, s1, d0, d1])
    }

    /// The first four bytes of the header, in every protocol that has ports.
    #[inline]
    pub(crate) const fn from_wire(header: [u8; 4]) -> Self {
        Self(u32::from_be_bytes(header))
    }

    /// The sender's port.
    #[inline]
    #[must_use]
    pub const fn source(self) -> u16 {
        let [s0, s1, _, _] = self.0.to_be_bytes();
        u16::from_be_bytes([s0, s1])
    }

    /// The receiver's port.
    #[inline]
    #[must_use]
    pub const fn destination(self) -> u16 {
        let [_, _, d0, d1] = self.0.to_be_bytes();
        u16::from_be_bytes([d0, d1])
    }

    /// Both in one number.
    #[inline]
    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    /// The ports of a packet that goes the other way.
    #[must_use]
    pub const fn swapped(self) -> Self {
        Self(self.0.rotate_left(16))
    }
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ports").field("source", &self.source()).field("destination", &self.destination()).finish()
    }
}

/// Which part of which datagram a packet is.
///
/// Fragments of one datagram share `id` and addresses, and with IPv4 the protocol (RFC 791,
/// section 3.2; RFC 8200, section 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fragment {
    /// The identification that all fragments of one datagram carry (16 bits of it with IPv4).
    pub id: u32,
    /// Whether this is not the first fragment: its ports are in the first one.
    pub later: bool,
}
