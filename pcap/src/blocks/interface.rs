//! What an Interface Description Block says that packets depend on.

use byteorder_slice::ByteOrder;

use super::too_short;
use crate::{Damage, LinkType, time::TimeScale};

const END_OF_OPTIONS: u16 = 0;
const IF_TSRESOL: u16 = 9;
const IF_TSOFFSET: u16 = 14;

/// An interface of a section (draft-ietf-opsawg-pcapng, section 4.2).
pub(super) struct Interface {
    pub(super) link: LinkType,
    pub(super) supported: bool,
    /// The most bytes captured of a packet; 0 for no limit.
    pub(super) snap_len: u32,
    pub(super) time: TimeScale,
}

impl Interface {
    /// Reads the body of the block. Options other than the two about time are passed over, valid
    /// or not: they are there for people.
    pub(super) fn parse<B: ByteOrder>(body: &[u8]) -> Result<Self, Damage> {
        let Some((fixed, mut options)) = body.split_first_chunk::<8>() else {
            return Err(too_short(8, body.len()));
        };
        let mut resolution = TimeScale::DEFAULT_RESOLUTION;
        let mut offset = 0;
        while let Some((option, rest)) = split_option::<B>(options)? {
            match (option.code, option.value) {
                (IF_TSRESOL, &[value]) => resolution = value,
                (IF_TSOFFSET, value) if value.len() == 8 => offset = B::read_i64(value),
                (IF_TSRESOL | IF_TSOFFSET, value) => {
                    return Err(Damage::Malformed(format!(
                        "interface option {} has {} bytes",
                        option.code,
                        value.len()
                    )));
                }
                _ => {}
            }
            options = rest;
        }
        let link = LinkType(B::read_u16(&fixed[..2]));
        Ok(Self {
            link,
            supported: link.is_supported(),
            snap_len: B::read_u32(&fixed[4..8]),
            time: TimeScale::new(resolution, offset),
        })
    }
}

struct InterfaceOption<'a> {
    code: u16,
    /// Without padding.
    value: &'a [u8],
}

/// Splits the first option off what is left of the options; `None` after the last one.
fn split_option<B: ByteOrder>(options: &[u8]) -> Result<Option<(InterfaceOption<'_>, &[u8])>, Damage> {
    let Some((header, rest)) = options.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let code = B::read_u16(&header[..2]);
    if code == END_OF_OPTIONS {
        return Ok(None);
    }
    let len = usize::from(B::read_u16(&header[2..]));
    match (rest.get(..len), rest.get(len.next_multiple_of(4)..)) {
        (Some(value), Some(rest)) => Ok(Some((InterfaceOption { code, value }, rest))),
        _ => Err(Damage::Malformed(format!("interface option {code} of {len} bytes runs past its block"))),
    }
}
