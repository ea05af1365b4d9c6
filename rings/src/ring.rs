//! A ring with one producer and one consumer, in memory that both share: AF_XDP's layout and protocol
//! (Linux `net/xdp/xsk_queue.h`).
//!
//! Either side keeps its own index to itself and publishes it now and then, for a whole batch, with a release store;
//! it looks at the other's, with an acquire load, only when what it saw last is used up. So an entry costs no shared
//! cache line of its own. A nonsensical index from the other side makes the ring look full, or empty: entries are
//! never read that were not written.
//!
//! Tests: a property test against a queue of the standard library, and a model test that tries every interleaving:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p portlane-rings --no-default-features --lib --release ring::model
//! ```
#![allow(unsafe_code, reason = "decides whose turn it is to access a slot")]
#![allow(unexpected_cfgs, reason = "`loom` is set on the command line of the model test alone")]

mod primitive;
mod shared;

#[cfg(test)]
#[cfg(loom)]
mod model;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;

use primitive::{Ordering, fence};

pub(crate) use shared::Ring;
#[cfg(feature = "af-xdp")]
pub(crate) use shared::{COMPLETION, FILL, RX, TX};

/// The side that adds entries.
#[derive(Debug)]
pub struct Producer<T> {
    ring: Ring<T>,
    /// Index of the next entry; ahead of the shared one by what is not yet published.
    next: u32,
    /// The consumer's index when last looked at.
    consumed: u32,
}

impl<T: Copy> Producer<T> {
    pub(crate) fn new(ring: Ring<T>) -> Self {
        let next = ring.producer().load(Ordering::Relaxed);
        let consumed = ring.consumer().load(Ordering::Acquire);
        Self { ring, next, consumed }
    }

    /// Adds an entry that the consumer will see after the next [`publish`](Self::publish); it comes back when the ring
    /// is full.
    #[inline]
    pub fn push(&mut self, entry: T) -> Result<(), T> {
        if self.is_full() {
            self.consumed = self.ring.consumer().load(Ordering::Acquire);
            if self.is_full() {
                return Err(entry);
            }
        }
        // SAFETY: the consumer has released this slot, and will not read it before the next `publish`.
        unsafe { self.ring.write(self.next, entry) };
        self.next = self.next.wrapping_add(1);
        Ok(())
    }

    /// Takes back the last `count` entries, as far as they have not been published.
    #[inline]
    pub fn take_back(&mut self, count: u32) {
        let unpublished = self.next.wrapping_sub(self.ring.producer().load(Ordering::Relaxed));
        self.next = self.next.wrapping_sub(count.min(unpublished));
    }

    /// Starts to bring the slot of the entry that comes so many after the next one into the cache: worth it where slots are large and the
    /// consumer is far behind, so that they have been elsewhere meanwhile.
    #[inline]
    pub fn prefetch(&self, ahead: u32) {
        self.ring.prefetch(self.next.wrapping_add(ahead));
    }

    /// Entries that can be added, of which the consumer may release more meanwhile.
    #[inline]
    pub fn room(&mut self) -> u32 {
        self.room_for(1)
    }

    /// The same; fewer than `wanted` only if the consumer has not released more.
    #[inline]
    pub fn room_for(&mut self, wanted: u32) -> u32 {
        if self.known_room() < wanted {
            self.consumed = self.ring.consumer().load(Ordering::Acquire);
        }
        self.known_room()
    }

    #[inline]
    fn known_room(&self) -> u32 {
        self.ring.size().saturating_sub(self.next.wrapping_sub(self.consumed))
    }

    /// Shows all added entries to the consumer.
    #[inline]
    pub fn publish(&mut self) {
        self.ring.producer().store(self.next, Ordering::Release);
    }

    /// Entries added that the consumer has not yet released.
    #[inline]
    pub fn pending(&self) -> u32 {
        self.next.wrapping_sub(self.ring.consumer().load(Ordering::Relaxed))
    }

    /// True if the kernel sleeps and wants a system call before it looks at the ring again.
    ///
    /// The load may overtake the store of [`publish`](Self::publish) and miss a kernel that has just gone to sleep: ask
    /// again, as long as entries are [`pending`](Self::pending).
    #[inline]
    pub fn needs_wakeup(&self) -> bool {
        self.ring.flags().load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }

    /// As [`publish`](Self::publish) to a consumer that [may sleep](Consumer::falls_asleep): true if it does, and is to be
    /// woken. That is asked for once each time that it sleeps.
    #[inline]
    pub fn publish_and_ask(&mut self) -> bool {
        self.publish();
        // Either the consumer, having said that it sleeps, sees the entries, or this side sees that it sleeps.
        fence(Ordering::SeqCst);
        let sleeps = self.needs_wakeup();
        if sleeps {
            self.ring.flags().store(0, Ordering::Relaxed);
        }
        sleeps
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.next.wrapping_sub(self.consumed) >= self.ring.size()
    }
}

/// The side that takes entries.
#[derive(Debug)]
pub struct Consumer<T> {
    ring: Ring<T>,
    /// Index of the next entry; ahead of the shared one by what is not yet released.
    next: u32,
    /// The producer's index when last looked at.
    produced: u32,
}

impl<T: Copy> Consumer<T> {
    pub(crate) fn new(ring: Ring<T>) -> Self {
        let next = ring.consumer().load(Ordering::Relaxed);
        Self { ring, next, produced: next }
    }

    /// Takes the oldest entry; its slot is the producer's again after the next [`release`](Self::release).
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        if self.next == self.produced {
            let produced = self.ring.producer().load(Ordering::Acquire);
            let count = produced.wrapping_sub(self.next);
            if count == 0 || count > self.ring.size() {
                return None;
            }
            self.produced = produced;
        }
        // SAFETY: the producer has published this entry, and will not write its slot before the next `release`.
        let entry = unsafe { self.ring.read(self.next) };
        self.next = self.next.wrapping_add(1);
        Some(entry)
    }

    /// Entries that wait to be taken.
    #[inline]
    pub fn waiting(&self) -> u32 {
        let count = self.ring.producer().load(Ordering::Relaxed).wrapping_sub(self.next);
        if count > self.ring.size() { 0 } else { count }
    }

    /// Says that this side is going to sleep, and wants to be woken when entries come. False if there are some: it must not
    /// sleep.
    pub fn falls_asleep(&self) -> bool {
        self.ring.flags().store(libc::XDP_RING_NEED_WAKEUP, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.waiting() == 0
    }

    /// Says that this side is awake.
    pub fn is_awake(&self) {
        self.ring.flags().store(0, Ordering::Relaxed);
    }

    /// Gives the slots of all taken entries back to the producer.
    #[inline]
    pub fn release(&mut self) {
        self.ring.consumer().store(self.next, Ordering::Release);
    }
}

/// Both sides of a ring of `size` entries in plain memory, whose indices begin at `start`: for tests and benchmarks.
///
/// # Panics
///
/// If the size is not a power of two.
#[must_use]
pub fn plain<T: Copy + Send + 'static>(size: u32, start: u32, filler: T) -> (Producer<T>, Consumer<T>) {
    let [one, other] = Ring::plain(size, start, filler);
    (Producer::new(one), Consumer::new(other))
}
