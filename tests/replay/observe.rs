//! Limits that are only watched: packets leave as they came, and what would have been is told.

use portlane_stats::lane::LaneMode;

use crate::packets::{Packet, ipv4, payload, to_host, udp_over};
use crate::scene::{Replayed, Scene};
use crate::traffic::START;

const CONFIG: &str = "[[container]]\nid = \"web\"\nports = [\"80\"]\n\
                      ingress = { rate = \"5mbit\", burst = \"16kb\" }\nqueue = { ecn = true, limit = 400 }\n";

/// A second of 10 mbit, twice what the lane may send; packets of ECN-capable flows in turns with others.
fn flood(mode: &str) -> Replayed {
    let frame = |number: u32| {
        let mut header = ipv4(to_host(80));
        header.ecn = (if number.is_multiple_of(2) { 0b10 } else { 0b00 }).try_into().unwrap();
        let bytes =
            udp_over(etherparse::IpHeaders::Ipv4(header, Default::default()), to_host(80), &payload(1_208, number));
        Packet::ethernet(START + u64::from(number) * 1_000_000, bytes)
    };
    Scene::new(&format!("{mode}{CONFIG}"), &(1..=1_000).map(frame).collect::<Vec<_>>()).replay(&[])
}

#[test]
fn packets_leave_as_they_came_and_what_would_have_been_is_told() {
    let (enforced, observed) = (flood(""), flood("mode = \"observe\"\n"));
    assert_eq!(observed.written.len(), 1_000);
    let times = observed.written.iter().zip(0..).map(|(packet, number)| packet.time_ns - number * 1_000_000);
    assert!(times.into_iter().all(|time| time == START + 1_000_000), "each at its arrival");
    assert!(observed.written.iter().all(|packet| packet.bytes[15] & 0b11 != 0b11), "none is marked");
    let (is, watched) = (enforced.ingress("web"), observed.ingress("web"));
    let would = watched.would.as_ref().unwrap();
    assert!(is.ecn_marks > 10 && is.dropped().packets > 10);
    assert_eq!((would.ecn_marks, &would.drops, would.sojourn_ns), (is.ecn_marks, &is.drops, is.sojourn_ns));
    assert_eq!((&watched.traffic_control, &watched.class), (&is.traffic_control, &is.class));
    assert!(would.delayed_packets > 500 && would.delayed_packets <= would.sent_packets);
    assert_eq!((watched.mode, watched.sent_packets, watched.dropped().packets), (LaneMode::Observe, 1_000, 0));
    assert_eq!((watched.ecn_marks, watched.sojourn_ns.max), (0, 0));
}
