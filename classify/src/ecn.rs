//! Explicit congestion notification (RFC 3168): marking instead of dropping.

use crate::Link;
use crate::layer::{Layer, be16};
use crate::link::Network;

#[cfg(test)]
mod tests;

/// The ECN field of a traffic class: the two low bits of the former type of service.
const ECN: u8 = 0b11;
pub(crate) const NOT_ECT: u8 = 0b00;
const CE: u8 = 0b11;

/// Sets "congestion experienced" on a packet whose sender understands it.
///
/// `true` if the packet carries the mark now, also if it did before; `false`, with the frame
/// unchanged, if it is not ECN-capable, not IP, or shorter than its IP header. The meaning is that
/// of the kernel's `INET_ECN_set_ce` (RFC 3168, section 5). A packet behind up to two VLAN tags
/// is found; only the outermost IP header is marked.
///
/// The IPv4 header checksum is adjusted, not recomputed (RFC 1624): a right one stays right, a
/// wrong one stays wrong.
#[must_use]
pub fn mark_ce(link: Link, frame: &mut [u8]) -> bool {
    // All that is here counts: nothing can be cut short, and a header that is not here is refused.
    let Ok((network, offset)) = link.network(Layer::frame(frame, 0)) else { return false };
    let Some(packet) = frame.get_mut(offset..) else { return false };
    match network {
        Network::Ipv4 => packet.first_chunk_mut::<20>().is_some_and(mark_ipv4),
        Network::Ipv6 => packet.first_chunk_mut::<40>().is_some_and(mark_ipv6),
        Network::Other => false,
    }
}

/// Whether [`mark_ce`] would be `true`: the packet could carry the mark, or does. The frame is as it was.
#[must_use]
pub fn can_mark(link: Link, frame: &[u8]) -> bool {
    let Ok((network, offset)) = link.network(Layer::frame(frame, 0)) else { return false };
    let Some(packet) = frame.get(offset..) else { return false };
    let version = match network {
        Network::Ipv4 => 4,
        Network::Ipv6 => 6,
        Network::Other => return false,
    };
    packet.first().is_some_and(|first| first >> 4 == version) && is_capable(packet)
}

/// What [`can_mark`] says of the packet in a frame whose headers have been read.
pub(crate) fn is_capable(packet: &[u8]) -> bool {
    match packet {
        [first, second, ..] if first >> 4 == 4 => packet.len() >= 20 && of_ipv4([*first, *second]) != NOT_ECT,
        [first, second, ..] if first >> 4 == 6 => packet.len() >= 40 && of_ipv6([*first, *second]) != NOT_ECT,
        _ => false,
    }
}

/// The ECN field of an IPv4 header that begins so.
#[inline(always)]
pub(crate) fn of_ipv4([_, service]: [u8; 2]) -> u8 {
    service & ECN
}

/// The ECN field of an IPv6 header that begins so: the traffic class lies across the first two bytes, its low half in the upper
/// half of the second.
#[inline(always)]
pub(crate) fn of_ipv6([_, class]: [u8; 2]) -> u8 {
    class >> 4 & ECN
}

fn mark_ipv4(header: &mut [u8; 20]) -> bool {
    if header[0] >> 4 != 4 {
        return false;
    }
    match of_ipv4([header[0], header[1]]) {
        NOT_ECT => false,
        CE => true,
        _ => {
            let before = be16(header[0], header[1]);
            header[1] |= CE;
            let after = be16(header[0], header[1]);
            let checksum = adjusted(be16(header[10], header[11]), before, after);
            header[10..12].copy_from_slice(&checksum.to_be_bytes());
            true
        }
    }
}

fn mark_ipv6(header: &mut [u8; 40]) -> bool {
    if header[0] >> 4 != 6 {
        return false;
    }
    match of_ipv6([header[0], header[1]]) {
        NOT_ECT => false,
        _ => {
            header[1] |= CE << 4;
            true
        }
    }
}

/// RFC 1624, equation 3: `~(~checksum + ~before + after)` in one's complement.
fn adjusted(checksum: u16, before: u16, after: u16) -> u16 {
    !ones_complement_add(ones_complement_add(!checksum, !before), after)
}

fn ones_complement_add(a: u16, b: u16) -> u16 {
    let (sum, carry) = a.overflowing_add(b);
    // After a carry the sum is at most 0xfffe.
    sum + u16::from(carry)
}
