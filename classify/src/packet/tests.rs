//! Lengths are those that another parser finds.

use etherparse::{NetHeaders, PacketBuilder, PacketHeaders};

use crate::{Link, Packet};

fn len(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap()
}

fn tcp_frame(options: &[u8], payload: &[u8]) -> Vec<u8> {
    let ip = PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
    let tcp = ip.tcp(40_000, 80, 7, 512).options_raw(options).unwrap();
    let mut frame = Vec::new();
    tcp.write(&mut frame, payload).unwrap();
    frame
}

#[test]
fn padding_is_none_of_it() {
    let mut frame = tcp_frame(&[1, 1, 1, 1], b"request");
    let bare = frame.len();
    frame.resize(bare + 9, 0);
    let packet = Packet::read(Link::Ethernet, &frame, len(frame.len())).unwrap().unwrap();
    assert_eq!((packet.offset, packet.payload_offset), (14, 34));
    assert_eq!((packet.len, packet.payload_len), (len(bare - 14), len(bare - 34)));
    assert_eq!((packet.protocol, packet.ports.unwrap().destination()), (6, 80));
}

#[test]
fn what_a_capture_cut_counts() {
    let frame = tcp_frame(&[], &[0; 400]);
    let cut = Packet::read(Link::Ethernet, &frame[..60], len(frame.len())).unwrap();
    assert_eq!(cut, Packet::read(Link::Ethernet, &frame, len(frame.len())).unwrap());
    assert_eq!(Packet::read(Link::Ethernet, &frame[..30], len(frame.len())).unwrap(), None);
}

#[test]
fn extension_headers_are_no_payload() {
    let mut frame = Vec::new();
    let ip = PacketBuilder::ethernet2([1; 6], [2; 6]).ipv6([1; 16], [2; 16], 64);
    ip.udp(53, 40_000).write(&mut frame, b"answer").unwrap();
    // A hop-by-hop header of eight bytes between IPv6 and UDP.
    let rest = frame.split_off(54);
    frame[20] = 0;
    frame[18..20].copy_from_slice(&(8 + 14_u16).to_be_bytes());
    frame.extend([17, 0, 1, 4, 0, 0, 0, 0]);
    frame.extend(rest);
    let packet = Packet::read(Link::Ethernet, &frame, len(frame.len())).unwrap().unwrap();
    let theirs = PacketHeaders::from_ethernet_slice(&frame).unwrap();
    let Some(NetHeaders::Ipv6(_, extensions)) = &theirs.net else { panic!("{theirs:?}") };
    assert_eq!(packet.payload_offset, 54 + extensions.header_len());
    assert_eq!((packet.payload_len, packet.len, packet.protocol), (14, 40 + 8 + 14, 17));
}

#[test]
fn an_error_is_a_packet_of_its_own() {
    let quoted = tcp_frame(&[], &[]);
    let mut frame = Vec::new();
    let ip = PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4([10, 0, 0, 9], [10, 0, 0, 1], 64);
    ip.icmpv4_raw(3, 1, [0; 4]).write(&mut frame, &quoted[14..]).unwrap();
    let packet = Packet::read(Link::Ethernet, &frame, len(frame.len())).unwrap().unwrap();
    assert_eq!(packet.addresses.source().to_string(), "10.0.0.9");
    assert_eq!((packet.protocol, packet.ports), (1, None));
}
