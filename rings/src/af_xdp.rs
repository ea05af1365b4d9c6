//! The AF_XDP device: a queue of a network interface.
//!
//! xsk-rs makes the UMEM and the sockets and keeps them alive; on the data path none of its code runs. It reaches a
//! ring's entries through functions of libxdp, one call each, and a forwarded packet passes four rings: measured on
//! rings in memory that is 9 ns a packet, against 3 for rings that the compiler can see through. So the rings are mapped
//! a second time, from the sockets' descriptors (`mod ring`). The XDP program is our own too, because libxdp's stays
//! attached when the process is killed (`mod program`: takes everything; `mod steering`: chooses).
//!
//! Who owns what: the devices of a wire's interface together hold the program's link and the membership that makes it
//! promiscuous; each has its socket and its rings, and lets go of them after its share of those. The UMEM belongs to the pool
//! and all sockets together.

mod error;
mod features;
mod gate;
mod interface;
mod members;
mod memory_limit;
mod multi_buffer;
mod nic;
mod open;
mod owners;
mod program;
mod queues;
mod sizes;
mod socket;
mod solicitations;
mod steering;

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

pub use error::OpenError;
pub use features::Features;
pub use gate::{Gate, GateCounters};
pub use interface::Interface;
pub(crate) use interface::{Promiscuous, bind_to, deaf_packet_socket};
pub use members::Offender;
pub use nic::{BoundNic, Nic, Pairs, QueueChoice, bind_nic};
pub(crate) use open::{Bound, bind_wire};
pub use open::{Io, Options, look_up};
pub use owners::Owners;
pub(crate) use sizes::with_frames_for;
pub(crate) use socket::{HEADROOM, poll_readable};
pub use solicitations::{Solicitation, Solicitations};
pub use steering::{NewRules, Rules, Side, Steering, Verdict, VerdictCounters, Verdicts};

use open::{QueueOf, Tap};
use queues::Queues;
use socket::Socket;

use crate::checksum::Checksums;
use crate::{Device, Frame, Held, Losses, Pool};

/// In copy mode the kernel sends at most this many packets per call, unless told otherwise: `TX_BATCH_SIZE`.
const SENT_PER_KICK: u32 = 32;

/// After how many empty looks at the receive ring the kernel is asked whether the interface is still there.
const LOOKS_PER_CHECK: u32 = 4_096;

/// How packets get from the interface into frames and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The driver reads and writes frames in place.
    ZeroCopy,
    /// Native XDP in the driver; the kernel copies each packet once.
    Copy,
    /// XDP after the driver, on kernel buffers; the kernel copies each packet once.
    Generic,
    /// A packet socket; the kernel copies each packet twice, and keeps one for itself.
    Packet,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ZeroCopy => "zero-copy",
            Self::Copy => "copy",
            Self::Generic => "generic",
            Self::Packet => "packet",
        })
    }
}

/// What an AF_XDP socket has counted since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Packets dropped for reasons other than those below (longer than a frame, for one), by the kernel or by us.
    pub rx_dropped: u64,
    /// Packets dropped because an entry of the fill ring was invalid.
    pub rx_invalid_descs: u64,
    /// Packets not sent because their entry of the transmit ring was invalid.
    pub tx_invalid_descs: u64,
    /// Packets dropped because the receive ring was full.
    pub rx_ring_full: u64,
    /// Times that the kernel wanted a frame to fill and found none: the program was late, or short of frames.
    pub rx_fill_ring_empty_descs: u64,
    /// Times that the kernel looked for a packet to send and found none.
    pub tx_ring_empty_descs: u64,
    /// System calls made to have packets sent.
    pub kicks: u64,
    /// Of these, how many ended with `EAGAIN`: not all could be sent at once.
    pub stalls_again: u64,
    /// Of these, how many ended with `EBUSY`: the interface dropped a packet.
    pub stalls_busy: u64,
    /// Of these, how many ended with `ENOBUFS`: no memory, or a full interface.
    pub stalls_no_buffers: u64,
    /// Entries handed back by the kernel that lay outside the pool, or that it had never been given.
    pub strays: u64,
    /// Packets of TCP and UDP whose checksum was left to a network card that is not there (and one finished one in 65,536, which
    /// looks the same). Not looked for in zero-copy mode: those packets come from a card.
    pub unfinished_checksums: u64,
    /// Receive calls that returned packets, by how many: 1, 2 to 3, 4 to 7, to 64 and more.
    pub batches: [u64; BATCH_SIZES],
}

/// Sizes of batches are counted by powers of two, to 64.
const BATCH_SIZES: usize = 7;

/// Receive calls that returned packets, by how many.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Batches(pub(crate) [u64; BATCH_SIZES]);

impl Batches {
    /// Counts a call that returned so many; false if it is none.
    pub(crate) fn count(&mut self, packets: usize) -> bool {
        let Some(power) = packets.checked_ilog2() else { return false };
        self.0[(power as usize).min(BATCH_SIZES - 1)] += 1;
        true
    }
}

