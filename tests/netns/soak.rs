//! Millions of packets, ordinary and hostile, at full rate: every one has one fate, no frame is lost, and what is limited keeps
//! its share.
//!
//! `make soak` asks for as many as a day has, `make test` for a moment of the same.

use std::thread;
use std::time::{Duration, Instant};

use etherparse::PacketBuilder;
use nix::sys::signal::Signal;
use portlane_stats::counters::DropReason;
use portlane_stats::lane::LaneReport;
use portlane_stats::live::FrameReport;
use portlane_stats::snapshot::Snapshot;

use crate::bench::{Bench, CLIENT, FREE, FREE_CONTAINER, NOBODYS, SERVER, SIDES, SLOW};
use crate::busy::assert_in_time;
use crate::hostile::hostile;
use crate::ledger::{Ledger, is_long};
use crate::offer::Offer;
use crate::portlane::Portlane;
use crate::traffic::{Echo, Flood};

/// Packets taken over veth.
fn packets() -> u64 {
    if is_long() { 100_000_000 } else { 100_000 }
}

/// How long the hostile have their say.
fn siege() -> Duration {
    Duration::from_secs(if is_long() { 60 } else { 3 })
}

/// More than any of them takes, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(1_800);

/// The limited container's rate, which it is offered many times over.
const LIMIT: u64 = 20_000_000;

/// What of it a limited container gets at least while others do their worst, and at most, in percent: at most what its bucket
/// had saved in addition.
const SHARE: std::ops::RangeInclusive<u64> = if cfg!(debug_assertions) { 90..=102 } else { 97..=102 };

/// How much more memory a run may have after it than at its beginning: pages of code and of tables that it first needs then.
const GROWTH_KB: u64 = 4_096;

fn containers() -> String {
    let limited = "{ rate = \"20mbit\", burst = \"64kb\" }";
    let shaped = "{ kind = \"tbf\", rate = \"50mbit\", burst = \"64kb\", limit = \"256kb\" }";
    format!(
        "{FREE_CONTAINER}[[container]]\nid = \"limited\"\nports = [\"{SLOW}\"]\ningress = {limited}\negress = {limited}\n\
         [[container]]\nid = \"shaped\"\nports = [\"8001\"]\ningress = {shaped}\nqueue = {{ kind = \"codel\" }}\n"
    )
}

/// A datagram from the client to the server; frames of less than 60 bytes are not Ethernet's.
fn datagram(hardware: [u8; 6], source: u16, port: u16, len: usize) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], hardware)
        .ipv4(CLIENT.octets(), SERVER.octets(), 64)
        .udp(source, port);
    let mut frame = Vec::new();
    builder.write(&mut frame, &vec![7; len - 42]).unwrap();
    frame
}

/// What a network carries: mostly small packets, of several flows, some of them nobody's, a few broken or not IP.
fn ordinary(bench: &Bench) -> Vec<Vec<u8>> {
    let hardware = bench.server_hardware();
    let one = |number: u16| {
        let (source, len) = (1_024 + number, [60, 60, 60, 128, 60, 60, 512, 60, 60, 1_514][usize::from(number % 10)]);
        let port = [FREE, FREE, FREE + 1, SLOW, FREE, 8_001, FREE, NOBODYS][usize::from(number % 8)];
        let mut frame = datagram(hardware, source, port, len);
        match number % 61 {
            // IPv4's length is beyond the end.
            59 => frame[16] = 0xff,
            // Local experiments (IEEE 802).
            60 => frame[12..14].copy_from_slice(&[0x88, 0xb5]),
            _ => {}
        }
        frame
    };
    (0..1_000).map(one).collect()
}

