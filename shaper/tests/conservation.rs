//! Laws that hold whatever happens: random operations on random lanes under a random link.
//!
//! Every packet has one fate; a lane's counters add up; order within a lane is kept; neither a lane nor the link passes
//! more than its burst and its rate in any interval; and [`Shaper::next_wake`] tells the truth to the nanosecond.

use portlane_shaper::bucket::MAX_PACKET;
use portlane_shaper::{
    Aqm, Arrival, Departure, DropReason, Fate, FqParams, LaneId, LaneParams, Limiter, LinkParams, Nanos, Peak,
    QueueParams, Rate, Shape, Shaper, Size, TreeParams, Volume, Wake,
    codel::{self, ControlLaw},
};
use proptest::prelude::*;
use std::collections::HashMap;

/// A packet: neither `Copy` nor `Clone`, so it cannot be in two places.
#[derive(Debug, PartialEq, Eq)]
struct Packet {
    id: usize,
    ect: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Held,
    Sent,
    Dropped(DropReason),
}

/// What the test knows of a packet.
#[derive(Debug)]
struct Record {
    lane: usize,
    len: u32,
    /// In a lane only FQ-CoDel's flows may overtake one another.
    flow: u32,
    enqueued: Nanos,
    outcome: Outcome,
}

/// The other side of the ledger: every packet, and what became of it.
#[derive(Debug, Default)]
struct Ledger {
    records: Vec<Record>,
    marks: Vec<u64>,
}

impl Ledger {
    fn settle(&mut self, id: usize, outcome: Outcome) {
        let record = &mut self.records[id];
        assert_eq!(record.outcome, Outcome::Held, "packet {id} has two fates");
        record.outcome = outcome;
    }

    fn volume(&self, lane: usize, of: impl Fn(Outcome) -> bool) -> Volume {
        let mut volume = Volume::default();
        self.records.iter().filter(|r| r.lane == lane && of(r.outcome)).for_each(|r| volume.add(r.len));
        volume
    }
}

impl Fate<Packet> for Ledger {
    fn dropped(&mut self, lane: LaneId, packet: Packet, reason: DropReason) {
        assert_eq!(self.records[packet.id].lane, lane.0 as usize);
        self.settle(packet.id, Outcome::Dropped(reason));
    }

    fn mark(&mut self, packet: &mut Packet) -> bool {
        self.marks[self.records[packet.id].lane] += u64::from(packet.ect);
        packet.ect
    }
}

/// `s_i + ... + s_k <= burst + rate * (t_k - t_i)` for all i <= k, in nanobits. In debt, the last packet is not counted:
/// it was let go because what came before it was in credit.
#[derive(Debug)]
struct Envelope {
    rate: i128,
    burst: i128,
    debt: bool,
    /// Packets that may be sent on the bursts of those below, which are part of `burst`.
    guaranteed: i128,
    sent: i128,
    /// The lowest that `sent` has been against what was earned, just before a packet.
    lowest: i128,
}

impl Envelope {
    fn new(rate: Rate, burst: Size, debt: bool) -> Self {
        let (rate, burst) = (i128::from(rate.bits_per_second()), i128::from(burst.0) * 8_000_000_000);
        Self { rate, burst, debt, guaranteed: 0, sent: 0, lowest: i128::MAX }
    }

    /// Of a link: what is guaranteed below may overdraw it, by a burst and a packet each.
    fn of_link(shape: Shape, lanes: &[LaneParams]) -> Self {
        let bursts = lanes.iter().map(|lane| match lane.limiter {
            Limiter::None => 1_600,
            Limiter::Htb(Shape { burst, .. }) | Limiter::Tbf { burst, .. } => burst.0,
        });
        let burst = Size(bursts.fold(shape.cburst.0, u64::saturating_add).min(1 << 60));
        Self { guaranteed: lanes.len() as i128, ..Self::new(shape.ceil, burst, true) }
    }

