//! Seconds, or minutes, that are not over.

use std::collections::{BTreeMap, HashMap};

use super::sums::{Sums, Tally};
use super::{Grain, without_port};
use crate::digest::Endpoint;
use crate::meter::Traffic;
use crate::record::{FlowId, Record};
use crate::tags::Tag;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// A pair, without ports, and what packets between them have in common.
pub(super) type TaggedPair = (Endpoint, Endpoint, Tag);

/// What was counted in a second or a minute.
#[derive(Debug, Default)]
struct Counted {
    /// By client, server and its port, and protocol.
    edges: Sums<FlowId>,
    /// Of pairs that are among the edges: no more than ten for each.
    tags: BTreeMap<TaggedPair, Traffic>,
}

/// A second or a minute that is over: what was counted in it, in the order of who did it.
#[derive(Debug)]
pub(super) struct Time {
    pub(super) edges: Vec<(FlowId, Tally)>,
    pub(super) tags: BTreeMap<TaggedPair, Traffic>,
}

/// Flows of an edge that live at the end of a time that is over.
#[derive(Clone, Copy, Debug)]
struct Living {
    flows: u64,
    /// When something was told of them last, in seconds.
    told: u64,
}

/// Times of one length that are not over, by their start in seconds.
#[derive(Debug)]
pub(super) struct Open {
    grain: Grain,
    capacity: usize,
    longest_silence: u64,
    times: BTreeMap<u64, Counted>,
    living: HashMap<FlowId, Living>,
    /// When those that nothing was told of were looked for last, in seconds.
    cleared: u64,
}

impl Open {
    pub(super) fn new(grain: Grain, capacity: usize, longest_silence: u64) -> Self {
        let (times, living) = (BTreeMap::new(), HashMap::new());
        Self { grain, capacity, longest_silence, times, living, cleared: 0 }
    }

    pub(super) fn grain(&self) -> Grain {
        self.grain
    }

    /// Adds a record; `false` if there is no room for it.
    pub(super) fn record(&mut self, record: &Record) -> bool {
        let (start, edge) = (self.start(record.second), edge(&record.flow));
        let tallies = &mut self.times.entry(start).or_default().edges;
        if let Some(tally) = tallies.get_mut(&edge) {
            tally.meter += &record.meter;
            return true;
        }
        if tallies.len() >= self.capacity {
            return false;
        }
        tallies.add(edge, &Tally { flow_load: 0, meter: record.meter });
        true
    }

    /// Adds packets of which a record was added before, if there was room for that.
    pub(super) fn tagged(&mut self, flow: &FlowId, second: u64, tag: Tag, traffic: &Traffic) {
        let start = self.start(second);
        if let Some(time) = self.times.get_mut(&start).filter(|time| time.edges.contains(&edge(flow))) {
            *time.tags.entry((without_port(flow.client), without_port(flow.server), tag)).or_default() += *traffic;
        }
    }

    fn start(&self, second: u64) -> u64 {
        second - second % self.grain.seconds()
    }

    /// The first of the times that end before `second`, and what was counted in it.
    pub(super) fn close_before(&mut self, second: u64) -> Option<(u64, Time)> {
        let first = self.times.first_entry()?;
        if first.key().saturating_add(self.grain.seconds()) > second {
            return None;
        }
        let (start, Counted { edges, tags }) = first.remove_entry();
        let mut edges = edges.sorted();
        for (edge, tally) in edges.iter_mut().filter(|(edge, _)| matches!(edge.protocol, TCP | UDP)) {
            self.load(start, *edge, tally);
        }
        self.clear(start);
        Some((start, Time { edges, tags }))
    }

    /// Who lives, and who lives on.
    fn load(&mut self, start: u64, edge: FlowId, tally: &mut Tally) {
        let carried = self.living.get(&edge).map_or(0, |living| living.flows);
        // What was refused may be missing, and something is told of one flow at least.
        tally.flow_load = (carried + tally.meter.new_flow).max(1);
        match tally.flow_load.saturating_sub(tally.meter.closes.total()) {
            0 => {
                self.living.remove(&edge);
            }
            flows => {
                self.living.insert(edge, Living { flows, told: start });
            }
        }
    }

    /// Forgets flows whose end was refused, once in a while.
    fn clear(&mut self, start: u64) {
        let while_ago = self.longest_silence + Grain::Minute.seconds();
        if start.saturating_sub(self.cleared) > while_ago {
            self.cleared = start;
            self.living.retain(|_, living| start.saturating_sub(living.told) <= while_ago);
        }
    }
}

fn edge(flow: &FlowId) -> FlowId {
    FlowId { client: without_port(flow.client), ..*flow }
}
