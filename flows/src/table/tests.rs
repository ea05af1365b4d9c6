//! Flows begin and end when they should, and no packet is lost on the way.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::{Config, Table};
use crate::application::Messages;
use crate::close::CloseType;
use crate::digest::{Digest, Echo, Endpoint, Flags, Kind, Segment};
use crate::meter::{Meter, Pair, Traffic};
use crate::record::{FlowId, Record, Sink};
use crate::tags::{Cast, Tag};
use crate::timeouts::Timeouts;

mod hostile;

const MS: u64 = 1_000_000;
const SYN: Flags = Flags::SYN;
const SYN_ACK: Flags = Flags::SYN.with(Flags::ACK);
const FIN: Flags = Flags::FIN.with(Flags::ACK);

fn end(host: u8, port: u16) -> Endpoint {
    Endpoint { address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)), port, owner: None }
}

fn udp(time_ms: u64, source: Endpoint, destination: Endpoint) -> Digest {
    let (frame_bytes, l3_bytes, l4_bytes) = (142, 108, 100);
    Digest {
        time_ns: time_ms * MS,
        source,
        destination,
        protocol: 17,
        frame_bytes,
        l3_bytes,
        l4_bytes,
        kind: Kind::Udp,
        messages: Messages::default(),
        cast: None,
    }
}

fn tcp(time_ms: u64, source: Endpoint, destination: Endpoint, flags: Flags) -> Digest {
    let segment = Segment { seq: 1, ack: 1, window: 1, flags };
    Digest { protocol: 6, kind: Kind::Tcp(segment), ..udp(time_ms, source, destination) }
}

fn echo(time_ms: u64, reply: bool, source: Endpoint, destination: Endpoint) -> Digest {
    Digest { protocol: 1, kind: Kind::Icmp(Some(Echo { reply, id: 1 })), ..udp(time_ms, source, destination) }
}

const CLIENT: (u8, u16) = (1, 40_000);
const SERVER: (u8, u16) = (2, 80);

fn client() -> Endpoint {
    end(CLIENT.0, CLIENT.1)
}

fn server() -> Endpoint {
    end(SERVER.0, SERVER.1)
}

fn table() -> Table {
    Table::new(Config::default(), [1, 2])
}

/// What is told of these packets, all of it.
fn records(packets: &[Digest]) -> Vec<Record> {
    let mut records = Vec::new();
    let mut table = table();
    for packet in packets {
        table.packet(packet, &mut |record: &Record| records.push(*record));
    }
    table.finish(&mut |record: &Record| records.push(*record));
    records
}

/// The seconds in which flows ended, and how.
fn ends(packets: &[Digest]) -> Vec<(u64, CloseType)> {
    let records = records(packets);
    let ends = records.iter().filter(|record| record.meter.closes.total() > 0);
    let how = |record: &Record| CloseType::ALL.into_iter().find(|&close| record.meter.closes.get(close) == 1).unwrap();
    ends.map(|record| (record.second, how(record))).collect()
}

#[test]
fn a_second_is_told_when_it_is_over_and_silence_is_not() {
    let mut told = Vec::new();
    let mut table = table();
    table.packet(&udp(1_000, client(), server()), &mut |record: &Record| told.push(*record));
    table.packet(&udp(1_900, server(), client()), &mut |record: &Record| told.push(*record));
    table.advance(2_999 * MS, &mut |record: &Record| told.push(*record));
    assert_eq!(told, []);
    table.advance(3_000 * MS, &mut |record: &Record| told.push(*record));
    let [Record { flow, second: 1, meter }] = told[..] else { panic!("{told:?}") };
    assert_eq!((flow.client, flow.server, flow.protocol), (client(), server(), 17));
    assert_eq!((meter.packet.tx, meter.packet.rx, meter.byte.sum(), meter.l3_byte.sum()), (1, 1, 284, 216));
    assert_eq!((meter.new_flow, meter.closes.total(), table.window()), (1, 0, 2));
    // Nothing until its end: five seconds after the last packet, told a second after that second is over.
    table.advance(7_999 * MS, &mut |record: &Record| told.push(*record));
    assert_eq!((told.len(), table.len()), (1, 1));
    table.advance(8_000 * MS, &mut |record: &Record| told.push(*record));
    assert_eq!((told[1].second, told[1].meter.closes.get(CloseType::Finish), table.len()), (6, 1, 0));
    assert_eq!(told[1].meter.packet.sum(), 0);
}

