//! All flows that live.

mod slab;
#[cfg(test)]
mod tests;

use std::fmt;

use siphasher::sip::SipHasher13;

use crate::SECOND;
use crate::digest::{Digest, TCP};
use crate::flow::Flow;
use crate::record::Sink;
use crate::tags::{Places, Tagged};
use crate::timeouts::Timeouts;
use slab::Slab;

/// How many packets before one where its flow begins is asked for, and how many packets after that its flow: so many flows are on
/// their way at a time.
const AHEAD: usize = 8;

/// Hashes of packets on their way: a power of two, and more than two steps of [`AHEAD`].
const HASHES: usize = 32;

/// What a table is told when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The most flows that live at a time, at least 1 and at most 2^24. Each takes less than a kilobyte.
    pub capacity: usize,
    /// How long flows may be silent.
    pub timeouts: Timeouts,
    /// How much later than others a packet may come, in nanoseconds, and still be counted in its second.
    pub delay_ns: u64,
    /// Whether packets are counted by their flags and by who they are for, too: 320 bytes more for each flow.
    pub tags: bool,
}

impl Default for Config {
    /// 65,535 flows, and a second.
    fn default() -> Self {
        Self { capacity: 65_535, timeouts: Timeouts::default(), delay_ns: SECOND, tags: false }
    }
}

/// Packets, and the bytes of their frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// How many.
    pub packets: u64,
    /// Their length in all: [`Digest::frame_bytes`].
    pub bytes: u64,
}

impl Volume {
    fn add(&mut self, digest: &Digest) {
        self.packets += 1;
        self.bytes += u64::from(digest.frame_bytes);
    }
}

/// What became of packets: each is counted in one of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets of flows.
    pub counted: Volume,
    /// Packets that would have begun a flow when there was no room for one.
    pub refused: Volume,
    /// Packets of a second that was over.
    pub late: Volume,
}

/// Flows, by their endpoints.
///
/// Memory is taken as flows come and never given back; there is no more than [`Config::capacity`] of them. A table that is full
/// refuses new flows until old ones end: none of those that live has to go for a stranger's. Flows are found by a keyed
/// hash (SipHash-1-3), so that a sender who does not know the key cannot make looking them up slow.
///
/// Time is that of packets. A flow ends when it has been silent for as long as its state allows, by the times of its packets
/// alone: a packet that comes at that time or later begins another flow.
pub struct Table {
    config: Config,
    key: [u64; 2],
    flows: Slab,
    /// By flow, if they are counted.
    tags: Vec<Tagged>,
    /// The latest time heard of.
    latest_ns: u64,
    /// The first second that is not over.
    window: u64,
    counters: Counters,
}

impl Table {
    /// An empty table.
    ///
    /// `key` should be random where strangers send packets, and fixed where two runs must agree.
    #[must_use]
    pub fn new(config: Config, key: [u64; 2]) -> Self {
        let counters = Counters::default();
        Self { config, key, flows: Slab::new(config.capacity), tags: Vec::new(), latest_ns: 0, window: 0, counters }
    }

    /// Counts packets, one after the other, as [`packet`](Self::packet) does. With tens of thousands of flows, of which few
    /// are in the cache, it takes half the time: what later packets need is fetched while earlier ones are counted.
    pub fn packets(&mut self, digests: &[Digest], sink: &mut impl Sink) {
        let mut hashes = [0; HASHES];
        for step in 0..digests.len() + 2 * AHEAD {
            if let Some(digest) = digests.get(step) {
                let hash = self.hash(digest);
                hashes[step % HASHES] = hash;
                self.flows.prefetch_chain(hash);
            }
            if let Some((place, digest)) = step.checked_sub(AHEAD).and_then(|at| Some((at, digests.get(at)?))) {
                let index = self.flows.prefetch_flow(hashes[place % HASHES], digest.protocol == TCP);
                let places = Places::of(digest);
                if let Some(tagged) = self.tags.get(index as usize).filter(|_| !places.is_none()) {
                    tagged.prefetch(places);
                }
            }
            if let Some((place, digest)) = step.checked_sub(2 * AHEAD).and_then(|at| Some((at, digests.get(at)?))) {
                self.hashed(hashes[place % HASHES], digest, sink);
            }
        }
    }

    /// Counts a packet.
    pub fn packet(&mut self, digest: &Digest, sink: &mut impl Sink) {
        self.hashed(self.hash(digest), digest, sink);
    }

    fn hashed(&mut self, hash: u32, digest: &Digest, sink: &mut impl Sink) {
        self.advance(digest.time_ns, sink);
        let second = digest.time_ns / SECOND;
        if second < self.window {
            self.counters.late.add(digest);
            return;
        }
        let found = self.flows.find(hash, |flow| flow.joins(digest));
        let lives = found.filter(|&index| digest.time_ns < self.flows.get(index).deadline_ns());
        if let (Some(index), None) = (found, lives) {
            self.end(index, sink);
        }
        let Some(index) = lives.or_else(|| self.flows.insert(hash, || Flow::begun_by(digest))) else {
            self.counters.refused.add(digest);
            return;
        };
        self.counters.counted.add(digest);
        if self.flows.get(index).second() != second {
            self.tell(index, second, sink);
        }
        if self.config.tags {
            self.tag(index, digest, sink);
        }
        self.flows.get_mut(index).packet(digest, &self.config.timeouts);
        self.flows.reschedule(index);
    }