pub(crate) fn books_balance() {
    let bench = Bench::new();
    let before = Kernel::of(&bench);
    let portlane = bench.start(&containers());
    let started = Instant::now();
    let offer = Offer::start(&bench.client, "eth0", &ordinary(&bench));
    let back = Flood::start(&bench.server, (CLIENT, FREE), 500, 5);
    let taken = || {
        let totals = bench.stats().totals;
        totals.received - totals.missed
    };
    while taken() < packets() {
        assert!(started.elapsed() < PATIENCE, "after {PATIENCE:?} only {} packets were taken", taken());
        thread::sleep(Duration::from_millis(200));
    }
    back.stop();
    let offered = offer.stop();
    let took = started.elapsed();
    let books = Books { snapshot: bench.settled_books().0, kernel: Kernel::of(&bench).since(&before) };
    let mut ledger = Ledger::new(format!("soak over veth: {:.1} s", took.as_secs_f64()));
    ledger.part("client");
    ledger.entry("offered", offered);
    books.enter(&mut ledger);
    let [_, limited, shaped] = &books.snapshot.containers[..] else { panic!("three containers") };
    assert!(limited.ingress.sent_packets > 0 && shaped.ingress.sent_packets > 0, "{:?}", books.snapshot.containers);
    ledger.close();
    ends_well(&bench, portlane);
}

pub(crate) fn hostile_frames_on_a_wire() {
    let bench = Bench::new();
    let portlane = bench.start(&containers());
    withstands(&bench, portlane, "[wire]");
}

pub(crate) fn hostile_frames_on_a_shared_card() {
    let bench = Bench::shared();
    let portlane = bench.start_shared(&containers(), "\"all\"");
    withstands(&bench, portlane, "[nic]");
}

/// Hostile frames, of which every eighth is followed by one for the limited container.
fn withstands(bench: &Bench, portlane: Portlane, mode: &str) {
    let before = Kernel::of(bench);
    let hardware = bench.server_hardware();
    let owned = (0..).map(|flow| datagram(hardware, 1_024 + flow % 8, SLOW, 542));
    let frames: Vec<_> = hostile().chunks(8).zip(owned).flat_map(|(eight, one)| [eight, &[one]].concat()).collect();
    let offer = Offer::start(&bench.client, "eth0", &frames);
    // Buckets are spent, and all tables have been used.
    thread::sleep(Duration::from_secs(1));
    let (first, memory) = (bench.stats(), resident_kb(portlane.id()));
    thread::sleep(siege());
    let (last, grown) = (bench.stats(), resident_kb(portlane.id()).saturating_sub(memory));
    let offered = offer.stop();

    let sent = |snapshot: &Snapshot| snapshot.containers[1].ingress.sent_bytes;
    let rate = u128::from(sent(&last) - sent(&first)) * 8_000_000_000 / u128::from(last.time_ns - first.time_ns);
    let percent = u64::try_from(rate * 100 / u128::from(LIMIT)).unwrap();
    let mut ledger = Ledger::new(format!("hostile frames for {:?}, {mode}", siege()));
    ledger.part("client");
    ledger.entry("offered", offered);
    Books { snapshot: bench.settled_books().0, kernel: Kernel::of(bench).since(&before) }.enter(&mut ledger);
    ledger.part("owned traffic, and memory");
    ledger.entry("limited container's rate, % of its limit", percent);
    ledger.entry("memory grown, kB", grown);
    ledger.close();
    let told = || format!("the limited container got {percent} % of its limit");
    assert!(percent <= *SHARE.end(), "{}", told());
    assert_in_time(percent >= *SHARE.start(), told);
    assert!(grown <= GROWTH_KB, "{grown} kB more");
    assert_eq!(portlane.stderr(), "");
    Echo::new(bench, FREE + 2).ask(b"still there?");
    ends_well(bench, portlane);
}

fn ends_well(bench: &Bench, portlane: Portlane) {
    portlane.signal(Signal::SIGTERM);
    let ended = portlane.ended();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    bench.assert_untouched();
}

