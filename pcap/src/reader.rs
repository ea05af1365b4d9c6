//! Packets from a capture of either format.

use std::{fmt, fs::File, io::Read, mem, ops::Range, path::Path};

use crate::{LinkType, OpenError, ReadError, blocks::Blocks, classic::Classic, error::Trouble, window::Window};

/// A packet of a capture, lent by its [`Reader`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Its place in the capture, counted from 1.
    pub number: u64,
    /// Where its record or block starts, in bytes from the start of the input.
    pub offset: u64,
    /// When it was captured, in nanoseconds since 1970, rounded down.
    ///
    /// A Simple Packet Block has no time: it gets that of the packet before it, or 0.
    pub time_ns: u64,
    /// The interface it was captured on, counted from 0 over all sections in the order of their
    /// declaration.
    pub interface: u32,
    /// What `data` starts with; one of [`LinkType::SUPPORTED`].
    pub link: LinkType,
    /// The bytes captured, at most [`MAX_PACKET_LEN`](crate::MAX_PACKET_LEN).
    pub data: &'a [u8],
    /// How many bytes the packet had on the wire: never less than `data` has, and more where a
    /// snap length cut it.
    pub original_len: u32,
}

/// A packet ahead in the window; positions count from the start of its record.
pub(crate) struct Located {
    pub(crate) time_ns: u64,
    pub(crate) interface: u32,
    pub(crate) link: LinkType,
    pub(crate) original_len: u32,
    pub(crate) data: Range<usize>,
    /// Length of the record.
    pub(crate) len: usize,
}

enum Format {
    Classic(Classic),
    Blocks(Blocks),
}

/// How far a reader has come.
enum Stage {
    Reading,
    /// Opening found why there is no packet, which is still to be told.
    Failed(ReadError),
    Ended,
}

/// Reads the packets of a pcap or pcapng capture, one after the other.
///
/// After the last packet or an error, [`next`](Reader::next) answers `Ok(None)`.
pub struct Reader<R> {
    window: Window<R>,
    format: Format,
    delivered: u64,
    stage: Stage,
}

impl Reader<File> {
    /// Opens a capture file; see [`Reader::new`].
    ///
    /// # Errors
    ///
    /// If the file cannot be read or [`Reader::new`] refuses it.
    ///
    /// ```
    /// let error = portlane_pcap::Reader::open("absent.pcap").unwrap_err();
    /// assert!(error.to_string().starts_with("absent.pcap: cannot be read: "));
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        File::open(path)
            .map_err(|cause| ReadError::Io { offset: 0, cause })
            .and_then(Self::new)
            .map_err(|cause| OpenError { path: path.to_owned(), cause })
    }
}

impl<R: Read> Reader<R> {
    /// Reads the header of a capture and looks for its first packet.
    ///
    /// The input needs no buffer of its own. A capture without packets is none the worse.
    ///
    /// # Errors
    ///
    /// If the input is empty, is not a capture, cannot be read, is cut or broken inside its first
    /// header, or is of a [link type](LinkType::SUPPORTED) that is not supported. That is the one
    /// its header declares for pcap; for pcapng it is that of the first packet's interface, as a
    /// section may declare interfaces that no packet uses. Later packets of such an interface, and
    /// all other damage, are errors of [`next`](Reader::next).
    pub fn new(input: R) -> Result<Self, ReadError> {
        let mut window = Window::new(input);
        let format = Format::open(&mut window)?;
        let mut reader = Self { window, format, delivered: 0, stage: Stage::Reading };
        reader.stage = match reader.locate() {
            // It stays ahead in the window, where it is found again.
            Ok(Some(_)) => Stage::Reading,
            Ok(None) => Stage::Ended,
            Err(error @ ReadError::LinkType { .. }) => return Err(error),
            Err(error) => Stage::Failed(error),
        };
        Ok(reader)
    }

    /// The next packet, or `None` after the last one or an error.
    ///
    /// # Errors
    ///
    /// If the input fails, the next record is cut or damaged, or its interface has a link type that
    /// is not supported. All packets before it have been delivered; none follows.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "an Iterator cannot lend from the reader's window")]
    pub fn next(&mut self) -> Result<Option<Packet<'_>>, ReadError> {
        match self.ready() {
            Some(located) => Ok(Some(self.deliver(located))),
            None => self.look_further(),
        }
    }

    /// The next packet, if it is in the window and sound, as almost all are; otherwise
    /// [`look_further`](Self::look_further).
    // Always: else what it has found goes through memory.
    #[inline(always)]
    pub(crate) fn ready(&mut self) -> Option<Located> {
        match (&self.stage, &mut self.format) {
            (Stage::Reading, Format::Classic(classic)) => classic.ready(self.window.ahead()),
            (Stage::Reading, Format::Blocks(blocks)) => blocks.ready(self.window.ahead()),
            _ => None,
        }
    }

    /// The next packet, which is not all in the window or has something before it, or why there is none.
    #[cold]
    #[inline(never)]
    pub(crate) fn look_further(&mut self) -> Result<Option<Packet<'_>>, ReadError> {
        match mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Reading => {}
            Stage::Failed(error) => return Err(error),
            Stage::Ended => return Ok(None),
        }
        let Some(located) = self.locate()? else {
            return Ok(None);
        };
        self.stage = Stage::Reading;
        Ok(Some(self.deliver(located)))
    }

    /// Takes a packet that is ahead.
    #[inline]
    pub(crate) fn deliver(&mut self, located: Located) -> Packet<'_> {
        self.delivered += 1;
        let offset = self.window.offset();
        Packet {
            number: self.delivered,
            offset,
            time_ns: located.time_ns,
            interface: located.interface,
            link: located.link,
            data: self.window.take_part(located.len, located.data),
            original_len: located.original_len,
        }
    }

    fn locate(&mut self) -> Result<Option<Located>, ReadError> {
        let located = match &mut self.format {
            Format::Classic(classic) => classic.locate(&mut self.window),
            Format::Blocks(blocks) => blocks.locate(&mut self.window),
        };
        located.map_err(|trouble| at(trouble, self.delivered, &self.window))
    }
}

impl<R> Reader<R> {
    /// How many bytes of the input have been read, up to one window ahead of the packets.
    pub fn bytes_read(&self) -> u64 {
        self.window.bytes_read()
    }
}

impl<R> fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("delivered", &self.delivered)
            .field("offset", &self.window.offset())
            .finish_non_exhaustive()
    }
}

impl Format {
    /// Tells the format from the first four bytes and takes the first header.
    fn open<R: Read>(window: &mut Window<R>) -> Result<Self, ReadError> {
        const MAGIC: usize = 4;
        let enough = window.want(MAGIC);
        enough.map_err(|error| at(error.into(), 0, window))?;
        let opened = match window.ahead().first_chunk::<MAGIC>() {
            Some(&start) if Classic::claims(start) => Classic::open(window).map(Self::Classic),
            Some(&start) if Blocks::claims(start) => Blocks::open(window).map(Self::Blocks),
            None if window.ahead().is_empty() => return Err(ReadError::Empty),
            _ => return Err(ReadError::NotACapture),
        };
        opened.map_err(|trouble| at(trouble, 0, window))
    }
}

/// The error for `trouble` with the record ahead, after so many packets.
#[cold]
fn at<R>(trouble: Trouble, delivered: u64, window: &Window<R>) -> ReadError {
    trouble.at(delivered + 1, window.offset(), window.bytes_read())
}

#[cfg(test)]
mod tests;
