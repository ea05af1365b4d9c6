//! Flows as they are observed while they pass: from the beginnings of frames to rows.

use std::sync::Arc;

use portlane_classify::Arriving;
use portlane_flows::{Batch, Config, Counters, Digest, Inventory, Rows, Table, Volume};

#[cfg(any(test, feature = "af-xdp"))]
use super::columns::Known;
use super::heads::{Head, Receiver, Taken};
use super::names::Names;
use super::owners::Owners;
use crate::config::Plan;

/// Digests that are made before the flows of all of them are looked for.
const DIGESTS: usize = 256;

/// How long what one worker shows waits for what others do, in nanoseconds, so that all is seen in the order of its time. A worker
/// shows what has arrived at once, but may be taken off its core between asking for the time and that.
const PATIENCE_NS: u64 = 1_000_000;

/// What was seen, and what was not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// What became of packets of flows.
    pub counters: Counters,
    /// Packets that workers found no room for.
    pub lost: Volume,
    /// Packets between two containers that came to the second of them: they had passed before, on their way there.
    pub repeated: u64,
    /// Frames that cannot be read: their headers make no sense, or too little of them was captured.
    pub others: u64,
    /// Packets that are missing in rows, for want of room.
    pub left_out: Volume,
    /// Flows that live.
    pub live: usize,
}

/// Reads what workers show, follows flows, and adds up what they did.
#[derive(Debug)]
pub struct Observation {
    receivers: Vec<Receiver>,
    owners: Owners,
    names: Names,
    inventory: Arc<Inventory>,
    #[cfg(any(test, feature = "af-xdp"))]
    agent: u32,
    table: Table,
    rows: Rows,
    digests: Vec<Digest>,
    taken: Taken,
    repeated: u64,
    others: u64,
}

impl Observation {
    /// Of what these receivers get, with as many flows at a time, whose owners are those of `plan`. `key` is for hashing, secret where strangers
    /// send packets.
    #[must_use]
    pub fn new(receivers: Vec<Receiver>, plan: &Plan, flows: usize, key: [u64; 2], now_ns: u64) -> Self {
        let config = Config { capacity: flows, tags: true, ..Config::default() };
        let mut names = Names::default();
        let table = Arc::new(names.follow(plan, now_ns));
        Self {
            receivers,
            owners: Owners::new(table, plan.host_addresses.clone(), key),
            names,
            inventory: Arc::clone(&plan.inventory),
            #[cfg(any(test, feature = "af-xdp"))]
            agent: plan.flows.as_ref().map_or(0, |flows| flows.agent),
            table: Table::new(config, key),
            rows: Rows::new(flows, &config.timeouts).with(Arc::clone(&plan.inventory)),
            digests: Vec::with_capacity(DIGESTS),
            taken: Taken::default(),
            repeated: 0,
            others: 0,
        }
    }

    /// Another plan is followed.
    pub fn follow(&mut self, plan: &Plan, now_ns: u64) {
        let table = Arc::new(self.names.follow(plan, now_ns));
        self.owners.replace(table, plan.host_addresses.clone());
        self.inventory = Arc::clone(&plan.inventory);
        self.rows.follow(Arc::clone(&plan.inventory));
    }

    #[cfg(any(test, feature = "af-xdp"))]
    /// What is known of ends: owners by their numbers, and where addresses are.
    pub(super) fn known(&self) -> Known {
        Known { names: self.names.list(), inventory: Arc::clone(&self.inventory), agent: self.agent }
    }

    /// Looks at all that has arrived, and lets time pass: gives out rows of seconds and minutes that are over. Returns how many frames
    /// there were.
    pub fn look(&mut self, now_ns: u64, out: &mut impl FnMut(Batch)) -> usize {
        let until_ns = if self.receivers.len() == 1 { u64::MAX } else { now_ns.saturating_sub(PATIENCE_NS) };
        self.look_until(until_ns, now_ns.min(until_ns), out)
    }

    /// Looks at what has arrived until then, and it is so late.
    fn look_until(&mut self, until_ns: u64, now_ns: u64, out: &mut impl FnMut(Batch)) -> usize {
        let mut looked = 0;
        while let Some((receiver, oldest_ns)) = self.oldest().filter(|&(_, oldest_ns)| oldest_ns <= until_ns) {
            looked += self.take(receiver, oldest_ns, out);
        }
        self.count(out);
        self.table.advance(now_ns, &mut self.rows);
        self.rows.close_before(self.table.window(), out);
        looked
    }

    /// Looks at all that has arrived, and gives out all rows. Nothing more is seen; flows that live are not ended by that.
    #[must_use]
    pub fn leave(mut self, now_ns: u64, out: &mut impl FnMut(Batch)) -> Seen {
        self.look_until(u64::MAX, now_ns, out);
        let seen = self.seen();
        let Self { table, mut rows, .. } = self;
        table.leave(&mut rows);
        rows.finish(out);
        seen
    }

    /// What was seen so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        let lost = self.receivers.iter().map(Receiver::lost).fold(Volume::default(), |sum, lost| Volume {
            packets: sum.packets + lost.packets,
            bytes: sum.bytes + lost.bytes,
        });
        Seen {
            counters: self.table.counters(),
            lost,
            repeated: self.repeated,
            others: self.others,
            left_out: self.rows.refused(),
            live: self.table.len(),
        }
    }

    /// Who has the oldest frame.
    fn oldest(&mut self) -> Option<(usize, u64)> {
        let times = self.receivers.iter_mut().enumerate().filter_map(|(at, one)| Some((at, one.oldest_ns()?)));
        times.min_by_key(|&(_, oldest_ns)| oldest_ns)
    }

    /// Takes a worker's frames of one time.
    fn take(&mut self, receiver: usize, of_ns: u64, out: &mut impl FnMut(Batch)) -> usize {
        let mut taken = 0;
        while let Some(head) = self.receivers[receiver].take(of_ns, &mut self.taken) {
            taken += 1;
            match digest(&head, &mut self.owners) {
                Some(Read::First(digest)) => self.digests.push(digest),
                Some(Read::Repeated) => self.repeated += 1,
                None => self.others += 1,
            }
            if self.digests.len() == DIGESTS {
                self.count(out);
            }
        }
        self.receivers[receiver].release();
        taken
    }

    /// Counts the packets whose digests have been made.
    fn count(&mut self, out: &mut impl FnMut(Batch)) {
        let Self { table, rows, digests, .. } = self;
        let window = table.window();
        table.packets(digests, rows);
        digests.clear();
        if table.window() != window {
            rows.close_before(table.window(), out);
        }
    }
}

/// A packet.
enum Read {
    First(Digest),
    /// It has passed before.
    Repeated,
}

/// What is kept of a frame, if it can be read.
fn digest(head: &Head<'_>, owners: &mut Owners) -> Option<Read> {
    let read = Digest::read_with_headers(head.link?, head.bytes, head.wire_len, head.time_ns);
    let (digest, headers) = read.ok().flatten()?;
    let arriving = if head.within || owners.knows_the_host() { Arriving::Either } else { head.arriving };
    let (source, destination) = owners.of(&headers, arriving, head.time_ns);
    if head.arriving == Arriving::Ingress && source.is_some() && destination.is_some() {
        return Some(Read::Repeated);
    }
    Some(Read::First(digest.owned_by(source, destination)))
}

#[cfg(test)]
mod tests;
