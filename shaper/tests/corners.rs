//! Single situations that are easily got wrong, each with the outcome worked out by hand.

use portlane_shaper::{
    Arrival, Departure, DropReason, Fate, Framing, LaneId, LaneParams, Limiter, LinkParams, Nanos, QueueParams, Shape,
    Shaper, Size, TreeParams, Wake, codel,
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

fn arrival(packet: u32, len: u32) -> Arrival<u32> {
    Arrival { packet, len, memory: len, flow: 0, ect: true }
}

/// A shaper of equal lanes, and packets of 1000 bytes numbered from 0 in each.
fn shaper(limiter: Limiter, codel: Option<codel::Params>, packets: &[u32]) -> Shaper<u32> {
    let queue = codel.map_or(QueueParams::fifo(1_000), QueueParams::codel);
    let lanes = vec![LaneParams { limiter, queue, ..LaneParams::default() }; packets.len()];
    let mut shaper =
        Shaper::new(&TreeParams { lanes, ..TreeParams::default() }, 64, Nanos::ZERO).expect("a valid tree");
    for (lane, &packets) in (0..).map(LaneId).zip(packets) {
        (0..packets)
            .for_each(|packet| shaper.enqueue(lane, arrival(packet, 1_000), Nanos::ZERO, &mut Dropped::default()));
    }
    shaper
}

/// 8 mbit: a byte a microsecond.
fn shape(burst: u64) -> Shape {
    Shape::flat("8mbit".parse().expect("a rate"), Size(burst))
}

fn htb(burst: u64) -> Limiter {
    Limiter::Htb(shape(burst))
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
        lane.enqueue(LANE, arrival(3, 1_000), Nanos::ZERO, &mut Dropped::default());
        lane.shed(9, &mut Dropped::default());
        assert_eq!((lane.queued(), lane.next_wake(Nanos::ZERO)), (0, Wake::Never), "{limiter:?}");
        lane.enqueue(LANE, arrival(4, 1_000), Nanos::from_secs(1), &mut Dropped::default());
        assert_eq!(sent_at(&mut lane, Nanos::from_secs(1)), [4], "{limiter:?}");
    }
}

