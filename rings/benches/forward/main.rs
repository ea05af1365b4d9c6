//! What a forwarded packet takes at the four rings of its sockets: through our own, and through the calls into libxdp that
//! xsk-rs makes, one for each descriptor.
//!
//! The rings are in plain memory. Their far end, in life the kernel, does its part outside of what is timed.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};

use libxdp::Libxdp;
use ours::Ours;

mod libxdp;
mod ours;

/// Entries of each ring.
const SIZE: u32 = 2_048;

/// Packets that are forwarded at a time.
const BATCH: u32 = 64;

/// Packets that the far end prepares at a time.
const PREPARED: u32 = 1_024;

trait Forward {
    /// The far end: packets have arrived, and those sent before have left.
    fn prepare(&mut self);

    /// Sends the next [`BATCH`] packets that have arrived, and gives back as many frames that have left.
    fn forward(&mut self);
}

fn forwarding(rings: &mut impl Forward, rounds: u64) -> Duration {
    let mut total = Duration::ZERO;
    for _ in 0..rounds {
        rings.prepare();
        let started = Instant::now();
        for _ in 0..PREPARED / BATCH {
            rings.forward();
        }
        total += started.elapsed();
    }
    total
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("forward");
    group.throughput(Throughput::Elements(PREPARED.into()));
    let (mut ours, mut libxdp) = (Ours::new(), Libxdp::new());
    group.bench_function("ours", |bencher| bencher.iter_custom(|rounds| forwarding(&mut ours, rounds)));
    group.bench_function("libxdp", |bencher| bencher.iter_custom(|rounds| forwarding(&mut libxdp, rounds)));
    group.finish();
    criterion.final_summary();
}
