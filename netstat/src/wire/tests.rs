//! The rules, each by the segments that show it. What a kernel counted for these segments was measured on Linux 6.18: each test
//! says it in the kernel's names.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use portlane_classify::{Addresses, Ports};
use proptest::prelude::*;

use super::segment::{Flags, Flaw};
use super::*;

const SYN: u8 = 2;
const ACK: u8 = 0x10;
const SYN_ACK: u8 = 0x12;
const RST: u8 = 4;
const RST_ACK: u8 = 0x14;
const FIN_ACK: u8 = 0x11;

/// The container's first sequence number.
const OURS: u32 = 0xffff_fffe;

const MS: u64 = 1_000_000;

/// A container, and its other ends, whose first sequence number is 1.
struct Scene {
    wire: Wire,
    now: u64,
    before: Counters,
}

impl Scene {
    fn new() -> Self {
        Self::of(64)
    }

    fn of(connections: usize) -> Self {
        let mut wire = Wire::new(connections, [1, 2]);
        wire.make_room(2);
        Self { wire, now: 0, before: Counters::default() }
    }

    fn receives(&mut self, port: u16, flags: u8, seq: u32, ack: u32, data: u32) {
        self.now += MS;
        self.wire.delivered(0, &segment(port, flags, seq, ack, data), self.now);
    }

    fn sends(&mut self, port: u16, flags: u8, seq: u32, ack: u32, data: u32) {
        self.now += MS;
        self.wire.sent(0, &segment(port, flags, seq, ack, data), self.now);
    }

