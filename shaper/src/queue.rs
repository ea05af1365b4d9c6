//! First-in-first-out queues of many lanes in one store.
//!
//! Packets of all lanes share one slab, so memory follows what is queued and not how many lanes there are. The slot
//! freed last is used first, while its line is still in the cache.

use crate::codel;
use crate::units::Nanos;

const NONE: u32 = u32::MAX;

/// A packet in a queue.
#[derive(Debug)]
pub struct Queued<P> {
    /// The packet.
    pub packet: P,
    /// Its length in bytes, as shaped.
    pub len: u32,
    /// When it was enqueued.
    pub enqueued: Nanos,
}

impl<P> codel::Packet for Queued<P> {
    #[inline]
    fn enqueued(&self) -> Nanos {
        self.enqueued
    }
}

#[derive(Debug)]
struct Slot<P> {
    item: Option<Queued<P>>,
    next: u32,
}

/// The store that the queues of all lanes share.
#[derive(Debug)]
pub struct Store<P> {
    slots: Vec<Slot<P>>,
    free: u32,
    queued: usize,
    aside: usize,
}

impl<P> Store<P> {
    /// A store that allocates no more until it holds more than `capacity` packets.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { slots: Vec::with_capacity(capacity), free: NONE, queued: 0, aside: 0 }
    }

    /// Packets in all queues, and those put aside.
    #[inline]
    #[must_use]
    pub fn held(&self) -> usize {
        self.queued + self.aside
    }

    /// A packet that left its queue is still here: it waits for tokens, or for the device.
    #[inline]
    pub fn put_aside(&mut self) {
        self.aside += 1;
    }

    /// A packet that was put aside is so no longer.
    #[inline]
    pub fn take_up(&mut self) {
        self.aside -= 1;
    }

    #[inline]
    fn insert(&mut self, item: Queued<P>) -> u32 {
        self.queued += 1;
        let slot = Slot { item: Some(item), next: NONE };
        if self.free == NONE {
            self.slots.push(slot);
            u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 packets fit into memory")
        } else {
            let index = self.free;
            let place = &mut self.slots[index as usize];
            self.free = place.next;
            *place = slot;
            index
        }
    }

    #[inline]
    fn remove(&mut self, index: u32) -> (Queued<P>, u32) {
        self.queued -= 1;
        let slot = &mut self.slots[index as usize];
        let item = slot.item.take().expect("a queue links only slots in use");
        let next = std::mem::replace(&mut slot.next, self.free);
        self.free = index;
        (item, next)
    }
}

/// One lane's queue: a list through the store.
#[derive(Debug, Clone)]
pub struct Fifo {
    head: u32,
    tail: u32,
    packets: u32,
    bytes: u64,
}

impl Default for Fifo {
    fn default() -> Self {
        Self { head: NONE, tail: NONE, packets: 0, bytes: 0 }
    }
}

impl Fifo {
    /// Packets in the queue.
    #[inline]
    #[must_use]
    pub fn packets(&self) -> u32 {
        self.packets
    }

    /// Bytes in the queue.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds the newest.
    #[inline]
    pub fn push<P>(&mut self, store: &mut Store<P>, item: Queued<P>) {
        self.packets += 1;
        self.bytes += u64::from(item.len);
        let index = store.insert(item);
        if self.head == NONE {
            self.head = index;
        } else {
            store.slots[self.tail as usize].next = index;
        }
        self.tail = index;
    }

    /// Takes the oldest.
    #[inline]
    pub fn pop<P>(&mut self, store: &mut Store<P>) -> Option<Queued<P>> {
        if self.head == NONE {
            return None;
        }
        let (item, next) = store.remove(self.head);
        self.head = next;
        self.packets -= 1;
        self.bytes -= u64::from(item.len);
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        #[test]
        fn behaves_like_separate_deques(ops in prop::collection::vec((0..4_usize, any::<bool>(), 1..2_000_u32), 0..300)) {
            let mut store = Store::with_capacity(2);
            let mut queues = vec![Fifo::default(); 4];
            let mut models = vec![VecDeque::new(); 4];
            for (number, (lane, push, len)) in ops.into_iter().enumerate() {
                if push {
                    queues[lane].push(&mut store, Queued { packet: number, len, enqueued: Nanos::ZERO });
                    models[lane].push_back((number, len));
                } else {
                    let popped = queues[lane].pop(&mut store).map(|item| (item.packet, item.len));
                    prop_assert_eq!(popped, models[lane].pop_front());
                }
                prop_assert_eq!(queues[lane].packets() as usize, models[lane].len());
                let bytes: u64 = models[lane].iter().map(|&(_, len)| u64::from(len)).sum();
                prop_assert_eq!(queues[lane].bytes(), bytes);
                prop_assert_eq!(store.held(), models.iter().map(VecDeque::len).sum::<usize>());
            }
        }
    }
}
