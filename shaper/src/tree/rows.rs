//! The nodes that can send from guarantees of their own.

use super::round::Round;
use super::{LEVELS, PRIORITIES};

/// A round for each level and priority (`htb_level`).
#[derive(Debug, Default)]
pub(super) struct Rows {
    rounds: [[Round; PRIORITIES]; LEVELS],
    /// Priorities of each level with members, a bit each (`row_mask`).
    priorities: [u8; LEVELS],
    /// Levels with members, a bit each.
    levels: u16,
}

impl Rows {
    /// Levels with members, a bit each.
    #[inline]
    pub(super) fn levels(&self) -> u16 {
        self.levels
    }

    /// The first priority that has members on a level.
    #[inline]
    pub(super) fn first_priority(&self, level: usize) -> Option<usize> {
        let bits = self.priorities[level];
        (bits != 0).then(|| bits.trailing_zeros() as usize)
    }

    #[inline]
    pub(super) fn round(&mut self, level: usize, priority: usize) -> &mut Round {
        &mut self.rounds[level][priority]
    }

    /// The leaf whose turn it is; there is one.
    #[inline]
    pub(super) fn next_leaf(&mut self, priority: usize) -> u32 {
        let round = &mut self.rounds[0][priority];
        loop {
            match round.turn() {
                Some(leaf) => return leaf,
                None => round.rewind(),
            }
        }
    }

    /// A leaf leaves its row in its turn.
    #[inline]
    pub(super) fn leave_turn(&mut self, priority: usize, leaf: u32) {
        let round = &mut self.rounds[0][priority];
        if round.leave_turn(leaf) {
            self.priorities[0] &= !(1 << priority);
            if self.priorities[0] == 0 {
                self.levels &= !1;
            }
        }
    }

    /// Adds a leaf of one priority, the only bit that is set.
    #[inline]
    pub(super) fn insert_leaf(&mut self, priority: u8, leaf: u32) {
        self.rounds[0][(priority.trailing_zeros() % u8::BITS) as usize].insert(leaf);
        self.priorities[0] |= priority;
        self.levels |= 1;
    }

    /// Adds a node in each of the priorities (`htb_add_class_to_row`).
    #[inline]
    pub(super) fn insert(&mut self, level: usize, priorities: u8, member: u32) {
        for priority in bits(priorities) {
            self.rounds[level][priority].insert(member);
        }
        self.priorities[level] |= priorities;
        self.levels |= 1 << level;
    }

    /// Takes a node out of each of the priorities (`htb_remove_class_from_row`).
    #[inline]
    pub(super) fn remove(&mut self, level: usize, priorities: u8, member: u32) {
        for priority in bits(priorities) {
            let round = &mut self.rounds[level][priority];
            round.remove_passing_turn(member);
            if round.is_empty() {
                self.priorities[level] &= !(1 << priority);
            }
        }
        if self.priorities[level] == 0 {
            self.levels &= !(1 << level);
        }
    }
}

/// The numbers of the bits that are set.
#[inline]
pub(super) fn bits(mut set: u8) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let first = (set != 0).then(|| set.trailing_zeros() as usize);
        set &= set.wrapping_sub(1);
        first
    })
}
