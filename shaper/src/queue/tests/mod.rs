//! Queues against a plain model that keeps every flow for ever, and through every change.

mod model;

use std::collections::VecDeque;

use proptest::prelude::*;

use self::model::{FlowModel, Log, Model, Packet};
use super::*;
use crate::params::FqParams;

/// A queue with its store, counters and log.
struct Bench {
    queue: Queue,
    store: Store<Packet>,
    counters: LaneCounters,
    log: Log,
    made: usize,
}

impl Bench {
    fn new(limit: u32, aqm: Aqm) -> Self {
        let queue = Queue::new(&QueueParams { limit, limit_bytes: None, aqm }, &mut None);
        let (store, counters) = (Store::with_capacity(0), LaneCounters::default());
        Self { queue, store, counters, log: Log::default(), made: 0 }
    }

    /// The next packet, twice for two queues.
    fn packet(&mut self, flow: u32, len: u32, memory: u32, now: Nanos) -> [Queued<Packet>; 2] {
        let packet = Packet { id: self.made, ect: self.made.is_multiple_of(3) };
        self.made += 1;
        [(); 2].map(|()| Queued { packet, len, memory, flow, ect: true, enqueued: now })
    }

    fn push(&mut self, item: Queued<Packet>) -> bool {
        let mut outcome = Outcome { lane: LaneId(0), counters: &mut self.counters, fate: &mut self.log };
        self.queue.push(&mut self.store, item, Volume::default(), &mut outcome)
    }

    fn dequeue(&mut self, now: Nanos) -> Option<usize> {
        let mut outcome = Outcome { lane: LaneId(0), counters: &mut self.counters, fate: &mut self.log };
        let popped = self.queue.dequeue(&mut self.store, now, &mut outcome)?;
        Some(self.store.take(popped).packet.id)
    }

    fn set(&mut self, limit: u32, aqm: Aqm, now: Nanos) {
        self.queue.set(&mut self.store, &QueueParams { limit, limit_bytes: None, aqm }, now);
    }

    fn stats(&self) -> QueueStats {
        self.queue.stats(&self.counters)
    }

    fn check(&self, model: &Model) -> Result<(), TestCaseError> {
        prop_assert_eq!(&self.log, &model.log);
        let stats = self.stats();
        prop_assert_eq!(stats.memory_used, model.memory());
        prop_assert_eq!(self.queue.packets() as usize, model.packets());
        prop_assert_eq!(self.queue.bytes(), model.flows.iter().map(FlowModel::bytes).sum::<u64>());
        let lens = [stats.new_flows_len, stats.old_flows_len].map(|len| len as usize);
        prop_assert_eq!((stats.new_flow_count, lens), (model.new_flow_count, [model.new.len(), model.old.len()]));
        let reported = |flow: FlowStats| (flow.index as usize, flow.backlog, i64::from(flow.deficit));
        let listed: Vec<_> = self.queue.flows(&self.store).map(reported).collect();
        let expected = model.new.iter().chain(&model.old).map(|&index| {
            let flow = &model.flows[index];
            (index, Volume { packets: flow.packets.len() as u64, bytes: flow.bytes() }, flow.deficit)
        });
        prop_assert_eq!(listed, expected.collect::<Vec<_>>());
        Ok(())
    }
}

#[derive(Debug, Clone)]
enum Op {
    Push {
        flow: u32,
        len: u32,
        memory: u32,
    },
    /// As many packets of a flow.
    Burst {
        flow: u32,
        count: u32,
    },
    /// A packet of each of as many flows.
    Spread {
        count: u32,
    },
    Dequeue(u32),
    Wait(u64),
    Set {
        limit: u32,
        params: FqParams,
    },
}

const INTERVAL: Nanos = Nanos(1_000);

