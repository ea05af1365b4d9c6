//! A timing wheel: who waits until when, at a cost that does not grow with the number of those who wait.
//!
//! Hierarchical, after Varghese and Lauck (1987): seven levels of 64 slots, the lowest of about a microsecond, each
//! level 64 times as coarse as the one below. An entry sits in the lowest level whose slots tell its time from the
//! wheel's own, and moves down as time comes closer, so at most seven times. Times are exact: within a slot each
//! entry keeps its own.

use crate::units::Nanos;

const LEVELS: usize = 7;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// The lowest level's slots are 2^10 ns wide; the wheel as a whole spans 2^52 ns, 52 days. Longer waits sit in its
/// last slot and are looked at again when it comes round.
const TICK_BITS: u32 = 10;
const NONE: u32 = u32::MAX;

/// Rows of slots: a level's hold the entries that [`Wheel::earliest_of`] looks at, and so many further those aside.
const ASIDE: usize = LEVELS;
const ROWS: usize = 2 * LEVELS;

/// Where an entry is: the number of a slot, counted through all rows.
type Place = u16;
/// The place of those that do not wait.
const NOWHERE: Place = Place::MAX;

/// Who waits until when. Entries are small dense numbers (lanes), each in the wheel at most once.
#[derive(Debug)]
pub struct Wheel {
    /// Entries due before this tick have been handed out, except late ones in `slots` of the current tick.
    tick: u64,
    /// Bit *s* of row *r*: its slot *s* is not empty.
    occupied: [u64; ROWS],
    /// First entry of each slot, by its place.
    slots: [u32; ROWS * SLOTS],
    entries: Vec<Entry>,
    len: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    due: Nanos,
    next: u32,
    previous: u32,
    place: Place,
}

impl Entry {
    const IDLE: Self = Self { due: Nanos::ZERO, next: NONE, previous: NONE, place: NOWHERE };
}

impl Wheel {
    /// A wheel for the entries `0..entries`, starting at `now`.
    #[must_use]
    pub fn new(entries: usize, now: Nanos) -> Self {
        Self {
            tick: now.0 >> TICK_BITS,
            occupied: [0; ROWS],
            slots: [NONE; ROWS * SLOTS],
            entries: vec![Entry::IDLE; entries],
            len: 0,
        }
    }

    /// Room for the entries `0..entries`; there are never fewer than before.
    pub fn grow(&mut self, entries: usize) {
        self.entries.resize(entries.max(self.entries.len()), Entry::IDLE);
    }

    /// When an entry is due that waits, or was when it waited last.
    ///
    /// # Panics
    ///
    /// If it is not one of the wheel's entries.
    #[must_use]
    pub fn was_due(&self, entry: u32) -> Nanos {
        self.entries[entry as usize].due
    }

    /// True if nobody waits.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// `entry` waits until `due`.
    ///
    /// # Panics
    ///
    /// If it waits already, or is not one of the wheel's entries.
    pub fn insert(&mut self, entry: u32, due: Nanos) {
        self.start(entry, due, false);
    }

    /// `entry` waits until `due`, but [`earliest_of`](Self::earliest_of) does not look at it.
    ///
    /// # Panics
    ///
    /// If it waits already, or is not one of the wheel's entries.
    pub fn insert_aside(&mut self, entry: u32, due: Nanos) {
        self.start(entry, due, true);
    }

    fn start(&mut self, entry: u32, due: Nanos, aside: bool) {
        let slot = &mut self.entries[entry as usize];
        assert!(slot.place == NOWHERE, "entry {entry} waits already");
        slot.due = due;
        self.len += 1;
        self.link(entry, aside);
    }

    /// If `entry` waits, [`earliest_of`](Self::earliest_of) no longer looks at it; or does so again.
    pub fn set_aside(&mut self, entry: u32, aside: bool) {
        let place = self.entries[entry as usize].place;
        if place == NOWHERE || (usize::from(place) / SLOTS >= ASIDE) == aside {
            return;
        }
        self.unlink(entry);
        let row = usize::from(place) / SLOTS % LEVELS;
        self.link_at(entry, row_of(row, aside), usize::from(place) % SLOTS);
    }

    /// `entry` waits no longer; nothing happens if it did not.
    pub fn remove(&mut self, entry: u32) {
        if self.entries.get(entry as usize).is_some_and(|entry| entry.place != NOWHERE) {
            self.unlink(entry);
            self.len -= 1;
        }
    }

    /// Hands every entry that is due by `now` to `wake`. The order among them is not specified, but is a function of
    /// the calls made.
    pub fn expire(&mut self, now: Nanos, mut wake: impl FnMut(u32)) {
        self.expire_timed(now, |entry, _| wake(entry));
    }

