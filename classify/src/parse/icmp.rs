//! ICMP (RFC 792, RFC 4443). Errors belong to whom the quoted packet belongs to; echoes have an identifier.

use super::{ipv4, ipv6, protocol};
use crate::layer::{Layer, be16};
use crate::{Headers, Malformed, Ports};

const ECHO_REQUEST: u8 = 8;
const ECHO_REQUEST_V6: u8 = 128;

/// An ICMP message in an IPv4 packet whose own headers are `outer`.
#[cold]
pub(super) fn v4(outer: Headers, message: Layer<'_>) -> Result<Headers, Malformed> {
    const ECHO_REPLY: u8 = 0;
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
        ECHO_REPLY | ECHO_REQUEST => return Ok(with_echo(outer, header)),
        _ => None,
    };
    Ok(quoted.map_or(outer, |quoted| answer_to(quoted, outer)))
}

/// An ICMPv6 message in an IPv6 packet whose own headers are `outer`.
#[cold]
pub(super) fn v6(outer: Headers, message: Layer<'_>) -> Result<Headers, Malformed> {
    const DESTINATION_UNREACHABLE: u8 = 1;
    const PARAMETER_PROBLEM: u8 = 4;
    const ECHO_REPLY: u8 = 129;
    let Some(header) = message.head::<4>(Malformed::Icmpv6Truncated)? else {
        return Ok(outer);
    };
    if matches!(header[0], ECHO_REQUEST_V6 | ECHO_REPLY) {
        return Ok(message.captured_head::<8>().map_or(outer, |header| with_echo(outer, header)));
    }
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

fn with_echo(outer: Headers, message: &[u8; 8]) -> Headers {
    Headers { echo: Some(be16(message[4], message[5])), ..outer }
}

/// The identifier of an echo request that an error quotes.
pub(super) fn quoted_echo(protocol: u8, message: Layer<'_>) -> Option<u16> {
    let header = message.captured_head::<8>()?;
    let is_request =
        matches!((protocol, header[0]), (protocol::ICMP, ECHO_REQUEST) | (protocol::ICMPV6, ECHO_REQUEST_V6));
    is_request.then(|| be16(header[4], header[5]))
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
