//! The pcapng format: sections of blocks (draft-ietf-opsawg-pcapng).

mod interface;

use std::io::Read;

use byteorder_slice::{BigEndian, ByteOrder, LittleEndian};
use pcap_file::{
    Endianness,
    pcapng::{
        PcapNgBlock, PcapNgState, RawBlock, RawBlockParseError,
        blocks::{
            ENHANCED_PACKET_BLOCK, INTERFACE_DESCRIPTION_BLOCK, PACKET_BLOCK, SECTION_HEADER_BLOCK,
            SIMPLE_PACKET_BLOCK, block_name, section_header::SectionHeaderBlock,
        },
    },
};

use self::interface::Interface;
use crate::{
    Damage, MAX_BLOCK_LEN, MAX_PACKET_LEN,
    error::Trouble,
    reader::Located,
    window::{Window, size},
};

/// The shortest block: type, length, no body, length again.
const MIN_BLOCK: usize = 12;
/// Length of a block's header (type and length), in bytes.
const BLOCK_HEADER: usize = 8;
/// The most interfaces that one section may declare, which bounds the memory they take.
const MAX_INTERFACES: usize = 65_536;

/// What the blocks so far say about the packets to come.
pub(crate) struct Blocks {
    order: Endianness,
    /// Interfaces of this section.
    interfaces: Vec<Interface>,
    /// Interfaces of the sections before this one.
    earlier_interfaces: u32,
    /// The time of the last packet that had one.
    last_time_ns: u64,
}

impl Blocks {
    /// Whether an input that starts with these bytes is a pcapng file.
    pub(crate) fn claims(start: [u8; 4]) -> bool {
        u32::from_be_bytes(start) == SECTION_HEADER_BLOCK
    }

    /// Takes the first section header.
    pub(crate) fn open<R: Read>(window: &mut Window<R>) -> Result<Self, Trouble> {
        let mut blocks =
            Self { order: Endianness::Little, interfaces: Vec::new(), earlier_interfaces: 0, last_time_ns: 0 };
        window.require(MIN_BLOCK, block_name(SECTION_HEADER_BLOCK))?;
        blocks.step(window)?;
        Ok(blocks)
    }

    /// The next packet, if its Enhanced Packet Block is whole in these bytes and sound: one of almost all.
    #[inline]
    pub(crate) fn ready(&mut self, ahead: &[u8]) -> Option<Located> {
        match self.order {
            Endianness::Big => self.enhanced::<BigEndian>(ahead),
            Endianness::Little => self.enhanced::<LittleEndian>(ahead),
        }
    }

    #[inline]
    fn enhanced<B: ByteOrder>(&mut self, ahead: &[u8]) -> Option<Located> {
        let body = body_of_enhanced::<B>(ahead)?;
        let packet = self.timed::<B>(id_of_enhanced::<B>, body).ok()?;
        self.last_time_ns = packet.time_ns;
        Some(Located { len: MIN_BLOCK + body.len(), ..packet })
    }

    /// Finds the next packet and leaves it ahead in the window; takes all blocks before it.
    pub(crate) fn locate<R: Read>(&mut self, window: &mut Window<R>) -> Result<Option<Located>, Trouble> {
        loop {
            if !window.want(MIN_BLOCK)? && window.ahead().is_empty() {
                return Ok(None);
            }
            if let Some(located) = self.step(window)? {
                return Ok(Some(located));
            }
        }
    }

    /// Finds a packet in the next block, or takes that block.
    fn step<R: Read>(&mut self, window: &mut Window<R>) -> Result<Option<Located>, Trouble> {
        window.require(MIN_BLOCK, "block header")?;
        if let Some(order) = section_order(window.ahead())? {
            self.order = order;
        }
        match self.order {
            Endianness::Big => self.block::<BigEndian, R>(window),
            Endianness::Little => self.block::<LittleEndian, R>(window),
        }
    }

