//! A small hash table from IP addresses to numbers.

use std::fmt;
use std::net::IpAddr;

/// Built once, then only asked, once or twice per packet: open addressing, at most half full, so
/// that an answer is one multiplication and mostly one load. The two IP versions are apart.
///
/// The hash is not keyed: the addresses in the table are configured, and a stranger's address can
/// at worst be compared with as many of them as happen to lie in a row.
#[derive(Clone)]
pub(crate) struct AddressMap {
    v4: Slots<u32>,
    v6: Slots<u128>,
}

impl AddressMap {
    /// The numbers are other than 0. Of several for one address the last stands.
    pub(crate) fn new(entries: &[(IpAddr, u32)]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for &(address, number) in entries {
            match address {
                IpAddr::V4(address) => v4.push((address.to_bits(), number)),
                IpAddr::V6(address) => v6.push((address.to_bits(), number)),
            }
        }
        Self { v4: Slots::new(&v4), v6: Slots::new(&v6) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.v4.slots.is_empty() && self.v6.slots.is_empty()
    }

    /// The number of an address; 0 if it has none.
    #[inline(always)]
    pub(crate) fn get(&self, address: IpAddr) -> u32 {
        match address {
            IpAddr::V4(address) => self.v4.get(address.to_bits()),
            IpAddr::V6(address) => self.v6.get(address.to_bits()),
        }
    }
}

/// Keys and their numbers: no slots, or a power of two, of which at least half are vacant. These have the number 0.
#[derive(Clone)]
struct Slots<K> {
    slots: Box<[(K, u32)]>,
}

impl<K: Key> Slots<K> {
    fn new(entries: &[(K, u32)]) -> Self {
        let count = if entries.is_empty() { 0 } else { (entries.len() * 2).next_power_of_two() };
        let mut slots = vec![(K::default(), 0); count].into_boxed_slice();
        for &(key, number) in entries {
            debug_assert!(number != 0);
            let mut slot = key.hash() & (count - 1);
            while slots[slot].1 != 0 && slots[slot].0 != key {
                slot = (slot + 1) & (count - 1);
            }
            slots[slot] = (key, number);
        }
        Self { slots }
    }

    // Never: most tables have no addresses, and the registers are wanted for what is done without.
    #[inline(never)]
    fn get(&self, key: K) -> u32 {
        if self.slots.is_empty() {
            return 0;
        }
        let mask = self.slots.len() - 1;
        let mut slot = key.hash() & mask;
        loop {
            let (held, number) = self.slots[slot];
            // A vacant slot may seem to hold the key, but then its number is right as well.
            if held == key || number == 0 {
                return number;
            }
            slot = (slot + 1) & mask;
        }
    }
}

impl fmt::Debug for AddressMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v4 = self.v4.slots.iter().filter(|(_, number)| *number != 0);
        let v6 = self.v6.slots.iter().filter(|(_, number)| *number != 0);
        f.debug_struct("AddressMap").field("v4", &v4.count()).field("v6", &v6.count()).finish()
    }
}

/// The bits of an address.
trait Key: Copy + Default + Eq {
    /// Multiplicative hashing (Knuth, volume 3, section 6.4) with 2^64 over the golden ratio. The upper half of the product
    /// is the mixed one; 32 bits fit every usize here.
    fn hash(self) -> usize;
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Key for u32 {
    #[inline(always)]
    fn hash(self) -> usize {
        usize::try_from(u64::from(self).wrapping_mul(GOLDEN) >> 32).unwrap_or_default()
    }
}

impl Key for u128 {
    #[inline(always)]
    fn hash(self) -> usize {
        let halves = [self >> 64, self & u128::from(u64::MAX)];
        let [network, interface] = halves.map(|half| u64::try_from(half).unwrap_or_default());
        let folded = network.wrapping_mul(GOLDEN).rotate_left(32) ^ interface;
        usize::try_from(folded.wrapping_mul(GOLDEN) >> 32).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn finds_what_was_put_in_and_nothing_else() {
        let v4 = (0..1_000_u32).map(|n| IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n)));
        let v6 = (0..1_000_u128).map(|n| IpAddr::V6(Ipv6Addr::from_bits((0xfd << 120) + n)));
        let entries: Vec<_> = v4.chain(v6).zip(1..).collect();
        let map = AddressMap::new(&entries);
        for &(address, n) in &entries {
            assert_eq!(map.get(address), n);
        }
        assert_eq!(map.get(IpAddr::V4(Ipv4Addr::new(10, 0, 255, 1))), 0);
        assert_eq!(map.get(IpAddr::V6(Ipv6Addr::LOCALHOST)), 0);
    }

    #[test]
    fn an_empty_map_answers() {
        let map = AddressMap::new(&[]);
        assert!(map.is_empty());
        assert_eq!(map.get(IpAddr::V4(Ipv4Addr::LOCALHOST)), 0);
        assert_eq!(map.get(IpAddr::V6(Ipv6Addr::LOCALHOST)), 0);
    }

    #[test]
    fn no_address_is_taken_for_a_vacant_slot() {
        let (none, one) = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert_eq!(AddressMap::new(&[(one, 7)]).get(none), 0);
        let map = AddressMap::new(&[(one, 7), (none, 8)]);
        assert_eq!((map.get(none), map.get(one)), (8, 7));
    }

    #[test]
    fn the_last_number_stands() {
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let map = AddressMap::new(&[(address, 1), (address, 2)]);
        assert_eq!(map.get(address), 2);
    }
}