/// Memory in use, of a process.
fn resident_kb(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Packets received and sent, by the kernel's counters: the client's, both sides' of the line, the server's.
#[derive(Clone, Copy)]
struct Kernel([[u64; 2]; 4]);

impl Kernel {
    fn of(bench: &Bench) -> Self {
        let [network, container] = SIDES;
        let all = [(&bench.client, "eth0"), (&bench.line, network), (&bench.line, container), (&bench.server, "eth0")];
        Self(all.map(|(namespace, interface)| {
            let counters = namespace.counters(interface).unwrap();
            [counters.rx_packets, counters.tx_packets]
        }))
    }

    fn since(&self, before: &Self) -> Self {
        Self(std::array::from_fn(|place| std::array::from_fn(|way| self.0[place][way] - before.0[place][way])))
    }
}

/// What portlane has counted, and the kernel, since the beginning and at rest.
struct Books {
    snapshot: Snapshot,
    kernel: Kernel,
}

impl Books {
    fn enter(&self, ledger: &mut Ledger) {
        let Self { snapshot, kernel } = self;
        let totals = &snapshot.totals;
        let [client, network, container, server] = kernel.0;
        ledger.part("far ends, by the kernel's counters at both ends of their pairs: packets received, sent");
        for (name, far, [received, sent]) in [("client", client, network), ("server", server, container)] {
            ledger.row(name, &far, &[sent, received]);
        }
        ledger.part("portlane");
        ledger.entry("received", totals.received);
        ledger.entry("sent", totals.sent);
        ledger.entry("queued", totals.queued);
        let mut dropped = 0;
        for (reason, count) in self.dropped().into_iter().filter(|&(_, count)| count > 0) {
            ledger.entry(format_args!("dropped, {reason}"), count);
            dropped += count;
        }
        self.enter_frames(ledger);
        ledger.part("laws");
        ledger.same("received = sent + dropped + queued", totals.received, totals.sent + dropped + totals.queued);
        ledger.same("dropped, by reason", totals.dropped, dropped);
        self.enter_exchange(ledger);
    }

    /// What came from the kernel, and what went there.
    fn enter_exchange(&self, ledger: &mut Ledger) {
        let Self { snapshot, kernel: Kernel([_, network, container, _]) } = self;
        let totals = &snapshot.totals;
        if snapshot.steering.is_empty() {
            ledger.same("all that the kernel received is", totals.received, network[0] + container[0]);
            ledger.same("all that the kernel sent was", totals.sent, network[1] + container[1]);
            return;
        }
        // The host sends, too: answers to hosts and to containers' questions.
        for (side, received) in [(SIDES[0], network[0]), (SIDES[1], container[0])] {
            let judged = snapshot.steering[side].values().sum();
            ledger.same(format_args!("all that {side} received is judged"), received, judged);
        }
        let owned = SIDES.map(|side| snapshot.steering[side]["owned"]).iter().sum();
        ledger.same("all that is owned is received", totals.received, owned);
    }

    /// All that was dropped, where that was counted.
    fn dropped(&self) -> Vec<(String, u64)> {
        let Self { snapshot, .. } = self;
        let lanes = || snapshot.ingress().chain(snapshot.egress()).map(|(_, lane)| lane);
        let of = |reason| lanes().map(|lane: &LaneReport| lane.dropped_for(reason)).sum();
        let mut dropped: Vec<_> =
            DropReason::ALL.into_iter().map(|reason| (reason.as_str().to_owned(), of(reason))).collect();
        let totals = &snapshot.totals;
        dropped.extend(totals.malformed.iter().map(|(reason, &count)| (format!("malformed, {reason}"), count)));
        dropped.extend([
            ("missed".to_owned(), totals.missed),
            ("unsent".to_owned(), totals.unsent),
            ("handoff".to_owned(), totals.handoff),
        ]);
        dropped
    }

    fn enter_frames(&self, ledger: &mut Ledger) {
        ledger.part("frames");
        let FrameReport { total, free, filling, sending, queued } = self.snapshot.workers[0].frames;
        for (what, count) in [("free", free), ("filling", filling), ("sending", sending), ("queued", queued)] {
            ledger.entry(what, u64::from(count));
        }
        ledger.same("all frames are somewhere", u64::from(total), u64::from(free + filling + sending + queued));
        for (name, socket) in &self.snapshot.sockets {
            let ours = socket.rx_invalid_descs + socket.tx_invalid_descs + socket.strays;
            ledger.same(format_args!("mistakes of {name}"), 0, ours);
        }
    }
}
