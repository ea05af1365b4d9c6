//! Captures of all kinds: link types, cut packets, fragments, impossible lengths, times that run backwards.

use etherparse::{EtherType, Ethernet2Header, Ipv4Header, LinuxSllPacketType, PacketBuilder};
use portlane_pcap::LinkType;
use portlane_stats::counters::DropReason;

use crate::packets::{CLIENT, HOST, Packet, ipv4, payload, to_host, udp, udp6, written};
use crate::scene::{Scene, THREE};
use crate::traffic::START;

/// Linux cooked headers; the second version is built by hand (LINKTYPE_LINUX_SLL2: protocol first).
fn cooked(number: u32) -> [Packet; 2] {
    let builder = PacketBuilder::linux_sll(LinuxSllPacketType::OTHERHOST, 6, [2, 2, 2, 2, 2, 2, 0, 0]);
    let builder = builder.ipv4(CLIENT, HOST, 64).udp(1_234, 32_000);
    let first = written(|out| builder.write(out, &payload(100, number)).unwrap());
    let header = [0x08, 0x00, 0, 0, 0, 0, 0, 7, 0, 1, 4, 6, 2, 2, 2, 2, 2, 2, 0, 0];
    let second = [&header[..], &udp(to_host(32_000), &payload(100, number + 1))[14..]].concat();
    [Packet::new(START, LinkType::LINUX_SLL, first), Packet::new(START, LinkType::LINUX_SLL2, second)]
}

#[test]
fn every_link_type_in_one_capture() {
    let v4 = |number| udp(to_host(32_000), &payload(100, number));
    let v6 = |number| udp6((1_234, 32_000), &payload(100, number));
    let mut packets = vec![
        Packet::ethernet(START, v4(1)),
        Packet::new(START, LinkType::RAW, v4(2)[14..].to_vec()),
        Packet::new(START, LinkType::RAW, v6(3)[14..].to_vec()),
        Packet::new(START, LinkType::IPV4, v4(4)[14..].to_vec()),
        Packet::new(START, LinkType::IPV6, v6(5)[14..].to_vec()),
    ];
    packets.extend(cooked(6));
    let mut replayed = Scene::new(THREE, &packets).replay(&[]);
    assert_eq!(replayed.offered(), [("fast", "ingress", 7)]);
    // They are of two flows, which take turns.
    replayed.written.sort_by_key(Packet::number);
    assert_eq!(replayed.written, packets, "with the link types that they came with");
}

/// Cut packets are shaped by the length that they had, and written as they were captured.
#[test]
fn cut_packets() {
    let frame = |number: u32| Packet::ethernet(START, udp(to_host(33_000), &payload(1_400, number))).cut(60);
    let packets: Vec<_> = (1..=50).map(frame).collect();
    let replayed = Scene::new(THREE, &packets).replay(&[]);
    let slow = replayed.ingress("slow");
    assert_eq!((slow.offered_packets, slow.offered_bytes), (50, 50 * 1_442));
    assert_eq!(slow.dropped().packets, 0);
    let kept = replayed.written.iter().zip(&packets);
    assert!(kept.clone().all(|(left, arrived)| left.bytes == arrived.bytes && left.original_len == 1_442));
    // 72,100 bytes, of which the burst of 65,536 pays for 46 packets (into debt); at 20 mbit a byte takes 400 ns.
    let waited: Vec<_> = replayed.written[45..].iter().map(|packet| packet.time_ns - START).collect();
    assert_eq!(waited, [0, 318_400, 895_200, 1_472_000, 2_048_800]);
}

#[test]
fn fragments_follow_their_first() {
    let datagram = &udp(to_host(32_000), &payload(3_000, 1))[34..];
    let fragment = |identification, offset: usize, end: usize| {
        let mut header = Ipv4Header { identification, ..ipv4(to_host(32_000)) };
        header.fragment_offset = u16::try_from(offset / 8).unwrap().try_into().unwrap();
        header.more_fragments = end < datagram.len();
        header.set_payload_len(end - offset).unwrap();
        header.header_checksum = header.calc_header_checksum();
        let link = Ethernet2Header { source: [2; 6], destination: [4; 6], ether_type: EtherType::IPV4 };
        let bytes = [&link.to_bytes()[..], &header.to_bytes(), &datagram[offset..end]].concat();
        Packet::ethernet(START, bytes)
    };
    let whole = |identification| {
        [(0, 1_480), (1_480, 2_960), (2_960, datagram.len())].map(|(from, to)| fragment(identification, from, to))
    };
    let mut packets = whole(1).to_vec();
    packets.extend_from_slice(&whole(2)[1..]);
    let replayed = Scene::new(THREE, &packets).replay(&[]);
    assert_eq!(replayed.offered(), [("fast", "ingress", 3), ("unmatched", "ingress", 2)]);
}

#[test]
fn packets_longer_than_a_frame_leave_whole() {
    let packets: Vec<_> = [1_471, 2_070, 2_071, 9_000, 60_000]
        .iter()
        .zip(1..)
        .map(|(&len, number)| Packet::ethernet(START, udp(to_host(33_000), &payload(len, number))))
        .collect();
    let replayed = Scene::new(THREE, &packets).replay(&[]);
    assert_eq!(replayed.offered(), [("slow", "ingress", 5)]);
    let pairs: Vec<_> = replayed.written.iter().zip(&packets).collect();
    assert!(pairs.len() == 5 && pairs.iter().all(|(left, arrived)| left.bytes == arrived.bytes));
}

/// A capture may claim any length; what no network carries is refused by the lane and counted.
#[test]
fn a_packet_that_claims_four_gibibytes() {
    let claim =
        |port, original_len| Packet { original_len, ..Packet::ethernet(START, udp(to_host(port), &payload(100, 1))) };
    let packets = [claim(33_000, u32::MAX), claim(34_000, u32::MAX), claim(33_000, 1 << 20), claim(33_000, 142)];
    let replayed = Scene::new(THREE, &packets).replay(&[]);
    for id in ["slow", "free"] {
        assert_eq!(replayed.ingress(id).dropped_for(DropReason::Oversize), 1, "{id}");
    }
    assert_eq!(replayed.written.iter().map(|packet| packet.original_len).collect::<Vec<_>>(), [1 << 20, 142]);
}

#[test]
fn times_that_run_backwards_are_held_and_counted() {
    let times = [100, 50, 70, 200, 199, 300];
    let frame = |(number, &time)| Packet::ethernet(START + time, udp(to_host(34_000), &payload(100, number)));
    let packets: Vec<_> = (1..).zip(&times).map(frame).collect();
    let replayed = Scene::new(THREE, &packets).replay(&[]);
    assert_eq!(replayed.stats.totals.backwards_timestamps, 3);
    let left: Vec<_> = replayed.written.iter().map(|packet| (packet.number(), packet.time_ns - START)).collect();
    assert_eq!(left, [(1, 100), (2, 100), (3, 100), (4, 200), (5, 200), (6, 300)]);
}