    fn block<B: ByteOrder, R: Read>(&mut self, window: &mut Window<R>) -> Result<Option<Located>, Trouble> {
        let kind = B::read_u32(&window.ahead()[..4]);
        let length = B::read_u32(&window.ahead()[4..8]);
        if length > MAX_BLOCK_LEN {
            return Err(Damage::TooLong { record: block_name(kind), length, limit: MAX_BLOCK_LEN }.into());
        }
        let len = size(length);
        window.require(len, block_name(kind))?;
        let (_, block) = RawBlock::from_slice::<B>(window.ahead()).map_err(malformed)?;
        let packet = match kind {
            ENHANCED_PACKET_BLOCK => self.timed::<B>(id_of_enhanced::<B>, &block.body)?,
            PACKET_BLOCK => self.timed::<B>(id_of_obsolete::<B>, &block.body)?,
            SIMPLE_PACKET_BLOCK => self.simple::<B>(&block.body)?,
            SECTION_HEADER_BLOCK => {
                self.start_section(&block.body)?;
                window.take(len);
                return Ok(None);
            }
            INTERFACE_DESCRIPTION_BLOCK => {
                self.add_interface::<B>(&block.body)?;
                window.take(len);
                return Ok(None);
            }
            _ => {
                window.take(len);
                return Ok(None);
            }
        };
        self.last_time_ns = packet.time_ns;
        Ok(Some(Located { len, ..packet }))
    }

    fn start_section(&mut self, body: &[u8]) -> Result<(), Damage> {
        // Without its options, which only describe the machine that captured and need not be
        // valid; the header tells its byte order itself.
        let fixed = body.get(..16).unwrap_or(body);
        let (_, header) = SectionHeaderBlock::from_slice::<BigEndian>(&PcapNgState::default(), fixed)
            .map_err(|error| Damage::Malformed(error.to_string()))?;
        if header.major_version != 1 {
            return Err(Damage::Malformed(format!(
                "a section of version {}.{}, only 1.x is known",
                header.major_version, header.minor_version
            )));
        }
        let declared = u32::try_from(self.interfaces.len()).unwrap_or(u32::MAX);
        self.earlier_interfaces = self
            .earlier_interfaces
            .checked_add(declared)
            .ok_or_else(|| Damage::Malformed("more than 2^32 interfaces".to_owned()))?;
        self.interfaces.clear();
        Ok(())
    }

    fn add_interface<B: ByteOrder>(&mut self, body: &[u8]) -> Result<(), Damage> {
        if self.interfaces.len() == MAX_INTERFACES {
            return Err(Damage::Malformed(format!("more than {MAX_INTERFACES} interfaces in one section")));
        }
        self.interfaces.push(Interface::parse::<B>(body)?);
        Ok(())
    }

    /// An Enhanced Packet Block or a Packet Block; they differ in `id_of` alone.
    // Its result takes many instructions to pass on: part of the loop over packets, it takes none.
    #[inline(always)]
    fn timed<B: ByteOrder>(&self, id_of: fn(&[u8; 20]) -> u32, body: &[u8]) -> Result<Located, Trouble> {
        let Some((fixed, rest)) = body.split_first_chunk::<20>() else {
            return Err(too_short(20, body.len()).into());
        };
        let (id, interface) = self.interface(id_of(fixed))?;
        let high = u64::from(B::read_u32(&fixed[4..8]));
        let low = u64::from(B::read_u32(&fixed[8..12]));
        let captured = B::read_u32(&fixed[12..16]);
        let original_len = B::read_u32(&fixed[16..20]);
        check_captured(captured, rest.len())?;
        if original_len < captured {
            return Err(Damage::OriginalTooShort { captured, original: original_len }.into());
        }
        let start = BLOCK_HEADER + fixed.len();
        Ok(Located {
            time_ns: interface.time.nanos(high << 32 | low).ok_or(Damage::Time)?,
            interface: id,
            link: interface.link,
            original_len,
            data: start..start + size(captured),
            len: 0,
        })
    }

    /// A Simple Packet Block: of the section's first interface, without time and captured length.
    fn simple<B: ByteOrder>(&self, body: &[u8]) -> Result<Located, Trouble> {
        let Some((fixed, rest)) = body.split_first_chunk::<4>() else {
            return Err(too_short(4, body.len()).into());
        };
        let (id, interface) = self.interface(0)?;
        let original_len = B::read_u32(fixed);
        let captured = match interface.snap_len {
            0 => original_len,
            limit => original_len.min(limit),
        };
        check_captured(captured, rest.len())?;
        let start = BLOCK_HEADER + fixed.len();
        Ok(Located {
            time_ns: self.last_time_ns,
            interface: id,
            link: interface.link,
            original_len,
            data: start..start + size(captured),
            len: 0,
        })
    }

