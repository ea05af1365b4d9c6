//! Times and anomalies of crafted conversations.

use proptest::prelude::*;

use super::Connection;
use crate::digest::{Flags, Segment};
use crate::meter::Side::{self, Client, Server};
use crate::meter::{Meter, Pair, Timing};

const US: u64 = 1_000;
const SYN: Flags = Flags::SYN;
const SYN_ACK: Flags = Flags::SYN.with(Flags::ACK);
const ACK: Flags = Flags::ACK;
const PSH: Flags = Flags::ACK.with(Flags::PSH);
const FIN: Flags = Flags::FIN.with(Flags::ACK);

/// Where the client's and the server's sequence numbers begin.
const ISN: [u32; 2] = [1_000, 5_000];

/// A packet: time in microseconds, side, flags, sequence and acknowledgment number from the first one on, bytes of data.
type Packet = (u64, Side, Flags, u32, u32, u32);

fn segment(&(_, side, flags, seq, ack, _): &Packet) -> Segment {
    let [mine, theirs] = if side == Client { ISN } else { [ISN[1], ISN[0]] };
    Segment { seq: mine + seq, ack: theirs + ack, window: 500, flags }
}

fn meter(packets: &[Packet]) -> Meter {
    let mut connection = Connection::new();
    let mut meter = Meter::default();
    for packet in packets {
        connection.packet(&segment(packet), packet.5, packet.1, packet.0 * US, &mut meter);
    }
    meter
}

fn timing(samples: &[u64]) -> Timing {
    let (sum, max) = (samples.iter().sum::<u64>(), samples.iter().max().copied().unwrap_or_default());
    Timing { sum_ns: sum * US, count: samples.len() as u64, max_ns: max * US }
}

const OPEN: [Packet; 3] = [(100, Client, SYN, 0, 0, 0), (130, Server, SYN_ACK, 0, 1, 0), (170, Client, ACK, 1, 1, 0)];

/// What is counted after a handshake, besides that.
fn after_open(rest: &[Packet]) -> Meter {
    meter(&[&OPEN, rest].concat())
}

fn rtts(meter: &Meter) -> [Timing; 3] {
    [meter.rtt, meter.rtt_client, meter.rtt_server]
}

#[test]
fn a_handshake_takes_what_its_parts_take() {
    let meter = after_open(&[(190, Client, ACK, 1, 1, 0), (200, Server, ACK, 1, 1, 0)]);
    assert_eq!(rtts(&meter), [timing(&[70]), timing(&[40]), timing(&[30])]);
    assert_eq!((meter.syn_count, meter.synack_count, meter.retrans.sum()), (1, 1, 0));
    assert_eq!((meter.srt, meter.art), (timing(&[]), timing(&[])));
}

#[test]
fn repetitions_in_a_handshake_count_from_the_first() {
    let repeated = meter(&[
        (100, Client, SYN, 0, 0, 0),
        (110, Client, SYN, 0, 0, 0),
        (130, Server, SYN_ACK, 0, 1, 0),
        (140, Server, SYN_ACK, 0, 1, 0),
        (170, Client, ACK, 1, 1, 0),
    ]);
    assert_eq!(rtts(&repeated), [timing(&[70]), timing(&[40]), timing(&[30, 40])]);
    assert_eq!((repeated.syn_count, repeated.synack_count), (2, 2));
    assert_eq!((repeated.retrans, repeated.retrans_syn, repeated.retrans_synack), (Pair { tx: 1, rx: 1 }, 1, 1));
}

