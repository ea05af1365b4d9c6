//! From a line's counters to a [`Snapshot`] that can be printed.

use std::collections::{BTreeMap, HashMap};

use portlane_classify::{Direction, Malformed};
use portlane_rings::{Device, Losses};
use portlane_shaper::{GroupId, LaneId, LaneParams, Limited, Nanos, NodeId, Shape};
use portlane_stats::histogram::LaneHistogram;
use portlane_stats::lane::{ClassReport, LaneReading, LaneReport, LimitedBy, Rate as Average};
use portlane_stats::live::{MemoryReport, SocketReport, WorkerReport};
use portlane_stats::snapshot::{
    ContainerReport, Directions, GroupReport, Identity, Mode, NodeReport, Snapshot, Totals,
};

use crate::config::Plan;
use crate::line::Line;
use crate::line::places::Place;
use crate::workers::Owners;

mod settings;

/// What a report says besides the counters.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// When counting began.
    pub started: Nanos,
    /// The interface that each direction leaves by.
    pub devices: Directions<String>,
    /// How each interface is attached.
    pub modes: BTreeMap<String, Mode>,
    /// Offloads that are off for the run, by interface.
    pub offloads: BTreeMap<String, Vec<String>>,
    /// Frames by what the steering program has decided, for each interface.
    pub steering: BTreeMap<String, BTreeMap<String, u64>>,
    /// The sockets, by interface and queue.
    pub sockets: BTreeMap<String, SocketReport>,
    /// The frames of live traffic.
    pub memory: Option<MemoryReport>,
    /// The workers.
    pub workers: Vec<WorkerReport>,
    /// Packets that the devices lost.
    pub losses: Losses,
    /// Timestamps held because they ran backwards.
    pub backwards_timestamps: u64,
}

/// Reads everything that `line` has counted, as of `now`.
#[must_use]
pub fn snapshot<D: Device>(line: &Line<D>, plan: &Plan, context: &Context, now: Nanos) -> Snapshot {
    snapshot_of_all(&[line], &Owners::assign(plan, 1), plan, context, now)
}

/// Reads everything that the lines of several workers have counted, as of `now`. What is on its way between them counts as
/// queued.
#[must_use]
pub fn snapshot_of_all<D: Device>(
    lines: &[&Line<D>],
    owners: &Owners,
    plan: &Plan,
    context: &Context,
    now: Nanos,
) -> Snapshot {
    let first = lines[0];
    let reader = Reader { lines, owners, plan, context, now, positions: positions(first) };
    let groups = plan.groups.iter().zip(0..).map(|(group, position)| GroupReport {
        id: group.id.clone(),
        number: first.places.groups[position as usize].0,
        group: reader.group_name(group.group),
        ingress: reader.group(Direction::Ingress, position),
        egress: reader.group(Direction::Egress, position),
    });
    let containers = plan.containers.iter().zip(&first.places.containers);
    let containers = containers
        .map(|(of, &place)| ContainerReport { mesos: of.mesos.clone(), ..reader.container(&of.id, place, &of.lanes) });
    let leaving = first.places.leaving.iter().map(|one| reader.container(&one.id, one.place, &one.lanes));
    let nobody = Place { lane: first.places.unmatched, since: first.places.unmatched_since };
    Snapshot {
        time_ns: now.0,
        duration_ns: (now - context.started).0,
        devices: context.devices.clone(),
        mode: context.modes.clone(),
        offloads: context.offloads.clone(),
        steering: context.steering.clone(),
        sockets: context.sockets.clone(),
        memory: context.memory,
        workers: context.workers.clone(),
        totals: reader.totals(),
        link: Directions { ingress: reader.link(Direction::Ingress), egress: reader.link(Direction::Egress) },
        groups: groups.collect(),
        containers: containers.collect(),
        unmatched: Directions {
            ingress: reader.lane(Direction::Ingress, nobody, &plan.unmatched),
            egress: reader.lane(Direction::Egress, nobody, &plan.unmatched),
        },
        leaving: leaving.collect(),
    }
}

/// The sojourn times of all lanes together.
#[must_use]
pub fn sojourns<D: Device>(line: &Line<D>) -> LaneHistogram {
    let each = |direction: Direction| line.places.lanes().map(move |lane| line.sojourns(direction, lane));
    LaneHistogram::merged(Direction::ALL.into_iter().flat_map(each))
}

