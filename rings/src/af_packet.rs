//! The lowest rung: a packet socket on a network interface, for kernels and containers without AF_XDP.
//!
//! A packet socket gets copies. The kernel goes on with what arrives as if nobody had looked, so the interfaces of such a wire
//! are to have nothing that would answer or forward: no addresses, no bridge. What the kernel copies it copies into and out of
//! the pool's frames, a batch at a time (recvmmsg(2), sendmmsg(2)).

mod claim;
mod queues;
mod socket;

use std::cell::Cell;
use std::io;
use std::os::fd::RawFd;

use crate::af_xdp::{Interface, Occupancy, OpenError, Options, Statistics, failed};
use crate::{Device, Frame, Held, Losses, Pool};
use claim::Claim;
use queues::Queues;
use socket::Socket;

use crate::checksum::Checksums;

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
    queues: Queues,
    interface: Interface,
    refusal: Option<String>,
    _claim: Claim,
    checksums: Checksums,
    /// Receive calls since the kernel was asked about the interface.
    looks: u32,
    /// Dropped by the kernel, which forgets them when it has told.
    missed: Cell<u64>,
}

/// A packet socket that is open, and has no frames yet.
#[derive(Debug)]
pub(crate) struct Open {
    socket: Socket,
    interface: Interface,
    refusal: Option<String>,
    claim: Claim,
    ring_size: u32,
}

impl Open {
    /// Opens a socket; packets arrive from then on. `refusal`: what refused a better mode.
    pub(crate) fn new(interface: Interface, refusal: Option<String>, options: &Options) -> Result<Self, OpenError> {
        let claim = Claim::of(interface.index).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => OpenError::InUse { interface: interface.name.clone() },
            _ => OpenError::packet(format!("claim {}", interface.name), source),
        })?;
        let buffer = options.ring_size.saturating_mul(options.frame_size);
        let socket = Socket::open(interface.index, buffer)
            .map_err(|source| OpenError::packet(format!("open a packet socket on {}", interface.name), source))?;
        Ok(Self { socket, interface, refusal, claim, ring_size: options.ring_size })
    }

    /// Takes frames to fill.
    pub(crate) fn start(self, pool: &mut Pool) -> AfPacket {
        let Self { socket, interface, refusal, claim, ring_size } = self;
        let queues = Queues::new(pool, ring_size);
        let (checksums, missed) = (Checksums::default(), Cell::new(0));
        AfPacket { socket, queues, interface, refusal, _claim: claim, checksums, looks: 0, missed }
    }
}

impl AfPacket {
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

    /// Whether unfinished checksums are completed: see [`AfXdp::complete_checksums`](crate::AfXdp::complete_checksums).
    pub fn complete_checksums(&mut self, complete: bool) {
        self.checksums.complete = complete;
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
        self.queues.down
    }

    /// True if frames wait until the kernel takes them: a turn soon will try again. Not of an interface that is down.
    #[must_use]
    pub fn has_unsent(&self) -> bool {
        !self.queues.down && self.queues.waiting() > 0
    }

    /// What has been counted, in the words of AF_XDP: `rx_ring_full` are packets that the socket's buffer had no room for,
    /// `rx_dropped` those longer than a frame.
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn statistics(&self) -> io::Result<Statistics> {
        Ok(Statistics {
            rx_dropped: self.queues.too_long,
            rx_ring_full: self.missed()?,
            kicks: self.queues.calls,
            stalls_again: self.queues.stalls_again,
            stalls_no_buffers: self.queues.stalls_no_buffers,
            unfinished_checksums: self.checksums.unfinished,
            batches: self.queues.batches.0,
            ..Statistics::default()
        })
    }

    /// Frames for packets to come, and packets to be sent. How many have arrived the kernel does not tell.
    #[must_use]
    pub fn occupancy(&self) -> Occupancy {
        let (Held { filling, sending }, tx) = (self.queues.held(), self.queues.waiting());
        Occupancy { size: self.queues.ring_size, rx: 0, fill: filling, tx, completion: sending - tx }
    }

    /// What can be read when packets have arrived.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.socket.descriptor()
    }

    /// Asks the kernel whether the interface is up, and still there; and what was dropped, before it has counted too far.
    pub(crate) fn check(&mut self) -> io::Result<()> {
        self.missed()?;
        let up = self.socket.is_up(self.interface.index);
        self.queues.down = !up.map_err(|error| failed(&self.interface, &error))?;
        Ok(())
    }

    /// Packets that the kernel had no room for.
    fn missed(&self) -> io::Result<u64> {
        let missed = self.missed.get() + u64::from(self.socket.dropped()?);
        self.missed.set(missed);
        Ok(missed)
    }
}

impl Device for AfPacket {
    fn receive(&mut self, pool: &mut Pool, batch: &mut Vec<Frame>, max: usize) -> io::Result<()> {
        self.looks += 1;
        if self.looks >= LOOKS_PER_CHECK {
            self.looks = 0;
            self.check()?;
        }
        let Self { socket, queues, checksums, .. } = self;
        let before = batch.len();
        let received = queues.receive(pool, batch, max, |area, frames, each| socket.receive(area, frames, each));
        checksums.look_at(&mut batch[before..], pool);
        match received {
            // Said once, when the interface has gone down or away.
            Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => self.check(),
            received => received.map_err(|error| failed(&self.interface, &error)),
        }
    }

    fn send(&mut self, frame: Frame) -> Result<(), Frame> {
        self.queues.send(frame)
    }

    fn room(&mut self) -> usize {
        self.queues.room()
    }

    fn flush(&mut self) -> io::Result<()> {
        let Self { socket, queues, .. } = self;
        queues.flush(|area, frames| socket.send(area, frames)).map_err(|error| failed(&self.interface, &error))
    }

    fn reclaim(&mut self, pool: &mut Pool) -> io::Result<()> {
        self.queues.reclaim(pool);
        Ok(())
    }

    fn held(&self) -> Held {
        self.queues.held()
    }

    fn losses(&self) -> io::Result<Losses> {
        Ok(Losses { missed: self.missed()?, too_long: self.queues.too_long, unsent: self.queues.unsent })
    }
}