    /// As [`expire`](Self::expire), with the time that each entry was due at.
    pub fn expire_timed(&mut self, now: Nanos, mut wake: impl FnMut(u32, Nanos)) {
        let target = now.0 >> TICK_BITS;
        while let Some((level, index)) = self.earliest_slot() {
            let starts = self.slot_start(level, index);
            if starts > target {
                break;
            }
            self.tick = self.tick.max(starts);
            self.empty_slot(level, index, now, &mut wake);
            if level == 0 && starts == target {
                break;
            }
        }
        // Nothing waits before `target` now: the wheel may stand there, and entries find their slots from there.
        self.tick = self.tick.max(target);
    }

    /// The earliest of the times that `when` gives for the entries and their own times, without those aside; `ceiling` if
    /// that is earlier. No entry's may be before it is due, so only those that are due before the earliest found so far, and
    /// their neighbours, are looked at.
    #[must_use]
    pub fn earliest_of(&self, ceiling: Nanos, mut when: impl FnMut(u32, Nanos) -> Nanos) -> Nanos {
        let mut earliest = ceiling;
        let occupied = &self.occupied;
        for level in (0..LEVELS).filter(|&level| occupied[level] != 0) {
            let here = self.position(level);
            let mut ahead = occupied[level].rotate_right(here);
            while ahead != 0 {
                let index = ((here + ahead.trailing_zeros()) as usize) % SLOTS;
                // The current slot may also hold what was due before it.
                if self.slot_start(level, index) > (earliest.0 >> TICK_BITS).max(self.tick) {
                    break;
                }
                for entry in self.members(level, index) {
                    let due = self.entries[entry as usize].due;
                    if due < earliest {
                        earliest = earliest.min(when(entry, due));
                    }
                }
                ahead &= ahead - 1;
            }
        }
        earliest
    }

    /// Takes a slot apart: entries that are due go to `wake`, the others move down to where they can be told apart.
    fn empty_slot(&mut self, level: usize, index: usize, now: Nanos, wake: &mut impl FnMut(u32, Nanos)) {
        for aside in [false, true] {
            let row = row_of(level, aside);
            self.occupied[row] &= !(1 << index);
            let mut entry = std::mem::replace(&mut self.slots[row * SLOTS + index], NONE);
            while entry != NONE {
                let waiting = &mut self.entries[entry as usize];
                let (due, next) = (waiting.due, waiting.next);
                waiting.place = NOWHERE;
                if due <= now {
                    self.len -= 1;
                    wake(entry, due);
                } else {
                    self.link(entry, aside);
                }
                entry = next;
            }
        }
    }

    /// The occupied slot that begins first.
    fn earliest_slot(&self) -> Option<(usize, usize)> {
        let occupied = |level: usize| self.occupied[level] | self.occupied[ASIDE + level];
        let level = (0..LEVELS).find(|&level| occupied(level) != 0)?;
        let here = self.position(level);
        // Levels but the highest hold only slots of the current round, at or after the current one; the highest may
        // have wrapped around.
        let ahead = occupied(level).rotate_right(here).trailing_zeros();
        Some((level, ((here + ahead) as usize) % SLOTS))
    }

    /// The current slot's index on a level.
    fn position(&self, level: usize) -> u32 {
        let shifted = self.tick >> (SLOT_BITS * level_number(level));
        u32::try_from(shifted % SLOTS as u64).expect("an index below 64")
    }

    /// The tick at which a slot begins: the next time that the wheel's hand points to it, or now.
    fn slot_start(&self, level: usize, index: usize) -> u64 {
        let shift = SLOT_BITS * level_number(level);
        let here = self.position(level) as usize;
        let ahead = (index + SLOTS - here) % SLOTS;
        ((self.tick >> shift) + ahead as u64) << shift
    }

    fn members(&self, row: usize, index: usize) -> impl Iterator<Item = u32> {
        let first = self.slots[row * SLOTS + index];
        let next = |&entry: &u32| Some(self.entries[entry as usize].next).filter(|&next| next != NONE);
        std::iter::successors(Some(first).filter(|&first| first != NONE), next)
    }

    /// Puts an entry into the slot for its time; a time that has passed goes into the current slot.
    fn link(&mut self, entry: u32, aside: bool) {
        let due = (self.entries[entry as usize].due.0 >> TICK_BITS).max(self.tick);
        let furthest = self.tick + ((SLOTS as u64 - 1) << (SLOT_BITS * level_number(LEVELS - 1)));
        let due = due.min(furthest);
        let differing = 63 - ((due ^ self.tick) | 1).leading_zeros();
        let level = ((differing / SLOT_BITS) as usize).min(LEVELS - 1);
        let index = (due >> (SLOT_BITS * level_number(level))) % SLOTS as u64;
        let index = usize::try_from(index).expect("an index below 64");
        self.link_at(entry, row_of(level, aside), index);
    }

