//! A capture that hands over frames ahead of their time: all is as if each moment had had a turn of its own.

use portlane::build;
use portlane::config;
use portlane::line::{Line, Port};
use portlane::report::{self, Context};
use portlane_classify::{Arriving, Direction};
use portlane_pcap::{Capture, LinkType, Reader, Writer};
use portlane_rings::{Device, Layout, Pool};
use portlane_shaper::{Nanos, Wake};
use portlane_stats::render::Format;
use proptest::prelude::*;

use crate::rig::{Kind, Rig, packet};

/// Time before a packet, and what it is.
type Arrival = (u64, Direction, Kind, usize);

/// A capture of these packets.
fn capture(arrivals: &[Arrival]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).unwrap();
    let mut time_ns = 1_000;
    for (number, &(gap, direction, kind, len)) in (0..).zip(arrivals) {
        time_ns += gap;
        let packet = packet(direction, kind, len, number);
        writer.write(LinkType::ETHERNET, time_ns, &packet, u32::try_from(packet.len()).unwrap()).unwrap();
    }
    writer.finish().unwrap()
}

/// What leaves, and what is reported, when packets are received until then whatever time it is.
fn replay(input: &[u8], config: &str, until_ns: u64) -> (Vec<u8>, String) {
    let plan = config::parse(config, "test").unwrap_or_else(|error| panic!("{error}"));
    let mut pool = Pool::new(Layout { frames: 1_024, frame_size: 2_048 }).unwrap();
    let mut output = Vec::new();
    let writer = Writer::new(&mut output).unwrap();
    let mut device = Capture::new(Reader::new(input).unwrap(), Some(writer), &mut pool);
    device.receive_until(until_ns);
    let port = Port { device, arriving: Arriving::Either };
    let mut line = build::line(&plan, pool, vec![port], [0, 0], [1, 2], Nanos::ZERO);
    let mut now = Nanos::ZERO;
    while let Some(next) = next_event(&mut line, now) {
        line.ports[0].device.set_now(next.0);
        line.turn(next).unwrap();
        now = Nanos(line.ports[0].device.now());
        assert!(line.balances());
    }
    let told = Format::Json.render(&report::snapshot(&line, &plan, &Context::default(), now));
    line.ports[0].device.write_out(&line.pool).unwrap();
    line.ports.swap_remove(0).device.finish().unwrap().unwrap();
    drop(line);
    (output, told)
}

fn next_event<R: std::io::Read, W: std::io::Write>(line: &mut Line<Capture<R, W>>, now: Nanos) -> Option<Nanos> {
    let arrival = line.ports[0].device.next_arrival().map(Nanos);
    match (arrival, line.next_wake(now)) {
        (_, Wake::Now) => Some(now),
        (Some(arrival), Wake::At(wake)) => Some(arrival.min(wake)),
        (arrival, Wake::Never) => arrival,
        (None, Wake::At(wake)) => Some(wake),
    }
}

/// From nobody limited to all: with a group that borrows, a filter that holds a packet back, and short queues.
fn config(link: &str, rate: &str) -> String {
    let group = format!("[[group]]\nid = \"g\"\ningress = {{ rate = \"{rate}\", ceil = \"1gbit\" }}\n");
    let containers = Rig::containers(4, |number| match number {
        0 => format!("group = \"g\"\ningress = {{ rate = \"{rate}\" }}\nqueue = {{ limit = 20 }}\n"),
        1 => "group = \"g\"\nqueue = { kind = \"codel\", target = \"100us\", interval = \"1ms\" }\n".to_owned(),
        2 => format!("egress = {{ kind = \"tbf\", rate = \"{rate}\", burst = \"8kb\", limit = \"20kb\" }}\n"),
        _ => format!("egress = {{ rate = \"{rate}\", burst = \"16kb\" }}\n"),
    });
    format!("[link]\nrate = \"{link}\"\n{group}{containers}")
}

fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
    let gap = prop_oneof![4 => Just(0), 4 => 1..2_000_u64, 2 => 1_000..200_000_u64, 1 => 0..5_000_000_u64];
    let direction = prop_oneof![Just(Direction::Ingress), Just(Direction::Egress)];
    let kind = prop_oneof![
        12 => (0..4_u16).prop_map(Kind::Container),
        1 => Just(Kind::Foreign), 1 => Just(Kind::NotIp), 1 => Just(Kind::Malformed),
    ];
    let len = prop_oneof![Just(64), Just(200), Just(1_514)];
    proptest::collection::vec((gap, direction, kind, len), 1..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn packets_received_ahead_are_handled_in_their_time(
        arrivals in arrivals(),
        link in prop_oneof![Just("10mbit"), Just("100mbit"), Just("10gbit")],
        rate in prop_oneof![Just("1mbit"), Just("10mbit"), Just("500mbit")],
    ) {
        let (input, config) = (capture(&arrivals), config(link, rate));
        let (output, told) = replay(&input, &config, 0);
        let (output_ahead, told_ahead) = replay(&input, &config, u64::MAX - 1);
        prop_assert!(output == output_ahead, "what leaves differs");
        prop_assert_eq!(told, told_ahead);
    }
}
