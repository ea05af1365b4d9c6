//! Rows of what workers show, in virtual time.

use etherparse::PacketBuilder;
use portlane_classify::Link;
use portlane_flows::{Grain, Observation as Seen_from, SingleRow};
use portlane_rings::{Frame, Layout, Pool};
use portlane_shaper::Nanos;
use proptest::prelude::*;

use super::*;
use crate::config;
use crate::flows::Flows;
use crate::flows::heads::{Sender, way};

const SECOND: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;

const CLIENT: [u8; 4] = [192, 0, 2, 9];
const HOST: [u8; 4] = [10, 0, 0, 1];

fn plan(head: &str, names: &[&str]) -> Plan {
    let container =
        |(port, name): (usize, &&str)| format!("[[container]]\nid = \"{name}\"\nports = [\"{}\"]\n", 80 + port);
    let containers: String = names.iter().enumerate().map(container).collect();
    config::parse(&format!("{head}{containers}"), "test").unwrap()
}

fn udp(from: ([u8; 4], u16), to: ([u8; 4], u16)) -> Vec<u8> {
    let mut frame = Vec::new();
    let ip = PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4(from.0, to.0, 64);
    ip.udp(from.1, to.1).write(&mut frame, b"12345678").unwrap();
    frame
}

fn tcp(from: ([u8; 4], u16), to: ([u8; 4], u16), (seq, ack): (u32, Option<u32>), syn: bool) -> Vec<u8> {
    let mut frame = Vec::new();
    let tcp = PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4(from.0, to.0, 64).tcp(from.1, to.1, seq, 512);
    let tcp = if syn { tcp.syn() } else { tcp };
    let tcp = if let Some(ack) = ack { tcp.ack(ack) } else { tcp };
    tcp.write(&mut frame, &[]).unwrap();
    frame
}

fn show(sender: &mut Sender, frame: &[u8], arriving: Arriving, now_ns: u64) {
    shown(frame, |pool, frames| sender.show(pool, frames, arriving, Nanos(now_ns)));
}

fn shown(frame: &[u8], show: impl FnOnce(&Pool, &[Frame])) {
    let mut pool = Pool::new(Layout { frames: 4, frame_size: 2_112 }).unwrap();
    let mut written = pool.take().unwrap();
    pool.write(&mut written, frame).unwrap();
    show(&pool, std::slice::from_ref(&written));
    pool.put(written);
}

fn seconds(batches: &[Batch]) -> Vec<&Batch> {
    batches.iter().filter(|batch| batch.grain == Grain::Second).collect()
}

#[test]
fn handshakes_seen_by_two_workers_are_measured() {
    let plan = plan("", &["web"]);
    let ((mut inner, one), (mut outer, two)) = (way(64), way(64));
    let mut observation = Observation::new(vec![one, two], &plan, 100, [0, 0], 0);
    let (client, server) = ((CLIENT, 45_000), (HOST, 80));
    // The answer is shown before the question, by another worker.
    show(&mut outer, &tcp(server, client, (500, Some(101)), true), Arriving::Egress, SECOND + 5 * MS);
    let mut batches = Vec::new();
    let mut look = |observation: &mut Observation, now_ns| observation.look(now_ns, &mut |batch| batches.push(batch));
    assert_eq!(look(&mut observation, SECOND + 5 * MS), 0, "what others saw before may be on its way");
    show(&mut inner, &tcp(client, server, (100, None), true), Arriving::Ingress, SECOND);
    show(&mut inner, &tcp(client, server, (101, Some(501)), false), Arriving::Ingress, SECOND + 12 * MS);
    assert_eq!(look(&mut observation, SECOND + 7 * MS), 2);
    assert_eq!(look(&mut observation, SECOND + 20 * MS), 1);
    look(&mut observation, 4 * SECOND);
    let rows = seconds(&batches);
    let [Batch { start: 1, flow_edge_port, .. }] = rows[..] else { panic!("{rows:?}") };
    let [row] = &flow_edge_port[..] else { panic!("{flow_edge_port:?}") };
    assert_eq!((row.meter.rtt_server.max_us(), row.meter.rtt_client.max_us(), row.meter.rtt.count), (5_000, 7_000, 1));
    assert_eq!(row.flow.server.owner, Some(0));
    assert_eq!(observation.seen().live, 1);
}

