//! Seeing frames: what is captured is what the counters say, and whoever reads slowly loses frames, not the worker time.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use portlane_stats::lane::LaneReport;
use portlane_stats::snapshot::Snapshot;

use crate::bench::{Bench, CLIENT, FREE, FREE_CONTAINER, NOBODYS, SERVER, SLOW};
use crate::control::request_of;
use crate::portlane::{Ended, PROGRAM, Portlane, eventually};
use crate::traffic::Flood;

/// A container whose queue is short, so that both its limits drop.
const SLOW_CONTAINER: &str = "[[container]]\nid = \"slow\"\nports = [\"8000-8099\"]\n\
    ingress = { rate = \"2mbit\" }\nqueue = { kind = \"codel\", limit = 60 }\n";

/// A capture that runs, and the file that it writes.
struct Running {
    portlane: Portlane,
    file: PathBuf,
}

impl Running {
    /// Starts one, and waits until it has begun: then there is a file.
    fn start(bench: &Bench, name: &str, options: &[&str]) -> Self {
        let file = bench.path(name);
        let portlane = spawn(bench, &file, options);
        let begun = || fs::metadata(&file).is_ok_and(|file| file.len() > 0);
        eventually(begun, || format!("it does not begin: {}", portlane.stderr()));
        Self { portlane, file }
    }

    fn ended(self) -> (Ended, PathBuf) {
        (self.portlane.ended(), self.file)
    }
}

fn spawn(bench: &Bench, file: &Path, options: &[&str]) -> Portlane {
    let (file, socket) = (file.to_str().unwrap(), bench.socket());
    let words = [PROGRAM, "capture", file, "--socket", socket.to_str().unwrap()];
    Portlane::command(&bench.line, &[&words, options].concat())
}

/// Comments, interfaces and directions of all frames, as tshark reads them.
fn read(file: &Path) -> Vec<[String; 3]> {
    let fields = ["frame.comment", "frame.interface_name", "frame.packet_flags_direction"];
    let fields = fields.iter().flat_map(|field| ["-e", field]);
    let output = Command::new("tshark").arg("-r").arg(file).args(["-T", "fields"]).args(fields).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |line: &str| {
        let mut words = line.split('\t').map(str::to_owned);
        [(); 3].map(|()| words.next().unwrap_or_default())
    };
    text.lines().map(line).collect()
}

fn value<'a>(comment: &'a str, name: &str) -> Option<&'a str> {
    comment.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
}

/// Frames by lane, direction, fate and reason.
fn fates(frames: &[[String; 3]]) -> BTreeMap<String, u64> {
    let mut fates = BTreeMap::new();
    for [comment, ..] in frames {
        let words = ["lane", "direction", "fate", "reason"].map(|name| value(comment, name).unwrap_or("-"));
        *fates.entry(words.join(" ")).or_default() += 1;
    }
    fates
}

/// What lanes have counted between two snapshots, by the same words.
fn counted(before: &Snapshot, after: &Snapshot) -> BTreeMap<String, u64> {
    let mut fates = BTreeMap::new();
    let mut lanes = |direction: &str, before: Vec<(&str, &LaneReport)>, after: Vec<(&str, &LaneReport)>| {
        for ((name, before), (_, after)) in before.into_iter().zip(after) {
            let sent = after.sent_packets - before.sent_packets;
            fates.insert(format!("{name} {direction} sent -"), sent);
            for (reason, count) in &after.drops {
                let dropped = count - before.dropped_for(*reason);
                fates.insert(format!("{name} {direction} dropped {}", reason.as_str()), dropped);
            }
        }
    };
    lanes("ingress", before.ingress().collect(), after.ingress().collect());
    lanes("egress", before.egress().collect(), after.egress().collect());
    fates.retain(|_, count| *count > 0);
    fates
}

