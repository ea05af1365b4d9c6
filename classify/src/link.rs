//! From a link-layer header to the network layer behind it.

use crate::Malformed;
use crate::layer::{Layer, be16};

/// What a frame starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    /// Ethernet II or 802.3, with up to two VLAN tags (802.1Q, 802.1ad, or the older 0x9100).
    Ethernet,
    /// An IPv4 or IPv6 packet with nothing before it; its version says which.
    Ip,
    /// Linux cooked capture, version 1: 16 bytes (libpcap's `LINKTYPE_LINUX_SLL`).
    LinuxSll,
    /// Linux cooked capture, version 2: 20 bytes (libpcap's `LINKTYPE_LINUX_SLL2`).
    LinuxSll2,
}

impl Link {
    /// The link of a capture file's link type; `None` if it is not one of those read here.
    ///
    /// The numbers are the `LINKTYPE_` values of libpcap: 1, 101, 113, 228 (IPv4), 229 (IPv6), 276.
    #[inline(always)]
    #[must_use]
    pub const fn from_linktype(linktype: u16) -> Option<Self> {
        // First, and apart from the others: most frames are.
        if linktype == 1 {
            return Some(Self::Ethernet);
        }
        Self::seldom(linktype)
    }

    #[cold]
    const fn seldom(linktype: u16) -> Option<Self> {
        match linktype {
            101 | 228 | 229 => Some(Self::Ip),
            113 => Some(Self::LinuxSll),
            276 => Some(Self::LinuxSll2),
            _ => None,
        }
    }

    /// What announces a frame's network layer, which begins at [`network_offset`](crate::Headers::network_offset): an Ethertype, or the
    /// length of an 802.3 frame. `None` where nothing does, or it was not captured.
    #[must_use]
    pub fn ethertype(self, frame: &[u8], network_offset: usize) -> Option<u16> {
        let at = match (self, network_offset) {
            (Self::Ip, _) => return None,
            (Self::LinuxSll2, SLL2_HEADER) => 0,
            (_, offset) => offset.checked_sub(2)?,
        };
        let bytes = frame.get(at..)?.first_chunk::<2>()?;
        Some(u16::from_be_bytes(*bytes))
    }

    /// Which network layer the frame carries, and where it starts.
    #[inline]
    pub(crate) fn network(self, frame: Layer<'_>) -> Result<(Network, usize), Malformed> {
        match self {
            Self::Ethernet => ethernet(frame),
            Self::Ip => raw_ip(frame),
            Self::LinuxSll => linux_sll(frame),
            Self::LinuxSll2 => linux_sll2(frame),
        }
    }
}

/// The network layer that a link-layer header announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    Ipv4,
    Ipv6,
    Other,
}

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_SERVICE_VLAN: u16 = 0x88a8;
const ETHERTYPE_OLD_QINQ: u16 = 0x9100;
const MAX_VLAN_TAGS: usize = 2;

/// Bytes of a header of version 2 of Linux cooked captures.
const SLL2_HEADER: usize = 20;

/// Values up to 0x05ff are 802.3 lengths: such a frame carries LLC, which is not IP here.
#[inline]
fn ethernet(frame: Layer<'_>) -> Result<(Network, usize), Malformed> {
    match frame.head::<14>(Malformed::EthernetTruncated)? {
        Some(header) => behind_ethertype(frame, be16(header[12], header[13]), 14),
        None => Ok((Network::Other, 0)),
    }
}

#[inline]
fn behind_ethertype(frame: Layer<'_>, ethertype: u16, offset: usize) -> Result<(Network, usize), Malformed> {
    match ethertype {
        ETHERTYPE_IPV4 => Ok((Network::Ipv4, offset)),
        ETHERTYPE_IPV6 => Ok((Network::Ipv6, offset)),
        ETHERTYPE_VLAN | ETHERTYPE_SERVICE_VLAN | ETHERTYPE_OLD_QINQ => behind_tags(frame, offset),
        _ => Ok((Network::Other, offset)),
    }
}

/// Passes one or two VLAN tags. A third one makes the frame one that is not IP.
#[inline(never)]
fn behind_tags(frame: Layer<'_>, mut offset: usize) -> Result<(Network, usize), Malformed> {
    for _ in 0..MAX_VLAN_TAGS {
        // Behind the ethertype of a tag: two bytes of tag control, then the next ethertype.
        let Some(tag) = frame.after(offset).head::<4>(Malformed::VlanTruncated)? else {
            break;
        };
        offset += tag.len();
        match be16(tag[2], tag[3]) {
            ETHERTYPE_IPV4 => return Ok((Network::Ipv4, offset)),
            ETHERTYPE_IPV6 => return Ok((Network::Ipv6, offset)),
            ETHERTYPE_VLAN | ETHERTYPE_SERVICE_VLAN | ETHERTYPE_OLD_QINQ => {}
            _ => break,
        }
    }
    Ok((Network::Other, offset))
}

#[inline(never)]
fn raw_ip(frame: Layer<'_>) -> Result<(Network, usize), Malformed> {
    match frame.head::<1>(Malformed::IpTruncated)? {
        Some([first]) => match first >> 4 {
            4 => Ok((Network::Ipv4, 0)),
            6 => Ok((Network::Ipv6, 0)),
            _ => Err(Malformed::IpVersion),
        },
        None => Ok((Network::Other, 0)),
    }
}

/// Packet type, ARPHRD type, address length, 8 bytes of address, protocol.
#[inline(never)]
fn linux_sll(frame: Layer<'_>) -> Result<(Network, usize), Malformed> {
    match frame.head::<16>(Malformed::CookedTruncated)? {
        Some(header) => {
            let device = be16(header[2], header[3]);
            behind_cooked(frame, device, be16(header[14], header[15]), header.len())
        }
        None => Ok((Network::Other, 0)),
    }
}

/// Protocol, reserved, interface, ARPHRD type, packet type, address length, 8 bytes of address.
#[inline(never)]
fn linux_sll2(frame: Layer<'_>) -> Result<(Network, usize), Malformed> {
    match frame.head::<SLL2_HEADER>(Malformed::CookedTruncated)? {
        Some(header) => {
            let device = be16(header[8], header[9]);
            behind_cooked(frame, device, be16(header[0], header[1]), header.len())
        }
        None => Ok((Network::Other, 0)),
    }
}

/// The protocol is an ethertype unless the device is one of those libpcap's documentation of the
/// cooked headers excepts: Frame Relay, 802.11 radiotap and netlink.
fn behind_cooked(frame: Layer<'_>, device: u16, protocol: u16, offset: usize) -> Result<(Network, usize), Malformed> {
    const ARPHRD_FRAD: u16 = 770;
    const ARPHRD_IEEE80211_RADIOTAP: u16 = 803;
    const ARPHRD_NETLINK: u16 = 824;
    match device {
        ARPHRD_FRAD | ARPHRD_IEEE80211_RADIOTAP | ARPHRD_NETLINK => Ok((Network::Other, offset)),
        _ => behind_ethertype(frame, protocol, offset),
    }
}
