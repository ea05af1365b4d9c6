//! The pcap format: one file header, then packet records (draft-ietf-opsawg-pcap).

use std::io::Read;

use byteorder_slice::{BigEndian, ByteOrder, LittleEndian};
use pcap_file::{
    Endianness,
    pcap::{PcapHeader, PcapParseError, PcapTsResolution, RawPcapPacket},
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

    /// The next packet, if its record is whole in these bytes and sound: one of almost all.
    #[inline(always)]
    pub(crate) fn ready(&self, ahead: &[u8]) -> Option<Located> {
        let located = match self.order {
            Endianness::Big => self.packet::<BigEndian>(ahead),
            Endianness::Little => self.packet::<LittleEndian>(ahead),
        };
        located.ok()
    }

    /// Finds the next packet and leaves it ahead in the window.
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
        check_captured(captured)?;
        window.require(RECORD_HEADER + size(captured), RECORD)?;
        Ok(self.packet::<B>(window.ahead())?)
    }

    /// The packet whose whole record these bytes start with.
    #[inline]
    fn packet<B: ByteOrder>(&self, ahead: &[u8]) -> Result<Located, Damage> {
        let (_, raw) = RawPcapPacket::from_slice::<B>(ahead).map_err(malformed)?;
        check_captured(raw.incl_len)?;
        if raw.orig_len < raw.incl_len {
            return Err(Damage::OriginalTooShort { captured: raw.incl_len, original: raw.orig_len });
        }
        let len = RECORD_HEADER + size(raw.incl_len);
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
    #[inline]
    fn nanos(&self, seconds: u32, ticks: u32) -> Result<u64, Damage> {
        if ticks >= self.ticks_per_second {
            return Err(too_many_ticks(ticks, self.ticks_per_second));
        }
        Ok(u64::from(seconds) * 1_000_000_000 + u64::from(ticks) * u64::from(self.nanos_per_tick))
    }
}

#[inline]
fn check_captured(captured: u32) -> Result<(), Damage> {
    if captured > MAX_PACKET_LEN {
        return Err(Damage::TooLong { record: RECORD, length: captured, limit: MAX_PACKET_LEN });
    }
    Ok(())
}

#[cold]
fn malformed(error: PcapParseError) -> Damage {
    Damage::Malformed(error.to_string())
}

#[cold]
fn too_many_ticks(ticks: u32, ticks_per_second: u32) -> Damage {
    Damage::Malformed(format!("a fraction of {ticks} where a second has {ticks_per_second} ticks"))
}

/// The link type is the lower half of its field; the upper half tells of frame check sequences.
fn link_of(field: u32) -> LinkType {
    let [_, _, high, low] = field.to_be_bytes();
    LinkType(u16::from_be_bytes([high, low]))
}
