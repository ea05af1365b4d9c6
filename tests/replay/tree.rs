//! The tree of the manual: two groups and six containers get what docs/manual/shaping.md says.

use crate::packets::{Packet, from_host, payload, udp};
use crate::scene::Scene;
use crate::traffic::START;

const TREE: &str = include_str!("../../examples/tree.toml");

/// A port of each container: web, api, jobs, shop, mail, backup.
const PORTS: [u16; 6] = [31_000, 31_100, 31_200, 31_300, 31_400, 31_500];

const MILLISECOND: u64 = 1_000_000;
const OFFERED_FOR: u64 = 3_000 * MILLISECOND;
/// From here on bursts are spent and all queues have filled.
const COUNTED_FROM: u64 = 1_000 * MILLISECOND;

/// Kilobits a second of what containers send that offer 25 mbit each, or nothing.
fn rates(config: &str, offering: [bool; 6]) -> [u64; 6] {
    // A frame of 1,514 bytes every 484,480 ns is 25 mbit. The capture keeps the headers.
    let step = 1_514 * 8 * 1_000 / 25;
    let offered = (0..OFFERED_FOR / step).flat_map(|round| PORTS.iter().zip(offering).map(move |port| (round, port)));
    let packets = offered.filter(|(_, (_, offers))| *offers).map(|(round, (&port, _))| {
        let frame = udp(from_host(port), &payload(1_514 - 42, 0));
        Packet::ethernet(START + round * step, frame).cut(60)
    });
    let replayed = Scene::new(config, &packets.collect::<Vec<_>>()).replay(&[]);
    let mut bytes = [0_u64; 6];
    let window = START + COUNTED_FROM..START + OFFERED_FOR;
    for packet in replayed.written.iter().filter(|packet| window.contains(&packet.time_ns)) {
        let port = u16::from_be_bytes([packet.bytes[34], packet.bytes[35]]);
        let place = PORTS.iter().position(|&known| known == port).unwrap();
        bytes[place] += u64::from(packet.original_len);
    }
    bytes.map(|bytes| bytes * 8 * MILLISECOND / (OFFERED_FOR - COUNTED_FROM))
}

/// Within 2 %: turns at the link are up to 66 packets long, and two seconds are few of them.
fn assert_close(case: &str, found: [u64; 6], expected: [u64; 6]) {
    for (found_one, expected_one) in found.into_iter().zip(expected) {
        assert!(found_one.abs_diff(expected_one) * 50 <= expected_one, "{case}: {found:?} kbit, expected {expected:?}");
    }
}

#[test]
fn the_tree_of_the_manual_shares_as_the_manual_says() {
    let all = rates(TREE, [true; 6]);
    assert_close("all six", all, [6_600, 2_200, 2_000, 4_800, 2_400, 2_000]);
    let silent_b = rates(TREE, [true, true, true, false, false, false]);
    assert_close("tenant-b is silent", silent_b, [13_500, 4_500, 2_000, 0, 0, 0]);
    let last_priorities = rates(TREE, [false, false, true, false, false, true]);
    assert_close("jobs and backup", last_priorities, [0, 0, 8_000, 0, 0, 12_000]);
    let over_subscribed = rates(&TREE.replacen("20mbit", "9mbit", 1), [true; 6]);
    // `backup` has no rate, and keeps 1/1024 of its group's: a packet now and then.
    let [.., backup] = over_subscribed;
    assert!(backup < 20, "{over_subscribed:?}");
    assert_close("a link of 9 mbit", over_subscribed, [3_000, 1_000, 1_000, 2_664, 1_332, backup]);
}
