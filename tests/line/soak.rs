//! Millions of packets through every kind of lane, with reloads, jams and a pool that runs short: what the far ends have counted
//! is what the line has.
//!
//! `make soak` asks for 10,000 million of them, `cargo test` for ten.

use std::io;
use std::panic::resume_unwind;
use std::thread;
use std::time::Instant;

use portlane::build;
use portlane::config::{self, Plan};
use portlane::line::{Line, Port};
use portlane::report::{self, Context};
use portlane_classify::{Arriving, Direction};
use portlane_rings::{Device, Frame, Held, Layout, Pool};
use portlane_shaper::{DropReason, Nanos};
use portlane_stats::lane::LaneReport;
use portlane_stats::snapshot::Snapshot;

use crate::ledger::{Ledger, is_long};
use crate::rig::{Kind, Rig, kind_of, lane, packet};

/// Packets that arrive.
fn packets() -> u64 {
    if is_long() { 10_000_000_000 } else { 10_000_000 }
}

const CONTAINERS: u16 = 8;

/// Containers, then what nobody owns, what is not IP, and what is malformed.
const KINDS: usize = MALFORMED + 1;
const FOREIGN: usize = CONTAINERS as usize;
const NOT_IP: usize = FOREIGN + 1;
const MALFORMED: usize = FOREIGN + 2;

fn kind(number: usize) -> Kind {
    match number {
        FOREIGN => Kind::Foreign,
        NOT_IP => Kind::NotIp,
        MALFORMED => Kind::Malformed,
        container => Kind::Container(u16::try_from(container).unwrap()),
    }
}

fn number(kind: Kind) -> usize {
    match kind {
        Kind::Container(number) => number.into(),
        Kind::Foreign => FOREIGN,
        Kind::NotIp => NOT_IP,
        Kind::Malformed => MALFORMED,
    }
}

/// The time from turn to turn, in which a batch of some 8 kB arrives at each end.
const PACE: Nanos = Nanos::from_micros(20);

/// Few enough for the queues to want more.
const FRAMES: u32 = 4_096;

/// Packets that a device takes before the far end has to fetch them.
const RING: usize = 256;

/// Of so many turns, at the last few the far end fetches nothing.
const ROUND: u32 = 1_024;
const JAMMED: u32 = 16;

/// Turns between two looks at the books, and two reloads.
const LOOK: u64 = 1 << 14;

/// Packets in the order of their arrival: kinds by their number, of which most go to the first container, and now and then a
/// full one.
fn sequence(direction: Direction) -> Vec<(usize, Vec<u8>)> {
    let kinds = [0, 0, 0, 1, 0, 0, 2, 0, 3, 0, 0, 4, 0, 5, 0, 0, 6, 0, 7, 0, 0, 8, 0, 0, 9, 0, 10];
    // A prime number of them: each comes at every place of a batch.
    let packets = (0..997_usize).map(|place| {
        let (kind_number, len) =
            (kinds[place % kinds.len()], if place.is_multiple_of(37) { 1_514 } else { 60 + place % 90 });
        let mut packet = packet(direction, kind(kind_number), len, place as u64);
        // Every other one may be marked (RFC 3168, section 5).
        packet[15] = if place.is_multiple_of(2) { 2 } else { 0 };
        (kind_number, packet)
    });
    packets.collect()
}

/// Every kind of lane, in a tree. In every other round rates are others, and groups and link too.
fn plan(round: u64) -> Plan {
    let odd = !round.is_multiple_of(2);
    let rate = if odd { "30mbit" } else { "80mbit" };
    let keys = [
        String::new(),
        format!(
            "group = \"tenant\"\negress = {{ rate = \"{rate}\" }}\ningress = {{ rate = \"{rate}\", ceil = \"90mbit\" }}\n"
        ),
        format!("egress = {{ kind = \"tbf\", rate = \"{rate}\", burst = \"16kb\", limit = \"64kb\" }}\n"),
        format!("egress = {{ rate = \"{rate}\" }}\nqueue = {{ kind = \"fifo\", limit = 500 }}\n"),
        format!("group = \"tenant\"\ningress = {{ rate = \"{rate}\" }}\nqueue = {{ kind = \"codel\", ecn = true }}\n"),
        "egress = { kind = \"tbf\", rate = \"20mbit\", burst = \"1514b\", latency = \"50ms\", peakrate = \"40mbit\", \
         mtu = \"1400b\" }\n"
            .to_owned(),
        "ingress = { rate = \"10mbit\", priority = 3 }\nqueue = { flows = 16, memory_limit = \"32kb\" }\n".to_owned(),
        format!("egress = {{ rate = \"5mbit\", ceil = \"{rate}\", weight = 2 }}\n"),
    ];
    let group = if odd {
        "[[group]]\nid = \"tenant\"\negress = { rate = \"90mbit\" }\n"
    } else {
        "[[group]]\nid = \"tenant\"\n"
    };
    let containers = Rig::containers(CONTAINERS, |number| keys[usize::from(number)].clone());
    let text = format!(
        "[link]\nrate = \"10gbit\"\nburst = \"1mb\"\n[defaults]\nqueue = {{ target = \"1ms\", interval = \"10ms\" }}\n{group}{containers}"
    );
    config::parse(&text, "soak").unwrap_or_else(|error| panic!("{error}"))
}

