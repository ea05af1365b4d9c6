//! Flows in memory that is taken once: found by their hash, and by the second in which something is to be done.

use std::mem::offset_of;
use std::ops::Range;

use portlane_hint::{prefetch_at, prefetch_line};

use crate::flow::Flow;

const NONE: u32 = u32::MAX;
const MAX_CAPACITY: usize = 1 << 24;

/// Lists by second; a flow that is due later than these reach shares a list, and is passed over until its time.
const SECONDS: usize = 512;

/// Bytes of a line of the cache.
const LINE: usize = 64;

/// A flow, and the lists that it is in.
#[derive(Debug)]
#[repr(C, align(64))]
struct Entry {
    hash: u32,
    /// The next with a hash of the same chain, or the next free one.
    chained: u32,
    /// The list of seconds that it is in; [`NONE`] if it is free.
    list: u32,
    before: u32,
    after: u32,
    flow: Flow,
}

// What `Config::capacity` promises.
const _: () = assert!(size_of::<Entry>() <= 1_024);

/// No more flows than it was made for. Nothing is moved or cleared as a whole, so that nothing takes long.
#[derive(Debug)]
pub(super) struct Slab {
    entries: Vec<Entry>,
    capacity: usize,
    used: usize,
    free: u32,
    chains: Box<[u32]>,
    lists: Box<[u32]>,
}

impl Slab {
    pub(super) fn new(capacity: usize) -> Self {
        let capacity = capacity.clamp(1, MAX_CAPACITY);
        Self {
            entries: Vec::with_capacity(capacity),
            capacity,
            used: 0,
            free: NONE,
            chains: vec![NONE; (capacity * 2).next_power_of_two()].into_boxed_slice(),
            lists: vec![NONE; SECONDS].into_boxed_slice(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.used
    }

    pub(super) fn get(&self, index: u32) -> &Flow {
        &self.entry(index).flow
    }

    pub(super) fn get_mut(&mut self, index: u32) -> &mut Flow {
        &mut self.entry_mut(index).flow
    }

    /// Starts to bring into the cache where flows with this hash begin.
    pub(super) fn prefetch_chain(&self, hash: u32) {
        prefetch_at(&self.chains, self.chain(hash));
    }

    /// Starts to bring the first flow with this hash into the cache, as far as a segment of TCP needs it, if `of_tcp`, or another packet.
    /// Returns its index; there is none of that index if there is no such flow.
    pub(super) fn prefetch_flow(&self, hash: u32, of_tcp: bool) -> u32 {
        let index = self.chains[self.chain(hash)];
        if let Some(entry) = self.entries.get(index as usize) {
            if of_tcp {
                prefetch(entry, const { Flow::hot(true) });
            } else {
                prefetch(entry, const { Flow::hot(false) });
            }
        }
        index
    }

    /// The flow with this hash of which `joins` is true.
    pub(super) fn find(&self, hash: u32, joins: impl Fn(&Flow) -> bool) -> Option<u32> {
        let mut index = self.chains[self.chain(hash)];
        while index != NONE {
            let entry = self.entry(index);
            if entry.hash == hash && joins(&entry.flow) {
                return Some(index);
            }
            index = entry.chained;
        }
        None
    }

    /// Takes in a flow, if there is room; to be [scheduled](Self::reschedule).
    pub(super) fn insert(&mut self, hash: u32, flow: impl FnOnce() -> Flow) -> Option<u32> {
        let chain = self.chain(hash);
        let entry = |flow, chained| Entry { flow, hash, chained, list: NONE, before: NONE, after: NONE };
        let index = if self.free != NONE {
            let index = self.free;
            self.free = self.entry(index).chained;
            *self.entry_mut(index) = entry(flow(), self.chains[chain]);
            index
        } else if self.entries.len() < self.capacity {
            self.entries.push(entry(flow(), self.chains[chain]));
            index_of(self.entries.len() - 1)
        } else {
            return None;
        };
        self.chains[chain] = index;
        self.used += 1;
        Some(index)
    }

    pub(super) fn remove(&mut self, index: u32) {
        self.unlink(index);
        let (hash, chained) = (self.entry(index).hash, self.entry(index).chained);
        let chain = self.chain(hash);
        if self.chains[chain] == index {
            self.chains[chain] = chained;
        } else {
            let mut before = self.chains[chain];
            while self.entry(before).chained != index {
                before = self.entry(before).chained;
            }
            self.entry_mut(before).chained = chained;
        }
        self.entry_mut(index).chained = std::mem::replace(&mut self.free, index);
        self.used -= 1;
    }

    /// Puts a flow into the list of the second in which it is due.
    pub(super) fn reschedule(&mut self, index: u32) {
        let list = list_of(self.get(index).due());
        if self.entry(index).list == list {
            return;
        }
        self.unlink(index);
        let head = self.lists[list as usize];
        let entry = self.entry_mut(index);
        (entry.list, entry.before, entry.after) = (list, NONE, head);
        if head != NONE {
            self.entry_mut(head).before = index;
        }
        self.lists[list as usize] = index;
    }

    /// The first flow in the list of a second, due then or later.
    pub(super) fn first_due(&self, second: u64) -> Option<u32> {
        Some(self.lists[list_of(second) as usize]).filter(|&index| index != NONE)
    }

    /// The flow after another one in its list.
    pub(super) fn next_due(&self, index: u32) -> Option<u32> {
        Some(self.entry(index).after).filter(|&index| index != NONE)
    }

    /// All flows, in no order.
    pub(super) fn all(&self) -> Vec<u32> {
        let lives = |&index: &u32| self.entry(index).list != NONE;
        (0..index_of(self.entries.len())).filter(lives).collect()
    }

    fn unlink(&mut self, index: u32) {
        let (list, before, after) = {
            let entry = self.entry_mut(index);
            (std::mem::replace(&mut entry.list, NONE), entry.before, entry.after)
        };
        if list == NONE {
            return;
        }
        if before == NONE {
            self.lists[list as usize] = after;
        } else {
            self.entry_mut(before).after = after;
        }
        if after != NONE {
            self.entry_mut(after).before = before;
        }
    }

    fn entry(&self, index: u32) -> &Entry {
        &self.entries[index as usize]
    }

    fn entry_mut(&mut self, index: u32) -> &mut Entry {
        &mut self.entries[index as usize]
    }

    fn chain(&self, hash: u32) -> usize {
        hash as usize & (self.chains.len() - 1)
    }
}

/// Starts to bring these bytes of a flow into the cache.
#[inline(always)]
fn prefetch(entry: &Entry, bytes: [Range<usize>; 2]) {
    for Range { start, end } in bytes {
        let line = |place: usize| (offset_of!(Entry, flow) + place) / LINE;
        (line(start)..=line(end - 1)).for_each(|line| prefetch_line(entry, line));
    }
}

fn index_of(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(NONE)
}

fn list_of(second: u64) -> u32 {
    u32::try_from(second % SECONDS as u64).unwrap_or_default()
}
