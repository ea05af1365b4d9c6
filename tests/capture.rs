//! A real capture through the lanes: counted as tshark counts it, the same on every run, and nothing leaves before it came.
//!
//! What is in the capture, and how it was recorded: `tests/data/README.md`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::process::Command;

use portlane_pcap::Reader;
use serde_json::Value;

const CAPTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/mixed.pcapng");
const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/replay.toml");

/// Container, its ports, and the packets to and from them: what tshark counted when the capture was recorded.
const EXPECTED: [(&str, [u16; 2], [u64; 2]); 3] = [
    ("fast", [31_744, 32_767], [814, 642]),
    ("slow", [32_768, 33_791], [792, 801]),
    ("free", [33_792, 34_815], [885, 685]),
];
const PACKETS: u64 = 4_750;

/// What a replay left behind.
struct Replayed {
    written: PathBuf,
    stats: PathBuf,
}

impl Replayed {
    fn numbers(&self) -> Value {
        serde_json::from_slice(&std::fs::read(&self.stats).unwrap()).unwrap()
    }
}

/// Replays the capture under `config`; the files it writes are named after `name`.
fn replay(config: &Path, name: &str) -> Replayed {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let written = directory.join(format!("{name}.pcapng"));
    let stats = directory.join(format!("{name}.json"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_portlane"));
    command.args(["replay", CAPTURE, "--config"]).arg(config);
    command.arg("--write").arg(&written).arg("--stats").arg(&stats);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Replayed { written, stats }
}

fn check_counts(numbers: &Value) {
    for ((id, _, offered), container) in EXPECTED.iter().zip(numbers["containers"].as_array().unwrap()) {
        assert_eq!(container["id"], *id);
        assert_eq!(container["ingress"]["offered_packets"], offered[0], "to {id}");
        assert_eq!(container["egress"]["offered_packets"], offered[1], "from {id}");
    }
    let owned: u64 = EXPECTED.iter().flat_map(|(_, _, offered)| offered).sum();
    let totals = &numbers["totals"];
    assert_eq!(totals["received"], PACKETS);
    assert_eq!(totals["unmatched"], PACKETS - owned);
    assert_eq!(totals["malformed"], serde_json::json!({}));
    let count = |name: &str| totals[name].as_u64().unwrap();
    assert_eq!(count("received"), count("sent") + count("dropped") + count("queued"));
    assert_eq!(count("queued"), 0);
}

#[test]
fn every_packet_finds_its_container() {
    check_counts(&replay(Path::new(CONFIG), "counted").numbers());
}

#[test]
fn ports_tell_directions_apart_as_addresses_do() {
    let text = std::fs::read_to_string(CONFIG).unwrap();
    let without = text.replace("[host]\naddresses = [\"10.77.0.1\"]\n", "");
    assert_ne!(text, without);
    let config = Path::new(env!("CARGO_TARGET_TMPDIR")).join("without-host.toml");
    std::fs::write(&config, without).unwrap();
    check_counts(&replay(&config, "without-host").numbers());
}

#[test]
fn two_replays_write_the_same_bytes() {
    let [one, other] = ["first", "second"].map(|name| replay(Path::new(CONFIG), name));
    assert!(std::fs::read(one.written).unwrap() == std::fs::read(other.written).unwrap());
    assert!(std::fs::read(one.stats).unwrap() == std::fs::read(other.stats).unwrap());
}

/// When frames were captured, by what they are: captured bytes and length on the wire.
fn times(capture: &Path) -> HashMap<(Vec<u8>, u32), VecDeque<u64>> {
    let mut times = HashMap::<_, VecDeque<_>>::new();
    let mut reader = Reader::open(capture).unwrap();
    while let Some(packet) = reader.next().unwrap() {
        times.entry((packet.data.to_vec(), packet.original_len)).or_default().push_back(packet.time_ns);
    }
    times
}

#[test]
fn nothing_leaves_before_it_came_or_twice() {
    let replayed = replay(Path::new(CONFIG), "departures");
    let mut arrivals = times(Path::new(CAPTURE));
    let (mut sent, mut delayed) = (0_u64, 0_u64);
    for (frame, departures) in times(&replayed.written) {
        let arrivals = arrivals.get_mut(&frame).expect("only what arrived leaves");
        for departure in departures {
            let arrival = arrivals.pop_front().expect("what arrived once leaves once");
            assert!(departure >= arrival, "left at {departure}, came at {arrival}");
            sent += 1;
            delayed += u64::from(departure - arrival > 1_000_000);
        }
    }
    assert_eq!(replayed.numbers()["totals"]["sent"], sent);
    assert!(delayed > 1_000, "limits of this config delay packets, but only {delayed} waited a millisecond");
}

/// The lines that tshark prints for the packets that `filter` lets through. `None` where it is not installed.
fn tshark(capture: &Path, filter: &str) -> Option<usize> {
    let mut command = Command::new("tshark");
    command.args(["-o", "ip.defragment:FALSE", "-r"]).arg(capture).args(["-Y", filter]);
    let output = command.output().ok()?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    let complaints: Vec<_> = complaints.lines().filter(|line| !line.starts_with("Running as user")).collect();
    assert!(output.status.success() && complaints.is_empty(), "{}: {complaints:?}", capture.display());
    Some(String::from_utf8_lossy(&output.stdout).lines().count())
}

#[test]
fn tshark_counts_the_same_and_reads_what_was_written() {
    let replayed = replay(Path::new(CONFIG), "for-tshark");
    for (id, [first, last], offered) in EXPECTED {
        for (port, offered) in ["dstport", "srcport"].into_iter().zip(offered) {
            let owned = |protocol| format!("{protocol}.{port} >= {first} && {protocol}.{port} <= {last}");
            let filter = format!("({} || {}) && !icmp && !icmpv6", owned("tcp"), owned("udp"));
            let Some(counted) = tshark(Path::new(CAPTURE), &filter) else {
                assert!(std::env::var_os("CI").is_none(), "CI compares with tshark: install it");
                return println!("not compared with tshark: it is not installed");
            };
            assert_eq!(counted as u64, offered, "{port} of {id}");
        }
    }
    assert_eq!(tshark(&replayed.written, "_ws.malformed"), Some(0));
    let written = tshark(&replayed.written, "").map(|lines| lines as u64);
    assert_eq!(written, replayed.numbers()["totals"]["sent"].as_u64());
}
