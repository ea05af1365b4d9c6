//! Where frames come from and go to.

use std::io;

use crate::{Frame, Pool};

/// LINKTYPE_ETHERNET of the registry at tcpdump.org: what frames of a network interface start with.
pub const ETHERNET: u16 = 1;

/// Frames that a device holds, by what it does with them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Given to the device to be filled with packets; received ones that were not yet asked for included.
    pub filling: u32,
    /// Given to the device to be sent, and not yet reclaimed.
    pub sending: u32,
}

/// Packets that a device has lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Losses {
    /// Arrived and found no room: the ring was full, or had no frame to fill (DPDK's `imissed`). Never received.
    pub missed: u64,
    /// Arrived and were longer than a frame. Never received.
    pub too_long: u64,
    /// Taken by [`Device::send`] and dropped by the interface: its far end is down, or it refused the descriptor (an
    /// interface's `tx_dropped`).
    pub unsent: u64,
}

impl std::ops::Add for Losses {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            missed: self.missed + other.missed,
            too_long: self.too_long + other.too_long,
            unsent: self.unsent + other.unsent,
        }
    }
}

/// Where frames come from and go to: an AF_XDP queue, a capture, memory.
///
/// A device has no clock and never waits. All its frames belong to one [`Pool`], the one passed to each call, and say what
/// their packets start with ([`Frame::link_type`]).
pub trait Device {
    /// Appends at most `max` received frames to `batch`.
    ///
    /// # Errors
    ///
    /// The device failed; frames received before that are in `batch`.
    fn receive(&mut self, pool: &mut Pool, batch: &mut Vec<Frame>, max: usize) -> io::Result<()>;

    /// When the frame at this position of the last batch arrived, if the device's time is virtual: then that may be later than
    /// now, and its packet is to be handled as if it had been received then. `None`: it has arrived.
    #[inline]
    fn arrival(&self, _position: usize) -> Option<u64> {
        None
    }

    /// Says what time it is, in nanoseconds: to devices whose time is virtual.
    #[inline]
    fn set_now(&mut self, _now_ns: u64) {}

    /// Takes a frame to be sent; it leaves at the latest with the next [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// The ring is full: the frame comes back.
    fn send(&mut self, frame: Frame) -> Result<(), Frame>;

    /// Frames that [`send`](Self::send) takes for certain before the device is called again for anything else.
    fn room(&mut self) -> usize;

    /// Takes frames to be sent, one after the other, of which there are no more than the device has [room](Self::room) for.
    ///
    /// # Panics
    ///
    /// If there are more.
    #[inline]
    fn send_all(&mut self, frames: impl ExactSizeIterator<Item = Frame>) {
        frames.for_each(|frame| self.send(frame).expect("there are no more frames than room"));
    }

    /// Makes all frames taken by [`send`](Self::send) leave.
    ///
    /// # Errors
    ///
    /// The device failed; the frames remain its own until reclaimed.
    fn flush(&mut self) -> io::Result<()>;

    /// Brings home the frames that have left, and gives the device new ones to fill.
    ///
    /// # Errors
    ///
    /// The device failed.
    fn reclaim(&mut self, pool: &mut Pool) -> io::Result<()>;

    /// Frames that the device holds.
    fn held(&self) -> Held;

    /// Packets that were lost on the way in or out; they never were, or no longer are, in a frame of the program's.
    ///
    /// # Errors
    ///
    /// The device does not say.
    fn losses(&self) -> io::Result<Losses> {
        Ok(Losses::default())
    }
}
