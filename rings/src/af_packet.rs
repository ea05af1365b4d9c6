//! The lowest rung: a packet socket on a network interface, for kernels and containers without AF_XDP.
//!
//! A packet socket gets copies. The kernel goes on with what arrives as if nobody had looked, so the interfaces of such a wire
//! are to have nothing that would answer or forward: no addresses, no bridge. What the kernel copies it copies into and out of
//! the pool's frames, a batch at a time (recvmmsg(2), sendmmsg(2)).

mod socket;

use std::cell::Cell;
use std::io;
use std::os::fd::RawFd;

use crate::af_xdp::{Batches, Interface, Occupancy, OpenError, Options, Statistics, failed};
use crate::area::Area;
use crate::{Device, Frame, Held, Losses, Pool};
use socket::{Arrived, BATCH, Socket, Tag};

/// Bytes of a VLAN tag.
const TAG: u16 = 4;

/// Bytes in front of a frame's tag: two addresses.
const ADDRESSES: usize = 12;

/// After how many receive calls the kernel is asked whether the interface is still there.
const LOOKS_PER_CHECK: u32 = 4_096;

/// A packet socket on a network interface. Made by [`open_wire`](crate::open_wire).
///
/// Frames that this host sends by the interface are not received. A VLAN tag, which the kernel takes out of every frame, is
/// put back. What is longer than a frame is dropped and counted. Frames are sent through the interface's queueing discipline.
///
/// Dropped, or when the process dies in whatever way, the interface is as it was before.
///
/// [`send`](Device::send) panics if a frame is another pool's, or without a packet.
#[derive(Debug)]
pub struct AfPacket {
    socket: Socket,
    interface: Interface,
    refusal: Option<String>,
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
    ring_size: u32,
    /// The interface was down when the kernel was asked last.
    down: bool,
    looks: u32,
    too_long: u64,
    unsent: u64,
    /// Dropped by the kernel, which forgets them when it has told.
    missed: Cell<u64>,
    batches: Batches,
    kicks: u64,
    stalls_again: u64,
    stalls_no_buffers: u64,
}

impl AfPacket {
    /// Opens a socket; packets arrive from then on. `refusal`: what refused a better mode.
    pub(crate) fn open(
        interface: Interface,
        refusal: Option<String>,
        pool: &mut Pool,
        options: &Options,
    ) -> Result<Self, OpenError> {
        let buffer = options.ring_size.saturating_mul(options.frame_size);
        let socket = Socket::open(interface.index, buffer)
            .map_err(|source| OpenError::packet(format!("open a packet socket on {}", interface.name), source))?;
        let mut device = Self {
            socket,
            interface,
            refusal,
            area: pool.area(),
            pool: pool.id(),
            filling: Vec::with_capacity(BATCH),
            arrived: Vec::with_capacity(BATCH),
            sending: Vec::with_capacity(options.ring_size as usize),
            done: 0,
            ring_size: options.ring_size,
            down: false,
            looks: 0,
            too_long: 0,
            unsent: 0,
            missed: Cell::new(0),
            batches: Batches::default(),
            kicks: 0,
            stalls_again: 0,
            stalls_no_buffers: 0,
        };
        device.refill(pool);
        Ok(device)
    }

    /// What refused a better mode, in words; `None` if none was asked for.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// The interface, as it was when opened.
    #[must_use]
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// Receives nothing more that arrives. What has arrived can still be received, and frames can still be sent.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says; then everything goes on.
    pub fn stop_taking(&mut self) -> io::Result<()> {
        self.socket.stop_taking()
    }

    /// Whether the interface was down when the kernel was asked last: what is sent waits. Up again, it goes on where it was.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.down
    }

    /// True if frames wait until the kernel takes them: a turn soon will try again. Not of an interface that is down.
    #[must_use]
    pub fn has_unsent(&self) -> bool {
        !self.down && self.done < self.sending.len()
    }

    /// What has been counted, in the words of AF_XDP: `rx_ring_full` are packets that the socket's buffer had no room for,
    /// `rx_dropped` those longer than a frame.
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn statistics(&self) -> io::Result<Statistics> {
        Ok(Statistics {
            rx_dropped: self.too_long,
            rx_ring_full: self.missed()?,
            kicks: self.kicks,
            stalls_again: self.stalls_again,
            stalls_no_buffers: self.stalls_no_buffers,
            batches: self.batches.0,
            ..Statistics::default()
        })
    }

    /// Frames for packets to come, and packets to be sent. How many have arrived the kernel does not tell.
    #[must_use]
    pub fn occupancy(&self) -> Occupancy {
        let Held { filling, sending } = self.held();
        let completion = count(self.done);
        Occupancy { size: self.ring_size, rx: 0, fill: filling, tx: sending - completion, completion }
    }

    /// What can be read when packets have arrived.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.socket.descriptor()
    }

    /// Asks the kernel whether the interface is up, and still there; and what was dropped, before it has counted too far.
    pub(crate) fn check(&mut self) -> io::Result<()> {
        self.missed()?;
        let up = self.socket.is_up(self.interface.index);
        self.down = !up.map_err(|error| failed(&self.interface, &error))?;
        Ok(())
    }

    /// Packets that the kernel had no room for.
    fn missed(&self) -> io::Result<u64> {
        let missed = self.missed.get() + u64::from(self.socket.dropped()?);
        self.missed.set(missed);
        Ok(missed)
    }

    /// The packet of a frame that has arrived, unless there is none for us.
    fn accept(&mut self, mut frame: Frame, arrived: Arrived, pool: &mut Pool) -> Option<Frame> {
        let Arrived { len, outgoing, tag } = arrived;
        let len = u16::try_from(len).ok().filter(|&len| u32::from(len) <= frame.len());
        match len {
            Some(len) if len > 0 && !outgoing => {
                frame.resize(len);
                if let Some(tag) = tag {
                    insert(tag, &mut frame, pool);
                }
                return Some(frame);
            }
            None if !outgoing => self.too_long += 1,
            _ => {}
        }
        pool.put(frame);
        None
    }

    /// The oldest packet that is not yet sent will not be.
    fn give_up_one(&mut self) {
        self.unsent += 1;
        self.done += 1;
    }

    fn refill(&mut self, pool: &mut Pool) {
        while self.filling.len() < BATCH {
            let Some(frame) = pool.take_to_fill() else { return };
            self.filling.push(frame);
        }
    }

    fn assert_is_ours(&self, pool: u32) {
        assert_eq!(pool, self.pool, "this frame is another pool's");
    }
}

