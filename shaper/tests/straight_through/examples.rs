//! Single situations, each with the outcome worked out by hand.

use portlane_shaper::{
    Aqm, Arrival, DropReason, Fate, FqParams, GroupId, GroupParams, LaneId, LaneParams, Limiter, LinkParams, Nanos,
    NodeId, QueueParams, Shape, Shaper, Size, TreeParams, Volume, Wake, codel,
};

const LANE: LaneId = LaneId(0);
const OTHER: LaneId = LaneId(1);

/// Hashes of two flows.
const ONE: u32 = 0;
const ANOTHER: u32 = 1 << 31;

/// The packets that were dropped.
#[derive(Debug, Default)]
struct Dropped(Vec<(u32, DropReason)>);

impl Fate<u32> for Dropped {
    fn dropped(&mut self, _lane: LaneId, packet: u32, reason: DropReason) {
        self.0.push((packet, reason));
    }

    fn mark(&mut self, _packet: &mut u32) -> bool {
        false
    }
}

/// 8 mbit, a byte a microsecond, and credit for 1,000 bytes.
fn shape() -> Shape {
    Shape::flat("8mbit".parse().expect("a rate"), Size(1_000))
}

/// Two equal lanes in a group, that have been asked for packets and have none.
fn shaper(group: Option<Shape>, limiter: Limiter, queue: QueueParams) -> Shaper<u32> {
    let lane = LaneParams { group: Some(GroupId(0)), limiter, queue, ..LaneParams::default() };
    let tree = TreeParams {
        link: LinkParams::default(),
        groups: vec![GroupParams { shape: group, ..GroupParams::default() }],
        lanes: vec![lane.clone(), lane],
    };
    let mut shaper = Shaper::new(&tree, 64, Nanos::ZERO).expect("a valid tree");
    assert!(shaper.dequeue(Nanos::ZERO, &mut Dropped::default()).is_none());
    shaper
}

/// Nothing limits the lanes but their queues.
fn open(queue: QueueParams) -> Shaper<u32> {
    shaper(None, Limiter::None, queue)
}

/// Lanes of 8 mbit in a group of 16 mbit that has credit for 9,000 bytes.
fn limited(queue: QueueParams) -> Shaper<u32> {
    let group = Shape::flat("16mbit".parse().expect("a rate"), Size(9_000));
    shaper(Some(group), Limiter::Htb(shape()), queue)
}

fn arrival(packet: u32, len: u32, flow: u32) -> Arrival<u32> {
    Arrival { packet, len, memory: len, flow, ect: true }
}

/// How an offered packet left: straight through (`Some(true)`), by the queue, or not at all.
fn offer(shaper: &mut Shaper<u32>, lane: LaneId, arrival: Arrival<u32>, now: Nanos) -> Option<bool> {
    let mut dropped = Dropped::default();
    assert!(shaper.dequeue(now, &mut dropped).is_none(), "nothing else may leave");
    let left = shaper.offer(lane, arrival, now, &mut dropped);
    assert!(dropped.0.is_empty(), "{dropped:?}");
    left.map(|departure| departure.passed)
}

fn volume(packets: u64, bytes: u64) -> Volume {
    Volume { packets, bytes }
}

