//! From a line's counters to a [`Snapshot`] that can be printed.

use std::collections::{BTreeMap, HashMap};

use portlane_classify::{Direction, Malformed};
use portlane_rings::{Device, Losses};
use portlane_shaper::{GroupId, LaneId, LaneParams, Limited, Nanos, NodeId, Shape};
use portlane_stats::histogram::LaneHistogram;
use portlane_stats::lane::{ClassReport, LaneReading, LaneReport, LimitedBy, Rate as Average};
use portlane_stats::live::{AttachedReport, InterfaceReport, MemoryReport, SocketReport, WorkerReport};
use portlane_stats::snapshot::{
    ContainerReport, Directions, GroupReport, Identity, Mode, NodeReport, Ports, Snapshot, Totals,
};

use crate::attach::names;
use crate::config::{Container, Plan};
use crate::line::Line;
use crate::line::places::{Place, Places};
use crate::reading::Reading;
use crate::workers::Owners;

mod settings;

/// Verdicts upon frames of an attached container that then are dropped, and that its interface does not count as such.
const STOPPED: [&str; 9] = [
    "foreign_port",
    "foreign_address",
    "without_ports",
    "other_protocol",
    "other_queue",
    "malformed",
    "lost_fragment",
    "not_heard",
    "over_limit",
];

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
    /// The interfaces of attached containers, by name.
    pub attached: BTreeMap<String, AttachedReport>,
    /// What the kernel counts at the interfaces of attached containers, by the names of the host's ends.
    pub interfaces: BTreeMap<String, InterfaceReport>,
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
    let readings: Vec<_> = lines.iter().map(|line| Reading::of(line, now)).collect();
    make(&readings, owners, plan, context)
}

/// Makes a report of what all workers have copied, each at its time.
///
/// # Panics
///
/// If there is none, or one is not complete, or of another plan.
#[must_use]
pub fn make(readings: &[Reading], owners: &Owners, plan: &Plan, context: &Context) -> Snapshot {
    let places = readings[0].places();
    let now = readings.iter().map(|reading| reading.now).max().unwrap_or_default();
    let maker = Maker { readings, owners, plan, context, now, positions: positions(places) };
    let groups = plan.groups.iter().enumerate().map(|(position, group)| GroupReport {
        id: group.id.clone(),
        number: places.groups[position].0,
        group: maker.group_name(group.group),
        ingress: maker.group(Direction::Ingress, position),
        egress: maker.group(Direction::Egress, position),
    });
    // The order of `Places::lanes`.
    let containers = plan.containers.iter().zip(&places.containers).enumerate();
    let containers = containers.map(|(position, (of, &place))| ContainerReport {
        mesos: of.mesos.clone(),
        ephemeral_ports: of.block(plan.added.pool).map(|block| Ports { begin: block.first(), end: block.last() }),
        interface: maker.interface(of),
        ..maker.container(&of.id, position, place, &of.lanes)
    });
    let nobodys = places.containers.len();
    let leaving = places.leaving.iter().zip(nobodys + 1..);
    let leaving = leaving.map(|(one, position)| maker.container(&one.id, position, one.place, &one.lanes));
    let nobody = Place { lane: places.unmatched, since: places.unmatched_since };
    Snapshot {
        time_ns: now.0,
        duration_ns: (now - context.started).0,
        slices: readings.iter().map(|reading| reading.slices).max().unwrap_or(0),
        devices: context.devices.clone(),
        mode: context.modes.clone(),
        offloads: context.offloads.clone(),
        steering: context.steering.clone(),
        attached: context.attached.clone(),
        sockets: context.sockets.clone(),
        memory: context.memory,
        workers: context.workers.clone(),
        totals: maker.totals(),
        gone: readings.iter().map(|reading| reading.places().gone).sum(),
        link: Directions { ingress: maker.link(Direction::Ingress), egress: maker.link(Direction::Egress) },
        groups: groups.collect(),
        containers: containers.collect(),
        unmatched: Directions {
            ingress: maker.lane(Direction::Ingress, nobodys, nobody, &plan.unmatched),
            egress: maker.lane(Direction::Egress, nobodys, nobody, &plan.unmatched),
        },
        leaving: leaving.collect(),
        // Who serves it knows.
        meters: Vec::new(),
        meter_delivery: None,
        netstat: BTreeMap::new(),
        wire_lost_packets: 0,
        flows: None,
    }
}