#[test]
fn a_flow_is_silent_for_as_long_as_its_state_allows() {
    let opened = [
        tcp(1_000, client(), server(), SYN),
        tcp(1_100, server(), client(), SYN_ACK),
        tcp(1_200, client(), server(), Flags::ACK),
    ];
    let after = |rest: &[Digest]| ends(&[&opened, rest].concat());
    assert_eq!(ends(&opened[..1]), [(6, CloseType::ServerSynMiss)]);
    assert_eq!(ends(&opened[..2]), [(6, CloseType::ClientAckMiss)]);
    assert_eq!(after(&[]), [(301, CloseType::Timeout)]);
    assert_eq!(after(&[tcp(2_000, client(), server(), Flags::RST)]), [(37, CloseType::Probe)]);
    let closed = [
        tcp(2_000, client(), server(), FIN),
        tcp(2_000, server(), client(), FIN),
        tcp(2_500, client(), server(), Flags::ACK),
    ];
    assert_eq!(after(&closed[..1]), [(7, CloseType::ServerHalfClose)]);
    assert_eq!(after(&closed), [(4, CloseType::Finish)]);
    let reset = [opened[0], opened[1], tcp(1_300, client(), server(), Flags::RST)];
    assert_eq!(ends(&reset), [(2, CloseType::Probe)]);
    // In one direction alone an open connection has no more than any other.
    assert_eq!(ends(&[opened[2]]), [(6, CloseType::Timeout)]);
    let question = echo(1_000, false, end(1, 0), end(2, 0));
    assert_eq!(ends(&[question]), [(6, CloseType::Finish)]);
    assert_eq!(ends(&[question, echo(1_000, true, end(2, 0), end(1, 0))]), [(36, CloseType::Finish)]);
}

#[test]
fn a_packet_at_the_end_begins_another_flow() {
    let pair = |gap_ms: u64| records(&[udp(1_500, client(), server()), udp(1_500 + gap_ms, client(), server())]);
    let begun = |records: &[Record]| records.iter().map(|record| record.meter.new_flow).sum::<u64>();
    assert_eq!(begun(&pair(4_999)), 1);
    assert_eq!(begun(&pair(5_000)), 2);
    // SYNs of an unanswered connect(), at 0, 1, 3, 7, 15, 31 and 63 seconds.
    let syns = [0, 1, 3, 7, 15, 31, 63].map(|second| tcp(1_000 + second * 1_000, client(), server(), SYN));
    assert_eq!(ends(&syns), [13, 21, 37, 69].map(|second| (second, CloseType::ServerSynMiss)));
}

#[test]
fn who_is_the_client() {
    let clients = |digest: Digest| records(&[digest])[0].flow.client;
    assert_eq!(clients(tcp(1, server(), client(), SYN)), server(), "a SYN is the client's");
    assert_eq!(clients(tcp(1, client(), server(), SYN_ACK)), server(), "a SYN+ACK is the server's");
    assert_eq!(clients(tcp(1, server(), client(), Flags::ACK)), client(), "one port alone is a client's");
    assert_eq!(clients(udp(1, end(2, 31_000), end(1, 53))), end(2, 31_000), "else who was first");
    assert_eq!(clients(udp(1, end(2, 40_000), end(1, 50_000))), end(2, 40_000));
    assert_eq!(clients(echo(1, true, end(2, 0), end(1, 0))), end(1, 0), "an echo reply is the server's");
}