#[test]
fn an_idle_lane_is_passed_and_counts() {
    let mut shaper = limited(QueueParams::default());
    let departure = shaper.offer(LANE, arrival(7, 1_400, ONE), Nanos::ZERO, &mut Dropped::default());
    let departure = departure.expect("the lane is idle and in credit");
    assert_eq!((departure.lane, departure.packet, departure.len), (LANE, 7, 1_400));
    assert_eq!((departure.enqueued, departure.passed), (Nanos::ZERO, true));
    let (counters, one) = (shaper.counters(LANE), volume(1, 1_400));
    assert_eq!([counters.offered, counters.dequeued, counters.sent], [one; 3]);
    assert_eq!((shaper.passed(LANE), shaper.queue_stats(LANE).maxpacket), (1, 1_400));
    // 400 bytes are owed to the lane's rate, which takes 400 us. It is over its ceil, once.
    let lane = shaper.node(NodeId::Lane(LANE), Nanos::ZERO);
    assert_eq!((lane.sent, lane.lended, lane.tokens_ns, counters.overlimits), (one, 1, -400_000, 1));
    // The group lent nothing, and has 7,600 bytes left.
    let group = shaper.node(NodeId::Group(GroupId(0)), Nanos::ZERO);
    assert_eq!((group.sent, group.lended, group.tokens_ns), (one, 0, 3_800_000));
    assert_eq!(shaper.node(NodeId::Link, Nanos::ZERO).sent, one);
    assert_eq!((shaper.backlog(LANE), shaper.queued()), (volume(0, 0), 0));
    assert_eq!(shaper.next_wake(Nanos::ZERO), Wake::Never);
    assert!(shaper.dequeue(Nanos::ZERO, &mut Dropped::default()).is_none());
}

#[test]
fn a_lane_in_debt_waits_and_an_idle_one_beside_it_does_not() {
    let mut shaper = limited(QueueParams::fifo(10));
    assert_eq!(offer(&mut shaper, LANE, arrival(0, 1_400, ONE), Nanos::ZERO), Some(true));
    assert_eq!(offer(&mut shaper, LANE, arrival(1, 100, ONE), Nanos::ZERO), None);
    assert_eq!(offer(&mut shaper, OTHER, arrival(2, 100, ONE), Nanos::ZERO), Some(true));
    assert_eq!(shaper.next_wake(Nanos::ZERO), Wake::At(Nanos::from_micros(400)));
    // It is the turn of what waited; what arrives then joins it.
    let now = Nanos::from_micros(400);
    assert!(shaper.offer(LANE, arrival(3, 100, ONE), now, &mut Dropped::default()).is_none());
    let left = shaper.dequeue(now, &mut Dropped::default()).map(|departure| (departure.packet, departure.passed));
    assert_eq!(left, Some((1, false)));
}

#[test]
fn where_something_else_may_leave_a_packet_is_queued() {
    let mut shaper = open(QueueParams::fifo(10));
    shaper.enqueue(OTHER, arrival(0, 100, ONE), Nanos::ZERO, &mut Dropped::default());
    assert!(shaper.offer(LANE, arrival(1, 100, ONE), Nanos::ZERO, &mut Dropped::default()).is_none());
    let left = std::iter::from_fn(|| shaper.dequeue(Nanos::ZERO, &mut Dropped::default()));
    let mut left: Vec<_> = left.map(|departure| (departure.packet, departure.passed)).collect();
    left.sort_unstable();
    assert_eq!(left, [(0, false), (1, false)]);
}

#[test]
fn a_token_bucket_filter_is_not_passed_but_lets_go_what_it_can_afford() {
    let Shape { rate, burst, .. } = shape();
    let mut shaper = shaper(None, Limiter::Tbf { rate, burst, peak: None }, QueueParams::fifo(10));
    assert_eq!(offer(&mut shaper, LANE, arrival(0, 900, ONE), Nanos::ZERO), Some(false));
    assert_eq!(offer(&mut shaper, LANE, arrival(1, 900, ONE), Nanos::ZERO), None);
    assert_eq!(shaper.next_wake(Nanos::ZERO), Wake::At(Nanos::from_micros(800)));
}

#[test]
fn what_a_queue_would_not_take_does_not_pass() {
    let fq = |fq: FqParams, limit| QueueParams { limit, limit_bytes: None, aqm: Aqm::FqCodel(fq) };
    let scarce = fq(FqParams { memory_limit: Size(99), ..FqParams::default() }, 10);
    let short = QueueParams { limit_bytes: Some(Size(99)), ..QueueParams::fifo(10) };
    let none = [QueueParams::fifo(0), fq(FqParams::default(), 0), short];
    let refused = none.map(|queue| (queue, 100, DropReason::Limit));
    let others = [(scarce, 100, DropReason::Memory), (QueueParams::fifo(10), (16 << 20) + 1, DropReason::Oversize)];
    for (queue, len, reason) in refused.into_iter().chain(others) {
        let (mut shaper, mut dropped) = (open(queue.clone()), Dropped::default());
        assert!(shaper.offer(LANE, arrival(0, len, ONE), Nanos::ZERO, &mut dropped).is_none());
        assert_eq!(dropped.0, [(0, reason)], "{queue:?}");
        assert_eq!((shaper.counters(LANE).refused, shaper.passed(LANE)), (1, 0), "{queue:?}");
    }
}