#[test]
fn neighbours_are_counted_where_they_send() {
    let plan = plan("[host]\naddresses = [\"10.0.0.1\"]\n", &["web", "mail"]);
    let (mut sender, receiver) = way(64);
    let mut observation = Observation::new(vec![receiver], &plan, 100, [0, 0], 0);
    let (web, mail) = ((HOST, 80), (HOST, 81));
    for arriving in [Arriving::Egress, Arriving::Ingress] {
        show(&mut sender, &udp(web, mail), arriving, SECOND);
    }
    // Not of the host, though of a port that a container owns.
    show(&mut sender, &udp((CLIENT, 81), web), Arriving::Ingress, SECOND);
    let mut batches = Vec::new();
    let seen = observation.look(3 * SECOND, &mut |batch| batches.push(batch));
    assert_eq!((seen, observation.seen().repeated), (3, 1));
    let rows = seconds(&batches);
    let observed: Vec<_> = rows[0].flow_edge.iter().map(|row| (row.observation, row.meter.packet.sum())).collect();
    assert_eq!(observed, [(Seen_from::Local, 1), (Seen_from::Server, 1)]);
}

#[test]
fn what_stays_on_the_host_is_counted_where_it_is_sent() {
    let plan = plan("", &["web", "mail"]);
    let (mut sender, receiver) = way(64);
    let mut observation = Observation::new(vec![receiver], &plan, 100, [0, 0], 0);
    let (web, mail, host) = ((HOST, 80), (HOST, 81), (HOST, 9_000));
    let (out, inwards) = (&[Arriving::Egress][..], &[Arriving::Ingress][..]);
    for (from, to, sights) in [(web, mail, &[out, inwards].concat()[..]), (mail, host, out), (host, web, inwards)] {
        for &arriving in sights {
            shown(&udp(from, to), |pool, frames| sender.show_within(pool, frames, arriving, Nanos(SECOND)));
        }
    }
    // A packet from elsewhere that has the port of a container's by chance is no neighbour's.
    show(&mut sender, &udp((CLIENT, 81), web), Arriving::Ingress, SECOND);
    let mut batches = Vec::new();
    let seen = observation.look(3 * SECOND, &mut |batch| batches.push(batch));
    assert_eq!((seen, observation.seen().repeated), (5, 1));
    let rows = seconds(&batches);
    let mut observed: Vec<_> = rows[0]
        .flow_edge_port
        .iter()
        .map(|row| (row.flow.client.owner, row.flow.server.owner, row.observation))
        .collect();
    observed.sort_by_key(|&(client, server, _)| (client, server));
    let [web, mail] = [Some(0), Some(1)];
    let expected = [
        (None, web, Seen_from::Server),
        (None, web, Seen_from::Server),
        (web, mail, Seen_from::Local),
        (mail, None, Seen_from::Client),
    ];
    assert_eq!(observed, expected);
    assert_eq!(rows[0].flow_edge_port.iter().map(|row| row.meter.packet.sum()).sum::<u64>(), 4);
}

#[test]
fn owners_are_the_same_after_a_reload() {
    let (mut sender, receiver) = way(64);
    let mut observation = Observation::new(vec![receiver], &plan("", &["web", "mail"]), 100, [0, 0], 0);
    let mut batches = Vec::new();
    let from_client = |port| udp((CLIENT, 45_000), (HOST, port));
    show(&mut sender, &from_client(80), Arriving::Ingress, SECOND);
    show(&mut sender, &from_client(81), Arriving::Ingress, SECOND);
    observation.look(SECOND, &mut |batch| batches.push(batch));
    // The ports change owners, and there is another one.
    observation.follow(&plan("", &["mail", "db", "web"]), SECOND);
    (80..=82).for_each(|port| show(&mut sender, &from_client(port), Arriving::Ingress, SECOND));
    observation.look(3 * SECOND, &mut |batch| batches.push(batch));
    let names = observation.known().names;
    let of = |row: &SingleRow| (names[row.end.owner.unwrap() as usize].to_string(), row.meter.packet.sum());
    let mut rows: Vec<_> = seconds(&batches)[0].flow.iter().map(of).collect();
    rows.sort();
    assert_eq!(rows, [("db".to_owned(), 1), ("mail".to_owned(), 2), ("web".to_owned(), 2)]);
}

