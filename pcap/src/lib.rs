//! Captures in, captures out: packets read from pcap and pcapng files, written as pcapng.
//!
//! [`Reader`] streams: it takes any [`std::io::Read`], holds one window of the input (256 KiB,
//! never more than [`MAX_BLOCK_LEN`]) and lends each packet from it, so a capture may be larger
//! than memory and no packet is copied. [`Writer`] takes any [`std::io::Write`] and writes the
//! same bytes for the same packets, on every machine and every day.
//!
//! What is understood: pcap with microsecond and nanosecond magics; pcapng with several sections
//! and interfaces, `if_tsresol` and `if_tsoffset`, Enhanced, Simple and (obsolete) Packet Blocks;
//! both byte orders. Other blocks are skipped. The link types are those of
//! [`LinkType::SUPPORTED`]. Formats: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng.
//!
//! Input is not trusted: whatever it holds, reading ends with a packet, the end or a
//! [`ReadError`] that says where, and never with a panic or an allocation that the input chose.
//!
//! Framing, file headers, the table of link types, and the section and interface blocks that are
//! written, are the `pcap-file` crate's, preferred to `pcap-parser` because it frames blocks without
//! a copy or an allocation, checks both length fields of every block and writes, while `pcap-parser`
//! reads a big-endian `if_tsoffset` in the wrong order and takes a broken block for one that needs
//! more input. The fixed fields of packet and interface blocks are read and written here:
//! `pcap-file` allocates for each packet with options, refuses resolutions finer than a nanosecond,
//! and takes four times as many instructions to write a packet.
//!
//! [`Annotated`] writes frames of live traffic, with comments.
//!
//! [`Capture`] puts the two together as a device of [`portlane_rings`], in virtual time.
//!
//! # Example
//!
//! ```
//! use portlane_pcap::{LinkType, Reader, Writer};
//!
//! let mut writer = Writer::new(Vec::new())?;
//! // 64 bytes on the wire, of which a snap length of four bytes kept these.
//! writer.write(LinkType::ETHERNET, 1_700_000_000_000_000_123, &[1, 2, 3, 4], 64)?;
//! let capture = writer.finish()?;
//!
//! let mut reader = Reader::new(capture.as_slice())?;
//! while let Some(packet) = reader.next()? {
//!     assert_eq!((packet.number, packet.link), (1, LinkType::ETHERNET));
//!     assert_eq!(packet.time_ns, 1_700_000_000_000_000_123);
//!     assert_eq!((packet.data, packet.original_len), (&[1, 2, 3, 4][..], 64));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod annotated;
mod blocks;
mod classic;
mod device;
mod error;
mod link;
mod reader;
mod tails;
mod time;
mod window;
mod writer;

pub use annotated::{Annotated, Noted, Way};
pub use device::Capture;
pub use error::{Damage, OpenError, ReadError};
pub use link::LinkType;
pub use reader::{Packet, Reader};
pub use writer::Writer;

/// The most bytes of one packet that a capture may hold, as in libpcap (`MAXIMUM_SNAPLEN`).
///
/// Longer captured lengths are a [`ReadError`]; the original length is not limited.
pub const MAX_PACKET_LEN: u32 = 256 * 1024;

/// The longest pcapng block that is accepted, in bytes, headers and options included.
///
/// Wireshark has the same limit. It bounds the memory of a [`Reader`].
pub const MAX_BLOCK_LEN: u32 = 16 * 1024 * 1024;