/// What a lane has listed: buckets and deficits; how many of them are new and old; and how many ever were new.
fn listed(shaper: &Shaper<u32>) -> (Vec<(u32, i32)>, [u32; 2], u64) {
    let flows = shaper.flows(LANE).map(|flow| (flow.index, flow.deficit)).collect();
    let stats = shaper.queue_stats(LANE);
    (flows, [stats.new_flows_len, stats.old_flows_len], stats.new_flow_count)
}

#[test]
fn a_lone_flow_is_replaced_by_another() {
    let mut shaper = open(QueueParams::default());
    assert_eq!(offer(&mut shaper, LANE, arrival(0, 100, ONE), Nanos::ZERO), Some(true));
    assert_eq!(listed(&shaper), (vec![(0, 1_414)], [1, 0], 1));
    assert_eq!(offer(&mut shaper, LANE, arrival(1, 100, ONE), Nanos::ZERO), Some(true));
    assert_eq!(listed(&shaper), (vec![(0, 1_314)], [1, 0], 1));
    // The first one is visited, has nothing, and leaves the list.
    assert_eq!(offer(&mut shaper, LANE, arrival(2, 200, ANOTHER), Nanos::ZERO), Some(true));
    assert_eq!(listed(&shaper), (vec![(512, 1_314)], [1, 0], 2));
    assert_eq!(offer(&mut shaper, LANE, arrival(3, 100, ONE), Nanos::ZERO), Some(true));
    assert_eq!(listed(&shaper), (vec![(0, 1_414)], [1, 0], 3));
}

#[test]
fn a_lone_flow_whose_deficit_runs_out_passes_to_the_old_flows() {
    let mut shaper = open(QueueParams::default());
    assert_eq!(offer(&mut shaper, LANE, arrival(0, 1_514, ONE), Nanos::ZERO), Some(true));
    assert_eq!(listed(&shaper), (vec![(0, 0)], [1, 0], 1));
    // It gets a quantum of 1,514 bytes, and has its turn again after a round.
    assert_eq!(offer(&mut shaper, LANE, arrival(1, 1_000, ONE), Nanos::ZERO), Some(true));
    assert_eq!(listed(&shaper), (vec![(0, 514)], [0, 1], 1));
    // A new flow goes first: the old one is not visited, and stays listed.
    assert_eq!(offer(&mut shaper, LANE, arrival(2, 1_000, ANOTHER), Nanos::ZERO), Some(false));
    assert_eq!(listed(&shaper), (vec![(512, 514), (0, 514)], [1, 1], 2));
}

#[test]
fn a_flow_far_in_deficit_goes_round_until_it_may_send() {
    let mut shaper = open(QueueParams::default());
    assert_eq!(offer(&mut shaper, LANE, arrival(0, 9_000, ONE), Nanos::ZERO), Some(true));
    assert_eq!(listed(&shaper), (vec![(0, 1_514 - 9_000)], [1, 0], 1));
    // Five quanta are not enough for 7,486 bytes more than its own, exactly 4.94 of them: it has 84 bytes then.
    let now = Nanos::from_secs(1);
    assert_eq!(offer(&mut shaper, LANE, arrival(1, 100, ONE), now), Some(true));
    assert_eq!(listed(&shaper), (vec![(0, 5 * 1_514 - 7_486 - 100)], [0, 1], 1));
}