#[test]
fn a_datagram_is_answered_by_the_next_one() {
    let art = |packets: &[(u64, bool, u32)]| {
        let digest = |&(time, asks, l4_bytes): &(u64, bool, u32)| {
            let (source, destination) = if asks { (client(), server()) } else { (server(), client()) };
            Digest { l4_bytes, ..udp(time, source, destination) }
        };
        let records = records(&packets.iter().map(digest).collect::<Vec<_>>());
        let mut all = Meter::default();
        records.iter().for_each(|record| all += &record.meter);
        [all.art.sum_us(), all.art.count, all.art.max_us()]
    };
    assert_eq!(art(&[(1_000, true, 9), (1_024, false, 9), (1_050, false, 9)]), [24_000, 1, 24_000]);
    assert_eq!(
        art(&[(1_000, true, 9), (1_010, true, 9), (1_024, false, 0)]),
        [14_000, 1, 14_000],
        "the latest question"
    );
    assert_eq!(art(&[(1_000, true, 0), (1_024, false, 9)]), [0, 0, 0], "nothing was asked");
    assert_eq!(art(&[(1_000, true, 9), (3_500, false, 9)]), [2_500_000, 1, 2_500_000], "in another second");
    let two = [(1_000, true, 9), (1_001, false, 9), (1_010, true, 9), (1_013, false, 9)];
    assert_eq!(art(&two), [4_000, 2, 3_000]);
    assert_eq!(art(&[(1_000, true, 9), (1_000, false, 9)]), [0, 1, 0], "it took no time");
    assert_eq!(art(&[(1_000, true, 9), (999, false, 9)]), [0, 0, 0], "time ran backwards");
}

#[test]
fn an_echo_takes_until_its_reply() {
    let packets = [echo(1_000, false, client(), server()), echo(1_030, true, server(), client())];
    let Record { flow, meter, .. } = records(&packets)[0];
    assert_eq!((flow.client, meter.srt.sum_us(), meter.srt.count), (client(), 30_000, 1));
}

#[test]
fn times_are_told_in_whole_microseconds() {
    let sums = |gap_ns| {
        let datagram = |time_ns, source, destination| Digest { time_ns, ..udp(0, source, destination) };
        let exchange = |second: u64, port| {
            let (asks, answers) = (end(1, port), server());
            [datagram(second, asks, answers), datagram(second + gap_ns, answers, asks)]
        };
        let packets = [exchange(1_000 * MS, 40_000), exchange(1_500 * MS, 40_001)].concat();
        let mut all = Meter::default();
        records(&packets).iter().for_each(|record| all += &record.meter);
        (all.art.sum_ns, all.art.count, all.art.max_ns)
    };
    // However they are added up: of each flow and second.
    assert_eq!(sums(1_999), (2_000, 2, 1_000));
    assert_eq!(sums(999), (0, 2, 0));
}

#[test]
fn owners_and_versions_tell_flows_apart() {
    let owned = |owner| udp(1_000, client(), server()).owned_by(None, owner);
    let v6 = |port| Endpoint { address: IpAddr::V6(Ipv6Addr::LOCALHOST), ..end(0, port) };
    let packets = [owned(None), owned(Some(1)), owned(Some(2)), owned(Some(1)), udp(1_000, v6(40_000), v6(80))];
    let begun = records(&packets).iter().map(|record| record.meter.new_flow).sum::<u64>();
    assert_eq!(begun, 4);
}

#[test]
fn a_full_table_refuses_and_counts() {
    let mut table = Table::new(Config { capacity: 100, ..Config::default() }, [1, 2]);
    let mut told = Meter::default();
    for port in 0..1_000 {
        table.packet(&udp(1_000, end(1, port), server()), &mut |record: &Record| told += &record.meter);
    }
    // Those that live are not disturbed.
    table.packet(&udp(1_000, end(1, 99), server()), &mut |record: &Record| told += &record.meter);
    let counters = table.counters();
    assert_eq!((table.len(), counters.counted.packets, counters.refused.packets), (100, 101, 900));
    assert_eq!(counters.refused.bytes, 900 * 142);
    // When they have ended there is room.
    table.packet(&udp(8_000, end(1, 999), server()), &mut |record: &Record| told += &record.meter);
    assert_eq!((table.len(), told.closes.total(), told.packet.sum()), (1, 100, 101));
}

