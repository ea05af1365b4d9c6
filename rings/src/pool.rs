//! The memory that frames live in, and the stack of free ones.

use std::io;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::Frame;
use crate::area::Area;

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
#[derive(Debug)]
pub struct Pool {
    area: Area,
    /// For each free frame an address within it, wherever its last packet began: the bottom `free` entries.
    stack: Box<[u32]>,
    /// Number of free frames.
    free: u32,
    layout: Layout,
    /// Frames in a byte, in units of 2^-64.
    per_byte: u64,
    /// Bytes kept clear in front of a packet.
    headroom: u32,
    id: u32,
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
        if bytes == 0 || bytes > u64::from(u32::MAX) || !SIZES.contains(&layout.frame_size) {
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
        assert!(area.len() as u64 >= layout.bytes() && headroom < frame_size && SIZES.contains(&frame_size));
        let stack = (0..frames).rev().map(|index| index * frame_size + headroom).collect();
        let per_byte = u64::MAX / u64::from(frame_size) + 1;
        Self { area, stack, free: frames, layout, per_byte, headroom, id: NEXT_ID.fetch_add(1, Ordering::Relaxed) }
    }

    /// Takes a free frame; its packet is empty. `None` when all are in use.
    #[inline]
    pub fn take(&mut self) -> Option<Frame> {
        let below = self.free.checked_sub(1)?;
        self.free = below;
        Some(Frame::new(self.id, self.stack[below as usize], 0))
    }

    /// Brings a frame home.
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
    pub fn bytes(&self, frame: &Frame) -> &[u8] {
        self.check(frame);
        self.area.slice(frame.address, frame.len())
    }

    /// Bytes of a packet, to change.
    ///
    /// # Panics
    ///
    /// If the frame is another pool's.
    #[inline]
    pub fn bytes_mut(&mut self, frame: &mut Frame) -> &mut [u8] {
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

    /// Bytes that a frame can hold.
    #[inline]
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.layout.frame_size - self.headroom
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
        self.layout.frames
    }

    /// Position of a frame in the pool, 0 to [`total`](Self::total) - 1: for tables beside the pool.
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
        match self.stack.get_mut(self.free as usize) {
            Some(place) => *place = address,
            None => too_many(),
        }
        self.free += 1;
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
mod tests {
    use super::*;
    use crate::ETHERNET;

    const LAYOUT: Layout = Layout { frames: 4, frame_size: 256 };

    #[test]
    fn the_last_frame_home_is_the_first_out() {
        let mut pool = Pool::new(LAYOUT).unwrap();
        let (first, second) = (pool.take().unwrap(), pool.take().unwrap());
        let (first_index, second_index) = (pool.index(&first), pool.index(&second));
        pool.put(second);
        pool.put(first);
        let again = pool.take().unwrap();
        assert_eq!(pool.index(&again), first_index);
        assert_ne!(first_index, second_index);
        pool.put(again);
        assert_eq!(pool.free(), 4);
    }

    #[test]
    fn an_empty_pool_gives_none() {
        let mut pool = Pool::new(LAYOUT).unwrap();
        let held: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
        assert_eq!(held.len(), 4);
        assert_eq!(pool.free(), 0);
    }

    #[test]
    fn what_was_written_is_read() {
        let mut pool = Pool::new(LAYOUT).unwrap();
        let mut frame = pool.take().unwrap();
        pool.write(&mut frame, &[7; 256]).unwrap();
        assert_eq!(pool.bytes(&frame), &[7; 256]);
        let refused = pool.write(&mut frame, &[0; 257]).unwrap_err();
        assert_eq!(refused.to_string(), "a packet of 257 bytes does not fit into a frame of 256");
        assert_eq!(pool.bytes(&frame), &[7; 256]);
        pool.put(frame);
    }

    #[test]
    #[should_panic(expected = "another pool's")]
    fn frames_do_not_change_pools() {
        let (mut one, mut other) = (Pool::new(LAYOUT).unwrap(), Pool::new(LAYOUT).unwrap());
        other.put(one.take().unwrap());
    }

    #[test]
    fn impossible_layouts_are_refused() {
        for (frames, frame_size) in [(0, 2_048), (1 << 22, 2_048), (8, 0), (8, 63), (8, 65_536)] {
            let refused = Pool::new(Layout { frames, frame_size }).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{frames} of {frame_size}");
        }
        assert!(Pool::new(Layout { frames: 1, frame_size: 64 }).is_ok());
        assert!(Pool::new(Layout { frames: 1, frame_size: 65_535 }).is_ok());
    }

    #[test]
    fn every_byte_is_in_the_frame_that_division_says() {
        for frame_size in [64, 65, 2_047, 2_048, 2_112, 9_001, 32_768, 65_535] {
            let pool = Pool::new(Layout { frames: 3, frame_size }).unwrap();
            let last = u32::MAX / frame_size;
            for frame in [0, 1, 2, 3, 1_000, 46_341, last / 2, last - 1, last] {
                for address in [frame * frame_size, (frame * frame_size).saturating_add(frame_size - 1)] {
                    assert_eq!(pool.index_of(address), address / frame_size, "{address} / {frame_size}");
                }
            }
        }
    }

    #[test]
    fn a_packet_written_begins_where_its_frame_does() {
        let mut pool = Pool::over(Area::map(1_024).unwrap(), LAYOUT, 32);
        let frame = pool.take().unwrap();
        // As one that the kernel has filled.
        let address = pool.surrender(frame) + 100;
        pool.restore(address);
        let mut frame = pool.take().unwrap();
        pool.write(&mut frame, &[7; 224]).unwrap();
        assert_eq!((frame.address, frame.len(), frame.wire_len()), (32, 224, 224));
        assert_eq!(pool.write(&mut frame, &[7; 225]).unwrap_err().capacity, 224);
        pool.put(frame);
    }

    #[test]
    #[should_panic(expected = "more frames came home")]
    fn a_pool_does_not_grow() {
        let mut pool = Pool::new(LAYOUT).unwrap();
        pool.restore(0);
    }

    #[test]
    fn what_a_frame_says_of_its_packet_ends_with_it() {
        let mut pool = Pool::new(LAYOUT).unwrap();
        let mut frame = pool.take().unwrap();
        assert_eq!(frame.link_type(), ETHERNET);
        pool.write(&mut frame, &[1; 60]).unwrap();
        frame.set_link_type(101);
        frame.set_wire_len(1_500);
        assert_eq!((frame.link_type(), frame.len(), frame.wire_len()), (101, 60, 1_500));
        pool.put(frame);
        let again = pool.take().unwrap();
        assert_eq!((again.link_type(), again.len(), again.wire_len()), (ETHERNET, 0, 0));
        pool.put(again);
    }
}