struct Reader<'a, D> {
    lines: &'a [&'a Line<D>],
    owners: &'a Owners,
    plan: &'a Plan,
    context: &'a Context,
    now: Nanos,
    /// The position in the plan of each group of the shapers.
    positions: HashMap<GroupId, usize>,
}

fn positions<D>(line: &Line<D>) -> HashMap<GroupId, usize> {
    line.places.groups.iter().copied().zip(0..).collect()
}

impl<'a, D: Device> Reader<'a, D> {
    fn totals(&self) -> Totals {
        let of_lines = |count: fn(&Line<D>) -> u64| self.lines.iter().map(|line| count(line)).sum::<u64>();
        let of_lanes = |count: fn(&LaneFates) -> u64| -> u64 {
            let of_lane = |line: &Line<D>, direction, id| count(&LaneFates::read(line, direction, id));
            let of_line = |line: &Line<D>| -> u64 {
                let of = |direction| line.places.lanes().map(move |id| of_lane(line, direction, id)).sum::<u64>();
                Direction::ALL.into_iter().map(of).sum()
            };
            self.lines.iter().map(|line| of_line(line)).sum()
        };
        let malformed = Malformed::ALL.iter().map(|&reason| {
            (reason, self.lines.iter().map(|line| line.counters.malformed[reason as usize]).sum::<u64>())
        });
        let malformed: BTreeMap<_, _> = malformed
            .filter(|&(_, count)| count > 0)
            .map(|(reason, count)| (reason.as_str().to_owned(), count))
            .collect();
        let handoff = of_lines(|line| line.counters.handoff);
        let under_way = of_lines(|line| line.counters.handed_over) - of_lines(|line| line.counters.taken_over);
        let sent = of_lanes(|lane| lane.sent) + of_lines(|line| line.places.gone.sent);
        let losses = self.context.losses;
        let unsent = losses.unsent + of_lines(|line| line.counters.unsent);
        let by_lanes = of_lanes(|lane| lane.dropped) + of_lines(|line| line.places.gone.dropped);
        Totals {
            received: of_lines(|line| line.counters.received) + losses.missed + losses.too_long,
            sent: sent.saturating_sub(unsent),
            dropped: by_lanes + malformed.values().sum::<u64>() + handoff + losses.missed + losses.too_long + unsent,
            queued: of_lines(|line| line.queued() as u64) + under_way,
            unmatched: of_lines(Line::unmatched),
            malformed,
            handoff,
            missed: losses.missed,
            too_long: losses.too_long,
            unsent,
            backwards_timestamps: self.context.backwards_timestamps,
        }
    }

    /// The line of the worker who owns a lane.
    fn line(&self, LaneId(lane): LaneId) -> &Line<D> {
        match self.lines {
            [only] => only,
            lines => lines[self.owners.of_lane(lane)],
        }
    }

    /// The lines of other workers at which a lane has counted something: who owned it before.
    fn former_lines(&self, direction: Direction, id: LaneId) -> impl Iterator<Item = &Line<D>> {
        let owner = std::ptr::from_ref(self.line(id));
        let others = self.lines.iter().copied().filter(move |&line| !std::ptr::eq(line, owner));
        others.filter(move |line| line.shapers[direction.index()].counters(id).offered.packets > 0)
    }

    fn group_name(&self, group: Option<GroupId>) -> Option<String> {
        group.map(|GroupId(position)| self.plan.groups[position as usize].id.clone())
    }

    fn container(&self, id: &str, place: Place, [ingress, egress]: &[LaneParams; 2]) -> ContainerReport {
        ContainerReport {
            id: id.to_owned(),
            number: place.lane.0,
            group: self.group_name(ingress.group),
            mesos: Identity::default(),
            ingress: self.lane(Direction::Ingress, place, ingress),
            egress: self.lane(Direction::Egress, place, egress),
        }
    }