#[test]
fn tags_are_told_with_their_second_however_much_is_counted() {
    #[derive(Default)]
    struct Told {
        records: Meter,
        tags: HashMap<(u64, Tag), Traffic>,
    }
    impl Sink for Told {
        fn record(&mut self, record: &Record) {
            self.records += &record.meter;
        }
        fn tagged(&mut self, _: &FlowId, second: u64, tag: Tag, traffic: &Traffic) {
            *self.tags.entry((second, tag)).or_default() += *traffic;
        }
    }
    let mut told = Told::default();
    let mut table = Table::new(Config { tags: true, ..Config::default() }, [1, 2]);
    // Two frames of 3 GB are more than 32 bits count.
    let long = |time, flags| Digest { frame_bytes: 3_000_000_000, ..tcp(time, client(), server(), flags) };
    for packet in [long(1_000, SYN), long(1_100, SYN), long(1_200, SYN), long(2_000, FIN)] {
        table.packet(&packet, &mut told);
    }
    let all = Digest { cast: Some(Cast::Broadcast), ..udp(2_500, server(), client()) };
    table.packet(&all, &mut told);
    table.finish(&mut told);
    let seen = |second, tag| told.tags.get(&(second, tag)).map(|traffic| (traffic.packet, traffic.byte.sum()));
    assert_eq!(seen(1, Tag::Syn), Some((Pair { tx: 3, rx: 0 }, 9_000_000_000)));
    assert_eq!(seen(2, Tag::FinAck), Some((Pair { tx: 1, rx: 0 }, 3_000_000_000)));
    assert_eq!(seen(2, Tag::Broadcast), Some((Pair { tx: 0, rx: 1 }, 142)));
    assert_eq!((told.tags.len(), told.records.packet.sum(), told.records.new_flow), (3, 5, 2));
    // ACK alone is what is left of segments, but for those of which no flags were captured.
    let mut told = Told::default();
    let mut table = Table::new(Config { tags: true, ..Config::default() }, [1, 2]);
    let cut = |time, source, destination| Digest { kind: Kind::Other, ..tcp(time, source, destination, Flags::NONE) };
    let (push, all) = (Flags::ACK.with(Flags::PSH), Some(Cast::Broadcast));
    for packet in [
        long(1_000, Flags::ACK),
        long(1_001, Flags::ACK),
        Digest { cast: all, ..long(1_002, Flags::ACK) },
        tcp(1_003, server(), client(), Flags::ACK),
        tcp(1_004, client(), server(), push),
        cut(1_005, server(), client()),
        cut(2_000, client(), server()),
        tcp(3_000, server(), client(), Flags::ACK),
        tcp(3_000, end(3, 50_000), server(), Flags::ACK),
    ] {
        table.packet(&packet, &mut told);
    }
    table.finish(&mut told);
    let seen = |second, tag| told.tags.get(&(second, tag)).map(|traffic| (traffic.packet, traffic.byte));
    assert_eq!(seen(1, Tag::Ack), Some((Pair { tx: 3, rx: 1 }, Pair { tx: 9_000_000_000, rx: 142 })));
    assert_eq!(seen(1, Tag::PshAck), Some((Pair { tx: 1, rx: 0 }, Pair { tx: 142, rx: 0 })));
    assert_eq!(seen(1, Tag::Broadcast), Some((Pair { tx: 1, rx: 0 }, Pair { tx: 3_000_000_000, rx: 0 })));
    assert_eq!(seen(3, Tag::Ack), Some((Pair { tx: 1, rx: 1 }, Pair { tx: 142, rx: 142 })), "of two flows");
    assert_eq!(told.tags.len(), 4);
}

#[test]
fn what_is_late_is_counted_apart() {
    let mut table = table();
    let mut told = Vec::new();
    let times = [10_000, 9_500, 9_000, 8_999, 11_999, 10_000, 12_000, 10_999];
    for time in times {
        table.packet(&udp(time, client(), server()), &mut |record: &Record| told.push(*record));
    }
    assert_eq!((table.counters().counted.packets, table.counters().late.packets), (6, 2));
    table.finish(&mut |record: &Record| told.push(*record));
    let mut seconds = HashMap::<u64, u64>::new();
    for record in told.iter().filter(|record| record.meter.packet.sum() > 0) {
        *seconds.entry(record.second).or_default() += record.meter.packet.sum();
    }
    assert_eq!(seconds, HashMap::from([(9, 2), (10, 2), (11, 1), (12, 1)]));
}