    fn pass(&mut self, at: Nanos, len: u32, longest: u32) {
        let earned = self.rate * i128::from(at.0);
        self.lowest = self.lowest.min(self.sent - earned);
        let before = self.sent;
        self.sent += i128::from(len) * 8_000_000_000;
        let counted = if self.debt { before } else { self.sent };
        let passed = counted - earned - self.lowest;
        let burst = self.burst + self.guaranteed * i128::from(longest) * 8_000_000_000;
        assert!(passed <= burst, "at {at}: {passed} nanobits above the rate, the burst is {burst}");
    }
}

fn envelopes(limiter: Limiter) -> Vec<Envelope> {
    match limiter {
        Limiter::None => vec![],
        Limiter::Htb(shape) => vec![Envelope::new(shape.rate, shape.burst, true)],
        Limiter::Tbf { rate, burst, peak } => {
            let peak = peak.map(|peak| Envelope::new(peak.rate, peak.mtu, false));
            peak.into_iter().chain([Envelope::new(rate, burst, false)]).collect()
        }
    }
}

/// A shaper under test, with everything that is known about it.
struct World {
    shaper: Shaper<Packet>,
    params: Vec<LaneParams>,
    ledger: Ledger,
    now: Nanos,
    lanes: Vec<Vec<Envelope>>,
    link: Option<Envelope>,
    longest: u32,
    /// By lane and flow.
    last_sent: HashMap<(usize, u32), usize>,
    requeues: Vec<u64>,
    returned: Option<usize>,
    /// What each lane had in its queue when its limits were set: they hold for what came later.
    before_limits: Vec<Volume>,
    had_codel: Vec<bool>,
}

impl World {
    fn new(params: Vec<LaneParams>, link: LinkParams, now: Nanos) -> Self {
        Self {
            shaper: Shaper::new(&TreeParams { link, lanes: params.clone(), groups: vec![] }, 8, now)
                .expect("a valid tree"),
            ledger: Ledger { records: vec![], marks: vec![0; params.len()] },
            now,
            lanes: params.iter().map(|lane| envelopes(lane.limiter)).collect(),
            link: link.shape.map(|shape| Envelope::of_link(shape, &params)),
            longest: 0,
            last_sent: HashMap::new(),
            requeues: vec![0; params.len()],
            returned: None,
            before_limits: vec![Volume::default(); params.len()],
            had_codel: params.iter().map(|lane| lane.queue.aqm != Aqm::Fifo).collect(),
            params,
        }
    }

    /// Of eight flows, as the packets' numbers have it.
    fn enqueue(&mut self, lane: usize, len: u32, ect: bool) {
        let id = self.ledger.records.len();
        self.longest = self.longest.max(len);
        let of_eight = u32::try_from(id * 5 / 2 % 8).expect("below 8") << 29;
        let flow = if let Aqm::FqCodel(_) = self.params[lane].queue.aqm { of_eight } else { 0 };
        self.ledger.records.push(Record { lane, len, flow, enqueued: self.now, outcome: Outcome::Held });
        let arrival = Arrival { packet: Packet { id, ect }, len, memory: len / 2 + 700, flow, ect };
        self.shaper.enqueue(lane_id(lane), arrival, self.now, &mut self.ledger);
    }

    /// A packet comes if and only if that was announced.
    fn dequeue(&mut self) -> Option<Departure<Packet>> {
        let announced = self.shaper.next_wake(self.now);
        let departure = self.shaper.dequeue(self.now, &mut self.ledger);
        assert_eq!(departure.is_some(), announced == Wake::Now, "announced at {}: {announced:?}", self.now);
        let departure = departure?;
        let (id, lane) = (departure.packet.id, departure.lane.0 as usize);
        let record = &self.ledger.records[id];
        assert_eq!((lane, departure.len, departure.enqueued), (record.lane, record.len, record.enqueued));
        assert!(record.enqueued <= self.now);
        if let Some(returned) = self.returned.take() {
            assert_eq!(id, returned, "what was put back comes first");
        } else {
            let last = self.last_sent.insert((lane, record.flow), id);
            assert!(last < Some(id), "packet {id} overtaken in its flow");
            let passed = self.lanes[lane].iter_mut().chain(&mut self.link);
            passed.for_each(|envelope| envelope.pass(self.now, record.len, self.longest));
        }
        Some(departure)
    }

