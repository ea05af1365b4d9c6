//! libxdp's rings through its functions for bindings, called as xsk-rs calls them: `RxQueue::consume`, `TxQueue::produce`,
//! `CompQueue::consume`, `FillQueue::produce`.
#![allow(unsafe_code, reason = "calls into C")]

use std::ptr::from_mut;

use libxdp_sys::{
    xdp_desc, xsk_ring_cons, xsk_ring_cons__comp_addr, xsk_ring_cons__peek, xsk_ring_cons__release,
    xsk_ring_cons__rx_desc, xsk_ring_prod, xsk_ring_prod__fill_addr, xsk_ring_prod__reserve, xsk_ring_prod__submit,
    xsk_ring_prod__tx_desc,
};

use crate::{BATCH, Forward, PREPARED, SIZE};

pub(crate) struct Libxdp {
    rx: Consumer,
    tx: Producer,
    completion: Consumer,
    fill: Producer,
    descriptors: Vec<xdp_desc>,
    addresses: Vec<u64>,
}

impl Libxdp {
    pub(crate) fn new() -> Self {
        let nothing = xdp_desc { addr: 0, len: 60, options: 0 };
        Self {
            rx: Consumer::new(nothing),
            tx: Producer::new(nothing),
            completion: Consumer::new(0_u64),
            fill: Producer::new(0_u64),
            descriptors: Vec::with_capacity(BATCH as usize),
            addresses: Vec::with_capacity(BATCH as usize),
        }
    }
}

impl Forward for Libxdp {
    fn prepare(&mut self) {
        self.tx.consume();
        self.fill.consume();
        self.rx.produce();
        self.completion.produce();
    }

    #[inline(never)]
    fn forward(&mut self) {
        let first = self.rx.peek();
        self.descriptors.extend((0..BATCH).map(|place| self.rx.descriptor(first.wrapping_add(place))));
        self.rx.release();
        let first = self.tx.reserve();
        for (place, descriptor) in (0..BATCH).zip(self.descriptors.drain(..)) {
            self.tx.set_descriptor(first.wrapping_add(place), descriptor);
        }
        self.tx.submit();
        let first = self.completion.peek();
        self.addresses.extend((0..BATCH).map(|place| self.completion.address(first.wrapping_add(place))));
        self.completion.release();
        let first = self.fill.reserve();
        for (place, address) in (0..BATCH).zip(self.addresses.drain(..)) {
            self.fill.set_address(first.wrapping_add(place), address);
        }
        self.fill.submit();
    }
}

/// The memory of a ring, which lives as long as the program: the indices and flags, and the slots.
fn memory<T: Clone>(filler: T) -> (&'static mut [u32; 3], &'static mut [T]) {
    (Box::leak(Box::default()), Box::leak(vec![filler; SIZE as usize].into()))
}

struct Consumer(xsk_ring_cons);

impl Consumer {
    fn new<T: Clone + 'static>(filler: T) -> Self {
        let ([producer, consumer, flags], slots) = memory(filler);
        Self(xsk_ring_cons {
            cached_prod: 0,
            cached_cons: 0,
            mask: SIZE - 1,
            size: SIZE,
            producer,
            consumer,
            ring: slots.as_mut_ptr().cast(),
            flags,
        })
    }

    /// The far end has filled slots.
    fn produce(&mut self) {
        // SAFETY: the index lives as long as the program, and no call into C is under way.
        let producer = unsafe { &mut *self.0.producer };
        *producer = producer.wrapping_add(PREPARED);
    }

    fn peek(&mut self) -> u32 {
        let mut first = 0;
        // SAFETY: the ring and the index that is written are whole.
        let count = unsafe { xsk_ring_cons__peek(&raw mut self.0, BATCH, from_mut(&mut first)) };
        assert_eq!(count, BATCH);
        first
    }

    fn descriptor(&self, place: u32) -> xdp_desc {
        // SAFETY: the ring is whole, and its slots are descriptors.
        let slot = unsafe { xsk_ring_cons__rx_desc(&raw const self.0, place) };
        // SAFETY: a slot of the ring.
        unsafe { *slot }
    }

    fn address(&self, place: u32) -> u64 {
        // SAFETY: the ring is whole, and its slots are addresses.
        let slot = unsafe { xsk_ring_cons__comp_addr(&raw const self.0, place) };
        // SAFETY: a slot of the ring.
        unsafe { *slot }
    }

    fn release(&mut self) {
        // SAFETY: the ring is whole.
        unsafe { xsk_ring_cons__release(&raw mut self.0, BATCH) };
    }
}

struct Producer(xsk_ring_prod);

impl Producer {
    fn new<T: Clone + 'static>(filler: T) -> Self {
        let ([producer, consumer, flags], slots) = memory(filler);
        Self(xsk_ring_prod {
            cached_prod: 0,
            // Ahead by the size, so that the difference is the room.
            cached_cons: SIZE,
            mask: SIZE - 1,
            size: SIZE,
            producer,
            consumer,
            ring: slots.as_mut_ptr().cast(),
            flags,
        })
    }

    /// The far end has emptied all slots.
    fn consume(&mut self) {
        // SAFETY: the index lives as long as the program, and no call into C is under way.
        let producer = unsafe { *self.0.producer };
        // SAFETY: as above.
        unsafe { *self.0.consumer = producer };
    }

    fn reserve(&mut self) -> u32 {
        let mut first = 0;
        // SAFETY: the ring and the index that is written are whole.
        let count = unsafe { xsk_ring_prod__reserve(&raw mut self.0, BATCH, from_mut(&mut first)) };
        assert_eq!(count, BATCH);
        first
    }

    fn set_descriptor(&mut self, place: u32, descriptor: xdp_desc) {
        // SAFETY: the ring is whole, and its slots are descriptors.
        let slot = unsafe { xsk_ring_prod__tx_desc(&raw mut self.0, place) };
        // SAFETY: a slot of the ring.
        unsafe { *slot = descriptor };
    }

    fn set_address(&mut self, place: u32, address: u64) {
        // SAFETY: the ring is whole, and its slots are addresses.
        let slot = unsafe { xsk_ring_prod__fill_addr(&raw mut self.0, place) };
        // SAFETY: a slot of the ring.
        unsafe { *slot = address };
    }

    fn submit(&mut self) {
        // SAFETY: the ring is whole.
        unsafe { xsk_ring_prod__submit(&raw mut self.0, BATCH) };
    }
}
