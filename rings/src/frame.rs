//! One packet buffer as an owned token.

use crate::device::ETHERNET;

/// One packet buffer of a [`Pool`](crate::Pool): a token for the right to use its bytes.
///
/// Not `Copy`, not `Clone`: handing it on is giving it up. Dropping one on the floor loses its buffer for the life of
/// the pool (no memory is leaked, but the books of the pool no longer balance), hence `must_use`.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a frame that is dropped is lost to its pool: put it back or hand it on"]
pub struct Frame {
    /// Offset of the first byte of the packet from the start of the pool's memory.
    pub(crate) address: u32,
    /// Bytes that the packet had on the wire; more than `len` when a capture cut it.
    wire_len: u32,
    /// The pool that the frame belongs to.
    pub(crate) pool: u32,
    /// Bytes of the packet that are in memory: a pool's frames are none of them longer than this can say.
    len: u16,
    /// What the packet starts with: a LINKTYPE_ number, and [`STAYS`].
    link_type: u16,
}

// A queue of packets is a queue of these.
const _: () = assert!(size_of::<Frame>() == 16);

/// Addresses from here on are phantoms': no pool is as long.
pub(crate) const PHANTOM: u32 = u32::MAX - 1;

/// Beside the LINKTYPE_ number, none of which is as large: whether the packet stays on the host.
const STAYS: u16 = 1 << 15;

impl Frame {
    /// The token for `len` bytes at `address`, all that the packet had on the wire, from a network interface.
    #[inline]
    pub(crate) fn new(pool: u32, address: u32, len: u16) -> Self {
        Self { address, wire_len: u32::from(len), pool, len, link_type: ETHERNET }
    }

    /// A phantom of the packet in `of`, with a bit of its maker's. No frame is at its address: no pool is as long.
    #[inline]
    pub(crate) fn phantom(of: &Self, bit: bool) -> Self {
        Self { address: PHANTOM | u32::from(bit), len: 0, ..*of }
    }

    /// Whether this is a [phantom](crate::Pool::phantom): it has no buffer, and no bytes.
    #[inline]
    #[must_use]
    pub fn is_phantom(&self) -> bool {
        Self::is_phantoms(self.address)
    }

    /// Whether only a phantom has this address.
    #[inline]
    pub(crate) fn is_phantoms(address: u32) -> bool {
        address >= PHANTOM
    }

    /// The bit that the phantom's maker gave it; false of all others.
    #[inline]
    #[must_use]
    pub fn phantom_bit(&self) -> bool {
        self.address == PHANTOM | 1
    }

    /// Gives the frame a packet of another length.
    #[inline]
    pub(crate) fn resize(&mut self, len: u16) {
        (self.len, self.wire_len) = (len, u32::from(len));
    }

    /// Lets the packet begin so many bytes earlier, in the headroom, with whatever is there.
    #[cfg(feature = "af-xdp")]
    pub(crate) fn extend_to_the_front(&mut self, by: u16) {
        self.address -= u32::from(by);
        self.resize(self.len + by);
    }

    /// Ends a token: how long its packet is.
    #[inline]
    pub(crate) fn into_len(self) -> u16 {
        self.len
    }

    /// Bytes of the packet in memory.
    #[inline]
    #[must_use]
    pub fn len(&self) -> u32 {
        u32::from(self.len)
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
        self.wire_len = wire_len.max(self.len());
    }

    /// What the packet starts with: a LINKTYPE_ number, [`ETHERNET`] unless somebody [said](Self::set_link_type) otherwise.
    #[inline]
    #[must_use]
    pub fn link_type(&self) -> u16 {
        self.link_type & !STAYS
    }

    /// States what the packet starts with. Holds until the frame is back in its pool.
    #[inline]
    pub fn set_link_type(&mut self, link_type: u16) {
        self.link_type = self.link_type & STAYS | link_type & !STAYS;
    }

    /// What is stated of the packet, all in one: for a token that is made anew.
    #[inline]
    pub(crate) fn stated(&self) -> u16 {
        self.link_type
    }

    /// States all of it.
    #[inline]
    pub(crate) fn state(&mut self, stated: u16) {
        self.link_type = stated;
    }

    /// Whether the packet [stays](Self::stay) on the host.
    #[inline]
    #[must_use]
    pub fn stays(&self) -> bool {
        self.link_type & STAYS != 0
    }

    /// States that the packet stays on the host: it leaves by another device than those of its direction. Holds until the frame is
    /// back in its pool.
    #[inline]
    pub fn stay(&mut self) {
        self.link_type |= STAYS;
    }
}
