//! Nodes whose mode will change when tokens have come back.

use super::LEVELS;
use super::node::{Inner, Leaf, Slot};
use super::rows::Rows;
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

/// Waits of leaves, or of inner nodes.
///
/// Only nodes with packets count when somebody asks for the earliest, and there may be any number of others. So those are
/// aside in the wheel: put there if they had no packets when their wait began, or when they are met among the others.
#[derive(Debug)]
struct Waits {
    wheel: Wheel,
    /// Nodes that were met in the wheel, on their way aside or out of it; empty between calls.
    met: Vec<u32>,
}

impl Waits {
    fn new(nodes: usize, now: Nanos) -> Self {
        Self { wheel: Wheel::new(nodes, now), met: Vec::new() }
    }

    /// The earliest of the times that `when` gives; `ceiling` if that is earlier. `when` gives `None` for those without
    /// packets.
    fn earliest(&mut self, ceiling: Nanos, mut when: impl FnMut(u32) -> Option<Nanos>) -> Nanos {
        let Self { wheel, met } = self;
        let earliest = wheel.earliest_of(ceiling, |node, _| {
            when(node).unwrap_or_else(|| {
                met.push(node);
                Nanos::MAX
            })
        });
        met.drain(..).for_each(|node| wheel.set_aside(node, true));
        earliest
    }
}

/// The kernel's `wait_pq`: a queue for each level, in the order of time and, at one time, in that of insertion.
///
/// The kernel looks at a level's queue only when no level below had anything to send, and may so leave a node in an old
/// mode for a while. Which turn a node finds afterwards depends on that, so what comes out of the wheels is kept here
/// until its level is looked at.
#[derive(Debug)]
pub(super) struct Waiting {
    leaves: Waits,
    inner: Waits,
    ended: [Vec<Ended>; LEVELS],
    /// Levels with waits that have ended, a bit each.
    levels: u16,
    waits: u64,
}

impl Waiting {
    pub(super) fn new(leaves: usize, inner: usize, now: Nanos) -> Self {
        Self {
            leaves: Waits::new(leaves, now),
            inner: Waits::new(inner, now),
            ended: Default::default(),
            levels: 0,
            waits: 0,
        }
    }

    pub(super) fn grow(&mut self, leaves: usize, inner: usize) {
        self.leaves.wheel.grow(leaves);
        self.inner.wheel.grow(inner);
    }

    /// Whether nobody waits.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.leaves.wheel.is_empty() && self.inner.wheel.is_empty()
    }

    /// Levels with waits that have ended, a bit each.
    #[inline]
    pub(super) fn levels(&self) -> u16 {
        self.levels
    }

    #[inline]
    fn wheel(&mut self, slot: Slot) -> (&mut Wheel, u32) {
        match slot {
            Slot::Leaf(leaf) => (&mut self.leaves.wheel, leaf),
            Slot::Inner(inner) => (&mut self.inner.wheel, inner),
        }
    }

    /// A node that does not wait begins to, with packets (`active`) or without; returns the number of its wait.
    pub(super) fn insert(&mut self, slot: Slot, until: Nanos, active: bool) -> u64 {
        let (wheel, node) = self.wheel(slot);
        if active {
            wheel.insert(node, until)
        } else {
            wheel.insert_aside(node, until)
        }
        self.waits += 1;
        self.waits
    }

    /// A node's wait is over before its time. Where it had ended already, its number is no longer the node's.
    pub(super) fn remove(&mut self, slot: Slot) {
        let (wheel, node) = self.wheel(slot);
        wheel.remove(node);
    }

    /// A node that waits has packets now.
    pub(super) fn activate(&mut self, slot: Slot) {
        let (wheel, node) = self.wheel(slot);
        wheel.set_aside(node, false);
    }

    /// Ends the waits that are due. Leaves that may send for that go to `ready`, if they are known at once.
    #[inline]
    pub(super) fn expire(
        &mut self,
        now: Nanos,
        leaves: &mut [Leaf],
        inner: &[Inner],
        rows: &mut Rows,
        ready: impl FnMut(u32),
    ) {
        if self.is_empty() {
            return;
        }
        self.expire_leaves(now, leaves, rows, ready);
        if !self.inner.wheel.is_empty() {
            self.expire_inner(now, inner);
        }
    }

    /// Leaves that only can send or cannot go from nowhere to their row, at once: that has the same result in any order, takes
    /// nothing from those that borrow, and their level is the first to be looked at.
    #[inline]
    fn expire_leaves(&mut self, now: Nanos, leaves: &mut [Leaf], rows: &mut Rows, mut ready: impl FnMut(u32)) {
        let Waits { wheel, met: due } = &mut self.leaves;
        let list = &mut self.ended[0];
        let before = list.len();
        // First who is due, then what that means: each takes all registers there are.
        wheel.expire(now, |slot| due.push(slot));
        for slot in due.drain(..) {
            let node = &mut leaves[slot as usize].node;
            if !node.ends_wait(now) {
                list.push(Ended { at: wheel.was_due(slot), wait: node.wait, slot });
            } else if node.active != 0 {
                rows.insert_leaf(node.active, slot);
                ready(slot);
            }
        }
        if list.len() > before {
            list[before..].sort_unstable();
            self.levels |= 1;
        }
    }

    fn expire_inner(&mut self, now: Nanos, inner: &[Inner]) {
        let ended = &mut self.ended;
        let (mut fresh, mut before) = (0_u16, [0; LEVELS]);
        self.inner.wheel.expire_timed(now, |slot, at| {
            let node = &inner[slot as usize].node;
            let list = &mut ended[usize::from(node.level)];
            if fresh & (1 << node.level) == 0 {
                fresh |= 1 << node.level;
                before[usize::from(node.level)] = list.len();
            }
            list.push(Ended { at, wait: node.wait, slot });
        });
        self.levels |= fresh;
        for level in (0..LEVELS).filter(|level| fresh & (1 << level) != 0) {
            ended[level][before[level]..].sort_unstable();
            // Groups may pay and wait again and again while lanes below send from their own guarantees, and nobody looks at
            // the groups' level. What a node waited for before its last wait is forgotten then.
            if ended[level].len() > 2 * inner.len() + SLACK {
                ended[level].retain(|ended| inner[ended.slot as usize].node.wait == ended.wait);
            }
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

    /// The earliest of the times that `when` gives for the nodes that wait and have packets, none of them before the wait
    /// ends; `None` for those without packets.
    pub(super) fn earliest(&mut self, mut when: impl FnMut(Slot) -> Option<Nanos>) -> Nanos {
        let mut earliest = Nanos::MAX;
        for (level, list) in self.ended.iter().enumerate() {
            for at in list.iter().filter_map(|ended| when(slot_on(level, ended.slot))) {
                earliest = earliest.min(at);
            }
        }
        let earliest = self.inner.earliest(earliest, |inner| when(Slot::Inner(inner)));
        self.leaves.earliest(earliest, |leaf| when(Slot::Leaf(leaf)))
    }
}

/// The node on a level.
#[inline]
pub(super) fn slot_on(level: usize, slot: u32) -> Slot {
    if level == 0 { Slot::Leaf(slot) } else { Slot::Inner(slot) }
}
