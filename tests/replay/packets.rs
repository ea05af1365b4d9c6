//! Packets as a capture holds them, made with an independent crate.

use etherparse::{IpHeaders, IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header, PacketBuilder};
use portlane_pcap::LinkType;

/// A packet of a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) time_ns: u64,
    pub(crate) link: LinkType,
    pub(crate) bytes: Vec<u8>,
    /// Bytes on the wire; more than there are if the capture cut it.
    pub(crate) original_len: u32,
}

impl Packet {
    /// An uncut packet.
    pub(crate) fn new(time_ns: u64, link: LinkType, bytes: Vec<u8>) -> Self {
        let original_len = u32::try_from(bytes.len()).unwrap();
        Self { time_ns, link, bytes, original_len }
    }

    /// An uncut Ethernet frame.
    pub(crate) fn ethernet(time_ns: u64, bytes: Vec<u8>) -> Self {
        Self::new(time_ns, LinkType::ETHERNET, bytes)
    }

    /// The packet, of which the capture kept only so many bytes.
    pub(crate) fn cut(mut self, kept: usize) -> Self {
        self.bytes.truncate(kept);
        self
    }

    /// The number that [`payload`] put at the end of an uncut packet.
    pub(crate) fn number(&self) -> u32 {
        u32::from_be_bytes(*self.bytes.last_chunk().unwrap())
    }
}

/// Bytes that end in a number.
pub(crate) fn payload(len: usize, number: u32) -> Vec<u8> {
    let mut bytes = vec![0x55; len.max(4)];
    *bytes.last_chunk_mut().unwrap() = number.to_be_bytes();
    bytes
}

pub(crate) const CLIENT: [u8; 4] = [10, 0, 0, 9];
pub(crate) const HOST: [u8; 4] = [10, 0, 0, 1];

/// Two ends of a packet: addresses and ports.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) from: ([u8; 4], u16),
    pub(crate) to: ([u8; 4], u16),
}

/// From the client's port 1234 to a port of the host.
pub(crate) fn to_host(port: u16) -> Ends {
    Ends { from: (CLIENT, 1_234), to: (HOST, port) }
}

/// From a port of the host to the client's port 1234.
pub(crate) fn from_host(port: u16) -> Ends {
    Ends { from: (HOST, port), to: (CLIENT, 1_234) }
}

/// An Ethernet frame with UDP over IPv4.
pub(crate) fn udp(ends: Ends, payload: &[u8]) -> Vec<u8> {
    udp_over(IpHeaders::Ipv4(ipv4(ends), Default::default()), ends, payload)
}

/// An Ethernet frame with UDP over the given IP header.
pub(crate) fn udp_over(ip: IpHeaders, ends: Ends, payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ip(ip).udp(ends.from.1, ends.to.1);
    written(|out| builder.write(out, payload).unwrap())
}

/// An Ethernet frame with TCP over IPv4.
pub(crate) fn tcp(ends: Ends, payload: &[u8]) -> Vec<u8> {
    let ip = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(ends.from.0, ends.to.0, 64);
    let builder = ip.tcp(ends.from.1, ends.to.1, 7, 1_024).ack(9);
    written(|out| builder.write(out, payload).unwrap())
}

/// An Ethernet frame with UDP over IPv6, from a client to the host.
pub(crate) fn udp6(ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv6(v6(9), v6(1), 64).udp(ports.0, ports.1);
    written(|out| builder.write(out, payload).unwrap())
}

/// An Ethernet frame with UDP over IPv4 behind a VLAN tag.
pub(crate) fn tagged(ends: Ends, payload: &[u8]) -> Vec<u8> {
    let vlan = PacketBuilder::ethernet2([2; 6], [4; 6]).single_vlan(42.try_into().unwrap());
    let builder = vlan.ipv4(ends.from.0, ends.to.0, 64).udp(ends.from.1, ends.to.1);
    written(|out| builder.write(out, payload).unwrap())
}

/// An Ethernet frame that is not IP.
pub(crate) fn not_ip(payload: &[u8]) -> Vec<u8> {
    [&[4; 6][..], &[2; 6], &[0x88, 0xb5], payload].concat()
}

/// An Ethernet frame whose IPv4 header claims more than the frame holds.
pub(crate) fn malformed(payload: &[u8]) -> Vec<u8> {
    let mut frame = udp(to_host(32_000), payload);
    let shorter = frame.len() - 20;
    frame.drain(shorter - 4..frame.len() - 4);
    frame
}

/// An IPv4 header with UDP behind it.
pub(crate) fn ipv4(ends: Ends) -> Ipv4Header {
    Ipv4Header::new(0, 64, IpNumber::UDP, ends.from.0, ends.to.0).unwrap()
}

/// An IPv6 header with UDP behind it, from a client to the host.
pub(crate) fn ipv6() -> Ipv6Header {
    Ipv6Header {
        traffic_class: 0,
        flow_label: Ipv6FlowLabel::ZERO,
        payload_length: 0,
        next_header: IpNumber::UDP,
        hop_limit: 64,
        source: v6(9),
        destination: v6(1),
    }
}

fn v6(last: u8) -> [u8; 16] {
    let mut address = [0; 16];
    (address[0], address[1], address[15]) = (0xfd, 0x00, last);
    address
}

/// What is written into a buffer.
pub(crate) fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    bytes
}
