//! The beginnings of frames, on their way from a worker to who observes flows.
//!
//! A worker copies what flow metrics are read from, and reads none of it: headers mostly, and of what may be a question or an
//! answer of an application its first bytes. A frame takes one cache line of a ring, or several; what finds no room is
//! counted, and nobody ever waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;
use portlane_classify::{Arriving, Link};
use portlane_flows::Volume;
use portlane_rings::ring::{self, Consumer, Producer};
use portlane_rings::{Frame, Pool};
use portlane_shaper::Nanos;

pub use deliveries::Deliveries;

mod deliveries;
mod wanted;

#[cfg(test)]
mod tests;

/// How many slots further on the one is that is asked for while one is written: a batch later it is here. Until then the observer
/// has read it, and other memory has taken its place in the caches.
const AHEAD: u32 = 64;

/// Bytes of a frame in a slot.
const BYTES: usize = 56;

/// The most slots of a frame.
const MOST: usize = 9;

/// The most bytes of a frame that are copied: the first line of all but the longest requests of HTTP is among them.
pub const MOST_BYTES: usize = MOST * BYTES;

/// A part of a frame's beginning, or the time that those behind it arrived at.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Slot {
    bytes: [u8; BYTES],
    wire_len: u32,
    link_type: u16,
    /// How many of the bytes are the frame's.
    len: u8,
    what: u8,
}

// A line of the cache.
const _: () = assert!(size_of::<Slot>() == 64);

impl Slot {
    /// More of the same frame is in the next slot.
    const MORE: u8 = 1;
    /// The bytes are a time, in nanoseconds.
    const TIME: u8 = 2;
    /// The frame stays on the host, and so do both who sends it and who gets it.
    const WITHIN: u8 = 4;
    /// Where the frame came from: see [`side`].
    const SIDE: u8 = 8;

    const EMPTY: Self = Self { bytes: [0; BYTES], wire_len: 0, link_type: 0, len: 0, what: 0 };

    #[inline]
    fn time(now: Nanos) -> Self {
        let mut slot = Self { what: Self::TIME, ..Self::EMPTY };
        slot.bytes[..8].copy_from_slice(&now.0.to_le_bytes());
        slot
    }

    fn as_time(&self) -> Option<u64> {
        let time = self.bytes.first_chunk::<8>().filter(|_| self.what == Self::TIME)?;
        Some(u64::from_le_bytes(*time))
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len).min(BYTES)]
    }
}

/// A direction as two bits of [`Slot::what`].
#[inline]
const fn side(arriving: Arriving) -> u8 {
    Slot::SIDE
        * match arriving {
            Arriving::Ingress => 0,
            Arriving::Egress => 1,
            Arriving::Either => 2,
        }
}

/// What a worker could not show.
#[derive(Debug, Default)]
struct Lost {
    packets: CachePadded<AtomicU64>,
    bytes: AtomicU64,
}

/// A way for so many slots of 64 bytes (a power of two).
///
/// # Panics
///
/// If it is none.
#[must_use]
pub fn way(slots: u32) -> (Sender, Receiver) {
    let (producer, consumer) = ring::plain(slots, 0, Slot::EMPTY);
    let lost = Arc::new(Lost::default());
    let receiver = Receiver { ring: consumer, lost: Arc::clone(&lost), time_ns: 0, ahead: None, taken: false };
    (Sender { ring: producer, time: None, last: 0, shared: lost, lost: Volume::default() }, receiver)
}

/// The worker's end.
#[derive(Debug)]
pub struct Sender {
    ring: Producer<Slot>,
    /// Of the frames that were put last.
    time: Option<Nanos>,
    /// Slots of the frame that was shown alone last.
    last: u32,
    shared: Arc<Lost>,
    lost: Volume,
}

impl Sender {
    /// Shows the beginnings of frames that have arrived at `now`, as far as there is room.
    pub fn show(&mut self, pool: &Pool, frames: &[Frame], arriving: Arriving, now: Nanos) {
        self.show_from(pool, frames, side(arriving), now);
    }

    /// The same of frames that stay on the host: from there, and for there.
    pub fn show_within(&mut self, pool: &Pool, frames: &[Frame], arriving: Arriving, now: Nanos) {
        self.show_from(pool, frames, Slot::WITHIN | side(arriving), now);
    }

    #[inline]
    fn show_from(&mut self, pool: &Pool, frames: &[Frame], side: u8, now: Nanos) {
        for (position, frame) in frames.iter().enumerate() {
            if self.put(pool, frame, side, now) == 0 {
                self.lose(&frames[position..]);
                break;
            }
        }
        self.publish();
    }

    /// Shows the beginning of one more frame; nobody sees it before it is [published](Self::publish).
    pub(crate) fn show_one(&mut self, pool: &Pool, frame: &Frame, arriving: Arriving, now: Nanos) {
        self.last = self.put(pool, frame, side(arriving), now);
        if self.last == 0 {
            self.lose(std::slice::from_ref(frame));
        }
    }

    /// The one [shown](Self::show_one) last is taken back, if it has not been published.
    pub(crate) fn take_back(&mut self) {
        self.ring.take_back(std::mem::take(&mut self.last));
    }

    /// What was shown can be seen.
    pub(crate) fn publish(&mut self) {
        self.last = 0;
        self.ring.publish();
    }

