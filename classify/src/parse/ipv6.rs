//! IPv6 and its extension headers (RFC 8200).

use super::transport::{self, Length};
use super::{icmp, protocol};
use crate::layer::{Layer, be16};
use crate::{Addresses, Fragment, Headers, Malformed, Ports};

const MAX_EXTENSIONS: usize = 8;

#[inline]
pub(super) fn parse(packet: Layer<'_>, network_offset: usize) -> Result<Headers, Malformed> {
    let Some(header) = packet.head::<40>(Malformed::Ipv6Truncated)? else {
        return Ok(Headers::not_ip(network_offset));
    };
    if header[0] >> 4 != 6 {
        return Err(Malformed::Ipv6Version);
    }
    let payload = packet.after(header.len());
    let (payload, length) = match be16(header[4], header[5]) {
        0 => (payload, Length::Unstated),
        stated if usize::from(stated) > payload.wire_len() => {
            return Err(Malformed::Ipv6PayloadLength);
        }
        stated => (payload.limit(usize::from(stated)), Length::Stated),
    };
    if is_extension(header[6]) || header[6] == protocol::ICMPV6 {
        return seldom(header, payload, length, network_offset);
    }
    let ports =
        if transport::has_ports(header[6], payload, length)? { transport::leading_ports(payload) } else { None };
    Ok(headers(header, &Upper { protocol: header[6], fragment: None, payload }, ports, network_offset))
}

/// A packet with extension headers or an ICMPv6 message.
#[cold]
fn seldom(header: &[u8; 40], payload: Layer<'_>, length: Length, network_offset: usize) -> Result<Headers, Malformed> {
    let upper = Upper::find(header[6], payload)?;
    let ports = match upper.fragment {
        Some(Fragment { later: true, .. }) => None,
        _ if upper.protocol == protocol::ICMPV6 => {
            return icmp::v6(headers(header, &upper, None, network_offset), upper.payload);
        }
        Some(_) => transport::ports_of_first_fragment(upper.protocol, upper.payload)?,
        None if transport::has_ports(upper.protocol, upper.payload, length)? => transport::leading_ports(upper.payload),
        None => None,
    };
    Ok(headers(header, &upper, ports, network_offset))
}

/// The packet that an ICMPv6 error quotes; `None` if it is cut before the end of its fixed header,
/// or is none of IPv6. Its lengths are not held against it.
pub(super) fn quoted(packet: Layer<'_>) -> Option<Headers> {
    let header = packet.captured_head::<40>()?;
    if header[0] >> 4 != 6 {
        return None;
    }
    let payload = packet.after(header.len());
    // If its extension headers are cut or wrong, it is a packet without ports.
    let upper = Upper::find(header[6], payload).unwrap_or(Upper {
        protocol: protocol::NO_NEXT_HEADER,
        fragment: None,
        payload,
    });
    let (ports, echo) = if upper.fragment.is_some_and(|fragment| fragment.later) {
        (None, None)
    } else {
        let Upper { protocol, payload, .. } = upper;
        (transport::ports_of_quote(protocol, payload), icmp::quoted_echo(protocol, payload))
    };
    Some(Headers { echo, fragment: None, ..headers(header, &upper, ports, 0) })
}

/// Puts the answer together, once everything is known: what is built early has to be moved.
#[inline]
fn headers(header: &[u8; 40], upper: &Upper<'_>, ports: Option<Ports>, network_offset: usize) -> Headers {
    let mut source = [0; 16];
    let mut destination = [0; 16];
    source.copy_from_slice(&header[8..24]);
    destination.copy_from_slice(&header[24..40]);
    Headers {
        addresses: Some(Addresses::V6 { source: source.into(), destination: destination.into() }),
        protocol: upper.protocol,
        ports,
        echo: None,
        fragment: upper.fragment,
        quoted: false,
        network_offset,
    }
}

/// What comes after the extension headers.
#[derive(Clone, Copy)]
pub(crate) struct Upper<'a> {
    /// The first protocol that is no extension header, or the extension header at which the
    /// capture or a later fragment ends.
    pub(crate) protocol: u8,
    fragment: Option<Fragment>,
    pub(crate) payload: Layer<'a>,
}

impl<'a> Upper<'a> {
    /// Passes extension headers in whatever order they come (RFC 8200, section 4.1), up to a bound.
    ///
    /// A fragment header within a fragment ends the walk: its ports belong to a datagram that only
    /// its receiver can put together.
    pub(crate) fn find(next: u8, payload: Layer<'a>) -> Result<Self, Malformed> {
        let mut upper = Self { protocol: next, fragment: None, payload };
        for _ in 0..MAX_EXTENSIONS {
            if !is_extension(upper.protocol) {
                return Ok(upper);
            }
            let Some(header) = upper.payload.head::<8>(Malformed::Ipv6ExtensionTruncated)? else {
                return Ok(upper);
            };
            let header_len = match upper.protocol {
                protocol::FRAGMENT if upper.fragment.is_some() => return Ok(upper),
                protocol::FRAGMENT => {
                    upper.fragment = fragment(header);
                    header.len()
                }
                protocol::AUTHENTICATION => (usize::from(header[1]) + 2) * 4,
                _ => (usize::from(header[1]) + 1) * 8,
            };
            if header_len > upper.payload.wire_len() {
                return Err(Malformed::Ipv6ExtensionTruncated);
            }
            upper.protocol = header[0];
            upper.payload = upper.payload.after(header_len);
            if upper.fragment.is_some_and(|fragment| fragment.later) {
                return Ok(upper);
            }
        }
        if is_extension(upper.protocol) { Err(Malformed::Ipv6ExtensionCount) } else { Ok(upper) }
    }
}

/// Headers with a next header and a length of their own. Behind an encapsulating security payload
/// (50) nothing can be read, behind "no next header" (59) there is nothing.
#[inline]
fn is_extension(next: u8) -> bool {
    matches!(
        next,
        protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::FRAGMENT
            | protocol::AUTHENTICATION
            | protocol::DESTINATION_OPTIONS
            | protocol::MOBILITY
            | protocol::HIP
            | protocol::SHIM6
    )
}

/// `None` for an "atomic fragment", which is the whole datagram (RFC 6946).
fn fragment(header: &[u8; 8]) -> Option<Fragment> {
    const OFFSET: u16 = 0xfff8;
    const MORE: u16 = 0x0001;
    let offset_and_flags = be16(header[2], header[3]);
    (offset_and_flags & (OFFSET | MORE) != 0).then(|| Fragment {
        id: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        later: offset_and_flags & OFFSET != 0,
    })
}
