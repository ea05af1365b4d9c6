//! A device made of memory: for tests, benchmarks and simulations.

use std::collections::VecDeque;
use std::io;

use crate::{Device, Frame, Held, Pool};

/// A device whose far end is the program itself: frames arrive with [`arrive`](Self::arrive), and those sent wait in
/// a ring of bounded size until [`complete`](Self::complete) or [`take_sent`](Self::take_sent).
#[derive(Debug)]
pub struct Memory {
    arrived: VecDeque<Frame>,
    ring: VecDeque<Frame>,
    done: Vec<Frame>,
    ring_size: usize,
}

impl Memory {
    /// A device with room for `ring_size` frames to be sent.
    #[must_use]
    pub fn new(ring_size: usize) -> Self {
        Self {
            arrived: VecDeque::new(),
            ring: VecDeque::with_capacity(ring_size),
            done: Vec::with_capacity(ring_size),
            ring_size,
        }
    }

    /// Lets a frame arrive: [`Device::receive`] will return it.
    pub fn arrive(&mut self, frame: Frame) {
        self.arrived.push_back(frame);
    }

    /// Takes the oldest frame in the ring, as the far end would.
    pub fn take_sent(&mut self) -> Option<Frame> {
        self.ring.pop_front()
    }

    /// Frames in the ring: sent, and neither taken nor completed.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.ring.len()
    }

    /// Completes all frames in the ring: the next [`Device::reclaim`] brings them home.
    pub fn complete(&mut self) {
        self.done.extend(self.ring.drain(..));
    }
}

impl Device for Memory {
    fn receive(&mut self, _pool: &mut Pool, batch: &mut Vec<Frame>, max: usize) -> io::Result<()> {
        let count = max.min(self.arrived.len());
        batch.extend(self.arrived.drain(..count));
        Ok(())
    }

    fn send(&mut self, frame: Frame) -> Result<(), Frame> {
        if self.ring.len() + self.done.len() == self.ring_size {
            return Err(frame);
        }
        self.ring.push_back(frame);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn reclaim(&mut self, pool: &mut Pool) -> io::Result<()> {
        self.done.drain(..).for_each(|frame| pool.put(frame));
        Ok(())
    }

    fn held(&self) -> Held {
        let count = |frames: usize| u32::try_from(frames).expect("frames are counted in u32");
        Held { filling: count(self.arrived.len()), sending: count(self.ring.len() + self.done.len()) }
    }
}
