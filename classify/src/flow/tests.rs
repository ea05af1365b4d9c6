//! Flows spread over buckets as throws of a die would, whatever differs between them.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::{Addresses, FlowKey, Fragment, Headers, Ports};

const FLOWS: u32 = 65_536;
const BUCKETS: usize = 1_024;

fn v4(source: u32, destination: u32) -> Addresses {
    Addresses::V4 { source: Ipv4Addr::from_bits(source), destination: Ipv4Addr::from_bits(destination) }
}

fn v6(source: u128, destination: u128) -> Addresses {
    Addresses::V6 { source: Ipv6Addr::from_bits(source), destination: Ipv6Addr::from_bits(destination) }
}

fn packet(addresses: Addresses, ports: Option<Ports>) -> Headers {
    Headers {
        addresses: Some(addresses),
        protocol: 17,
        ports,
        echo: None,
        fragment: None,
        quoted: false,
        network_offset: 14,
    }
}

fn port(n: u32) -> u16 {
    u16::try_from(n % 65_536).unwrap()
}

/// The chi-squared statistic of the buckets' loads: 1,023 degrees of freedom, mean 1,023, standard deviation 45.
fn chi_squared(key: FlowKey, flow: impl Fn(u32) -> Headers) -> f64 {
    let mut loads = vec![0_u32; BUCKETS];
    for n in 0..FLOWS {
        let bucket = (u64::from(key.hash(&flow(n))) * BUCKETS as u64) >> 32;
        loads[usize::try_from(bucket).unwrap()] += 1;
    }
    let expected = f64::from(FLOWS) / BUCKETS as f64;
    loads.iter().map(|&load| (f64::from(load) - expected).powi(2) / expected).sum()
}

#[test]
fn whatever_differs_spreads_evenly() {
    let ports = Ports::new(40_000, 31_000);
    type Flow = fn(u32) -> Headers;
    let kinds: [(&str, Flow); 6] = [
        ("source port", |n| packet(v4(0x0a00_0001, 0x0a00_0002), Some(Ports::new(port(n), 31_000)))),
        ("destination port", |n| packet(v4(0x0a00_0001, 0x0a00_0002), Some(Ports::new(53, port(n))))),
        ("source address", |n| packet(v4(0x0a00_0000 + n, 0x0a00_0002), Some(Ports::new(40_000, 31_000)))),
        ("destination address", |n| packet(v4(0x0a00_0001, 0x0a00_0000 + (n << 8)), Some(Ports::new(40_000, 31_000)))),
        ("IPv6 host", |n| packet(v6((0xfd << 120) + u128::from(n), 1), Some(Ports::new(40_000, 31_000)))),
        ("IPv6 network", |n| packet(v6(1, (0xfd << 120) + (u128::from(n) << 64)), Some(Ports::new(40_000, 31_000)))),
    ];
    for key in [[0, 0], [1, 2], [u64::MAX, 0x0123_4567_89ab_cdef]] {
        for (name, flow) in kinds {
            let spread = chi_squared(FlowKey::new(key), flow);
            assert!((800.0..1_250.0).contains(&spread), "{name} under {key:?}: chi squared {spread:.0}");
        }
    }
    let one = FlowKey::new([3, 4]).hash(&packet(v4(1, 2), Some(ports)));
    assert_eq!(one, FlowKey::new([3, 4]).hash(&packet(v4(1, 2), Some(ports))), "a pure function");
    assert_ne!(one, FlowKey::new([4, 3]).hash(&packet(v4(1, 2), Some(ports))), "of the key too");
}

#[test]
fn directions_protocols_and_versions_are_different_flows() {
    let key = FlowKey::new([7, 8]);
    let there = packet(v4(1, 2), Some(Ports::new(3, 4)));
    let back = packet(v4(2, 1), Some(Ports::new(4, 3)));
    let tcp = Headers { protocol: 6, ..there };
    let hashes = [there, back, tcp].map(|headers| key.hash(&headers));
    assert!(hashes[0] != hashes[1] && hashes[0] != hashes[2]);
}

#[test]
fn fragments_of_a_datagram_are_one_flow_and_so_is_what_is_not_ip() {
    let key = FlowKey::new([7, 8]);
    let first =
        Headers { fragment: Some(Fragment { id: 9, later: false }), ..packet(v6(1, 2), Some(Ports::new(3, 4))) };
    let later = Headers { fragment: Some(Fragment { id: 9, later: true }), ports: None, protocol: 44, ..first };
    assert_eq!(key.hash(&first), key.hash(&later));
    assert_eq!(key.hash(&Headers::not_ip(14)), key.hash(&Headers::not_ip(18)));
}
