//! Reading a real capture from memory, and writing it again.

use std::hint::black_box;
use std::io;

use criterion::{Criterion, Throughput};
use portlane_pcap::{Reader, Writer};

const CAPTURE: &[u8] = include_bytes!("../tests/data/mixed.pcapng");

fn packets() -> u64 {
    let mut reader = Reader::new(CAPTURE).expect("a capture");
    let mut count = 0;
    while reader.next().expect("a whole capture").is_some() {
        count += 1;
    }
    count
}

fn copy() -> io::Result<()> {
    let mut reader = Reader::new(CAPTURE).expect("a capture");
    let mut writer = Writer::new(io::sink())?;
    while let Some(packet) = reader.next().expect("a whole capture") {
        writer.write(packet.link, packet.time_ns, packet.data, packet.original_len)?;
    }
    writer.finish().map(drop)
}

fn capture(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("capture");
    group.throughput(Throughput::Elements(packets()));
    group.bench_function("read", |bencher| bencher.iter(|| black_box(packets())));
    group.bench_function("read_and_write", |bencher| bencher.iter(|| copy().expect("a sink does not fail")));
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    capture(&mut criterion);
    criterion.final_summary();
}
