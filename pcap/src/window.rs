//! The part of the input that is in memory.

use std::{
    io::{self, Read},
    ops::Range,
};

use crate::{Damage, error::Trouble};

/// Bytes held at first: enough for long reads, few enough to stay in a second-level cache.
const INITIAL_LEN: usize = 256 * 1024;

/// A window that moves over an input of any length.
///
/// It grows only when bytes that were asked for have filled it, by doubling: what an input claims
/// costs no memory, only what it holds, and its caller limits what is asked for.
pub(crate) struct Window<R> {
    input: R,
    bytes: Vec<u8>,
    /// `bytes[start..end]` are read and not yet taken.
    start: usize,
    end: usize,
    /// Where `bytes[0]` is in the input.
    base: u64,
}

impl<R: Read> Window<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, bytes: vec![0; INITIAL_LEN], start: 0, end: 0, base: 0 }
    }

    /// Reads until at least `len` bytes are ahead; `false` if the input ends before.
    #[inline]
    pub(crate) fn want(&mut self, len: usize) -> io::Result<bool> {
        if self.end - self.start >= len {
            return Ok(true);
        }
        self.fill(len)
    }

    /// Like [`want`](Self::want), with an end that comes too early told as the cut of `record`.
    #[inline]
    pub(crate) fn require(&mut self, len: usize, record: &'static str) -> Result<(), Trouble> {
        if self.want(len)? {
            return Ok(());
        }
        Err(Damage::Cut { record, have: length(self.ahead().len()), need: length(len) }.into())
    }

    #[cold]
    fn fill(&mut self, len: usize) -> io::Result<bool> {
        self.bytes.copy_within(self.start..self.end, 0);
        self.base += length(self.start);
        self.end -= self.start;
        self.start = 0;
        while self.end < len {
            if self.end == self.bytes.len() {
                self.bytes.resize(self.bytes.len() * 2, 0);
            }
            match self.input.read(&mut self.bytes[self.end..]) {
                Ok(0) => return Ok(false),
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

impl<R> Window<R> {
    /// The bytes that are read and not yet taken.
    #[inline]
    pub(crate) fn ahead(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Takes the next `len` bytes, which must be ahead.
    #[inline]
    pub(crate) fn take(&mut self, len: usize) {
        debug_assert!(len <= self.ahead().len());
        self.start += len;
    }

    /// Takes the next `len` bytes, which must be ahead, and lends some of them.
    #[inline]
    pub(crate) fn take_part(&mut self, len: usize, part: Range<usize>) -> &[u8] {
        let start = self.start;
        self.take(len);
        &self.bytes[start + part.start..start + part.end]
    }

    /// Where the next byte is in the input.
    #[inline]
    pub(crate) fn offset(&self) -> u64 {
        self.base + length(self.start)
    }

    /// How many bytes the input has given so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.base + length(self.end)
    }

    /// How many bytes of memory the window has.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

/// A length in memory as a length in a file.
fn length(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// A length in a file as a length in memory; one that memory cannot have is never reached.
pub(crate) fn size(len: u32) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}
