//! The short way of common frames ends where the way of all frames does.

use proptest::prelude::*;

use super::frames::*;
use crate::ecn::can_mark;
use crate::parse::{careful, common};
use crate::{Headers, Link};

/// What the short way says, held against what the other does.
fn short(frame: &[u8], wire_len: u32) -> Option<Headers> {
    let [v4, v6] = [common::ipv4(frame, wire_len), common::ipv6(frame, wire_len)];
    assert!(v4.is_none() || v6.is_none());
    let (headers, ect) = v4.or(v6)?;
    assert_eq!(Ok(headers), careful(Link::Ethernet, frame, wire_len), "{frame:?} of {wire_len}");
    assert_eq!(ect, can_mark(Link::Ethernet, frame), "{frame:?} of {wire_len}");
    Some(headers)
}

fn len(frame: &[u8]) -> u32 {
    u32::try_from(frame.len()).unwrap()
}

/// Of each common kind one without and one with payload.
fn common_frames() -> Vec<Vec<u8>> {
    let long_udp = [&PORTS[..], &[0, 30, 0, 0], &[7; 22]].concat();
    let long_tcp = [&tcp()[..12], &[0x80], &[0; 19]].concat();
    let segments = [(UDP, udp()), (UDP, long_udp), (TCP, tcp()), (TCP, long_tcp)];
    let frames = segments.iter().flat_map(|(protocol, segment)| {
        [ethernet(IPV4, &ipv4(*protocol, segment)), ethernet(IPV6, &ipv6(*protocol, segment))]
    });
    frames.collect()
}

#[test]
fn common_frames_take_the_short_way() {
    for frame in common_frames() {
        assert!(short(&frame, len(&frame)).is_some(), "{frame:?}");
        assert!(short(&frame, len(&frame) + 1_000).is_some(), "cut by the capture");
        let padded = [&frame[..], &[0; 30]].concat();
        assert!(short(&padded, len(&padded)).is_some(), "padded");
    }
    let any_service = ipv4_with(|header| header[1] = 0xff, UDP, &udp());
    let do_not_fragment = ipv4_with(|header| header[6] = 0x40, TCP, &tcp());
    for packet in [any_service, do_not_fragment] {
        assert!(short(&ethernet(IPV4, &packet), 200).is_some());
    }
    let any_class = ipv6_with(|header| header[..4].copy_from_slice(&[0x6f, 0xff, 0xff, 0xff]), UDP, &udp());
    assert!(short(&ethernet(IPV6, &any_class), 200).is_some());
}

/// Every length at and around the places where something begins to be wrong, against every other.
#[test]
fn lengths_are_held_against_each_other_as_on_the_long_way() {
    let mut taken = 0;
    for stated in 0..=70_u16 {
        for udp_len in [0, 1, 7, 8, 9, 20, 27, 28, 29, 30, 31, 50, u16::MAX] {
            let segment = [&PORTS[..], &udp_len.to_be_bytes(), &[0; 24]].concat();
            let v4 = ipv4_with(|header| header[2..4].copy_from_slice(&stated.to_be_bytes()), UDP, &segment);
            let v6 = ipv6_with(|header| header[4..6].copy_from_slice(&stated.to_be_bytes()), UDP, &segment);
            for frame in [ethernet(IPV4, &v4), ethernet(IPV6, &v6)] {
                for captured in (0..frame.len()).step_by(7).chain(39..frame.len()) {
                    for wire_len in [0, 41, 42, 43, 61, 62, 63, len(&frame), 200, u32::MAX] {
                        taken += usize::from(short(&frame[..captured], wire_len).is_some());
                    }
                }
            }
        }
    }
    assert!(taken > 10_000, "{taken}");
}

#[test]
fn data_offsets_are_held_against_lengths_as_on_the_long_way() {
    for data_offset in 0..=0xff {
        for payload in 0..=60 {
            let mut segment = [&tcp()[..], &vec![0; payload]].concat();
            segment[12] = data_offset;
            for frame in [ethernet(IPV4, &ipv4(TCP, &segment)), ethernet(IPV6, &ipv6(TCP, &segment))] {
                short(&frame, len(&frame));
                short(&frame[..frame.len() - payload.min(9)], len(&frame));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn damage_leads_both_ways_to_the_same_end(
        kind in any::<prop::sample::Index>(),
        // Mostly in the headers.
        damage in prop::collection::vec((prop_oneof![4 => 12_usize..80, 1 => 0_usize..120], any::<u8>()), 0..5),
        padding in 0_usize..40,
        cut in prop_oneof![3 => Just(0_usize), 1 => 0_usize..90],
        beyond in prop_oneof![3 => Just(0_u32), 1 => 0_u32..100, 1 => any::<u32>()],
    ) {
        let frames = common_frames();
        let mut frame = [&kind.get(&frames)[..], &vec![0; padding]].concat();
        for (place, byte) in damage {
            if let Some(damaged) = frame.get_mut(place) {
                *damaged = byte;
            }
        }
        let captured = &frame[..frame.len().saturating_sub(cut)];
        for wire_len in [len(&frame), len(captured), beyond, len(&frame).saturating_add(beyond)] {
            short(captured, wire_len);
        }
    }
}
