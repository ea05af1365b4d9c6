//! Checksums of TCP and UDP that were left to a network card.
//!
//! A host that sends by an interface with checksum offload writes no more into the field than the sum of the pseudo-header,
//! and leaves the rest to the card (`CHECKSUM_PARTIAL` of `include/linux/skbuff.h`, `tcp_v4_send_check`). A virtual interface
//! (veth, virtio, tap) has no card: such frames arrive as they are, and the mark that says so is not part of them. So they are
//! known by the field itself: it is what the pseudo-header alone adds up to.
//!
//! One finished checksum in 65,536 looks the same by chance. Finishing it again changes nothing.

use std::ops::Range;

use crate::{Frame, Pool};

/// `ETH_P_IP`, `ETH_P_IPV6`, and the two that stand for a VLAN tag, `ETH_P_8021Q` and `ETH_P_8021AD`.
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const TAGS: [u16; 2] = [0x8100, 0x88a8];

/// More tags than these no card inserts.
const MOST_TAGS: usize = 2;

/// Protocol numbers of IANA.
const TCP: u8 = 6;
const UDP: u8 = 17;
const HOP_BY_HOP: u8 = 0;
const DESTINATION_OPTIONS: u8 = 60;

/// Extension headers that are looked at, at most.
const MOST_EXTENSIONS: usize = 4;

/// A device's look at the checksums of what it receives.
#[derive(Debug, Default)]
pub(crate) struct Checksums {
    /// Whether unfinished ones are completed.
    pub(crate) complete: bool,
    /// How many there were.
    pub(crate) unfinished: u64,
}

impl Checksums {
    /// Looks at frames that have been received.
    pub(crate) fn look_at(&mut self, received: &mut [Frame], pool: &mut Pool) {
        for frame in received {
            if let Some(unfinished) = unfinished(pool.bytes(frame)) {
                self.unfinished += 1;
                if self.complete {
                    unfinished.finish(pool.bytes_mut(frame));
                }
            }
        }
    }
}

/// A TCP segment or UDP datagram whose checksum is that of its pseudo-header alone.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Unfinished {
    /// What the checksum covers, apart from the pseudo-header.
    covered: Range<usize>,
    /// Where it is.
    field: usize,
}

/// Looks at an Ethernet frame. Fragments are none of these: hosts finish checksums before they fragment.
#[inline]
fn unfinished(frame: &[u8]) -> Option<Unfinished> {
    let (kind, start) = ethernet(frame)?;
    let found = match kind {
        IPV4 => ipv4(frame, start),
        IPV6 => ipv6(frame, start),
        _ => None,
    };
    let Network { addresses, protocol, payload } = found?;
    let (offset, len) = match protocol {
        TCP => (16, payload.len()),
        UDP => (6, usize::from(word(frame, payload.start + 4)?)),
        _ => return None,
    };
    let field = payload.start + offset;
    let covered = payload.start..payload.start + len;
    if !(field + 2..=payload.end).contains(&covered.end) {
        return None;
    }
    // RFC 9293, section 3.1; RFC 768; RFC 8200, section 8.1: lengths of more than 16 bits do not come in frames.
    let pseudo = sum(frame.get(addresses)?) + u64::from(protocol) + u64::try_from(len).ok()?;
    (word(frame, field)? == fold(pseudo)).then_some(Unfinished { covered, field })
}

impl Unfinished {
    /// Writes what is right (RFC 1071) into the frame in which this was found.
    fn finish(self, frame: &mut [u8]) {
        // The field has the sum of the pseudo-header, and is covered.
        let right = match !fold(sum(&frame[self.covered])) {
            // In UDP 0 stands for none (RFC 768); it is the same number.
            0 => u16::MAX,
            right => right,
        };
        frame[self.field..self.field + 2].copy_from_slice(&right.to_be_bytes());
    }
}

/// What IP says of its payload.
struct Network {
    /// Both addresses, which are next to each other.
    addresses: Range<usize>,
    protocol: u8,
    payload: Range<usize>,
}

/// The type of what is in the frame, and where it begins.
#[inline]
fn ethernet(frame: &[u8]) -> Option<(u16, usize)> {
    let mut at = 12;
    for _ in 0..MOST_TAGS {
        if !TAGS.contains(&word(frame, at)?) {
            break;
        }
        at += 4;
    }
    Some((word(frame, at)?, at + 2))
}

/// RFC 791, section 3.1.
#[inline]
fn ipv4(frame: &[u8], start: usize) -> Option<Network> {
    const FRAGMENT: u16 = 0x3fff;
    let header = frame.get(start..start + 20)?;
    let len = usize::from(header[0] & 0xf) * 4;
    let total = usize::from(word(header, 2)?);
    let is_whole = word(header, 6)? & FRAGMENT == 0;
    if header[0] >> 4 != 4 || len < 20 || total < len || start + total > frame.len() || !is_whole {
        return None;
    }
    let addresses = start + 12..start + 20;
    Some(Network { addresses, protocol: header[9], payload: start + len..start + total })
}

/// RFC 8200, sections 3 and 4. Where a routing header says that the packet goes on to somebody else, it is left alone.
#[inline]
fn ipv6(frame: &[u8], start: usize) -> Option<Network> {
    let header = frame.get(start..start + 40)?;
    let mut payload = start + 40..start + 40 + usize::from(word(header, 4)?);
    if header[0] >> 4 != 6 || payload.end > frame.len() {
        return None;
    }
    let mut protocol = header[6];
    for _ in 0..MOST_EXTENSIONS {
        if ![HOP_BY_HOP, DESTINATION_OPTIONS].contains(&protocol) {
            break;
        }
        let extension = frame.get(payload.start..payload.end)?;
        protocol = *extension.first()?;
        payload.start += (usize::from(*extension.get(1)?) + 1) * 8;
    }
    Some(Network { addresses: start + 8..start + 40, protocol, payload })
}

#[inline]
fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|&word| u16::from_be_bytes(word))
}

/// The one's complement sum of 16-bit words, not yet folded. What is added in the machine's own order and four bytes at a time
/// comes out the same (RFC 1071, section 2).
#[inline]
fn sum(bytes: &[u8]) -> u64 {
    let mut words = bytes.chunks_exact(4);
    let sum: u64 = words.by_ref().map(|word| u64::from(u32::from_ne_bytes([word[0], word[1], word[2], word[3]]))).sum();
    let mut last = [0; 4];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    let folded = fold(sum + u64::from(u32::from_ne_bytes(last)));
    u64::from(u16::from_be(folded))
}

/// Carries added to the low 16 bits until there are none.
#[inline]
fn fold(mut sum: u64) -> u16 {
    loop {
        match u16::try_from(sum) {
            Ok(folded) => return folded,
            Err(_) => sum = (sum & 0xffff) + (sum >> 16),
        }
    }
}

#[cfg(test)]
mod tests;
