//! From bytes to owner: `parse` and the table lookup, a packet at a time, over packets that lie in memory one after the
//! other.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use portlane_classify::{Arriving, Classifier, DEFAULT_FRAGMENT_LIFETIME_NS, Fragments, Link, Rule, Table, parse};

mod support;

fn classifier() -> Classifier<u16> {
    let rules: Vec<_> = (0..support::CONTAINERS)
        .map(|owner| Rule {
            name: format!("c{owner}"),
            addresses: vec![],
            ports: vec![support::ports(owner).parse().expect("a valid range")],
            owner,
        })
        .collect();
    let table = Table::build(support::CONTAINERS, &rules).expect("ranges that do not overlap");
    Classifier::new(table, Fragments::new(1_024, DEFAULT_FRAGMENT_LIFETIME_NS, [1, 2]), &[])
}

/// The same packet behind a VLAN tag (IEEE 802.1Q).
fn tagged(frame: &[u8; 64]) -> Vec<u8> {
    [&frame[..12], &[0x81, 0, 0, 5], &frame[12..]].concat()
}

/// The same ports over IPv6.
fn over_ipv6(frame: &[u8; 64]) -> Vec<u8> {
    let mut header = [0; 40];
    header[..8].copy_from_slice(&[0x60, 0, 0, 0, 0, 30, 17, 64]);
    [&frame[..12], &[0x86, 0xdd], &header, &frame[34..]].concat()
}

fn owners(criterion: &mut Criterion) {
    let traffic = support::traffic();
    let kinds: [(&str, Vec<Vec<u8>>); 3] = [
        ("ipv4", traffic.iter().map(|frame| frame.to_vec()).collect()),
        ("vlan_ipv4", traffic.iter().map(tagged).collect()),
        ("ipv6", traffic.iter().map(over_ipv6).collect()),
    ];
    let mut classifier = classifier();
    let mut group = criterion.benchmark_group("classify");
    group.throughput(Throughput::Elements(traffic.len() as u64));
    for (name, frames) in &kinds {
        let bytes = frames.concat();
        let len = frames[0].len();
        let wire_len = u32::try_from(len).expect("a short frame");
        group.bench_with_input(BenchmarkId::new("parse", name), &bytes, |bencher, bytes| {
            bencher.iter(|| {
                for frame in bytes.chunks_exact(len) {
                    let _ = black_box(parse(Link::Ethernet, frame, wire_len));
                }
            });
        });
        group.bench_with_input(BenchmarkId::new("parse_and_look_up", name), &bytes, |bencher, bytes| {
            bencher.iter(|| {
                for frame in bytes.chunks_exact(len) {
                    let headers = parse(Link::Ethernet, frame, wire_len).expect("well-formed");
                    black_box(classifier.classify(&headers, Arriving::Egress, 0));
                }
            });
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    owners(&mut criterion);
    criterion.final_summary();
}
