//! The straight line through a frame's headers.

pub(crate) mod common;
mod icmp;
mod ipv4;
pub(crate) mod ipv6;
mod transport;

#[cfg(test)]
mod tests;

use crate::layer::Layer;
use crate::link::Network;
use crate::{Headers, Link, Malformed};

/// Reads the headers of a frame as far as its ports.
///
/// `frame` is what was captured of it, in bytes; `wire_len` is its length on the wire without a
/// frame check sequence, at least `frame.len()` (less is read as `frame.len()`). Bytes after the
/// end that the IP header states (padding) are ignored.
///
/// Three outcomes, never confused:
/// - `Ok` with addresses: an IP packet. It has no ports if its protocol has none, if it is a later
///   fragment, or if the capture cut the header they are in.
/// - `Ok` without addresses: not IP, or the capture cut the IP header or what comes before it.
/// - `Err`: the headers contradict themselves or the frame's length.
///
/// Lengths of zero: an IPv4 total length of 0 and an IPv6 payload length of 0 reach to the end of
/// the frame. The first is what Linux leaves in segments above 64 KiB that it hands to the
/// device whole; the second is that, or a jumbogram (RFC 2675), whose option is passed unread.
///
/// # Errors
///
/// One [`Malformed`] for each way in which headers can be wrong.
#[inline]
pub fn parse(link: Link, frame: &[u8], wire_len: u32) -> Result<Headers, Malformed> {
    if link == Link::Ethernet {
        if let Some((headers, _)) = common::ipv4(frame, wire_len) {
            return Ok(headers);
        }
        if let Some((headers, _)) = common::ipv6(frame, wire_len) {
            return Ok(headers);
        }
    }
    careful(link, frame, wire_len)
}

/// Any frame, step by step.
#[inline(never)]
pub(crate) fn careful(link: Link, frame: &[u8], wire_len: u32) -> Result<Headers, Malformed> {
    let frame = Layer::frame(frame, wire_len);
    let (network, offset) = link.network(frame)?;
    match network {
        Network::Ipv4 => ipv4::parse(frame.after(offset), offset),
        Network::Ipv6 => ipv6::parse(frame.after(offset), offset),
        Network::Other => Ok(Headers::not_ip(offset)),
    }
}

/// IP protocol numbers (IANA, "Assigned Internet Protocol Numbers") that are read here.
mod protocol {
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const ICMP: u8 = 1;
    pub(super) const TCP: u8 = 6;
    pub(super) const UDP: u8 = 17;
    pub(super) const DCCP: u8 = 33;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const AUTHENTICATION: u8 = 51;
    pub(super) const ICMPV6: u8 = 58;
    pub(super) const NO_NEXT_HEADER: u8 = 59;
    pub(super) const DESTINATION_OPTIONS: u8 = 60;
    pub(super) const SCTP: u8 = 132;
    pub(super) const MOBILITY: u8 = 135;
    pub(super) const UDP_LITE: u8 = 136;
    pub(super) const HIP: u8 = 139;
    pub(super) const SHIM6: u8 = 140;
}
