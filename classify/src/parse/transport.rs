//! The ports of TCP, UDP, UDP-Lite, SCTP and DCCP.

use super::protocol;
use crate::layer::{Layer, be16};
use crate::{Malformed, Ports};

/// Whether the IP header says how long the payload is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    Stated,
    /// An IPv6 payload length of 0: then UDP may leave its length at 0 too (RFC 2675, section 4).
    Unstated,
}

/// Holds the header of a packet that is not fragmented against its length. `true` if it begins with
/// [`leading_ports`], be they captured or not; `false` if the protocol has none. A header that the capture
/// cut short is not held against anything.
///
/// Checking and reading are apart because a `Result<Option<Ports>, _>` goes through memory in
/// pieces, which costs more than all that is done here.
#[inline]
pub(super) fn has_ports(protocol: u8, segment: Layer<'_>, length: Length) -> Result<bool, Malformed> {
    match protocol {
        protocol::TCP => tcp(segment),
        protocol::UDP => udp(segment, length),
        _ => seldom(protocol, segment),
    }
}

#[inline]
fn tcp(segment: Layer<'_>) -> Result<bool, Malformed> {
    let Some(header) = segment.head::<20>(Malformed::TcpTruncated)? else {
        return Ok(true);
    };
    let data_offset = usize::from(header[12] >> 4) * 4;
    if data_offset < header.len() || data_offset > segment.wire_len() {
        return Err(Malformed::TcpDataOffset);
    }
    Ok(true)
}

#[inline]
fn udp(segment: Layer<'_>, length: Length) -> Result<bool, Malformed> {
    let Some(header) = segment.head::<8>(Malformed::UdpTruncated)? else {
        return Ok(true);
    };
    let udp_len = usize::from(be16(header[4], header[5]));
    let jumbo = udp_len == 0 && length == Length::Unstated;
    if (udp_len < header.len() && !jumbo) || udp_len > segment.wire_len() {
        return Err(Malformed::UdpLength);
    }
    Ok(true)
}

#[cold]
fn seldom(protocol: u8, segment: Layer<'_>) -> Result<bool, Malformed> {
    match protocol {
        protocol::SCTP => {
            segment.head::<12>(Malformed::SctpTruncated)?;
            Ok(true)
        }
        protocol::UDP_LITE => {
            let Some(header) = segment.head::<8>(Malformed::UdpLiteTruncated)? else {
                return Ok(true);
            };
            // RFC 3828, section 3.1: 0 covers everything, 1 to 7 and more than there is are wrong.
            let coverage = usize::from(be16(header[4], header[5]));
            if (1..header.len()).contains(&coverage) || coverage > segment.wire_len() {
                return Err(Malformed::UdpLiteCoverage);
            }
            Ok(true)
        }
        protocol::DCCP => {
            let Some(header) = segment.head::<12>(Malformed::DccpTruncated)? else {
                return Ok(true);
            };
            let data_offset = usize::from(header[4]) * 4;
            if data_offset < header.len() || data_offset > segment.wire_len() {
                return Err(Malformed::DccpDataOffset);
            }
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// The ports of the first of several fragments.
///
/// Its payload may end within the transport header, but not before 8 bytes, the unit of fragment
/// offsets (RFC 791, section 3.2). Lengths in the transport header are those of the datagram put
/// together, so they cannot be held against the fragment's.
#[cold]
pub(super) fn ports_of_first_fragment(protocol: u8, segment: Layer<'_>) -> Result<Option<Ports>, Malformed> {
    let truncated = match protocol {
        protocol::TCP => Malformed::TcpTruncated,
        protocol::UDP => Malformed::UdpTruncated,
        protocol::UDP_LITE => Malformed::UdpLiteTruncated,
        protocol::SCTP => Malformed::SctpTruncated,
        protocol::DCCP => Malformed::DccpTruncated,
        _ => return Ok(None),
    };
    if let Some(header) = segment.head::<8>(truncated)?
        && protocol == protocol::UDP
        && usize::from(be16(header[4], header[5])) < header.len()
    {
        return Err(Malformed::UdpLength);
    }
    Ok(leading_ports(segment))
}

/// The ports of a packet that an ICMP error quotes: they are all that is asked of it.
pub(super) fn ports_of_quote(protocol: u8, segment: Layer<'_>) -> Option<Ports> {
    match protocol {
        protocol::TCP | protocol::UDP | protocol::UDP_LITE | protocol::SCTP | protocol::DCCP => leading_ports(segment),
        _ => None,
    }
}

/// Source and destination port are the first four bytes in every protocol that has ports.
#[inline]
pub(super) fn leading_ports(segment: Layer<'_>) -> Option<Ports> {
    segment.captured_head::<4>().map(|header| Ports::from_wire(*header))
}
