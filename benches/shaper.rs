//! The shaper alone: a packet in and what may leave out, at the pace at which packets come.
//!
//! The three loads are those of the `line` benchmark; packets are numbers, so no memory but the shaper's own is touched.

use criterion::{Criterion, Throughput};
use portlane_shaper::{
    Arrival, DropReason, Fate, LaneId, LaneParams, Limiter, Nanos, Rate, Shape, Shaper, Size, TreeParams,
};

const LANES: u32 = 64;
const LEN: u32 = 64;
const BATCH: u32 = 64;
const LIMIT_MBIT: u64 = 10;

/// Counts what is dropped.
#[derive(Default)]
struct Dropped(u64);

impl Fate<u32> for Dropped {
    fn dropped(&mut self, _lane: LaneId, _packet: u32, _reason: DropReason) {
        self.0 += 1;
    }

    fn mark(&mut self, _packet: &mut u32) -> bool {
        false
    }
}

struct Bench {
    shaper: Shaper<u32>,
    dropped: Dropped,
    now: Nanos,
    /// From one batch to the next.
    pace: Nanos,
    /// For the order of lanes.
    state: u32,
}

impl Bench {
    fn new(limiter: Limiter, offered_mbit: u64) -> Self {
        let lanes = vec![LaneParams { limiter, ..LaneParams::default() }; LANES as usize];
        let bits = u64::from(BATCH * LEN) * 8;
        let pace = Nanos(bits * 1_000 / (offered_mbit * u64::from(LANES)));
        let shaper =
            Shaper::new(&TreeParams { lanes, ..TreeParams::default() }, 65_536, Nanos::ZERO).expect("a valid tree");
        Self { shaper, dropped: Dropped::default(), now: Nanos::ZERO, pace, state: 1 }
    }

    /// A batch of packets arrives, and what may leave leaves. Returns how many that were.
    fn batch(&mut self) -> u64 {
        self.now = self.now + self.pace;
        for packet in 0..BATCH {
            // Numerical Recipes' generator; the high bits are the random ones.
            self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let lane = LaneId((self.state >> 16) % LANES);
            // Four flows in each lane.
            let arrival = Arrival { packet, len: LEN, memory: 2_048, flow: self.state << 16 & 3 << 30 };
            self.shaper.enqueue(lane, arrival, self.now, &mut self.dropped);
        }
        let mut sent = 0;
        while self.shaper.dequeue(self.now, &mut self.dropped).is_some() {
            sent += 1;
        }
        sent
    }
}

fn lanes(criterion: &mut Criterion) {
    let rate = Rate::from_bits_per_second(LIMIT_MBIT * 1_000_000).expect("not zero");
    let limited = Limiter::Htb(Shape::flat(rate, Size(128)));
    let mut group = criterion.benchmark_group("shaper/enqueue_dequeue");
    group.throughput(Throughput::Elements(BATCH.into()));
    for (name, limiter, offered_mbit) in
        [("idle", Limiter::None, 10), ("limited", limited, 9), ("overloaded", limited, 15)]
    {
        let mut bench = Bench::new(limiter, offered_mbit);
        // Two virtual seconds: CoDel has found its pace.
        for _ in 0..2_000_000_000 / bench.pace.0 {
            bench.batch();
        }
        group.bench_function(name, |bencher| bencher.iter(|| bench.batch()));
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    lanes(&mut criterion);
    criterion.final_summary();
}
