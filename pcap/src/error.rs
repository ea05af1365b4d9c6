//! What can go wrong while reading, and how it is told: each message is whole, without a source to
//! add.

use std::{io, path::PathBuf};

use crate::LinkType;

/// Why a capture could not be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The input has no byte at all.
    #[error("not a capture: the input is empty")]
    Empty,
    /// The input starts like neither format.
    #[error("not a capture: neither pcap nor pcapng magic at the start")]
    NotACapture,
    /// The input itself failed.
    #[error("cannot be read{}: {cause}", beyond(*offset))]
    Io {
        /// Bytes that had been read when the input failed.
        offset: u64,
        /// What the input said.
        cause: io::Error,
    },
    /// A packet of a link type that is not in [`LinkType::SUPPORTED`].
    #[error(
        "link type {link} from packet {packet} on (byte {offset}) is not supported; \
         supported are {}",
        LinkType::supported_list()
    )]
    LinkType {
        /// The link type found.
        link: LinkType,
        /// The first packet that has it, counted from 1.
        packet: u64,
        /// Where that packet's record starts, in bytes from the start of the input.
        offset: u64,
    },
    /// A record is cut short or makes no sense.
    #[error("packet {packet} (byte {offset}): {damage}")]
    Damaged {
        /// The packet that could not be read, counted from 1: one more than were delivered.
        packet: u64,
        /// Where the damaged record starts, in bytes from the start of the input. It is the record
        /// of that packet, or a pcapng block before it.
        offset: u64,
        /// What is wrong with the record.
        damage: Damage,
    },
}

/// What is wrong with a record of a capture: a packet, a block or a file header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The input ends inside the record.
    #[error("the capture ends inside the {record} that starts here: {have} of {need} bytes")]
    Cut {
        /// The kind of the record.
        record: &'static str,
        /// Bytes of the record that are there.
        have: u64,
        /// Bytes that the record should have.
        need: u64,
    },
    /// The record claims to be longer than anything that is accepted.
    #[error("the {record} claims {length} bytes, more than the {limit} that are accepted")]
    TooLong {
        /// The kind of the record.
        record: &'static str,
        /// Bytes claimed.
        length: u32,
        /// [`MAX_PACKET_LEN`](crate::MAX_PACKET_LEN) or [`MAX_BLOCK_LEN`](crate::MAX_BLOCK_LEN).
        limit: u32,
    },
    /// The record contradicts itself or the format.
    #[error("malformed: {0}")]
    Malformed(String),
    /// More bytes were captured than the packet had.
    #[error("malformed: {captured} bytes captured of a packet of {original}")]
    OriginalTooShort {
        /// Captured bytes.
        captured: u32,
        /// Bytes on the wire, as claimed.
        original: u32,
    },
    /// The packet names an interface that its section has not declared.
    #[error("malformed: interface {0} is not declared in its section")]
    UnknownInterface(u32),
    /// The packet's time is before 1970 or after 2554, where 64 bits of nanoseconds end.
    #[error("its time does not fit 64 bits of nanoseconds since 1970")]
    Time,
}

/// A capture file that could not be opened: which one, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}: {cause}", path.display())]
pub struct OpenError {
    /// The file, as it was given.
    pub path: PathBuf,
    /// What was wrong with it.
    pub cause: ReadError,
}

/// Where an input failed, unless at its start, where a file often cannot be read at all.
fn beyond(offset: u64) -> String {
    match offset {
        0 => String::new(),
        _ => format!(" beyond byte {offset}"),
    }
}

/// What a format found wrong with a record, before the reader adds where it is.
pub(crate) enum Trouble {
    Io(io::Error),
    LinkType(LinkType),
    Damage(Damage),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Damage> for Trouble {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}

impl Trouble {
    /// The error for the reader's caller: `packet` and `offset` are those of the record that was
    /// tried, `bytes_read` is how far the input has been read.
    #[cold]
    pub(crate) fn at(self, packet: u64, offset: u64, bytes_read: u64) -> ReadError {
        match self {
            Self::Io(cause) => ReadError::Io { offset: bytes_read, cause },
            Self::LinkType(link) => ReadError::LinkType { link, packet, offset },
            Self::Damage(damage) => ReadError::Damaged { packet, offset, damage },
        }
    }
}
