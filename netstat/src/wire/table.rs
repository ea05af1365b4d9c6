//! Connections in memory that is taken once: found by a keyed hash, and in lists by how long they are remembered.

use portlane_classify::{Addresses, FlowKey, Headers, Ports};

use super::connection::{Connection, State};
use super::segment::Segment;
use super::{IDLE_NS, UNANSWERED_NS, UNSETTLED_NS};

const NONE: u32 = u32::MAX;
const TCP: u8 = 6;

/// The most connections of a table.
const MOST: usize = 1 << 24;

/// Which connection: whose, and between which ends, the container's first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    container: u32,
    ends: Addresses,
    ports: Ports,
}

impl Key {
    pub(super) fn new(container: u32, segment: &Segment) -> Self {
        Self { container, ends: segment.ends, ports: segment.ports }
    }
}

/// Lists: of what is next, how long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    /// SYNs without an answer, in the order in which they came.
    Asked,
    /// Connections that are being made or are over, in the order of their last segments.
    Unsettled,
    /// Those that are established.
    Settled,
}

impl List {
    fn of(state: State) -> Self {
        match state {
            State::Asked => Self::Asked,
            State::Established | State::CloseWait => Self::Settled,
            _ => Self::Unsettled,
        }
    }
}

#[derive(Debug)]
struct Entry {
    key: Key,
    connection: Connection,
    /// When its last segment passed; of [`List::Asked`] when it came into the list.
    seen: u64,
    hash: u32,
    /// The next of the same chain, or the next free one.
    chained: u32,
    list: List,
    before: u32,
    after: u32,
}

/// The first and the last of a list.
#[derive(Debug, Clone, Copy)]
struct Ends {
    first: u32,
    last: u32,
}

/// No more connections than it was made for.
#[derive(Debug)]
pub(super) struct Table {
    entries: Vec<Entry>,
    capacity: usize,
    used: usize,
    free: u32,
    chains: Box<[u32]>,
    /// By [`List`].
    lists: [Ends; 3],
    /// By container.
    had: Vec<u32>,
    flows: FlowKey,
}

impl Table {
    pub(super) fn new(capacity: usize, key: [u64; 2]) -> Self {
        let capacity = capacity.clamp(2, MOST);
        Self {
            entries: Vec::with_capacity(capacity),
            capacity,
            used: 0,
            free: NONE,
            chains: vec![NONE; (capacity * 2).next_power_of_two()].into_boxed_slice(),
            lists: [Ends { first: NONE, last: NONE }; 3],
            had: Vec::new(),
            flows: FlowKey::new(key),
        }
    }

    /// Containers with numbers below `count` may have connections.
    pub(super) fn make_room(&mut self, count: usize) {
        self.had.resize(count.max(self.had.len()), 0);
    }

    pub(super) fn len(&self) -> usize {
        self.used
    }

    pub(super) fn hash(&self, key: &Key) -> u32 {
        let of_ends = Headers {
            addresses: Some(key.ends),
            protocol: TCP,
            ports: Some(key.ports),
            echo: None,
            fragment: None,
            quoted: false,
            network_offset: 0,
        };
        // Containers that talk to each other have the same ends, exchanged; others hardly ever have any in common.
        self.flows.hash(&of_ends)
    }

    fn chain(&self, hash: u32) -> usize {
        hash as usize & (self.chains.len() - 1)
    }

    pub(super) fn find(&self, hash: u32, key: &Key) -> Option<u32> {
        let mut index = self.chains[self.chain(hash)];
        while let Some(entry) = self.entries.get(index as usize) {
            if entry.hash == hash && entry.key == *key {
                return Some(index);
            }
            index = entry.chained;
        }
        None
    }

    /// The connection, whose next segment passes.
    pub(super) fn touch(&mut self, index: u32, now: u64) -> &mut Connection {
        let entry = &mut self.entries[index as usize];
        if entry.list != List::Asked {
            entry.seen = now;
        }
        if entry.list == List::Unsettled {
            self.unlink(index);
            self.link(index, List::Unsettled);
        }
        &mut self.entries[index as usize].connection
    }

    /// The connection has moved: it is remembered as long as its state has it, from its last segment on.
    pub(super) fn relist(&mut self, index: u32, now: u64) {
        let entry = &mut self.entries[index as usize];
        entry.seen = now;
        let list = List::of(entry.connection.state());
        self.unlink(index);
        self.link(index, list);
    }