    /// The kernel's counters that have changed since this was asked last, and by how much.
    fn changed(&mut self) -> BTreeMap<&'static str, i64> {
        let now = self.wire.counters(0);
        let changes = now.named().into_iter().zip(self.before.named());
        let changes = changes.map(|((_, name, now), (_, _, before))| (name, now.cast_signed() - before.cast_signed()));
        self.before = now;
        changes.filter(|&(_, change)| change != 0).collect()
    }

    fn asked(&mut self, port: u16) {
        self.receives(port, SYN, 1, 0, 0);
        self.sends(port, SYN_ACK, OURS, 2, 0);
    }

    /// A connection that the container was asked for.
    fn established(&mut self, port: u16) {
        self.asked(port);
        self.receives(port, ACK, 2, OURS.wrapping_add(1), 0);
        self.changed();
    }

    fn assert(&mut self, what: &str, expected: &[(&'static str, i64)]) {
        assert_eq!(self.changed(), expected.iter().copied().collect(), "{what}");
    }
}

fn segment(port: u16, flags: u8, seq: u32, ack: u32, data: u32) -> Segment {
    let (source, destination) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
    let ends = Addresses::V4 { source, destination };
    Segment { ends, ports: Ports::new(80, port), seq, ack, flags: Flags::from_bits(flags), data, flaw: None }
}

fn next() -> u32 {
    OURS.wrapping_add(1)
}

#[test]
fn openings_count_with_the_last_of_the_handshake() {
    let mut scene = Scene::new();
    scene.asked(1_000);
    scene.assert("a SYN that is answered", &[("InSegs", 1), ("OutSegs", 1)]);
    scene.sends(1_000, SYN_ACK, OURS, 2, 0);
    scene.sends(1_000, SYN_ACK, OURS, 2, 0);
    let again = [("OutSegs", 2), ("RetransSegs", 2), ("TCPSynRetrans", 2)];
    scene.assert("a SYN+ACK sent again, and again", &again);
    scene.receives(1_000, ACK, 2, next(), 0);
    scene.assert("the last of the handshake", &[("InSegs", 1), ("PassiveOpens", 1), ("CurrEstab", 1)]);
}

#[test]
fn resets_count_by_state_and_number() {
    let mut scene = Scene::new();
    scene.established(1_001);
    scene.receives(1_001, RST_ACK, 2, next(), 0);
    scene.assert("an exact reset", &[("InSegs", 1), ("EstabResets", 1), ("CurrEstab", -1)]);

    scene.established(1_002);
    scene.sends(1_002, RST_ACK, next(), 2, 0);
    let aborted = [("OutSegs", 1), ("OutRsts", 1), ("EstabResets", 1), ("CurrEstab", -1)];
    scene.assert("an abort", &aborted);

    scene.established(1_003);
    scene.sends(1_003, FIN_ACK, next(), 2, 0);
    scene.assert("an end", &[("OutSegs", 1), ("CurrEstab", -1)]);
    scene.receives(1_003, RST_ACK, 2, next(), 0);
    scene.assert("a reset in FIN-WAIT", &[("InSegs", 1)]);

    scene.established(1_004);
    scene.receives(1_004, FIN_ACK, 2, next(), 0);
    scene.sends(1_004, ACK, next(), 3, 0);
    scene.assert("the other's end", &[("InSegs", 1), ("OutSegs", 1)]);
    scene.receives(1_004, RST_ACK, 3, next(), 0);
    scene.assert("a reset in CLOSE-WAIT", &[("InSegs", 1), ("EstabResets", 1), ("CurrEstab", -1)]);

    scene.established(1_005);
    scene.receives(1_005, RST_ACK, 100_002, next(), 0);
    scene.assert("a reset beyond the window", &[("InSegs", 1)]);
    scene.receives(1_005, RST_ACK, 7, next(), 0);
    scene.sends(1_005, ACK, next(), 2, 0);
    scene.assert("a reset within it, and a challenge", &[("InSegs", 1), ("OutSegs", 1)]);
    scene.receives(1_005, RST_ACK, 2, next(), 0);
    scene.assert("an exact one", &[("InSegs", 1), ("EstabResets", 1), ("CurrEstab", -1)]);

    scene.asked(1_006);
    scene.changed();
    scene.receives(1_006, RST_ACK, 2, next(), 0);
    scene.assert("a reset in SYN-RECEIVED", &[("InSegs", 1), ("AttemptFails", 1)]);
}

#[test]
fn what_is_refused_or_wrong_is_counted() {
    let mut scene = Scene::new();
    scene.receives(1_000, SYN, 1, 0, 0);
    scene.sends(1_000, RST_ACK, 0, 2, 0);
    scene.assert("a SYN to a closed port", &[("InSegs", 1), ("OutSegs", 1), ("OutRsts", 1)]);
    let mut wrong = segment(1_000, SYN, 1, 0, 0);
    wrong.flaw = Some(Flaw::Checksum);
    scene.wire.delivered(0, &wrong, scene.now);
    scene.assert("a wrong checksum", &[("InSegs", 1), ("InErrs", 1), ("InCsumErrors", 1)]);
    wrong.flaw = Some(Flaw::Header);
    scene.wire.delivered(0, &wrong, scene.now);
    scene.assert("a short header", &[("InSegs", 1), ("InErrs", 1)]);
    assert_eq!(scene.wire.connections(), 0);
}

#[test]
fn what_the_container_asks_for_is_counted() {
    let mut scene = Scene::new();
    scene.sends(9, SYN, OURS, 0, 0);
    scene.assert("connect()", &[("OutSegs", 1), ("ActiveOpens", 1)]);
    (0..3).for_each(|_| scene.sends(9, SYN, OURS, 0, 0));
    scene.assert("SYNs sent again", &[("RetransSegs", 3), ("TCPSynRetrans", 3)]);
    scene.receives(9, SYN_ACK, 1, next(), 0);
    scene.sends(9, ACK, next(), 2, 0);
    scene.assert("its answer", &[("InSegs", 1), ("OutSegs", 1), ("CurrEstab", 1)]);

    scene.sends(10, SYN, OURS, 0, 0);
    scene.changed();
    scene.receives(10, RST_ACK, 0, OURS, 0);
    scene.assert("a refusal of something else", &[("InSegs", 1)]);
    scene.receives(10, RST_ACK, 0, next(), 0);
    scene.assert("a refusal", &[("InSegs", 1), ("AttemptFails", 1)]);

    scene.sends(12, SYN, OURS, 0, 0);
    scene.changed();
    scene.receives(12, SYN_ACK, 1, next(), 0);
    scene.sends(12, RST, next(), 0, 0);
    let late = [("InSegs", 1), ("OutSegs", 1), ("OutRsts", 1)];
    scene.assert("an answer to who has given up", &late);
    scene.asked(13);
    scene.receives(13, ACK, 2, next(), 0);
    assert_eq!(scene.changed().get("PassiveOpens"), Some(&1), "nobody owes an opening");
}

/// RFC 9293, figure 7: who answers says his own SYN once more, and it counts as sent once.
#[test]
fn both_may_ask() {
    let mut scene = Scene::new();
    scene.sends(11, SYN, OURS, 0, 0);
    scene.assert("connect()", &[("OutSegs", 1), ("ActiveOpens", 1)]);
    scene.receives(11, SYN, 1, 0, 0);
    scene.sends(11, SYN_ACK, OURS, 2, 0);
    scene.assert("a SYN for a SYN", &[("InSegs", 1)]);
    scene.sends(11, SYN_ACK, OURS, 2, 0);
    scene.assert("its answer again", &[("RetransSegs", 1), ("TCPSynRetrans", 1)]);
    scene.receives(11, SYN_ACK, 1, next(), 0);
    scene.sends(11, ACK, next(), 2, 0);
    scene.assert("the other's answer", &[("InSegs", 1), ("OutSegs", 1), ("CurrEstab", 1)]);
    scene.receives(11, ACK, 2, next(), 0);
    scene.assert("and what follows", &[("InSegs", 1)]);
    scene.receives(11, RST_ACK, 2, next(), 0);
    scene.assert("a reset", &[("InSegs", 1), ("EstabResets", 1), ("CurrEstab", -1)]);
    scene.sends(12, SYN, OURS, 0, 0);
    scene.receives(12, SYN, 1, 0, 0);
    scene.sends(12, SYN_ACK, OURS, 2, 0);
    scene.changed();
    scene.receives(12, RST_ACK, 2, 0, 0);
    scene.assert("a reset between them", &[("InSegs", 1), ("AttemptFails", 1)]);
}

/// RFC 5961 for those that are being made, too: what is not exactly theirs ends nothing.
#[test]
fn what_is_not_the_connections_ends_nothing() {
    let mut scene = Scene::new();
    scene.asked(1_000);
    scene.changed();
    scene.receives(1_000, RST, 100, 0, 0);
    scene.sends(1_000, ACK, next(), 2, 0);
    scene.assert("a reset within the window, and a challenge", &[("InSegs", 1), ("OutSegs", 1)]);
    scene.receives(1_000, SYN_ACK, 2, next().wrapping_add(5), 0);
    scene.sends(1_000, RST, next().wrapping_add(5), 0, 0);
    scene.assert("a SYN+ACK that answers nothing", &[("InSegs", 1), ("OutSegs", 1), ("OutRsts", 1)]);
    scene.receives(1_000, ACK, 1, next(), 10);
    scene.assert("data from before on", &[("InSegs", 1), ("PassiveOpens", 1), ("CurrEstab", 1)]);
    scene.receives(1_000, SYN, 20, 0, 0);
    scene.sends(1_000, ACK, next(), 11, 0);
    scene.assert("a SYN, and a challenge", &[("InSegs", 1), ("InErrs", 1), ("OutSegs", 1)]);
    scene.receives(1_000, FIN_ACK, 11, next().wrapping_add(1), 0);
    scene.receives(1_000, RST_ACK, 12, next(), 0);
    scene.assert("a FIN that acknowledges what was not sent, and its reset", &[("InSegs", 2)]);
    scene.receives(1_000, FIN_ACK, 11, next(), 0);
    scene.receives(1_000, ACK, 12, next(), 5);
    scene.receives(1_000, RST_ACK, 12, next(), 0);
    scene.assert("data after the end, and a reset", &[("InSegs", 3), ("EstabResets", 1), ("CurrEstab", -1)]);
}

#[test]
fn data_is_new_once() {
    let mut scene = Scene::new();
    scene.established(1_000);
    let data = next();
    scene.sends(1_000, ACK, data, 2, 100);
    scene.sends(1_000, ACK, data.wrapping_add(100), 2, 100);
    scene.assert("data", &[("OutSegs", 2)]);
    scene.sends(1_000, ACK, data, 2, 100);
    scene.sends(1_000, ACK, data.wrapping_sub(1), 2, 0);
    scene.assert("data sent again, and a question whether the other is there", &[("RetransSegs", 1), ("OutSegs", 1)]);
    scene.sends(1_000, FIN_ACK, data.wrapping_add(200), 2, 0);
    scene.sends(1_000, FIN_ACK, data.wrapping_add(200), 2, 0);
    scene.assert("the end, sent again", &[("OutSegs", 1), ("RetransSegs", 1), ("CurrEstab", -1)]);
}

/// The number that is expected is known though segments are missing.
#[test]
fn a_reset_behind_a_hole_is_exact() {
    let mut scene = Scene::new();
    scene.established(1_000);
    scene.receives(1_000, ACK, 102, next(), 100);
    scene.sends(1_000, ACK, next(), 2, 0);
    scene.receives(1_000, ACK, 2, next(), 100);
    scene.sends(1_000, ACK, next(), 202, 0);
    scene.changed();
    scene.receives(1_000, RST_ACK, 102, next(), 0);
    scene.assert("a reset of what was before", &[("InSegs", 1)]);
    scene.receives(1_000, FIN_ACK, 302, next(), 100);
    scene.receives(1_000, ACK, 202, next(), 100);
    scene.sends(1_000, ACK, next(), 403, 0);
    scene.receives(1_000, RST_ACK, 402, next(), 0);
    scene.assert(
        "a reset with the number of a FIN",
        &[("InSegs", 3), ("OutSegs", 1), ("EstabResets", 1), ("CurrEstab", -1)],
    );
}

/// The kernel drops the last of the handshake when too many wait to be accepted, and says so only by sending the SYN+ACK again.
#[test]
fn an_opening_that_was_none_is_made_good() {
    let mut scene = Scene::new();
    scene.established(1_000);
    scene.sends(1_000, SYN_ACK, OURS, 2, 0);
    let again = [("OutSegs", 1), ("RetransSegs", 1), ("TCPSynRetrans", 1), ("CurrEstab", -1)];
    scene.assert("a SYN+ACK after the last of the handshake", &again);
    scene.receives(1_000, ACK, 2, next(), 0);
    scene.assert("the last once more", &[("InSegs", 1), ("CurrEstab", 1)]);
    scene.sends(1_000, SYN_ACK, OURS, 2, 0);
    scene.receives(1_000, RST_ACK, 2, next(), 0);
    assert_eq!(scene.wire.counters(0).passive_opens, 1);
    scene.changed();
    scene.asked(1_001);
    scene.receives(1_001, ACK, 2, next(), 0);
    scene.assert("the next one's", &[("InSegs", 2), ("OutSegs", 1), ("CurrEstab", 1)]);
}

/// Nor has it a connection that it resets without acknowledging anything: whoever listened has closed before there was room.
#[test]
fn an_opening_that_ends_unknown_was_none() {
    let mut scene = Scene::new();
    for end in [RST, RST_ACK] {
        scene.established(1_000 + u16::from(end));
        scene.receives(1_000 + u16::from(end), FIN_ACK, 2, next(), 0);
        scene.changed();
        scene.sends(1_000 + u16::from(end), end, next(), 0, 0);
        if end == RST {
            scene.assert("the answer to what is not known", &[("OutSegs", 1), ("OutRsts", 1), ("CurrEstab", -1)]);
        } else {
            let aborted = [("OutSegs", 1), ("OutRsts", 1), ("EstabResets", 1), ("CurrEstab", -1)];
            scene.assert("an abort", &aborted);
        }
    }
    assert_eq!(scene.wire.counters(0).passive_opens, 1, "the second counts for the first");
}

#[test]
fn silence_is_counted_when_it_has_lasted() {
    let mut scene = Scene::new();
    scene.receives(1_000, SYN, 1, 0, 0);
    scene.receives(1_000, SYN, 1, 0, 0);
    assert_eq!(scene.wire.counters(0).unanswered_syns, 1, "another has come");
    assert!(!scene.wire.expire(scene.now + UNANSWERED_NS - 1));
    scene.wire.expire(scene.now + UNANSWERED_NS);
    assert_eq!((scene.wire.counters(0).unanswered_syns, scene.wire.connections()), (2, 0));
    scene.asked(1_001);
    scene.wire.expire(scene.now + UNANSWERED_NS);
    assert_eq!((scene.wire.counters(0).unanswered_syns, scene.wire.connections()), (2, 1));
    scene.wire.expire(scene.now + UNSETTLED_NS);
    assert_eq!(scene.wire.connections(), 0);
}

#[test]
fn one_container_leaves_room_for_others() {
    let mut scene = Scene::of(8);
    (0..6).for_each(|port| scene.receives(port, SYN, 1, 0, 0));
    assert_eq!((scene.wire.counters(0).untracked, scene.wire.connections()), (2, 4));
    (0..5).for_each(|port| scene.wire.sent(1, &segment(port, SYN, 1, 0, 0), scene.now));
    assert_eq!((scene.wire.counters(1).untracked, scene.wire.counters(1).out_segs), (1, 5));
    scene.wire.forget(0);
    assert_eq!((scene.wire.counters(0), scene.wire.connections()), (Counters::default(), 4));
}

#[test]
fn who_has_been_idle_for_hours_makes_room() {
    let mut scene = Scene::of(2);
    scene.wire.make_room(3);
    for container in [0, 1] {
        scene.wire.sent(container, &segment(1, ACK, 1, 1, 10), scene.now);
    }
    let later = scene.now + IDLE_NS;
    scene.wire.sent(1, &segment(1, ACK, 11, 1, 10), later);
    scene.wire.sent(2, &segment(1, ACK, 1, 1, 10), later);
    assert_eq!((scene.wire.counters(2).established, scene.wire.counters(2).untracked), (0, 1), "not another's");
    scene.wire.sent(0, &segment(2, ACK, 1, 1, 10), later);
    assert_eq!((scene.wire.counters(0).established, scene.wire.counters(0).untracked), (1, 0), "its own");
}

fn segments() -> impl Strategy<Value = (bool, u32, u16, u8, u32, u32, u32, u64)> {
    let flags = prop_oneof![Just(SYN), Just(ACK), Just(SYN_ACK), Just(RST_ACK), Just(FIN_ACK), any::<u8>()];
    let seq = || prop_oneof![0..4_u32, OURS - 2..=OURS, any::<u32>()];
    let data = prop_oneof![Just(0), 1..3_u32, any::<u16>().prop_map(u32::from)];
    (any::<bool>(), 0..2_u32, 0..4_u16, flags, seq(), seq(), data, 0..3 * UNANSWERED_NS)
}

proptest! {
    /// Whatever comes, counters grow, segments are counted once, and as many connections are established as are remembered as such.
    #[test]
    fn counters_grow(steps in prop::collection::vec(segments(), 1..200), capacity in 2..12_usize) {
        let mut wire = Wire::new(capacity, [3, 4]);
        wire.make_room(2);
        let (mut now, mut fed, mut answered) = (0, [[0_u64; 2]; 2], [0_u64; 2]);
        for (delivered, container, port, flags, seq, ack, data, later) in steps {
            now += later;
            let before = [0, 1].map(|container| wire.counters(container));
            let segment = segment(port, flags, seq, ack, data);
            if delivered { wire.delivered(container, &segment, now) } else { wire.sent(container, &segment, now) }
            fed[container as usize][usize::from(delivered)] += 1;
            answered[container as usize] += u64::from(!delivered && flags & (SYN_ACK | RST) == SYN_ACK);
            for (container, before) in (0..).zip(before) {
                let counters = wire.counters(container);
                let [sent, received] = fed[container as usize];
                prop_assert_eq!(counters.in_segs, received);
                // Who has asked himself answers once without counting it.
                let counted = counters.out_segs + counters.retrans_segs + answered[container as usize];
                prop_assert!(counters.out_segs <= sent && counted >= sent);
                for ((_, name, now), (_, _, before)) in counters.named().into_iter().zip(before.named()) {
                    prop_assert!(now >= before || name == "CurrEstab", "{} shrinks", name);
                }
            }
            let established: u64 = [0, 1].map(|container| wire.counters(container).established).iter().sum();
            prop_assert_eq!(established, wire.established());
            prop_assert!(wire.connections() <= capacity);
        }
        while wire.expire(u64::MAX) {}
        wire.forget(0);
        wire.forget(1);
        prop_assert_eq!(wire.connections(), 0);
    }
}
