//! The whole packet line, as it runs live and in replay: one `turn` with 64 frames of 64 bytes on memory devices.
//!
//! 64 containers send. `idle`: nobody is limited, all that arrives leaves in the same turn. `limited`: each may send 10
//! mbit, two packets at once, and offers 9: some wait for tokens, none are dropped. `overloaded`: each offers 15, so every
//! queue is full and a third of the packets are dropped, few of them by CoDel, most for want of room.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use portlane::build;
use portlane::config;
use portlane::line::{BATCH, Line, Port};
use portlane_classify::Arriving;
use portlane_rings::{Layout, Memory, Pool};
use portlane_shaper::Nanos;

mod support;

/// The ports of the line: the world's side and the containers' side.
const NETWORK: usize = 0;
const CONTAINER: usize = 1;

/// 10 mbit of frames of 64 bytes. A burst holds a full packet at least, so each frame counts as half of one: 757 bytes.
const LIMIT: &str = "118281250bit";

const BITS_PER_TURN: u64 = BATCH as u64 * 64 * 8;

struct Bench {
    line: Line<Memory>,
    traffic: std::iter::Cycle<std::vec::IntoIter<[u8; 64]>>,
    now: Nanos,
    /// Virtual time from one turn to the next.
    pace: Nanos,
}

impl Bench {
    /// Every container may send `rate` and offers `offered_mbit`.
    fn new(rate: &str, offered_mbit: u64) -> Self {
        let shape = format!(
            "[defaults]\nqueue = {{ kind = \"codel\", limit = 256 }}\negress = {{ rate = \"{rate}\", burst = \"1514b\", overhead = \"693b\" }}\n"
        );
        let containers = (0..support::CONTAINERS)
            .map(|n| format!("[[container]]\nid = \"c{n}\"\nports = [\"{}\"]\n", support::ports(n)))
            .collect::<String>();
        let plan = config::parse(&(shape + &containers), "bench").expect("a valid configuration");
        let pool = Pool::new(Layout { frames: 32_768, frame_size: 2_112 }).expect("memory");
        let ports =
            [Arriving::Ingress, Arriving::Egress].map(|arriving| Port { device: Memory::new(4_096), arriving }).into();
        let line = build::line(&plan, pool, ports, [CONTAINER, NETWORK], [1, 2], Nanos::ZERO);
        let offered = offered_mbit * u64::from(support::CONTAINERS) * 1_000_000;
        let pace = Nanos(BITS_PER_TURN * 1_000_000_000 / offered);
        Self { line, traffic: support::traffic().into_iter().cycle(), now: Nanos::ZERO, pace }
    }

    /// Lets frames arrive, and those sent complete.
    fn feed(&mut self) {
        self.line.ports[NETWORK].device.complete();
        for packet in self.traffic.by_ref().take(BATCH) {
            let mut frame = self.line.pool.take().expect("the pool is larger than all queues");
            self.line.pool.write(&mut frame, &packet).expect("64 bytes fit");
            self.line.ports[CONTAINER].device.arrive(frame);
        }
    }

    /// The time that so many turns take.
    fn turns(&mut self, count: u64) -> Duration {
        let mut total = Duration::ZERO;
        for _ in 0..count {
            self.feed();
            self.now = self.now + self.pace;
            let started = Instant::now();
            self.line.turn(self.now).expect("memory does not fail");
            total += started.elapsed();
        }
        total
    }
}

fn turn(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("line/turn");
    group.throughput(Throughput::Elements(BATCH as u64));
    for (name, rate, offered_mbit) in [("idle", "none", 10), ("limited", LIMIT, 9), ("overloaded", LIMIT, 15)] {
        let mut bench = Bench::new(rate, offered_mbit);
        // Two virtual seconds: CoDel has found its pace.
        bench.turns(2_000_000_000 / bench.pace.0);
        group.bench_function(name, |bencher| bencher.iter_custom(|count| bench.turns(count)));
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    turn(&mut criterion);
    criterion.final_summary();
}