#[test]
fn what_is_known_of_a_lone_flow_stays_when_it_is_joined() {
    let (mut shaper, now, mut dropped) = (open(QueueParams::default()), Nanos::from_millis(3), Dropped::default());
    shaper.enqueue(LANE, arrival(0, 100, ONE), Nanos::ZERO, &mut dropped);
    assert!(shaper.dequeue(now, &mut dropped).is_some());
    let lone: Vec<_> = shaper.flows(LANE).collect();
    assert_eq!((lone.len(), lone[0].deficit, lone[0].codel.ldelay), (1, 1_414, now));
    shaper.enqueue(LANE, arrival(1, 100, ANOTHER), now, &mut dropped);
    assert_eq!(shaper.flows(LANE).next(), Some(lone[0]));
    assert_eq!(listed(&shaper).1, [2, 0]);
}

#[test]
fn a_filter_that_looks_for_its_next_packet_visits_the_lone_flow() {
    let Shape { rate, burst, .. } = shape();
    let mut shaper = shaper(None, Limiter::Tbf { rate, burst, peak: None }, QueueParams::default());
    assert_eq!(offer(&mut shaper, LANE, arrival(0, 100, ONE), Nanos::ZERO), Some(false));
    // It has nothing, and leaves the list.
    assert_eq!(listed(&shaper), (vec![], [0, 0], 1));
}

#[test]
fn a_quantum_counts_for_31_bits_at_most_whichever_way_a_packet_goes() {
    let queue = |quantum| QueueParams {
        aqm: Aqm::FqCodel(FqParams { quantum, ..FqParams::default() }),
        ..QueueParams::default()
    };
    for straight in [true, false] {
        let (mut shaper, mut dropped) = (open(queue(100)), Dropped::default());
        assert_eq!(offer(&mut shaper, LANE, arrival(0, 150, ONE), Nanos::ZERO), Some(true));
        assert_eq!(listed(&shaper).0, [(0, -50)]);
        shaper.set_queue(LANE, &queue(1 << 31), Nanos::ZERO).expect("valid parameters");
        if straight {
            assert_eq!(offer(&mut shaper, LANE, arrival(1, 7, ONE), Nanos::ZERO), Some(true));
        } else {
            shaper.enqueue(LANE, arrival(1, 7, ONE), Nanos::ZERO, &mut dropped);
            assert!(shaper.dequeue(Nanos::ZERO, &mut dropped).is_some());
        }
        assert_eq!(listed(&shaper).0, [(0, i32::MAX - 57)]);
    }
}

/// CoDel with a target of 1 ms and an interval of 10 ms.
fn codel() -> codel::Params {
    codel::Params { target: Nanos::from_millis(1), interval: Nanos::from_millis(10), ..codel::Params::default() }
}

/// A lane whose CoDel has dropped, and that is asked for one packet a millisecond: all that were queued at the start, but
/// for the last `left`.
fn troubled(queue: QueueParams, left: u32) -> (Shaper<u32>, Nanos) {
    let (mut shaper, mut now, mut dropped) = (open(queue), Nanos::ZERO, Dropped::default());
    (0..60).for_each(|packet| shaper.enqueue(LANE, arrival(packet, 1_000, ONE), now, &mut dropped));
    while shaper.backlog(LANE).packets > left.into() {
        now = now + Nanos::from_millis(1);
        shaper.dequeue(now, &mut dropped);
    }
    assert!(dropped.0.len() > 2, "{dropped:?}");
    (shaper, now)
}

/// What a packet that did not wait leaves.
fn without_delay(mut state: codel::State) -> codel::State {
    state.ldelay = Nanos::ZERO;
    state
}

#[test]
fn a_packet_that_passes_does_not_make_codel_forget() {
    let (mut shaper, now) = troubled(QueueParams::codel(codel()), 0);
    let before = *shaper.codel(LANE).expect("it has one");
    assert!(before.count > 2 && before.lastcount > 0 && before.drop_next > Nanos::ZERO, "{before:?}");
    let now = now + Nanos::from_millis(1);
    assert_eq!(offer(&mut shaper, LANE, arrival(60, 1_000, ONE), now), Some(true));
    assert_eq!(shaper.codel(LANE).copied(), Some(without_delay(before)));
}

