//! Every variant of the two formats.

use crate::bytes::*;

#[test]
fn pcap_in_both_orders_and_both_resolutions() {
    for order in ORDERS {
        for (magic, fraction_ns) in [(PCAP_MICROS, 999_999_000), (PCAP_NANOS, 999_999)] {
            let capture = [
                pcap_header(order, magic, 1),
                pcap_record(order, (1, 2), b"abc", 3),
                pcap_record(order, (u32::MAX, 999_999), b"", 1500),
            ]
            .concat();
            let tick = fraction_ns / 999_999;
            let expected = [
                owned(1_000_000_000 + 2 * tick, 0, 1, b"abc", 3),
                owned(4_294_967_295_000_000_000 + fraction_ns, 0, 1, b"", 1500),
            ];
            assert_eq!(read_whole(&capture), expected, "{order:?} {magic:x}");
        }
    }
}

#[test]
fn pcap_link_field_may_tell_of_a_frame_check_sequence() {
    let capture = [pcap_header(Order::Little, PCAP_MICROS, 0x4400_0071), pcap_record(Order::Little, (0, 0), b"x", 1)];
    assert_eq!(read_whole(&capture.concat())[0].link, 113);
}

#[test]
fn every_packet_block_in_both_orders() {
    for order in ORDERS {
        let capture = [
            section(order),
            interface(order, 1, 0, &[]),
            enhanced(order, 0, 0x0001_0000_0002, b"abcde", 100),
            obsolete(order, 0, 5_000_000, b"abc", 3),
            simple(order, b"abcd", 4),
            enhanced(order, 0, 6, b"", 0),
        ];
        let expected = [
            owned(0x0001_0000_0002 * 1000, 0, 1, b"abcde", 100),
            owned(5_000_000_000, 0, 1, b"abc", 3),
            owned(5_000_000_000, 0, 1, b"abcd", 4),
            owned(6_000, 0, 1, b"", 0),
        ];
        assert_eq!(read_whole(&capture.concat()), expected, "{order:?}");
    }
}

#[test]
fn a_simple_packet_is_cut_by_the_snap_length_of_the_first_interface() {
    let order = Order::Big;
    let capture = [
        section(order),
        interface(order, 101, 5, &[]),
        interface(order, 1, 0, &[]),
        simple(order, b"abcde", 60),
        simple(order, b"abc", 3),
    ];
    let expected = [owned(0, 0, 101, b"abcde", 60), owned(0, 0, 101, b"abc", 3)];
    assert_eq!(read_whole(&capture.concat()), expected);
}

#[test]
fn resolutions_and_offsets_of_interfaces() {
    for order in ORDERS {
        let resolution = |n: u8| option(order, 9, &[n]);
        let offset = |seconds: i64| option(order, 14, &order.u64(seconds.cast_unsigned()));
        let options = [
            (vec![], 1_500_000, 1_500_000_000),
            (vec![resolution(3)], 1_500, 1_500_000_000),
            (vec![resolution(9)], u64::MAX, u64::MAX),
            (vec![resolution(12)], 1_999_999, 1_999),
            (vec![resolution(0x80 | 10)], 1_536, 1_500_000_000),
            (vec![resolution(0x80 | 32)], 3 << 31, 1_500_000_000),
            (vec![offset(-1), resolution(9)], 1_000_000_005, 5),
            (vec![offset(1_700_000_000)], 1, 1_700_000_000_000_001_000),
            (vec![option(order, 2, b"not \xff UTF-8"), resolution(0)], 7, 7_000_000_000),
        ];
        for (options, time, expected) in options {
            let capture = [section(order), interface(order, 1, 0, &options), enhanced(order, 0, time, b"x", 1)];
            let packets = read_whole(&capture.concat());
            assert_eq!(packets, [owned(expected, 0, 1, b"x", 1)], "{order:?} {options:?}");
        }
    }
}

#[test]
fn interfaces_are_numbered_over_sections_of_different_orders() {
    let nanos = |order| interface(order, 276, 0, &[option(order, 9, &[9])]);
    let (big, little) = (Order::Big, Order::Little);
    let capture = [
        section(little),
        interface(little, 1, 0, &[]),
        nanos(little),
        enhanced(little, 1, 1, b"a", 1),
        enhanced(little, 0, 1, b"b", 1),
        section(big),
        nanos(big),
        enhanced(big, 0, 2, b"c", 1),
        section(little),
        interface(little, 228, 0, &[]),
        obsolete(little, 0, 3, b"d", 1),
    ];
    let expected = [
        owned(1, 1, 276, b"a", 1),
        owned(1_000, 0, 1, b"b", 1),
        owned(2, 2, 276, b"c", 1),
        owned(3_000, 3, 228, b"d", 1),
    ];
    assert_eq!(read_whole(&capture.concat()), expected);
}

#[test]
fn options_of_packets_and_other_blocks_are_skipped() {
    for order in ORDERS {
        let flags = option(order, 2, &order.u32(1));
        let long = vec![0xaa; 300_000];
        let capture = [
            section(order),
            block(order, 0x0bad, &long),
            interface(order, 1, 0, &[]),
            block(order, 5, b"statistics of who knows what"),
            enhanced_with(order, 0, 1, b"abc", 3, &flags),
            block(order, 10, b"secrets"),
            block(order, 0x7fff_0001, b""),
        ];
        assert_eq!(read_whole(&capture.concat()), [owned(1_000, 0, 1, b"abc", 3)]);
    }
}

#[test]
fn captures_without_packets() {
    for order in ORDERS {
        assert_eq!(read_whole(&pcap_header(order, PCAP_NANOS, 1)), []);
        assert_eq!(read_whole(&section(order)), []);
        let with_interface = [section(order), interface(order, 105, 0, &[])].concat();
        assert_eq!(read_whole(&with_interface), []);
    }
}

#[test]
fn the_longest_packets_through_a_trickling_pipe() {
    let order = Order::Little;
    let longest = vec![0x5a; 256 * 1024];
    let captures = [
        [
            pcap_header(order, PCAP_MICROS, 1),
            pcap_record(order, (0, 1), &longest, 300_000),
            pcap_record(order, (0, 1), b"abc", 3),
        ]
        .concat(),
        [
            section(order),
            interface(order, 1, 0, &[]),
            enhanced(order, 0, 1, &longest, 300_000),
            enhanced(order, 0, 1, b"abc", 3),
        ]
        .concat(),
    ];
    let expected = [owned(1_000, 0, 1, &longest, 300_000), owned(1_000, 0, 1, b"abc", 3)];
    for capture in captures {
        let (packets, error) = read_all(Trickle { rest: &capture, step: 1_001, interrupted: false });
        assert!(error.is_none(), "{error:?}");
        assert_eq!(packets, expected);
    }
}
