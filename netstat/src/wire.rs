//! A container's TCP counters, told from its frames.
//!
//! [`Wire`] is told of each segment that a container is given, and of each that it sends, and counts what the container's kernel
//! counts at that moment. It has a [`Connection`](connection) for each one that it has seen begin, or say something: that is what
//! retransmissions, opens and resets are known by. What cannot be seen from outside is not here: why a SYN was left unanswered
//! (`ListenOverflows`, `ListenDrops`), and whatever a kernel does in silence.
//!
//! No more is kept than was asked for. Segments of a connection that there is no room for are counted, but not followed: see
//! [`Counters::untracked`].

mod connection;
mod counters;
mod segment;
mod table;
#[cfg(test)]
mod tests;

use connection::{Change, Connection, State};
pub use counters::Counters;
pub use segment::Segment;
use table::{Key, Table};

/// How long a SYN may be unanswered, in nanoseconds: then it is counted as such.
pub const UNANSWERED_NS: u64 = 1_000_000_000;

/// How long a connection that is being made, or is over, is remembered after its last segment, in nanoseconds: longer than the
/// kernel waits between two attempts (`TCP_RTO_MAX`).
pub const UNSETTLED_NS: u64 = 130_000_000_000;

/// How long an established connection without a segment may not be forgotten for another, in nanoseconds: as long as the kernel
/// waits before it asks whether the other end is still there (`tcp_keepalive_time`).
pub const IDLE_NS: u64 = 7_200_000_000_000;

/// Counters of containers, told from frames.
#[derive(Debug)]
pub struct Wire {
    counters: Vec<Counters>,
    table: Table,
}

impl Wire {
    /// Room for so many connections of all containers together, of which one container has half at most.
    ///
    /// `key` should be random where strangers send packets.
    #[must_use]
    pub fn new(connections: usize, key: [u64; 2]) -> Self {
        Self { counters: Vec::new(), table: Table::new(connections, key) }
    }

    /// Room for the counters of containers with numbers below `count`.
    pub fn make_room(&mut self, count: usize) {
        if count > self.counters.len() {
            self.counters.resize(count, Counters::default());
            self.table.make_room(count);
        }
    }

    /// A container's counters; nothing was counted for one that has no room.
    #[must_use]
    pub fn counters(&self, container: u32) -> Counters {
        self.counters.get(container as usize).copied().unwrap_or_default()
    }

    /// Forgets the connections of a container, which is somebody else's from now on; what it has counted stays.
    pub fn part(&mut self, container: u32) {
        self.table.remove_all_of(container);
        if let Some(counters) = self.counters.get_mut(container as usize) {
            counters.established = 0;
        }
    }

    /// Forgets all of a container: its number is another's from now on.
    pub fn forget(&mut self, container: u32) {
        self.part(container);
        if let Some(counters) = self.counters.get_mut(container as usize) {
            *counters = Counters::default();
        }
    }

    /// A container is given a segment at this time, in nanoseconds.
    pub fn delivered(&mut self, container: u32, segment: &Segment, now: u64) {
        self.pass(container, segment, now, Connection::receives, connection::received_from_nowhere);
    }

    /// A container has sent a segment.
    pub fn sent(&mut self, container: u32, segment: &Segment, now: u64) {
        self.pass(container, segment, now, Connection::sends, connection::sent_from_nowhere);
    }

    fn pass(
        &mut self,
        container: u32,
        segment: &Segment,
        now: u64,
        goes_on: fn(&mut Connection, &Segment, &mut Counters) -> Change,
        begins: fn(&Segment, &mut Counters) -> Option<Connection>,
    ) {
        self.expire(now);
        let Self { counters, table } = self;
        let Some(counters) = counters.get_mut(container as usize) else { return };
        let key = Key::new(container, segment);
        let hash = table.hash(&key);
        if let Some(index) = table.find(hash, &key) {
            match goes_on(table.touch(index, now), segment, counters) {
                Change::Same => {}
                Change::Moved => table.relist(index, now),
                Change::Over => table.remove(index),
            }
            return;
        }
        if let Some(connection) = begins(segment, counters)
            && !table.insert(hash, key, connection, now, |forgotten| forgotten.is_forgotten(counters))
        {
            connection.is_forgotten(counters);
            counters.untracked += 1;
        }
    }

    /// Notices what has not happened until now: SYNs that nobody has answered, for one. In small portions; whoever reads counters
    /// calls it until it returns false.
    pub fn expire(&mut self, now: u64) -> bool {
        /// At a time.
        const PORTION: usize = 4;
        for _ in 0..PORTION {
            let Some((container, connection)) = self.table.take_expired(now) else { return false };
            if let Some(counters) = self.counters.get_mut(container as usize)
                && connection.state() == State::Asked
            {
                counters.unanswered_syns += 1;
            }
        }
        true
    }

    /// Connections that are remembered.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.table.len()
    }
}

#[cfg(test)]
impl Wire {
    /// Connections that are remembered as established.
    fn established(&self) -> u64 {
        self.table.established()
    }
}
