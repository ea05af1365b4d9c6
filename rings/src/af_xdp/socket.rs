//! AF_XDP sockets and the UMEM under them: made by xsk-rs, driven by system calls of our own.
#![allow(unsafe_code, reason = "system calls, and memory that xsk-rs has mapped")]

use std::error::Error;
use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr::{self, NonNull};
use std::time::Duration;

use xsk_rs::config::{
    BindFlags, FrameSize, Interface as InterfaceName, LibxdpFlags, QueueSize, SocketConfig, UmemConfig,
};
use xsk_rs::{CompQueue, FillQueue, FrameDesc, RxQueue, TxQueue, Umem};

use super::sizes::chunk_size;
use crate::area::Area;
use crate::mapping::HUGE_PAGE;
use crate::{Layout, Pool};

/// Space that the kernel keeps in front of a received packet: `XDP_PACKET_HEADROOM`.
pub(crate) const HEADROOM: u32 = 256;

/// The frames of a wire, registered with the kernel.
pub(super) struct Frames {
    umem: Umem,
    descriptors: Vec<FrameDesc>,
    layout: Layout,
    ring_size: QueueSize,
    huge_pages: bool,
}

impl Frames {
    /// Maps and registers memory, in huge pages when the system has some to spare.
    ///
    /// `ENOBUFS` means that the process may not lock that much memory. Sizes are checked by the caller: those that
    /// AF_XDP cannot have are `InvalidInput` here.
    pub(super) fn register(layout: Layout, ring_size: u32) -> io::Result<Self> {
        let ring_size = QueueSize::new(ring_size).map_err(invalid)?;
        let chunk_size = chunk_size(layout.frame_size);
        let count = layout.frames * (layout.frame_size / chunk_size);
        let frame_size = FrameSize::new(chunk_size).map_err(invalid)?;
        let count = NonZeroU32::new(count).ok_or(io::ErrorKind::InvalidInput)?;
        let config = UmemConfig::builder()
            .frame_size(frame_size)
            .fill_queue_size(ring_size)
            .comp_queue_size(ring_size)
            .build()
            .map_err(invalid)?;
        // xsk-rs unmaps the length that it asked for, which the kernel refuses for part of a huge page.
        let huge = layout.bytes().is_multiple_of(HUGE_PAGE as u64).then(|| Umem::new(config, count, true));
        let huge_pages = matches!(huge, Some(Ok(_)));
        let (umem, descriptors) = match huge {
            Some(Ok(made)) => made,
            _ => Umem::new(config, count, false).map_err(|error| cause(&error))?,
        };
        Ok(Self { umem, descriptors, layout, ring_size, huge_pages })
    }

    /// Binds a socket to a queue of an interface. The first one decides between copying and not copying: the kernel
    /// gives all sockets of one UMEM the mode and the wake-up protocol of the first.
    pub(super) fn bind(&self, interface: &str, queue: u32, flags: BindFlags) -> io::Result<Socket> {
        let config = SocketConfig::builder()
            .rx_queue_size(self.ring_size)
            .tx_queue_size(self.ring_size)
            .libxdp_flags(LibxdpFlags::XSK_LIBXDP_FLAGS_INHIBIT_PROG_LOAD)
            .bind_flags(flags)
            .build();
        let name: InterfaceName = interface.parse().map_err(invalid)?;
        // SAFETY: no two sockets of this UMEM are bound to the same queue: callers name each once.
        let (tx, rx, rings) =
            unsafe { xsk_rs::Socket::new(config, &self.umem, &name, queue) }.map_err(|error| cause(&error))?;
        let (fill, completion) =
            rings.ok_or_else(|| io::Error::other("the socket came without fill and completion rings"))?;
        let socket = Socket { descriptor: rx.fd().as_raw_fd(), _queues: (tx, rx, fill, completion) };
        socket.close_on_exec()?;
        Ok(socket)
    }