    fn send(&mut self) -> bool {
        let departure = self.dequeue();
        departure.map(|departure| self.ledger.settle(departure.packet.id, Outcome::Sent)).is_some()
    }

    fn bounce(&mut self) {
        let again = self.returned.is_some();
        if let Some(departure) = self.dequeue() {
            self.returned = Some(departure.packet.id);
            self.requeues[departure.lane.0 as usize] += u64::from(!again);
            self.shaper.put_back(departure);
        }
    }

    fn set_queue(&mut self, lane: usize, queue: &QueueParams) {
        self.before_limits[lane] = self.shaper.backlog(lane_id(lane));
        self.had_codel[lane] |= queue.aqm != Aqm::Fifo;
        self.params[lane].queue = queue.clone();
        self.shaper.set_queue(lane_id(lane), queue, self.now).expect("valid parameters");
    }

    fn shed(&mut self, count: u32) {
        let before = self.shaper.queued();
        let dropped = self.shaper.shed(count, &mut self.ledger);
        assert!(dropped <= count);
        assert_eq!(self.shaper.queued(), before - dropped as usize);
    }

    /// Sends one packet at the time given: not a nanosecond before, and not after. False if there is none.
    fn follow(&mut self) -> bool {
        match self.shaper.next_wake(self.now) {
            Wake::Never => {
                assert_eq!(self.shaper.queued(), 0);
                assert!(!self.send());
                return false;
            }
            Wake::Now => {}
            Wake::At(at) => {
                assert!(at > self.now);
                self.now = at - Nanos(1);
                assert!(!self.send(), "a packet before {at}");
                self.now = at;
            }
        }
        assert!(self.send(), "no packet at {}", self.now);
        true
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Enqueue { lane, count, len, ect } => {
                (0..count).for_each(|_| self.enqueue(lane % self.params.len(), len, ect));
            }
            Op::Send(count) => (0..count).for_each(|_| {
                self.send();
            }),
            Op::Bounce => self.bounce(),
            Op::Shed(count) => self.shed(count),
            Op::Advance(by) => self.now = self.now + Nanos(by),
            Op::Follow(count) => (0..count).for_each(|_| {
                self.follow();
            }),
            Op::SetQueue { lane, ref queue } => self.set_queue(lane % self.params.len(), queue),
        }
        self.check();
    }

    /// The laws that hold between any two operations.
    fn check(&mut self) {
        let mut queued = 0;
        for (lane, params) in self.params.iter().enumerate() {
            let (counters, backlog) = (self.shaper.counters(lane_id(lane)), self.shaper.backlog(lane_id(lane)));
            assert!(counters.accounts_for(backlog), "lane {lane}: {counters:?}, {backlog:?} queued");
            assert_eq!(counters.offered, self.ledger.volume(lane, |_| true));
            assert_eq!(backlog, self.ledger.volume(lane, |outcome| outcome == Outcome::Held));
            assert_eq!(counters.sent, self.ledger.volume(lane, |outcome| outcome == Outcome::Sent));
            for reason in DropReason::ALL {
                let dropped = self.ledger.volume(lane, |outcome| outcome == Outcome::Dropped(reason));
                assert_eq!(counters.dropped_for(reason), dropped, "lane {lane}, {}", reason.as_str());
            }
            assert_eq!(counters.ecn_marks + counters.ce_marks, self.ledger.marks[lane]);
            assert_eq!(counters.requeues, self.requeues[lane]);
            let returned = self.returned.filter(|&id| self.ledger.records[id].lane == lane);
            let before = self.before_limits[lane];
            let limit = before.packets.max(params.queue.limit.into());
            assert!(backlog.packets <= limit + u64::from(returned.is_some()));
            let len = returned.map_or(0, |id| u64::from(self.ledger.records[id].len));
            let limit = params.queue.limit_bytes.map_or(u64::MAX, |limit| limit.0.max(before.bytes));
            assert!(backlog.bytes - len <= limit);
            let codel = counters.dropped_for(DropReason::Codel).packets;
            assert!(self.had_codel[lane] || codel + counters.ecn_marks + counters.ce_marks == 0);
            queued += backlog.packets;
        }
        assert_eq!(self.shaper.queued() as u64, queued);
        assert_eq!(self.shaper.next_wake(self.now) == Wake::Never, queued == 0);
    }
}