#[test]
fn a_leap_in_time_ends_everything_and_takes_no_time() {
    let mut table = table();
    let mut ended = 0;
    for port in 0..1_000 {
        table.packet(&udp(1_000, end(1, port), server()), &mut |_: &Record| {});
    }
    let mut count = |record: &Record| ended += record.meter.closes.total();
    table.packet(&Digest { time_ns: u64::MAX, ..udp(0, client(), server()) }, &mut count);
    table.advance(u64::MAX, &mut count);
    table.finish(&mut count);
    assert_eq!(ended, 1_001);
}

fn packets() -> impl Strategy<Value = Vec<Digest>> {
    let packet = (0_u64..3_000, 0_u16..4, any::<bool>(), any::<u8>(), any::<bool>());
    proptest::collection::vec(packet, 1..200).prop_map(|packets| {
        let mut now = 5_000;
        let digest = |(step, port, back, bits, is_tcp): (u64, u16, bool, u8, bool)| {
            now = if bits > 250 { now - step.min(now) } else { now + step / 4 };
            let (source, destination) =
                if back { (server(), end(1, 40_000 + port)) } else { (end(1, 40_000 + port), server()) };
            let digest = udp(now, source, destination);
            if is_tcp { tcp(now, source, destination, Flags::from_bits(bits)) } else { digest }
        };
        packets.into_iter().map(digest).collect()
    })
}

proptest! {
    #[test]
    fn nothing_is_lost_and_nothing_made_up(packets in packets(), capacity in 1_usize..10) {
        let timeouts = Timeouts { established: 700 * MS * 1_000, ..Timeouts::default() };
        let mut table = Table::new(Config { capacity, timeouts, ..Config::default() }, [3, 4]);
        let mut told = Meter::default();
        let mut last_window = 0;
        for packet in &packets {
            let window = table.window();
            let mut early = None;
            table.packet(packet, &mut |record: &Record| {
                told += &record.meter;
                early = early.or((record.second < window).then_some(record.second));
            });
            prop_assert_eq!(early, None, "a second was over");
            prop_assert!(table.window() >= last_window && table.len() <= capacity);
            last_window = table.window();
        }
        let counters = table.counters();
        table.finish(&mut |record: &Record| told += &record.meter);
        prop_assert_eq!(told.packet.sum(), counters.counted.packets);
        prop_assert_eq!(told.byte.sum(), counters.counted.bytes);
        prop_assert_eq!(told.new_flow, told.closes.total());
        let all = counters.counted.packets + counters.refused.packets + counters.late.packets;
        prop_assert_eq!(all, packets.len() as u64);
    }

    #[test]
    fn many_at_once_are_one_after_the_other(packets in packets(), at_once in 1_usize..50) {
        let (mut one, mut many) = (Vec::new(), Vec::new());
        let mut table = table();
        packets.iter().for_each(|packet| table.packet(packet, &mut |record: &Record| one.push(*record)));
        let mut other = Table::new(Config::default(), [1, 2]);
        packets.chunks(at_once).for_each(|packets| other.packets(packets, &mut |record: &Record| many.push(*record)));
        prop_assert_eq!((one, table.counters()), (many, other.counters()));
    }

    #[test]
    fn when_time_is_told_makes_no_difference(packets in packets(), steps in proptest::collection::vec(0_u64..200, 200)) {
        let sums = |ticks: bool| {
            let mut sums = HashMap::<_, Meter>::new();
            let mut table = table();
            let mut latest = 0;
            for (packet, step) in packets.iter().zip(&steps) {
                let mut add = |record: &Record| *sums.entry((record.flow, record.second)).or_default() += &record.meter;
                if ticks {
                    latest = latest.max(packet.time_ns);
                    let earlier = latest.saturating_sub(step * MS);
                    table.advance(earlier, &mut add);
                }
                table.packet(packet, &mut add);
            }
            table.finish(&mut |record: &Record| *sums.entry((record.flow, record.second)).or_default() += &record.meter);
            sums
        };
        prop_assert_eq!(sums(false), sums(true));
    }
}
