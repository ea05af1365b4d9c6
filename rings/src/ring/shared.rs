//! The memory of a ring: two indices, a word of flags, and the slots.
#![allow(unsafe_code, reason = "reads and writes memory shared with the other side of a ring")]

use std::any::Any;
use std::ptr::NonNull;
use std::sync::Arc;

use crossbeam_utils::CachePadded;

use super::primitive::{AtomicU32, UnsafeCell};

/// One side's view of a ring's memory.
///
/// The indices count entries and wrap at 2^32; an entry's slot is its index modulo the size, a power of two.
#[derive(Debug)]
pub(crate) struct Ring<T> {
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    slots: NonNull<UnsafeCell<T>>,
    size: u32,
    /// What keeps the memory alive; dropped with the last side.
    _owner: Arc<dyn Any + Send + Sync>,
}

// SAFETY: the memory is not tied to a thread, and entries are plain data that either side may hold.
unsafe impl<T: Send> Send for Ring<T> {}

impl<T: Copy> Ring<T> {
    /// Number of slots.
    #[inline]
    pub(super) fn size(&self) -> u32 {
        self.size
    }

    /// Index of the next entry that will be produced.
    #[inline]
    pub(super) fn producer(&self) -> &AtomicU32 {
        // SAFETY: valid while the owner lives, and only ever accessed atomically.
        unsafe { self.producer.as_ref() }
    }

    /// Index of the next entry that will be consumed.
    #[inline]
    pub(super) fn consumer(&self) -> &AtomicU32 {
        // SAFETY: as in `producer`.
        unsafe { self.consumer.as_ref() }
    }

    /// What the kernel wants its other side to know: `XDP_RING_NEED_WAKEUP`.
    #[inline]
    pub(super) fn flags(&self) -> &AtomicU32 {
        // SAFETY: as in `producer`.
        unsafe { self.flags.as_ref() }
    }

    /// # Safety
    ///
    /// The entry at `index` has been produced and not yet given back: the producer does not write it meanwhile.
    #[inline]
    pub(super) unsafe fn read(&self, index: u32) -> T {
        // SAFETY: every bit pattern is a `T` (promised where the ring was made), and the caller keeps writers out.
        self.slot(index).with(|slot| unsafe { *slot })
    }

    /// # Safety
    ///
    /// The slot of `index` is free: the consumer does not read it meanwhile.
    #[inline]
    pub(super) unsafe fn write(&self, index: u32, entry: T) {
        // SAFETY: the caller keeps readers out.
        self.slot(index).with_mut(|slot| unsafe { *slot = entry });
    }

    /// Starts to bring the slot of `index` into the cache.
    #[inline]
    pub(super) fn prefetch(&self, index: u32) {
        portlane_hint::prefetch(self.slot(index));
    }

    #[inline]
    fn slot(&self, index: u32) -> &UnsafeCell<T> {
        // SAFETY: the masked index is less than the number of slots.
        let slot = unsafe { self.slots.add((index & (self.size - 1)) as usize) };
        // SAFETY: valid while the owner lives; the cell allows the other side to write it.
        unsafe { slot.as_ref() }
    }
}

#[cfg(feature = "af-xdp")]
pub(crate) use kernel::{COMPLETION, FILL, RX, TX};

#[cfg(feature = "af-xdp")]
mod kernel {
    use std::io;
    use std::os::fd::BorrowedFd;
    use std::ptr::NonNull;
    use std::sync::Arc;

    use libc::{xdp_desc, xdp_mmap_offsets, xdp_ring_offset};

    use super::Ring;
    use crate::mapping::Mapping;

    /// Which of a socket's rings, and with it what its entries are.
    pub(crate) struct Kind<T> {
        page: libc::off_t,
        layout: fn(&xdp_mmap_offsets) -> &xdp_ring_offset,
        _entry: std::marker::PhantomData<T>,
    }

    const fn kind<T>(page: libc::off_t, layout: fn(&xdp_mmap_offsets) -> &xdp_ring_offset) -> Kind<T> {
        Kind { page, layout, _entry: std::marker::PhantomData }
    }

    /// Received packets, from the kernel.
    pub(crate) const RX: Kind<xdp_desc> = kind(libc::XDP_PGOFF_RX_RING, |all| &all.rx);
    /// Packets to send, to the kernel.
    pub(crate) const TX: Kind<xdp_desc> = kind(libc::XDP_PGOFF_TX_RING, |all| &all.tx);
    /// Addresses of empty frames, to the kernel.
    pub(crate) const FILL: Kind<u64> = kind(libc::XDP_UMEM_PGOFF_FILL_RING.cast_signed(), |all| &all.fr);
    /// Addresses of frames that were sent, from the kernel.
    pub(crate) const COMPLETION: Kind<u64> = kind(libc::XDP_UMEM_PGOFF_COMPLETION_RING.cast_signed(), |all| &all.cr);

    impl<T: Copy> Ring<T> {
        /// Maps one ring of an AF_XDP socket that was set up with `size` entries.
        pub(crate) fn map(
            socket: BorrowedFd<'_>,
            kind: &Kind<T>,
            offsets: &xdp_mmap_offsets,
            size: u32,
        ) -> io::Result<Self> {
            assert!(size.is_power_of_two(), "the kernel makes no ring of {size} entries");
            let layout = (kind.layout)(offsets);
            let [producer, consumer, flags, slots] =
                [layout.producer, layout.consumer, layout.flags, layout.desc].map(within_address_space);
            let len = slots + size as usize * size_of::<T>();
            let mapping = Mapping::shared(len, socket, kind.page)?;
            assert!([producer, consumer, flags].iter().all(|offset| offset + 4 <= len), "the kernel's layout is sound");
            let base = mapping.base();
            Ok(Self {
                producer: at(base, producer),
                consumer: at(base, consumer),
                flags: at(base, flags),
                slots: at(base, slots),
                size,
                _owner: Arc::new(mapping),
            })
        }
    }

    fn within_address_space(offset: u64) -> usize {
        usize::try_from(offset).expect("AF_XDP exists on 64-bit systems only")
    }

    fn at<T>(base: NonNull<u8>, offset: usize) -> NonNull<T> {
        // SAFETY: `map` has checked that the offset lies within the mapping.
        unsafe { base.add(offset) }.cast()
    }
}

/// The memory of a ring that both sides of this process share.
///
/// Each index is in cache lines of its own: the side that writes one does not take the other from its writer.
struct Plain<T> {
    producer: CachePadded<AtomicU32>,
    consumer: CachePadded<AtomicU32>,
    flags: AtomicU32,
    slots: Box<[UnsafeCell<T>]>,
}

// SAFETY: the indices keep the two sides of the ring from accessing the same slot at once.
unsafe impl<T: Send> Sync for Plain<T> {}

impl<T: Copy + Send + 'static> Ring<T> {
    /// Both views of a ring in plain memory whose indices begin at `start`.
    pub(super) fn plain(size: u32, start: u32, filler: T) -> [Self; 2] {
        assert!(size.is_power_of_two());
        let plain = Arc::new(Plain {
            producer: CachePadded::new(AtomicU32::new(start)),
            consumer: CachePadded::new(AtomicU32::new(start)),
            flags: AtomicU32::new(0),
            slots: (0..size).map(|_| UnsafeCell::new(filler)).collect(),
        });
        [(); 2].map(|()| Self {
            producer: NonNull::from(&*plain.producer),
            consumer: NonNull::from(&*plain.consumer),
            flags: NonNull::from(&plain.flags),
            slots: NonNull::from(&plain.slots[..]).cast(),
            size,
            _owner: plain.clone(),
        })
    }
}
