//! Digests of frames that another crate has made.

use etherparse::{ArpHardwareId, ArpOperation, ArpPacket, EtherType, PacketBuilder};
use portlane_classify::Link;
use proptest::prelude::*;

use super::{Cast, Digest, Echo, Flags, Kind, Segment};

fn read(frame: &[u8]) -> Digest {
    Digest::read(Link::Ethernet, frame, u32::try_from(frame.len()).unwrap(), 5).unwrap().unwrap()
}

fn frame(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let ip = PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
    let mut frame = Vec::new();
    match protocol {
        6 => ip.tcp(40_000, 80, 7, 512).syn().ack(9).options_raw(&[1; 8]).unwrap().write(&mut frame, payload).unwrap(),
        17 => ip.udp(53, 40_000).write(&mut frame, payload).unwrap(),
        _ => ip.icmpv4_echo_reply(1, 2).write(&mut frame, payload).unwrap(),
    }
    frame
}

fn lengths(digest: &Digest) -> [u32; 3] {
    [digest.frame_bytes, digest.l3_bytes, digest.l4_bytes]
}

#[test]
fn headers_are_none_of_the_payload() {
    let tcp = read(&frame(6, b"request"));
    assert_eq!(lengths(&tcp), [14 + 20 + 28 + 7, 28 + 7, 7]);
    let flags = Flags::SYN.with(Flags::ACK);
    assert_eq!(tcp.kind, Kind::Tcp(Segment { seq: 7, ack: 9, window: 512, flags }));
    assert_eq!((tcp.source.port, tcp.destination.port, tcp.source.owner), (40_000, 80, None));
    let udp = read(&frame(17, b"answer"));
    assert_eq!((lengths(&udp), udp.kind), ([14 + 20 + 8 + 6, 8 + 6, 6], Kind::Udp));
    let icmp = read(&frame(1, b"echo"));
    assert_eq!(
        (lengths(&icmp), icmp.kind),
        ([14 + 20 + 8 + 4, 8 + 4, 0], Kind::Icmp(Some(Echo { reply: true, id: 0x1_0002 })))
    );
    assert_eq!((icmp.source.port, icmp.destination.port), (0, 0));
}

#[test]
fn padding_does_not_count_and_joined_segments_do() {
    let mut frame = frame(17, b"hi");
    let stated = frame.len();
    frame.resize(60, 0);
    assert_eq!(read(&frame).frame_bytes, u32::try_from(stated).unwrap());
    let joined = Digest::read(Link::Ethernet, &frame, 9_000, 0).unwrap().unwrap();
    assert_eq!((joined.frame_bytes, joined.l4_bytes), (9_000, 2));
}

#[test]
fn a_length_beyond_the_frame_is_believed() {
    let mut frame = frame(6, &[]);
    frame[16..18].copy_from_slice(&648_u16.to_be_bytes());
    assert_eq!(lengths(&read(&frame)), [14 + 648, 628, 600]);
}

#[test]
fn a_later_fragment_has_no_ports_and_is_all_payload() {
    let mut frame = frame(17, &[0; 32]);
    frame[20..22].copy_from_slice(&3_u16.to_be_bytes());
    let digest = read(&frame);
    assert_eq!((digest.source.port, digest.destination.port, digest.kind), (0, 0, Kind::Other));
    assert_eq!((digest.l3_bytes, digest.l4_bytes), (40, 40));
}

#[test]
fn arp_is_between_its_addresses_and_what_else_is_not_ip_between_none() {
    let packet = ArpPacket::new(
        ArpHardwareId::ETHERNET,
        EtherType::IPV4,
        ArpOperation::REPLY,
        &[2; 6],
        &[10, 0, 0, 7],
        &[4; 6],
        &[10, 0, 0, 9],
    );
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2; 6], [0xff; 6]).arp(packet.unwrap()).write(&mut frame).unwrap();
    frame.resize(60, 0);
    let ends = |digest: &Digest| [digest.source.address.to_string(), digest.destination.address.to_string()];
    let arp = read(&frame);
    assert_eq!(ends(&arp), ["10.0.0.7", "10.0.0.9"]);
    assert_eq!((arp.protocol, lengths(&arp), arp.cast), (0, [60, 0, 0], Some(Cast::Broadcast)));
    // Behind a tag, and behind a cooked header of each version.
    let tagged = [&frame[..12], &[0x81, 0, 0, 5], &frame[12..]].concat();
    let sll = [&[0; 14][..], &frame[12..]].concat();
    let sll2 = [&[8, 6][..], &[0; 18], &frame[14..]].concat();
    for (link, frame) in [(Link::Ethernet, tagged), (Link::LinuxSll, sll), (Link::LinuxSll2, sll2)] {
        assert_eq!(ends(&Digest::read(link, &frame, 60, 0).unwrap().unwrap()), ends(&arp), "{link:?}");
    }
    // Another protocol's, or cut before its addresses.
    for (at, byte) in [(13, 0xcc), (17, 6), (19, 16)] {
        let mut other = frame.clone();
        other[at] = byte;
        assert_eq!(ends(&read(&other)), ["0.0.0.0"; 2], "{at}");
    }
    assert_eq!(ends(&Digest::read(Link::Ethernet, &frame[..41], 60, 0).unwrap().unwrap()), ["0.0.0.0"; 2]);
    // IP of which too little was captured is something else.
    for (ethertype, captured) in [([8, 0], 33), ([0x86, 0xdd], 53), ([0x81, 0], 15)] {
        let mut cut = frame.clone();
        cut[12..14].copy_from_slice(&ethertype);
        assert_eq!(Digest::read(Link::Ethernet, &cut[..captured], 60, 0), Ok(None), "{ethertype:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_have_a_digest_of_this_frame_or_none(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..120),
        version in 0_usize..4,
        longer in 0_u32..3_000,
    ) {
        if let (Some(ethertype), true) = (bytes.get_mut(12..15), version < 3) {
            ethertype.copy_from_slice(&[[8, 0, 0x45], [0x86, 0xdd, 0x60], [8, 0, 0x4f]][version]);
        }
        let wire_len = u32::try_from(bytes.len()).unwrap() + longer;
        if let Ok(Some(digest)) = Digest::read(Link::Ethernet, &bytes, wire_len, 1) {
            prop_assert!(digest.l4_bytes <= digest.l3_bytes && digest.l3_bytes < digest.frame_bytes);
        }
    }
}
