//! What the queues of all lanes share: the packets, and the flows of FQ-CoDel.

use super::Popped;
use super::fq::Flow;
use super::slab::{List, Slab};
use crate::units::Nanos;

/// A packet in a queue.
#[derive(Debug)]
pub(crate) struct Queued<P> {
    pub(crate) packet: P,
    /// Its length in bytes, as shaped.
    pub(crate) len: u32,
    /// Bytes of the buffers that it holds.
    pub(crate) memory: u32,
    /// The hash of its flow.
    pub(crate) flow: u32,
    /// See [`Arrival::ect`](crate::Arrival::ect).
    pub(crate) ect: bool,
    /// When it was enqueued.
    pub(crate) enqueued: Nanos,
}

/// The store that the queues of all lanes share, so that memory follows what is queued and not how many lanes there are.
#[derive(Debug)]
pub(crate) struct Store<P> {
    pub(super) packets: Slab<Queued<P>>,
    pub(super) flows: Slab<Flow>,
    aside: usize,
}

impl<P> Store<P> {
    /// A store that allocates no more until it holds more than `capacity` packets or flows.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { packets: Slab::with_capacity(capacity), flows: Slab::with_capacity(capacity), aside: 0 }
    }

    /// Packets in all queues, and those put aside.
    #[inline]
    pub(crate) fn held(&self) -> usize {
        self.packets.len() + self.aside
    }

    /// Starts to bring a flow into the cache.
    #[inline]
    pub(crate) fn prefetch_flow(&self, flow: u32) {
        self.flows.prefetch(flow);
    }

    /// Starts to bring a flow's oldest packet into the cache.
    #[inline]
    pub(crate) fn prefetch_first(&self, flow: u32) {
        if let Some(first) = self.flows.get(flow).fifo.list.first() {
            self.packets.prefetch(first);
        }
    }

    /// Starts to bring a flow's second packet into the cache, which its first one names: CoDel may drop that.
    #[inline]
    pub(crate) fn prefetch_second(&self, flow: u32) {
        self.packets.prefetch_second(&self.flows.get(flow).fifo.list);
    }

    /// Takes out a packet that left its queue.
    #[inline(always)]
    pub(crate) fn take(&mut self, popped: Popped) -> Queued<P> {
        self.packets.remove(popped.index)
    }

    /// A packet that left its queue is still here: it waits for tokens, or for the device.
    #[inline]
    pub(crate) fn put_aside(&mut self) {
        self.aside += 1;
    }

    /// A packet that was put aside is so no longer.
    #[inline]
    pub(crate) fn take_up(&mut self) {
        self.aside -= 1;
    }
}

/// Packets through the store, first in, first out.
#[derive(Debug, Default)]
pub(super) struct Fifo {
    list: List,
    bytes: u64,
}

impl Fifo {
    #[inline]
    pub(super) fn packets(&self) -> u32 {
        self.list.len()
    }

    #[inline]
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds the newest.
    #[inline(always)]
    pub(super) fn push<P>(&mut self, packets: &mut Slab<Queued<P>>, item: Queued<P>) {
        self.bytes += u64::from(item.len);
        let index = packets.insert(item);
        self.list.push(packets, index);
    }

    /// The oldest leaves the queue, and is where it was in the store.
    #[inline]
    pub(super) fn pop<'a, P>(&mut self, packets: &'a Slab<Queued<P>>) -> Option<(u32, &'a Queued<P>)> {
        let index = self.list.pop(packets)?;
        let item = packets.get(index);
        self.bytes -= u64::from(item.len);
        Some((index, item))
    }

    /// Takes the oldest.
    #[inline]
    pub(super) fn take<P>(&mut self, packets: &mut Slab<Queued<P>>) -> Option<Queued<P>> {
        let (index, _) = self.pop(packets)?;
        Some(packets.remove(index))
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
            let mut queues = [(); 4].map(|()| Fifo::default());
            let mut models = vec![VecDeque::new(); 4];
            for (number, (lane, push, len)) in ops.into_iter().enumerate() {
                if push {
                    let item = Queued { packet: number, len, memory: len, flow: 0, ect: true, enqueued: Nanos::ZERO };
                    queues[lane].push(&mut store.packets, item);
                    models[lane].push_back((number, len));
                } else {
                    let popped = queues[lane].take(&mut store.packets).map(|item| (item.packet, item.len));
                    prop_assert_eq!(popped, models[lane].pop_front());
                }
                prop_assert_eq!(queues[lane].packets() as usize, models[lane].len());
                let bytes: u64 = models[lane].iter().map(|&(_, len)| u64::from(len)).sum();
                prop_assert_eq!(queues[lane].bytes(), bytes);
                let listed = queues[lane].list.iter(&store.packets).map(|index| store.packets.get(index).packet);
                prop_assert!(listed.eq(models[lane].iter().map(|&(number, _)| number)));
                prop_assert_eq!(store.held(), models.iter().map(VecDeque::len).sum::<usize>());
            }
        }
    }
}
