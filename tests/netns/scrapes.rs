//! What it costs the packets that somebody reads: rates with and without scrapes, in turns.
//!
//! `make scrapes` measures, `make test` only tries that everything is there to do so.

use std::thread;
use std::time::{Duration, Instant};

use etherparse::PacketBuilder;

use crate::bench::{Bench, CLIENT, SERVER};
use crate::control::get;
use crate::offer::Offer;
use crate::portlane::eventually;

/// Containers, of one port each.
const CONTAINERS: u16 = 1_000;
const FIRST_PORT: u16 = 10_000;

/// Scrapes a second.
const A_SECOND: u32 = 10;

/// The longest that a scrape may take at the median, and the most that they may take of the rate, in percent.
const LONGEST: Duration = Duration::from_millis(100);
const MOST: f64 = 3.0;

fn is_long() -> bool {
    std::env::var_os("PORTLANE_SCRAPES").is_some_and(|wanted| wanted == "long")
}

/// Pairs of measurements, and how long each takes.
fn pairs() -> (usize, Duration) {
    if is_long() { (21, Duration::from_secs(1)) } else { (1, Duration::from_millis(300)) }
}

fn frame(hardware: [u8; 6], port: u16) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], hardware)
        .ipv4(CLIENT.octets(), SERVER.octets(), 64)
        .udp(1_024 + port % 8, port);
    let mut frame = Vec::new();
    builder.write(&mut frame, &[7; 18]).unwrap();
    frame
}

pub(crate) fn beside_traffic() {
    let bench = Bench::new();
    let container = |number| {
        let port = FIRST_PORT + number;
        let limits = "ingress = { rate = \"1gbit\" }\negress = { rate = \"1gbit\" }\n";
        format!("[[container]]\nid = \"c{number}\"\nports = [\"{port}\"]\n{limits}")
    };
    let _portlane = bench.start(&(0..CONTAINERS).map(container).collect::<String>());
    let hardware = bench.server_hardware();
    let frames: Vec<_> = (0..CONTAINERS).map(|number| frame(hardware, FIRST_PORT + number)).collect();
    let offer = Offer::start(&bench.client, "eth0", &frames);
    let arrived = || bench.server.counters("eth0").unwrap().rx_packets;
    eventually(|| arrived() > 10_000, || "nothing arrives".to_owned());
    let (count, time) = pairs();
    let mut took = Vec::new();
    let mut ratios: Vec<_> = (0..count).map(|pair| ratio(&bench, &arrived, time, pair, &mut took)).collect();
    assert!(offer.stop() > 0);
    ratios.sort_by(f64::total_cmp);
    took.sort_unstable();
    let (median, longest) = (ratios[count / 2], took[took.len() / 2]);
    // Of 21 values the sixth and the sixteenth enclose the median with a probability of 97 % (the sign test).
    let [low, high] = [count / 4, count - 1 - count / 4].map(|place| ratios[place]);
    println!(
        "{A_SECOND} scrapes a second of {CONTAINERS} containers: {:.2} % of the packets (median of {count}, {:.2} to {:.2}), a \
         scrape takes {longest:?}",
        (1.0 - median) * 100.0,
        (1.0 - high) * 100.0,
        (1.0 - low) * 100.0,
    );
    if is_long() {
        assert!((1.0 - median) * 100.0 < MOST && longest < LONGEST, "{ratios:?}");
    }
}

/// Packets with scrapes, as a part of those without; which is first changes from pair to pair.
fn ratio(bench: &Bench, arrived: &impl Fn() -> u64, time: Duration, pair: usize, took: &mut Vec<Duration>) -> f64 {
    let mut quiet = || rate(arrived, time, || {});
    let first = pair.is_multiple_of(2).then(&mut quiet);
    let mut next = Instant::now();
    let scraped = rate(arrived, time, || {
        if Instant::now() >= next {
            next += Duration::from_secs(1) / A_SECOND;
            let begun = Instant::now();
            let (status, text) = get(&bench.line, "/metrics");
            took.push(begun.elapsed());
            assert!(status == 200 && text.contains("container=\"c999\""), "{status}");
        }
    });
    scraped / first.unwrap_or_else(quiet)
}

/// Packets a second that arrive while something is done again and again.
fn rate(arrived: impl Fn() -> u64, time: Duration, mut each: impl FnMut()) -> f64 {
    let (begun, before) = (Instant::now(), arrived());
    while begun.elapsed() < time {
        each();
        thread::sleep(Duration::from_millis(5));
    }
    let packets = u32::try_from(arrived() - before).unwrap();
    f64::from(packets) / begun.elapsed().as_secs_f64()
}