/// The sojourn times of all lanes together.
#[must_use]
pub fn sojourns<D: Device>(line: &Line<D>) -> LaneHistogram {
    let each = |direction: Direction| line.places.lanes().map(move |lane| line.sojourns(direction, lane));
    LaneHistogram::merged(Direction::ALL.into_iter().flat_map(each))
}

struct Maker<'a> {
    readings: &'a [Reading],
    owners: &'a Owners,
    plan: &'a Plan,
    context: &'a Context,
    now: Nanos,
    /// The position in the plan of each group of the shapers.
    positions: HashMap<GroupId, usize>,
}

fn positions(places: &Places) -> HashMap<GroupId, usize> {
    places.groups.iter().copied().zip(0..).collect()
}

impl<'a> Maker<'a> {
    fn totals(&self) -> Totals {
        let sum = |count: fn(&Reading) -> u64| self.readings.iter().map(count).sum::<u64>();
        let malformed = Malformed::ALL.iter().map(|&reason| {
            (reason, self.readings.iter().map(|reading| reading.counters.malformed[reason as usize]).sum::<u64>())
        });
        let malformed: BTreeMap<_, _> = malformed
            .filter(|&(_, count)| count > 0)
            .map(|(reason, count)| (reason.as_str().to_owned(), count))
            .collect();
        let (handed, taken) = (sum(|of| of.counters.handed_over), sum(|of| of.counters.taken_over));
        // A worker that was read later has taken over what the other had not yet received when it was read.
        let (under_way, ahead) = (handed.saturating_sub(taken), taken.saturating_sub(handed));
        let handoff = sum(|of| of.counters.handoff);
        let losses = self.context.losses;
        // Devices lose what they had taken, and do not take what an observed lane sends too fast.
        let unsent = losses.unsent + sum(|of| of.counters.unsent);
        Totals {
            received: sum(|of| of.counters.received) + ahead + losses.missed + losses.too_long,
            sent: sum(|of| of.counters.sent).saturating_sub(losses.unsent),
            dropped: sum(|of| of.counters.dropped)
                + malformed.values().sum::<u64>()
                + handoff
                + losses.missed
                + losses.too_long
                + unsent,
            queued: sum(|of| of.queued) + under_way,
            unmatched: sum(Reading::unmatched),
            malformed,
            handoff,
            missed: losses.missed,
            too_long: losses.too_long,
            unsent,
            backwards_timestamps: self.context.backwards_timestamps,
        }
    }

