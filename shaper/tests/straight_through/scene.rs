//! Trees, packets and what is done to them, at random.

use portlane_shaper::bucket::MAX_PACKET;
use portlane_shaper::codel::{self, ControlLaw};
use portlane_shaper::{
    Aqm, FqParams, Framing, GroupId, GroupParams, LaneParams, Limiter, LinkParams, Nanos, OwnFraming, Peak,
    QueueParams, Rate, Shape, Share, Size, TreeParams,
};
use proptest::prelude::*;

/// A packet on its way to a lane; which of those that there are, the remainder tells.
#[derive(Debug, Clone)]
pub(crate) struct Coming {
    pub(crate) lane: usize,
    pub(crate) len: u32,
    pub(crate) memory: u32,
    pub(crate) flow: u32,
    pub(crate) ect: bool,
}

/// What is done to both shapers.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    /// A turn of a packet line: what may leave does, then packets arrive. The device takes `room` of them, and no more.
    Turn {
        arrivals: Vec<Coming>,
        room: usize,
    },
    /// Packets are queued, whatever may leave.
    Queue {
        packet: Coming,
        count: usize,
    },
    /// Many packets are queued, and so many of all that wait leave at the times that the shapers announce.
    Flood {
        packet: Coming,
        count: usize,
        leave: usize,
    },
    /// A packet is queued, one leaves, and another is offered if more may leave; where nothing may, it is queued too.
    Busy {
        queued: Coming,
        offered: Coming,
    },
    /// So many packets may leave.
    Send(usize),
    /// The next packet leaves and is put back, so many times. Before it is put back the first time, another is queued.
    Bounce {
        times: usize,
        meanwhile: Option<Coming>,
    },
    /// So many packets leave at the times that the shapers announce.
    Follow(usize),
    Shed(u32),
    Wait(u64),
    /// The clock steps back.
    StepBack(u64),
    Change(Change),
}

/// What is changed at run time. Which node, and which group or the link it is to be `under`, the remainder tells.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Link(LinkParams),
    Queue { lane: usize, queue: QueueParams },
    Lane { lane: usize, params: LaneParams, under: usize },
    NewLane { params: LaneParams, under: usize },
    NoLane(usize),
    Group { group: usize, params: GroupParams, under: usize },
    NewGroup { params: GroupParams, under: usize },
    NoGroup(usize),
}

pub(crate) fn starts() -> impl Strategy<Value = Nanos> {
    let end = (0..10_000_000_000_u64).prop_map(|before| Nanos::MAX.0 - before);
    prop_oneof![4 => Just(0), 4 => 0..1_000_000_000_u64, 4 => Just(1_760_000_000_000_000_000), 1 => end].prop_map(Nanos)
}

pub(crate) fn ops() -> impl Strategy<Value = Vec<Op>> {
    let room = prop_oneof![6 => Just(usize::MAX), 1 => 0..4_usize];
    let turn = (prop::collection::vec(packets(), 1..5), room).prop_map(|(arrivals, room)| Op::Turn { arrivals, room });
    let count = prop_oneof![3 => Just(1_usize), 1 => 1..20_usize];
    let leave = prop_oneof![Just(usize::MAX), 1..80_usize];
    let bounce = (1..4_usize, prop::option::weighted(0.2, packets()));
    let wait = prop_oneof![0..3_000_u64, 0..100_000_u64, 0..5_000_000_u64, 0..3_000_000_000_u64];
    let op = prop_oneof![
        12 => turn,
        3 => (packets(), count).prop_map(|(packet, count)| Op::Queue { packet, count }),
        2 => (packets(), packets()).prop_map(|(queued, offered)| Op::Busy { queued, offered }),
        2 => (1..20_usize).prop_map(Op::Send),
        1 => bounce.prop_map(|(times, meanwhile)| Op::Bounce { times, meanwhile }),
        4 => (1..30_usize).prop_map(Op::Follow),
        2 => (packets(), 10..80_usize, leave).prop_map(|(packet, count, leave)| Op::Flood { packet, count, leave }),
        2 => prop_oneof![1..60_u32, Just(u32::MAX)].prop_map(Op::Shed),
        8 => wait.prop_map(Op::Wait),
        1 => prop_oneof![0..100_u64, 0..2_000_000_u64].prop_map(Op::StepBack),
        2 => changes().prop_map(Op::Change),
    ];
    prop::collection::vec(op, 1..60)
}