/// Packets and bytes of each kind.
#[derive(Clone, Copy, Default)]
struct Count([[u64; 2]; KINDS]);

impl Count {
    fn add(&mut self, kind: usize, bytes: usize) {
        self.0[kind][0] += 1;
        self.0[kind][1] += bytes as u64;
    }

    fn packets(&self) -> u64 {
        self.0.iter().map(|count| count[0]).sum()
    }
}

/// One end of the line: what arrives without end, and a far end that counts what it gets.
struct End {
    leaving: Direction,
    sequence: Vec<(usize, Vec<u8>)>,
    next: usize,
    is_open: bool,
    turns: u32,
    sent: Vec<Frame>,
    arrived: Count,
    left: Count,
    /// Packets for which there was no frame.
    missed: u64,
}

impl End {
    fn new(arriving: Direction) -> Self {
        let [ingress, egress] = Direction::ALL;
        Self {
            leaving: if arriving == ingress { egress } else { ingress },
            sequence: sequence(arriving),
            next: 0,
            is_open: true,
            turns: 0,
            sent: Vec::with_capacity(RING),
            arrived: Count::default(),
            left: Count::default(),
            missed: 0,
        }
    }
}

impl Device for End {
    fn receive(&mut self, pool: &mut Pool, batch: &mut Vec<Frame>, max: usize) -> io::Result<()> {
        for _ in 0..if self.is_open { max } else { 0 } {
            let (kind, packet) = &self.sequence[self.next];
            self.next = if self.next + 1 == self.sequence.len() { 0 } else { self.next + 1 };
            let Some(mut frame) = pool.take() else {
                self.missed += 1;
                continue;
            };
            pool.write(&mut frame, packet).unwrap();
            self.arrived.add(*kind, packet.len());
            batch.push(frame);
        }
        Ok(())
    }

    fn send(&mut self, frame: Frame) -> Result<(), Frame> {
        if self.sent.len() == RING {
            return Err(frame);
        }
        self.sent.push(frame);
        Ok(())
    }

    fn room(&mut self) -> usize {
        RING - self.sent.len()
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// The far end reads whose packets it gets.
    fn reclaim(&mut self, pool: &mut Pool) -> io::Result<()> {
        self.turns = (self.turns + 1) % ROUND;
        if self.turns >= ROUND - JAMMED {
            return Ok(());
        }
        for frame in self.sent.drain(..) {
            let bytes = pool.bytes(&frame);
            self.left.add(number(kind_of(self.leaving, bytes)), bytes.len());
            pool.put(frame);
        }
        Ok(())
    }

    fn held(&self) -> Held {
        Held { filling: 0, sending: u32::try_from(self.sent.len()).unwrap() }
    }
}

/// A line between two ends, and how far it is.
struct Soak {
    line: Line<End>,
    plan: Plan,
    now: Nanos,
    reloads: u64,
}

impl Soak {
    fn new(key: [u64; 2]) -> Self {
        let plan = plan(0);
        let pool = Pool::new(Layout { frames: FRAMES, frame_size: 2_112 }).unwrap();
        let [ingress, egress] = Direction::ALL;
        let ports = [(ingress, Arriving::Ingress), (egress, Arriving::Egress)];
        let ports = ports.map(|(direction, arriving)| Port { device: End::new(direction), arriving }).into();
        let line = build::line(&plan, pool, ports, [1, 0], key, Nanos::ZERO);
        Self { line, plan, now: Nanos::ZERO, reloads: 0 }
    }

    /// Packets that have arrived.
    fn arrived(&self) -> u64 {
        self.line.ports.iter().map(|port| port.device.arrived.packets()).sum()
    }

    fn turns(&mut self, count: u64) {
        for _ in 0..count {
            self.now = self.now + PACE;
            self.line.turn(self.now).unwrap();
        }
    }

    fn reload(&mut self) {
        self.reloads += 1;
        let new = plan(self.reloads);
        self.line.change(&self.plan, &new, self.now).unwrap();
        self.plan = new;
    }

    /// Every law that holds between two turns.
    fn look(&self) -> Snapshot {
        assert!(self.line.balances());
        let snapshot = report::snapshot(&self.line, &self.plan, &Context::default(), self.now);
        snapshot.check().unwrap_or_else(|slip| panic!("{slip}"));
        let ends = || self.line.ports.iter().map(|port| &port.device);
        let left: u64 = ends().map(|end| end.left.packets() + end.sent.len() as u64).sum();
        assert_eq!((snapshot.totals.received, snapshot.totals.sent), (self.arrived(), left));
        snapshot
    }