    /// Puts a frame into the ring, with its time if that is another one than that of those before. How many slots it takes; 0: there is no room.
    #[inline]
    fn put(&mut self, pool: &Pool, frame: &Frame, side: u8, now: Nanos) -> u32 {
        if self.time != Some(now) {
            if self.ring.push(Slot::time(now)).is_err() {
                return 0;
            }
            self.time = Some(now);
        }
        self.ring.prefetch(AHEAD);
        let bytes = pool.bytes(frame);
        let (wire_len, link_type) = (frame.wire_len(), frame.link_type());
        let slot = |bytes, len, what| Slot { bytes, wire_len, link_type, len, what };
        match bytes.first_chunk::<BYTES>() {
            #[expect(clippy::cast_possible_truncation, reason = "it is 56")]
            Some(first) if wanted::is_enough(first, bytes) => {
                u32::from(self.ring.push(slot(*first, BYTES as u8, side)).is_ok())
            }
            _ => self.put_more(bytes, slot, side),
        }
    }

    /// A frame that takes several slots, or fills none. How many; 0: there is no room.
    #[inline(never)]
    fn put_more(&mut self, bytes: &[u8], slot: impl Fn([u8; BYTES], u8, u8) -> Slot, side: u8) -> u32 {
        let wanted = &bytes[..wanted::bytes(bytes).min(bytes.len())];
        #[expect(clippy::cast_possible_truncation, reason = "9 at most")]
        let slots = wanted.len().div_ceil(BYTES).max(1) as u32;
        if self.ring.room_for(slots) < slots {
            return 0;
        }
        for number in 0..slots as usize {
            let part = wanted.get(number * BYTES..).unwrap_or_default();
            let part = &part[..part.len().min(BYTES)];
            let mut filled = [0; BYTES];
            filled[..part.len()].copy_from_slice(part);
            let more = if number + 1 < slots as usize { Slot::MORE } else { 0 };
            #[expect(clippy::cast_possible_truncation, reason = "56 at most")]
            let len = part.len() as u8;
            // There is room for all.
            let _ = self.ring.push(slot(filled, len, side | more));
        }
        slots
    }

    #[cold]
    #[inline(never)]
    fn lose(&mut self, frames: &[Frame]) {
        self.lost.packets += frames.len() as u64;
        self.lost.bytes += frames.iter().map(|frame| u64::from(frame.wire_len())).sum::<u64>();
        self.shared.packets.store(self.lost.packets, Ordering::Relaxed);
        self.shared.bytes.store(self.lost.bytes, Ordering::Relaxed);
    }
}

/// The beginning of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// When it arrived, in nanoseconds since 1970.
    pub time_ns: u64,
    /// What it starts with; `None`: that cannot be read.
    pub link: Option<Link>,
    /// Where it came from.
    pub arriving: Arriving,
    /// Whether it stays on the host, where both of its ends are.
    pub within: bool,
    /// Bytes that it had on the wire.
    pub wire_len: u32,
    /// Those of them that were copied.
    pub bytes: &'a [u8],
}

/// The observer's end.
#[derive(Debug)]
pub struct Receiver {
    ring: Consumer<Slot>,
    lost: Arc<Lost>,
    /// Of the frames that come next.
    time_ns: u64,
    /// Taken from the ring, and not yet looked at.
    ahead: Option<Slot>,
    /// Whether slots are to be given back.
    taken: bool,
}

impl Receiver {
    /// The time of the oldest frame that is there.
    pub fn oldest_ns(&mut self) -> Option<u64> {
        loop {
            if self.ahead.is_none() {
                self.ahead = self.ring.pop();
                self.taken |= self.ahead.is_some();
            }
            match self.ahead?.as_time() {
                None => return Some(self.time_ns),
                Some(time_ns) => (self.time_ns, self.ahead) = (time_ns, None),
            }
        }
    }

    /// Takes the oldest frame, if it is of this time. `room` is for its bytes, if it takes several slots.
    pub fn take<'a>(&mut self, of_ns: u64, slot: &'a mut Taken) -> Option<Head<'a>> {
        if self.oldest_ns()? != of_ns {
            return None;
        }
        let first = self.ahead.take()?;
        slot.first = first;
        let bytes = if first.what & Slot::MORE == 0 {
            slot.first.bytes()
        } else {
            slot.rest.clear();
            slot.rest.extend_from_slice(first.bytes());
            // All of a frame is published at once.
            while let Some(next) = self.ring.pop() {
                slot.rest.extend_from_slice(next.bytes());
                if next.what & Slot::MORE == 0 {
                    break;
                }
            }
            &slot.rest
        };
        let arriving = match first.what / Slot::SIDE {
            0 => Arriving::Ingress,
            1 => Arriving::Egress,
            _ => Arriving::Either,
        };
        let (link, within) = (Link::from_linktype(first.link_type), first.what & Slot::WITHIN != 0);
        Some(Head { time_ns: of_ns, link, arriving, within, wire_len: first.wire_len, bytes })
    }

    /// Gives the slots of all frames that were taken back.
    pub fn release(&mut self) {
        if std::mem::take(&mut self.taken) {
            self.ring.release();
        }
    }

    /// What the worker had no room for, in packets and bytes of frames.
    #[must_use]
    pub fn lost(&self) -> Volume {
        Volume { packets: self.lost.packets.load(Ordering::Relaxed), bytes: self.lost.bytes.load(Ordering::Relaxed) }
    }
}

/// Room for the bytes of a frame that was taken.
#[derive(Debug)]
pub struct Taken {
    first: Slot,
    rest: Vec<u8>,
}

impl Default for Taken {
    fn default() -> Self {
        Self { first: Slot::EMPTY, rest: Vec::with_capacity(MOST_BYTES) }
    }
}
