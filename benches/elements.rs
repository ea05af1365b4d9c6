//! How long each element of the packet line takes, and the whole line: `cargo bench --bench elements -- NAME`.

use criterion::{Criterion, Throughput};

use support::ELEMENTS;

mod support;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for (name, make) in ELEMENTS {
        let mut group = criterion.benchmark_group("elements");
        let mut element = make();
        group.throughput(Throughput::Elements(element.packets()));
        group.bench_function(name, |bencher| bencher.iter(|| element.round()));
        group.finish();
    }
    criterion.final_summary();
}
