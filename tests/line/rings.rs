//! Full device rings: a packet that finds no room waits at the head of its lane, and nothing changes places.

use portlane_classify::Direction;
use portlane_shaper::Nanos;
use portlane_stats::snapshot::Snapshot;

use crate::rig::{Kind, Rig, lane};

fn requeues(snapshot: &Snapshot) -> u64 {
    (0..2).map(|container| lane(snapshot, Direction::Ingress, container).bw_limit().requeues).sum()
}

#[test]
fn a_full_ring_is_waited_for_and_counted() {
    let mut rig = Rig::new(&Rig::containers(2, |_| String::new()), 1_024, 4);
    for number in 0..20 {
        assert!(rig.arrive(Direction::Ingress, Kind::Container(number % 2), 100));
    }
    rig.turn();
    let snapshot = rig.check();
    assert_eq!((snapshot.totals.sent, snapshot.totals.queued), (4, 16));
    assert_eq!(requeues(&snapshot), 1);

    // The ring stays full: each turn tries the same packet once, and that has been counted.
    for _ in 0..9 {
        rig.turn();
    }
    let snapshot = rig.check();
    assert_eq!((snapshot.totals.sent, snapshot.totals.queued), (4, 16));
    assert_eq!(requeues(&snapshot), 1);

    // The far end takes one at a time; the rig checks that each lane keeps its order.
    while rig.take(Direction::Ingress, 1) == 1 {
        rig.turn();
    }
    let snapshot = rig.check();
    assert_eq!((snapshot.totals.sent, snapshot.totals.dropped), (20, 0));
    assert_eq!(requeues(&snapshot), 16, "all but the first four had to wait, each counted once");
}

/// What waits for a device is not paid for twice, and does not keep the other direction waiting.
#[test]
fn a_full_ring_stops_one_direction_only() {
    let limit = "ingress = { rate = \"8mbit\", burst = \"1600b\" }\nqueue = { kind = \"fifo\" }\n";
    let mut rig = Rig::new(&Rig::containers(1, |_| limit.to_owned()), 1_024, 2);
    for _ in 0..10 {
        rig.arrive(Direction::Ingress, Kind::Container(0), 1_000);
        rig.arrive(Direction::Egress, Kind::Container(0), 1_000);
    }
    for _ in 0..20 {
        rig.advance(Nanos::from_micros(500));
        rig.take(Direction::Egress, usize::MAX);
    }
    let snapshot = rig.check();
    assert_eq!(lane(&snapshot, Direction::Egress, 0).sent_packets, 10);
    assert_eq!(lane(&snapshot, Direction::Ingress, 0).sent_packets, 2, "as many as the ring holds");

    // The burst has filled up again meanwhile, so two may leave at once, the one that waited among them.
    rig.take(Direction::Ingress, 2);
    rig.turn();
    let snapshot = rig.check();
    assert_eq!(lane(&snapshot, Direction::Ingress, 0).sent_packets, 4);
}

/// Packets go straight through as long as the ring has room; the rest wait, in their order.
#[test]
fn a_batch_that_finds_little_room_is_parted() {
    let mut rig = Rig::new(&Rig::containers(3, |_| String::new()), 1_024, 3);
    for number in 0..9 {
        assert!(rig.arrive(Direction::Ingress, Kind::Container(number % 3), 100));
        assert!(rig.arrive(Direction::Egress, Kind::Container(number % 3), 100));
    }
    rig.turn();
    let snapshot = rig.check();
    assert_eq!((snapshot.totals.sent, snapshot.totals.queued), (6, 12));
    for _ in 0..4 {
        for direction in Direction::ALL {
            rig.take(direction, 2);
        }
        rig.turn();
    }
    assert_eq!((rig.check().totals.sent, rig.check().totals.queued), (18, 0));
}
