//! The memory that frames live in, and the stack of free ones.

mod parts;

use std::io;
use std::ops::{Range, RangeInclusive};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::Frame;
use crate::area::Area;
use crate::frame::PHANTOM;
pub(crate) use parts::Loan;
use parts::Others;

/// Bytes from one frame to the next: at least a cache line of its own, at most what a frame's length can say.
const SIZES: RangeInclusive<u32> = 64..=u16::MAX as u32;

/// Shape of a pool.
///
/// A `frame_size` of an odd number of cache lines, 2,112 bytes (33 lines of 64) say, keeps packets fast to read where many
/// frames are in use. Only the first line or two of most packets are looked at, and with a power of two between one packet
/// and the next these lines share few of a cache's sets: at 2,048 bytes one in 32. Where the size has to be a power of two,
/// as for AF_XDP, it helps that few frames go round: see [`Pool`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Number of frames.
    pub frames: u32,
    /// Bytes from the start of one frame to the start of the next.
    pub frame_size: u32,
}

impl Layout {
    /// Bytes of all frames together.
    #[must_use]
    pub fn bytes(self) -> u64 {
        u64::from(self.frames) * u64::from(self.frame_size)
    }
}

/// A packet longer than a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a packet of {len} bytes does not fit into a frame of {capacity}")]
pub struct TooLong {
    /// Bytes of the packet.
    pub len: usize,
    /// Bytes that a frame holds.
    pub capacity: u32,
}

/// Frames in one mapped area. The free ones form a stack: the frame that came home last is handed out first, while
/// its lines are still in the cache.
///
/// A pool may be [divided](crate::divide) among workers. Each part then has the frames of one stretch of the area; all that
/// follows is of the part, but the bytes of packets: they can be reached through any part.
#[derive(Debug)]
pub struct Pool {
    area: Area,
    /// For each free frame an address within it, wherever its last packet began: the bottom `free` entries.
    stack: Box<[u32]>,
    /// Number of free frames.
    free: u32,
    /// Of the whole area.
    layout: Layout,
    /// Number of frames of this part; where it begins and how long it is, in bytes of the area.
    frames: u32,
    begin: u32,
    len: u32,
    /// The other parts; `None`: undivided.
    others: Option<Box<Others>>,
    /// Frames in a byte, in units of 2^-64.
    per_byte: u64,
    /// Bytes kept clear in front of a packet.
    headroom: u32,
    id: u32,
    /// Phantoms that are about.
    phantoms: u32,
}

