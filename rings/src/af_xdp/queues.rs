//! The four rings of a socket, and the books of the frames that are in them.

use std::io;

use libc::xdp_desc;

use super::multi_buffer::{MultiBuffer, Sent};
use super::sizes::chunk_size;
use super::socket::Socket;
use crate::ring::{COMPLETION, Consumer, FILL, Producer, RX, Ring, TX};
use crate::{Frame, Held, Layout, Pool};

/// The data path of a socket without its system calls.
///
/// What the kernel hands back is checked, not believed: a descriptor that does not lie within the first chunk of a frame of
/// the pool, or that is one more than the kernel was given, makes no frame and is counted as a stray.
#[derive(Debug)]
pub(super) struct Queues {
    pub(super) rx: Consumer<xdp_desc>,
    pub(super) fill: Producer<u64>,
    pub(super) tx: Producer<xdp_desc>,
    pub(super) completion: Consumer<u64>,
    held: Held,
    pub(super) strays: u64,
    /// Where frames are several chunks long.
    multi_buffer: Option<MultiBuffer>,
    layout: Layout,
    pool: u32,
    /// Entries of each ring, a power of two.
    pub(super) size: u32,
}

impl Queues {
    /// Maps the rings of a socket, `size` entries each, whose frames are those of the pool with the id `pool`.
    pub(super) fn map(socket: &Socket, layout: Layout, size: u32, pool: u32) -> io::Result<Self> {
        let (descriptor, offsets) = (socket.descriptor(), socket.offsets()?);
        Ok(Self {
            rx: Consumer::new(Ring::map(descriptor, &RX, &offsets, size)?),
            fill: Producer::new(Ring::map(descriptor, &FILL, &offsets, size)?),
            tx: Producer::new(Ring::map(descriptor, &TX, &offsets, size)?),
            completion: Consumer::new(Ring::map(descriptor, &COMPLETION, &offsets, size)?),
            held: Held::default(),
            strays: 0,
            multi_buffer: MultiBuffer::of(layout),
            layout,
            pool,
            size,
        })
    }

    /// Appends at most `max` received frames to `batch`.
    pub(super) fn receive(&mut self, pool: &mut Pool, batch: &mut Vec<Frame>, max: usize) {
        self.check(pool.id());
        let (full, mut is_empty) = (batch.len() + max, true);
        while batch.len() < full {
            let Some(descriptor) = self.rx.pop() else { break };
            is_empty = false;
            let mut frame = self.take(descriptor);
            if let Some(multi_buffer) = &mut self.multi_buffer {
                frame = multi_buffer.receive(frame, descriptor.options, pool);
            }
            if let Some(frame) = frame {
                // The packet is in the cache of whoever wrote it: of another core, if the kernel copied it.
                pool.prefetch(&frame);
                batch.push(frame);
            }
        }
        if !is_empty {
            self.rx.release();
        }
    }

    /// The token for a descriptor that was received.
    #[inline]
    fn take(&mut self, descriptor: xdp_desc) -> Option<Frame> {
        let frame = self.frame(descriptor).filter(|_| self.held.filling > 0);
        match frame {
            Some(_) => self.held.filling -= 1,
            None => self.strays += 1,
        }
        frame
    }

    /// Adds a frame to the transmit ring; the kernel sees it after [`publish`](Self::publish).
    pub(super) fn send(&mut self, frame: Frame) -> Result<(), Frame> {
        self.check(frame.pool);
        assert!(!frame.is_empty(), "the kernel never gives back a frame without a packet");
        let is_full = match &mut self.multi_buffer {
            Some(multi_buffer) => {
                let count = multi_buffer.count(&frame);
                // They come one by one, but the kernel sees none before the last.
                self.tx.room_for(count) < count || multi_buffer.send(&frame).any(|part| self.tx.push(part).is_err())
            }
            None => {
                let descriptor = xdp_desc { addr: u64::from(frame.address), len: frame.len(), options: 0 };
                self.tx.push(descriptor).is_err()
            }
        };
        if is_full {
            return Err(frame);
        }
        self.held.sending += 1;
        Ok(())
    }

    /// Frames that the transmit ring has room for.
    pub(super) fn room(&mut self) -> usize {
        let frames = match &self.multi_buffer {
            Some(multi_buffer) => self.tx.room_for(multi_buffer.most()) / multi_buffer.most(),
            None => self.tx.room(),
        };
        frames as usize
    }

    /// Frames in the rings.
    pub(super) fn held(&self) -> Held {
        let arriving = self.multi_buffer.as_ref().map_or(0, MultiBuffer::arriving);
        Held { filling: self.held.filling + arriving, ..self.held }
    }

    /// Packets that came in several descriptors, and were longer than a frame.
    pub(super) fn too_long(&self) -> u64 {
        self.multi_buffer.as_ref().map_or(0, |multi_buffer| multi_buffer.too_long)
    }

    /// Shows the kernel all frames to be sent.
    pub(super) fn publish(&mut self) {
        self.tx.publish();
    }

    /// Brings home what has been sent, and gives the kernel frames to fill.
    pub(super) fn reclaim(&mut self, pool: &mut Pool) {
        self.check(pool.id());
        self.complete(pool);
        self.refill(pool);
    }

    fn complete(&mut self, pool: &mut Pool) {
        let mut taken = false;
        while let Some(address) = self.completion.pop() {
            taken = true;
            match self.sent(address) {
                Sent::Packet(address) => {
                    self.held.sending -= 1;
                    pool.restore(address);
                }
                Sent::Part => {}
                Sent::Stray => self.strays += 1,
            }
        }
        if taken {
            self.completion.release();
        }
    }

    fn refill(&mut self, pool: &mut Pool) {
        let before = self.held.filling;
        while self.held.filling < self.size {
            let Some(frame) = pool.take() else { break };
            let address = pool.surrender(frame);
            if self.fill.push(u64::from(address)).is_err() {
                pool.restore(address);
                break;
            }
            self.held.filling += 1;
        }
        if self.held.filling != before {
            self.fill.publish();
        }
    }

    /// What it is that has been sent.
    fn sent(&mut self, address: u64) -> Sent {
        match self.address(address) {
            Some(address) if self.held.sending > 0 => match &mut self.multi_buffer {
                Some(multi_buffer) => multi_buffer.complete(address),
                None => Sent::Packet(address),
            },
            _ => Sent::Stray,
        }
    }

    /// The token for a received descriptor, if it lies within the first chunk of a frame of the pool.
    fn frame(&self, descriptor: xdp_desc) -> Option<Frame> {
        let address = self.address(descriptor.addr)?;
        let len = u16::try_from(descriptor.len).ok()?;
        let Layout { frame_size, .. } = self.layout;
        let room = chunk_size(frame_size).checked_sub(address % frame_size)?;
        (1..=room).contains(&u32::from(len)).then_some(Frame::new(self.pool, address, len))
    }

    fn address(&self, address: u64) -> Option<u32> {
        if address < self.layout.bytes() { u32::try_from(address).ok() } else { None }
    }

    fn check(&self, pool: u32) {
        assert_eq!(pool, self.pool, "this frame is another pool's");
    }
}

#[cfg(test)]
mod tests;
