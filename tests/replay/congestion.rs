//! Marks instead of drops, seen in the packets that were written.

use etherparse::{IpHeaders, Ipv4HeaderSlice, Ipv6Header, Ipv6HeaderSlice};
use portlane_stats::counters::DropReason;

use crate::packets::{Packet, ipv4, ipv6, payload, to_host, udp_over};
use crate::scene::{Replayed, Scene};
use crate::traffic::START;

const CONFIG: &str = "[[container]]\nid = \"web\"\nports = [\"80\"]\n\
                      ingress = { rate = \"5mbit\", burst = \"16kb\" }\nqueue = { ecn = true, limit = 10_000 }\n";

/// The ECN field (RFC 3168, section 5).
const NOT_ECT: u8 = 0b00;
const ECT_0: u8 = 0b10;
const CE: u8 = 0b11;

/// A second of 10 mbit, twice what the lane may send.
fn flood(ip: impl Fn() -> IpHeaders) -> Replayed {
    let frame = |number: u32| {
        let bytes = udp_over(ip(), to_host(80), &payload(1_208, number));
        Packet::ethernet(START + u64::from(number) * 1_000_000, bytes)
    };
    Scene::new(CONFIG, &(1..=1_000).map(frame).collect::<Vec<_>>()).replay(&[])
}

fn over_ipv4(ecn: u8) -> Replayed {
    let mut header = ipv4(to_host(80));
    header.ecn = ecn.try_into().unwrap();
    flood(|| IpHeaders::Ipv4(header.clone(), Default::default()))
}

#[test]
fn capable_packets_are_marked_and_none_is_dropped() {
    let replayed = over_ipv4(ECT_0);
    let web = replayed.ingress("web");
    assert_eq!(web.dropped().packets, 0);
    assert!(web.ecn_marks > 10, "{} marks", web.ecn_marks);
    let headers = replayed.written.iter().map(|packet| Ipv4HeaderSlice::from_slice(&packet.bytes[14..]).unwrap());
    let mut marked = 0;
    for header in headers {
        let header = header.to_header();
        assert_eq!(header.header_checksum, header.calc_header_checksum());
        marked += u64::from(header.ecn.value() == CE);
    }
    assert_eq!(marked, web.ecn_marks, "what is counted is what is on the wire");
}

#[test]
fn over_ipv6_too() {
    let replayed = flood(|| IpHeaders::Ipv6(Ipv6Header { traffic_class: ECT_0, ..ipv6() }, Default::default()));
    let web = replayed.ingress("web");
    assert_eq!(web.dropped().packets, 0);
    let headers = replayed.written.iter().map(|packet| Ipv6HeaderSlice::from_slice(&packet.bytes[14..]).unwrap());
    let marked = headers.filter(|header| header.traffic_class() == CE).count();
    assert!(marked > 10 && marked as u64 == web.ecn_marks, "{marked} of {} marks", web.ecn_marks);
}

#[test]
fn packets_that_are_not_capable_are_dropped() {
    let replayed = over_ipv4(NOT_ECT);
    let web = replayed.ingress("web");
    assert!(web.ecn_marks == 0 && web.dropped_for(DropReason::Codel) > 10, "{web:?}");
}