    /// Takes in a connection, if there is room; `forgotten` hears of one that makes room for it.
    pub(super) fn insert(
        &mut self,
        hash: u32,
        key: Key,
        connection: Connection,
        now: u64,
        forgotten: impl FnOnce(&Connection),
    ) -> bool {
        let Some(&had) = self.had.get(key.container as usize) else { return false };
        let is_full = had as usize >= self.capacity / 2 || self.used == self.capacity;
        if is_full && !self.forget_idle(&key, now, forgotten) {
            return false;
        }
        let list = List::of(connection.state());
        let chain = self.chain(hash);
        let chained = self.chains[chain];
        let entry = Entry { key, connection, seen: now, hash, chained, list, before: NONE, after: NONE };
        let index = if self.free == NONE {
            self.entries.push(entry);
            u32::try_from(self.entries.len() - 1).unwrap_or(NONE)
        } else {
            let index = self.free;
            self.free = self.entries[index as usize].chained;
            self.entries[index as usize] = entry;
            index
        };
        self.chains[chain] = index;
        self.used += 1;
        self.had[key.container as usize] += 1;
        self.link(index, list);
        true
    }

    /// Forgets one of the container's own that has been idle for long. A few are looked at, and then are the last.
    fn forget_idle(&mut self, key: &Key, now: u64, forgotten: impl FnOnce(&Connection)) -> bool {
        const LOOKED_AT: usize = 4;
        for _ in 0..LOOKED_AT {
            let index = self.lists[List::Settled as usize].first;
            let Some(entry) = self.entries.get(index as usize) else { return false };
            if entry.key.container == key.container && now.saturating_sub(entry.seen) >= IDLE_NS {
                forgotten(&entry.connection);
                self.remove(index);
                return true;
            }
            self.unlink(index);
            self.link(index, List::Settled);
        }
        false
    }

    /// Takes out a connection whose time is over, with whose it was.
    pub(super) fn take_expired(&mut self, now: u64) -> Option<(u32, Connection)> {
        for (list, lasts) in [(List::Asked, UNANSWERED_NS), (List::Unsettled, UNSETTLED_NS)] {
            let index = self.lists[list as usize].first;
            if let Some(entry) = self.entries.get(index as usize)
                && now.saturating_sub(entry.seen) >= lasts
            {
                let taken = (entry.key.container, entry.connection);
                self.remove(index);
                return Some(taken);
            }
        }
        None
    }

    pub(super) fn remove(&mut self, index: u32) {
        self.unlink(index);
        let Entry { key, hash, chained, .. } = self.entries[index as usize];
        let chain = self.chain(hash);
        if self.chains[chain] == index {
            self.chains[chain] = chained;
        } else {
            let mut before = self.chains[chain];
            while self.entries[before as usize].chained != index {
                before = self.entries[before as usize].chained;
            }
            self.entries[before as usize].chained = chained;
        }
        let entry = &mut self.entries[index as usize];
        (entry.chained, entry.key.container) = (self.free, NONE);
        self.free = index;
        self.used -= 1;
        self.had[key.container as usize] -= 1;
    }

    /// Looks at all there are: not for every packet.
    pub(super) fn remove_all_of(&mut self, container: u32) {
        for index in 0..u32::try_from(self.entries.len()).unwrap_or(NONE) {
            // Free ones are nobody's.
            if self.entries[index as usize].key.container == container {
                self.remove(index);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn established(&self) -> u64 {
        let known = self.entries.iter().filter(|entry| entry.key.container != NONE);
        known.filter(|entry| entry.connection.state().is_established()).count() as u64
    }

    fn link(&mut self, index: u32, list: List) {
        let last = self.lists[list as usize].last;
        let entry = &mut self.entries[index as usize];
        (entry.list, entry.before, entry.after) = (list, last, NONE);
        match self.entries.get_mut(last as usize) {
            Some(before) => before.after = index,
            None => self.lists[list as usize].first = index,
        }
        self.lists[list as usize].last = index;
    }

    fn unlink(&mut self, index: u32) {
        let Entry { list, before, after, .. } = self.entries[index as usize];
        match self.entries.get_mut(before as usize) {
            Some(entry) => entry.after = after,
            None => self.lists[list as usize].first = after,
        }
        match self.entries.get_mut(after as usize) {
            Some(entry) => entry.before = before,
            None => self.lists[list as usize].last = before,
        }
    }
}