impl Device for AfPacket {
    fn receive(&mut self, pool: &mut Pool, batch: &mut Vec<Frame>, max: usize) -> io::Result<()> {
        self.assert_is_ours(pool.id());
        self.looks += 1;
        if self.looks >= LOOKS_PER_CHECK {
            self.looks = 0;
            self.check()?;
        }
        let Self { socket, area, filling, arrived, .. } = self;
        let wanted = &filling[..max.min(filling.len())];
        if wanted.is_empty() {
            return Ok(());
        }
        arrived.clear();
        match socket.receive(area, wanted, |one| arrived.push(one)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            // Said once, when the interface has gone down or away.
            Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => return self.check(),
            Err(error) => return Err(failed(&self.interface, &error)),
        }
        let before = batch.len();
        let (mut filling, arrived) = (std::mem::take(&mut self.filling), std::mem::take(&mut self.arrived));
        let received = filling.drain(..arrived.len()).zip(&arrived);
        batch.extend(received.filter_map(|(frame, &one)| self.accept(frame, one, pool)));
        (self.filling, self.arrived) = (filling, arrived);
        self.batches.count(batch.len() - before);
        Ok(())
    }

    fn send(&mut self, frame: Frame) -> Result<(), Frame> {
        self.assert_is_ours(frame.pool);
        assert!(!frame.is_empty(), "a frame without a packet cannot be sent");
        if self.room() == 0 {
            return Err(frame);
        }
        self.sending.push(frame);
        Ok(())
    }

    fn room(&mut self) -> usize {
        self.ring_size as usize - self.sending.len()
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.done < self.sending.len() {
            self.kicks += 1;
            let error = match self.socket.send(&self.area, &self.sending[self.done..]) {
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
                _ => return Err(failed(&self.interface, &error)),
            }
        }
        Ok(())
    }

    fn reclaim(&mut self, pool: &mut Pool) -> io::Result<()> {
        self.assert_is_ours(pool.id());
        self.sending.drain(..std::mem::take(&mut self.done)).for_each(|frame| pool.put(frame));
        self.refill(pool);
        Ok(())
    }

    fn held(&self) -> Held {
        Held { filling: count(self.filling.len()), sending: count(self.sending.len()) }
    }

    fn losses(&self) -> io::Result<Losses> {
        Ok(Losses { missed: self.missed()?, too_long: self.too_long, unsent: self.unsent })
    }
}

fn count(frames: usize) -> u32 {
    u32::try_from(frames).expect("frames are counted in u32")
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
mod tests {
    use super::*;
    use crate::Layout;
    use crate::af_xdp::HEADROOM;

    #[test]
    fn a_tag_goes_behind_the_addresses() {
        let layout = Layout { frames: 1, frame_size: 2_048 };
        let area = Area::map(2_048).unwrap();
        let mut pool = Pool::over(area, layout, HEADROOM);
        let tag = Tag { protocol: 0x88a8, control: 0x6007 };
        let mut frame = pool.take().unwrap();
        pool.write(&mut frame, b"far-hwnear-wtype and more").unwrap();
        insert(tag, &mut frame, &mut pool);
        assert_eq!(pool.bytes(&frame), b"far-hwnear-w\x88\xa8\x60\x07type and more".as_slice());
        assert_eq!(frame.wire_len(), frame.len());
        // Nothing that an interface would deliver.
        pool.write(&mut frame, b"far-hwnear-").unwrap();
        insert(tag, &mut frame, &mut pool);
        assert_eq!(pool.bytes(&frame), b"far-hwnear-");
        pool.put(frame);
        assert_eq!(pool.take_to_fill().map(|frame| frame.len()), Some(pool.capacity()));
    }
}
