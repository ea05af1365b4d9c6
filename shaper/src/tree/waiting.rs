//! Nodes whose mode will change when tokens have come back.

use super::LEVELS;
use super::node::{Inner, Leaf, Slot};
use crate::units::Nanos;
use crate::wheel::Wheel;

/// Waits that have ended may be as many as twice the nodes, and this.
const SLACK: usize = 64;

/// A wait that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ended {
    pub(super) at: Nanos,
    pub(super) wait: u64,
    pub(super) slot: u32,
}

/// The kernel's `wait_pq`: a queue for each level, in the order of time and, at one time, in that of insertion.
///
/// The kernel looks at a level's queue only when no level below had anything to send, and may so leave a node in an old
/// mode for a while. Which turn a node finds afterwards depends on that, so what comes out of the wheels is kept here
/// until its level is looked at.
#[derive(Debug)]
pub(super) struct Waiting {
    leaves: Wheel,
    inner: Wheel,
    ended: [Vec<Ended>; LEVELS],
    /// Levels with waits that have ended, a bit each.
    levels: u16,
    waits: u64,
}

impl Waiting {
    pub(super) fn new(leaves: usize, inner: usize, now: Nanos) -> Self {
        Self {
            leaves: Wheel::new(leaves, now),
            inner: Wheel::new(inner, now),
            ended: Default::default(),
            levels: 0,
            waits: 0,
        }
    }

    pub(super) fn grow(&mut self, leaves: usize, inner: usize) {
        self.leaves.grow(leaves);
        self.inner.grow(inner);
    }

    /// Levels with waits that have ended, a bit each.
    #[inline]
    pub(super) fn levels(&self) -> u16 {
        self.levels
    }

    /// A node that does not wait begins to; returns the number of its wait.
    pub(super) fn insert(&mut self, slot: Slot, until: Nanos) -> u64 {
        match slot {
            Slot::Leaf(leaf) => self.leaves.insert(leaf, until),
            Slot::Inner(inner) => self.inner.insert(inner, until),
        }
        self.waits += 1;
        self.waits
    }

    /// A node's wait is over before its time. Where it had ended already, its number is no longer the node's.
    pub(super) fn remove(&mut self, slot: Slot) {
        match slot {
            Slot::Leaf(leaf) => self.leaves.remove(leaf),
            Slot::Inner(inner) => self.inner.remove(inner),
        }
    }

    /// Ends the waits that are due.
    #[inline]
    pub(super) fn expire(&mut self, now: Nanos, leaves: &[Leaf], inner: &[Inner]) {
        if self.leaves.is_empty() && self.inner.is_empty() {
            return;
        }
        let (ended, levels) = (&mut self.ended, &mut self.levels);
        let before: [usize; LEVELS] = std::array::from_fn(|level| ended[level].len());
        let mut end = |level: u8, ended_wait| {
            ended[usize::from(level)].push(ended_wait);
            *levels |= 1 << level;
        };
        self.leaves.expire_timed(now, |slot, at| {
            end(0, Ended { at, wait: leaves[slot as usize].node.wait, slot });
        });
        self.inner.expire_timed(now, |slot, at| {
            let node = &inner[slot as usize].node;
            end(node.level, Ended { at, wait: node.wait, slot });
        });
        for (ended, before) in self.ended.iter_mut().zip(before) {
            if ended.len() - before > 1 {
                ended[before..].sort_unstable();
            }
        }
        // Groups may pay and wait again and again while lanes below send from their own guarantees, and nobody looks at the
        // groups' level. What a node waited for before its last wait is forgotten then.
        let most = 2 * inner.len() + SLACK;
        for ended in self.ended[1..].iter_mut().filter(|ended| ended.len() > most) {
            ended.retain(|ended| inner[ended.slot as usize].node.wait == ended.wait);
        }
    }

    /// The waits on a level that have ended; to be [given back](Self::done) when they have been seen to.
    pub(super) fn take_ended(&mut self, level: usize) -> Vec<Ended> {
        self.levels &= !(1 << level);
        std::mem::take(&mut self.ended[level])
    }

    /// Keeps the list for the next waits.
    pub(super) fn done(&mut self, level: usize, mut list: Vec<Ended>) {
        list.clear();
        self.ended[level] = list;
    }

    /// The earliest of the times that `when` gives for the nodes that wait, none of them before the wait ends.
    pub(super) fn earliest(&self, mut when: impl FnMut(Slot) -> Nanos) -> Nanos {
        let mut earliest = Nanos::MAX;
        for (level, list) in self.ended.iter().enumerate() {
            for ended in list {
                earliest = earliest.min(when(slot_on(level, ended.slot)));
            }
        }
        let earliest = self.inner.earliest_of(earliest, |inner, _| when(Slot::Inner(inner)));
        self.leaves.earliest_of(earliest, |leaf, _| when(Slot::Leaf(leaf)))
    }
}

/// The node on a level.
#[inline]
pub(super) fn slot_on(level: usize, slot: u32) -> Slot {
    if level == 0 { Slot::Leaf(slot) } else { Slot::Inner(slot) }
}
