//! IPv4 (RFC 791).

use std::net::Ipv4Addr;

use super::transport::{self, Length};
use super::{icmp, protocol};
use crate::layer::{Layer, be16};
use crate::{Addresses, Fragment, Headers, Malformed, Ports};

/// Flag "more fragments" and the 13 bits of the fragment offset.
const FRAGMENTED: u16 = 0x3fff;
const FRAGMENT_OFFSET: u16 = 0x1fff;

// Always: both callers know more than a copy for the two could use, and this is every packet's path.
#[inline(always)]
pub(super) fn parse(packet: Layer<'_>, network_offset: usize) -> Result<Headers, Malformed> {
    let Some(header) = packet.head::<20>(Malformed::Ipv4Truncated)? else {
        return Ok(Headers::not_ip(network_offset));
    };
    if header[0] >> 4 != 4 {
        return Err(Malformed::Ipv4Version);
    }
    let header_len = usize::from(header[0] & 0x0f) * 4;
    let total_len = match be16(header[2], header[3]) {
        0 => packet.wire_len(),
        stated => usize::from(stated),
    };
    if total_len > packet.wire_len() {
        return Err(Malformed::Ipv4TotalLength);
    }
    if header_len < header.len() || header_len > total_len {
        return Err(Malformed::Ipv4HeaderLength);
    }
    let payload = packet.limit(total_len).after(header_len);
    if be16(header[6], header[7]) & FRAGMENTED != 0 {
        return fragment(header, payload, network_offset);
    }
    if header[9] == protocol::ICMP {
        return icmp::v4(headers(header, None, None, network_offset), payload);
    }
    let ports = if transport::has_ports(header[9], payload, Length::Stated)? {
        transport::leading_ports(payload)
    } else {
        None
    };
    Ok(headers(header, ports, None, network_offset))
}

#[cold]
fn fragment(header: &[u8; 20], payload: Layer<'_>, network_offset: usize) -> Result<Headers, Malformed> {
    let later = be16(header[6], header[7]) & FRAGMENT_OFFSET != 0;
    let id = u32::from(be16(header[4], header[5]));
    let part = Some(Fragment { id, later });
    if later {
        Ok(headers(header, None, part, network_offset))
    } else if header[9] == protocol::ICMP {
        icmp::v4(headers(header, None, part, network_offset), payload)
    } else {
        let ports = transport::ports_of_first_fragment(header[9], payload)?;
        Ok(headers(header, ports, part, network_offset))
    }
}

/// The packet that an ICMP error quotes; `None` if it is cut before the end of its header, or is
/// none of IPv4.
///
/// Its lengths are not held against it: a quote ends where the sender of the error chose
/// (RFC 792; RFC 1812, section 4.3.2.3), and some senders alter the length.
pub(super) fn quoted(packet: Layer<'_>) -> Option<Headers> {
    let header = packet.captured_head::<20>()?;
    let header_len = usize::from(header[0] & 0x0f) * 4;
    if header[0] >> 4 != 4 || header_len < header.len() {
        return None;
    }
    let later = be16(header[6], header[7]) & FRAGMENT_OFFSET != 0;
    let payload = packet.after(header_len);
    let ports = if later { None } else { transport::ports_of_quote(header[9], payload) };
    let echo = if later { None } else { icmp::quoted_echo(header[9], payload) };
    Some(Headers { echo, ..headers(header, ports, None, 0) })
}

/// Puts the answer together, once everything is known: what is built early has to be moved.
#[inline]
fn headers(header: &[u8; 20], ports: Option<Ports>, fragment: Option<Fragment>, network_offset: usize) -> Headers {
    let [.., s0, s1, s2, s3, d0, d1, d2, d3] = *header;
    Headers {
        addresses: Some(Addresses::V4 {
            source: Ipv4Addr::new(s0, s1, s2, s3),
            destination: Ipv4Addr::new(d0, d1, d2, d3),
        }),
        protocol: header[9],
        ports,
        echo: None,
        fragment,
        quoted: false,
        network_offset,
    }
}
