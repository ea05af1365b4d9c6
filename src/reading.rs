//! What a worker copies of its line for a report: plain data, between two turns. Names, quantiles and sums are made of it
//! elsewhere, by [`report`](crate::report), while the worker goes on.
//!
//! Lanes are copied in slices, so that a table of any size keeps no packet waiting for long. All that is copied of a lane is of one
//! instant; so are the line's own counters. A table of one slice is of one instant as a whole.

use std::ops::Range;
use std::sync::Arc;

use portlane_classify::Direction;
use portlane_rings::Device;
use portlane_shaper::{
    FlowStats, LaneCounters, LaneId, Limited, Nanos, NodeId, NodeReading, QueueStats, Volume, codel,
};
use portlane_stats::histogram::LaneHistogram;
use portlane_stats::lane::FqCodelReport;

use crate::line::places::Places;
use crate::line::{Line, LineCounters};

/// What one line has counted. Its memory is used again, by whoever [begins](Reading::begin) it again.
#[derive(Debug, Default)]
pub struct Reading {
    /// Which lane is whose; `None` before it begins.
    places: Option<Arc<Places>>,
    /// When it was complete.
    pub(crate) now: Nanos,
    /// Instants that it is of.
    pub(crate) slices: u32,
    /// Of the line itself, as the next two.
    pub(crate) counters: LineCounters,
    /// Packets in all lanes.
    pub(crate) queued: u64,
    /// The groups, in the order of the plan, then the link; by [`Direction::index`].
    nodes: Vec<[NodeReading; 2]>,
    /// In the order of [`Places::lanes`], by [`Direction::index`].
    lanes: Vec<[LaneCopy; 2]>,
    /// Of all lanes: [`LaneCopy`] says which are whose.
    buckets: Vec<(u16, u64)>,
    flows: Vec<FlowStats>,
}

/// A lane, at one instant.
#[derive(Debug)]
pub(crate) struct LaneCopy {
    pub(crate) counters: LaneCounters,
    pub(crate) queued: Volume,
    pub(crate) is_observed: bool,
    /// Of an observed lane, what waits for the device.
    pub(crate) held_up: Volume,
    pub(crate) class: NodeReading,
    pub(crate) limited: Limited,
    pub(crate) codel: Option<codel::State>,
    pub(crate) queue: QueueStats,
    flows: Range<usize>,
    /// Sojourn times: of those that waited, the longest of these, and how many did not wait.
    buckets: Range<usize>,
    longest: u64,
    unwaited: u64,
}

impl Reading {
    /// All that a line has counted, as of `now`.
    #[must_use]
    pub fn of<D: Device>(line: &Line<D>, now: Nanos) -> Self {
        let mut reading = Self::default();
        reading.begin(line);
        reading.go_on(line, now, usize::MAX);
        reading
    }

    /// Forgets what it was, and begins with this line.
    pub fn begin<D>(&mut self, line: &Line<D>) {
        self.places = Some(Arc::clone(&line.places));
        self.slices = 0;
        self.nodes.clear();
        self.lanes.clear();
        self.buckets.clear();
        self.flows.clear();
    }

    /// Lets go of whose lanes they are, and keeps the memory.
    #[cfg(feature = "af-xdp")]
    pub(crate) fn end(&mut self) {
        self.places = None;
    }

    /// Copies the lanes of `count` more numbers, each of both directions, between two turns of the line. Whether it is complete.
    /// Meanwhile the line may take turns, but not [change](Line::change).
    pub fn go_on<D: Device>(&mut self, line: &Line<D>, now: Nanos, count: usize) -> bool {
        let Some(places) = self.places.take() else { return true };
        self.slices += 1;
        let begun = self.lanes.len();
        while self.lanes.len() - begun < count
            && let Some(lane) = places.lane(self.lanes.len())
        {
            let both = Direction::ALL.map(|direction| self.copy(line, direction, lane, now));
            self.lanes.push(both);
        }
        let is_complete = places.lane(self.lanes.len()).is_none();
        if is_complete {
            let node = |id| Direction::ALL.map(|direction| line.shapers[direction.index()].node(id, now));
            self.nodes.extend(places.groups.iter().map(|&group| NodeId::Group(group)).chain([NodeId::Link]).map(node));
            (self.now, self.counters, self.queued) = (now, line.counters, line.queued() as u64);
        }
        self.places = Some(places);
        is_complete
    }

    fn copy<D: Device>(&mut self, line: &Line<D>, direction: Direction, id: LaneId, now: Nanos) -> LaneCopy {
        let shaper = &line.shapers[direction.index()];
        let (buckets, flows) = (self.buckets.len(), self.flows.len());
        let (longest, unwaited) = line.copy_sojourns(direction, id, &mut self.buckets);
        self.flows.extend(shaper.flows(id).take(FqCodelReport::MAX_FLOW_STATES));
        LaneCopy {
            counters: shaper.counters(id),
            queued: shaper.backlog(id),
            is_observed: line.observes(id),
            held_up: line.held_up(direction, id),
            class: shaper.node(NodeId::Lane(id), now),
            limited: shaper.limited_by(id, now),
            codel: shaper.codel(id).copied(),
            queue: shaper.queue_stats(id),
            flows: flows..self.flows.len(),
            buckets: buckets..self.buckets.len(),
            longest,
            unwaited,
        }
    }

    /// Which lane is whose.
    ///
    /// # Panics
    ///
    /// If it has not begun.
    pub(crate) fn places(&self) -> &Places {
        self.places.as_ref().expect("it has begun")
    }

    /// A lane by its position among [`Places::lanes`].
    pub(crate) fn lane(&self, direction: Direction, position: usize) -> &LaneCopy {
        &self.lanes[position][direction.index()]
    }

    /// The group at a position of the plan; the link is behind the last.
    pub(crate) fn node(&self, direction: Direction, position: usize) -> &NodeReading {
        &self.nodes[position][direction.index()]
    }

    /// The flows of a lane that wait, of FQ-CoDel.
    pub(crate) fn flows(&self, lane: &LaneCopy) -> &[FlowStats] {
        &self.flows[lane.flows.clone()]
    }

    /// The sojourn times of a lane.
    pub(crate) fn sojourns(&self, lane: &LaneCopy) -> LaneHistogram {
        LaneHistogram::of(&self.buckets[lane.buckets.clone()], lane.longest).with_zeros(lane.unwaited)
    }

    /// Packets that no container owns.
    pub(crate) fn unmatched(&self) -> u64 {
        let nobodys = &self.lanes[self.places().containers.len()];
        nobodys.iter().map(|lane| lane.counters.offered.packets).sum()
    }
}
