//! ICMP errors belong to the owner of the packet they quote.

use super::*;

/// An ICMP or ICMPv6 message of `kind` with `quote` behind its 8 bytes.
pub(super) fn error(kind: u8, quote: &[u8]) -> Vec<u8> {
    [&[kind, 0, 0, 0, 0, 0, 0, 0], quote].concat()
}

#[test]
fn an_error_is_addressed_to_who_sent_the_quoted_packet() {
    for kind in [3, 4, 5, 11, 12] {
        let packet = ipv4(ICMP, &error(kind, &ipv4(UDP, &udp())));
        let headers = whole(Link::Ip, &packet).unwrap();
        let addresses = headers.addresses.unwrap();
        assert_eq!(addresses.source(), "10.0.0.1".parse::<IpAddr>().unwrap());
        assert_eq!(addresses.destination(), "10.0.0.9".parse::<IpAddr>().unwrap());
        assert_eq!(headers.ports, Some(Ports::new(31_007, 53)));
        assert_eq!((headers.protocol, headers.quoted, headers.fragment), (UDP, true, None));
    }
    for kind in 1..=4 {
        let packet = ethernet(IPV6, &ipv6(ICMPV6, &error(kind, &ipv6(TCP, &tcp()))));
        let headers = whole(Link::Ethernet, &packet).unwrap();
        let addresses = headers.addresses.unwrap();
        assert_eq!(addresses.destination(), "fd00::9".parse::<IpAddr>().unwrap());
        assert_eq!(headers.ports, Some(Ports::new(31_007, 53)));
        assert_eq!((headers.quoted, headers.network_offset), (true, 14));
    }
}

#[test]
fn other_messages_quote_nothing() {
    for kind in [0, 8, 13] {
        let packet = ipv4(ICMP, &error(kind, &ipv4(UDP, &udp())));
        let headers = whole(Link::Ip, &packet).unwrap();
        assert_eq!((headers.ports, headers.quoted, headers.protocol), (None, false, ICMP));
    }
    for kind in [0, 5, 128, 133] {
        let packet = ipv6(ICMPV6, &error(kind, &ipv6(UDP, &udp())));
        let headers = whole(Link::Ip, &packet).unwrap();
        assert_eq!((headers.ports, headers.quoted, headers.protocol), (None, false, ICMPV6));
    }
    // Each version has its own.
    let packet = ipv4(ICMPV6, &error(1, &ipv6(UDP, &udp())));
    assert_eq!(ports_of(Link::Ip, &packet), None);
    let packet = ipv6(ICMP, &error(3, &ipv4(UDP, &udp())));
    assert_eq!(ports_of(Link::Ip, &packet), None);
}

#[test]
fn echoes_have_an_identifier() {
    let echo_of = |packet: &[u8]| whole(Link::Ip, packet).unwrap().echo;
    let message = |kind: u8| vec![kind, 0, 0, 0, 0x10, 0x92, 0, 1];
    for (kind, identifier) in [(0, Some(4242)), (8, Some(4242)), (13, None), (128, None)] {
        assert_eq!(echo_of(&ipv4(ICMP, &message(kind))), identifier, "{kind}");
    }
    for (kind, identifier) in [(128, Some(4242)), (129, Some(4242)), (8, None), (135, None)] {
        assert_eq!(echo_of(&ipv6(ICMPV6, &message(kind))), identifier, "{kind}");
    }
    assert_eq!(echo_of(&ipv6(ICMPV6, &message(128)[..7])), None);
    // An error quotes the request; nobody errs about a reply.
    for (kind, identifier) in [(8, Some(4242)), (0, None)] {
        let headers = whole(Link::Ip, &ipv4(ICMP, &error(11, &ipv4(ICMP, &message(kind))))).unwrap();
        assert_eq!((headers.echo, headers.ports, headers.quoted), (identifier, None, true));
    }
    for (kind, identifier) in [(128, Some(4242)), (129, None)] {
        assert_eq!(echo_of(&ipv6(ICMPV6, &error(3, &ipv6(ICMPV6, &message(kind))))), identifier, "{kind}");
    }
    let later = ipv4_with(|header| header[7] = 1, ICMP, &message(8));
    assert_eq!((echo_of(&later), echo_of(&ipv4(ICMP, &error(11, &later)))), (None, None));
}

#[test]
fn four_bytes_behind_the_quoted_header_are_enough() {
    let quote = ipv4(UDP, &[udp(), vec![0; 1000]].concat());
    let message = error(3, &quote[..24]);
    assert_eq!(ports_of(Link::Ip, &ipv4(ICMP, &message)), Some((31_007, 53)));
    let options = ipv4_with(|header| header[0] = 0x46, TCP, &[&[1; 4][..], &PORTS].concat());
    assert_eq!(ports_of(Link::Ip, &ipv4(ICMP, &error(3, &options))), Some((31_007, 53)));
    let (first, payload) = extended(&[0, 60], UDP, &PORTS);
    let quote = ipv6_with(|header| header[4] = 0x05, first, &payload);
    assert_eq!(ports_of(Link::Ip, &ipv6(ICMPV6, &error(2, &quote))), Some((31_007, 53)));
    let first_fragment = ipv4_with(|header| header[6] = 0x20, UDP, &udp());
    assert_eq!(ports_of(Link::Ip, &ipv4(ICMP, &error(11, &first_fragment))), Some((31_007, 53)));
}

#[test]
fn a_quote_without_ports_is_not_malformed() {
    let later = ipv4_with(|header| header[7] = 1, UDP, &udp());
    for quote in [later, ipv4(ICMP, &[8; 8]), ipv4(UDP, &udp()[..3])] {
        let headers = whole(Link::Ip, &ipv4(ICMP, &error(3, &quote))).unwrap();
        assert_eq!((headers.ports, headers.quoted), (None, true));
    }
    let wrong_version = ipv6(UDP, &udp());
    let wrong_length = ipv4_with(|header| header[0] = 0x44, UDP, &udp());
    for quote in [vec![], ipv4(UDP, &udp())[..19].to_vec(), wrong_version, wrong_length] {
        let headers = whole(Link::Ip, &ipv4(ICMP, &error(3, &quote))).unwrap();
        assert_eq!((headers.ports, headers.quoted, headers.protocol), (None, false, ICMP));
    }
    let (first, cut) = extended(&[0, 60], UDP, &[]);
    let (fragment, payload) = (44, [&[UDP, 0, 0, 8, 0, 0, 0, 1][..], &udp()].concat());
    for quote in [ipv6(first, &cut[..20]), ipv6(fragment, &payload)] {
        let headers = whole(Link::Ip, &ipv6(ICMPV6, &error(1, &quote))).unwrap();
        assert_eq!((headers.ports, headers.quoted), (None, true));
    }
    for quote in [ipv6(UDP, &udp())[..39].to_vec(), ipv4(UDP, &[0; 40])] {
        let headers = whole(Link::Ip, &ipv6(ICMPV6, &error(1, &quote))).unwrap();
        assert_eq!((headers.ports, headers.quoted), (None, false));
    }
}
