//! A device made of memory: for tests, benchmarks and simulations.

use std::io;

use crate::{Device, Frame, Held, Pool};

/// A device whose far end is the program itself: frames arrive with [`arrive`](Self::arrive), and those sent wait in
/// a ring of bounded size until [`complete`](Self::complete) or [`take_sent`](Self::take_sent).
#[derive(Debug)]
pub struct Memory {
    /// The frames to be received, oldest first.
    arrived: Vec<Frame>,
    /// The frames sent, oldest first. The first `done` of them are complete.
    ring: Vec<Frame>,
    done: usize,
    ring_size: usize,
}

impl Memory {
    /// A device with room for `ring_size` frames to be sent.
    #[must_use]
    pub fn new(ring_size: usize) -> Self {
        Self { arrived: Vec::new(), ring: Vec::with_capacity(ring_size), done: 0, ring_size }
    }

    /// Lets a frame arrive: [`Device::receive`] will return it.
    #[inline]
    pub fn arrive(&mut self, frame: Frame) {
        self.arrived.push(frame);
    }

    /// Takes the oldest frame in the ring, as the far end would.
    pub fn take_sent(&mut self) -> Option<Frame> {
        (self.sent() > 0).then(|| self.ring.remove(self.done))
    }

    /// Frames in the ring: sent, and neither taken nor completed.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.ring.len() - self.done
    }

    /// Completes all frames in the ring: the next [`Device::reclaim`] brings them home.
    pub fn complete(&mut self) {
        self.done = self.ring.len();
    }
}

impl Device for Memory {
    #[inline]
    fn receive(&mut self, _pool: &mut Pool, batch: &mut Vec<Frame>, max: usize) -> io::Result<()> {
        if self.arrived.len() <= max {
            batch.append(&mut self.arrived);
        } else {
            batch.extend(self.arrived.drain(..max));
        }
        Ok(())
    }

    #[inline]
    fn send(&mut self, frame: Frame) -> Result<(), Frame> {
        if self.ring.len() == self.ring_size {
            return Err(frame);
        }
        self.ring.push(frame);
        Ok(())
    }

    #[inline]
    fn room(&mut self) -> usize {
        self.ring_size - self.ring.len()
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    #[inline]
    fn reclaim(&mut self, pool: &mut Pool) -> io::Result<()> {
        self.ring.drain(..std::mem::take(&mut self.done)).for_each(|frame| pool.put(frame));
        Ok(())
    }

    fn held(&self) -> Held {
        let count = |frames: usize| u32::try_from(frames).expect("frames are counted in u32");
        Held { filling: count(self.arrived.len()), sending: count(self.ring.len()) }
    }
}
