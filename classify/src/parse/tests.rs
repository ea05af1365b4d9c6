//! Byte by byte: what each kind of frame says, and one frame for each reason to refuse it.

mod common;
mod frames;
mod icmp;
mod malformed;

use std::net::IpAddr;

use self::frames::*;
use crate::{Fragment, Headers, Link, Malformed, Ports, parse};

fn whole(link: Link, frame: &[u8]) -> Result<Headers, Malformed> {
    parse(link, frame, u32::try_from(frame.len()).unwrap())
}

fn ports_of(link: Link, frame: &[u8]) -> Option<(u16, u16)> {
    let ports = whole(link, frame).unwrap().ports;
    ports.map(|ports| (ports.source(), ports.destination()))
}

fn is_not_ip(frame: &[u8]) -> bool {
    whole(Link::Ethernet, frame).unwrap().addresses.is_none()
}

#[test]
fn udp_over_ipv4_over_ethernet() {
    let headers = whole(Link::Ethernet, &ethernet(IPV4, &ipv4(UDP, &udp()))).unwrap();
    let addresses = headers.addresses.unwrap();
    assert_eq!(addresses.source(), "10.0.0.9".parse::<IpAddr>().unwrap());
    assert_eq!(addresses.destination(), "10.0.0.1".parse::<IpAddr>().unwrap());
    assert_eq!(headers.protocol, UDP);
    assert_eq!(headers.ports, Some(Ports::new(53, 31_007)));
    assert_eq!((headers.fragment, headers.quoted, headers.network_offset), (None, false, 14));
}

#[test]
fn tcp_over_ipv6_over_ethernet() {
    let headers = whole(Link::Ethernet, &ethernet(IPV6, &ipv6(TCP, &tcp()))).unwrap();
    let addresses = headers.addresses.unwrap();
    assert_eq!(addresses.source(), "fd00::9".parse::<IpAddr>().unwrap());
    assert_eq!(addresses.destination(), "fd00::1".parse::<IpAddr>().unwrap());
    assert_eq!(headers.protocol, TCP);
    assert_eq!(headers.ports, Some(Ports::new(53, 31_007)));
}

#[test]
fn every_protocol_with_ports_has_them() {
    for (protocol, segment) in [
        (TCP, tcp()),
        (UDP, udp()),
        (UDP_LITE, udp_lite(0)),
        (UDP_LITE, udp_lite(8)),
        (SCTP, [&PORTS[..], &[0; 8]].concat()),
        (DCCP, dccp(3)),
    ] {
        assert_eq!(ports_of(Link::Ip, &ipv4(protocol, &segment)), Some((53, 31_007)));
        assert_eq!(ports_of(Link::Ip, &ipv6(protocol, &segment)), Some((53, 31_007)));
    }
    for protocol in [2, 4, 47, 50, 51, 59, 58, 103, 255] {
        assert_eq!(ports_of(Link::Ip, &ipv4(protocol, &udp())), None);
    }
}

#[test]
fn every_link_leads_to_the_packet() {
    let packet = ipv4(UDP, &udp());
    let mut sll2 = [0; 20];
    sll2[..2].copy_from_slice(&IPV4.to_be_bytes());
    let sll2 = [&sll2, &packet[..]].concat();
    let sll = [&[0; 14][..], &IPV4.to_be_bytes(), &packet].concat();
    for (link, frame, offset) in [
        (Link::Ip, packet.clone(), 0),
        (Link::Ethernet, ethernet(IPV4, &packet), 14),
        (Link::LinuxSll, sll.clone(), 16),
        (Link::LinuxSll2, sll2.clone(), 20),
    ] {
        assert_eq!(ports_of(link, &frame), Some((53, 31_007)));
        assert_eq!(whole(link, &frame).unwrap().network_offset, offset);
    }
    let mut netlink = sll;
    netlink[2..4].copy_from_slice(&824_u16.to_be_bytes());
    assert_eq!(whole(Link::LinuxSll, &netlink).unwrap().addresses, None);
    let mut radiotap = sll2;
    radiotap[8..10].copy_from_slice(&803_u16.to_be_bytes());
    assert_eq!(whole(Link::LinuxSll2, &radiotap).unwrap().addresses, None);
}