fn fq(flows: u32) -> impl Strategy<Value = FqParams> {
    let threshold = prop::option::of((0..400_u64).prop_map(Nanos));
    let codel = (0..100_u64, any::<bool>(), 0..2_000_u32, threshold).prop_map(|(target, ecn, mtu, ce_threshold)| {
        codel::Params {
            target: Nanos(target),
            interval: INTERVAL,
            ecn,
            mtu,
            ce_threshold,
            law: codel::ControlLaw::Newton,
        }
    });
    (codel, 1..3_000_u32, prop_oneof![5_000..80_000_u64, Just(1 << 30)], 1..70_u32).prop_map(
        move |(codel, quantum, memory, drop_batch)| FqParams {
            codel,
            flows,
            quantum,
            memory_limit: Size(memory),
            drop_batch,
        },
    )
}

fn ops(flows: u32) -> impl Strategy<Value = Vec<Op>> {
    let limit = prop_oneof![1..50_u32, 50..2_000_u32];
    let op = prop_oneof![
        6 => (any::<u32>(), 1..3_000_u32, 1..5_000_u32).prop_map(|(flow, len, memory)| Op::Push { flow, len, memory }),
        3 => (0..3_u32, 1..60_u32).prop_map(|(flow, count)| Op::Burst { flow: flow << 30, count }),
        1 => (1..100_u32).prop_map(|count| Op::Spread { count }),
        6 => (1..40_u32).prop_map(Op::Dequeue),
        // From a moment to beyond the time after which CoDel begins anew.
        6 => prop_oneof![0..100_u64, 0..INTERVAL.0 * 2, 0..INTERVAL.0 * 20].prop_map(Op::Wait),
        1 => (limit, fq(flows)).prop_map(|(limit, params)| Op::Set { limit, params }),
    ];
    prop::collection::vec(op, 1..150)
}

