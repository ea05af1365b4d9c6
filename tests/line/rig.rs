//! A line between two memory devices, and an observer who numbers what arrives and reads what leaves.

use std::collections::{BTreeMap, HashSet};

use portlane::build;
use portlane::config::{self, Container, Mode, Plan};
use portlane::line::change::Change;
use portlane::line::{Line, Port};
use portlane::report::{self, Context};
use portlane_classify::{Arriving, Direction};
use portlane_rings::{Layout, Memory, Pool};
use portlane_shaper::Nanos;
use portlane_stats::lane::LaneReport;
use portlane_stats::snapshot::Snapshot;

/// What a packet is, and so which lane it joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// Of the container with this position.
    Container(u16),
    /// UDP of nobody.
    Foreign,
    /// Not IP.
    NotIp,
    /// UDP whose IP header claims more than there is.
    Malformed,
}

/// Where the observer's number is in a packet: behind Ethernet, IPv4 and UDP headers.
const NUMBER: std::ops::Range<usize> = 42..50;

/// The shortest packet that has a number.
pub(crate) const SHORTEST: usize = 50;

/// The first container owns this port, the next one the next.
const FIRST_PORT: u16 = 1_000;

/// A line between two devices, and what was observed at both.
pub(crate) struct Rig {
    pub(crate) line: Line<Memory>,
    plan: Plan,
    pub(crate) now: Nanos,
    next_number: u64,
    arrived: u64,
    seen: HashSet<u64>,
    /// The number seen last, of each direction and kind.
    last: BTreeMap<(usize, Kind), u64>,
    /// Kinds that have changed lanes: packets of the old one and the new may change places.
    moved: HashSet<Kind>,
}

impl Rig {
    /// A line of `config`; its pool has `frames` frames, its devices have room to send `ring`.
    ///
    /// Port 0 is the network's: what arrives there goes to containers. Port 1 is the containers'.
    pub(crate) fn new(config: &str, frames: u32, ring: usize) -> Self {
        let plan = config::parse(config, "test").unwrap_or_else(|error| panic!("{error}"));
        let pool = Pool::new(Layout { frames, frame_size: 2_048 }).unwrap();
        let port = |arriving| Port { device: Memory::new(ring), arriving };
        let ports = vec![port(Arriving::Ingress), port(Arriving::Egress)];
        let line = build::line(&plan, pool, ports, [1, 0], [1, 2], Nanos::ZERO);
        Self {
            line,
            plan,
            now: Nanos::ZERO,
            next_number: 0,
            arrived: 0,
            seen: HashSet::new(),
            last: BTreeMap::new(),
            moved: HashSet::new(),
        }
    }

    /// Containers that own one port each, with the keys that `of` gives.
    pub(crate) fn containers(count: u16, of: impl Fn(u16) -> String) -> String {
        let container = |number| {
            let port = FIRST_PORT + number;
            format!("[[container]]\nid = \"c{number}\"\nports = [\"{port}\"]\n{}\n", of(number))
        };
        (0..count).map(container).collect()
    }

    /// The line gets another configuration; the containers are those of [`Rig::containers`], or some of them.
    pub(crate) fn change(&mut self, config: &str) -> Change {
        let mut new = config::parse(config, "test").unwrap_or_else(|error| panic!("{error}"));
        // What is shared changes no less, and no more, than what is the same.
        if self.next_number.is_multiple_of(2) {
            new.share(&self.plan);
        }
        let change = self.line.change(&self.plan, &new, self.now).unwrap();
        let kinds = |plan: &Plan| -> HashSet<Kind> {
            let first = |container: &Container| container.ports[0].first();
            plan.containers.iter().map(|container| Kind::Container(first(container) - FIRST_PORT)).collect()
        };
        self.moved.extend(kinds(&self.plan).symmetric_difference(&kinds(&new)));
        // Who is observed overtakes what waits since it was not.
        let modes = |plan: &Plan| -> HashSet<(Kind, Mode)> {
            let of = |container: &Container| (Kind::Container(container.ports[0].first() - FIRST_PORT), container.mode);
            let nobodys = [Kind::Foreign, Kind::NotIp].map(|kind| (kind, plan.mode));
            plan.containers.iter().map(|container| of(container)).chain(nobodys).collect()
        };
        self.moved.extend(modes(&self.plan).symmetric_difference(&modes(&new)).map(|&(kind, _)| kind));
        self.plan = new;
        change
    }

    /// A packet arrives; false if no frame is free to receive it.
    pub(crate) fn arrive(&mut self, direction: Direction, kind: Kind, len: usize) -> bool {
        let Some(mut frame) = self.line.pool.take() else { return false };
        let packet = packet(direction, kind, len, self.next_number);
        self.next_number += 1;
        self.arrived += 1;
        self.line.pool.write(&mut frame, &packet).unwrap();
        self.line.ports[direction.index()].device.arrive(frame);
        true
    }

