//! Packets into a pcapng capture.

use std::{
    borrow::Cow,
    fmt,
    io::{self, BufWriter, Write},
};

use pcap_file::{
    DataLink, Endianness,
    pcapng::{
        PcapNgBlock, PcapNgWriteError, PcapNgWriter, RawBlock,
        blocks::{
            ENHANCED_PACKET_BLOCK,
            interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution},
            section_header::{SectionHeaderBlock, SectionHeaderOption},
        },
    },
};

use crate::{LinkType, MAX_PACKET_LEN};

/// Bytes of a block besides its body: type, length, and length again.
pub(crate) const FRAMING: u32 = 12;

/// Writes packets as pcapng: one little-endian section, times in nanoseconds.
///
/// Nothing of the machine or the day is written: the same packets give the same bytes. Each link
/// type is one interface without a snap length, declared before its first packet.
///
/// The output is buffered. Call [`finish`](Writer::finish): a writer that is dropped instead
/// cannot tell that its last bytes were not written. After an error the output is not a capture any
/// more: further packets are refused and so is `finish`.
pub struct Writer<W: Write> {
    blocks: PcapNgWriter<BufWriter<W>>,
    /// The link type of each interface declared.
    interfaces: Vec<LinkType>,
    broken: bool,
    /// The body of the block that is being written.
    body: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Starts a capture.
    ///
    /// # Errors
    ///
    /// If `output` fails.
    pub fn new(output: W) -> io::Result<Self> {
        let section = SectionHeaderBlock {
            endianness: Endianness::Little,
            options: vec![SectionHeaderOption::UserApplication("portlane".into())],
            ..SectionHeaderBlock::default()
        };
        let output = BufWriter::with_capacity(128 * 1024, output);
        let blocks = PcapNgWriter::with_section_header(output, section).map_err(io_error)?;
        Ok(Self { blocks, interfaces: Vec::new(), broken: false, body: Vec::new() })
    }

    /// Adds a packet: its link type, its time in nanoseconds since 1970, the bytes captured and
    /// the number of bytes it had on the wire.
    ///
    /// # Errors
    ///
    /// If the output fails, now or before, or with [`io::ErrorKind::InvalidInput`] and nothing
    /// written if `data` is longer than `original_len` or
    /// [`MAX_PACKET_LEN`](crate::MAX_PACKET_LEN), which no reader would take.
    pub fn write(&mut self, link: LinkType, time_ns: u64, data: &[u8], original_len: u32) -> io::Result<()> {
        let captured = u32::try_from(data.len()).unwrap_or(u32::MAX);
        if captured > original_len.min(MAX_PACKET_LEN) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "{captured} captured bytes of a packet of {original_len}, at most {MAX_PACKET_LEN} can be written"
                ),
            ));
        }
        self.check()?;
        let result = self.add(link, time_ns, data, captured, original_len);
        self.broken = result.is_err();
        result
    }

    /// Ends the capture, writes what is buffered and gives the output back.
    ///
    /// # Errors
    ///
    /// If the output fails or has failed before.
    pub fn finish(self) -> io::Result<W> {
        self.check()?;
        let buffered = self.blocks.into_inner();
        let mut output = buffered.into_inner().map_err(|error| error.into_error())?;
        output.flush()?;
        Ok(output)
    }

    fn add(&mut self, link: LinkType, time_ns: u64, data: &[u8], captured: u32, original_len: u32) -> io::Result<()> {
        let interface = self.interface(link)?;
        self.body.clear();
        self.body.extend_from_slice(&fixed_fields(interface, time_ns, captured, original_len));
        self.body.extend_from_slice(data);
        self.body.resize(self.body.len().next_multiple_of(4), 0);
        let len = u32::try_from(self.body.len()).map_err(io::Error::other)? + FRAMING;
        let body = Cow::Borrowed(self.body.as_slice());
        let block = RawBlock { type_: ENHANCED_PACKET_BLOCK, initial_len: len, body, trailer_len: len };
        self.blocks.write_raw_block(&block).map_err(io_error)?;
        Ok(())
    }

    /// The interface of `link`, declared now if it is new.
    fn interface(&mut self, link: LinkType) -> io::Result<u32> {
        let known = self.interfaces.iter().position(|&known| known == link);
        let index = known.unwrap_or(self.interfaces.len());
        if known.is_none() {
            self.put(InterfaceDescriptionBlock {
                linktype: DataLink::from(u32::from(link.0)),
                snaplen: 0,
                options: vec![InterfaceDescriptionOption::IfTsResol(InterfaceTsResolution::NANO)],
            })?;
            self.interfaces.push(link);
        }
        u32::try_from(index).map_err(io::Error::other)
    }

    fn put<'a>(&mut self, block: impl PcapNgBlock<'a>) -> io::Result<()> {
        self.blocks.write_pcapng_block(block).map_err(io_error)?;
        Ok(())
    }

    #[inline]
    fn check(&self) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("an earlier write failed"));
        }
        Ok(())
    }
}

/// The start of an Enhanced Packet Block (draft-ietf-opsawg-pcapng, section 4.3), in a section that is little-endian.
#[inline]
pub(crate) fn fixed_fields(interface: u32, time_ns: u64, captured: u32, original_len: u32) -> [u8; 20] {
    let mut fields = [0; 20];
    // The upper half of the time comes first.
    let time = time_ns.rotate_left(32);
    fields[..4].copy_from_slice(&interface.to_le_bytes());
    fields[4..12].copy_from_slice(&time.to_le_bytes());
    fields[12..16].copy_from_slice(&captured.to_le_bytes());
    fields[16..].copy_from_slice(&original_len.to_le_bytes());
    fields
}

impl<W: Write> fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("interfaces", &self.interfaces)
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}

pub(crate) fn io_error(error: PcapNgWriteError) -> io::Error {
    match error {
        PcapNgWriteError::Io(error) => error,
        other => io::Error::other(other),
    }
}