/// Entries in the rings of a socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Entries that each ring has room for.
    pub size: u32,
    /// Packets that have arrived.
    pub rx: u32,
    /// Frames for packets to come.
    pub fill: u32,
    /// Packets to be sent.
    pub tx: u32,
    /// Frames whose packets have been sent.
    pub completion: u32,
}

/// A queue of a network interface. Made by [`Bound::start`](crate::Bound::start) and [`open_wire`](crate::open_wire).
///
/// When all of its queues are dropped, or the process dies in whatever way, the interface of a wire is as it was before: no
/// program attached, not promiscuous. The first queue that was opened is free for other AF_XDP sockets once the pool is gone as well.
/// Frames that the kernel still held are lost to the pool.
///
/// [`send`](Device::send) panics if a frame is another pool's, or without a packet: the kernel never gives one of these
/// back.
#[derive(Debug)]
pub struct AfXdp {
    /// Of a wire. What chooses is in [`Steering`].
    tap: Option<Arc<Tap>>,
    queues: Queues,
    socket: Socket,
    interface: Interface,
    queue: u32,
    mode: Mode,
    /// What refused a better mode.
    refusal: Option<String>,
    need_wakeup: bool,
    /// The interface was down when the kernel was asked last.
    down: bool,
    /// After how many empty looks at the receive ring the kernel is asked.
    looks_per_check: u32,
    /// Looks at the receive ring since something was in it.
    empty_looks: u32,
    batches: Batches,
    kicks: u64,
    stalls_again: u64,
    stalls_busy: u64,
    stalls_no_buffers: u64,
    checksums: Checksums,
}

impl AfXdp {
    fn new((interface, queue): QueueOf<'_>, mode: Mode, need_wakeup: bool, queues: Queues, socket: Socket) -> Self {
        Self {
            tap: None,
            queues,
            socket,
            interface: interface.clone(),
            queue,
            mode,
            refusal: None,
            need_wakeup,
            down: false,
            looks_per_check: LOOKS_PER_CHECK,
            empty_looks: 0,
            batches: Batches::default(),
            kicks: 0,
            stalls_again: 0,
            stalls_busy: 0,
            stalls_no_buffers: 0,
            checksums: Checksums::default(),
        }
    }

    /// Takes nothing more from the interface of a wire: the program is detached once all of its queues have been told so, and
    /// the kernel gets the packets that arrive. (Where a program chooses, it is [`Steering::stop_taking`] that does this.)
    /// What is in the receive ring can still be received, and frames can still be sent.
    pub fn stop_taking(&mut self) {
        self.tap = None;
    }

    /// Has the kernel look for packets on the calling core, whenever [`receive`](Device::receive) finds the ring empty,
    /// rather than wait for the interface's interrupt. For drivers with NAPI; others are as before, but for a system call
    /// each time. What is best beside it: `napi_defer_hard_irqs` and `gro_flush_timeout` of the interface.
    ///
    /// # Errors
    ///
    /// What setsockopt(2) says: before Linux 5.11 `ENOPROTOOPT`, without `CAP_NET_ADMIN` `EPERM`.
    pub fn prefer_busy_poll(&mut self) -> io::Result<()> {
        self.socket.prefer_busy_poll()?;
        self.looks_per_check = 1;
        Ok(())
    }

    /// Whether checksums of TCP and UDP that were left to a network card are completed in what is received from now on. In any
    /// case they are counted.
    pub fn complete_checksums(&mut self, complete: bool) {
        self.checksums.complete = complete;
    }

