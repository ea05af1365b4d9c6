//! Input that lies.

use std::io::{self, Read};

use portlane_pcap::{Damage, MAX_BLOCK_LEN, MAX_PACKET_LEN, ReadError, Writer};
use proptest::prelude::*;

use crate::bytes::*;

/// The damage found after `good` packets.
fn damage_of(capture: &[u8], good: usize) -> Damage {
    let (packets, error) = read_all(capture);
    assert_eq!(packets.len(), good);
    match error {
        Some(ReadError::Damaged { damage, packet, .. }) => {
            assert_eq!(usize::try_from(packet), Ok(good + 1));
            damage
        }
        other => panic!("expected damage, got {other:?}"),
    }
}

fn pcapng_start(order: Order) -> Vec<u8> {
    let start = [section(order), interface(order, 1, 0, &[]), enhanced(order, 0, 1, b"good", 4)];
    start.concat()
}

#[test]
fn lengths_beyond_the_limits_are_refused_as_such() {
    for order in ORDERS {
        for length in [MAX_PACKET_LEN + 1, u32::MAX] {
            let mut record = pcap_record(order, (0, 0), b"abcd", 4);
            record[8..12].copy_from_slice(&order.u32(length));
            let capture = [pcap_header(order, PCAP_MICROS, 1), record].concat();
            let expected = Damage::TooLong { record: "packet record", length, limit: MAX_PACKET_LEN };
            assert_eq!(damage_of(&capture, 0), expected);
        }
        for length in [MAX_BLOCK_LEN + 4, u32::MAX - 3, u32::MAX] {
            let mut packet = enhanced(order, 0, 1, b"abcd", 4);
            packet[4..8].copy_from_slice(&order.u32(length));
            let expected = Damage::TooLong { record: "Enhanced Packet Block", length, limit: MAX_BLOCK_LEN };
            let capture = [pcapng_start(order), packet].concat();
            assert_eq!(damage_of(&capture, 1), expected);
        }
        for captured in [5, MAX_PACKET_LEN + 1, u32::MAX] {
            let mut packet = enhanced(order, 0, 1, b"abcd", 4);
            packet[20..24].copy_from_slice(&order.u32(captured));
            damage_of(&[pcapng_start(order), packet].concat(), 1);
        }
    }
}

#[test]
fn broken_blocks_are_damage() {
    let order = Order::Little;
    let mut lengths_differ = enhanced(order, 0, 1, b"abcd", 4);
    let last = lengths_differ.len() - 4;
    lengths_differ[last] ^= 4;
    let mut too_short = block(order, 5, b"");
    too_short[4] = 8;
    let mut misaligned = block(order, 5, b"abcd");
    misaligned[4] += 1;
    let mut unknown_order = section(order);
    unknown_order[8] ^= 1;
    let mut next_version = section(order);
    next_version[12] = 2;
    let broken = [
        lengths_differ,
        too_short,
        misaligned,
        unknown_order,
        next_version,
        block(order, 6, b"short"),
        block(order, 3, b""),
        block(order, 1, b"abcd"),
        block(order, 0x0a0d_0d0a, &order.u32(0x1a2b_3c4d)),
        interface(order, 1, 0, &[option(order, 9, b"12")]),
        interface(order, 1, 0, &[option(order, 14, b"1234")]),
        interface(order, 1, 0, &[order.u32(0xffff_0002).to_vec()]),
        enhanced(order, 1, 1, b"abcd", 4),
        enhanced(order, 0, 1, b"abcd", 3),
        enhanced(order, 0, u64::MAX, b"abcd", 4),
        simple(order, b"abcd", 5),
    ];
    for bytes in broken {
        let capture = [pcapng_start(order), bytes.clone(), section(order)].concat();
        let damage = damage_of(&capture, 1);
        assert!(!matches!(damage, Damage::Cut { .. }), "{bytes:x?}: {damage}");
    }
}

#[test]
fn garbage_in_the_middle_ends_a_capture_with_its_place() {
    let order = Order::Big;
    for garbage in [&[0xff; 64][..], &b"GET / HTTP/1.1\r\nHost: example\r\n\r\n"[..]] {
        let start = [pcap_header(order, PCAP_NANOS, 1), pcap_record(order, (1, 1), b"abc", 3)].concat();
        damage_of(&[&start[..], garbage].concat(), 1);
        damage_of(&[&pcapng_start(order)[..], garbage].concat(), 1);
    }
}

#[test]
fn impossible_records_of_pcap_are_damage() {
    let order = Order::Little;
    for (magic, record) in [
        (PCAP_MICROS, pcap_record(order, (1, 1_000_000), b"abc", 3)),
        (PCAP_NANOS, pcap_record(order, (1, 1_000_000_000), b"abc", 3)),
        (PCAP_NANOS, pcap_record(order, (1, 1), b"abc", 2)),
    ] {
        damage_of(&[pcap_header(order, magic, 1), record].concat(), 0);
    }
}

#[test]
fn interfaces_of_a_section_are_bounded() {
    let order = Order::Little;
    let one = interface(order, 1, 0, &[]);
    let many = [section(order), one.repeat(65_536)].concat();
    assert_eq!(read_whole(&[&many[..], &many[..]].concat()), []);
    damage_of(&[many, one].concat(), 0);
}

#[test]
fn an_input_that_fails_is_told_with_its_place() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("unplugged"))
        }
    }
    let start = pcapng_start(Order::Little);
    let (packets, error) = read_all(start.as_slice().chain(Failing));
    assert_eq!(packets.len(), 1);
    let expected = format!("cannot be read beyond byte {}: unplugged", start.len());
    assert_eq!(error.expect("fails").to_string(), expected);
}

fn small_capture() -> impl Strategy<Value = Vec<u8>> {
    let order = Order::Little;
    let mut pcap = pcap_header(order, PCAP_MICROS, 1);
    let mut pcapng = Writer::new(Vec::new()).expect("memory");
    for n in 0..8_u8 {
        let data = vec![n; usize::from(n) * 5];
        pcap.extend(pcap_record(order, (1, n.into()), &data, 100));
        let link = portlane_pcap::LinkType::SUPPORTED[usize::from(n) % 6];
        pcapng.write(link, n.into(), &data, 100).expect("memory");
    }
    prop_oneof![Just(pcap), Just(pcapng.finish().expect("memory"))]
}

proptest! {
    /// `read_all` checks what holds for any input; here it only has to come back.
    #[test]
    fn mutated_captures_never_panic(
        mut capture in small_capture(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        for (at, value) in changes {
            *at.get_mut(&mut capture) = value;
        }
        read_all(capture.as_slice());
    }

    #[test]
    fn random_bytes_after_a_header_never_panic(
        big in any::<bool>(),
        bytes in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let order = if big { Order::Big } else { Order::Little };
        read_all(bytes.as_slice());
        for start in [pcap_header(order, PCAP_NANOS, 1), section(order), pcapng_start(order)] {
            read_all([&start[..], &bytes].concat().as_slice());
        }
    }

    #[test]
    fn random_bodies_of_known_blocks_never_panic(
        kind in prop::sample::select(vec![1_u32, 2, 3, 6, 0x0a0d_0d0a]),
        body in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let order = Order::Big;
        let good = enhanced(order, 0, 1, b"abc", 3);
        read_all([pcapng_start(order), block(order, kind, &body), good].concat().as_slice());
    }
}
