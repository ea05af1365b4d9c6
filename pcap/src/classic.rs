//! The pcap format: one file header, then packet records (draft-ietf-opsawg-pcap).

use std::io::Read;

use byteorder_slice::{BigEndian, ByteOrder, LittleEndian};
use pcap_file::{
    Endianness,
    pcap::{PcapHeader, PcapTsResolution, RawPcapPacket},
};

use crate::{
    Damage, LinkType, MAX_PACKET_LEN,
    error::Trouble,
    reader::Located,
    window::{Window, size},
};

/// Length of the file header, in bytes.
const FILE_HEADER: usize = 24;
/// Length of the header before each packet, in bytes.
const RECORD_HEADER: usize = 16;
const RECORD: &str = "packet record";

/// What the file header says about all packets.
pub(crate) struct Classic {
    order: Endianness,
    link: LinkType,
    nanos_per_tick: u32,
    ticks_per_second: u32,
}

impl Classic {
    /// Whether an input that starts with these bytes is a pcap file.
    pub(crate) fn claims(start: [u8; 4]) -> bool {
        const MICROSECONDS: u32 = 0xa1b2_c3d4;
        const NANOSECONDS: u32 = 0xa1b2_3c4d;
        [u32::from_be_bytes(start), u32::from_le_bytes(start)]
            .iter()
            .any(|magic| [MICROSECONDS, NANOSECONDS].contains(magic))
    }

    /// Takes the file header and refuses a link type that is not supported.
    pub(crate) fn open<R: Read>(window: &mut Window<R>) -> Result<Self, Trouble> {
        window.require(FILE_HEADER, "pcap file header")?;
        let (_, header) =
            PcapHeader::from_slice(window.ahead()).map_err(|error| Damage::Malformed(error.to_string()))?;
        let (nanos_per_tick, ticks_per_second) = match header.ts_resolution {
            PcapTsResolution::MicroSecond => (1_000, 1_000_000),
            PcapTsResolution::NanoSecond => (1, 1_000_000_000),
        };
        window.take(FILE_HEADER);
        let link = link_of(u32::from(header.datalink));
        if !link.is_supported() {
            return Err(Trouble::LinkType(link));
        }
        Ok(Self { order: header.endianness, link, nanos_per_tick, ticks_per_second })
    }

    /// Finds the next packet and leaves it ahead in the window.
    #[inline]
    pub(crate) fn locate<R: Read>(&self, window: &mut Window<R>) -> Result<Option<Located>, Trouble> {
        if !window.want(RECORD_HEADER)? && window.ahead().is_empty() {
            return Ok(None);
        }
        let located = match self.order {
            Endianness::Big => self.record::<BigEndian, R>(window),
            Endianness::Little => self.record::<LittleEndian, R>(window),
        };
        located.map(Some)
    }

    fn record<B: ByteOrder, R: Read>(&self, window: &mut Window<R>) -> Result<Located, Trouble> {
        window.require(RECORD_HEADER, RECORD)?;
        let captured = B::read_u32(&window.ahead()[8..12]);
        if captured > MAX_PACKET_LEN {
            return Err(Damage::TooLong { record: RECORD, length: captured, limit: MAX_PACKET_LEN }.into());
        }
        let len = RECORD_HEADER + size(captured);
        window.require(len, RECORD)?;
        let (_, raw) =
            RawPcapPacket::from_slice::<B>(window.ahead()).map_err(|error| Damage::Malformed(error.to_string()))?;
        if raw.orig_len < captured {
            return Err(Damage::OriginalTooShort { captured, original: raw.orig_len }.into());
        }
        Ok(Located {
            time_ns: self.nanos(raw.ts_sec, raw.ts_frac)?,
            interface: 0,
            link: self.link,
            original_len: raw.orig_len,
            data: RECORD_HEADER..len,
            len,
        })
    }

    /// 2^32 seconds are less than 2^62 nanoseconds.
    fn nanos(&self, seconds: u32, ticks: u32) -> Result<u64, Damage> {
        if ticks >= self.ticks_per_second {
            return Err(Damage::Malformed(format!(
                "a fraction of {ticks} where a second has {} ticks",
                self.ticks_per_second
            )));
        }
        Ok(u64::from(seconds) * 1_000_000_000 + u64::from(ticks) * u64::from(self.nanos_per_tick))
    }
}

/// The link type is the lower half of its field; the upper half tells of frame check sequences.
fn link_of(field: u32) -> LinkType {
    let [_, _, high, low] = field.to_be_bytes();
    LinkType(u16::from_be_bytes([high, low]))
}