    #[inline]
    fn link_at(&mut self, entry: u32, row: usize, index: usize) {
        self.occupied[row] |= 1 << index;
        let place = row * SLOTS + index;
        let first = std::mem::replace(&mut self.slots[place], entry);
        if first != NONE {
            self.entries[first as usize].previous = entry;
        }
        let slot = &mut self.entries[entry as usize];
        (slot.next, slot.previous, slot.place) = (first, NONE, Place::try_from(place).expect("there are fewer slots"));
    }

    fn unlink(&mut self, entry: u32) {
        let Entry { next, previous, place, .. } = self.entries[entry as usize];
        let place = usize::from(place);
        if next != NONE {
            self.entries[next as usize].previous = previous;
        }
        if previous != NONE {
            self.entries[previous as usize].next = next;
        } else {
            self.slots[place] = next;
            if next == NONE {
                self.occupied[place / SLOTS] &= !(1 << (place % SLOTS));
            }
        }
        self.entries[entry as usize].place = NOWHERE;
    }
}

/// The row of a level's slots.
#[inline]
fn row_of(level: usize, aside: bool) -> usize {
    level + if aside { ASIDE } else { 0 }
}

/// A level as a shift counts it.
fn level_number(level: usize) -> u32 {
    u32::try_from(level).expect("there are seven levels")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Debug, Clone)]
    enum Op {
        Insert(u32, u64, bool),
        Aside(u32, bool),
        Remove(u32),
        Advance(u64),
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let wait = prop_oneof![0..3_000_u64, 0..10_000_000_u64, 0..100_000_000_000_u64, 0..u64::MAX / 2];
        let op = prop_oneof![
            4 => (0..40_u32, wait.clone(), any::<bool>()).prop_map(|(entry, wait, aside)| Op::Insert(entry, wait, aside)),
            1 => (0..40_u32, any::<bool>()).prop_map(|(entry, aside)| Op::Aside(entry, aside)),
            1 => (0..40_u32).prop_map(Op::Remove),
            3 => wait.prop_map(Op::Advance),
        ];
        prop::collection::vec(op, 1..200)
    }

    proptest! {
        /// The same entries come out as of a sorted list, at the same times, and the earliest is the same.
        #[test]
        fn behaves_like_a_sorted_list(ops in ops()) {
            let mut wheel = Wheel::new(40, Nanos::ZERO);
            let mut model = BTreeMap::new();
            let (mut now, mut aside) = (0_u64, [false; 40]);
            for op in ops {
                match op {
                    Op::Insert(entry, wait, in_aside) if !model.contains_key(&entry) => {
                        let due = now.saturating_add(wait);
                        if in_aside { wheel.insert_aside(entry, Nanos(due)) } else { wheel.insert(entry, Nanos(due)) }
                        aside[entry as usize] = in_aside;
                        model.insert(entry, due);
                    }
                    Op::Aside(entry, go) => {
                        wheel.set_aside(entry, go);
                        aside[entry as usize] = go;
                    }
                    Op::Insert(..) => {}
                    Op::Remove(entry) => {
                        wheel.remove(entry);
                        model.remove(&entry);
                    }
                    Op::Advance(by) => {
                        now = now.saturating_add(by);
                        let mut woken = Vec::new();
                        wheel.expire(Nanos(now), |entry| woken.push(entry));
                        woken.sort_unstable();
                        let due: Vec<u32> = model.iter().filter(|&(_, &due)| due <= now).map(|(&e, _)| e).collect();
                        model.retain(|_, &mut due| due > now);
                        prop_assert_eq!(woken, due);
                    }
                }
                let watched = || model.iter().filter(|&(&entry, _)| !aside[entry as usize]).map(|(&entry, &due)| (entry, due));
                let first = watched().map(|(_, due)| Nanos(due)).min().unwrap_or(Nanos::MAX);
                prop_assert_eq!(wheel.earliest_of(Nanos::MAX, |_, due| due), first);
                let late = |entry: u32, due: u64| Nanos(due.saturating_add(u64::from(entry) * 1_000_000));
                let first = watched().map(|(entry, due)| late(entry, due)).min().unwrap_or(Nanos::MAX);
                prop_assert_eq!(wheel.earliest_of(Nanos::MAX, |entry, due| late(entry, due.0)), first);
                prop_assert_eq!(wheel.is_empty(), model.is_empty());
            }
        }
    }
}
