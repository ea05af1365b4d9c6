//! Lanes that are only watched: what they would have done is what others do, and their packets leave at once.

use portlane_classify::Direction;
use portlane_shaper::Nanos;
use portlane_stats::lane::{LaneMode, LaneReport};
use portlane_stats::snapshot::Snapshot;
use proptest::prelude::*;

use crate::rig::{Kind, Rig, SHORTEST};

/// Four containers: of each kind of limiter and of queue, and one without a limit; a group and a link that all share.
fn config(mode: &str, modes: [&str; 4]) -> String {
    let keys = [
        "group = \"tenant\"\ningress = { rate = \"10mbit\" }\negress = { rate = \"2mbit\", ceil = \"4mbit\", burst = \"16kb\" }\n",
        "egress = { kind = \"tbf\", rate = \"5mbit\", burst = \"3kb\", limit = \"32kb\" }\nqueue = { ecn = true }\n",
        "ingress = { kind = \"tbf\", rate = \"5mbit\", burst = \"1514b\", latency = \"50ms\", peakrate = \"9mbit\", mtu = \"1400b\" }\nqueue = { kind = \"fifo\", limit = 20 }\n",
        "group = \"tenant\"\nqueue = { kind = \"codel\", limit = 60, target = \"1ms\", interval = \"5ms\" }\n",
    ];
    let containers = Rig::containers(4, |number| {
        let position = usize::from(number);
        format!("{}{}", modes[position], keys[position])
    });
    let tenant = "[[group]]\nid = \"tenant\"\ningress = { rate = \"8mbit\" }\n";
    format!("{mode}[link]\nrate = \"30mbit\"\nburst = \"4kb\"\n\n{tenant}{containers}")
}

const OBSERVE: &str = "mode = \"observe\"\n";
const ENFORCE: &str = "mode = \"enforce\"\n";

/// Packets that arrive together, and the time until the next do.
type Step = (Direction, Kind, usize, usize, u64);

fn step() -> impl Strategy<Value = Step> {
    let direction = prop_oneof![Just(Direction::Ingress), Just(Direction::Egress)];
    let kind =
        prop_oneof![8 => (0..4_u16).prop_map(Kind::Container), 1 => Just(Kind::Foreign), 1 => Just(Kind::Malformed)];
    (direction, kind, SHORTEST..1_514, 1..60_usize, 0..8_000_000_u64)
}

/// All lanes of a snapshot.
fn lanes(snapshot: &Snapshot) -> impl Iterator<Item = (&str, &LaneReport)> {
    snapshot.ingress().chain(snapshot.egress())
}

/// What an observed lane would have done, as if it had.
fn as_enforced(lane: &LaneReport) -> LaneReport {
    let would = lane.would.clone().unwrap();
    LaneReport {
        mode: LaneMode::Enforce,
        sent_packets: would.sent_packets,
        sent_bytes: would.sent_bytes,
        drops: would.drops,
        dropped_bytes: would.dropped_bytes,
        refused: would.refused,
        ecn_marks: would.ecn_marks,
        ce_marks: would.ce_marks,
        sojourn_ns: would.sojourn_ns,
        sojourn_octaves: would.sojourn_octaves,
        would: None,
        ..lane.clone()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn what_would_have_been_is_what_is_elsewhere(steps in prop::collection::vec(step(), 1..80)) {
        let mut enforced = Rig::new(&config("", [""; 4]), 8_192, 8_192);
        let mut observed = Rig::new(&config(OBSERVE, [""; 4]), 8_192, 8_192);
        for (direction, kind, len, count, nanos) in steps {
            for rig in [&mut enforced, &mut observed] {
                (0..count).for_each(|_| assert!(rig.arrive(direction, kind, len)));
                rig.advance(Nanos(nanos));
                rig.take_all();
            }
            let [is, would] = [enforced.check(), observed.check()];
            prop_assert_eq!(would.totals.queued, 0, "all left as they came");
            prop_assert_eq!(would.totals.dropped, would.totals.malformed.values().sum::<u64>());
            for ((name, is), (_, would)) in lanes(&is).zip(lanes(&would)) {
                prop_assert_eq!(is, &as_enforced(would), "{}", name);
                prop_assert_eq!(would.sent(), would.offered());
            }
            prop_assert_eq!((is.link, is.groups), (would.link, would.groups));
        }
    }

    /// Lanes whose limits hold, among others whose limits do not, under reloads, with few frames and small rings: nothing is lost
    /// that is not counted, and nothing of an observed lane is dropped that the device would have taken.
    #[test]
    fn books_balance_in_all_modes(
        steps in prop::collection::vec((step(), prop::bool::weighted(0.2), any::<[bool; 5]>()), 1..60),
        frames in prop_oneof![32..128_u32, 2_000..4_000_u32],
        ring in prop_oneof![4..40_usize, Just(4_096)],
    ) {
        let mut rig = Rig::new(&config("", [""; 4]), frames, ring);
        for ((direction, kind, len, count, nanos), changes, observes) in steps {
            let _ = (0..count).take_while(|_| rig.arrive(direction, kind, len)).count();
            if changes {
                let mode = |observes| if observes { OBSERVE } else { ENFORCE };
                rig.change(&config(mode(observes[4]), [0, 1, 2, 3].map(|container| mode(observes[container]))));
            }
            rig.advance(Nanos(nanos));
            rig.check();
            rig.take_all();
        }
        rig.drain();
        let totals = rig.check().totals;
        prop_assert_eq!(totals.queued, 0);
        prop_assert_eq!(totals.received, totals.sent + totals.dropped);
        prop_assert_eq!(rig.line.pool.free(), rig.line.pool.total());
    }
}

/// Frames that the device does not take wait in their order, and leave when it does.
#[test]
fn a_full_device_holds_observed_packets_up() {
    let mut rig = Rig::new(&config(OBSERVE, [""; 4]), 4_096, 8);
    for round in 0..100 {
        for _ in 0..10 {
            assert!(rig.arrive(Direction::Ingress, Kind::Container(round % 4), 500));
        }
        rig.advance(Nanos::from_millis(1));
        let snapshot = rig.check();
        assert_eq!(snapshot.totals.dropped, 0);
        let held: u64 = snapshot.ingress().map(|(_, lane)| lane.held().packets).sum();
        assert_eq!(held, snapshot.totals.queued);
        rig.take(Direction::Ingress, 8);
    }
    assert!(rig.check().totals.queued > 100);
    rig.drain();
    assert_eq!(rig.check().totals.sent, 1_000);
}

#[test]
fn more_than_can_be_held_up_is_counted_as_unsent() {
    let mut rig = Rig::new(&config(OBSERVE, [""; 4]), 4_096, 8);
    for _ in 0..2_000 {
        assert!(rig.arrive(Direction::Ingress, Kind::Container(0), 500));
    }
    rig.advance(Nanos::from_millis(1));
    let totals = rig.line.counters;
    assert!(totals.unsent > 0, "{totals:?}");
    rig.take_all();
    while rig.line.queued() > 0 {
        rig.advance(Nanos::from_millis(1));
        rig.take_all();
    }
    let snapshot = rig.check();
    assert_eq!((snapshot.totals.received, snapshot.totals.dropped), (2_000, totals.unsent));
    assert_eq!(snapshot.totals.unsent, totals.unsent);
}