    /// Lets time pass: tells what was counted in seconds that are over, and ends flows that were silent for too long.
    ///
    /// A second is over when `delay_ns` has passed since its end. Packets say what time it is, too; a time before the latest one
    /// changes nothing.
    pub fn advance(&mut self, now_ns: u64, sink: &mut impl Sink) {
        if now_ns <= self.latest_ns {
            return;
        }
        self.latest_ns = now_ns;
        let window = now_ns.saturating_sub(self.config.delay_ns) / SECOND;
        while self.window < window {
            if self.flows.len() == 0 {
                self.window = window;
                return;
            }
            let over = self.window;
            self.window += 1;
            self.sweep(over, sink);
        }
    }

    /// Tells of everything, and ends all flows that live as if nothing came any more.
    pub fn finish(mut self, sink: &mut impl Sink) {
        for index in self.flows.all() {
            self.end(index, sink);
        }
    }

    /// Tells of everything that was counted, and forgets flows that live: of their ends nothing is told.
    pub fn leave(mut self, sink: &mut impl Sink) {
        for index in self.flows.all() {
            self.tell(index, 0, sink);
        }
    }

    /// The first second of which more may be told. Of those before it everything has been.
    #[must_use]
    pub fn window(&self) -> u64 {
        self.window
    }

    /// How many flows live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// Whether no flow lives.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flows.len() == 0
    }

    /// What became of packets.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Does what was to be done after a second.
    fn sweep(&mut self, over: u64, sink: &mut impl Sink) {
        let mut next = self.flows.first_due(over);
        while let Some(index) = next {
            next = self.flows.next_due(index);
            if self.flows.get(index).due() > over {
                continue;
            }
            if self.tell(index, over, sink) {
                self.flows.reschedule(index);
            } else {
                self.end(index, sink);
            }
        }
    }

    fn end(&mut self, index: u32, sink: &mut impl Sink) {
        self.tell(index, 0, sink);
        sink.record(&self.flows.get(index).end());
        self.flows.remove(index);
    }

    /// Tells what was counted of a flow and not yet told, if anything was; what comes next is counted in `second`.
    fn tell(&mut self, index: u32, second: u64, sink: &mut impl Sink) -> bool {
        let flow = self.flows.get_mut(index);
        let Some(record) = flow.take(second) else { return false };
        sink.record(&record);
        if let Some(tagged) = self.tags.get_mut(index as usize) {
            let segments = (flow.id().protocol == TCP).then(|| record.meter.traffic());
            let used = std::mem::take(flow.tags_mut());
            tagged.take(used, segments, |tag, traffic| sink.tagged(flow.id(), record.second, tag, traffic));
        }
        true
    }

    /// Counts a packet by what it has in common with others.
    fn tag(&mut self, index: u32, digest: &Digest, sink: &mut impl Sink) {
        let place = index as usize;
        if place >= self.tags.len() {
            self.tags.resize_with(place + 1, Tagged::default);
        }
        let places = Places::of(digest);
        if places.is_none() {
            return;
        }
        let flow = self.flows.get_mut(index);
        let (side, second) = (flow.side(digest), flow.second());
        if !self.tags[place].count(flow.tags_mut(), places, digest, side) {
            self.tell(index, second, sink);
            self.tags[place].count(self.flows.get_mut(index).tags_mut(), places, digest, side);
        }
    }

    /// The same for both directions of a flow.
    fn hash(&self, digest: &Digest) -> u32 {
        let [first, second] = self.key;
        let (source, destination) = (digest.source.bits(), digest.destination.bits());
        let ((low, low_rest), (high, high_rest)) = (source.min(destination), source.max(destination));
        let rest = u128::from(low_rest | u64::from(digest.protocol) << 56) << 64 | u128::from(high_rest);
        let hasher = SipHasher13::new_with_keys(first, second);
        let hash = match (u32::try_from(low), u32::try_from(high)) {
            // Addresses of IPv4: half of the bytes take two thirds of the time.
            (Ok(low), Ok(high)) => {
                let pair = u64::from(low) << 32 | u64::from(high);
                let mut bytes = [0; 24];
                bytes[..16].copy_from_slice(&rest.to_le_bytes());
                bytes[16..].copy_from_slice(&pair.to_le_bytes());
                hasher.hash(&bytes)
            }
            _ => hasher.hash([low, high, rest].map(u128::to_le_bytes).as_flattened()),
        };
        u32::try_from(hash >> 32).unwrap_or_default()
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the key: who knows it can aim.
        f.debug_struct("Table")
            .field("config", &self.config)
            .field("flows", &self.flows.len())
            .field("window", &self.window)
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}
