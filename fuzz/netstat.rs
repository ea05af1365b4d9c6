//! Any segments of any connections.

use bolero::check;
use portlane_classify::{Direction, Link};
use portlane_netstat::{Segment, Wire};

use crate::BUDGET;

/// Of an Ethernet frame: TCP over IPv4 without options, from 10.0.0.1:40000 to 10.0.0.2:80. Both checksums are right.
const FRAME: [u8; 54] = [
    2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, // Ethernet
    0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0x66, 0xce, 10, 0, 0, 1, 10, 0, 0, 2, // IPv4
    0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 1, 0, 0xfe, 0x3f, 0, 0, // TCP
];

/// What one step of an input is made of.
const STEP: usize = 8;

#[test]
fn any_segments() {
    assert!(Segment::read(Link::Ethernet, &FRAME, 54, Direction::Ingress).is_some(), "its checksums are right");
    check!(name = "netstat").with_test_time(BUDGET).for_each(|input: &[u8]| {
        follow(input);
    });
}

fn follow(input: &[u8]) {
    let mut wire = Wire::new(2 + input.len() % 7, [1, 2]);
    wire.make_room(2);
    let (mut now, mut received) = (0_u64, [0; 2]);
    for step in input.chunks_exact(STEP) {
        let [later, ends, flags, seq, ack, len, place, damage] = *step else { continue };
        let mut frame = FRAME;
        frame[37] ^= ends >> 6;
        (frame[41], frame[45], frame[47]) = (seq, ack, flags);
        frame[17] += len % 64;
        // The IP header sums up as before.
        frame[25] = frame[25].wrapping_sub(len % 64);
        frame[usize::from(place) % FRAME.len()] ^= if damage > 128 { damage } else { 0 };
        now = now.saturating_add(u64::from(later) << 26);
        let direction = Direction::ALL[usize::from(ends & 1)];
        let Some(segment) = Segment::read(Link::Ethernet, &frame, 54 + u32::from(len % 64), direction) else {
            continue;
        };
        let container = u32::from(ends >> 1 & 1);
        match direction {
            Direction::Ingress => {
                received[container as usize] += 1;
                wire.delivered(container, &segment, now);
            }
            Direction::Egress => wire.sent(container, &segment, now),
        }
    }
    assert_eq!([0, 1].map(|container| wire.counters(container).in_segs), received);
    while wire.expire(u64::MAX) {}
}
