//! A small hash table from IP addresses to values.

use std::fmt;
use std::net::IpAddr;

/// Built once, then only asked, once or twice per packet: open addressing, at most half full, so
/// that an answer is one multiplication and mostly one load.
///
/// The hash is not keyed: the addresses in the table are configured, and a stranger's address can
/// at worst be compared with as many of them as happen to lie in a row.
#[derive(Clone)]
pub(crate) struct AddressMap<T> {
    slots: Box<[Option<(IpAddr, T)>]>,
    len: usize,
}

impl<T: Copy> AddressMap<T> {
    /// Of several values for one address the last stands.
    pub(crate) fn new(entries: &[(IpAddr, T)]) -> Self {
        let slots = (entries.len() * 2).next_power_of_two();
        let mut map = Self { slots: vec![None; slots].into_boxed_slice(), len: 0 };
        for &(address, value) in entries {
            let slot = map.slot_of(address);
            map.len += usize::from(map.slots[slot].is_none());
            map.slots[slot] = Some((address, value));
        }
        map
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub(crate) fn get(&self, address: IpAddr) -> Option<T> {
        self.slots[self.slot_of(address)].map(|(_, value)| value)
    }

    /// Where the address is, or where it would go. At least half of the slots are empty, so the
    /// search ends.
    #[inline]
    fn slot_of(&self, address: IpAddr) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = hash(address) & mask;
        while self.slots[slot].is_some_and(|(held, _)| held != address) {
            slot = (slot + 1) & mask;
        }
        slot
    }
}

impl<T> fmt::Debug for AddressMap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddressMap").field("len", &self.len).finish_non_exhaustive()
    }
}

/// Multiplicative hashing (Knuth, volume 3, section 6.4) with 2^64 over the golden ratio.
#[inline]
fn hash(address: IpAddr) -> usize {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let folded = match address {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => {
            let [a, b, c, d, e, f, g, h] = address.segments().map(u64::from);
            let network = (a << 48) | (b << 32) | (c << 16) | d;
            let interface = (e << 48) | (f << 32) | (g << 16) | h;
            network.wrapping_mul(GOLDEN).rotate_left(32) ^ interface
        }
    };
    // The upper half of the product is the mixed one; 32 bits fit every usize here.
    usize::try_from(folded.wrapping_mul(GOLDEN) >> 32).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn finds_what_was_put_in_and_nothing_else() {
        let v4 = (0..1_000_u32).map(|n| IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n)));
        let v6 = (0..1_000_u128).map(|n| IpAddr::V6(Ipv6Addr::from_bits((0xfd << 120) + n)));
        let entries: Vec<_> = v4.chain(v6).enumerate().map(|(n, address)| (address, n)).collect();
        let map = AddressMap::new(&entries);
        for &(address, n) in &entries {
            assert_eq!(map.get(address), Some(n));
        }
        assert_eq!(map.get(IpAddr::V4(Ipv4Addr::new(10, 0, 255, 1))), None);
        assert_eq!(map.get(IpAddr::V6(Ipv6Addr::LOCALHOST)), None);
    }

    #[test]
    fn an_empty_map_answers() {
        let map = AddressMap::<u8>::new(&[]);
        assert!(map.is_empty());
        assert_eq!(map.get(IpAddr::V4(Ipv4Addr::LOCALHOST)), None);
    }

    #[test]
    fn the_last_value_stands() {
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let map = AddressMap::new(&[(address, 1), (address, 2)]);
        assert_eq!(map.get(address), Some(2));
    }
}
