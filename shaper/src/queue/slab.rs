//! A slab whose entries are linked into lists: memory for what is there, whoever's it is.

use portlane_hint::{prefetch, prefetch_line, vec_in_huge_pages};

const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Slot<T> {
    item: Option<T>,
    /// The next in the list that the entry is in, or the next free slot.
    next: u32,
}

/// Entries known by their index. The slot freed last is used first, while its line is still in the cache.
#[derive(Debug)]
pub(super) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: u32,
    used: usize,
}

impl<T> Slab<T> {
    /// A slab that allocates no more until it has more than `capacity` entries.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self { slots: vec_in_huge_pages(capacity), free: NONE, used: 0 }
    }

    /// Number of entries.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.used
    }

    #[inline(always)]
    pub(super) fn insert(&mut self, item: T) -> u32 {
        self.used += 1;
        let slot = Slot { item: Some(item), next: NONE };
        if self.free == NONE {
            if self.slots.len() == self.slots.capacity() {
                self.grow();
            }
            self.slots.push(slot);
            u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 entries fit into memory")
        } else {
            let index = self.free;
            let place = &mut self.slots[index as usize];
            self.free = place.next;
            *place = slot;
            index
        }
    }

    /// By a quarter: doubling would leave up to half of it empty.
    #[cold]
    fn grow(&mut self) {
        self.slots.reserve_exact(self.slots.len() / 4 + 16);
    }

    /// Takes out an entry that is in no list.
    #[inline]
    pub(super) fn remove(&mut self, index: u32) -> T {
        self.used -= 1;
        let slot = &mut self.slots[index as usize];
        slot.next = std::mem::replace(&mut self.free, index);
        slot.item.take().expect("an index is of an entry")
    }

    /// Starts to bring an entry into the cache, which may begin in one line and end in the next.
    #[inline]
    pub(super) fn prefetch(&self, index: u32) {
        let slot = &self.slots[index as usize];
        prefetch(slot);
        prefetch_line(slot, 1);
    }

    /// The same of the second entry of a list.
    #[inline]
    pub(super) fn prefetch_second(&self, list: &List) {
        if list.len > 1 {
            self.prefetch(self.slots[list.head as usize].next);
        }
    }

    #[inline(always)]
    pub(super) fn get(&self, index: u32) -> &T {
        self.slots[index as usize].item.as_ref().expect("an index is of an entry")
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: u32) -> &mut T {
        self.slots[index as usize].item.as_mut().expect("an index is of an entry")
    }
}

/// A list through a slab, first in, first out. An entry is in one list at most.
#[derive(Debug)]
pub(super) struct List {
    head: u32,
    tail: u32,
    len: u32,
}

impl Default for List {
    fn default() -> Self {
        Self { head: NONE, tail: NONE, len: 0 }
    }
}

impl List {
    #[inline]
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    #[inline]
    pub(super) fn first(&self) -> Option<u32> {
        (self.len > 0).then_some(self.head)
    }

    #[inline]
    pub(super) fn push<T>(&mut self, slab: &mut Slab<T>, index: u32) {
        if self.len == 0 {
            self.head = index;
        } else {
            slab.slots[self.tail as usize].next = index;
        }
        self.tail = index;
        self.len += 1;
    }

    #[inline]
    pub(super) fn pop<T>(&mut self, slab: &Slab<T>) -> Option<u32> {
        let index = self.first()?;
        self.head = slab.slots[index as usize].next;
        self.len -= 1;
        Some(index)
    }

    pub(super) fn iter<'a, T>(&self, slab: &'a Slab<T>) -> impl Iterator<Item = u32> + use<'a, T> {
        let next = |&index: &u32| Some(slab.slots[index as usize].next);
        std::iter::successors(Some(self.head), next).take(self.len as usize)
    }
}
