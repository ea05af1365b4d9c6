//! A socket on a network interface, of whichever rung of the ladder.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use crate::af_xdp::{Interface, Mode, Occupancy, Statistics, poll_readable};
use crate::{AfPacket, AfXdp, Device, Frame, Held, Losses, Pool};

/// A queue of a network interface, by AF_XDP, or a whole interface, by a packet socket.
///
/// What a device does for a batch is told apart once for the batch.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "the larger one is the usual one")]
pub enum Socket {
    /// By AF_XDP.
    Xdp(AfXdp),
    /// By a packet socket.
    Packet(AfPacket),
}

/// The same of either.
macro_rules! either {
    ($socket:expr, $device:ident => $value:expr) => {
        match $socket {
            Socket::Xdp($device) => $value,
            Socket::Packet($device) => $value,
        }
    };
}

impl Socket {
    /// How packets get from the interface into frames and back.
    #[must_use]
    pub fn mode(&self) -> Mode {
        match self {
            Self::Xdp(device) => device.mode(),
            Self::Packet(_) => Mode::Packet,
        }
    }

    /// What refused a better [mode](Self::mode), in words; `None` if none was asked for, or there is none.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        either!(self, device => device.refusal())
    }

    /// The interface, as it was when opened.
    #[must_use]
    pub fn interface(&self) -> &Interface {
        either!(self, device => device.interface())
    }

    /// The number of the queue; of a packet socket, which gets what comes by any, 0.
    #[must_use]
    pub fn queue(&self) -> u32 {
        match self {
            Self::Xdp(device) => device.queue(),
            Self::Packet(_) => 0,
        }
    }

    /// Whether the interface was down when the kernel was asked last: see [`AfXdp::is_down`].
    #[must_use]
    pub fn is_down(&self) -> bool {
        either!(self, device => device.is_down())
    }

    /// True if frames wait for the kernel to take them: a turn soon will have it do so.
    #[must_use]
    pub fn has_unsent(&self) -> bool {
        either!(self, device => device.has_unsent())
    }

    /// Takes nothing more from the interface: see [`AfXdp::stop_taking`]. Of a packet socket, whose kernel has had the packets
    /// all the time, what arrives is no longer received.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says; then packets go on arriving.
    pub fn stop_taking(&mut self) -> io::Result<()> {
        match self {
            Self::Xdp(device) => {
                device.stop_taking();
                Ok(())
            }
            Self::Packet(device) => device.stop_taking(),
        }
    }

    /// Has the kernel look for packets on the calling core: see [`AfXdp::prefer_busy_poll`].
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says; of a packet socket that it has no queue to look at.
    pub fn prefer_busy_poll(&mut self) -> io::Result<()> {
        match self {
            Self::Xdp(device) => device.prefer_busy_poll(),
            Self::Packet(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "a packet socket has no queue to poll")),
        }
    }

    /// Whether checksums that were left to a network card are completed: see [`AfXdp::complete_checksums`].
    pub fn complete_checksums(&mut self, complete: bool) {
        either!(self, device => device.complete_checksums(complete));
    }

    /// What the socket has counted.
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn statistics(&self) -> io::Result<Statistics> {
        either!(self, device => device.statistics())
    }

    /// How full the rings are.
    #[must_use]
    pub fn occupancy(&self) -> Occupancy {
        either!(self, device => device.occupancy())
    }

    fn check(&mut self) -> io::Result<()> {
        either!(self, device => device.check())
    }
}

impl From<AfXdp> for Socket {
    fn from(device: AfXdp) -> Self {
        Self::Xdp(device)
    }
}

impl From<AfPacket> for Socket {
    fn from(device: AfPacket) -> Self {
        Self::Packet(device)
    }
}

impl Device for Socket {
    fn receive(&mut self, pool: &mut Pool, batch: &mut Vec<Frame>, max: usize) -> io::Result<()> {
        either!(self, device => device.receive(pool, batch, max))
    }

    #[inline]
    fn send(&mut self, frame: Frame) -> Result<(), Frame> {
        either!(self, device => device.send(frame))
    }

    #[inline]
    fn room(&mut self) -> usize {
        either!(self, device => device.room())
    }

    #[inline]
    fn send_all(&mut self, frames: impl ExactSizeIterator<Item = Frame>) {
        either!(self, device => device.send_all(frames));
    }

    fn flush(&mut self) -> io::Result<()> {
        either!(self, device => device.flush())
    }

    fn reclaim(&mut self, pool: &mut Pool) -> io::Result<()> {
        either!(self, device => device.reclaim(pool))
    }

    fn held(&self) -> Held {
        either!(self, device => device.held())
    }

    fn losses(&self) -> io::Result<Losses> {
        either!(self, device => device.losses())
    }
}

/// Waits until one of the sockets has received a packet, or `bell` can be read, at most for `timeout`. True if so; false may
/// also mean that a signal came.
///
/// # Errors
///
/// What ppoll(2) says; and, when nothing came, that an interface is gone.
pub fn wait<'a>(
    sockets: impl IntoIterator<Item = &'a mut Socket>,
    bell: Option<BorrowedFd<'_>>,
    timeout: Duration,
) -> io::Result<bool> {
    let mut sockets: Vec<_> = sockets.into_iter().collect();
    let descriptors = sockets.iter().map(|socket| either!(socket, device => device.descriptor()));
    let descriptors: Vec<_> = descriptors.chain(bell.map(|bell| bell.as_raw_fd())).collect();
    if poll_readable(&descriptors, timeout)? {
        return Ok(true);
    }
    sockets.iter_mut().try_for_each(|socket| socket.check())?;
    Ok(false)
}
