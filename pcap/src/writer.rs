//! Packets into a pcapng capture.

use std::{
    borrow::Cow,
    fmt,
    io::{self, BufWriter, Write},
    time::Duration,
};

use pcap_file::{
    DataLink, Endianness,
    pcapng::{
        PcapNgBlock, PcapNgWriteError, PcapNgWriter,
        blocks::{
            enhanced_packet::EnhancedPacketBlock,
            interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution},
            section_header::{SectionHeaderBlock, SectionHeaderOption},
        },
    },
};

use crate::{LinkType, MAX_PACKET_LEN};

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
        Ok(Self { blocks, interfaces: Vec::new(), broken: false })
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
        let result = self.add(link, time_ns, data, original_len);
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

    fn add(&mut self, link: LinkType, time_ns: u64, data: &[u8], original_len: u32) -> io::Result<()> {
        let packet = EnhancedPacketBlock {
            interface_id: self.interface(link)?,
            timestamp: Duration::from_nanos(time_ns),
            original_len,
            data: Cow::Borrowed(data),
            options: Vec::new(),
        };
        self.put(packet)
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

    fn check(&self) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("an earlier write failed"));
        }
        Ok(())
    }
}

impl<W: Write> fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("interfaces", &self.interfaces)
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}

fn io_error(error: PcapNgWriteError) -> io::Error {
    match error {
        PcapNgWriteError::Io(error) => error,
        other => io::Error::other(other),
    }
}
