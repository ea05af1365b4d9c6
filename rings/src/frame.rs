//! One packet buffer as an owned token.

/// One packet buffer of a [`Pool`](crate::Pool): a token for the right to use its bytes.
///
/// Not `Copy`, not `Clone`: handing it on is giving it up. Dropping one on the floor loses its buffer for the life of
/// the pool (no memory is leaked, but the books of the pool no longer balance), hence `must_use`.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a frame that is dropped is lost to its pool: put it back or hand it on"]
pub struct Frame {
    /// Offset of the first byte of the packet from the start of the pool's memory.
    pub(crate) address: u32,
    /// Bytes of the packet that are in memory.
    pub(crate) len: u32,
    /// Bytes that the packet had on the wire; more than `len` when a capture cut it.
    pub(crate) wire_len: u32,
    /// The pool that the frame belongs to.
    pub(crate) pool: u32,
}

impl Frame {
    /// Bytes of the packet in memory.
    #[inline]
    #[must_use]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// True if the packet has no byte in memory.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of the packet on the wire: at least [`len`](Self::len), more when a capture cut the packet short.
    #[inline]
    #[must_use]
    pub fn wire_len(&self) -> u32 {
        self.wire_len
    }

    /// States how long the packet was on the wire; never less than what is in memory.
    #[inline]
    pub fn set_wire_len(&mut self, wire_len: u32) {
        self.wire_len = wire_len.max(self.len);
    }
}
