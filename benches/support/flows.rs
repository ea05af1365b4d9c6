//! What the observer counts of packets, once their headers are read: 4,096 flows, 64 packets at a time.

use std::net::IpAddr;

use portlane_flows::{Config, Digest, Endpoint, Flags, Kind, Messages, Record, Segment, Table};

use super::{Element, Rounds};

const FLOWS: u32 = 4_096;
const ROUND: usize = 64;

/// Bytes of data of a packet.
const DATA: u32 = 10;

/// Of UDP.
pub(super) fn udp() -> Box<dyn Element> {
    table(17, |_| Kind::Udp)
}

/// Segments of TCP, one behind the other in every flow.
pub(super) fn tcp() -> Box<dyn Element> {
    table(6, |number| Kind::Tcp(Segment { seq: 1 + number * DATA, ack: 1, window: 512, flags: Flags::ACK }))
}

/// `kind` is told how many packets of its flow were before one.
fn table(protocol: u8, kind: fn(u32) -> Kind) -> Box<dyn Element> {
    let mut table = Table::new(Config { tags: true, ..Config::default() }, [1, 2]);
    let mut next = 0_u32;
    let mut round = move || {
        let digests: [Digest; ROUND] = std::array::from_fn(|_| {
            next += 1;
            digest(next, protocol, kind(next / FLOWS))
        });
        table.packets(&digests, &mut |_: &Record| {});
    };
    (0..FLOWS as usize / ROUND).for_each(|_| round());
    Box::new(Rounds(ROUND as u64, round))
}

/// A packet every microsecond: no second is over while they are counted.
fn digest(number: u32, protocol: u8, kind: Kind) -> Digest {
    // In an order that no prefetcher guesses.
    let [.., third, fourth] = ((number % FLOWS).wrapping_mul(2_654_435_761) % FLOWS).to_be_bytes();
    let end = |address: [u8; 4], port, owner| Endpoint { address: IpAddr::from(address), port, owner };
    Digest {
        time_ns: u64::from(number) * 1_000,
        source: end([10, 1, third, fourth], 40_000, Some(7)),
        destination: end([10, 2, 0, 1], 443, None),
        protocol,
        frame_bytes: 64,
        l3_bytes: 20 + DATA,
        l4_bytes: DATA,
        kind,
        messages: Messages::default(),
        cast: None,
    }
}
