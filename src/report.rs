//! From a line's counters to a [`Snapshot`] that can be printed.

use std::collections::BTreeMap;

use portlane_classify::{Direction, Malformed};
use portlane_rings::{Device, Frame, Losses};
use portlane_shaper::{GroupId, LaneId, LaneParams, Limited, Nanos, NodeId, Shape, Shaper};
use portlane_stats::counters::LaneCounters;
use portlane_stats::histogram::LaneHistogram;
use portlane_stats::lane::{LaneReading, LaneReport, LimitedBy, Rate as Average};
use portlane_stats::snapshot::{ContainerReport, Directions, GroupReport, Mode, NodeReport, Snapshot, Totals};

use crate::config::Plan;
use crate::line::Line;
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
    /// Frames by what the steering program has decided, for each interface.
    pub steering: BTreeMap<String, BTreeMap<String, u64>>,
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
    let reader = Reader { lines, owners, plan, context, now };
    let groups = plan.groups.iter().zip(0..).map(|(group, number)| GroupReport {
        id: group.id.clone(),
        group: reader.group_name(group.group),
        ingress: reader.group(Direction::Ingress, number),
        egress: reader.group(Direction::Egress, number),
    });
    let containers = plan.containers.iter().zip(0..).map(|(container, lane)| ContainerReport {
        id: container.id.clone(),
        group: reader.group_name(container.group),
        ingress: reader.lane(Direction::Ingress, lane, &container.lanes[Direction::Ingress.index()]),
        egress: reader.lane(Direction::Egress, lane, &container.lanes[Direction::Egress.index()]),
    });
    let nobody = plan.owners.unmatched();
    Snapshot {
        time_ns: now.0,
        duration_ns: (now - context.started).0,
        devices: context.devices.clone(),
        mode: context.modes.clone(),
        steering: context.steering.clone(),
        totals: reader.totals(),
        link: Directions { ingress: reader.link(Direction::Ingress), egress: reader.link(Direction::Egress) },
        groups: groups.collect(),
        containers: containers.collect(),
        unmatched: Directions {
            ingress: reader.lane(Direction::Ingress, nobody, &plan.unmatched),
            egress: reader.lane(Direction::Egress, nobody, &plan.unmatched),
        },
    }
}

/// The sojourn times of all lanes together.
#[must_use]
pub fn sojourns<D: Device>(line: &Line<D>) -> LaneHistogram {
    let lanes = |direction: Direction| (0..).map(LaneId).take(line.shapers[direction.index()].lanes());
    let each = |direction: Direction| lanes(direction).map(move |lane| line.sojourns(direction, lane));
    LaneHistogram::merged(Direction::ALL.into_iter().flat_map(each))
}

struct Reader<'a, D> {
    lines: &'a [&'a Line<D>],
    owners: &'a Owners,
    plan: &'a Plan,
    context: &'a Context,
    now: Nanos,
}

impl<'a, D: Device> Reader<'a, D> {
    fn totals(&self) -> Totals {
        let of_lines = |count: fn(&Line<D>) -> u64| self.lines.iter().map(|line| count(line)).sum::<u64>();
        let of_lanes = |count: fn(&LaneCounters) -> u64| -> u64 {
            let shapers = self.lines.iter().flat_map(|line| &line.shapers);
            let lanes =
                |shaper: &'a Shaper<Frame>| (0..).map(LaneId).take(shaper.lanes()).map(|id| shaper.counters(id));
            shapers.flat_map(lanes).map(|lane| count(&lane)).sum()
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
        let losses = self.context.losses;
        let by_lanes = of_lanes(|lane| lane.dropped_total().packets);
        Totals {
            received: of_lines(|line| line.counters.received) + losses.missed,
            sent: of_lanes(|lane| lane.sent.packets).saturating_sub(losses.unsent),
            dropped: by_lanes + malformed.values().sum::<u64>() + handoff + losses.missed + losses.unsent,
            queued: of_lines(|line| line.queued() as u64) + under_way,
            unmatched: of_lines(Line::unmatched),
            malformed,
            handoff,
            missed: losses.missed,
            unsent: losses.unsent,
            backwards_timestamps: self.context.backwards_timestamps,
        }
    }

    /// The line of the worker who owns a lane.
    fn line(&self, lane: LaneId) -> &Line<D> {
        self.lines[self.owners.of_lane(lane.0)]
    }

    fn group_name(&self, group: Option<GroupId>) -> Option<String> {
        group.map(|GroupId(position)| self.plan.groups[position as usize].id.clone())
    }

    fn lane(&self, direction: Direction, lane: u32, params: &LaneParams) -> LaneReport {
        let id = LaneId(lane);
        let (line, shaper) = (self.line(id), &self.line(id).shapers[direction.index()]);
        let counters = shaper.counters(id);
        let elapsed = (self.now - self.context.started).0;
        LaneReport::new(LaneReading {
            counters: &counters,
            queued: shaper.backlog(id),
            sent_rate: Average::average(counters.sent, elapsed),
            dequeued_rate: Average::average(counters.dequeued, elapsed),
            sojourn: &line.sojourns(direction, id),
            limit: settings::limit(params),
            class: settings::class(&shaper.node(NodeId::Lane(id), self.now)),
            queue: settings::queue(shaper, id, &params.queue, self.now),
            limited_by: self.limited_by(direction, id),
        })
    }

    fn limited_by(&self, direction: Direction, id: LaneId) -> LimitedBy {
        match self.line(id).shapers[direction.index()].limited_by(id, self.now) {
            Limited::Nothing => LimitedBy::Nothing,
            Limited::Rate => LimitedBy::Rate,
            Limited::Ceil => LimitedBy::Ceil,
            Limited::Codel => LimitedBy::Codel,
            Limited::Node(NodeId::Group(group)) => LimitedBy::Group(self.plan.groups[group.0 as usize].id.clone()),
            Limited::Node(NodeId::Link | NodeId::Lane(_)) => LimitedBy::Link,
        }
    }

    fn link(&self, direction: Direction) -> NodeReport {
        let params = &self.plan.link.params[direction.index()];
        let mut parts = self.lines.iter().map(|line| self.inner(line, direction, NodeId::Link, params.shape));
        let first = parts.next().expect("there is a worker");
        // Of a link with a rate all but the first are zero.
        parts.fold(first, |mut sum, part| {
            sum.sent_packets += part.sent_packets;
            sum.sent_bytes += part.sent_bytes;
            sum.class.lended += part.class.lended;
            sum.class.borrowed += part.class.borrowed;
            sum
        })
    }

    fn group(&self, direction: Direction, group: u32) -> NodeReport {
        let params = &self.plan.groups[group as usize].params[direction.index()];
        let line = self.lines[self.owners.of_group(group)];
        self.inner(line, direction, NodeId::Group(GroupId(group)), params.shape)
    }

    fn inner(&self, line: &Line<D>, direction: Direction, id: NodeId, shape: Option<Shape>) -> NodeReport {
        let node = line.shapers[direction.index()].node(id, self.now);
        NodeReport {
            limit: shape.map(settings::htb),
            sent_packets: node.sent.packets,
            sent_bytes: node.sent.bytes,
            class: settings::class(&node),
        }
    }
}
