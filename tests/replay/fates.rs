//! What becomes of packets: every one is counted once, none is lost, made, changed or early.

use std::collections::{BTreeMap, HashMap};

use portlane_stats::counters::DropReason;

use crate::packets::{Packet, payload, to_host, udp};
use crate::scene::{Replayed, Scene, THREE};
use crate::traffic::{Offered, START, mixed};

fn packets(traffic: &[Offered]) -> Vec<Packet> {
    traffic.iter().map(|offered| offered.packet.clone()).collect()
}

/// The packets that left, each with the one that arrived.
fn pairs(traffic: &[Offered], written: &[Packet]) -> Vec<(usize, Packet)> {
    let arrived: HashMap<_, _> = (0..).zip(traffic).map(|(place, offered)| (offered.packet.number(), place)).collect();
    assert_eq!(arrived.len(), traffic.len(), "every packet has a number of its own");
    written.iter().map(|packet| (arrived[&packet.number()], packet.clone())).collect()
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let scene = Scene::new(THREE, &packets(&mixed(3_000)));
    scene.replay(&[]);
    let first = (scene.bytes("out.pcapng"), scene.bytes("out.json"));
    scene.replay(&[]);
    assert!(first == (scene.bytes("out.pcapng"), scene.bytes("out.json")));
}

#[test]
fn lanes_are_offered_what_an_independent_count_says() {
    let traffic = mixed(5_000);
    let replayed = Scene::new(THREE, &packets(&traffic)).replay(&[]);
    let mut expected: BTreeMap<_, (u64, u64)> = BTreeMap::new();
    for Offered { packet, lane } in &traffic {
        let (count, bytes) = expected.entry(*lane).or_default();
        (*count, *bytes) = (*count + 1, *bytes + u64::from(packet.original_len));
    }
    for (lane, offered) in &expected {
        let Some((id, direction)) = lane else { continue };
        let report = if *direction == "ingress" { replayed.ingress(id) } else { replayed.egress(id) };
        assert_eq!((report.offered_packets, report.offered_bytes), *offered, "{id} {direction}");
    }
    assert_eq!(replayed.offered().len(), expected.len() - 1, "no other lane was offered anything");

    let totals = &replayed.stats.totals;
    assert_eq!(totals.received, 5_000);
    assert_eq!(totals.unmatched, expected[&Some(("unmatched", "ingress"))].0);
    assert_eq!(totals.malformed, BTreeMap::from([("ipv4_total_length".to_owned(), expected[&None].0)]));
}

#[test]
fn packets_leave_once_unchanged_in_order_and_never_early() {
    let traffic = mixed(20_000);
    // A lane of one queue has one order, and one of FQ-CoDel an order for each flow: headers with both ports in them.
    leave_once_unchanged_in_order_and_never_early(&traffic, &THREE.replace("fq_codel", "codel"), |_| vec![]);
    leave_once_unchanged_in_order_and_never_early(&traffic, THREE, flow);
}

/// What tells flows apart in the traffic: the type of an Ethernet frame, and of IP without options, tagged or not, version
/// 4 or 6, protocol and ports.
fn flow(frame: &[u8]) -> Vec<u8> {
    let tag = if frame[12..14] == [0x81, 0] { 4 } else { 0 };
    let network = 14 + tag;
    match frame[network - 2..network] {
        [8, 0] => [&[4, frame[network + 9]], &frame[network + 20..network + 24]].concat(),
        [0x86, 0xdd] => [&[6, frame[network + 6]], &frame[network + 40..network + 44]].concat(),
        _ => vec![0],
    }
}

fn leave_once_unchanged_in_order_and_never_early(traffic: &[Offered], config: &str, order: fn(&[u8]) -> Vec<u8>) {
    let Replayed { stats, written } = Scene::new(config, &packets(traffic)).replay(&[]);
    assert!(written.is_sorted_by_key(|packet| packet.time_ns), "the capture is in the order of departures");
    let mut last: HashMap<_, usize> = HashMap::new();
    for (place, left) in pairs(traffic, &written) {
        let Offered { packet: arrived, lane } = &traffic[place];
        assert!(left.time_ns >= arrived.time_ns, "packet {place} left before it arrived");
        assert_eq!((&left.bytes, left.original_len), (&arrived.bytes, arrived.original_len), "packet {place}");
        if let Some(before) = last.insert((*lane, order(&arrived.bytes)), place) {
            assert!(before < place, "packets {before} and {place} of {lane:?} changed places");
        }
    }
    let dropped = traffic.len() - written.len();
    assert_eq!(stats.totals.dropped, dropped as u64);
    let malformed: u64 = stats.totals.malformed.values().sum();
    assert!(stats.totals.dropped > malformed + 20, "the limits are felt: {dropped} dropped");
}

