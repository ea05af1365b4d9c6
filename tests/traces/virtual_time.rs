//! Packets through `portlane replay`, in virtual time: what arrives when, and what leaves when.

use std::fs::{self, File};

use etherparse::{IpEcn, IpHeaders, IpNumber, Ipv4Header, PacketBuilder};
use portlane::args::{Replay, Way};
use portlane::commands;
use portlane_pcap::{LinkType, Reader, Writer};
use portlane_stats::snapshot::Snapshot;

/// Ethernet, IPv4 and UDP headers: the shortest packet, and where its payload starts.
pub(crate) const HEADERS: usize = 42;

/// The ECN field of a packet that met congestion (RFC 3168, section 5).
pub(crate) const CE: u8 = 0b11;

/// The port of the other end.
pub(crate) const PEER: u16 = 60_000;

/// Captures keep no more of a packet.
const KEPT: usize = 54;

/// A packet and when it arrived, or left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) time_ns: u64,
    /// Bytes, Ethernet header included.
    pub(crate) len: u32,
    /// The port of the container that it goes to, or comes from.
    pub(crate) port: u16,
    pub(crate) ecn: u8,
    pub(crate) tag: Tag,
}

/// Which packet it is: its flow, and its number in it. The payload starts with these five bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Tag {
    pub(crate) flow: u8,
    pub(crate) number: u32,
}

impl Tag {
    pub(crate) const LEN: usize = 5;

    pub(crate) fn to_bytes(self) -> [u8; Self::LEN] {
        let [a, b, c, d] = self.number.to_le_bytes();
        [self.flow, a, b, c, d]
    }

    /// Of a payload that is long enough.
    pub(crate) fn of(payload: &[u8]) -> Option<Self> {
        let [flow, number @ ..] = *payload.first_chunk::<{ Self::LEN }>()?;
        Some(Self { flow, number: u32::from_le_bytes(number) })
    }
}

/// What portlane made of the arrivals.
pub(crate) struct Replayed {
    /// In the order in which they left.
    pub(crate) departures: Vec<Packet>,
    pub(crate) stats: Snapshot,
}

/// Runs the arrivals through the lanes of this configuration, until all have left or were dropped.
pub(crate) fn replay(config: &str, direction: Way, arrivals: &[Packet]) -> Replayed {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("portlane.toml"), config).unwrap();
    write(File::create(path("in.pcapng")).unwrap(), direction, arrivals);
    let arguments = Replay {
        input: path("in.pcapng"),
        config: path("portlane.toml"),
        write: Some(path("out.pcapng")),
        stats: Some(path("out.json")),
        hgrm: None,
        flows: None,
        format: None,
        direction,
    };
    commands::replay::run(&arguments).unwrap_or_else(|failure| panic!("{}\n{config}", failure.message()));
    let stats: Snapshot = serde_json::from_slice(&fs::read(path("out.json")).unwrap()).unwrap();
    stats.check().unwrap_or_else(|slip| panic!("{slip}"));
    assert_eq!(stats.totals.unmatched, 0, "every packet is a container's");
    Replayed { departures: read(File::open(path("out.pcapng")).unwrap(), direction), stats }
}

fn write(file: File, direction: Way, packets: &[Packet]) {
    let mut writer = Writer::new(file).unwrap();
    for packet in packets {
        let bytes = frame(packet, direction);
        writer.write(LinkType::ETHERNET, packet.time_ns, &bytes[..KEPT], packet.len).unwrap();
    }
    writer.finish().unwrap();
}

fn frame(packet: &Packet, direction: Way) -> Vec<u8> {
    let (from, to) = ends(packet.port, direction);
    let mut ip = Ipv4Header::new(0, 64, IpNumber::UDP, [10, 0, 0, 1], [10, 0, 0, 2]).unwrap();
    ip.ecn = IpEcn::try_new(packet.ecn).unwrap();
    let headers = IpHeaders::Ipv4(ip, Default::default());
    let mut payload = vec![0; packet.len as usize - HEADERS];
    payload[..Tag::LEN].copy_from_slice(&packet.tag.to_bytes());
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6]).ip(headers).udp(from, to).write(&mut bytes, &payload).unwrap();
    bytes
}

/// Source and destination port of what goes to a container's port, or comes from it.
fn ends(port: u16, direction: Way) -> (u16, u16) {
    if direction == Way::Egress { (port, PEER) } else { (PEER, port) }
}

fn read(file: File, direction: Way) -> Vec<Packet> {
    let mut reader = Reader::new(file).unwrap();
    let mut packets = Vec::new();
    while let Some(packet) = reader.next().unwrap() {
        let at = if direction == Way::Egress { 34 } else { 36 };
        packets.push(Packet {
            time_ns: packet.time_ns,
            len: packet.original_len,
            port: u16::from_be_bytes([packet.data[at], packet.data[at + 1]]),
            ecn: packet.data[15] & CE,
            tag: Tag::of(&packet.data[HEADERS..]).unwrap(),
        });
    }
    packets
}