    /// Time passes, and the line takes turns until nothing more moves.
    pub(crate) fn advance(&mut self, by: Nanos) {
        self.now = self.now + by;
        while self.turn() > 0 {}
    }

    pub(crate) fn turn(&mut self) -> usize {
        let moved = self.line.turn(self.now).unwrap();
        assert!(self.line.balances());
        moved
    }

    /// The far end of a direction takes at most `count` packets from the ring.
    pub(crate) fn take(&mut self, direction: Direction, count: usize) -> usize {
        for taken in 0..count {
            let Some(frame) = self.line.ports[1 - direction.index()].device.take_sent() else { return taken };
            let bytes = self.line.pool.bytes(&frame);
            let number = u64::from_be_bytes(bytes[NUMBER].try_into().unwrap());
            let kind = kind_of(direction, bytes);
            assert!(number < self.next_number && self.seen.insert(number), "packet {number} left twice");
            if let Some(before) = self.last.insert((direction.index(), kind), number) {
                assert!(
                    before < number || self.moved.contains(&kind),
                    "packets {before} and {number} of {kind:?} changed places"
                );
            }
            self.line.pool.put(frame);
        }
        count
    }

    /// Both far ends take all there is.
    pub(crate) fn take_all(&mut self) {
        for direction in Direction::ALL {
            self.take(direction, usize::MAX);
        }
    }

    /// Both far ends take all they can, and time runs on, until nothing waits.
    pub(crate) fn drain(&mut self) {
        while self.line.queued() > 0 || self.in_devices() > 0 {
            self.advance(Nanos::from_millis(1));
            self.take_all();
        }
    }

    /// Checks every law that holds at any time.
    pub(crate) fn check(&self) -> Snapshot {
        assert!(self.line.balances());
        let snapshot = report::snapshot(&self.line, &self.plan, &Context::default(), self.now);
        snapshot.check().unwrap_or_else(|slip| panic!("{slip}"));
        let totals = &snapshot.totals;
        let sending: u32 = self.line.ports.iter().map(|port| port.device.sent()).sum::<usize>().try_into().unwrap();
        let waiting = self.arrived - totals.received;
        assert_eq!(
            totals.sent,
            self.seen.len() as u64 + u64::from(sending),
            "what was sent was seen, or is on its way"
        );
        assert_eq!(self.in_devices(), waiting + u64::from(sending));
        snapshot
    }

    /// Frames that devices hold.
    fn in_devices(&self) -> u64 {
        use portlane_rings::Device;
        let held = self.line.ports.iter().map(|port| port.device.held());
        held.map(|held| u64::from(held.filling) + u64::from(held.sending)).sum()
    }
}

/// The report of a container's lane.
pub(crate) fn lane(snapshot: &Snapshot, direction: Direction, container: usize) -> &LaneReport {
    let container = &snapshot.containers[container];
    match direction {
        Direction::Ingress => &container.ingress,
        Direction::Egress => &container.egress,
    }
}

/// Ethernet's type for local experiments (IEEE 802).
const NOT_IP: u16 = 0x88b5;

/// A frame of the given kind and length, with a number in it.
pub(crate) fn packet(direction: Direction, kind: Kind, len: usize, number: u64) -> Vec<u8> {
    let len = len.max(SHORTEST);
    let own = match kind {
        Kind::Container(container) => FIRST_PORT + container,
        _ => 999,
    };
    let (source, destination) = match direction {
        Direction::Ingress => (1, own),
        Direction::Egress => (own, 1),
    };
    let udp_len = u16::try_from(len - 34).unwrap();
    let ip_len = if kind == Kind::Malformed { u16::MAX } else { udp_len + 20 };
    let ether_type: u16 = if kind == Kind::NotIp { NOT_IP } else { 0x0800 };
    let mut frame = vec![0; len];
    frame[12..14].copy_from_slice(&ether_type.to_be_bytes());
    frame[14] = 0x45;
    frame[16..18].copy_from_slice(&ip_len.to_be_bytes());
    (frame[22], frame[23]) = (64, 17);
    (frame[29], frame[33]) = (1, 2);
    frame[34..36].copy_from_slice(&source.to_be_bytes());
    frame[36..38].copy_from_slice(&destination.to_be_bytes());
    frame[38..40].copy_from_slice(&udp_len.to_be_bytes());
    frame[NUMBER].copy_from_slice(&number.to_be_bytes());
    frame
}

/// The kind of a packet that left: those of a kind are one flow, and keep their order.
pub(crate) fn kind_of(direction: Direction, frame: &[u8]) -> Kind {
    if frame[12..14] == NOT_IP.to_be_bytes() {
        return Kind::NotIp;
    }
    let place = if direction == Direction::Ingress { 36 } else { 34 };
    let port = u16::from_be_bytes([frame[place], frame[place + 1]]);
    port.checked_sub(FIRST_PORT).map_or(Kind::Foreign, Kind::Container)
}
