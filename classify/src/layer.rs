//! One layer of a frame: the bytes that were captured of it, and how long it was on the wire.

use crate::Malformed;

/// What is left of a frame from some header on.
///
/// `bytes` may be shorter than the layer was on the wire (a snap length), never longer.
#[derive(Clone, Copy)]
pub(crate) struct Layer<'a> {
    bytes: &'a [u8],
    wire_len: usize,
}

impl<'a> Layer<'a> {
    /// The whole frame; a `wire_len` below the captured length is taken as the captured length.
    #[inline]
    pub(crate) fn frame(bytes: &'a [u8], wire_len: u32) -> Self {
        let wire_len = usize::try_from(wire_len).unwrap_or(usize::MAX);
        Self { bytes, wire_len: wire_len.max(bytes.len()) }
    }

    /// Length on the wire in bytes.
    #[inline]
    pub(crate) fn wire_len(self) -> usize {
        self.wire_len
    }

    /// The first `N` bytes; `None` if the wire had them and the capture does not.
    ///
    /// # Errors
    ///
    /// `truncated` if the wire had fewer than `N` bytes.
    #[inline]
    pub(crate) fn head<const N: usize>(self, truncated: Malformed) -> Result<Option<&'a [u8; N]>, Malformed> {
        match self.bytes.first_chunk::<N>() {
            Some(head) => Ok(Some(head)),
            None => self.missing(N, truncated),
        }
    }

    /// The first `N` captured bytes, for readers that do not care why there are fewer.
    #[inline]
    pub(crate) fn captured_head<const N: usize>(self) -> Option<&'a [u8; N]> {
        self.bytes.first_chunk::<N>()
    }

    #[cold]
    fn missing<T>(self, wanted: usize, truncated: Malformed) -> Result<Option<T>, Malformed> {
        if self.wire_len < wanted { Err(truncated) } else { Ok(None) }
    }

    /// The layer that starts `len` bytes further on.
    #[inline]
    pub(crate) fn after(self, len: usize) -> Self {
        Self { bytes: self.bytes.get(len..).unwrap_or_default(), wire_len: self.wire_len.saturating_sub(len) }
    }

    /// This layer without what follows its first `len` bytes (padding, a frame check sequence).
    #[inline]
    pub(crate) fn limit(self, len: usize) -> Self {
        Self { bytes: self.bytes.get(..len).unwrap_or(self.bytes), wire_len: self.wire_len.min(len) }
    }
}

/// The big-endian number in two bytes of a header.
#[inline]
pub(crate) fn be16(high: u8, low: u8) -> u16 {
    u16::from_be_bytes([high, low])
}