#[test]
fn without_a_whole_handshake_there_is_no_time() {
    let nothing = [timing(&[]); 3];
    assert_eq!(rtts(&meter(&OPEN[1..])), nothing, "no SYN");
    assert_eq!(rtts(&meter(&[OPEN[1], (150, Client, SYN, 0, 0, 0), OPEN[2]])), nothing, "the SYN was late");
    let ends = |packet| rtts(&meter(&[OPEN[0], OPEN[1], packet, OPEN[2]]));
    assert_eq!(ends((150, Client, PSH, 1, 1, 9)), [timing(&[]), timing(&[]), timing(&[30])], "data came first");
    assert_eq!(ends((150, Client, ACK, 1, 9, 0)), [timing(&[]), timing(&[]), timing(&[30])], "it acknowledges another");
    assert_eq!(ends((150, Client, Flags::PSH, 1, 1, 0)), [timing(&[]), timing(&[40]), timing(&[30])], "disturbed");
    let wrong = (130, Server, SYN_ACK, 0, 7, 0);
    assert_eq!(rtts(&meter(&[OPEN[0], wrong, OPEN[2]])), nothing, "SYN+ACK of another SYN");
    // What is left of a connection whose beginning was not seen.
    let (left, later) = ((20, Client, FIN, 900, 700, 0), (30, Server, ACK, 700, 901, 0));
    let other = meter(&[left, later, OPEN[0], OPEN[1], OPEN[2]]);
    assert_eq!(rtts(&other), rtts(&after_open(&[])));
    // A port used again while the flow lives.
    let again =
        after_open(&[(900, Client, SYN, 0, 0, 0), (950, Server, SYN_ACK, 0, 1, 0), (960, Client, ACK, 1, 1, 0)]);
    assert_eq!(rtts(&again), rtts(&after_open(&[])));
    assert_eq!((again.retrans_syn, again.retrans_synack), (1, 1));
}

#[test]
fn what_takes_too_long_or_no_time_is_not_measured() {
    let second = 1_000_000;
    let handshake =
        |syn_ack, ack| rtts(&meter(&[OPEN[0], (syn_ack, Server, SYN_ACK, 0, 1, 0), (ack, Client, ACK, 1, 1, 0)]));
    let limit = 100 + 30 * second;
    assert_eq!(handshake(100, 200), [timing(&[100]), timing(&[100]), timing(&[])]);
    assert_eq!(handshake(limit, limit + 1), [timing(&[]), timing(&[1]), timing(&[30 * second])]);
    assert_eq!(handshake(limit + 1, limit + 2), [timing(&[]), timing(&[1]), timing(&[])]);
    let question = (200, Client, PSH, 1, 1, 50);
    let srt = |after| after_open(&[question, (200 + after, Server, ACK, 1, 51, 0)]).srt;
    assert_eq!((srt(10 * second), srt(10 * second + 1)), (timing(&[10 * second]), timing(&[])));
    let art = |after| after_open(&[question, (200 + after, Server, PSH, 1, 51, 9)]).art;
    assert_eq!((art(30 * second), art(30 * second + 1)), (timing(&[30 * second]), timing(&[])));
}

#[test]
fn an_answer_takes_the_server_and_the_application_time() {
    let question = (200, Client, PSH, 1, 1, 50);
    let acknowledged = (240, Server, ACK, 1, 51, 0);
    let answer = (300, Server, ACK, 1, 51, 900);
    let times = |packets: &[Packet]| {
        let meter = after_open(packets);
        (meter.srt, meter.art)
    };
    assert_eq!(times(&[question, acknowledged, answer]), (timing(&[40]), timing(&[100])));
    assert_eq!(times(&[question, answer]), (timing(&[]), timing(&[100])), "right after SYN+ACK");
    assert_eq!(times(&[question, answer, acknowledged]), (timing(&[]), timing(&[100])), "the answer acknowledges");
    assert_eq!(times(&[question, (240, Server, ACK, 1, 41, 0), acknowledged]).0, timing(&[]), "not all of it");
    assert_eq!(times(&[question, (300, Server, ACK, 5, 51, 900)]).1, timing(&[]), "the beginning is missing");
    for between in [(210, Client, ACK, 51, 1, 0), (210, Client, FIN, 51, 1, 0), (210, Client, ACK, 51, 1, 9)] {
        let (srt, art) = times(&[question, between, acknowledged, answer]);
        assert_eq!((srt, art), (timing(&[]), timing(&[])), "{between:?}");
    }
    let segments = [(200, Client, ACK, 1, 1, 50), (210, Client, PSH, 51, 1, 50)];
    assert_eq!(
        times(&[segments[0], segments[1], (300, Server, ACK, 1, 101, 9)]).1,
        timing(&[90]),
        "from its last part"
    );
    assert_eq!(
        times(&[(200, Client, PSH, 1, 1, 1), (300, Server, PSH, 1, 2, 9)]).1,
        timing(&[]),
        "a probe is no question"
    );
    assert_eq!(times(&[question, (210, Client, Flags::RST, 51, 1, 0), answer]).1, timing(&[]));
    // New bytes and known ones in one segment: nothing is measured by it, and what comes next goes on behind it.
    let gap = (310, Server, PSH, 1_001, 51, 100);
    let overlap = (320, Server, PSH, 951, 51, 100);
    let next = [(400, Client, PSH, 51, 1_051, 5), (450, Server, PSH, 1_051, 56, 5)];
    assert_eq!(times(&[question, answer, gap, overlap, next[0], next[1]]).1, timing(&[100, 50]));
    // Two questions, one after the other.
    let second = [(400, Client, PSH, 51, 901, 5), (450, Server, PSH, 901, 56, 5)];
    assert_eq!(times(&[question, answer, second[0], second[1]]).1, timing(&[100, 50]));
}