    /// The pool over the frames. The UMEM lives as long as the pool, or as the last socket.
    pub(super) fn into_pool(self) -> Pool {
        let Self { umem, descriptors, layout, huge_pages, .. } = self;
        // SAFETY: the descriptor is this UMEM's, and no frame has yet been given to the kernel.
        let packet = unsafe { umem.data(&descriptors[0]) }.contents().as_ptr();
        let base = packet.addr() - descriptors[0].addr();
        // xsk-rs shows the frames one by one and keeps the address of the whole to itself. It has passed that address
        // to libxdp and the kernel, though, which exposes the provenance of the whole mapping.
        let base = NonNull::new(ptr::with_exposed_provenance_mut::<u8>(base)).expect("mapped memory");
        let len = usize::try_from(layout.bytes()).expect("the UMEM is mapped, so its length fits");
        // SAFETY: the UMEM maps `len` bytes at `base` and unmaps them when its last handle, one of which the area now
        // owns, is gone. xsk-rs accesses frames only through methods that nobody calls any more; the kernel accesses
        // those that it was given.
        let area = unsafe { Area::adopt(base, len, huge_pages, Box::new(umem)) };
        Pool::over(area, layout, HEADROOM)
    }
}

/// A bound AF_XDP socket.
#[derive(Debug)]
pub(super) struct Socket {
    descriptor: RawFd,
    /// Keep the descriptor open; their rings are not used (see the module page of the device).
    _queues: (TxQueue, RxQueue, FillQueue, CompQueue),
}

