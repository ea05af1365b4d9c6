//! Mixed traffic, more than the limits of the example let through, and who owns each packet of it.

use crate::packets::{Ends, Packet, from_host, malformed, not_ip, payload, tagged, tcp, to_host, udp, udp6};

/// When captures begin.
pub(crate) const START: u64 = 1_700_000_000_000_000_000;

/// A packet, and where it belongs.
pub(crate) struct Offered {
    pub(crate) packet: Packet,
    /// The container and the direction; `None` for a malformed packet, which joins no lane.
    pub(crate) lane: Option<(&'static str, &'static str)>,
}

/// Numbers that look random, the same each time (splitmix64, Steele, Lea and Flood 2014).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn port(&mut self, first: u16) -> u16 {
        first + u16::try_from(self.roll(1_024)).unwrap()
    }
}

/// `count` packets, 120 mbit on average: of each container in both directions, of nobody, not IP, and malformed.
pub(crate) fn mixed(count: u32) -> Vec<Offered> {
    let mut dice = Dice::new(1);
    let mut time_ns = START;
    (1..=count)
        .map(|number| {
            time_ns += dice.roll(100_000);
            let (lane, bytes) = one(&mut dice, number);
            Offered { packet: Packet::ethernet(time_ns, bytes), lane }
        })
        .collect()
}

fn one(dice: &mut Dice, number: u32) -> (Option<(&'static str, &'static str)>, Vec<u8>) {
    let body = payload(usize::try_from(dice.roll(1_400)).unwrap(), number);
    match dice.roll(20) {
        0 => (None, malformed(&payload(100, number))),
        1 => (Some(("unmatched", "ingress")), not_ip(&body)),
        2 | 3 => (Some(("unmatched", "ingress")), any(dice, to_host(8_080), &body)),
        4 => (Some(("fast", "ingress")), udp6((1_234, dice.port(31_744)), &body)),
        5 => (Some(("slow", "ingress")), tagged(to_host(dice.port(32_768)), &body)),
        6..=8 => {
            let ends = from_host(dice.port(32_768));
            (Some(("slow", "egress")), any(dice, ends, &body))
        }
        9..=11 => {
            let ends = to_host(dice.port(33_792));
            (Some(("free", "ingress")), any(dice, ends, &body))
        }
        12..=15 => {
            let ends = to_host(dice.port(32_768));
            (Some(("slow", "ingress")), any(dice, ends, &body))
        }
        _ => {
            let ends = to_host(dice.port(31_744));
            (Some(("fast", "ingress")), any(dice, ends, &body))
        }
    }
}

/// TCP or UDP.
fn any(dice: &mut Dice, ends: Ends, body: &[u8]) -> Vec<u8> {
    if dice.roll(2) == 0 { tcp(ends, body) } else { udp(ends, body) }
}
