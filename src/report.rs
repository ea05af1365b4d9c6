//! From a line's counters to a [`Snapshot`] that can be printed.

use std::collections::{BTreeMap, HashMap};

use portlane_classify::{Direction, Malformed};
use portlane_rings::{Device, Frame, Losses};
use portlane_shaper::{GroupId, LaneId, LaneParams, Limited, Nanos, NodeId, Shape, Shaper};
use portlane_stats::histogram::LaneHistogram;
use portlane_stats::lane::{LaneReading, LaneReport, LimitedBy, Rate as Average};
use portlane_stats::live::{SocketReport, WorkerReport};
use portlane_stats::snapshot::{ContainerReport, Directions, GroupReport, Mode, NodeReport, Snapshot, Totals};

use crate::config::Plan;
use crate::line::Line;
use crate::line::places::Place;

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
    /// Frames by what the steering program has decided, for each interface.
    pub steering: BTreeMap<String, BTreeMap<String, u64>>,
    /// The AF_XDP sockets, by interface and queue.
    pub sockets: BTreeMap<String, SocketReport>,
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
    let reader = Reader { line, plan, context, now, positions: positions(line) };
    let groups = plan.groups.iter().zip(0..).map(|(group, number)| GroupReport {
        id: group.id.clone(),
        group: reader.group_name(group.group),
        ingress: reader.group(Direction::Ingress, number),
        egress: reader.group(Direction::Egress, number),
    });
    let containers = plan.containers.iter().zip(&line.places.containers);
    let containers = containers.map(|(of, &place)| reader.container(&of.id, place, &of.lanes));
    let leaving = line.places.leaving.iter().map(|one| reader.container(&one.id, one.place, &one.lanes));
    let nobody = Place { lane: line.places.unmatched, since: None };
    Snapshot {
        time_ns: now.0,
        duration_ns: (now - context.started).0,
        devices: context.devices.clone(),
        mode: context.modes.clone(),
        steering: context.steering.clone(),
        sockets: context.sockets.clone(),
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
    line: &'a Line<D>,
    plan: &'a Plan,
    context: &'a Context,
    now: Nanos,
    /// The position in the plan of each group of the shapers.
    positions: HashMap<GroupId, usize>,
}

fn positions<D>(line: &Line<D>) -> HashMap<GroupId, usize> {
    line.places.groups.iter().copied().zip(0..).collect()
}

impl<D: Device> Reader<'_, D> {
    fn totals(&self) -> Totals {
        let counters = &self.line.counters;
        let places = &self.line.places;
        let lanes = || self.line.shapers.iter().flat_map(|shaper| places.lanes().map(|id| shaper.counters(id)));
        let malformed = Malformed::ALL.iter().zip(counters.malformed).filter(|&(_, count)| count > 0);
        let dropped = lanes().map(|lane| lane.dropped_total().packets).sum::<u64>() + places.gone.dropped;
        let sent = lanes().map(|lane| lane.sent.packets).sum::<u64>() + places.gone.sent;
        let losses = self.context.losses;
        Totals {
            received: counters.received + losses.missed,
            sent: sent.saturating_sub(losses.unsent),
            dropped: dropped + counters.malformed.iter().sum::<u64>() + losses.missed + losses.unsent,
            queued: self.line.queued() as u64,
            unmatched: self.line.unmatched(),
            malformed: malformed.map(|(reason, count)| (reason.as_str().to_owned(), count)).collect(),
            missed: losses.missed,
            unsent: losses.unsent,
            backwards_timestamps: self.context.backwards_timestamps,
        }
    }

    fn shaper(&self, direction: Direction) -> &Shaper<Frame> {
        &self.line.shapers[direction.index()]
    }

    fn group_name(&self, group: Option<GroupId>) -> Option<String> {
        group.map(|GroupId(position)| self.plan.groups[position as usize].id.clone())
    }

    fn container(&self, id: &str, place: Place, [ingress, egress]: &[LaneParams; 2]) -> ContainerReport {
        ContainerReport {
            id: id.to_owned(),
            group: self.group_name(ingress.group),
            ingress: self.lane(Direction::Ingress, place, ingress),
            egress: self.lane(Direction::Egress, place, egress),
        }
    }

    fn lane(&self, direction: Direction, Place { lane: id, since }: Place, params: &LaneParams) -> LaneReport {
        let shaper = self.shaper(direction);
        let counters = shaper.counters(id);
        let elapsed = (self.now - since.unwrap_or(self.context.started)).0;
        LaneReport::new(LaneReading {
            counters: &counters,
            queued: shaper.backlog(id),
            sent_rate: Average::average(counters.sent, elapsed),
            dequeued_rate: Average::average(counters.dequeued, elapsed),
            sojourn: &self.line.sojourns(direction, id),
            limit: settings::limit(params),
            class: settings::class(&shaper.node(NodeId::Lane(id), self.now)),
            queue: settings::queue(shaper, id, &params.queue, self.now),
            limited_by: self.limited_by(direction, id),
        })
    }

    fn limited_by(&self, direction: Direction, id: LaneId) -> LimitedBy {
        match self.shaper(direction).limited_by(id, self.now) {
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
        self.inner(direction, NodeId::Link, self.plan.groups.len(), params.shape)
    }

    /// The group at a position of the plan.
    fn group(&self, direction: Direction, position: usize) -> NodeReport {
        let params = &self.plan.groups[position].params[direction.index()];
        self.inner(direction, NodeId::Group(self.line.places.groups[position]), position, params.shape)
    }

    fn inner(&self, direction: Direction, id: NodeId, position: usize, shape: Option<Shape>) -> NodeReport {
        let node = self.shaper(direction).node(id, self.now);
        NodeReport {
            limit: shape.map(settings::htb),
            sent_packets: node.sent.packets,
            sent_bytes: node.sent.bytes,
            class: settings::class(&node),
            former: self.line.places.former[position][direction.index()],
        }
    }
}