#[test]
fn link_types_of_captures() {
    for (linktype, link) in [
        (1, Some(Link::Ethernet)),
        (101, Some(Link::Ip)),
        (228, Some(Link::Ip)),
        (229, Some(Link::Ip)),
        (113, Some(Link::LinuxSll)),
        (276, Some(Link::LinuxSll2)),
        (0, None),
        (105, None),
    ] {
        assert_eq!(Link::from_linktype(linktype), link);
    }
}

#[test]
fn up_to_two_vlan_tags_are_passed() {
    let packet = ipv4(UDP, &udp());
    let one = tagged(&[0x8100], IPV4, &packet);
    let two = tagged(&[0x88a8, 0x8100], IPV4, &packet);
    let old = tagged(&[0x9100, 0x8100], IPV6, &ipv6(UDP, &udp()));
    for (frame, offset) in [(one, 18), (two, 22), (old, 22)] {
        assert_eq!(ports_of(Link::Ethernet, &frame), Some((53, 31_007)));
        assert_eq!(whole(Link::Ethernet, &frame).unwrap().network_offset, offset);
    }
    assert!(is_not_ip(&tagged(&[0x88a8, 0x8100, 0x8100], IPV4, &packet)));
    assert!(is_not_ip(&tagged(&[0x8100], 0x0806, &packet)));
}

#[test]
fn other_ethertypes_and_lengths_are_not_ip() {
    for ethertype in [0x0806, 0x8847, 0x88cc, 0, 46, 0x05dc, 0x05ff, 0xffff] {
        assert!(is_not_ip(&ethernet(ethertype, &ipv4(UDP, &udp()))));
    }
}

#[test]
fn padding_is_not_part_of_the_packet() {
    let frame = [ethernet(IPV4, &ipv4(UDP, &udp())), vec![0xff; 18]].concat();
    assert_eq!(ports_of(Link::Ethernet, &frame), Some((53, 31_007)));
    // Padding cannot complete a header.
    let frame = [ethernet(IPV4, &ipv4(UDP, &udp()[..7])), vec![0xff; 19]].concat();
    assert_eq!(whole(Link::Ethernet, &frame), Err(Malformed::UdpTruncated));
}

#[test]
fn ipv4_options_are_passed() {
    let packet = ipv4_with(|header| header[0] = 0x46, UDP, &[&[1; 4][..], &udp()].concat());
    assert_eq!(ports_of(Link::Ip, &packet), Some((53, 31_007)));
}

#[test]
fn a_length_of_zero_reaches_to_the_end_of_the_frame() {
    let packet = ipv4_with(|header| header[2..4].fill(0), TCP, &[tcp(), vec![0; 100]].concat());
    assert_eq!(ports_of(Link::Ip, &packet), Some((53, 31_007)));
    let packet = ipv6_with(|header| header[4..6].fill(0), TCP, &tcp());
    assert_eq!(ports_of(Link::Ip, &packet), Some((53, 31_007)));
    // A jumbogram: hop-by-hop options with the jumbo payload option, and a UDP length of 0.
    let options = [UDP, 0, 0xc2, 4, 0, 1, 0, 16];
    let mut datagram = udp();
    datagram[4..6].fill(0);
    let payload = [&options[..], &datagram, &[0; 0x1_0000]].concat();
    let packet = ipv6_with(|header| header[4..6].fill(0), 0, &payload);
    assert_eq!(ports_of(Link::Ip, &packet), Some((53, 31_007)));
}

#[test]
fn ipv6_extension_headers_are_passed_in_any_order() {
    for kinds in [&[0][..], &[43, 60], &[0, 60, 43, 51, 60, 135], &[139, 140], &[60, 0, 0, 51, 51, 43, 43, 60]] {
        let (first, payload) = extended(kinds, UDP, &udp());
        assert_eq!(ports_of(Link::Ip, &ipv6(first, &payload)), Some((53, 31_007)), "{kinds:?}");
    }
    for end in [50, 59, 99] {
        let (first, payload) = extended(&[0], end, &udp());
        assert_eq!(ports_of(Link::Ip, &ipv6(first, &payload)), None);
        assert_eq!(whole(Link::Ip, &ipv6(first, &payload)).unwrap().protocol, end);
    }
}

