//! A device with endless traffic: what it sends comes back as what arrives.

use std::io;

use portlane_rings::{Device, Frame, Held, Pool};

use super::traffic::Traffic;
use crate::line::BATCH;

/// With more frames in use, packets leave the cache before they are received, and are asked for then, as by other devices.
const FRAMES_IN_CACHE: u32 = 2_048;

/// Frames that may wait to have been sent.
const RING: usize = 1_024;

/// A device from which a whole batch arrives in every turn, and to which everything can be sent.
///
/// Its receive ring is of a fixed size, as that of an interface: a frame that has left is filled with a packet that is yet
/// to come, joins the end of the ring, and is received once it has got to the front. Where the ring is longer than the
/// caches reach, packets have therefore left the caches when they are received.
#[derive(Debug)]
pub struct Source {
    traffic: Traffic,
    /// The receive ring, a batch in each place.
    ring: Vec<Vec<Frame>>,
    /// The place that is received next.
    front: usize,
    /// What has been sent since the last [`Device::reclaim`]: never more than there was room for in the beginning.
    sent: Vec<Frame>,
    /// Packets for which there was no frame.
    missed: u64,
    /// Of several workers: how many frames may be with others for more packets to arrive. They come as fast as they are taken,
    /// for a worker that drops is faster than one that does not.
    patience: Option<u32>,
}

impl Source {
    /// A device with a ring of so many batches, all of them filled.
    pub(super) fn new(traffic: Traffic, batches: usize, pool: &mut Pool) -> Self {
        let ring = std::iter::repeat_with(|| Vec::with_capacity(BATCH)).take(batches).collect();
        let sent = Vec::with_capacity(RING);
        let mut source = Self { traffic, ring, front: 0, sent, missed: 0, patience: None };
        (0..batches).for_each(|place| source.fill(place, pool));
        source
    }

    /// The device of a worker who shares its pool with others: packets wait while others have so many of its frames.
    pub(super) fn patient(self, lent: u32) -> Self {
        Self { patience: Some(lent), ..self }
    }

    /// What arrives.
    pub(super) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Packets for which there was no frame when they arrived.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// Lets the next packets wait in an empty place of the ring: in the frames that were sent, and in others of the pool.
    #[inline]
    fn fill(&mut self, place: usize, pool: &mut Pool) {
        let Self { traffic, ring, sent, .. } = self;
        let batch = &mut ring[place];
        if self.patience.is_some() {
            send_home(sent, pool);
        }
        sent.drain(sent.len().min(BATCH)..).for_each(|frame| pool.put(frame));
        batch.append(sent);
        while batch.len() < BATCH {
            let Some(mut frame) = pool.take() else { break };
            pool.write(&mut frame, traffic.packet()).expect("a frame holds a packet of Ethernet");
            batch.push(frame);
        }
        self.missed += (BATCH - batch.len()) as u64;
        traffic.fill(pool, batch);
    }
}

/// Frames of other workers go back to them.
fn send_home(sent: &mut Vec<Frame>, pool: &mut Pool) {
    let mut place = 0;
    while let Some(frame) = sent.get(place) {
        if pool.owns(frame) {
            place += 1;
        } else {
            pool.put(sent.swap_remove(place));
        }
    }
}

impl Device for Source {
    #[inline]
    fn receive(&mut self, pool: &mut Pool, batch: &mut Vec<Frame>, max: usize) -> io::Result<()> {
        if self.patience.is_some_and(|lent| pool.lent() > lent) {
            return Ok(());
        }
        debug_assert!(max >= BATCH && batch.is_empty() && batch.capacity() >= BATCH, "a line receives whole batches");
        std::mem::swap(batch, &mut self.ring[self.front]);
        if pool.total() - pool.free() > FRAMES_IN_CACHE {
            batch.iter().for_each(|frame| pool.prefetch(frame));
        }
        self.front += 1;
        if self.front == self.ring.len() {
            self.front = 0;
        }
        Ok(())
    }

    #[inline]
    fn send(&mut self, frame: Frame) -> Result<(), Frame> {
        if self.sent.len() == self.sent.capacity() {
            return Err(frame);
        }
        self.sent.push(frame);
        Ok(())
    }

    #[inline]
    fn room(&mut self) -> usize {
        self.sent.capacity() - self.sent.len()
    }

    #[inline]
    fn send_all(&mut self, frames: impl ExactSizeIterator<Item = Frame>) {
        assert!(frames.len() <= self.room(), "there are no more frames than room");
        self.sent.extend(frames);
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    #[inline]
    fn reclaim(&mut self, pool: &mut Pool) -> io::Result<()> {
        let received_last = self.front.checked_sub(1).unwrap_or(self.ring.len() - 1);
        if self.ring[received_last].is_empty() {
            self.fill(received_last, pool);
        }
        Ok(())
    }

    fn held(&self) -> Held {
        let count = |frames: usize| u32::try_from(frames).expect("frames are counted in u32");
        Held { filling: count(self.ring.iter().map(Vec::len).sum()), sending: count(self.sent.len()) }
    }
}
