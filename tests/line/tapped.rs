//! A line whose frames are seen: each once, with what became of it, and what found no room is counted.

use std::sync::Arc;

use portlane::capture::{Counts, Fate, Merge, NOBODYS, Pipe, Place, Sight, Tap, Wanted};
use portlane_classify::Direction;
use portlane_shaper::{LaneId, Nanos};

use crate::rig::{Kind, Rig};

const FOREVER: Nanos = Nanos::from_millis(3_600_000);

const ALL: Wanted = Wanted { lane: None, drops: false, snap: 60, time: FOREVER };

/// A rig that is tapped, and the reader.
fn tapped(config: &str, ring: usize, wanted: Wanted, bytes: u64) -> (Rig, Merge) {
    let mut rig = Rig::new(config, 1_024, ring);
    let pipe = Arc::new(Pipe::new(bytes));
    let place = Place { interfaces: vec![0, 1], leaves_by: rig.line.leaves_by, within: None, frames: 1_024 };
    rig.line.tap(Tap::new(wanted, place, Arc::clone(&pipe), rig.now));
    (rig, Merge::new(vec![pipe]))
}

/// Time passes, and the line takes a turn that is seen.
fn turn(rig: &mut Rig) {
    rig.now = rig.now + Nanos::from_millis(1);
    rig.line.turn_seen(rig.now).unwrap();
}

fn read(merge: &mut Merge) -> Vec<Sight> {
    std::iter::from_fn(|| {
        let (sight, bytes) = merge.take()?;
        assert_eq!(bytes.len(), sight.captured);
        Some(sight)
    })
    .collect()
}

#[test]
fn a_full_ring_shows_no_frame_twice() {
    let (mut rig, mut merge) = tapped(&Rig::containers(1, |_| String::new()), 4, ALL, 1 << 20);
    for _ in 0..100 {
        assert!(rig.arrive(Direction::Ingress, Kind::Container(0), 500));
    }
    let mut sights = Vec::new();
    for _ in 0..60 {
        turn(&mut rig);
        rig.take(Direction::Ingress, 3);
        sights.extend(read(&mut merge));
    }
    assert_eq!(sights.len(), 100);
    assert!(sights.is_sorted_by_key(|sight| sight.time));
    let owner = Some((LaneId(0), Direction::Ingress));
    assert!(sights.iter().all(|sight| sight.fate == Fate::Sent && sight.owner == owner && sight.interface == 1));
    assert!(sights.iter().all(|sight| (sight.captured, sight.wire_len) == (60, 500)));
    assert_eq!(merge.counts(), Counts { seen: [0, 100], lost: [0, 0] });
}

#[test]
fn what_finds_no_room_is_counted_and_the_line_goes_on() {
    let whole = Wanted { snap: usize::MAX, ..ALL };
    let (mut rig, mut merge) = tapped(&Rig::containers(1, |_| String::new()), 4_096, whole, 1);
    for _ in 0..500 {
        assert!(rig.arrive(Direction::Ingress, Kind::Container(0), 1_500));
    }
    (0..12).for_each(|_| turn(&mut rig));
    let Counts { seen, lost } = merge.counts();
    let captured = read(&mut merge).len() as u64;
    assert_eq!((seen[1], captured + lost[1]), (500, 500));
    assert!(captured >= 40 && lost[1] > 100, "{captured} captured, {lost:?} lost");
    assert_eq!(rig.check().totals.sent, 500);
    // Chunks that have been read are filled again.
    rig.take_all();
    assert!(rig.arrive(Direction::Ingress, Kind::Container(0), 1_500));
    (0..2).for_each(|_| turn(&mut rig));
    assert_eq!(read(&mut merge).len(), 1);
}

#[test]
fn drops_are_told_with_their_reason() {
    let queue = "ingress = { rate = \"1mbit\" }\nqueue = { kind = \"fifo\", limit = 5 }\n";
    let (mut rig, mut merge) =
        tapped(&Rig::containers(1, |_| queue.to_owned()), 64, Wanted { drops: true, ..ALL }, 1 << 20);
    for kind in [Kind::Container(0), Kind::Malformed, Kind::Foreign] {
        (0..20).for_each(|_| assert!(rig.arrive(Direction::Ingress, kind, 500)));
    }
    (0..20).for_each(|_| turn(&mut rig));
    let sights = read(&mut merge);
    let totals = rig.check().totals;
    assert_eq!(sights.len() as u64, totals.dropped);
    let malformed = sights.iter().filter(|sight| matches!(sight.fate, Fate::Malformed(_)) && sight.owner.is_none());
    assert_eq!(malformed.count(), 20);
    assert!(sights.iter().all(|sight| sight.interface == 0), "they are seen where they came from");
    let dropped = sights.iter().find(|sight| matches!(sight.fate, Fate::Dropped(_))).unwrap();
    assert_eq!(dropped.comment("c0"), "lane=c0 direction=ingress fate=dropped reason=limit sojourn_ns=0");
}

#[test]
fn one_lane_may_be_wanted_until_it_is_over() {
    let wanted = Wanted { lane: Some(NOBODYS), time: Nanos::from_millis(5), ..ALL };
    let (mut rig, mut merge) = tapped(&Rig::containers(1, |_| String::new()), 64, wanted, 1 << 20);
    for _ in 0..10 {
        for kind in [Kind::Container(0), Kind::Foreign] {
            assert!(rig.arrive(Direction::Egress, kind, 500));
        }
        turn(&mut rig);
    }
    assert!(!rig.line.is_seen() && merge.has_ended());
    let sights = read(&mut merge);
    assert_eq!(sights.len(), 4, "the time ends it");
    assert!(sights.iter().all(|sight| sight.owner == Some((NOBODYS, Direction::Egress))));
}

/// The reader gets nothing that another worker may still precede.
#[test]
fn workers_are_merged_by_time() {
    let config = Rig::containers(1, |_| String::new());
    let mut rigs = [(); 2].map(|()| tapped(&config, 64, ALL, 1 << 20));
    let pipes: Vec<_> = (0..2).map(|_| Arc::new(Pipe::new(1 << 20))).collect();
    for ((rig, _), pipe) in rigs.iter_mut().zip(&pipes) {
        let place = Place { interfaces: vec![0, 1], leaves_by: rig.line.leaves_by, within: None, frames: 1_024 };
        rig.line.tap(Tap::new(ALL, place, Arc::clone(pipe), rig.now));
    }
    let mut merge = Merge::new(pipes);
    let [(one, _), (other, _)] = &mut rigs;
    for _ in 0..3 {
        assert!(one.arrive(Direction::Ingress, Kind::Container(0), 500));
        turn(one);
    }
    assert!(read(&mut merge).is_empty(), "the other is behind");
    other.now = other.now + Nanos(500_000);
    for _ in 0..2 {
        assert!(other.arrive(Direction::Ingress, Kind::Container(0), 700));
        turn(other);
    }
    let lengths: Vec<_> = read(&mut merge).iter().map(|sight| sight.wire_len).collect();
    assert_eq!(lengths, [500, 700, 500, 700], "by time, and no further than both have come");
    merge.close();
    [one, other].into_iter().for_each(turn);
    assert!(merge.has_ended());
    assert_eq!(read(&mut merge).len(), 1);
}