#[test]
fn time_passes_in_silence() {
    let (mut sender, receiver) = way(64);
    let mut observation = Observation::new(vec![receiver], &plan("", &["web"]), 100, [0, 0], 0);
    show(&mut sender, &udp((CLIENT, 45_000), (HOST, 80)), Arriving::Ingress, SECOND);
    show(&mut sender, &[0xff; 12], Arriving::Ingress, SECOND);
    let mut batches = Vec::new();
    for second in 1..=70 {
        observation.look(second * SECOND, &mut |batch| batches.push(batch));
    }
    let starts: Vec<_> = batches.iter().map(|batch| (batch.grain, batch.start)).collect();
    assert_eq!(starts, [(Grain::Second, 1), (Grain::Second, 6), (Grain::Minute, 0)], "it ends after five seconds");
    // Who leaves tells what there is to tell, and ends nothing.
    show(&mut sender, &udp((CLIENT, 45_000), (HOST, 80)), Arriving::Ingress, 71 * SECOND);
    batches.clear();
    let seen = observation.leave(71 * SECOND, &mut |batch| batches.push(batch));
    assert_eq!((seen.others, seen.live, seen.counters.counted.packets), (1, 1, 2));
    let told: Vec<_> = batches.iter().map(|batch| (batch.start, batch.flow[0].meter.closes.total())).collect();
    assert_eq!(told, [(71, 0), (60, 0)]);
}

/// Whoever asks the web server, by TCP, or something else of it by UDP, and the answers.
fn frames() -> impl Strategy<Value = Vec<(u64, Vec<u8>)>> {
    let step = (0..3_000 * MS, any::<bool>(), 0..3_u16, any::<bool>(), any::<u32>(), 0..5_usize, any::<u8>());
    prop::collection::vec(step, 1..150).prop_map(|steps| {
        let mut now_ns = 100 * SECOND;
        let frame = |(step, is_back, number, is_tcp, seq, message, flags): (u64, bool, u16, bool, u32, usize, u8)| {
            now_ns = if flags > 230 { now_ns - step.min(now_ns) } else { now_ns + step / 8 };
            let message =
                [&b""[..], b"GET /of/this HTTP/1.1\r\n\r\n", b"HTTP/1.1 503 \r\n\r\n", b"\x16\x03", &[0; 400]][message];
            let ends = [(CLIENT, 40_000 + number), (HOST, 80 + number)];
            let [from, to] = if is_back { [ends[1], ends[0]] } else { ends };
            let mut frame = Vec::new();
            let ip = PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4(from.0, to.0, 64);
            if is_tcp {
                ip.tcp(from.1, to.1, seq % 2_000, 512).write(&mut frame, message).unwrap();
                (frame[45], frame[47]) = (flags, flags);
            } else {
                ip.udp(from.1, to.1).write(&mut frame, message).unwrap();
            }
            (now_ns, frame)
        };
        steps.into_iter().map(frame).collect()
    })
}

/// In the order of time.
fn in_order(mut batches: Vec<Batch>) -> Vec<Batch> {
    batches.sort_by_key(|batch| (batch.grain == Grain::Minute, batch.start));
    batches
}

proptest! {
    /// Of the same frames the same rows come by the heads that workers show and by what a capture has of them.
    #[test]
    fn captures_and_workers_tell_the_same(frames in frames(), capacity in 1..8_usize, is_known in any::<bool>()) {
        let head = if is_known { "[host]\naddresses = [\"10.0.0.1\"]\n" } else { "" };
        let plan = plan(&format!("{head}[[network]]\nprefix = \"10.0.0.0/24\"\nepc = 7\n"), &["web", "mail"]);
        let arriving = if is_known { Arriving::Either } else { Arriving::Ingress };
        let (mut sender, receiver) = way(2_048);
        let mut observation = Observation::new(vec![receiver], &plan, capacity, [1, 2], 0);
        let mut replayed = Flows::new(capacity, &plan, arriving);
        let (mut live, mut captured, mut latest_ns) = (Vec::new(), Vec::new(), 0);
        for (time_ns, frame) in &frames {
            show(&mut sender, frame, arriving, *time_ns);
            latest_ns = latest_ns.max(*time_ns);
            let wire_len = u32::try_from(frame.len()).unwrap();
            if let Some(digest) = replayed.read(Link::Ethernet, frame, wire_len, *time_ns) {
                replayed.packet(&digest, &mut |batch| { captured.push(batch); Ok(()) }).unwrap();
            }
        }
        // First what has come, then all that ends.
        observation.look(0, &mut |batch| live.push(batch));
        observation.look(latest_ns + 1_000 * SECOND, &mut |batch| live.push(batch));
        let missing = replayed.finish(&mut |batch| { captured.push(batch); Ok(()) }).unwrap();
        prop_assert_eq!(observation.seen().counters, missing.counters);
        // How many rows there may be at a time depends on when earlier ones are given out, here at once, there at the end.
        if (observation.seen().left_out, missing.refused) == Default::default() {
            prop_assert_eq!(in_order(live), in_order(captured));
        }
    }
}
