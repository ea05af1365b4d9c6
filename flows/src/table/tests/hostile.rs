//! What somebody does who wants flows to be lost, mixed up or in the way.

use super::*;

/// A segment that has so many bytes of data.
fn segment(time_ms: u64, by_client: bool, flags: Flags, [seq, ack]: [u32; 2], data: u32) -> Digest {
    let ends = if by_client { (client(), server()) } else { (server(), client()) };
    let kind = Kind::Tcp(Segment { seq, ack, window: 512, flags });
    Digest { kind, l4_bytes: data, ..tcp(time_ms, ends.0, ends.1, flags) }
}

fn sum(packets: &[Digest]) -> Meter {
    let mut sum = Meter::default();
    records(packets).iter().for_each(|record| sum += &record.meter);
    sum
}

const ACK: Flags = Flags::ACK;
const PUSH: Flags = Flags::PSH.with(Flags::ACK);

/// A million SYNs of as many ports and addresses in ten seconds: those that find room wait for five seconds, none that lives has to go
/// for them, and afterwards there is room again.
#[test]
fn a_million_half_open_connections_fill_the_table_and_go() {
    const MILLION: u32 = 1_000_000;
    let mut table = table();
    let capacity = Config::default().capacity;
    let (mut told, mut shown) = (Meter::default(), 0);
    let mut tell = |record: &Record| told += &record.meter;
    for packet in
        [segment(0, true, SYN, [1, 0], 0), segment(1, false, SYN_ACK, [1, 2], 0), segment(2, true, ACK, [2, 2], 0)]
    {
        table.packet(&packet, &mut tell);
    }
    for number in 0..MILLION {
        let [_, high, low, port] = number.to_be_bytes();
        let address = IpAddr::V4(Ipv4Addr::new(192, 168, high, low));
        let source = Endpoint { address, port: u16::from(port) + 1_024, owner: None };
        let now_ms = u64::from(number) / 100;
        table.packet(&tcp(now_ms, source, server(), SYN), &mut tell);
        if number % 1_000 == 0 {
            // The connection goes on meanwhile.
            table.packet(&segment(now_ms, shown % 2 == 0, ACK, [2, 2], 0), &mut tell);
            shown += 1;
        }
        assert!(table.len() <= capacity);
    }
    let counters = table.counters();
    assert_eq!(counters.counted.packets + counters.refused.packets, u64::from(MILLION) + shown + 3);
    // Twice there was room for all but one of as many as there may be: at the start, and when those had ended.
    let waited = 2 * (capacity as u64 - 1);
    assert_eq!(counters.counted.packets, waited + shown + 3);
    assert!(table.len() == capacity && counters.late.packets == 0);
    table.advance(20_000 * MS, &mut tell);
    assert_eq!(table.len(), 1, "the connection");
    table.packet(&udp(20_000, end(9, 9), server()), &mut tell);
    assert_eq!((table.len(), told.closes.get(CloseType::ServerSynMiss), told.closes.total()), (2, waited, waited));
}

/// The same ports again, with other numbers, when the first connection is over: another one, of which nothing comes again.
#[test]
fn ports_are_used_again() {
    let connection = |begin: u64, seq: u32| {
        [
            segment(begin, true, SYN, [seq, 0], 0),
            segment(begin + 10, false, SYN_ACK, [seq / 2, seq + 1], 0),
            segment(begin + 15, true, ACK, [seq + 1, seq / 2 + 1], 0),
            segment(begin + 20, true, PUSH, [seq + 1, seq / 2 + 1], 100),
            segment(begin + 50, false, PUSH, [seq / 2 + 1, seq + 101], 100),
            segment(begin + 60, true, FIN, [seq + 101, seq / 2 + 101], 0),
            segment(begin + 70, false, FIN, [seq / 2 + 101, seq + 102], 0),
            segment(begin + 80, true, ACK, [seq + 102, seq / 2 + 102], 0),
        ]
    };
    // Two seconds after its last packet the first is over.
    let both = [connection(1_000, 900_000), connection(3_080, 100)].concat();
    let told = sum(&both);
    assert_eq!((told.new_flow, told.closes.get(CloseType::Finish), told.closes.total()), (2, 2, 2));
    assert_eq!((told.retrans, told.ooo), Default::default());
    assert_eq!((told.rtt_server.sum_us(), told.rtt_client.sum_us(), told.art.sum_us()), (20_000, 10_000, 60_000));
    // Before that it is the first's, whatever it says.
    let told = sum(&[connection(1_000, 900_000), connection(3_079, 100)].concat());
    assert_eq!((told.new_flow, told.closes.total(), told.packet.sum()), (1, 1, 16));
}

/// Numbers that come round are as any others, in both directions: only of the segments where that happens it is not seen whether they come
/// again, or in which order.
#[test]
fn numbers_come_round() {
    let of = |begin: [u32; 2]| {
        let at = |by_client: bool, client: u32, server: u32| {
            let (client, server) = (begin[0].wrapping_add(client), begin[1].wrapping_add(server));
            if by_client { [client, server] } else { [server, client] }
        };
        let packets = [
            (1_000, true, SYN, at(true, 0, 0), 0),
            (1_010, false, SYN_ACK, at(false, 1, 0), 0),
            (1_015, true, ACK, at(true, 1, 1), 0),
            (1_020, true, PUSH, at(true, 1, 1), 40),
            (1_050, false, PUSH, at(false, 41, 1), 40),
            (1_060, true, PUSH, at(true, 41, 41), 40),
            (1_065, false, ACK, at(false, 81, 41), 0),
            (1_070, true, PUSH, at(true, 41, 41), 40),
            (1_090, false, PUSH, at(false, 81, 81), 40),
            (1_100, false, PUSH, at(false, 81, 41), 40),
        ];
        sum(&packets.map(|(time, by_client, flags, numbers, data)| segment(time, by_client, flags, numbers, data)))
    };
    let far_from_it = of([1_000, 5_000]);
    assert_eq!((far_from_it.retrans.tx, far_from_it.ooo.rx, far_from_it.art.count), (1, 1, 1), "{far_from_it:?}");
    assert_eq!((far_from_it.srt.count, far_from_it.rtt.sum_us()), (1, 15_000));
    for before in 0..130 {
        let round = 0_u32.wrapping_sub(before);
        let (at_client, at_server) = (of([round, 5_000]), of([1_000, round]));
        let again = if (41..=81).contains(&before) { Pair::default() } else { far_from_it.retrans };
        assert_eq!(at_client, Meter { retrans: again, ..far_from_it }, "{before} before it, at the client");
        let ooo = if (41..=121).contains(&before) { Pair::default() } else { far_from_it.ooo };
        assert_eq!(at_server, Meter { ooo, ..far_from_it }, "{before} before it, at the server");
    }
}
