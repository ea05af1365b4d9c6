//! The memory that frames live in, and the stack of free ones.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::Frame;
use crate::area::Area;

/// Shape of a pool.
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
    /// Addresses of the free frames' first packet byte.
    free: Vec<u32>,
    layout: Layout,
    /// Bytes kept clear in front of a packet.
    headroom: u32,
    id: u32,
}

impl Pool {
    /// Maps memory for a pool, in huge pages when available.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the layout is empty or larger than 4 GiB; otherwise what `mmap` says.
    pub fn new(layout: Layout) -> io::Result<Self> {
        let bytes = layout.bytes();
        if bytes == 0 || bytes > u64::from(u32::MAX) {
            let why =
                format!("a pool of {} frames of {} bytes: must be 1 byte to 4 GiB", layout.frames, layout.frame_size);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let len = usize::try_from(bytes).map_err(|_| io::ErrorKind::OutOfMemory)?;
        Ok(Self::over(Area::map(len)?, layout, 0))
    }

    /// A pool over an area that is at least as large as the layout; all frames are free, the lowest on top.
    pub(crate) fn over(area: Area, layout: Layout, headroom: u32) -> Self {
        static NEXT_ID: AtomicU32 = AtomicU32::new(0);
        assert!(area.len() as u64 >= layout.bytes() && headroom < layout.frame_size);
        let free = (0..layout.frames).rev().map(|index| index * layout.frame_size + headroom).collect();
        Self { area, free, layout, headroom, id: NEXT_ID.fetch_add(1, Ordering::Relaxed) }
    }

    /// Takes a free frame; its packet is empty. `None` when all are in use.
    #[inline]
    pub fn take(&mut self) -> Option<Frame> {
        let address = self.free.pop()?;
        Some(Frame { address, len: 0, wire_len: 0, pool: self.id })
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
        assert_eq!(frame.pool, self.id, "this frame is another pool's");
        self.area.slice(frame.address, frame.len)
    }

    /// Bytes of a packet, to change.
    ///
    /// # Panics
    ///
    /// If the frame is another pool's.
    #[inline]
    pub fn bytes_mut(&mut self, frame: &mut Frame) -> &mut [u8] {
        assert_eq!(frame.pool, self.id, "this frame is another pool's");
        self.area.slice_mut(frame.address, frame.len)
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
    pub fn write(&mut self, frame: &mut Frame, packet: &[u8]) -> Result<(), TooLong> {
        let too_long = TooLong { len: packet.len(), capacity: self.capacity() };
        let len = u32::try_from(packet.len()).map_err(|_| too_long)?;
        if len > self.capacity() {
            return Err(too_long);
        }
        (frame.len, frame.wire_len) = (len, len);
        self.bytes_mut(frame).copy_from_slice(packet);
        Ok(())
    }

    /// Bytes that a frame can hold.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.layout.frame_size - self.headroom
    }

    /// Number of free frames.
    #[inline]
    #[must_use]
    pub fn free(&self) -> u32 {
        u32::try_from(self.free.len()).expect("a pool has at most u32::MAX frames")
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
        (frame.address / self.layout.frame_size) as usize
    }

    /// What the pool's frames carry to tell them from another's.
    #[cfg(feature = "af-xdp")]
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Ends a token: the address is now for a ring, or for the free stack.
    #[inline]
    pub(crate) fn surrender(&self, frame: Frame) -> u32 {
        assert_eq!(frame.pool, self.id, "this frame is another pool's");
        frame.address
    }

    /// The free stack takes an address back, wherever in its frame the packet began.
    #[inline]
    pub(crate) fn restore(&mut self, address: u32) {
        let start = address - address % self.layout.frame_size;
        debug_assert!(self.free.len() < self.layout.frames as usize, "more frames came home than there are");
        self.free.push(start + self.headroom);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for layout in [Layout { frames: 0, frame_size: 2_048 }, Layout { frames: 1 << 22, frame_size: 2_048 }] {
            assert_eq!(Pool::new(layout).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }
}