#[test]
fn anomalies_are_of_who_sent_them() {
    let data = after_open(&[
        (200, Client, PSH, 1, 1, 50),
        (210, Client, PSH, 1, 1, 50),
        (220, Server, ACK, 1, 51, 100),
        (230, Server, ACK, 201, 51, 100),
        (240, Server, ACK, 101, 51, 100),
        (250, Server, PSH, 201, 51, 100),
        (260, Client, ACK, 50, 301, 1),
        (270, Client, ACK, 50, 301, 1),
        (280, Client, ACK, 51, 301, 0),
        (290, Client, ACK, 51, 301, 0),
    ]);
    assert_eq!((data.retrans, data.ooo), (Pair { tx: 1, rx: 1 }, Pair { tx: 0, rx: 1 }));
    assert_eq!((data.retrans_syn, data.retrans_synack), (0, 0));
}

#[test]
fn windows_of_zero_count_outside_of_handshakes() {
    let count = |packets: &[Packet]| {
        let mut connection = Connection::new();
        let mut meter = Meter::default();
        for packet in packets {
            let closed = Segment { window: 0, ..segment(packet) };
            connection.packet(&closed, packet.5, packet.1, packet.0 * US, &mut meter);
        }
        meter.zero_win
    };
    assert_eq!(count(&OPEN[..2]), Pair { tx: 0, rx: 0 });
    assert_eq!(count(&OPEN[1..2]), Pair { tx: 0, rx: 1 }, "no SYN was seen");
    let rest = [(200, Client, ACK, 1, 1, 0), (210, Server, FIN, 1, 1, 0), (220, Server, Flags::RST, 1, 1, 0)];
    assert_eq!(count(&rest), Pair { tx: 1, rx: 1 });
}

#[test]
fn nothing_is_measured_by_times_that_run_backwards() {
    let meter = after_open(&[(200, Client, PSH, 1, 1, 50), (199, Server, PSH, 1, 51, 9), (150, Client, SYN, 0, 0, 0)]);
    assert_eq!((meter.art, meter.syn_count, meter.retrans.sum()), (timing(&[]), 2, 0));
}

proptest! {
    #[test]
    fn whatever_comes_is_bounded_by_packets_and_time(
        packets in proptest::collection::vec(
            (0_u64..5_000, any::<bool>(), any::<u8>(), 0_u32..300, 0_u32..300, 0_u32..60), 0..100
        )
    ) {
        let mut now = 0;
        let packets: Vec<Packet> = packets.into_iter().map(|(step, server, bits, seq, ack, payload)| {
            now += step;
            (now, if server { Server } else { Client }, Flags::from_bits(bits), seq, ack, payload)
        }).collect();
        let meter = meter(&packets);
        let sent = |side| packets.iter().filter(|packet| packet.1 == side).count() as u64;
        prop_assert!(meter.retrans.tx + meter.ooo.tx <= sent(Client) && meter.retrans.rx + meter.ooo.rx <= sent(Server));
        prop_assert!(meter.retrans_syn + meter.retrans_synack <= meter.retrans.sum());
        prop_assert!(meter.retrans_syn <= meter.syn_count && meter.retrans_synack <= meter.synack_count);
        prop_assert!(meter.rtt.count <= 1 && meter.rtt_client.count <= 1);
        for timing in [meter.rtt, meter.rtt_client, meter.rtt_server, meter.srt, meter.art] {
            prop_assert!(timing.max_ns <= now * US && timing.max_ns <= timing.sum_ns);
            prop_assert!(timing.sum_ns <= timing.max_ns * timing.count);
        }
        // Questions do not overlap: all waits for answers fit into the time that passed.
        prop_assert!(meter.srt.sum_ns <= now * US && meter.art.sum_ns <= now * US);
    }
}