fn lane_id(lane: usize) -> LaneId {
    LaneId(u32::try_from(lane).expect("few lanes"))
}

#[derive(Debug, Clone)]
enum Op {
    Enqueue {
        lane: usize,
        count: usize,
        len: u32,
        ect: bool,
    },
    Send(usize),
    /// The device does not take the next packet.
    Bounce,
    Shed(u32),
    Advance(u64),
    /// Sends at the very times that the shaper announces.
    Follow(usize),
    SetQueue {
        lane: usize,
        queue: QueueParams,
    },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let count = prop_oneof![3 => Just(1_usize), 1 => 1..60_usize];
    // Lengths that networks have, and now and then one that a hostile capture may claim.
    let hostile = prop_oneof![Just(0), Just(MAX_PACKET), any::<u32>()];
    let len = prop_oneof![9 => Just(64_u32), 9 => Just(1_514_u32), 9 => 1..9_001_u32, 1 => hostile];
    let enqueue = (0..6_usize, count, len, any::<bool>()).prop_map(|(lane, count, len, ect)| Op::Enqueue {
        lane,
        count,
        len,
        ect,
    });
    let wait = prop_oneof![0..3_000_u64, 0..5_000_000_u64, 0..2_000_000_000_u64, 0..3_600_000_000_000_u64];
    let op = prop_oneof![
        8 => enqueue,
        4 => (1..20_usize).prop_map(Op::Send),
        1 => Just(Op::Bounce),
        1 => (1..80_u32).prop_map(Op::Shed),
        4 => wait.prop_map(Op::Advance),
        4 => (1..20_usize).prop_map(Op::Follow),
        1 => (0..6_usize, queue()).prop_map(|(lane, queue)| Op::SetQueue { lane, queue }),
    ];
    prop::collection::vec(op, 1..120)
}

/// 1 kbit to 1 Tbit a second, every magnitude as likely.
fn rate() -> impl Strategy<Value = Rate> {
    let bits = (5..12_u32, 1..=1_000_u64).prop_map(|(magnitude, factor)| 10_u64.pow(magnitude) * factor / 100);
    bits.prop_map(|bits| Rate::from_bits_per_second(bits).expect("not zero"))
}

fn size() -> impl Strategy<Value = Size> {
    prop_oneof![1..2_000_u64, 1..100_000_u64].prop_map(Size)
}

fn limiter() -> impl Strategy<Value = Limiter> {
    let peak = prop::option::of((rate(), size()).prop_map(|(rate, mtu)| Peak { rate, mtu }));
    prop_oneof![
        Just(Limiter::None),
        (rate(), size()).prop_map(|(rate, burst)| Limiter::Htb(Shape::flat(rate, burst))),
        (rate(), size(), peak).prop_map(|(rate, burst, peak)| Limiter::Tbf { rate, burst, peak }),
    ]
}

fn lane() -> impl Strategy<Value = LaneParams> {
    (limiter(), queue()).prop_map(|(limiter, queue)| LaneParams { limiter, queue, ..LaneParams::default() })
}