fn scenario() -> impl Strategy<Value = (FqParams, Vec<Op>)> {
    prop_oneof![1..9_u32, Just(64), Just(300)].prop_flat_map(|flows| (fq(flows), ops(flows)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flows_that_are_forgotten_are_not_missed((params, ops) in scenario()) {
        let mut model = Model::new(100, params);
        let mut bench = Bench::new(100, Aqm::FqCodel(params));
        let mut now = Nanos(1);
        for op in ops {
            let (flow, len, memory, count) = match op {
                Op::Push { flow, len, memory } => (flow, len, memory, 1),
                Op::Burst { flow, count } => (flow, 700, 1_000, count),
                Op::Spread { count } => (u32::MAX / count, 300, 800, count),
                _ => (0, 0, 0, 0),
            };
            for number in 0..count {
                let flow = if matches!(op, Op::Spread { .. }) { flow * number } else { flow };
                let [ours, models] = bench.packet(flow, len, memory, now);
                prop_assert_eq!(bench.push(ours), model.push(models));
            }
            match op {
                Op::Dequeue(count) => for _ in 0..count {
                    now = now + Nanos(7);
                    prop_assert_eq!(bench.dequeue(now), model.dequeue(now));
                },
                Op::Wait(time) => now = now + Nanos(time),
                Op::Set { limit, params } => {
                    bench.set(limit, Aqm::FqCodel(params), now);
                    (model.limit, model.params) = (limit as usize, params);
                }
                _ => {}
            }
            bench.check(&model)?;
        }
    }

    /// From any kind to any other and back, with packets coming and going: each flow's packets leave in their order, and
    /// all of them.
    #[test]
    fn a_change_of_kind_loses_nothing_and_reorders_no_flow(
        changes in prop::collection::vec((kind(), prop::collection::vec(0..6_u32, 0..40), 0..30_u32), 1..20),
    ) {
        let mut bench = Bench::new(u32::MAX, Aqm::Fifo);
        let mut models = vec![VecDeque::new(); 6];
        let mut flow_of = Vec::new();
        let mut now = Nanos::ZERO;
        for (aqm, arrivals, leaving) in changes {
            bench.set(u32::MAX, aqm, now);
            for flow in arrivals {
                now = now + Nanos(1);
                models[flow as usize].push_back(bench.made);
                flow_of.push(flow as usize);
                let [item, _] = bench.packet(flow << 29, 500, 600, now);
                bench.push(item);
            }
            for _ in 0..leaving {
                let Some(id) = bench.dequeue(now) else { break };
                prop_assert_eq!(models[flow_of[id]].pop_front(), Some(id));
            }
            let left = models.iter().map(VecDeque::len).sum::<usize>();
            prop_assert_eq!(bench.queue.packets() as usize, left);
            prop_assert_eq!((bench.queue.bytes(), bench.stats().memory_used), (left as u64 * 500, left as u64 * 600));
        }
        bench.set(u32::MAX, Aqm::Fifo, now);
        prop_assert_eq!(bench.store.flows.len(), 0);
        let mut left: Vec<usize> = models.into_iter().flatten().collect();
        left.sort_unstable();
        prop_assert_eq!(std::iter::from_fn(|| bench.dequeue(now)).collect::<Vec<_>>(), left);
    }
}

/// CoDel never drops here: all leave at once.
fn kind() -> impl Strategy<Value = Aqm> {
    let patient = codel::Params { target: Nanos::MAX, ..codel::Params::default() };
    let fq = move |flows| Aqm::FqCodel(FqParams { codel: patient, flows, ..FqParams::default() });
    prop_oneof![
        1 => Just(Aqm::Fifo),
        1 => Just(Aqm::Codel(patient)),
        3 => prop_oneof![Just(1), Just(2), Just(5), Just(1_024)].prop_map(fq),
    ]
}

#[test]
fn memory_follows_the_flows_that_are_there() {
    let params = FqParams { flows: 65_536, ..FqParams::default() };
    let mut bench = Bench::new(100_000, Aqm::FqCodel(params));
    let one_after_another = |bench: &mut Bench| {
        let flows = (0..65_536).map(|bucket| bucket << 16);
        flows.for_each(|flow| {
            let [item, _] = bench.packet(flow, 100, 100, Nanos::ZERO);
            bench.push(item);
            assert!(bench.dequeue(Nanos::ZERO).is_some());
        });
        bench.store.flows.len()
    };
    assert_eq!(one_after_another(&mut bench), 0);
    for bucket in 0..65_536 {
        let [item, _] = bench.packet(bucket << 16, 100, 100, Nanos::ZERO);
        bench.push(item);
    }
    assert_eq!(bench.store.flows.len(), 65_536);
    while bench.dequeue(Nanos::ZERO).is_some() {}
    assert_eq!(bench.store.flows.len(), 0);
    assert_eq!(one_after_another(&mut bench), 0);
}

/// What a drop tells a flow is kept beyond its last packet, and no longer than it matters.
#[test]
fn what_codel_learned_is_kept_for_sixteen_intervals() {
    let codel = codel::Params { target: Nanos(10), interval: INTERVAL, mtu: 0, ..codel::Params::default() };
    let params = FqParams { codel, flows: 1_024, quantum: 100, ..FqParams::default() };
    let mut bench = Bench::new(1_000, Aqm::FqCodel(params));
    let fill = |bench: &mut Bench, buckets: std::ops::Range<u32>, each: u32, now| {
        for bucket in buckets.flat_map(|bucket| (0..each).map(move |_| bucket)) {
            let [item, _] = bench.packet(bucket << 22, 100, 100, now);
            bench.push(item);
        }
    };
    fill(&mut bench, 0..48, 9, Nanos::ZERO);
    // Every flow is above its target, and after an interval loses packets.
    let mut now = Nanos::ZERO;
    while bench.queue.packets() > 0 {
        now = now + Nanos(40);
        bench.dequeue(now);
    }
    assert_eq!(bench.dequeue(now), None);
    let dropped = bench.log.dropped.len();
    assert!(dropped >= 48, "{dropped} dropped");
    assert_eq!(bench.store.flows.len(), 48, "all had a drop");
    // The table becomes crowded at 49 flows, while all of that matters; and long after.
    fill(&mut bench, 48..49, 1, now);
    assert_eq!(bench.store.flows.len(), 49);
    fill(&mut bench, 49..97, 1, now + Nanos(INTERVAL.0 * 20));
    assert_eq!(bench.store.flows.len(), 49);
}
