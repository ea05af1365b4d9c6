//! Frames of live traffic with what became of them, as pcapng.

use std::{borrow::Cow, fmt, io, time::Duration};

use pcap_file::{
    DataLink, Endianness,
    pcapng::{
        PcapNgBlock, PcapNgWriter, RawBlock,
        blocks::{
            ENHANCED_PACKET_BLOCK,
            interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution},
            interface_statistics::{InterfaceStatisticsBlock, InterfaceStatisticsOption},
            section_header::{SectionHeaderBlock, SectionHeaderOption},
        },
    },
};

use crate::{
    LinkType,
    writer::{FRAMING, fixed_fields, io_error},
};

/// Codes of options (draft-ietf-opsawg-pcapng, sections 3.5.1 and 4.3).
const END: u16 = 0;
const COMMENT: u16 = 1;
const FLAGS: u16 = 2;

/// The longest comment, in bytes: more is cut off. Options say their length in 16 bits.
const MAX_COMMENT: usize = 1_024;

/// Which way a frame passed its interface (`epb_flags`, section 4.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It was received there.
    Inbound,
    /// It was sent there.
    Outbound,
}

/// A frame, and what is said of it.
#[derive(Debug, Clone, Copy)]
pub struct Noted<'a> {
    /// The position of its interface among those that the capture began with.
    pub interface: u32,
    /// Nanoseconds since 1970.
    pub time_ns: u64,
    /// Which way it passed the interface.
    pub way: Way,
    /// The bytes captured.
    pub data: &'a [u8],
    /// The bytes that it had.
    pub original_len: u32,
    /// What is said of it.
    pub comment: &'a str,
}

/// Writes frames of several interfaces, each with a direction and a comment, into memory that is [taken](Self::take) from
/// time to time: whole blocks, so that what was taken so far is a capture.
///
/// ```
/// use portlane_pcap::{Annotated, Noted, Reader, Way};
///
/// let mut capture = Annotated::new(&["eth0"])?;
/// let (interface, time_ns, way) = (0, 1_700_000_000_000_000_000, Way::Outbound);
/// capture.write(&Noted { interface, time_ns, way, data: &[0; 60], original_len: 1_514, comment: "lane=web fate=sent" })?;
/// capture.statistics(0, time_ns, 2, 1)?;
/// let bytes = capture.take();
///
/// let mut reader = Reader::new(bytes.as_slice())?;
/// let packet = reader.next()?.expect("a packet");
/// assert_eq!((packet.data.len(), packet.original_len, packet.time_ns), (60, 1_514, time_ns));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Annotated {
    blocks: PcapNgWriter<Vec<u8>>,
    /// The body of the block that is being written.
    body: Vec<u8>,
}

impl Annotated {
    /// Begins a capture of Ethernet interfaces with these names.
    ///
    /// # Errors
    ///
    /// A name is longer than an option may be.
    pub fn new(interfaces: &[&str]) -> io::Result<Self> {
        let section = SectionHeaderBlock {
            endianness: Endianness::Little,
            options: vec![SectionHeaderOption::UserApplication("portlane".into())],
            ..SectionHeaderBlock::default()
        };
        let blocks = PcapNgWriter::with_section_header(Vec::new(), section).map_err(io_error)?;
        let mut capture = Self { blocks, body: Vec::new() };
        for &name in interfaces {
            capture.put(InterfaceDescriptionBlock {
                linktype: DataLink::from(u32::from(LinkType::ETHERNET.0)),
                snaplen: 0,
                options: vec![
                    InterfaceDescriptionOption::IfName(name.into()),
                    InterfaceDescriptionOption::IfTsResol(InterfaceTsResolution::NANO),
                ],
            })?;
        }
        Ok(capture)
    }

    /// Adds a frame.
    ///
    /// # Errors
    ///
    /// It is longer than a block may be.
    pub fn write(&mut self, frame: &Noted<'_>) -> io::Result<()> {
        let captured = u32::try_from(frame.data.len()).map_err(io::Error::other)?;
        let original = frame.original_len.max(captured);
        self.body.clear();
        self.body.extend_from_slice(&fixed_fields(frame.interface, frame.time_ns, captured, original));
        self.body.extend_from_slice(frame.data);
        self.body.resize(self.body.len().next_multiple_of(4), 0);
        let end = frame.comment.floor_char_boundary(MAX_COMMENT);
        self.option(COMMENT, &frame.comment.as_bytes()[..end])?;
        let flags: u32 = match frame.way {
            Way::Inbound => 1,
            Way::Outbound => 2,
        };
        self.option(FLAGS, &flags.to_le_bytes())?;
        self.option(END, &[])?;
        let len = u32::try_from(self.body.len()).map_err(io::Error::other)? + FRAMING;
        let body = Cow::Borrowed(self.body.as_slice());
        let block = RawBlock { type_: ENHANCED_PACKET_BLOCK, initial_len: len, body, trailer_len: len };
        self.blocks.write_raw_block(&block).map_err(io_error)?;
        Ok(())
    }

    /// Adds what an interface has counted so far: frames that were to be captured (`isb_ifrecv`), and those among them that were
    /// lost for want of room (`isb_ifdrop`). Of several the last one counts.
    ///
    /// # Errors
    ///
    /// There is no such interface.
    pub fn statistics(&mut self, interface: u32, time_ns: u64, seen: u64, lost: u64) -> io::Result<()> {
        let counts = [InterfaceStatisticsOption::IsbIfRecv(seen), InterfaceStatisticsOption::IsbIfDrop(lost)];
        let timestamp = Duration::from_nanos(time_ns);
        self.put(InterfaceStatisticsBlock { interface_id: interface, timestamp, options: counts.into() })
    }

    /// Bytes written and not yet taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.blocks.get_ref().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes what was written since this was called last.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.blocks.get_mut())
    }

    fn option(&mut self, code: u16, value: &[u8]) -> io::Result<()> {
        let len = u16::try_from(value.len()).map_err(io::Error::other)?;
        self.body.extend_from_slice(&code.to_le_bytes());
        self.body.extend_from_slice(&len.to_le_bytes());
        self.body.extend_from_slice(value);
        self.body.resize(self.body.len().next_multiple_of(4), 0);
        Ok(())
    }

    fn put<'a>(&mut self, block: impl PcapNgBlock<'a>) -> io::Result<()> {
        self.blocks.write_pcapng_block(block).map_err(io_error)?;
        Ok(())
    }
}

impl fmt::Debug for Annotated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Annotated").field("len", &self.len()).finish_non_exhaustive()
    }
}