    /// An interface of this section, with its number over all sections.
    #[inline]
    fn interface(&self, id: u32) -> Result<(u32, &Interface), Trouble> {
        let interface = self.interfaces.get(size(id)).ok_or(Damage::UnknownInterface(id))?;
        if !interface.supported {
            return Err(Trouble::LinkType(interface.link));
        }
        let number = self.earlier_interfaces.checked_add(id).ok_or(Damage::UnknownInterface(id))?;
        Ok((number, interface))
    }
}

/// The byte order that a section header declares; `None` for any other block.
#[inline]
fn section_order(block: &[u8]) -> Result<Option<Endianness>, Damage> {
    if u32::from_be_bytes([block[0], block[1], block[2], block[3]]) != SECTION_HEADER_BLOCK {
        return Ok(None);
    }
    match [block[8], block[9], block[10], block[11]] {
        [0x1a, 0x2b, 0x3c, 0x4d] => Ok(Some(Endianness::Big)),
        [0x4d, 0x3c, 0x2b, 0x1a] => Ok(Some(Endianness::Little)),
        other => Err(Damage::Malformed(format!(
            "a section header with byte-order magic {:#010x}",
            u32::from_be_bytes(other)
        ))),
    }
}

/// The body of the Enhanced Packet Block that these bytes start with, if it is whole and framed as it should be.
///
/// [`RawBlock::from_slice`] accepts the same. It is not made part of the loop over packets, and with the call a packet takes
/// half as many instructions again.
#[inline]
fn body_of_enhanced<B: ByteOrder>(ahead: &[u8]) -> Option<&[u8]> {
    let (header, rest) = ahead.split_first_chunk::<BLOCK_HEADER>()?;
    let (kind, length) = (B::read_u32(&header[..4]), B::read_u32(&header[4..]));
    let (body, trailer) = rest.get(..size(length).checked_sub(BLOCK_HEADER)?)?.split_last_chunk::<4>()?;
    let sound = kind == ENHANCED_PACKET_BLOCK
        && length.is_multiple_of(4)
        && length <= MAX_BLOCK_LEN
        && B::read_u32(trailer) == length;
    sound.then_some(body)
}

fn id_of_enhanced<B: ByteOrder>(fixed: &[u8; 20]) -> u32 {
    B::read_u32(&fixed[..4])
}

/// The obsolete block has a 16-bit interface and a 16-bit count of drops there.
fn id_of_obsolete<B: ByteOrder>(fixed: &[u8; 20]) -> u32 {
    u32::from(B::read_u16(&fixed[..2]))
}

#[inline]
fn check_captured(captured: u32, available: usize) -> Result<(), Damage> {
    if captured > MAX_PACKET_LEN {
        return Err(Damage::TooLong { record: "packet", length: captured, limit: MAX_PACKET_LEN });
    }
    if size(captured) > available {
        return Err(Damage::Malformed(format!("{captured} captured bytes in a block that has room for {available}")));
    }
    Ok(())
}

fn too_short(need: usize, have: usize) -> Damage {
    Damage::Malformed(format!("a block body of {have} bytes, it needs {need}"))
}

#[cold]
fn malformed(error: RawBlockParseError) -> Damage {
    Damage::Malformed(match error {
        RawBlockParseError::InvalidFormat(reason) => reason.to_string(),
        incomplete => incomplete.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_block_is_framed_as_the_crate_says(
            kind in prop_oneof![9 => Just(ENHANCED_PACKET_BLOCK), 1 => any::<u32>()],
            len in prop_oneof![3 => (0..20_u32).prop_map(|words| words * 4), 1 => 0..80_u32, 1 => any::<u32>()],
            trailer in prop_oneof![9 => Just(None), 1 => any::<u32>().prop_map(Some)],
            have in 0..100_usize,
        ) {
            let mut bytes = vec![7; 100];
            bytes[..4].copy_from_slice(&kind.to_le_bytes());
            bytes[4..8].copy_from_slice(&len.to_le_bytes());
            if let Some(end) = size(len).checked_sub(4).and_then(|at| bytes.get_mut(at..at + 4)) {
                end.copy_from_slice(&trailer.unwrap_or(len).to_le_bytes());
            }
            bytes.truncate(have);
            let crates = RawBlock::from_slice::<LittleEndian>(&bytes).ok();
            let crates = crates.map(|(_, block)| block).filter(|block| block.type_ == ENHANCED_PACKET_BLOCK);
            prop_assert_eq!(body_of_enhanced::<LittleEndian>(&bytes), crates.as_ref().map(|block| &*block.body));
        }
    }
}
