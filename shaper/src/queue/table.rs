//! Where a lane's flows are: from the number of a bucket to an index in the slab of flows.
//!
//! Open addressing with linear probing, in a power of two of slots. Buckets are the upper bits of a random hash, so their
//! own lower bits are as good a place as any; once there are as many slots as buckets each has a place of its own. A lane
//! that never had a flow has no slots at all.

const NONE: u32 = u32::MAX;

/// Slots of the smallest table but none.
const SMALLEST: usize = 4;

/// A table is halved when it was at most a quarter full for this many removals per slot: rarely enough that a lane that
/// fills and empties all the time keeps what it has.
const PATIENCE: usize = 16;

#[derive(Debug, Clone, Copy)]
struct Slot {
    bucket: u16,
    flow: u32,
}

const EMPTY: Slot = Slot { bucket: 0, flow: NONE };

#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Box<[Slot]>,
    used: u32,
    /// The most that were used since slots were last counted.
    most: u32,
    /// Removals since then.
    removals: u32,
}

impl Table {
    /// Flows in the table.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.used as usize
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.used == 0
    }

    #[inline]
    pub(super) fn find(&self, bucket: u16) -> Option<u32> {
        self.place(bucket).map(|(_, flow)| flow)
    }

    /// Whether one more of `buckets` would make searches long.
    pub(super) fn is_crowded(&self, buckets: u32) -> bool {
        let slots = self.slots.len();
        slots < buckets as usize && (self.used as usize + 1) * 4 > slots * 3
    }

    /// Doubles the table, unless half of it is empty.
    pub(super) fn make_room(&mut self) {
        if self.used as usize * 2 >= self.slots.len() {
            self.resize((self.slots.len() * 2).max(SMALLEST));
        }
    }

    /// Adds a bucket that is not in the table, which is not crowded.
    pub(super) fn insert(&mut self, bucket: u16, flow: u32) {
        self.put(Slot { bucket, flow });
        self.used += 1;
        self.most = self.most.max(self.used);
    }

    pub(super) fn remove(&mut self, bucket: u16) {
        let Some((place, _)) = self.place(bucket) else { return };
        self.remove_at(place);
        self.removals += 1;
        if self.removals as usize >= self.slots.len() * PATIENCE {
            if self.most as usize * 4 <= self.slots.len() && self.slots.len() > SMALLEST {
                self.resize(self.slots.len() / 2);
            }
            (self.most, self.removals) = (self.used, 0);
        }
    }

    /// Removes the flows that are not to be kept.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(u32) -> bool) {
        let mut place = 0;
        while place < self.slots.len() {
            let flow = self.slots[place].flow;
            if flow == NONE || keep(flow) {
                place += 1;
            } else {
                // What may move up into this place is looked at next.
                self.remove_at(place);
            }
        }
    }

    pub(super) fn flows(&self) -> impl Iterator<Item = u32> {
        self.slots.iter().map(|slot| slot.flow).filter(|&flow| flow != NONE)
    }

    fn mask(&self) -> usize {
        self.slots.len().wrapping_sub(1)
    }

    /// Where a bucket is, and its flow.
    #[inline]
    fn place(&self, bucket: u16) -> Option<(usize, u32)> {
        let mask = self.mask();
        let mut place = usize::from(bucket) & mask;
        loop {
            let slot = self.slots.get(place)?;
            if slot.flow == NONE {
                return None;
            }
            if slot.bucket == bucket {
                return Some((place, slot.flow));
            }
            place = (place + 1) & mask;
        }
    }

    fn put(&mut self, slot: Slot) {
        let mask = self.mask();
        let mut place = usize::from(slot.bucket) & mask;
        while self.slots[place].flow != NONE {
            place = (place + 1) & mask;
        }
        self.slots[place] = slot;
    }

    /// Closes the gap, so that no search ends at it too early (Knuth, volume 3, section 6.4, algorithm R).
    fn remove_at(&mut self, mut gap: usize) {
        let mask = self.mask();
        let mut place = gap;
        loop {
            place = (place + 1) & mask;
            let slot = self.slots[place];
            if slot.flow == NONE || place == gap {
                break;
            }
            let from_home = place.wrapping_sub(usize::from(slot.bucket)) & mask;
            if from_home >= place.wrapping_sub(gap) & mask {
                self.slots[gap] = slot;
                gap = place;
            }
        }
        self.slots[gap] = EMPTY;
        self.used -= 1;
    }

    fn resize(&mut self, slots: usize) {
        let before = std::mem::replace(&mut self.slots, vec![EMPTY; slots].into());
        before.iter().filter(|slot| slot.flow != NONE).for_each(|&slot| self.put(slot));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn insert(table: &mut Table, bucket: u16, buckets: u32) {
        if table.is_crowded(buckets) {
            table.make_room();
        }
        table.insert(bucket, u32::from(bucket) + 7);
    }

    proptest! {
        #[test]
        fn behaves_like_a_map(
            buckets in prop_oneof![1..9_u32, 1..1_000_u32, Just(65_536)],
            ops in prop::collection::vec((any::<u16>(), 0..30_u8), 0..2_000),
        ) {
            let mut table = Table::default();
            let mut model = BTreeMap::new();
            for (number, op) in ops {
                let bucket = u16::try_from((u32::from(number) * buckets) >> 16).unwrap();
                match (op, model.contains_key(&bucket)) {
                    (0, _) => {
                        table.retain(|flow| flow % 3 == 0);
                        model.retain(|_, flow| *flow % 3 == 0);
                    }
                    (_, true) => {
                        table.remove(bucket);
                        model.remove(&bucket);
                    }
                    (_, false) => {
                        insert(&mut table, bucket, buckets);
                        model.insert(bucket, u32::from(bucket) + 7);
                    }
                }
                prop_assert_eq!(table.find(bucket), model.get(&bucket).copied());
            }
            prop_assert!(model.iter().all(|(&bucket, &flow)| table.find(bucket) == Some(flow)));
            let mut flows: Vec<u32> = table.flows().collect();
            flows.sort_unstable();
            prop_assert!(flows.iter().eq(model.values()));
        }
    }

    #[test]
    fn every_bucket_may_be_in_use() {
        for buckets in [1, 3, 4, 5, 1_024, 65_536_u32] {
            let mut table = Table::default();
            let all = || (0..buckets).map(|bucket| u16::try_from(bucket).unwrap());
            all().for_each(|bucket| insert(&mut table, bucket, buckets));
            assert!(table.slots.len() <= buckets.next_power_of_two().max(4) as usize);
            all().for_each(|bucket| assert_eq!(table.find(bucket), Some(u32::from(bucket) + 7)));
            all().for_each(|bucket| table.remove(bucket));
            assert_eq!((table.used, table.flows().count()), (0, 0));
        }
    }

    #[test]
    fn it_shrinks_after_long_and_not_while_it_is_needed_again_and_again() {
        let mut table = Table::default();
        let cycle = |table: &mut Table, flows: u16| {
            (0..flows).for_each(|bucket| insert(table, bucket, 1_024));
            (0..flows).for_each(|bucket| table.remove(bucket));
            table.slots.len()
        };
        assert_eq!(cycle(&mut table, 600), 1_024);
        assert!((0..1_000).all(|_| cycle(&mut table, 600) == 1_024));
        assert!((0..16_000).any(|_| cycle(&mut table, 3) == 8));
        assert!((0..16_000).all(|_| cycle(&mut table, 3) <= 8));
    }
}
