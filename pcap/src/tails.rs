//! What does not fit into frames.

use portlane_rings::{Frame, Pool};

/// The longest tail whose memory a frame keeps for the next packet.
pub(crate) const KEPT_TAIL: usize = 4_096;

/// Captured bytes beyond a frame's capacity, by frame (see [`Pool::index`]): captures hold packets far longer than any
/// network carries. Most captures have none; then there is no table.
#[derive(Debug, Default)]
pub(crate) struct Tails(Vec<Vec<u8>>);

impl Tails {
    /// What a frame's packet has beyond the frame.
    #[inline]
    pub(crate) fn of(&self, pool: &Pool, frame: &Frame) -> &[u8] {
        if self.0.is_empty() { &[] } else { self.0.get(pool.index(frame)).map_or(&[], Vec::as_slice) }
    }

    /// A frame has its next packet. One that was dropped has not passed by [`forget`](Self::forget), and may come with a
    /// long tail.
    #[inline]
    pub(crate) fn set(&mut self, pool: &Pool, frame: &Frame, tail: &[u8]) {
        self.forget(pool, frame);
        if !tail.is_empty() {
            self.keep(pool.index(frame), tail);
        }
    }

    #[cold]
    fn keep(&mut self, index: usize, tail: &[u8]) {
        if index >= self.0.len() {
            self.0.resize_with(index + 1, Vec::new);
        }
        self.0[index].extend_from_slice(tail);
    }

    /// Empties a frame's tail, and gives the memory of a long one back.
    #[inline]
    fn forget(&mut self, pool: &Pool, frame: &Frame) {
        if self.0.is_empty() {
            return;
        }
        if let Some(tail) = self.0.get_mut(pool.index(frame)) {
            tail.clear();
            if tail.capacity() > KEPT_TAIL {
                *tail = Vec::new();
            }
        }
    }

    /// [`forget`](Self::forget), for many frames.
    #[inline]
    pub(crate) fn forget_all<'a>(&mut self, pool: &Pool, frames: impl Iterator<Item = &'a Frame>) {
        if !self.0.is_empty() {
            frames.for_each(|frame| self.forget(pool, frame));
        }
    }

    #[cfg(test)]
    pub(crate) fn capacities(&self) -> impl Iterator<Item = usize> {
        self.0.iter().map(Vec::capacity)
    }
}
