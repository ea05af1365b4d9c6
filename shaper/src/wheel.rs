//! A timing wheel: who waits until when, at a cost that does not grow with the number of those who wait.
//!
//! Hierarchical, after Varghese and Lauck (1987). The lowest level has 256 slots of about a microsecond, which slide along with time: whoever
//! waits no longer than they reach is put where he is found when he is due. Six levels above have 64 slots each, every level's as
//! coarse as all of the level below (the first's: as all of the lowest). An entry sits in the lowest level whose slots tell its time from the
//! wheel's own, and moves down as time comes closer, so at most six times. Times are exact: within a slot each entry keeps its own.

use crate::units::Nanos;

/// The lowest level's slots are 2^10 ns wide; the wheel as a whole spans 2^54 ns, 208 days. Longer waits sit in its
/// last slot and are looked at again when it comes round.
const TICK_BITS: u32 = 10;
const LOWEST_BITS: u32 = 8;
const LOWEST_SLOTS: u32 = 1 << LOWEST_BITS;
const UPPER_LEVELS: usize = 6;
const UPPER_BITS: u32 = 6;
const NONE: u32 = u32::MAX;

/// Slots of a row: the lowest level has four rows, each of the others has one. The rows of slots that [`Wheel::earliest_of`] looks at come
/// first, and after them as many with those aside.
const ROW: usize = u64::BITS as usize;
const LOWEST_ROWS: usize = LOWEST_SLOTS as usize / ROW;
const ASIDE: usize = LOWEST_ROWS + UPPER_LEVELS;
const ROWS: usize = 2 * ASIDE;

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
    slots: [u32; ROWS * ROW],
    /// The tick at which the first slot of an upper level begins that is not empty; never, if all are.
    upper_begins: u64,
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
            slots: [NONE; ROWS * ROW],
            upper_begins: u64::MAX,
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
        self.link(entry, due, aside);
    }

    /// If `entry` waits, [`earliest_of`](Self::earliest_of) no longer looks at it; or does so again.
    pub fn set_aside(&mut self, entry: u32, aside: bool) {
        let place = self.entries[entry as usize].place;
        if place == NOWHERE || (usize::from(place) / ROW >= ASIDE) == aside {
            return;
        }
        self.unlink(entry);
        self.link_at(entry, usize::from(place) % (ASIDE * ROW), aside);
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
        loop {
            let lowest = self.first_of_lowest();
            if self.upper_begins <= lowest.min(target) {
                self.move_down(now, &mut wake);
                continue;
            }
            if lowest > target {
                break;
            }
            self.tick = lowest;
            self.empty_slot(place_in_lowest(lowest), now, &mut wake);
            // Who is due within this tick, but later, is there again.
            if lowest == target {
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
        let mut look = |begins: u64, place: usize| {
            // The current slot may also hold what was due before it.
            let may_be_earlier = begins <= (earliest.0 >> TICK_BITS).max(self.tick);
            if may_be_earlier {
                for entry in self.members(place) {
                    let due = self.entries[entry as usize].due;
                    if due < earliest {
                        earliest = earliest.min(when(entry, due));
                    }
                }
            }
            may_be_earlier
        };
        let mut from = self.tick;
        while let Some(begins) = self.lowest_from(from, |row| self.occupied[row]) {
            if !look(begins, place_in_lowest(begins)) {
                break;
            }
            from = begins + 1;
        }
        for level in 0..UPPER_LEVELS {
            let mut slots = self.occupied[LOWEST_ROWS + level].rotate_right(self.position(level));
            while slots != 0 {
                let ahead = slots.trailing_zeros();
                if !look(self.slot_begins(level, ahead), self.place_ahead(level, ahead)) {
                    break;
                }
                slots &= slots - 1;
            }
        }
        earliest
    }

    /// The tick of the first slot of the lowest level that is not empty; never, if all are.
    #[inline]
    fn first_of_lowest(&self) -> u64 {
        self.lowest_from(self.tick, |row| self.occupied[row] | self.occupied[ASIDE + row]).unwrap_or(u64::MAX)
    }

    /// The first tick not before `from`, and within reach of the lowest level, whose slot is in `occupied`.
    #[inline]
    fn lowest_from(&self, from: u64, occupied: impl Fn(usize) -> u64) -> Option<u64> {
        let end = self.tick + u64::from(LOWEST_SLOTS);
        let (mut tick, mut slots) = (from, occupied(place_in_lowest(from) / ROW) >> (from % ROW as u64));
        while slots == 0 {
            tick = (tick | (ROW as u64 - 1)) + 1;
            if tick >= end {
                return None;
            }
            slots = occupied(place_in_lowest(tick) / ROW);
        }
        Some(tick + u64::from(slots.trailing_zeros())).filter(|&tick| tick < end)
    }

    /// Time has come to the first slot of the upper levels: its entries move down to where they can be told apart, or are due.
    #[cold]
    #[inline(never)]
    fn move_down(&mut self, now: Nanos, wake: &mut impl FnMut(u32, Nanos)) {
        self.tick = self.tick.max(self.upper_begins);
        // Who is in the slot of a higher level at that tick may move to that of a lower one, and goes on from there.
        let first = |wheel: &Self, level: usize| {
            let ahead = wheel.upper(level).rotate_right(wheel.position(level)).trailing_zeros();
            (ahead < u64::BITS).then(|| (wheel.slot_begins(level, ahead), wheel.place_ahead(level, ahead)))
        };
        let begun =
            (0..UPPER_LEVELS).rev().filter_map(|level| first(self, level)).find(|&(begins, _)| begins <= self.tick);
        if let Some((_, place)) = begun {
            self.empty_slot(place, now, wake);
        }
        self.upper_begins = (0..UPPER_LEVELS)
            .filter_map(|level| first(self, level))
            .map(|(begins, _)| begins)
            .min()
            .unwrap_or(u64::MAX);
    }

    /// Takes a slot apart: entries that are due go to `wake`, the others move down to where they can be told apart.
    fn empty_slot(&mut self, place: usize, now: Nanos, wake: &mut impl FnMut(u32, Nanos)) {
        for aside in [false, true] {
            let place = place + if aside { ASIDE * ROW } else { 0 };
            self.occupied[place / ROW] &= !(1 << (place % ROW));
            let mut entry = std::mem::replace(&mut self.slots[place], NONE);
            while entry != NONE {
                let waiting = &mut self.entries[entry as usize];
                let (due, next) = (waiting.due, waiting.next);
                waiting.place = NOWHERE;
                if due <= now {
                    self.len -= 1;
                    wake(entry, due);
                } else {
                    self.link(entry, due, aside);
                }
                entry = next;
            }
        }
    }

    /// The slots of an upper level that are not empty, a bit each.
    fn upper(&self, level: usize) -> u64 {
        self.occupied[LOWEST_ROWS + level] | self.occupied[ASIDE + LOWEST_ROWS + level]
    }

    /// The current slot of an upper level.
    fn position(&self, level: usize) -> u32 {
        let shifted = self.tick >> shift(level);
        u32::try_from(shifted % ROW as u64).expect("an index below 64")
    }

    /// The tick at which the slot begins that is so many `ahead` of the current one: the next time that the wheel's hand points to
    /// it, or now. Levels but the highest hold only slots of the current round, at or after the current one.
    fn slot_begins(&self, level: usize, ahead: u32) -> u64 {
        ((self.tick >> shift(level)) + u64::from(ahead)) << shift(level)
    }

    fn place_ahead(&self, level: usize, ahead: u32) -> usize {
        (LOWEST_ROWS + level) * ROW + (self.position(level) + ahead) as usize % ROW
    }

    fn members(&self, place: usize) -> impl Iterator<Item = u32> {
        let first = self.slots[place];
        let next = |&entry: &u32| Some(self.entries[entry as usize].next).filter(|&next| next != NONE);
        std::iter::successors(Some(first).filter(|&first| first != NONE), next)
    }

    /// Puts an entry into the slot for its time; a time that has passed goes into the current slot.
    #[inline]
    fn link(&mut self, entry: u32, due: Nanos, aside: bool) {
        let due = (due.0 >> TICK_BITS).max(self.tick);
        let place =
            if due - self.tick < u64::from(LOWEST_SLOTS) { place_in_lowest(due) } else { self.place_in_upper(due) };
        self.link_at(entry, place, aside);
    }

    /// The place for a tick that the lowest level does not reach.
    #[inline(never)]
    fn place_in_upper(&mut self, due: u64) -> usize {
        let furthest = self.tick + ((ROW as u64 - 1) << shift(UPPER_LEVELS - 1));
        let due = due.min(furthest);
        let differing = (due ^ self.tick).ilog2();
        let level = (((differing - LOWEST_BITS) / UPPER_BITS) as usize).min(UPPER_LEVELS - 1);
        let slot = due >> shift(level);
        self.upper_begins = self.upper_begins.min(slot << shift(level));
        (LOWEST_ROWS + level) * ROW + usize::try_from(slot % ROW as u64).expect("an index below 64")
    }

    #[inline]
    fn link_at(&mut self, entry: u32, place: usize, aside: bool) {
        let place = place + if aside { ASIDE * ROW } else { 0 };
        self.occupied[place / ROW] |= 1 << (place % ROW);
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
                self.occupied[place / ROW] &= !(1 << (place % ROW));
            }
        }
        self.entries[entry as usize].place = NOWHERE;
    }
}

/// The place of a tick in the lowest level.
#[inline]
fn place_in_lowest(tick: u64) -> usize {
    usize::try_from(tick % u64::from(LOWEST_SLOTS)).expect("an index below 256")
}

/// Bits of a tick that an upper level does not tell apart.
#[inline]
fn shift(level: usize) -> u32 {
    LOWEST_BITS + UPPER_BITS * u32::try_from(level).expect("there are six levels")
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