/// Few flows, so that they return, or any; lengths that networks have, and now and then one that no network has.
fn packets() -> BoxedStrategy<Coming> {
    let hostile = prop_oneof![MAX_PACKET - 1..MAX_PACKET + 2, any::<u32>()];
    let len = prop_oneof![60 => Just(64_u32), 60 => Just(1_514_u32), 60 => 0..9_001_u32, 12 => Just(0), 1 => hostile];
    let flow = prop_oneof![6 => (0..3_u32).prop_map(|flow| flow << 30), 1 => any::<u32>(), 1 => Just(u32::MAX)];
    let memory = prop_oneof![6 => Just(2_048_u32), 3 => 0..10_000_u32, 1 => any::<u32>()];
    // Every other packet is for one lane, to which much happens so.
    let lane = prop_oneof![Just(0_usize), 0..8_usize];
    (lane, len, memory, flow, any::<bool>())
        .prop_map(|(lane, len, memory, flow, ect)| Coming { lane, len, memory, flow, ect })
        .boxed()
}

fn changes() -> BoxedStrategy<Change> {
    let at = || 0..16_usize;
    prop_oneof![
        1 => links().prop_map(Change::Link),
        2 => (at(), queues()).prop_map(|(lane, queue)| Change::Queue { lane, queue }),
        2 => (at(), lanes(), at()).prop_map(|(lane, params, under)| Change::Lane { lane, params, under }),
        1 => (lanes(), at()).prop_map(|(params, under)| Change::NewLane { params, under }),
        1 => at().prop_map(Change::NoLane),
        2 => (at(), groups(), at()).prop_map(|(group, params, under)| Change::Group { group, params, under }),
        1 => (groups(), at()).prop_map(|(params, under)| Change::NewGroup { params, under }),
        1 => at().prop_map(Change::NoGroup),
    ]
    .boxed()
}

/// Trees of every form, from a single lane to groups in groups.
pub(crate) fn trees() -> impl Strategy<Value = TreeParams> {
    let nested = prop::collection::vec((groups(), 0..8_usize), 0..6);
    let leaves = prop::collection::vec((lanes(), 0..8_usize), 1..7);
    (links(), nested, leaves).prop_map(|(link, nested, leaves)| {
        let all = nested.len();
        let group = |(count, (params, at))| GroupParams { group: under(at, count), ..params };
        let lane = |(params, at)| LaneParams { group: under(at, all), ..params };
        let groups = nested.into_iter().enumerate().map(group).collect();
        TreeParams { link, groups, lanes: leaves.into_iter().map(lane).collect() }
    })
}

/// One of the first groups, or the link.
fn under(at: usize, groups: usize) -> Option<GroupId> {
    let group = (at % (groups + 1)).checked_sub(1)?;
    Some(GroupId(u32::try_from(group).expect("few groups")))
}

fn links() -> impl Strategy<Value = LinkParams> {
    (prop::option::of(shapes()), framings()).prop_map(|(shape, framing)| LinkParams { shape, framing })
}

fn groups() -> BoxedStrategy<GroupParams> {
    (prop::option::of(shapes()), own_framings(), priorities(), weights())
        .prop_map(|(shape, framing, priority, weight)| GroupParams { group: None, shape, framing, priority, weight })
        .boxed()
}

fn lanes() -> BoxedStrategy<LaneParams> {
    let quantum = prop::option::of(prop_oneof![100..3_000_u32, 1_514..20_000_u32]);
    let share = (priorities(), weights(), quantum);
    let share = share.prop_map(|(priority, weight, quantum)| Share { priority, weight, quantum });
    (limiters(), own_framings(), share, queues())
        .prop_map(|(limiter, framing, share, queue)| LaneParams { group: None, limiter, framing, share, queue })
        .boxed()
}

fn limiters() -> impl Strategy<Value = Limiter> {
    let peak = prop::option::of((rates(), bursts()).prop_map(|(rate, mtu)| Peak { rate, mtu }));
    prop_oneof![
        2 => Just(Limiter::None),
        4 => shapes().prop_map(Limiter::Htb),
        1 => (rates(), bursts(), peak).prop_map(|(rate, burst, peak)| Limiter::Tbf { rate, burst, peak }),
    ]
}