/// Over any interval a limited lane sends no more than its burst, what the rate earns, and the packet that it owes.
#[test]
fn a_limit_holds_over_every_interval() {
    let traffic = mixed(20_000);
    let replayed = Scene::new(THREE, &packets(&traffic)).replay(&[]);
    let left = pairs(&traffic, &replayed.written);
    for (lane, bits_per_second) in [(("fast", "ingress"), 50_000_000_u128), (("slow", "ingress"), 20_000_000)] {
        // In nanobits, to stay whole: sent so far minus earned so far, and the least that ever was.
        let (mut balance, mut least) = (0_i128, 0_i128);
        let mut time_ns = START;
        let mut most = 0;
        for (_, packet) in left.iter().filter(|(place, _)| traffic[*place].lane == Some(lane)) {
            let earned = bits_per_second * u128::from(packet.time_ns - time_ns);
            balance -= i128::try_from(earned).unwrap();
            least = least.min(balance);
            balance += i128::from(packet.original_len) * 8_000_000_000;
            most = most.max(balance - least);
            time_ns = packet.time_ns;
        }
        let allowed = i128::from(65_536 + 1_514) * 8_000_000_000;
        assert!(most <= allowed, "{lane:?} sent {most} of {allowed} nanobits");
    }
    let slow = replayed.ingress("slow");
    assert!(slow.dropped_for(DropReason::Codel) > 0 && slow.bw_limit().overlimits > 0, "{slow:?}");
    assert!(slow.sojourn_ns.count == slow.sent_packets && slow.sojourn_ns.p50 > 0);
    assert_eq!(replayed.ingress("free").dropped().packets, 0, "who is not limited loses nothing");
    assert_eq!(replayed.ingress("free").sojourn_ns.max, 0, "and waits for nobody");
}

/// After the last arrival time runs on until all lanes are empty.
#[test]
fn what_waits_at_the_end_still_leaves() {
    let config = "[[container]]\nid = \"web\"\nports = [\"80\"]\ningress = { rate = \"8kbit\" }\n\
                  queue = { kind = \"fifo\" }\n";
    let frames = (1..=100).map(|number| Packet::ethernet(START, udp(to_host(80), &payload(958, number))));
    let Replayed { stats, written } = Scene::new(config, &frames.collect::<Vec<_>>()).replay(&[]);
    // Of 1,000 bytes each, at 1,000 bytes a second: two for the burst of 1,600 bytes, then one a second, 400 ms early.
    assert_eq!(written.len(), 100);
    assert_eq!(written[1].time_ns, START);
    assert_eq!(written[2].time_ns, START + 400_000_000);
    assert_eq!(written[99].time_ns, START + 97_400_000_000);
    assert_eq!(stats.duration_ns, 97_400_000_000);
}

#[test]
fn a_burst_of_arrivals_at_one_instant_overflows_a_queue_by_its_tail() {
    let config = "[[container]]\nid = \"web\"\nports = [\"80\"]\ningress = { rate = \"1mbit\" }\n\
                  queue = { kind = \"codel\", limit = 100 }\n";
    let frames = (1..=1_000).map(|number| Packet::ethernet(START, udp(to_host(80), &payload(1_000, number))));
    let replayed = Scene::new(config, &frames.collect::<Vec<_>>()).replay(&[]);
    let web = replayed.ingress("web");
    let full = web.dropped_for(DropReason::Limit);
    assert!((800..=900).contains(&full), "{full} found the queue full");
    let numbers: Vec<_> = replayed.written.iter().map(Packet::number).collect();
    assert!(numbers.is_sorted() && numbers[0] == 1);
    assert!(numbers.iter().all(|&number| u64::from(number) <= 1_000 - full), "who came first was served");
}