    /// What the worker who owns a lane has read.
    fn owners(&self, LaneId(lane): LaneId) -> &'a Reading {
        match self.readings {
            [only] => only,
            readings => &readings[self.owners.of_lane(lane)],
        }
    }

    /// What others have read, at whom a lane has counted something: who owned it before.
    fn former(&self, direction: Direction, position: usize, id: LaneId) -> impl Iterator<Item = &'a Reading> {
        let owner = std::ptr::from_ref(self.owners(id));
        let others = self.readings.iter().filter(move |&reading| !std::ptr::eq(reading, owner));
        others.filter(move |reading| reading.lane(direction, position).counters.offered.packets > 0)
    }

    fn group_name(&self, group: Option<GroupId>) -> Option<String> {
        group.map(|GroupId(position)| self.plan.groups[position as usize].id.clone())
    }

    fn container(
        &self,
        id: &str,
        position: usize,
        place: Place,
        [ingress, egress]: &[LaneParams; 2],
    ) -> ContainerReport {
        ContainerReport {
            id: id.to_owned(),
            number: place.lane.0,
            group: self.group_name(ingress.group),
            mesos: Identity::default(),
            ephemeral_ports: None,
            interface: None,
            ingress: self.lane(Direction::Ingress, position, place, ingress),
            egress: self.lane(Direction::Egress, position, place, egress),
        }
    }

    /// What is counted at a container's own interface, what the kernel's program stopped there included.
    fn interface(&self, of: &Container) -> Option<InterfaceReport> {
        let name = of.netns.as_ref().map(|_| names::container(&of.id))?;
        let mut interface = *self.context.interfaces.get(&name)?;
        let verdicts = self.context.steering.get(&name).into_iter().flatten();
        interface.tx.dropped +=
            verdicts.filter(|(verdict, _)| STOPPED.contains(&verdict.as_str())).map(|(_, frames)| frames).sum::<u64>();
        Some(interface)
    }

    /// The lane at a position of [`Places::lanes`].
    fn lane(&self, direction: Direction, position: usize, place: Place, params: &LaneParams) -> LaneReport {
        let reading = self.owners(place.lane);
        let lane = reading.lane(direction, position);
        let (mut counters, mut queued) = (lane.counters, lane.queued);
        let mut class = settings::class(&lane.class);
        let mut sojourn = reading.sojourns(lane);
        for former in self.former(direction, position, place.lane) {
            let lane = former.lane(direction, position);
            counters = counters.plus(&lane.counters);
            queued = queued.plus(lane.queued);
            add_class(&mut class, &settings::class(&lane.class));
            sojourn = LaneHistogram::merged([sojourn, former.sojourns(lane)]);
        }
        let elapsed = (self.now - place.since.unwrap_or(self.context.started)).0;
        let report = LaneReport::new(LaneReading {
            counters: &counters,
            queued,
            sent_rate: Average::average(counters.sent, elapsed),
            dequeued_rate: Average::average(counters.dequeued, elapsed),
            sojourn: &sojourn,
            limit: settings::limit(params),
            class,
            queue: settings::queue(reading, lane, &params.queue, reading.now),
            limited_by: self.limited_by(lane.limited),
        });
        let held_up = || self.readings.iter().map(|reading| reading.lane(direction, position).held_up).sum();
        if lane.is_observed { report.observed(&sojourn, held_up()) } else { report }
    }

    fn limited_by(&self, limited: Limited) -> LimitedBy {
        match limited {
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
        let unmatched = self.readings[0].places().unmatched;
        let owner = if self.readings.len() == 1 { 0 } else { self.owners.of_lane(unmatched.0) };
        self.inner(direction, owner, self.plan.groups.len(), params.shape)
    }

    /// The group at a position of the plan.
    fn group(&self, direction: Direction, position: usize) -> NodeReport {
        let params = &self.plan.groups[position].params[direction.index()];
        let number = u32::try_from(position).unwrap_or(u32::MAX);
        let owner = if self.readings.len() == 1 { 0 } else { self.owners.of_group(number) };
        self.inner(direction, owner, position, params.shape)
    }

    /// An inner node, by its position: its credit is that of its owner, its counts are those of all workers together. (Others
    /// than the owner count where lanes have changed owners; of a link without a rate, each counts its own.)
    fn inner(&self, direction: Direction, owner: usize, position: usize, shape: Option<Shape>) -> NodeReport {
        let reading = |reading: &'a Reading| reading.node(direction, position);
        let former = |reading: &Reading| reading.places().former[position][direction.index()];
        let first = reading(&self.readings[owner]);
        let mut report = NodeReport {
            limit: shape.map(settings::htb),
            sent_packets: first.sent.packets,
            sent_bytes: first.sent.bytes,
            class: settings::class(first),
            former: former(&self.readings[owner]),
        };
        for (_, other) in self.readings.iter().enumerate().filter(|&(worker, _)| worker != owner) {
            let (node, former) = (reading(other), former(other));
            report.sent_packets += node.sent.packets;
            report.sent_bytes += node.sent.bytes;
            add_class(&mut report.class, &settings::class(node));
            report.former = report.former.plus(former);
        }
        report
    }
}

/// Adds what a node has counted at another worker.
fn add_class(class: &mut ClassReport, other: &ClassReport) {
    class.lended += other.lended;
    class.borrowed += other.borrowed;
    class.overlimits += other.overlimits;
}