/// Flat, or with a ceil that is a few times the rate.
fn shapes() -> impl Strategy<Value = Shape> {
    let flat = (rates(), bursts()).prop_map(|(rate, burst)| Shape::flat(rate, burst));
    let ceil = (rates(), 1..6_u64, bursts(), bursts()).prop_map(|(rate, factor, burst, cburst)| {
        let ceil = Rate::from_bits_per_second(rate.bits_per_second() * factor).expect("a rate");
        Shape { rate, ceil, burst, cburst }
    });
    prop_oneof![flat, ceil]
}

/// From 10 kbit a second to 100 Gbit, every magnitude as likely.
fn rates() -> impl Strategy<Value = Rate> {
    let bits = (3..10_u32, 1..=100_u64).prop_map(|(magnitude, factor)| 10_u64.pow(magnitude) * factor);
    bits.prop_map(|bits| Rate::from_bits_per_second(bits).expect("not zero"))
}

fn bursts() -> impl Strategy<Value = Size> {
    prop_oneof![1..3_000_u64, 1..100_000_u64].prop_map(Size)
}

fn priorities() -> impl Strategy<Value = Option<u8>> {
    prop::option::weighted(0.4, 0..8_u8)
}

fn weights() -> impl Strategy<Value = u32> {
    prop_oneof![3 => Just(1_u32), 1 => 1..20_u32, 1 => Just(10_000)]
}

fn framings() -> impl Strategy<Value = Framing> {
    let framing = (0..60_u16, 0..200_u16).prop_map(|(overhead, mpu)| Framing { overhead, mpu });
    prop_oneof![3 => Just(Framing::default()), 1 => framing]
}

fn own_framings() -> impl Strategy<Value = OwnFraming> {
    let bytes = || prop::option::weighted(0.3, 0..200_u16);
    (bytes(), bytes()).prop_map(|(overhead, mpu)| OwnFraming { overhead, mpu })
}

fn queues() -> BoxedStrategy<QueueParams> {
    let limit = prop_oneof![1 => Just(0_u32), 2 => Just(1), 3 => 2..10_u32, 6 => Just(1_000)];
    let aqm = prop_oneof![
        1 => Just(Aqm::Fifo),
        1 => codels().prop_map(Aqm::Codel),
        3 => flow_queues().prop_map(Aqm::FqCodel),
    ];
    let limit_bytes = prop::option::weighted(0.2, bursts());
    (limit, limit_bytes, aqm).prop_map(|(limit, limit_bytes, aqm)| QueueParams { limit, limit_bytes, aqm }).boxed()
}

fn flow_queues() -> impl Strategy<Value = FqParams> {
    let flows = prop_oneof![2 => Just(1_u32), 2 => 2..9_u32, 4 => Just(1_024), 1 => Just(65_536)];
    let quantum = prop_oneof![20..300_u32, Just(1_514), 300..20_000_u32, i32::MAX.unsigned_abs() - 2..=u32::MAX];
    let memory_limit = prop_oneof![4 => Just(32_u64 << 20), 1 => 0..20_000_u64].prop_map(Size);
    (codels(), flows, quantum, memory_limit, 0..65_u32).prop_map(|(codel, flows, quantum, memory_limit, drop_batch)| {
        FqParams { codel, flows, quantum, memory_limit, drop_batch }
    })
}

fn codels() -> impl Strategy<Value = codel::Params> {
    let times = || prop_oneof![0..300_u64, 0..20_000_u64, 0..1_000_000_u64, 0..20_000_000_u64];
    let ce_threshold = prop::option::of(times().prop_map(Nanos));
    let mtu = prop_oneof![0..3_000_u32, Just(0), Just(1_514)];
    let law = prop_oneof![Just(ControlLaw::Newton), Just(ControlLaw::Exact)];
    (times(), times(), any::<bool>(), mtu, ce_threshold, law).prop_map(
        |(target, interval, ecn, mtu, ce_threshold, law)| codel::Params {
            target: Nanos(target),
            interval: Nanos(interval * 5 + 1),
            ecn,
            mtu,
            ce_threshold,
            law,
        },
    )
}