#[test]
fn a_packet_that_passes_finds_no_standing_queue() {
    let (mut shaper, now) = troubled(QueueParams::codel(codel()), 9);
    assert!(shaper.shed(9, &mut Dropped::default()) > 0);
    assert_eq!(shaper.backlog(LANE), volume(0, 0));
    assert!(shaper.codel(LANE).is_some_and(|state| state.dropping));
    assert_eq!(offer(&mut shaper, LANE, arrival(60, 1_000, ONE), now), Some(true));
    let after = shaper.codel(LANE).expect("it has one");
    assert_eq!((after.dropping, after.first_above_time(), after.ldelay), (false, None, Nanos::ZERO));
}

#[test]
fn a_flow_that_has_something_to_remember_is_not_passed() {
    let fq = FqParams { codel: codel(), ..FqParams::default() };
    let aqm = Aqm::FqCodel(fq);
    let (mut shaper, now) = troubled(QueueParams { limit: 100, limit_bytes: None, aqm }, 0);
    let before = shaper.flows(LANE).next().expect("it is listed until it is visited").codel;
    assert!(before.count > 2, "{before:?}");
    let now = now + Nanos::from_millis(1);
    assert_eq!(offer(&mut shaper, LANE, arrival(60, 100, ONE), now), Some(false));
    let after = shaper.flows(LANE).next().expect("it is listed").codel;
    assert_eq!(after, without_delay(before));
}

#[test]
fn what_passed_and_was_put_back_leaves_as_if_it_had_waited() {
    let mut shaper = limited(QueueParams::default());
    let one = volume(1, 600);
    let mut departure =
        shaper.offer(LANE, arrival(0, 600, ONE), Nanos::ZERO, &mut Dropped::default()).expect("it is idle");
    for _ in 0..3 {
        shaper.put_back(departure);
        let counters = shaper.counters(LANE);
        assert_eq!([counters.offered, counters.dequeued, counters.sent], [one, one, volume(0, 0)]);
        assert_eq!((shaper.passed(LANE), counters.requeues, shaper.backlog(LANE)), (0, 1, one));
        let nodes = [NodeId::Lane(LANE), NodeId::Group(GroupId(0)), NodeId::Link];
        assert!(nodes.iter().all(|&node| shaper.node(node, Nanos::ZERO).sent == volume(0, 0)));
        // While the device's ring is full, nothing passes.
        assert_eq!(shaper.next_wake(Nanos::ZERO), Wake::Now);
        departure = shaper.dequeue(Nanos::from_micros(5), &mut Dropped::default()).expect("it comes again");
        assert_eq!((departure.packet, departure.enqueued, departure.passed), (0, Nanos::ZERO, false));
        assert!(nodes.iter().all(|&node| shaper.node(node, Nanos::ZERO).sent == one));
    }
    let counters = shaper.counters(LANE);
    assert_eq!((counters.sent, counters.requeues, shaper.passed(LANE), shaper.queued()), (one, 1, 0, 0));
    // It was paid for once: 400 bytes of the burst are left.
    assert_eq!(shaper.node(NodeId::Lane(LANE), Nanos::ZERO).tokens_ns, 400_000);
}

#[test]
fn nothing_passes_what_was_put_back() {
    let mut shaper = open(QueueParams::fifo(10));
    let departure = shaper.offer(LANE, arrival(0, 100, ONE), Nanos::ZERO, &mut Dropped::default());
    shaper.put_back(departure.expect("it is idle"));
    assert!(shaper.offer(OTHER, arrival(1, 100, ONE), Nanos::ZERO, &mut Dropped::default()).is_none());
    let left = std::iter::from_fn(|| shaper.dequeue(Nanos::ZERO, &mut Dropped::default()));
    assert_eq!(left.map(|departure| departure.packet).collect::<Vec<_>>(), [0, 1]);
}