fn queue() -> impl Strategy<Value = QueueParams> {
    let limit = prop_oneof![0..10_u32, 10..1_000_u32];
    let fq = (codel(), 1..20_u32, 1..3_000_u32, size(), 0..20_u32).prop_map(
        |(codel, flows, quantum, memory_limit, drop_batch)| FqParams {
            codel,
            flows,
            quantum,
            memory_limit,
            drop_batch,
        },
    );
    let aqm = prop_oneof![Just(Aqm::Fifo), codel().prop_map(Aqm::Codel), fq.prop_map(Aqm::FqCodel)];
    (limit, prop::option::of(size()), aqm).prop_map(|(limit, limit_bytes, aqm)| QueueParams { limit, limit_bytes, aqm })
}

fn codel() -> impl Strategy<Value = codel::Params> {
    let ce_threshold = prop::option::of((0..10_000_000_u64).prop_map(Nanos));
    (0..10_000_000_u64, 1..100_000_000_u64, any::<bool>(), 0..3_000_u32, ce_threshold).prop_map(
        |(target, interval, ecn, mtu, ce_threshold)| codel::Params {
            target: Nanos(target),
            interval: Nanos(interval),
            ecn,
            mtu,
            ce_threshold,
            law: ControlLaw::Newton,
        },
    )
}

fn link() -> impl Strategy<Value = LinkParams> {
    let shape = prop::option::of((rate(), size()).prop_map(|(rate, burst)| Shape::flat(rate, burst)));
    shape.prop_map(|shape| LinkParams { shape, ..LinkParams::default() })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_packet_has_one_fate_and_no_law_is_broken(
        lanes in prop::collection::vec(lane(), 1..6),
        link in link(),
        start in prop_oneof![Just(0), 0..1_000_000_u64, Just(1_760_000_000_000_000_000)],
        ops in ops(),
    ) {
        let mut world = World::new(lanes, link, Nanos(start));
        ops.iter().for_each(|op| world.apply(op));
        while world.follow() {}
        world.check();
        let held = world.ledger.records.iter().filter(|record| record.outcome == Outcome::Held).count();
        prop_assert_eq!(held, 0);
    }

    /// A clock that runs backwards breaks promises about time, but loses no packet.
    #[test]
    fn a_clock_that_runs_backwards_loses_nothing(
        lanes in prop::collection::vec(lane(), 1..6),
        link in link(),
        calls in prop::collection::vec((0..10_000_000_u64, 0..6_usize, 1..9_001_u32, any::<bool>()), 1..200),
    ) {
        let count = lanes.len();
        let mut ledger = Ledger { records: vec![], marks: vec![0; count] };
        let tree = TreeParams { link, lanes, groups: vec![] };
        let mut shaper = Shaper::new(&tree, 8, Nanos::ZERO).expect("a valid tree");
        for (id, (now, lane, len, ect)) in calls.into_iter().enumerate() {
            let (now, lane) = (Nanos(now), lane % count);
            let flow = len << 20;
            ledger.records.push(Record { lane, len, flow, enqueued: now, outcome: Outcome::Held });
            shaper.enqueue(lane_id(lane), Arrival { packet: Packet { id, ect }, len, memory: len, flow, ect }, now, &mut ledger);
            if let Some(departure) = ect.then(|| shaper.dequeue(now, &mut ledger)).flatten() {
                ledger.settle(departure.packet.id, Outcome::Sent);
            }
        }
        let mut now = Nanos(10_000_000);
        while let Wake::Now | Wake::At(_) = shaper.next_wake(now) {
            now = now + Nanos::from_secs(1);
            while let Some(departure) = shaper.dequeue(now, &mut ledger) {
                ledger.settle(departure.packet.id, Outcome::Sent);
            }
        }
        prop_assert!(ledger.records.iter().all(|record| record.outcome != Outcome::Held));
        prop_assert!((0..count).all(|lane| shaper.counters(lane_id(lane)).accounts_for(Volume::default())));
    }
}
