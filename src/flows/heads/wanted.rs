//! How much of a frame is copied: all that a digest is made of, and little else.
//!
//! Nothing is decided here: what is copied is read by others, who take a frame that was cut for one that was captured so.

use super::{BYTES, MOST_BYTES};

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// Ports of DNS, whose messages over TCP are read, too.
const DNS_PORTS: [u16; 2] = [53, 5_353];

/// Of a frame with headers that are not looked at here, and of ICMP, whose errors quote others': with two tags, 28 bytes of
/// extension headers, and what is quoted of IPv6.
const HEADERS: usize = 3 * BYTES;

/// Headers of TCP over IPv6, of DNS over UDP and IPv6 with two tags, and the beginning of a message of DNS.
const LONG: usize = 2 * BYTES;

/// Ethertype, version and header length of IPv4 without options.
const PLAIN_IPV4: [u8; 3] = [8, 0, 0x45];

/// Whether the first bytes of a frame are enough: those of most.
#[inline]
pub(super) fn is_enough(first: &[u8; BYTES], all: &[u8]) -> bool {
    if first[12..15] != PLAIN_IPV4 {
        return false;
    }
    match first[23] {
        TCP => {
            let payload = 34 + usize::from(first[46] >> 4) * 4;
            let end = 14 + usize::from(be16(first, 16));
            payload >= end || !may_be_a_message(all, payload, [be16(first, 34), be16(first, 36)])
        }
        ICMP => false,
        _ => true,
    }
}

/// Bytes that are wanted of any other frame.
pub(super) fn bytes(frame: &[u8]) -> usize {
    let Some((protocol, transport)) = transport(frame) else { return HEADERS };
    match (protocol, frame.get(transport..transport + 13)) {
        (TCP, Some(header)) => {
            let payload = transport + usize::from(header[12] >> 4) * 4;
            if may_be_a_message(frame, payload, [be16(header, 0), be16(header, 2)]) { MOST_BYTES } else { LONG }
        }
        (UDP, _) => LONG,
        (ICMP | ICMPV6, _) => HEADERS,
        _ => LONG,
    }
}

/// Whether a segment may begin a question or an answer: methods of HTTP begin with two capital letters, as "HTTP" does.
#[inline]
fn may_be_a_message(frame: &[u8], payload: usize, ports: [u16; 2]) -> bool {
    match frame.get(payload..payload + 2) {
        Some(begin) => begin.iter().all(u8::is_ascii_uppercase) || ports.iter().any(|port| DNS_PORTS.contains(port)),
        None => false,
    }
}

/// The protocol in an Ethernet frame's IP packet, and where its header begins; `None`: extension headers are before it, or it is
/// something else.
fn transport(frame: &[u8]) -> Option<(u8, usize)> {
    let mut at = 12;
    while matches!(frame.get(at..at + 2)?, [0x81 | 0x91, 0] | [0x88, 0xa8]) {
        at += 4;
        if at > 20 {
            return None;
        }
    }
    let ip = frame.get(at + 2..)?;
    match (frame.get(at..at + 2)?, ip) {
        ([8, 0], [first, ..]) => Some((*ip.get(9)?, at + 2 + usize::from(first & 0x0f) * 4)),
        ([0x86, 0xdd], [..]) => {
            Some((*ip.get(6)?, at + 2 + 40)).filter(|(protocol, _)| matches!(*protocol, TCP | UDP | ICMPV6))
        }
        _ => None,
    }
}

#[inline]
fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}
