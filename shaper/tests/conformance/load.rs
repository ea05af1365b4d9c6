//! Greedy sources: whenever a packet of theirs leaves or is dropped, the next one arrives.

use portlane_shaper::{Arrival, Departure, DropReason, Fate, LaneId, Nanos, Shaper, TreeParams};

use crate::next_departure;
use crate::support::{Rng, arrival};

/// Packets that a source has queued.
const DEPTH: u32 = 3;

/// A source that always has something to send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Greedy {
    pub(crate) lane: LaneId,
    /// Hash of its flow.
    pub(crate) flow: u32,
    /// Length of its packets; `None`: mixed.
    pub(crate) len: Option<u32>,
}

impl Greedy {
    pub(crate) fn in_lane(lane: u32, len: Option<u32>) -> Self {
        Self { lane: LaneId(lane), flow: 0, len }
    }
}

/// The hash of a flow that falls into bucket `index` of `flows`.
pub(crate) fn hash_of(index: u32, flows: u32) -> u32 {
    let hash = (u64::from(index) << 32).div_ceil(u64::from(flows));
    u32::try_from(hash).expect("the index is below the number of flows")
}

/// Remembers whose packets were dropped.
#[derive(Debug, Default)]
struct Lost(Vec<usize>);

impl Fate<usize> for Lost {
    fn dropped(&mut self, _lane: LaneId, source: usize, _reason: DropReason) {
        self.0.push(source);
    }

    fn mark(&mut self, _source: &mut usize) -> bool {
        false
    }
}

/// A shaper with its sources. A packet is the number of its source.
pub(crate) struct Load {
    pub(crate) shaper: Shaper<usize>,
    pub(crate) now: Nanos,
    sources: Vec<Greedy>,
    active: Vec<bool>,
    rng: Rng,
    lost: Lost,
}

impl Load {
    pub(crate) fn new(tree: &TreeParams, sources: Vec<Greedy>) -> Self {
        let active = vec![true; sources.len()];
        let all = 0..sources.len();
        let shaper = Shaper::new(tree, 64, Nanos::ZERO).expect("a valid tree");
        let mut load = Self { shaper, now: Nanos::ZERO, sources, active, rng: Rng::new(1), lost: Lost::default() };
        (0..DEPTH).flat_map(|_| all.clone()).for_each(|source| load.arrive(source));
        load
    }

    /// A source stops sending, or sends again.
    pub(crate) fn set_active(&mut self, source: usize, active: bool) {
        if active && !self.active[source] {
            (0..DEPTH).for_each(|_| self.arrive(source));
        }
        self.active[source] = active;
    }

    fn arrive(&mut self, source: usize) {
        let Greedy { lane, flow, len } = self.sources[source];
        let len = len.unwrap_or_else(|| self.rng.packet_len());
        self.enqueue(lane, flow, source, len);
    }

    /// A packet of a greedy source, or of somebody else who has a number above theirs.
    pub(crate) fn enqueue(&mut self, lane: LaneId, flow: u32, source: usize, len: u32) {
        let arrival = Arrival { flow, ..arrival(source, len) };
        self.shaper.enqueue(lane, arrival, self.now, &mut self.lost);
    }

    /// The next departure, if there is one until then.
    pub(crate) fn step(&mut self, until: Nanos) -> Option<Departure<usize>> {
        self.now = next_departure(&mut self.shaper, self.now).filter(|&at| at <= until)?;
        let departure = self.shaper.dequeue(self.now, &mut self.lost).expect("it is time");
        self.replace(departure.packet);
        while let Some(source) = self.lost.0.pop() {
            self.replace(source);
        }
        Some(departure)
    }

    fn replace(&mut self, source: usize) {
        if self.active.get(source) == Some(&true) {
            self.arrive(source);
        }
    }

    /// Bytes that each greedy source sends until then.
    pub(crate) fn sent_until(&mut self, until: Nanos) -> Vec<u64> {
        let mut sent = vec![0; self.sources.len()];
        while let Some(departure) = self.step(until) {
            if let Some(sent) = sent.get_mut(departure.packet) {
                *sent += u64::from(departure.len);
            }
        }
        self.now = until;
        sent
    }

    /// Goes on until a packet of `source` leaves, and returns how long it waited; `None` if none leaves until then.
    pub(crate) fn wait_of(&mut self, source: usize, until: Nanos) -> Option<Nanos> {
        loop {
            let departure = self.step(until)?;
            if departure.packet == source {
                return Some(self.now - departure.enqueued);
            }
        }
    }
}
