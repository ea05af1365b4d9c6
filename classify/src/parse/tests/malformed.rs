//! One frame, or more, for each reason.

use std::collections::HashSet;

use super::*;
use Malformed::*;

fn of_links() -> Vec<(Malformed, Link, Vec<u8>)> {
    vec![
        (EthernetTruncated, Link::Ethernet, vec![]),
        (EthernetTruncated, Link::Ethernet, ethernet(IPV4, &[])[..13].to_vec()),
        (CookedTruncated, Link::LinuxSll, vec![0; 15]),
        (CookedTruncated, Link::LinuxSll2, vec![0; 19]),
        (VlanTruncated, Link::Ethernet, tagged(&[0x8100], IPV4, &[])[..17].to_vec()),
        (VlanTruncated, Link::Ethernet, tagged(&[0x88a8, 0x8100], IPV4, &[])[..18].to_vec()),
        (IpTruncated, Link::Ip, vec![]),
        (IpVersion, Link::Ip, vec![0x55; 60]),
    ]
}

fn of_ipv4() -> Vec<(Malformed, Link, Vec<u8>)> {
    let with = |index: usize, value: u8| ethernet(IPV4, &ipv4_with(|header| header[index] = value, UDP, &udp()));
    vec![
        (Ipv4Truncated, Link::Ip, ipv4(UDP, &[])[..19].to_vec()),
        (Ipv4Truncated, Link::Ethernet, ethernet(IPV4, &[])),
        (Ipv4Version, Link::Ethernet, with(0, 0x65)),
        (Ipv4Version, Link::Ethernet, ethernet(IPV4, &ipv6(UDP, &udp()))),
        (Ipv4HeaderLength, Link::Ethernet, with(0, 0x44)),
        (Ipv4HeaderLength, Link::Ethernet, with(0, 0x40)),
        // 32 bytes of header in a packet of 28.
        (Ipv4HeaderLength, Link::Ethernet, with(0, 0x48)),
        (Ipv4HeaderLength, Link::Ethernet, with(3, 19)),
        (Ipv4TotalLength, Link::Ethernet, with(3, 29)),
        (Ipv4TotalLength, Link::Ethernet, with(2, 0xff)),
    ]
}

fn of_ipv6() -> Vec<(Malformed, Link, Vec<u8>)> {
    let with = |index: usize, value: u8| ethernet(IPV6, &ipv6_with(|header| header[index] = value, UDP, &udp()));
    let (first, nine) = extended(&[60; 9], UDP, &udp());
    vec![
        (Ipv6Truncated, Link::Ip, ipv6(UDP, &[])[..39].to_vec()),
        (Ipv6Version, Link::Ethernet, with(0, 0x45)),
        (Ipv6PayloadLength, Link::Ethernet, with(5, 9)),
        (Ipv6ExtensionTruncated, Link::Ip, ipv6(0, &[UDP, 0, 0, 0, 0, 0, 0])),
        (Ipv6ExtensionTruncated, Link::Ip, ipv6(60, &[UDP, 1, 0, 0, 0, 0, 0, 0])),
        (Ipv6ExtensionTruncated, Link::Ip, ipv6(51, &[UDP, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
        (Ipv6ExtensionTruncated, Link::Ip, ipv6(44, &[UDP, 0, 0, 1])),
        (Ipv6ExtensionCount, Link::Ip, ipv6(first, &nine)),
    ]
}

fn of_transports() -> Vec<(Malformed, u8, Vec<u8>)> {
    let changed = |mut segment: Vec<u8>, index: usize, value: u8| {
        segment[index] = value;
        segment
    };
    vec![
        (TcpTruncated, TCP, vec![]),
        (TcpTruncated, TCP, tcp()[..19].to_vec()),
        (TcpDataOffset, TCP, changed(tcp(), 12, 0x4f)),
        (TcpDataOffset, TCP, changed(tcp(), 12, 0x60)),
        (UdpTruncated, UDP, udp()[..7].to_vec()),
        (UdpLength, UDP, changed(udp(), 5, 7)),
        (UdpLength, UDP, changed(udp(), 5, 0)),
        (UdpLength, UDP, changed(udp(), 5, 9)),
        (UdpLiteTruncated, UDP_LITE, udp_lite(0)[..7].to_vec()),
        (UdpLiteCoverage, UDP_LITE, udp_lite(1)),
        (UdpLiteCoverage, UDP_LITE, udp_lite(7)),
        (UdpLiteCoverage, UDP_LITE, udp_lite(9)),
        (SctpTruncated, SCTP, vec![0; 11]),
        (DccpTruncated, DCCP, dccp(3)[..11].to_vec()),
        (DccpDataOffset, DCCP, dccp(2)),
        (DccpDataOffset, DCCP, dccp(4)),
    ]
}

fn of_icmp() -> Vec<(Malformed, Link, Vec<u8>)> {
    vec![
        (IcmpTruncated, Link::Ip, ipv4(ICMP, &[3, 0, 0, 0, 0, 0, 0])),
        (Icmpv6Truncated, Link::Ip, ipv6(ICMPV6, &[128, 0, 0])),
        (Icmpv6Truncated, Link::Ip, ipv6(ICMPV6, &[1, 0, 0, 0, 0, 0, 0])),
    ]
}

fn of_first_fragments() -> Vec<(Malformed, Link, Vec<u8>)> {
    let first = |protocol, payload: &[u8]| ipv4_with(|header| header[6] = 0x20, protocol, payload);
    vec![
        (TcpTruncated, Link::Ip, first(TCP, &tcp()[..7])),
        (UdpTruncated, Link::Ip, first(UDP, &udp()[..7])),
        (UdpLength, Link::Ip, first(UDP, &[0; 8])),
        (UdpLiteTruncated, Link::Ip, first(UDP_LITE, &[0; 7])),
        (SctpTruncated, Link::Ip, first(SCTP, &[0; 7])),
        (DccpTruncated, Link::Ip, first(DCCP, &[0; 7])),
        (IcmpTruncated, Link::Ip, first(ICMP, &[0; 7])),
    ]
}

#[test]
fn each_reason_has_its_frames() {
    let mut cases = [of_links(), of_ipv4(), of_ipv6(), of_icmp(), of_first_fragments()].concat();
    for (reason, protocol, segment) in of_transports() {
        cases.push((reason, Link::Ip, ipv4(protocol, &segment)));
        if !segment.is_empty() {
            cases.push((reason, Link::Ip, ipv6(protocol, &segment)));
        }
    }
    for (reason, link, frame) in &cases {
        assert_eq!(whole(*link, frame), Err(*reason), "{frame:02x?}");
    }
    let seen: HashSet<_> = cases.iter().map(|(reason, ..)| *reason).collect();
    let missing: Vec<_> = Malformed::ALL.iter().filter(|reason| !seen.contains(reason)).collect();
    assert!(missing.is_empty(), "no frame for {missing:?}");
}