impl Socket {
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        // SAFETY: the queues keep it open.
        unsafe { BorrowedFd::borrow_raw(self.descriptor) }
    }

    /// libxdp lets programs that are started later inherit its sockets, which would keep the queue bound.
    fn close_on_exec(&self) -> io::Result<()> {
        // SAFETY: changes a flag of an open descriptor, touches no memory.
        let result = unsafe { libc::fcntl(self.descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
        checked(result)
    }

    /// Lets one [`kick`](Self::kick) send as many packets as the transmit ring holds, where the kernel copies: `size` of
    /// them rather than 32. Fails on kernels before Linux 6.17.
    pub(super) fn send_at_once(&self, size: u32) -> io::Result<()> {
        /// Not yet in the libc crate.
        const XDP_MAX_TX_SKB_BUDGET: libc::c_int = 9;
        let len = libc::socklen_t::try_from(size_of_val(&size)).expect("a few bytes");
        let value = ptr::from_ref(&size).cast();
        // SAFETY: the kernel reads the four bytes of `size`.
        checked(unsafe { libc::setsockopt(self.descriptor, libc::SOL_XDP, XDP_MAX_TX_SKB_BUDGET, value, len) })
    }

    /// Calls that find nothing poll the driver's queue: for 20 us at most, one batch.
    pub(super) fn prefer_busy_poll(&self) -> io::Result<()> {
        const MICROS: libc::c_int = 20;
        const BATCH: libc::c_int = 64;
        self.set(libc::SO_PREFER_BUSY_POLL, 1)?;
        self.set(libc::SO_BUSY_POLL, MICROS)?;
        self.set(libc::SO_BUSY_POLL_BUDGET, BATCH)
    }

    /// Sets an option of the level `SOL_SOCKET`.
    fn set(&self, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
        let len = libc::socklen_t::try_from(size_of_val(&value)).expect("a few bytes");
        let value = ptr::from_ref(&value).cast();
        // SAFETY: the kernel reads the four bytes of `value`.
        checked(unsafe { libc::setsockopt(self.descriptor, libc::SOL_SOCKET, name, value, len) })
    }

    /// Layout of the mappings of the rings.
    pub(super) fn offsets(&self) -> io::Result<libc::xdp_mmap_offsets> {
        const NOWHERE: libc::xdp_ring_offset = libc::xdp_ring_offset { producer: 0, consumer: 0, desc: 0, flags: 0 };
        let mut offsets = libc::xdp_mmap_offsets { rx: NOWHERE, tx: NOWHERE, fr: NOWHERE, cr: NOWHERE };
        // SAFETY: this is the structure that XDP_MMAP_OFFSETS fills in, plain numbers all.
        unsafe { self.option(libc::XDP_MMAP_OFFSETS, &mut offsets) }?;
        Ok(offsets)
    }

    /// What the kernel has counted.
    pub(super) fn statistics(&self) -> io::Result<libc::xdp_statistics> {
        let mut statistics = libc::xdp_statistics {
            rx_dropped: 0,
            rx_invalid_descs: 0,
            tx_invalid_descs: 0,
            rx_ring_full: 0,
            rx_fill_ring_empty_descs: 0,
            tx_ring_empty_descs: 0,
        };
        // SAFETY: this is the structure that XDP_STATISTICS fills in, plain numbers all.
        unsafe { self.option(libc::XDP_STATISTICS, &mut statistics) }?;
        Ok(statistics)
    }

    /// True if the driver reads and writes frames in place.
    pub(super) fn is_zero_copy(&self) -> io::Result<bool> {
        let mut options = libc::xdp_options { flags: 0 };
        // SAFETY: this is the structure that XDP_OPTIONS fills in, a plain number.
        unsafe { self.option(libc::XDP_OPTIONS, &mut options) }?;
        Ok(options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0)
    }

    /// # Safety
    ///
    /// `T` is what the kernel writes for option `name`, and every bit pattern is one.
    unsafe fn option<T>(&self, name: libc::c_int, value: &mut T) -> io::Result<()> {
        let mut size = libc::socklen_t::try_from(size_of::<T>()).expect("a few bytes");
        // SAFETY: the kernel writes at most `size` bytes.
        let result = unsafe {
            libc::getsockopt(self.descriptor, libc::SOL_XDP, name, ptr::from_mut(value).cast(), &raw mut size)
        };
        checked(result)
    }

    /// Lets the kernel look at the transmit ring (in copy mode: send from it).
    pub(super) fn kick(&self) -> io::Result<()> {
        // SAFETY: an empty message; no memory is read.
        let result = unsafe { libc::sendto(self.descriptor, ptr::null(), 0, libc::MSG_DONTWAIT, ptr::null(), 0) };
        checked(result)
    }

    /// Lets the kernel look at the fill ring. Fails with `ENETDOWN` or `ENXIO` if the interface is down or gone.
    pub(super) fn wake(&self) -> io::Result<()> {
        // SAFETY: room for an empty message; no memory is written.
        let result = unsafe {
            libc::recvfrom(self.descriptor, ptr::null_mut(), 0, libc::MSG_DONTWAIT, ptr::null_mut(), ptr::null_mut())
        };
        checked(result)
    }
}

/// Waits until one of the descriptors can be read; false after `timeout`, or when a signal came.
pub(crate) fn poll_readable(descriptors: &[RawFd], timeout: Duration) -> io::Result<bool> {
    let polled = |&fd: &RawFd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut polled: Vec<_> = descriptors.iter().map(polled).collect();
    let timeout = libc::timespec {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    };
    let count = libc::nfds_t::try_from(polled.len()).expect("few");
    // SAFETY: the kernel reads `count` entries and writes their `revents`; no signal mask.
    let ready = unsafe { libc::ppoll(polled.as_mut_ptr(), count, &raw const timeout, ptr::null()) };
    match ready {
        0 => Ok(false),
        1.. => Ok(true),
        _ => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            error => Err(error),
        },
    }
}

/// Bytes of memory that the process may lock; `None` without limit.
pub(super) fn locked_memory_limit() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel fills in one `rlimit`. It fails for no process asking about itself.
    unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    (limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

fn checked<T: Default + PartialOrd>(result: T) -> io::Result<()> {
    if result < T::default() { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn invalid(error: impl Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

/// The system's error under one of xsk-rs', or that one's words if there is none.
fn cause(error: &(dyn Error + 'static)) -> io::Error {
    let number = error.source().and_then(|source| source.downcast_ref::<io::Error>()).and_then(io::Error::raw_os_error);
    // libxdp reports some failures with the number 0.
    number
        .filter(|&number| number != 0)
        .map_or_else(|| io::Error::other(error.to_string()), io::Error::from_raw_os_error)
}
