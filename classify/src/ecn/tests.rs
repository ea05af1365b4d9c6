use proptest::prelude::*;

use super::*;

/// The checksum of an IPv4 header, from scratch (RFC 1071).
fn checksum(header: &[u8]) -> u16 {
    let words = header.chunks_exact(2).enumerate().filter(|(index, _)| *index != 5);
    let mut sum: u32 = words.map(|(_, word)| u32::from(be16(word[0], word[1]))).sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !u16::try_from(sum).unwrap()
}

fn frame(tags: usize, ethertype: u16, packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 12];
    (0..tags).for_each(|_| frame.extend([0x81, 0, 0, 5]));
    frame.extend(ethertype.to_be_bytes());
    frame.extend(packet);
    frame
}

proptest! {
    #[test]
    fn what_can_be_marked_is(
        packet in prop::collection::vec(any::<u8>(), 0..60),
        version in prop_oneof![Just(0x45_u8), Just(0x60), any::<u8>()],
        ethertype in prop_oneof![Just(0x0800_u16), Just(0x86dd), any::<u16>()],
        tags in 0_usize..=3,
    ) {
        let packet: Vec<_> = [version].into_iter().chain(packet).collect();
        let mut frame = frame(tags, ethertype, &packet);
        let can = can_mark(Link::Ethernet, &frame);
        prop_assert_eq!(can, mark_ce(Link::Ethernet, &mut frame));
        prop_assert_eq!(can, can_mark(Link::Ethernet, &frame), "marked or not");
    }

    #[test]
    fn a_marked_ipv4_packet_has_a_right_checksum(
        mut header in prop::array::uniform20(any::<u8>()),
        tags in 0_usize..=2,
    ) {
        header[0] = 0x45;
        let before = checksum(&header);
        header[10..12].copy_from_slice(&before.to_be_bytes());
        let mut marked = frame(tags, 0x0800, &header);
        let capable = header[1] & 3 != 0;
        prop_assert_eq!(mark_ce(Link::Ethernet, &mut marked), capable);
        let after = &marked[14 + 4 * tags..];
        prop_assert_eq!(after[1], if capable { header[1] | 3 } else { header[1] });
        prop_assert_eq!(be16(after[10], after[11]), checksum(after));
        prop_assert_eq!(&after[12..], &header[12..]);
    }

    #[test]
    fn a_marked_ipv6_packet_differs_in_two_bits(
        mut packet in prop::collection::vec(any::<u8>(), 40..80),
    ) {
        packet[0] = 0x60 | (packet[0] & 0x0f);
        let capable = packet[1] & 0x30 != 0;
        let mut marked = packet.clone();
        prop_assert_eq!(mark_ce(Link::Ip, &mut marked), capable);
        if capable {
            packet[1] |= 0x30;
        }
        prop_assert_eq!(marked, packet);
    }

    #[test]
    fn anything_else_is_left_alone(
        mut bytes in prop::collection::vec(any::<u8>(), 0..80),
        link in prop::sample::select(vec![
            Link::Ethernet, Link::Ip, Link::LinuxSll, Link::LinuxSll2,
        ]),
    ) {
        let before = bytes.clone();
        if !mark_ce(link, &mut bytes) {
            prop_assert_eq!(bytes, before);
        }
    }
}

#[test]
fn each_codepoint() {
    // Not-ECT, ECT(1), ECT(0) and CE (RFC 3168, section 5).
    for (codepoint, marked) in [(0, false), (1, true), (2, true), (3, true)] {
        let mut packet = [0; 20];
        (packet[0], packet[1]) = (0x45, 0xb8 | codepoint);
        assert_eq!(mark_ce(Link::Ip, &mut packet), marked);
        assert_eq!(packet[1], if marked { 0xbb } else { 0xb8 });
        // An already marked packet keeps its checksum as it is.
        assert_eq!(packet[10..12] != [0, 0], marked && codepoint != 3);
    }
}

#[test]
fn what_is_not_ip_or_cut_short_is_refused() {
    let packet = [0x45, 2, 0, 20, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    for mut frame in [
        vec![],
        frame(0, 0x0806, &packet),
        frame(3, 0x0800, &packet),
        frame(0, 0x0800, &packet[..19]),
        frame(0, 0x86dd, &[0x60; 39]),
        frame(0, 0x86dd, &[0x45; 60]),
        frame(0, 0x0800, &[0x60; 60]),
    ] {
        let before = frame.clone();
        assert!(!mark_ce(Link::Ethernet, &mut frame));
        assert_eq!(frame, before);
    }
}