impl Pool {
    /// Maps memory for a pool, in huge pages when available.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the layout is empty or larger than 4 GiB, or a frame smaller than 64 bytes or larger than 65,535;
    /// otherwise what `mmap` says.
    pub fn new(layout: Layout) -> io::Result<Self> {
        let bytes = layout.bytes();
        if bytes == 0 || bytes > u64::from(PHANTOM) || !SIZES.contains(&layout.frame_size) {
            let Layout { frames, frame_size } = layout;
            let why = format!(
                "a pool of {frames} frames of {frame_size} bytes: must be 1 byte to 4 GiB, and a frame {} to {} bytes",
                SIZES.start(),
                SIZES.end()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let len = usize::try_from(bytes).map_err(|_| io::ErrorKind::OutOfMemory)?;
        Ok(Self::over(Area::map(len)?, layout, 0))
    }

    /// A pool over an area that is at least as large as the layout; all frames are free, the lowest on top.
    pub(crate) fn over(area: Area, layout: Layout, headroom: u32) -> Self {
        static NEXT_ID: AtomicU32 = AtomicU32::new(0);
        let Layout { frames, frame_size } = layout;
        assert!(layout.bytes() <= u64::from(PHANTOM));
        assert!(area.len() as u64 >= layout.bytes() && headroom < frame_size && SIZES.contains(&frame_size));
        let per_byte = u64::MAX / u64::from(frame_size) + 1;
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let nothing = Self {
            area,
            stack: Box::default(),
            free: 0,
            layout,
            frames: 0,
            begin: 0,
            len: 0,
            others: None,
            per_byte,
            headroom,
            id,
            phantoms: 0,
        };
        nothing.with(0..frames)
    }

    /// The pool with these frames, all free, the lowest on top.
    fn with(self, frames: Range<u32>) -> Self {
        let Layout { frame_size, .. } = self.layout;
        let stack = frames.clone().rev().map(|index| index * frame_size + self.headroom).collect();
        let count = frames.end - frames.start;
        let (begin, len) = (frames.start * frame_size, count * frame_size);
        Self { stack, free: count, frames: count, begin, len, ..self }
    }

    /// Takes a free frame; its packet is empty. `None` when all are in use.
    #[inline]
    pub fn take(&mut self) -> Option<Frame> {
        let below = self.free.checked_sub(1)?;
        self.free = below;
        Some(Frame::new(self.id, self.stack[below as usize], 0))
    }

    /// Takes a free frame for a device to fill: its packet is as long as it can be, with whatever is there.
    #[cfg(feature = "af-xdp")]
    pub(crate) fn take_to_fill(&mut self) -> Option<Frame> {
        let mut frame = self.take()?;
        frame.address = self.index_of(frame.address) * self.layout.frame_size + self.headroom;
        frame.resize(u16::try_from(self.capacity()).expect("a frame is no longer than its length can say"));
        Some(frame)
    }

    /// A handle of the memory, for a device to reach the frames that it holds.
    #[cfg(feature = "af-xdp")]
    pub(crate) fn area(&self) -> Area {
        self.area.share()
    }

    /// A phantom of a packet: a token of its length and its link type that stands for it in a queue, without a buffer, and with a
    /// bit that its maker may need again. It must not be sent; it ends when it is [put](Self::put) like any frame.
    pub fn phantom(&mut self, of: &Frame, bit: bool) -> Frame {
        self.check(of);
        self.phantoms += 1;
        Frame::phantom(of, bit)
    }

    /// Phantoms that have not been [put](Self::put) yet.
    #[inline]
    #[must_use]
    pub fn phantoms(&self) -> u32 {
        self.phantoms
    }

    /// Brings a frame home; that of another part is on its way there after the next [`exchange`](Self::exchange).
    ///
    /// # Panics
    ///
    /// If the frame is another pool's.
    #[inline]
    pub fn put(&mut self, frame: Frame) {
        let address = self.surrender(frame);
        self.restore(address);
    }

    /// Bytes of a packet.
    ///
    /// # Panics
    ///
    /// If the frame is another pool's.
    #[inline]
    #[must_use]
    pub fn bytes<'a>(&'a self, frame: &'a Frame) -> &'a [u8] {
        self.check(frame);
        self.area.slice(frame.address, frame.len())
    }

    /// Bytes of a packet, to change.
    ///
    /// # Panics
    ///
    /// If the frame is another pool's.
    #[inline]
    pub fn bytes_mut<'a>(&'a mut self, frame: &'a mut Frame) -> &'a mut [u8] {
        self.check(frame);
        self.area.slice_mut(frame.address, frame.len())
    }

    /// Starts to bring the first 64 bytes of a packet into the cache: they hold its headers, and will be read soon.
    #[inline]
    pub fn prefetch(&self, frame: &Frame) {
        self.area.prefetch(frame.address);
    }

    /// Makes `packet` the frame's packet; its wire length becomes its length.
    ///
    /// # Errors
    ///
    /// [`TooLong`] if it does not fit; the frame is as it was.
    ///
    /// # Panics
    ///
    /// If the frame is another pool's.
    #[inline]
    pub fn write(&mut self, frame: &mut Frame, packet: &[u8]) -> Result<(), TooLong> {
        let fits = u16::try_from(packet.len()).ok().filter(|&len| u32::from(len) <= self.capacity());
        let len = fits.ok_or(TooLong { len: packet.len(), capacity: self.capacity() })?;
        frame.address = self.index_of(frame.address) * self.layout.frame_size + self.headroom;
        frame.resize(len);
        self.bytes_mut(frame).copy_from_slice(packet);
        Ok(())
    }

    /// Moves the packet of `rest` behind that of `frame`; its wire length becomes its length.
    ///
    /// # Errors
    ///
    /// [`TooLong`] if both do not fit into one frame; they are as they were.
    #[cfg(feature = "af-xdp")]
    pub(crate) fn append(&mut self, frame: &mut Frame, rest: &Frame) -> Result<(), TooLong> {
        self.check(frame);
        self.check(rest);
        let (end, len) = (frame.address + frame.len(), frame.len() + rest.len());
        let capacity = (self.index_of(frame.address) + 1) * self.layout.frame_size - frame.address;
        let fits = u16::try_from(len).ok().filter(|_| len <= capacity);
        let fits = fits.ok_or(TooLong { len: len as usize, capacity })?;
        self.area.copy(rest.address, end, rest.len());
        frame.resize(fits);
        Ok(())
    }

    /// Bytes that a frame can hold.
    #[inline]
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.layout.frame_size - self.headroom
    }

    /// Its shape; of a part that of the whole.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Whether its memory is in huge pages that the system had set aside. (Where it had none, they may still be had
    /// transparently.)
    #[must_use]
    pub fn has_huge_pages(&self) -> bool {
        self.area.has_huge_pages()
    }

    /// Number of free frames.
    #[inline]
    #[must_use]
    pub fn free(&self) -> u32 {
        self.free
    }

    /// Number of all frames, wherever they are.
    #[inline]
    #[must_use]
    pub fn total(&self) -> u32 {
        self.frames
    }

    /// Number of all frames of all parts.
    #[inline]
    #[must_use]
    pub fn total_of_all(&self) -> u32 {
        self.layout.frames
    }

    /// Position of a frame in the area, 0 to [`total_of_all`](Self::total_of_all) - 1: for tables beside the pool.
    #[inline]
    #[must_use]
    pub fn index(&self, frame: &Frame) -> usize {
        self.index_of(frame.address) as usize
    }

    /// `address / frame_size`, by a multiplication: some 3 cycles rather than 20. With the factor rounded up the quotient is
    /// too large by less than 2^-32, and none is that close below the next integer.
    #[inline]
    fn index_of(&self, address: u32) -> u32 {
        let frames = u128::from(address) * u128::from(self.per_byte);
        u32::try_from(frames >> 64).unwrap_or_default()
    }

    /// What the pool's frames carry to tell them from another's.
    #[cfg(feature = "af-xdp")]
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Ends a token: the address is now for a ring, or for the free stack.
    #[inline]
    pub(crate) fn surrender(&self, frame: Frame) -> u32 {
        self.check(&frame);
        frame.address
    }

    /// The free stack takes an address back, wherever in its frame the packet began: who fills the frame next decides
    /// where in it to begin, be it [`write`](Self::write) or the kernel, which looks at no more of an address than the frame
    /// that it is in (Documentation/networking/af_xdp.rst, "UMEM Fill Ring").
    #[inline]
    pub(crate) fn restore(&mut self, address: u32) {
        if !self.has(address) {
            return self.give_back(address);
        }
        match self.stack.get_mut(self.free as usize) {
            Some(place) => *place = address,
            None => too_many(),
        }
        self.free += 1;
    }

    /// Whether the frame at an address is of this part.
    #[inline]
    fn has(&self, address: u32) -> bool {
        address.wrapping_sub(self.begin) < self.len
    }

    #[inline]
    fn check(&self, frame: &Frame) {
        if frame.pool != self.id {
            foreign();
        }
    }
}

// Apart from their callers, so that these have nothing to keep ready for a message.

#[cold]
#[inline(never)]
fn foreign() -> ! {
    panic!("this frame is another pool's")
}

#[cold]
#[inline(never)]
fn too_many() -> ! {
    panic!("more frames came home than there are")
}

#[cfg(test)]
mod tests;