    fn lane(&self, direction: Direction, Place { lane: id, since }: Place, params: &LaneParams) -> LaneReport {
        let (line, shaper) = (self.line(id), &self.line(id).shapers[direction.index()]);
        let mut counters = shaper.counters(id);
        let mut queued = shaper.backlog(id);
        let mut class = settings::class(&shaper.node(NodeId::Lane(id), self.now));
        let mut sojourn = line.sojourns(direction, id);
        for former in self.former_lines(direction, id) {
            let shaper = &former.shapers[direction.index()];
            counters = counters.plus(&shaper.counters(id));
            queued = queued.plus(shaper.backlog(id));
            add_class(&mut class, &settings::class(&shaper.node(NodeId::Lane(id), self.now)));
            sojourn = LaneHistogram::merged([sojourn, former.sojourns(direction, id)]);
        }
        let elapsed = (self.now - since.unwrap_or(self.context.started)).0;
        let report = LaneReport::new(LaneReading {
            counters: &counters,
            queued,
            sent_rate: Average::average(counters.sent, elapsed),
            dequeued_rate: Average::average(counters.dequeued, elapsed),
            sojourn: &sojourn,
            limit: settings::limit(params),
            class,
            queue: settings::queue(shaper, id, &params.queue, self.now),
            limited_by: self.limited_by(direction, id),
        });
        let held_up = || self.lines.iter().map(|line| line.held_up(direction, id)).sum();
        if line.observes(id) { report.observed(&sojourn, held_up()) } else { report }
    }

    fn limited_by(&self, direction: Direction, id: LaneId) -> LimitedBy {
        match self.line(id).shapers[direction.index()].limited_by(id, self.now) {
            Limited::Nothing => LimitedBy::Nothing,
            Limited::Rate => LimitedBy::Rate,
            Limited::Ceil => LimitedBy::Ceil,
            Limited::Codel => LimitedBy::Codel,
            Limited::Node(NodeId::Group(group)) => {
                LimitedBy::Group(self.plan.groups[self.positions[&group]].id.clone())
            }
            Limited::Node(NodeId::Link | NodeId::Lane(_)) => LimitedBy::Link,
        }
    }

    fn link(&self, direction: Direction) -> NodeReport {
        let params = &self.plan.link.params[direction.index()];
        // Of a link with a rate, whoever has one lane has all.
        let owner = if self.lines.len() == 1 { 0 } else { self.owners.of_lane(self.lines[0].places.unmatched.0) };
        self.inner(direction, owner, |_| NodeId::Link, self.plan.groups.len(), params.shape)
    }

    /// The group at a position of the plan.
    fn group(&self, direction: Direction, position: u32) -> NodeReport {
        let params = &self.plan.groups[position as usize].params[direction.index()];
        let owner = if self.lines.len() == 1 { 0 } else { self.owners.of_group(position) };
        let id = |line: &Line<D>| NodeId::Group(line.places.groups[position as usize]);
        self.inner(direction, owner, id, position as usize, params.shape)
    }

    /// An inner node: its credit is that of its owner, its counts are those of all workers together. (Others than the owner
    /// count where lanes have changed owners; of a link without a rate, each counts its own.)
    fn inner(
        &self,
        direction: Direction,
        owner: usize,
        id: impl Fn(&Line<D>) -> NodeId,
        position: usize,
        shape: Option<Shape>,
    ) -> NodeReport {
        let reading = |line: &Line<D>| line.shapers[direction.index()].node(id(line), self.now);
        let (first, former) =
            (reading(self.lines[owner]), |line: &Line<D>| line.places.former[position][direction.index()]);
        let mut report = NodeReport {
            limit: shape.map(settings::htb),
            sent_packets: first.sent.packets,
            sent_bytes: first.sent.bytes,
            class: settings::class(&first),
            former: former(self.lines[owner]),
        };
        for (_, line) in self.lines.iter().enumerate().filter(|&(worker, _)| worker != owner) {
            let (other, former) = (reading(line), former(line));
            report.sent_packets += other.sent.packets;
            report.sent_bytes += other.sent.bytes;
            add_class(&mut report.class, &settings::class(&other));
            report.former = report.former.plus(former);
        }
        report
    }
}

/// Packets of a lane that have really been sent, or dropped.
struct LaneFates {
    sent: u64,
    dropped: u64,
}

impl LaneFates {
    /// Of an observed lane none is dropped, and all are sent that the device has taken.
    fn read<D: Device>(line: &Line<D>, direction: Direction, id: LaneId) -> Self {
        let counters = line.shapers[direction.index()].counters(id);
        if line.observes(id) {
            return Self { sent: counters.offered.packets - line.held_up(direction, id).packets, dropped: 0 };
        }
        Self { sent: counters.sent.packets, dropped: counters.dropped_total().packets }
    }
}

/// Adds what a node has counted at another worker.
fn add_class(class: &mut ClassReport, other: &ClassReport) {
    class.lended += other.lended;
    class.borrowed += other.borrowed;
    class.overlimits += other.overlimits;
}