#[test]
fn a_queue_that_gave_up_all_is_not_above_target() {
    let mut lane = shaper(htb(1), Some(codel::Params::default()), &[9]);
    sent_at(&mut lane, Nanos::ZERO);
    let now = Nanos::from_millis(10);
    assert_eq!(sent_at(&mut lane, now), [1]);
    let above = |lane: &Shaper<u32>| lane.codel(LANE).and_then(|state| state.first_above_time());
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

#[test]
fn a_packet_that_no_ring_takes_is_requeued_once() {
    let mut lane = shaper(Limiter::None, None, &[3]);
    let mut bounce = |times: u32| {
        for _ in 0..times {
            let departure = lane.dequeue(Nanos::ZERO, &mut Dropped::default()).expect("a packet");
            lane.put_back(departure);
        }
        let sent = lane.dequeue(Nanos::ZERO, &mut Dropped::default()).map(|departure| departure.packet);
        (sent, lane.counters(LANE).requeues)
    };
    assert_eq!(bounce(5), (Some(0), 1));
    assert_eq!(bounce(0), (Some(1), 1));
    assert_eq!(bounce(2), (Some(2), 2));
}

/// The burst pays for the first packet, or the first two; the next would be paid for after the end of time.
#[test]
fn nothing_leaves_on_credit_at_the_end_of_time() {
    let late = Nanos::MAX - Nanos(10);
    for limiter in [htb(1_000), tbf(1_000)] {
        let mut lane = shaper(limiter, None, &[9]);
        let left = sent_at(&mut lane, late).len();
        for now in [late, Nanos::MAX - Nanos(1), Nanos::MAX, Nanos::MAX] {
            lane.enqueue(LANE, arrival(9, 1_000), now, &mut Dropped::default());
            assert!(sent_at(&mut lane, now).is_empty(), "{limiter:?} at {now}");
            let wake = if now < Nanos::MAX { Wake::At(Nanos::MAX) } else { Wake::Never };
            assert_eq!(lane.next_wake(now), wake, "{limiter:?} at {now}");
        }
        assert_eq!(lane.queued(), 13 - left, "{limiter:?}");
    }
}

#[test]
fn what_may_leave_at_the_end_of_time_does() {
    for limiter in [Limiter::None, htb(1_000), tbf(1_000)] {
        let mut lane = shaper(limiter, None, &[1]);
        assert_eq!(lane.next_wake(Nanos::MAX), Wake::Now, "{limiter:?}");
        assert_eq!(sent_at(&mut lane, Nanos::MAX), [0], "{limiter:?}");
        assert_eq!(lane.next_wake(Nanos::MAX), Wake::Never, "{limiter:?}");
    }
}

#[test]
fn a_link_in_debt_at_the_end_of_time_keeps_what_it_has() {
    let link = LinkParams { shape: Some(shape(1_000)), ..LinkParams::default() };
    let tree = TreeParams { link, lanes: vec![LaneParams::default()], ..TreeParams::default() };
    let mut shaper = Shaper::new(&tree, 64, Nanos::ZERO).expect("a valid tree");
    for packet in 0..4 {
        shaper.enqueue(LANE, arrival(packet, 1_000), Nanos::MAX, &mut Dropped::default());
    }
    assert_eq!(shaper.next_wake(Nanos::MAX), Wake::Now);
    assert_eq!(sent_at(&mut shaper, Nanos::MAX), [0, 1]);
    assert_eq!((shaper.next_wake(Nanos::MAX), shaper.queued()), (Wake::Never, 2));
}

#[test]
fn a_lane_that_gave_up_all_in_its_turn_passes_it_on() {
    let mut lanes = shaper(Limiter::None, None, &[9, 1, 1]);
    assert_eq!(lanes.shed(11, &mut Dropped::default()), 11);
    assert_eq!(lanes.next_wake(Nanos::ZERO), Wake::Never);
    lanes.enqueue(LaneId(1), arrival(7, 1_000), Nanos::ZERO, &mut Dropped::default());
    assert_eq!(lanes.next_wake(Nanos::ZERO), Wake::Now);
    assert_eq!(sent_at(&mut lanes, Nanos::ZERO), [7]);
    assert_eq!(lanes.next_wake(Nanos::ZERO), Wake::Never);
    lanes.enqueue(LANE, arrival(8, 1_000), Nanos::ZERO, &mut Dropped::default());
    assert_eq!(sent_at(&mut lanes, Nanos::ZERO), [8]);
}

/// A clock that stepped back parks a lane until a time at which others have been woken already.
#[test]
fn a_lane_parked_for_a_time_that_was_asked_for_is_not_lost() {
    let mut lane = shaper(htb(1), None, &[1]);
    let now = Nanos::from_millis(5);
    assert_eq!(sent_at(&mut lane, Nanos::ZERO), [0]);
    assert!(sent_at(&mut lane, now).is_empty());
    lane.enqueue(LANE, arrival(1, 1_000), Nanos::ZERO, &mut Dropped::default());
    assert_eq!(lane.next_wake(now), Wake::Now);
    assert_eq!(sent_at(&mut lane, now), [1]);
}

/// A lane of 8 mbit whose filter's head waits: 3,000 bytes were sent at once.
fn waiting_filter() -> (Shaper<u32>, Nanos) {
    let lane = LaneParams { limiter: tbf(3_000), queue: QueueParams::fifo(10), ..LaneParams::default() };
    let tree = TreeParams { lanes: vec![lane], ..TreeParams::default() };
    let mut shaper = Shaper::new(&tree, 64, Nanos::ZERO).expect("a valid tree");
    for packet in 0..4 {
        shaper.enqueue(LaneId(0), arrival(packet, 1_000), Nanos::ZERO, &mut Dropped::default());
    }
    while shaper.dequeue(Nanos::ZERO, &mut Dropped::default()).is_some() {}
    let Wake::At(at) = shaper.next_wake(Nanos::ZERO) else { panic!("the fourth has to wait") };
    (shaper, at)
}

#[test]
fn a_lane_may_come_while_a_filter_waits_and_go_when_it_is_empty() {
    let (mut shaper, at) = waiting_filter();
    let new = shaper.add_lane(&LaneParams::default(), Nanos::ZERO).expect("a valid lane");
    shaper.enqueue(new, arrival(9, 1_000), Nanos::ZERO, &mut Dropped::default());
    assert!(shaper.remove_lane(new, Nanos::ZERO).is_err(), "it has a packet");
    let packet = |leaving: Option<Departure<u32>>| leaving.map(|leaving| leaving.packet);
    assert_eq!(packet(shaper.dequeue(Nanos::ZERO, &mut Dropped::default())), Some(9));
    assert_eq!(shaper.remove_lane(new, Nanos::ZERO), Ok(()));
    assert_eq!(shaper.add_lane(&LaneParams::default(), Nanos::ZERO), Ok(new), "its number is given again");
    assert_eq!(packet(shaper.dequeue(at, &mut Dropped::default())), Some(3));
}

#[test]
fn a_filter_that_waits_hears_of_another_framing() {
    let (mut shaper, at) = waiting_filter();
    let framing = Framing { overhead: 100, mpu: 0 };
    let link = LinkParams { framing, ..LinkParams::default() };
    shaper.set_link(link, Nanos::ZERO).expect("a valid link");
    // A hundred bytes more, at a byte a microsecond.
    let later = at + Nanos(100_000);
    assert_eq!(shaper.next_wake(Nanos::ZERO), Wake::At(later));
    assert!(shaper.dequeue(later - Nanos(1), &mut Dropped::default()).is_none());
    assert!(shaper.dequeue(later, &mut Dropped::default()).is_some());
}