pub(crate) fn fates_agree() {
    let bench = Bench::new();
    let _portlane = bench.start(&format!("{FREE_CONTAINER}{SLOW_CONTAINER}"));
    bench.ping();
    let before = bench.stats();
    let running = Running::start(&bench, "all.pcapng", &["--seconds", "4", "--snap", "60"]);
    let floods = [(SLOW, 3), (FREE, 1), (NOBODYS, 1)];
    let floods = floods.map(|(port, per_ms)| Flood::start(&bench.client, (SERVER, port), 500, per_ms));
    thread::sleep(Duration::from_millis(1_000));
    drop(floods);
    let (ended, file) = running.ended();
    let (after, _) = bench.settled_books();
    let frames = read(&file);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.ends_with(&format!("{} frames captured, none lost\n", frames.len())), "{ended:?}");
    let fates = fates(&frames);
    assert_eq!(fates, counted(&before, &after));
    assert!(fates["slow ingress dropped limit"] > 0 && fates["slow ingress dropped codel"] > 0, "{fates:?}");
    for [comment, interface, direction] in &frames {
        let is_sent = value(comment, "fate") == Some("sent");
        let goes_in = value(comment, "direction") == Some("ingress");
        // What is sent is seen where it leaves, and what is dropped where it came from.
        let direction = u32::from_str_radix(direction.trim_start_matches("0x"), 16).unwrap();
        assert_eq!(direction, if is_sent { 2 } else { 1 }, "{comment}");
        assert_eq!(interface, if is_sent == goes_in { "container" } else { "network" }, "{comment}");
        let waited: u64 = value(comment, "sojourn_ns").unwrap().parse().unwrap();
        assert!(value(comment, "lane") == Some("slow") || waited == 0, "{comment}");
    }
    let waited = |fate| {
        let of_fate = frames.iter().filter(|[comment, ..]| comment.contains(fate));
        of_fate.filter_map(|[comment, ..]| value(comment, "sojourn_ns")?.parse::<u64>().ok()).max().unwrap()
    };
    assert!(waited("fate=sent") > 5_000_000 && waited("reason=codel") > 5_000_000);
}

/// The last counts of each interface in a capture: frames seen, and lost.
fn statistics(file: &Path) -> [u64; 2] {
    let (bytes, mut at, mut counts) = (fs::read(file).unwrap(), 0, BTreeMap::new());
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    while at < bytes.len() {
        // An Interface Statistics Block: interface, time, then both options of 8 bytes.
        if word(at) == 5 {
            let count = |option: usize| u64::from_le_bytes(bytes[at + option..at + option + 8].try_into().unwrap());
            counts.insert(word(at + 8), [count(24), count(36)]);
        }
        at += word(at + 4) as usize;
    }
    counts.into_values().fold([0; 2], |sum, one| [sum[0] + one[0], sum[1] + one[1]])
}

pub(crate) fn slow_readers() {
    let bench = Bench::new();
    let _portlane = bench.start(FREE_CONTAINER);
    bench.ping();
    let before = bench.stats();
    let running = Running::start(&bench, "lossy.pcapng", &["--seconds", "4", "--buffer", "64kb"]);
    running.portlane.signal(Signal::SIGSTOP);
    let flood = Flood::start(&bench.client, (SERVER, FREE), 1_000, 4);
    thread::sleep(Duration::from_millis(1_500));
    drop(flood);
    running.portlane.signal(Signal::SIGCONT);
    let (ended, file) = running.ended();
    let (after, _) = bench.settled_books();
    let sent = after.totals.sent - before.totals.sent;
    assert_eq!(after.totals.dropped, after.totals.missed, "the line is not held up: {:?}", after.totals);
    let (written, [seen, lost]) = (read(&file).len() as u64, statistics(&file));
    println!("{sent} sent, {written} captured, {lost} lost");
    assert_eq!((seen, written + lost), (sent, sent));
    assert!(written > 100 && lost > 100, "{written} captured, {lost} lost");
    assert!(ended.stderr.contains(&format!("of {seen} frames, {lost} frames found no room")), "{ended:?}");
}

