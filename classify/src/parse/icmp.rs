//! ICMP errors (RFC 792, RFC 4443): they belong to whom the quoted packet belongs to.

use super::{ipv4, ipv6};
use crate::layer::Layer;
use crate::{Headers, Malformed, Ports};

/// An ICMP message in an IPv4 packet whose own headers are `outer`.
#[cold]
pub(super) fn v4(outer: Headers, message: Layer<'_>) -> Result<Headers, Malformed> {
    const DESTINATION_UNREACHABLE: u8 = 3;
    const SOURCE_QUENCH: u8 = 4;
    const REDIRECT: u8 = 5;
    const TIME_EXCEEDED: u8 = 11;
    const PARAMETER_PROBLEM: u8 = 12;
    let Some(header) = message.head::<8>(Malformed::IcmpTruncated)? else {
        return Ok(outer);
    };
    let quoted = match header[0] {
        DESTINATION_UNREACHABLE | SOURCE_QUENCH | REDIRECT | TIME_EXCEEDED | PARAMETER_PROBLEM => {
            ipv4::quoted(message.after(header.len()))
        }
        _ => None,
    };
    Ok(quoted.map_or(outer, |quoted| answer_to(quoted, outer)))
}

/// An ICMPv6 message in an IPv6 packet whose own headers are `outer`.
#[cold]
pub(super) fn v6(outer: Headers, message: Layer<'_>) -> Result<Headers, Malformed> {
    const DESTINATION_UNREACHABLE: u8 = 1;
    const PARAMETER_PROBLEM: u8 = 4;
    let Some(header) = message.head::<4>(Malformed::Icmpv6Truncated)? else {
        return Ok(outer);
    };
    // Between those two: packet too big (2) and time exceeded (3).
    if !(DESTINATION_UNREACHABLE..=PARAMETER_PROBLEM).contains(&header[0]) {
        return Ok(outer);
    }
    let Some(header) = message.head::<8>(Malformed::Icmpv6Truncated)? else {
        return Ok(outer);
    };
    let quoted = ipv6::quoted(message.after(header.len()));
    Ok(quoted.map_or(outer, |quoted| answer_to(quoted, outer)))
}

/// The headers of an error about `quoted`: the same conversation, the other way.
fn answer_to(quoted: Headers, outer: Headers) -> Headers {
    Headers {
        addresses: quoted.addresses.map(|addresses| addresses.swapped()),
        ports: quoted.ports.map(Ports::swapped),
        quoted: true,
        network_offset: outer.network_offset,
        ..quoted
    }
}
