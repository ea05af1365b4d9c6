//! Single situations that are easily got wrong, each with the outcome worked out by hand.

use portlane_shaper::{
    DropReason, Fate, LaneId, LaneParams, Limiter, LinkParams, Nanos, QueueParams, Shaper, Size, Wake, codel,
};

const LANE: LaneId = LaneId(0);

/// Remembers which packets were dropped.
#[derive(Default)]
struct Dropped(Vec<(LaneId, u32)>);

impl Fate<u32> for Dropped {
    fn dropped(&mut self, lane: LaneId, packet: u32, _reason: DropReason) {
        self.0.push((lane, packet));
    }

    fn mark(&mut self, _packet: &mut u32) -> bool {
        false
    }
}

/// A shaper of equal lanes, and packets of 1000 bytes numbered from 0 in each.
fn shaper(limiter: Limiter, codel: Option<codel::Params>, packets: &[u32]) -> Shaper<u32> {
    let queue = QueueParams { codel, ..QueueParams::default() };
    let lanes = vec![LaneParams { limiter, queue }; packets.len()];
    let mut shaper = Shaper::new(LinkParams::default(), lanes, 64, Nanos::ZERO);
    for (lane, &packets) in (0..).map(LaneId).zip(packets) {
        (0..packets).for_each(|packet| shaper.enqueue(lane, packet, 1_000, Nanos::ZERO, &mut Dropped::default()));
    }
    shaper
}

/// 8 mbit: a byte a microsecond.
fn htb(burst: u64) -> Limiter {
    Limiter::Htb { rate: "8mbit".parse().expect("a rate"), burst: Size(burst) }
}

fn tbf(burst: u64) -> Limiter {
    Limiter::Tbf { rate: "8mbit".parse().expect("a rate"), burst: Size(burst), peak: None }
}

/// The packets that leave at once.
fn sent_at(shaper: &mut Shaper<u32>, now: Nanos) -> Vec<u32> {
    std::iter::from_fn(|| shaper.dequeue(now, &mut Dropped::default())).map(|departure| departure.packet).collect()
}

#[test]
fn a_lane_that_stood_ready_gets_its_burst_and_no_more() {
    // Credit for two packets, and for a third because nothing is owed after them. The lane then waits for a millisecond,
    // is asked long after, and has earned its burst once: not also the packet that it had waited for.
    let mut lane = shaper(htb(2_000), None, &[10]);
    assert_eq!(sent_at(&mut lane, Nanos::ZERO), [0, 1, 2]);
    assert_eq!(lane.next_wake(Nanos::ZERO), Wake::At(Nanos::from_millis(1)));
    assert_eq!(sent_at(&mut lane, Nanos::from_secs(1)), [3, 4, 5]);

    let mut lane = shaper(tbf(2_000), None, &[10]);
    assert_eq!(sent_at(&mut lane, Nanos::ZERO), [0, 1]);
    assert_eq!(sent_at(&mut lane, Nanos::from_secs(1)), [2, 3]);
}

#[test]
fn a_wait_is_counted_once_however_often_one_asks() {
    for limiter in [htb(1), tbf(1_000)] {
        let mut lane = shaper(limiter, None, &[3]);
        for micros in 0..1_500 {
            lane.dequeue(Nanos::from_micros(micros), &mut Dropped::default());
        }
        assert_eq!((lane.counters(LANE).sent.packets, lane.counters(LANE).overlimits), (2, 2), "{limiter:?}");
        lane.shed(1, &mut Dropped::default());
        assert_eq!(lane.counters(LANE).overlimits, 2, "{limiter:?}");
    }
}

#[test]
fn a_lane_that_gave_up_all_is_idle() {
    for limiter in [Limiter::None, htb(1)] {
        let mut lane = shaper(limiter, None, &[3]);
        assert_eq!(sent_at(&mut lane, Nanos::ZERO)[0], 0);
        lane.enqueue(LANE, 3, 1_000, Nanos::ZERO, &mut Dropped::default());
        lane.shed(9, &mut Dropped::default());
        assert_eq!((lane.queued(), lane.next_wake(Nanos::ZERO)), (0, Wake::Never), "{limiter:?}");
        lane.enqueue(LANE, 4, 1_000, Nanos::from_secs(1), &mut Dropped::default());
        assert_eq!(sent_at(&mut lane, Nanos::from_secs(1)), [4], "{limiter:?}");
    }
}

#[test]
fn a_queue_that_gave_up_all_is_not_above_target() {
    let mut lane = shaper(htb(1), Some(codel::Params::default()), &[9]);
    sent_at(&mut lane, Nanos::ZERO);
    let now = Nanos::from_millis(10);
    assert_eq!(sent_at(&mut lane, now), [1]);
    let above = |lane: &Shaper<u32>| lane.codel(LANE).and_then(|state| state.first_above_time);
    assert_eq!(above(&lane), Some(now + Nanos::from_millis(100)));
    lane.shed(6, &mut Dropped::default());
    assert_eq!(above(&lane), Some(now + Nanos::from_millis(100)));
    lane.shed(1, &mut Dropped::default());
    assert_eq!(above(&lane), None);
}

#[test]
fn a_tbf_lane_keeps_the_packet_at_its_head_through_a_shortage() {
    let mut lane = shaper(tbf(1_000), None, &[4]);
    assert_eq!(sent_at(&mut lane, Nanos::ZERO), [0]);
    let mut dropped = Dropped::default();
    assert_eq!(lane.shed(9, &mut dropped), 2);
    assert_eq!(dropped.0, [(LANE, 2), (LANE, 3)]);
    assert_eq!(sent_at(&mut lane, Nanos::from_millis(1)), [1]);
    assert_eq!(lane.next_wake(Nanos::from_millis(1)), Wake::Never);
}

#[test]
fn a_large_shortage_levels_the_long_lanes_and_spares_the_short() {
    let mut lanes = shaper(Limiter::None, None, &[1_000, 900, 300, 100]);
    let mut dropped = Dropped::default();
    assert_eq!(lanes.shed(1_000, &mut dropped), 1_000);
    let held = [0, 1, 2, 3].map(|lane| lanes.backlog(LaneId(lane)).packets);
    assert_eq!(held[2..], [300, 100]);
    assert!(held[0].abs_diff(held[1]) <= 100, "{held:?}");
    // From the heads: what stays is the newest.
    let first_kept = u32::try_from(1_000 - held[0]).expect("a small number");
    assert!((0..first_kept).all(|packet| dropped.0.contains(&(LANE, packet))));
}

#[test]
fn a_packet_put_back_is_paid_for_once() {
    let mut lane = shaper(htb(1), None, &[2]);
    let first = lane.dequeue(Nanos::ZERO, &mut Dropped::default()).expect("a packet");
    lane.put_back(first);
    assert_eq!(lane.next_wake(Nanos::ZERO), Wake::Now);
    assert_eq!((lane.counters(LANE).sent.packets, lane.backlog(LANE).packets), (0, 2));
    assert_eq!(sent_at(&mut lane, Nanos::ZERO), [0]);
    // 999 bytes are owed, not 1999.
    assert_eq!(lane.next_wake(Nanos::ZERO), Wake::At(Nanos::from_micros(999)));
}