#[test]
fn a_cut_capture_is_not_malformed() {
    let extended = extended(&[0, 60], TCP, &tcp());
    let options = [&[1; 4][..], &tcp()].concat();
    for frame in [
        ethernet(IPV4, &ipv4(TCP, &tcp())),
        tagged(&[0x88a8, 0x8100], IPV4, &ipv4(UDP, &udp())),
        ethernet(IPV4, &ipv4_with(|header| header[0] = 0x46, TCP, &options)),
        ethernet(IPV6, &ipv6(extended.0, &extended.1)),
        ethernet(IPV4, &ipv4(ICMP, &icmp::error(11, &ipv4(UDP, &udp())))),
        ethernet(IPV4, &ipv4(DCCP, &dccp(3))),
        ethernet(IPV4, &ipv4(SCTP, &tcp())),
        ethernet(IPV4, &ipv4(UDP_LITE, &udp_lite(8))),
    ] {
        let wire_len = u32::try_from(frame.len()).unwrap();
        let complete = parse(Link::Ethernet, &frame, wire_len).unwrap();
        assert!(complete.ports.is_some());
        for captured in 0..frame.len() {
            let headers = parse(Link::Ethernet, &frame[..captured], wire_len).unwrap();
            assert!(headers.ports.is_none() || headers == complete, "{captured} bytes");
        }
    }
    for captured in 0..20 {
        let packet = &ipv4(TCP, &tcp())[..captured];
        assert_eq!(parse(Link::Ip, packet, 40), Ok(Headers::not_ip(0)));
        assert_eq!(parse(Link::LinuxSll2, packet, 60), Ok(Headers::not_ip(0)));
    }
}

#[test]
fn first_fragments_have_ports_and_later_ones_have_none() {
    let fragment = |flags: u16, payload: &[u8]| {
        let packet = ipv4_with(
            |header| {
                header[4..6].copy_from_slice(&0xbeef_u16.to_be_bytes());
                header[6..8].copy_from_slice(&flags.to_be_bytes());
            },
            UDP,
            payload,
        );
        whole(Link::Ip, &packet).unwrap()
    };
    let mut longer = udp();
    longer[4..6].copy_from_slice(&3000_u16.to_be_bytes());
    let first = fragment(0x2000, &longer);
    assert_eq!(first.fragment, Some(Fragment { id: 0xbeef, later: false }));
    assert_eq!(first.ports, Some(Ports::new(53, 31_007)));
    for later in [fragment(0x2001, &[0xff; 8]), fragment(0x1fff, &[])] {
        assert_eq!(later.fragment, Some(Fragment { id: 0xbeef, later: true }));
        assert_eq!(later.ports, None);
    }
    // "Do not fragment" alone is no fragment, and 8 bytes of TCP are enough in a first one.
    assert_eq!(fragment(0x4000, &udp()).fragment, None);
    let packet = ipv4_with(|header| header[6] = 0x20, TCP, &tcp()[..8]);
    assert_eq!(ports_of(Link::Ip, &packet), Some((53, 31_007)));
}

#[test]
fn ipv6_fragments() {
    let fragment = |offset_and_flags: u16, next: u8, payload: &[u8]| {
        let [high, low] = offset_and_flags.to_be_bytes();
        let header = [next, 0, high, low, 0xde, 0xad, 0xbe, 0xef];
        whole(Link::Ip, &ipv6(44, &[&header[..], payload].concat())).unwrap()
    };
    let mut longer = udp();
    longer[4..6].copy_from_slice(&3000_u16.to_be_bytes());
    let first = fragment(1, UDP, &longer);
    assert_eq!(first.fragment, Some(Fragment { id: 0xdead_beef, later: false }));
    assert_eq!(first.ports, Some(Ports::new(53, 31_007)));
    let (next, options_and_udp) = extended(&[60], UDP, &longer);
    assert_eq!(fragment(1, next, &options_and_udp).ports, first.ports);
    for flags in [8, 9, 0xfff8] {
        let later = fragment(flags, UDP, &[0xff; 16]);
        assert_eq!(later.fragment, Some(Fragment { id: 0xdead_beef, later: true }));
        assert_eq!(later.ports, None);
    }
    let atomic = fragment(0, UDP, &udp());
    assert_eq!((atomic.fragment, atomic.ports), (None, first.ports));
    // A fragment within a fragment.
    let nested = fragment(1, 44, &[&[UDP, 0, 0, 1, 0, 0, 0, 1], &longer[..]].concat());
    assert_eq!((nested.protocol, nested.ports), (44, None));
}
