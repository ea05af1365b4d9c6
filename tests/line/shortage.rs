//! A pool that is too small for what is queued: the longest lanes give up packets from their heads, the others none.

use portlane::line::BATCH;
use portlane_classify::Direction;
use portlane_shaper::Nanos;
use portlane_stats::counters::DropReason;
use proptest::prelude::*;

use crate::rig::{Kind, Rig, lane};

/// A queue whose own limit is out of reach.
const PATIENT: &str = "queue = { kind = \"fifo\", limit = 1_000_000 }\n";

/// Lanes that send a packet on credit, and then none for minutes.
const STILL: &str = "ingress = { rate = \"1bit\", burst = \"1514b\", overhead = \"2kb\" }\n\
                     egress = { rate = \"1bit\", burst = \"1514b\", overhead = \"2kb\" }\n\
                     queue = { kind = \"fifo\", limit = 1_000_000 }\n";

const FRAMES: u32 = 1_024;
const LANES: usize = 12;

/// What a line keeps free to receive with (a batch for each port and one more), and what has just arrived, is not there
/// to be shared.
const FAIR_SHARE: usize = (FRAMES as usize - 4 * BATCH) / LANES;

/// One lane that sends next to nothing is flooded with 10,240 packets; the others send less than they may.
#[test]
fn one_lane_is_flooded_and_the_others_lose_nothing() {
    let config = Rig::containers(8, |number| {
        let rate = if number == 0 { "100kbit" } else { "10mbit" };
        format!("ingress = {{ rate = \"{rate}\" }}\negress = {{ rate = \"{rate}\" }}\n{PATIENT}")
    });
    let mut rig = Rig::new(&config, 2_048, 256);
    for _ in 0..320 {
        for _ in 0..32 {
            assert!(
                rig.arrive(Direction::Ingress, Kind::Container(0), 1_000),
                "there is always a frame to receive with"
            );
        }
        for other in 1..8 {
            assert!(rig.arrive(Direction::Ingress, Kind::Container(other), 1_000));
            assert!(rig.arrive(Direction::Egress, Kind::Container(other), 1_000));
        }
        rig.advance(Nanos::from_millis(1));
        rig.take_all();
        rig.check();
    }
    let snapshot = rig.check();
    let flooded = lane(&snapshot, Direction::Ingress, 0);
    assert_eq!(flooded.offered_packets, 10_240);
    assert!(flooded.dropped_for(DropReason::NoFrame) > 8_000, "{flooded:?}");
    assert!(flooded.queued().packets > 1_500, "and it keeps what there is room for: {flooded:?}");
    for (direction, other) in
        Direction::ALL.into_iter().flat_map(|direction| (1..8).map(move |other| (direction, other)))
    {
        let report = lane(&snapshot, direction, other);
        assert_eq!((report.offered_packets, report.dropped().packets), (320, 0), "c{other} {direction}");
    }
}

/// Who is longest is asked of both directions together, and again when that has changed: here a batch makes one lane
/// the longest by a few packets, and room for the next batch must not come from its direction alone.
#[test]
fn both_directions_give_up_alike() {
    let mut rig = Rig::new(&Rig::containers(6, |_| STILL.to_owned()), FRAMES, 64);
    let fair = (1..6).map(|number| (Direction::Ingress, number, FAIR_SHARE));
    let greedy = (0..6).map(|number| (Direction::Egress, number, FAIR_SHARE + 21));
    let last = [(Direction::Ingress, 0, 22), (Direction::Ingress, 0, BATCH)];
    for (direction, number, wanted) in fair.chain(greedy).chain(last) {
        for _ in 0..wanted {
            assert!(rig.arrive(direction, Kind::Container(number), 60));
        }
        rig.turn();
        rig.turn();
        rig.take_all();
    }
    for _ in 0..BATCH {
        assert!(rig.arrive(Direction::Ingress, Kind::Malformed, 60));
    }
    rig.turn();
    let snapshot = rig.check();
    assert!(snapshot.totals.dropped > 0, "frames were short");
    for number in 1..6 {
        assert_eq!(lane(&snapshot, Direction::Ingress, number).dropped().packets, 0, "c{number} had its fair share");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// However much each lane of either direction is offered, and in whatever order: one that wants no more than its
    /// fair share loses nothing, and frames to receive with are always there.
    #[test]
    fn every_lane_may_hold_its_fair_share(
        order in prop::collection::vec(0..400_usize, LANES).prop_flat_map(|offered| {
            let packets = offered.into_iter().enumerate().flat_map(|(lane, offered)| vec![lane; offered]);
            Just(packets.collect::<Vec<_>>()).prop_shuffle()
        }),
    ) {
        let mut rig = Rig::new(&Rig::containers(6, |_| STILL.to_owned()), FRAMES, 64);
        let directed = |lane| (Direction::ALL[lane % 2], u16::try_from(lane / 2).unwrap());
        for arriving in order.chunks(BATCH) {
            for &lane in arriving {
                let (direction, number) = directed(lane);
                prop_assert!(rig.arrive(direction, Kind::Container(number), 60), "no frame to receive with");
            }
            rig.turn();
            rig.take_all();
        }
        let snapshot = rig.check();
        for lane_number in 0..LANES {
            let wanted = order.iter().filter(|&&lane| lane == lane_number).count();
            let (direction, number) = directed(lane_number);
            let report = lane(&snapshot, direction, usize::from(number));
            prop_assert_eq!(report.offered_packets, wanted as u64);
            if wanted <= FAIR_SHARE {
                prop_assert_eq!(report.dropped().packets, 0, "c{} {} wanted {}", number, direction, wanted);
            }
        }
    }
}