pub(crate) fn chosen() {
    let bench = Bench::new();
    let _portlane = bench.start(&format!("{FREE_CONTAINER}{SLOW_CONTAINER}"));
    let _floods = [
        Flood::start(&bench.client, (SERVER, SLOW), 500, 3),
        Flood::start(&bench.client, (SERVER, FREE), 500, 1),
        Flood::start(&bench.server, (CLIENT, NOBODYS), 500, 1),
    ];
    let capture = |name: &str, options: &[&str]| {
        let (ended, file) = Running::start(&bench, name, options).ended();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        (fates(&read(&file)), ended)
    };
    let (drops, _) = capture("drops.pcapng", &["--seconds", "1", "--drops"]);
    assert!(!drops.is_empty() && drops.keys().all(|fate| fate.starts_with("slow ingress dropped ")), "{drops:?}");
    let (free, ended) = capture("free.pcapng", &["--seconds", "60", "--container", "free", "--count", "50"]);
    assert_eq!(free, BTreeMap::from([("free ingress sent -".to_owned(), 50)]));
    assert!(ended.stderr.starts_with("as many frames were captured as were asked for\n"), "{ended:?}");
    let (nobodys, _) = capture("nobodys.pcapng", &["--seconds", "1", "--container", "unmatched"]);
    assert!(nobodys.keys().all(|fate| fate.starts_with("unmatched ")) && nobodys.len() <= 2, "{nobodys:?}");

    let refused = |options: &[&str], words: &[&str]| {
        let file = bench.path("refused.pcapng");
        spawn(&bench, &file, options).ended().assert_refused(words);
        assert!(!file.exists());
    };
    refused(&["--seconds", "1", "--container", "other"], &["there is no container \"other\""]);
    refused(&["--seconds", "1", "--buffer", "1gb"], &["268435456 at most"]);
    let running = Running::start(&bench, "first.pcapng", &["--seconds", "60"]);
    refused(&["--seconds", "1"], &["a capture is running"]);
    // Who is killed says nothing; the next may begin all the same.
    running.portlane.signal(Signal::SIGKILL);
    drop(running);
    let next = || {
        let file = bench.path("next.pcapng");
        spawn(&bench, &file, &["--seconds", "1"]).ended().code == Some(0)
    };
    eventually(next, || "the capture of who has gone goes on".to_owned());
    let interrupted = Running::start(&bench, "interrupted.pcapng", &["--seconds", "60"]);
    thread::sleep(Duration::from_millis(300));
    interrupted.portlane.signal(Signal::SIGINT);
    let (ended, file) = interrupted.ended();
    assert!(ended.code == Some(0) && ended.stderr.contains(" captured until it was stopped"), "{ended:?}");
    assert!(!read(&file).is_empty());
    assert_eq!(request_of(&bench.line, 9_660, "POST", "/capture").unwrap().0, 404, "the owner's alone");
    for (body, status, words) in [
        ("{", 400, "EOF while parsing"),
        ("{}", 422, "missing field `seconds`"),
        ("{\"seconds\": 1, \"size\": 2}", 422, "unknown field `size`"),
        ("{\"seconds\": 3601}", 400, "seconds: 3601: a capture lasts 1 to 3600"),
        (&"[".repeat(5_000), 413, "length limit exceeded"),
    ] {
        let answer = post(&bench.socket(), body);
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected) && answer.contains("application/problem+json"), "{body}: {answer}");
        assert!(answer.contains(words), "{answer}");
    }
}

/// What the control socket answers to a request for a capture with this body.
fn post(socket: &Path, body: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    let head = "POST /capture HTTP/1.1\r\nhost: portlane\r\ncontent-type: application/json\r\n";
    write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Frames that two workers saw are in the order of time, and none is missing.
pub(crate) fn two_workers() {
    let bench = Bench::with_queues(2);
    let portlane = bench.start(&format!("{FREE_CONTAINER}{SLOW_CONTAINER}"));
    bench.ping();
    let before = bench.stats();
    let running = Running::start(&bench, "two.pcapng", &["--seconds", "3"]);
    let floods = [SLOW, FREE, FREE + 1, FREE + 2].map(|port| Flood::start(&bench.client, (SERVER, port), 300, 1));
    thread::sleep(Duration::from_millis(1_000));
    drop(floods);
    let (ended, file) = running.ended();
    let (after, _) = bench.settled_books();
    assert!(ended.stderr.ends_with("none lost\n"), "{ended:?}");
    assert_eq!(fates(&read(&file)), counted(&before, &after), "{}", portlane.stdout());
    let output = Command::new("tshark").arg("-r").arg(&file).args(["-Y", "frame.time_delta < 0"]).output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
}