    /// Whether the interface was down when the kernel was asked last: it receives nothing, and what is sent waits in the
    /// ring. Up again, it goes on where it was. A device that sleeps asks after each [`wait`](crate::wait) in vain.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.down
    }

    /// How packets get from the interface into frames and back.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What refused a better [mode](Self::mode), in words; `None` if none was asked for, or there is none.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// The interface, as it was when opened.
    #[must_use]
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// The number of the queue.
    #[must_use]
    pub fn queue(&self) -> u32 {
        self.queue
    }

    /// True if frames wait in the transmit ring for the kernel to look at it again: a turn soon will have it do so. Not of
    /// an interface that is down.
    #[must_use]
    pub fn has_unsent(&self) -> bool {
        !self.down && self.queues.tx.pending() > 0
    }

    /// What the socket has counted.
    ///
    /// # Errors
    ///
    /// What getsockopt(2) says.
    pub fn statistics(&self) -> io::Result<Statistics> {
        let kernel = self.socket.statistics()?;
        Ok(Statistics {
            rx_dropped: kernel.rx_dropped + self.queues.too_long(),
            rx_invalid_descs: kernel.rx_invalid_descs,
            tx_invalid_descs: kernel.tx_invalid_descs,
            rx_ring_full: kernel.rx_ring_full,
            rx_fill_ring_empty_descs: kernel.rx_fill_ring_empty_descs,
            tx_ring_empty_descs: kernel.tx_ring_empty_descs,
            kicks: self.kicks,
            stalls_again: self.stalls_again,
            stalls_busy: self.stalls_busy,
            stalls_no_buffers: self.stalls_no_buffers,
            strays: self.queues.strays,
            unfinished_checksums: self.checksums.unfinished,
            batches: self.batches.0,
        })
    }

    /// How full the rings are.
    #[must_use]
    pub fn occupancy(&self) -> Occupancy {
        let Queues { rx, fill, tx, completion, size, .. } = &self.queues;
        Occupancy {
            size: *size,
            rx: rx.waiting(),
            fill: fill.pending(),
            tx: tx.pending(),
            completion: completion.waiting(),
        }
    }

    /// Has the kernel look at the transmit ring. True if it may have got on: calling again may send more.
    fn kick(&mut self) -> io::Result<bool> {
        self.kicks += 1;
        let before = self.queues.tx.pending();
        let kicked = self.socket.kick();
        self.down = kicked.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::ENETDOWN));
        let Err(error) = kicked else { return Ok(self.queues.tx.pending() != before) };
        match error.raw_os_error() {
            Some(libc::ENETDOWN) => {}
            Some(libc::EAGAIN) => self.stalls_again += 1,
            Some(libc::ENOBUFS) => self.stalls_no_buffers += 1,
            Some(libc::EBUSY) => {
                self.stalls_busy += 1;
                // The packet is off the ring, though the ring's index may not show it yet.
                return Ok(true);
            }
            _ => return Err(self.failed(&error)),
        }
        Ok(self.queues.tx.pending() != before)
    }

    /// What can be read when packets have arrived.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.socket.descriptor().as_raw_fd()
    }

    /// Asks the kernel whether the interface is up, and still there; and wakes a driver that waits for frames.
    pub(crate) fn check(&mut self) -> io::Result<()> {
        let woken = self.socket.wake();
        let error = woken.as_ref().err().and_then(io::Error::raw_os_error);
        self.down = error == Some(libc::ENETDOWN);
        match woken {
            Err(gone) if error == Some(libc::ENXIO) => Err(self.failed(&gone)),
            // Any other answer comes from an interface that is there.
            _ => Ok(()),
        }
    }

    fn failed(&self, error: &io::Error) -> io::Error {
        failed(&self.interface, error)
    }
}

/// Why an interface cannot be served any more.
pub(crate) fn failed(Interface { name, .. }: &Interface, error: &io::Error) -> io::Error {
    let words = match error.raw_os_error() {
        Some(libc::ENXIO | libc::ENODEV) => format!("interface {name} is gone: start again when it is back"),
        _ => format!("interface {name} failed: {error}"),
    };
    io::Error::new(error.kind(), words)
}

impl Device for AfXdp {
    fn receive(&mut self, pool: &mut Pool, batch: &mut Vec<Frame>, max: usize) -> io::Result<()> {
        let before = batch.len();
        self.queues.receive(pool, batch, max);
        if self.batches.count(batch.len() - before) {
            self.empty_looks = 0;
            if self.mode != Mode::ZeroCopy {
                self.checksums.look_at(&mut batch[before..], pool);
            }
            return Ok(());
        }
        self.empty_looks += 1;
        if self.empty_looks >= self.looks_per_check {
            self.empty_looks = 0;
            self.check()?;
        }
        Ok(())
    }

    fn send(&mut self, frame: Frame) -> Result<(), Frame> {
        self.queues.send(frame)
    }

    #[inline]
    fn room(&mut self) -> usize {
        self.queues.room()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.queues.publish();
        // In copy mode a call may send one batch only. The bound is for an interface that drops them one by one.
        for _ in 0..=self.queues.size / SENT_PER_KICK {
            if self.queues.tx.pending() == 0 || (self.need_wakeup && !self.queues.tx.needs_wakeup()) {
                break;
            }
            let got_on = self.kick()?;
            if !got_on || self.mode == Mode::ZeroCopy {
                break;
            }
        }
        Ok(())
    }

    fn reclaim(&mut self, pool: &mut Pool) -> io::Result<()> {
        self.queues.reclaim(pool);
        if self.need_wakeup && self.queues.fill.needs_wakeup() {
            self.check()?;
        }
        Ok(())
    }

    /// In copy mode the kernel says of each packet that it could not send (EBUSY), one for each call.
    fn losses(&self) -> io::Result<Losses> {
        let statistics = self.statistics()?;
        Ok(Losses {
            missed: statistics.rx_dropped + statistics.rx_ring_full,
            too_long: 0,
            unsent: statistics.stalls_busy + statistics.tx_invalid_descs,
        })
    }

    fn held(&self) -> Held {
        self.queues.held()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_may_move_to_the_thread_that_serves_it() {
        fn assert_send<T: Send>() {}
        assert_send::<(Pool, [AfXdp; 2])>();
    }

    #[test]
    fn modes_are_spoken_of_as_reports_do() {
        let modes = [Mode::ZeroCopy, Mode::Copy, Mode::Generic, Mode::Packet].map(|mode| mode.to_string());
        assert_eq!(modes, ["zero-copy", "copy", "generic", "packet"]);
    }
}