    /// Nothing arrives any more, and all that waits leaves.
    fn drain(&mut self) {
        self.line.ports.iter_mut().for_each(|port| port.device.is_open = false);
        while self.line.queued() > 0 || self.line.pool.free() < self.line.pool.total() {
            self.turns(u64::from(ROUND));
        }
    }
}

#[test]
fn a_soak_on_memory_devices_balances() {
    // Each core has a line of its own.
    let lines = if is_long() { thread::available_parallelism().map_or(1, |cores| cores.get() as u64) } else { 1 };
    let started = Instant::now();
    let soaks: Vec<_> = (1..=lines).map(|key| thread::spawn(move || soak([key, 2], packets() / lines))).collect();
    for (number, soak) in (1..).zip(soaks) {
        let soak = soak.join().unwrap_or_else(|panic| resume_unwind(panic));
        let (took, virtually) = (started.elapsed().as_secs_f64(), soak.now.0 / 1_000_000_000);
        let title = format!("soak on memory devices, {number} of {lines}: {took:.1} s, {virtually} s of virtual time");
        let mut ledger = Ledger::new(title);
        let unused = enter(&soak, &mut ledger);
        ledger.close();
        assert_eq!(unused, [""; 0], "every way that a packet can go was gone");
    }
}

/// Flows are hashed with the key, so that no two lines do the same.
fn soak(key: [u64; 2], packets: u64) -> Soak {
    let mut soak = Soak::new(key);
    while soak.arrived() < packets {
        soak.turns(LOOK);
        soak.look();
        soak.reload();
    }
    soak.drain();
    soak
}

/// Enters all that was counted, at rest. Returns what did not occur.
fn enter(soak: &Soak, ledger: &mut Ledger) -> Vec<&'static str> {
    let snapshot = soak.look();
    let totals = &snapshot.totals;
    ledger.entry("reloads", soak.reloads);
    ledger.entry("received", totals.received);
    ledger.entry("sent", totals.sent);
    let lanes = || snapshot.ingress().chain(snapshot.egress()).map(|(_, lane)| lane);
    let dropped_for = |reason| lanes().map(|lane: &LaneReport| lane.dropped_for(reason)).sum();
    for reason in DropReason::ALL {
        ledger.entry(format_args!("dropped, {}", reason.as_str()), dropped_for(reason));
    }
    for (reason, &count) in &totals.malformed {
        ledger.entry(format_args!("dropped, malformed, {reason}"), count);
    }
    let requeues = lanes().map(|lane| lane.bw_limit().requeues).sum();
    ledger.entry("requeues", requeues);
    let marks = lanes().map(|lane| lane.ecn_marks).sum();
    ledger.entry("ECN marks", marks);
    ledger.entry("no frame to receive into", soak.line.ports.iter().map(|port| port.device.missed).sum());
    ledger.part("laws");
    ledger.same("received = sent + dropped", totals.received, totals.sent + totals.dropped);
    ledger.same("all frames are free", soak.line.pool.total().into(), soak.line.pool.free().into());
    let [outer, inner] = [0, 1].map(|port| &soak.line.ports[port].device);
    let malformed = outer.arrived.0[MALFORMED][0] + inner.arrived.0[MALFORMED][0];
    ledger.same("malformed", malformed, totals.malformed.values().sum());
    for (direction, from, to) in [(Direction::Ingress, outer, inner), (Direction::Egress, inner, outer)] {
        enter_lanes(&snapshot, (direction, &from.arrived, &to.left), ledger);
    }
    let ways = DropReason::ALL.map(|reason| (reason.as_str(), dropped_for(reason)));
    ways.into_iter()
        .chain([("requeues", requeues), ("marks", marks)])
        .filter(|&(_, count)| count == 0)
        .map(|(way, _)| way)
        .collect()
}

/// What the far ends have counted of each lane, and what the lane has.
fn enter_lanes(snapshot: &Snapshot, (direction, arrived, left): (Direction, &Count, &Count), ledger: &mut Ledger) {
    ledger.part(format_args!(
        "{direction}, by far ends and lanes alike: packets and bytes offered, packets and bytes sent"
    ));
    let mut law = |name: &str, lane: &LaneReport, [arrived, left]: [[u64; 2]; 2]| {
        let (offered, sent) = (lane.offered(), lane.sent());
        let ours = [offered.packets, offered.bytes, sent.packets, sent.bytes];
        ledger.row(name, &[arrived[0], arrived[1], left[0], left[1]], &ours);
    };
    for container in 0..usize::from(CONTAINERS) {
        let (name, lane) = (&snapshot.containers[container].id, lane(snapshot, direction, container));
        law(name, lane, [arrived.0[container], left.0[container]]);
    }
    let nobodys = |count: &Count| {
        let [udp, other] = [FOREIGN, NOT_IP].map(|kind| count.0[kind]);
        [udp[0] + other[0], udp[1] + other[1]]
    };
    let lane = match direction {
        Direction::Ingress => &snapshot.unmatched.ingress,
        Direction::Egress => &snapshot.unmatched.egress,
    };
    law("unmatched", lane, [nobodys(arrived), nobodys(left)]);
}
