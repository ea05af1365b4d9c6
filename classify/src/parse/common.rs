//! The common case: an untagged Ethernet frame with TCP or UDP in an IP packet that is whole and has no options.
//!
//! What is here agrees with the way that every other frame takes, check by check, and only leaves out what cannot matter
//! to such a frame. All of its headers lie at fixed places, so that one comparison of lengths pays for all reads.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::protocol;
use crate::{Addresses, Headers, Ports, ecn};

const LINK_HEADER_LEN: u32 = 14;
const IPV4_HEADER_LEN: u32 = 20;
const IPV6_HEADER_LEN: u32 = 40;
const UDP_HEADER_LEN: u32 = 8;
const TCP_HEADER_LEN: u32 = 20;

/// Ethertype, version and header length; the byte after them, the type of service, may be anything.
const IPV4: u32 = u32::from_le_bytes([0, 0x08, 0x00, 0x45]);

/// Flag "more fragments" and the 13 bits of the fragment offset.
const FRAGMENTED: u16 = 0x3fff;

/// Ethertype and version. The traffic class and the flow label may be anything.
const IPV6: u32 = u32::from_le_bytes([0x86, 0xdd, 0x60, 0]);
const IPV6_MASK: u32 = u32::from_le_bytes([0xff, 0xff, 0xf0, 0]);

/// The headers of an Ethernet frame with IPv4, and whether it is ECN-capable; `None` if it is not of the common kind, or if
/// anything about it is wrong or was not captured.
#[inline(always)]
pub(crate) fn ipv4(frame: &[u8], wire_len: u32) -> Option<(Headers, bool)> {
    let start = frame.first_chunk::<42>()?;
    if u32::from_le_bytes(read(start, 12)) << 8 != IPV4 {
        return None;
    }
    if be16(start, 20) & FRAGMENTED != 0 {
        return None;
    }
    let protocol = start[23];
    let header_len = match protocol {
        protocol::UDP => udp_len(be16(start, 38))?,
        protocol::TCP => tcp_len(frame.first_chunk::<54>()?[46])?,
        _ => return None,
    };
    let total_len = u32::from(be16(start, 16));
    if IPV4_HEADER_LEN + header_len > total_len || LINK_HEADER_LEN + total_len > wire_len {
        return None;
    }
    let source = Ipv4Addr::from(read(start, 26));
    let destination = Ipv4Addr::from(read(start, 30));
    let ect = ecn::of_ipv4(read(start, 14)) != ecn::NOT_ECT;
    Some((headers(Addresses::V4 { source, destination }, protocol, read(start, 34)), ect))
}

/// The same with IPv6.
#[inline(always)]
pub(crate) fn ipv6(frame: &[u8], wire_len: u32) -> Option<(Headers, bool)> {
    let start = frame.first_chunk::<62>()?;
    if u32::from_le_bytes(read(start, 12)) & IPV6_MASK != IPV6 {
        return None;
    }
    let payload_len = u32::from(be16(start, 18));
    if LINK_HEADER_LEN + IPV6_HEADER_LEN + payload_len > wire_len {
        return None;
    }
    let protocol = start[20];
    let header_len = match protocol {
        protocol::UDP => udp_len(be16(start, 58))?,
        protocol::TCP => tcp_len(frame.first_chunk::<74>()?[66])?,
        _ => return None,
    };
    if header_len > payload_len {
        return None;
    }
    let source = Ipv6Addr::from(read(start, 22));
    let destination = Ipv6Addr::from(read(start, 38));
    let ect = ecn::of_ipv6(read(start, 14)) != ecn::NOT_ECT;
    Some((headers(Addresses::V6 { source, destination }, protocol, read(start, 54)), ect))
}

/// The length in a UDP header, if it can be right.
#[inline(always)]
fn udp_len(stated: u16) -> Option<u32> {
    let len = u32::from(stated);
    (len >= UDP_HEADER_LEN).then_some(len)
}

/// The length of a TCP header, if it can be right, from the byte that begins with its data offset.
#[inline(always)]
fn tcp_len(data_offset: u8) -> Option<u32> {
    let len = u32::from(data_offset >> 4) * 4;
    (len >= TCP_HEADER_LEN).then_some(len)
}

#[inline(always)]
fn headers(addresses: Addresses, protocol: u8, ports: [u8; 4]) -> Headers {
    Headers {
        addresses: Some(addresses),
        protocol,
        ports: Some(Ports::from_wire(ports)),
        echo: None,
        fragment: None,
        quoted: false,
        network_offset: LINK_HEADER_LEN as usize,
    }
}

#[inline(always)]
fn be16<const N: usize>(start: &[u8; N], at: usize) -> u16 {
    u16::from_be_bytes(read(start, at))
}

/// Some bytes of the start of a frame. With the places known where this is called, it is one load and no check.
#[inline(always)]
fn read<const N: usize, const LEN: usize>(start: &[u8; N], at: usize) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    bytes.copy_from_slice(&start[at..at + LEN]);
    bytes
}
