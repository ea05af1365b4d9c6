//! The IP packet that a frame carries: where its parts are, and how long.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::layer::{Layer, be16};
use crate::link::Network;
use crate::parse::ipv6::Upper;
use crate::{Addresses, Fragment, Headers, Link, Malformed, Ports, parse};

#[cfg(test)]
mod tests;

/// What [`parse`](crate::parse()) says of a frame's packet, and where its payload is.
///
/// Of an ICMP error it is the error itself: its own addresses and protocol, and not those of the packet that it quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Source and destination.
    pub addresses: Addresses,
    /// What the payload is: the IP protocol number behind IPv4 options and IPv6 extension headers.
    pub protocol: u8,
    /// As in [`Headers`]; `None` for an ICMP error.
    pub ports: Option<Ports>,
    /// As in [`Headers`].
    pub fragment: Option<Fragment>,
    /// Where the IP header begins, in bytes from the start of the frame.
    pub offset: usize,
    /// The length on the wire, IP header included, in bytes; padding of the frame is none of it.
    pub len: u32,
    /// Where the payload begins, in bytes from the start of the frame. It may be beyond what was captured.
    pub payload_offset: usize,
    /// The payload's length on the wire, in bytes: without IPv4 options and IPv6 extension headers.
    pub payload_len: u32,
}

/// The addresses of a frame's packet, and its length on the wire in bytes, IP header included: what [`Packet::read`] says of a
/// frame that is not malformed, with a look at the IP header alone. `None` if it is not IP, or if too little of that was captured.
#[inline]
#[must_use]
pub fn ends(link: Link, frame: &[u8], wire_len: u32) -> Option<(Addresses, u32)> {
    let frame = Layer::frame(frame, wire_len);
    let (network, offset) = link.network(frame).ok()?;
    let packet = frame.after(offset);
    let (addresses, packet) = match network {
        Network::Ipv4 => v4(packet).map(|(_, addresses, packet)| (addresses, packet))?,
        Network::Ipv6 => v6(packet).map(|(_, addresses, packet)| (addresses, packet))?,
        Network::Other => return None,
    };
    Some((addresses, length(packet)))
}

/// The header of an IPv4 packet, its addresses, and the packet without padding.
#[inline]
fn v4(packet: Layer<'_>) -> Option<(&[u8; 20], Addresses, Layer<'_>)> {
    let header = packet.captured_head::<20>().filter(|header| header[0] >> 4 == 4)?;
    let packet = match be16(header[2], header[3]) {
        0 => packet,
        stated => packet.limit(usize::from(stated)),
    };
    let [.., s0, s1, s2, s3, d0, d1, d2, d3] = *header;
    let addresses = Addresses::V4 { source: Ipv4Addr::new(s0, s1, s2, s3), destination: Ipv4Addr::new(d0, d1, d2, d3) };
    Some((header, addresses, packet))
}

/// The same of an IPv6 packet.
#[inline]
fn v6(packet: Layer<'_>) -> Option<(&[u8; 40], Addresses, Layer<'_>)> {
    let header = packet.captured_head::<40>().filter(|header| header[0] >> 4 == 6)?;
    let packet = match be16(header[4], header[5]) {
        0 => packet,
        stated => packet.limit(header.len() + usize::from(stated)),
    };
    let mut addresses = [[0; 16]; 2];
    addresses[0].copy_from_slice(&header[8..24]);
    addresses[1].copy_from_slice(&header[24..40]);
    let [source, destination] = addresses.map(Ipv6Addr::from);
    Some((header, Addresses::V6 { source, destination }, packet))
}

#[inline]
fn length(layer: Layer<'_>) -> u32 {
    u32::try_from(layer.wire_len()).unwrap_or(u32::MAX)
}

impl Packet {
    /// Reads the packet of a frame; `None` if it is not IP, or if too little of its IP header was captured.
    ///
    /// The arguments are those of [`parse`](crate::parse()).
    ///
    /// # Errors
    ///
    /// Those of [`parse`](crate::parse()).
    pub fn read(link: Link, frame: &[u8], wire_len: u32) -> Result<Option<Self>, Malformed> {
        Ok(Self::of(&parse(link, frame, wire_len)?, frame, wire_len))
    }

    /// The packet of a frame whose headers have been read; `None` as of [`read`](Self::read).
    #[must_use]
    pub fn of(headers: &Headers, frame: &[u8], wire_len: u32) -> Option<Self> {
        headers.addresses?;
        let packet = Layer::frame(frame, wire_len).after(headers.network_offset);
        Self::v4(packet, headers).or_else(|| Self::v6(packet, headers))
    }

    fn v4(packet: Layer<'_>, headers: &Headers) -> Option<Self> {
        let (header, addresses, packet) = v4(packet)?;
        let header_len = usize::from(header[0] & 0x0f) * 4;
        Some(Self::put_together(headers, addresses, header[9], packet, packet.after(header_len)))
    }

    fn v6(packet: Layer<'_>, headers: &Headers) -> Option<Self> {
        let (header, addresses, packet) = v6(packet)?;
        let upper = Upper::find(header[6], packet.after(header.len())).ok()?;
        Some(Self::put_together(headers, addresses, upper.protocol, packet, upper.payload))
    }

    fn put_together(
        headers: &Headers,
        addresses: Addresses,
        protocol: u8,
        packet: Layer<'_>,
        payload: Layer<'_>,
    ) -> Self {
        Self {
            addresses,
            protocol,
            ports: headers.ports.filter(|_| !headers.quoted),
            fragment: headers.fragment,
            offset: headers.network_offset,
            len: length(packet),
            payload_offset: headers.network_offset + (packet.wire_len() - payload.wire_len()),
            payload_len: length(payload),
        }
    }
}
