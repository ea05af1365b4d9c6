//! Which flow a packet is of, as a number that senders cannot choose.

use std::fmt;

use crate::{Addresses, Headers, Ports};

#[cfg(test)]
mod tests;

/// Odd constants of 64 random-looking bits: the fractional parts of the golden ratio and of the square roots of 2 and 3.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
const ROOT_OF_2: u64 = 0x6a09_e667_f3bc_c909;
const ROOT_OF_3: u64 = 0xbb67_ae85_84ca_a73b;

/// Hashes packets by their flow: addresses, protocol and ports (RFC 8290, section 4.1.1).
///
/// With a key that senders do not know they cannot choose who shares a queue with them. It is a product of 128 bits folded
/// to 64, twice: fast rather than cryptographic, and as strong as its key is secret.
///
/// Fragments are hashed by their addresses alone, the first one too, so that those of a datagram stay in order. Frames that
/// are not IP are one flow.
#[derive(Clone, Copy)]
pub struct FlowKey([u64; 2]);

impl FlowKey {
    /// `key` should be random where strangers send packets, and fixed where two runs must agree.
    #[must_use]
    pub const fn new([first, second]: [u64; 2]) -> Self {
        Self([first ^ ROOT_OF_2, second ^ ROOT_OF_3])
    }

    /// The hash of a packet's flow; all 32 bits depend on all of it.
    #[inline(always)]
    #[must_use]
    pub fn hash(&self, headers: &Headers) -> u32 {
        let transport = match headers.fragment {
            None => u64::from(headers.ports.map_or(0, Ports::bits)) << 8 | u64::from(headers.protocol),
            Some(_) => u64::MAX,
        };
        let [first, second] = self.0;
        let addresses = match headers.addresses {
            Some(Addresses::V4 { source, destination }) => {
                u64::from(source.to_bits()) << 32 | u64::from(destination.to_bits())
            }
            Some(Addresses::V6 { source, destination }) => {
                let ([s0, s1], [d0, d1]) = (halves(source.to_bits()), halves(destination.to_bits()));
                fold(s0 ^ first, d0 ^ second) ^ fold(s1 ^ first, d1 ^ GOLDEN)
            }
            None => 0,
        };
        let mixed = fold(fold(addresses ^ first, transport ^ second) ^ first, GOLDEN);
        u32::try_from(mixed >> 32).unwrap_or_default()
    }
}

impl fmt::Debug for FlowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the key: who knows it can aim.
        f.debug_struct("FlowKey").finish_non_exhaustive()
    }
}

/// The two halves of the product, one over the other.
#[inline]
fn fold(one: u64, other: u64) -> u64 {
    let [low, high] = halves(u128::from(one) * u128::from(other));
    low ^ high
}

#[inline]
fn halves(word: u128) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = word.to_le_bytes();
    [u64::from_le_bytes([a, b, c, d, e, f, g, h]), u64::from_le_bytes([i, j, k, l, m, n, o, p])]
}
