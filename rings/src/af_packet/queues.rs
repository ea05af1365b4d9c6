//! The data path of a packet socket without its system calls: which frames are where, and what became of packets.

use std::io;

use super::socket::{Arrived, BATCH, Tag};
use crate::af_xdp::Batches;
use crate::area::Area;
use crate::{Frame, Held, Pool};

/// Bytes of a VLAN tag.
const TAG: u16 = 4;

/// Bytes in front of a frame's tag: two addresses.
const ADDRESSES: usize = 12;

/// The frames that a packet socket holds.
#[derive(Debug)]
pub(super) struct Queues {
    area: Area,
    /// The pool that the frames are of.
    pool: u32,
    /// For packets to come: at most a batch.
    filling: Vec<Frame>,
    /// What came with the last batch.
    arrived: Vec<Arrived>,
    /// To be sent, oldest first. The first `done` of them have been.
    sending: Vec<Frame>,
    done: usize,
    /// Frames to be sent, at most.
    pub(super) ring_size: u32,
    /// The interface was down when the kernel was asked last.
    pub(super) down: bool,
    pub(super) too_long: u64,
    pub(super) unsent: u64,
    pub(super) batches: Batches,
    /// Calls made to send.
    pub(super) calls: u64,
    pub(super) stalls_again: u64,
    pub(super) stalls_no_buffers: u64,
}

impl Queues {
    /// Room for `ring_size` frames to be sent, and a batch of frames to fill.
    pub(super) fn new(pool: &mut Pool, ring_size: u32) -> Self {
        let mut queues = Self {
            area: pool.area(),
            pool: pool.id(),
            filling: Vec::with_capacity(BATCH),
            arrived: Vec::with_capacity(BATCH),
            sending: Vec::with_capacity(ring_size as usize),
            done: 0,
            ring_size,
            down: false,
            too_long: 0,
            unsent: 0,
            batches: Batches::default(),
            calls: 0,
            stalls_again: 0,
            stalls_no_buffers: 0,
        };
        queues.refill(pool);
        queues
    }

    /// Appends at most `max` frames to `batch`, of those that `receive` fills: it is given frames to fill, and says of each that
    /// it has filled, from the first on, what came.
    ///
    /// Fails as `receive` does; that nothing is there is no failure.
    pub(super) fn receive(
        &mut self,
        pool: &mut Pool,
        batch: &mut Vec<Frame>,
        max: usize,
        receive: impl FnOnce(&mut Area, &[Frame], &mut dyn FnMut(Arrived)) -> io::Result<()>,
    ) -> io::Result<()> {
        self.assert_is_ours(pool.id());
        let wanted = &self.filling[..max.min(self.filling.len())];
        if wanted.is_empty() {
            return Ok(());
        }
        self.arrived.clear();
        match receive(&mut self.area, wanted, &mut |one| self.arrived.push(one)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            received => received?,
        }
        let before = batch.len();
        let filled = self.filling.drain(..self.arrived.len()).zip(&self.arrived);
        let too_long = &mut self.too_long;
        batch.extend(filled.filter_map(|(frame, &one)| accept(frame, one, pool, too_long)));
        self.batches.count(batch.len() - before);
        Ok(())
    }

    /// Takes a frame to be sent; it comes back if there is no room.
    pub(super) fn send(&mut self, frame: Frame) -> Result<(), Frame> {
        self.assert_is_ours(frame.pool);
        assert!(!frame.is_empty(), "a frame without a packet cannot be sent");
        if self.room() == 0 {
            return Err(frame);
        }
        self.sending.push(frame);
        Ok(())
    }

    /// Frames that there is room for.
    pub(super) fn room(&self) -> usize {
        self.ring_size as usize - self.sending.len()
    }

    /// Has all frames sent by `send`, which sends as many as it can, and fails if that is none.
    ///
    /// Fails as `send` does, where that is not about the first frame alone, or temporary.
    pub(super) fn flush(&mut self, mut send: impl FnMut(&Area, &[Frame]) -> io::Result<usize>) -> io::Result<()> {
        while self.done < self.sending.len() {
            self.calls += 1;
            let error = match send(&self.area, &self.sending[self.done..]) {
                Ok(sent) => {
                    self.done += sent;
                    self.down = false;
                    continue;
                }
                Err(error) => error,
            };
            match error.raw_os_error() {
                Some(libc::EAGAIN) => {
                    self.stalls_again += 1;
                    return Ok(());
                }
                Some(libc::ENETDOWN) => {
                    self.down = true;
                    return Ok(());
                }
                // The interface, or its queueing discipline, dropped it.
                Some(libc::ENOBUFS) => {
                    self.stalls_no_buffers += 1;
                    self.give_up_one();
                }
                // Longer than the interface's MTU, or too short to be a frame.
                Some(libc::EMSGSIZE | libc::EINVAL) => self.give_up_one(),
                _ => return Err(error),
            }
        }
        Ok(())
    }

    /// The oldest packet that is not yet sent will not be.
    fn give_up_one(&mut self) {
        self.unsent += 1;
        self.done += 1;
    }

    /// Brings home what has been sent, and takes frames to fill.
    pub(super) fn reclaim(&mut self, pool: &mut Pool) {
        self.assert_is_ours(pool.id());
        self.sending.drain(..std::mem::take(&mut self.done)).for_each(|frame| pool.put(frame));
        self.refill(pool);
    }

    fn refill(&mut self, pool: &mut Pool) {
        while self.filling.len() < BATCH {
            let Some(frame) = pool.take_to_fill() else { return };
            self.filling.push(frame);
        }
    }

    /// Frames held.
    pub(super) fn held(&self) -> Held {
        Held { filling: count(self.filling.len()), sending: count(self.sending.len()) }
    }

    /// Of the frames to be sent, those that the kernel has not taken.
    pub(super) fn waiting(&self) -> u32 {
        count(self.sending.len() - self.done)
    }

    fn assert_is_ours(&self, pool: u32) {
        assert_eq!(pool, self.pool, "this frame is another pool's");
    }
}

fn count(frames: usize) -> u32 {
    u32::try_from(frames).expect("frames are counted in u32")
}

/// The packet of a frame that has been filled, unless there is none for us: then the frame goes home.
fn accept(mut frame: Frame, arrived: Arrived, pool: &mut Pool, too_long: &mut u64) -> Option<Frame> {
    let Arrived { len, outgoing, tag } = arrived;
    let fits = u16::try_from(len).ok().filter(|&len| u32::from(len) <= frame.len());
    match fits {
        Some(len) if len > 0 && !outgoing => {
            frame.resize(len);
            if let Some(tag) = tag {
                insert(tag, &mut frame, pool);
            }
            return Some(frame);
        }
        None if !outgoing => *too_long += 1,
        _ => {}
    }
    pool.put(frame);
    None
}

/// Puts a tag back where it was, behind the addresses.
fn insert(tag: Tag, frame: &mut Frame, pool: &mut Pool) {
    if (frame.len() as usize) < ADDRESSES {
        return;
    }
    frame.extend_to_the_front(TAG);
    let bytes = pool.bytes_mut(frame);
    bytes.copy_within(usize::from(TAG)..usize::from(TAG) + ADDRESSES, 0);
    let Some(place) = bytes.get_mut(ADDRESSES..ADDRESSES + usize::from(TAG)) else { return };
    place[..2].copy_from_slice(&tag.protocol.to_be_bytes());
    place[2..].copy_from_slice(&tag.control.to_be_bytes());
}

#[cfg(test)]
mod tests;
