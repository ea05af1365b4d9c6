//! Snapshots in, lanes with their rates out.
//!
//! Rates are differences between two snapshots, divided by the time counted between them. The first snapshot, and the first
//! after portlane was started anew, is compared with its start: its rates are averages since then.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap, VecDeque};

use portlane_stats::counters::Volume;
use portlane_stats::lane::{LaneReport, Rate};
use portlane_stats::render::text;
use portlane_stats::snapshot::{ContainerReport, Snapshot};

use super::allowed::Ceils;

/// Rates that are remembered of each lane.
pub const HISTORY: usize = 60;

/// Which way packets go, as containers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// To the container.
    Ingress,
    /// From the container.
    Egress,
}

impl Direction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ingress, Self::Egress];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    /// This direction's of two things.
    pub(super) fn of<T>(self, ingress: T, egress: T) -> T {
        match self {
            Self::Ingress => ingress,
            Self::Egress => egress,
        }
    }
}

/// What makes a lane the same in two snapshots.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The container's id, as it was given.
    pub id: String,
    /// Its number; `None` of traffic that nobody owns.
    pub number: Option<u32>,
    /// Which of its lanes.
    pub direction: Direction,
}

/// One lane, and how fast it counts.
#[derive(Debug, Clone)]
pub struct Lane {
    /// Which lane.
    pub key: Key,
    /// What it is called, safe to print.
    pub name: String,
    /// The group that it is in, safe to print.
    pub group: Option<String>,
    /// Its report as it came.
    pub report: LaneReport,
    /// What was sent.
    pub sent: Rate,
    /// The most that it may send, bits per second, by its own ceil and those above; `None`: nothing limits it.
    pub allowed_bits_per_s: Option<u64>,
    /// Drops in ten seconds.
    pub drops_in_10_s: u64,
    /// Marks in ten seconds, for whichever reason.
    pub marks_in_10_s: u64,
    /// The rates of the last snapshots, bytes per second, the latest last: [`HISTORY`] at most.
    pub history: VecDeque<u64>,
}

impl Lane {
    /// Bits per second that were sent.
    #[must_use]
    pub fn bits_per_s(&self) -> u64 {
        self.sent.bytes_per_s.saturating_mul(8)
    }

    /// Thousandths of what it may send; `None` where nothing limits it.
    #[must_use]
    pub fn used_per_mille(&self) -> Option<u64> {
        let allowed = u128::from(self.allowed_bits_per_s?.max(1));
        u64::try_from(u128::from(self.bits_per_s()) * 1000 / allowed).ok()
    }
}

/// What is known of all lanes.
#[derive(Debug, Default)]
pub struct Model {
    /// Every lane of the last snapshot.
    pub lanes: Vec<Lane>,
    /// The time that rates are of, nanoseconds.
    pub elapsed_ns: u64,
    /// The last snapshot, without its lanes.
    pub last: Option<Snapshot>,
    tracks: HashMap<Key, Track>,
    round: u64,
}

/// What is remembered of a lane.
#[derive(Debug, Default)]
struct Track {
    counted: Counted,
    history: VecDeque<u64>,
    /// When it was last seen.
    round: u64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counted {
    sent: Volume,
    drops: u64,
    marks: u64,
}

impl Counted {
    fn of(lane: &LaneReport) -> Self {
        let marks = lane.ecn_marks.saturating_add(lane.ce_marks);
        Self { sent: lane.sent(), drops: lane.dropped().packets, marks }
    }
}

impl Model {
    /// Takes the next snapshot. One that was taken at the same time as the last changes nothing.
    pub fn observe(&mut self, mut snapshot: Snapshot) {
        let before = self.last.as_ref().map(|last| last.duration_ns);
        let since = match before.map(|before| snapshot.duration_ns.cmp(&before)) {
            Some(Ordering::Equal) => return,
            Some(Ordering::Greater) => before.unwrap_or(0),
            // It was started anew.
            Some(Ordering::Less) | None => {
                self.tracks.clear();
                0
            }
        };
        self.elapsed_ns = snapshot.duration_ns - since;
        self.round += 1;
        self.lanes.clear();
        for direction in Direction::ALL {
            let ceils = Ceils::of(&snapshot, direction);
            let owned =
                snapshot.with_leaving().map(|container| (Some(container), container_lane(container, direction)));
            let unmatched = direction.of(&snapshot.unmatched.ingress, &snapshot.unmatched.egress);
            let lanes: Vec<_> = owned.chain([(None, unmatched)]).collect();
            for (container, report) in lanes {
                let group = container.and_then(|container| container.group.as_deref());
                let allowed = ceils.allow(group, &report.limit);
                let lane = follow(&mut self.tracks, (self.round, self.elapsed_ns), container, direction, report);
                self.lanes.push(Lane { allowed_bits_per_s: allowed, ..lane });
            }
        }
        self.tracks.retain(|_, track| track.round == self.round);
        (snapshot.containers, snapshot.leaving) = (Vec::new(), Vec::new());
        self.last = Some(snapshot);
    }

    /// How many containers there are.
    #[must_use]
    pub fn containers(&self) -> usize {
        let ids: BTreeSet<_> = self.lanes.iter().filter_map(|lane| lane.key.number).collect();
        ids.len()
    }
}

fn container_lane(container: &ContainerReport, direction: Direction) -> &LaneReport {
    direction.of(&container.ingress, &container.egress)
}

/// The lane, by what it has counted since it was last seen.
fn follow(
    tracks: &mut HashMap<Key, Track>,
    (round, elapsed_ns): (u64, u64),
    container: Option<&ContainerReport>,
    direction: Direction,
    report: &LaneReport,
) -> Lane {
    let id = container.map_or("unmatched", |container| container.id.as_str());
    let key = Key { id: id.to_owned(), number: container.map(|container| container.number), direction };
    let (name, group) = (text::printable(id), container.and_then(|of| of.group.as_deref()).map(text::printable));
    let track = tracks.entry(key.clone()).or_default();
    let (before, now) = (track.counted, Counted::of(report));
    let sent = Volume {
        packets: now.sent.packets.saturating_sub(before.sent.packets),
        bytes: now.sent.bytes.saturating_sub(before.sent.bytes),
    };
    let sent = Rate::average(sent, elapsed_ns);
    if track.history.len() == HISTORY {
        track.history.pop_front();
    }
    track.history.push_back(sent.bytes_per_s);
    (track.counted, track.round) = (now, round);
    Lane {
        key,
        name,
        group,
        sent,
        allowed_bits_per_s: None,
        drops_in_10_s: in_10_s(now.drops.saturating_sub(before.drops), elapsed_ns),
        marks_in_10_s: in_10_s(now.marks.saturating_sub(before.marks), elapsed_ns),
        history: track.history.clone(),
        report: report.clone(),
    }
}

fn in_10_s(count: u64, elapsed_ns: u64) -> u64 {
    Rate::average(Volume { packets: count.saturating_mul(10), bytes: 0 }, elapsed_ns).packets_per_s
}
