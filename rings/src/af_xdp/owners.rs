//! The ports that containers own, as the kernel's steering program is told of them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

const BYTES: usize = 1 << 13;

/// A set of ports.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Ports(Box<[u8; BYTES]>);

impl Ports {
    fn none() -> Self {
        Self(Box::new([0; BYTES]))
    }

    fn insert(&mut self, ports: RangeInclusive<u16>) {
        for port in ports {
            self.0[usize::from(port / 8)] |= 1 << (port % 8);
        }
    }

    fn count(&self) -> u32 {
        self.0.iter().map(|byte| byte.count_ones()).sum()
    }

    /// A bit for each port, the lowest first.
    pub(super) fn bits(&self) -> &[u8; BYTES] {
        &self.0
    }
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ports", self.count())
    }
}

/// Which ports are containers', on which addresses.
///
/// Each address that is named takes 8 KiB in the kernel.
///
/// ```
/// use portlane_rings::Owners;
///
/// let mut owners = Owners::default();
/// owners.own(&[], 31_000..=31_499);
/// owners.own(&["10.0.0.1".parse()?], 8_080..=8_080);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owners {
    pub(super) everywhere: Ports,
    /// All ports that are owned on an address, those that are owned everywhere included.
    pub(super) on: BTreeMap<IpAddr, Ports>,
}

impl Default for Owners {
    fn default() -> Self {
        Self { everywhere: Ports::none(), on: BTreeMap::new() }
    }
}

impl Owners {
    /// Adds ports: on these addresses, or without any on all.
    pub fn own(&mut self, addresses: &[IpAddr], ports: RangeInclusive<u16>) {
        if addresses.is_empty() {
            let sets = self.on.values_mut().chain([&mut self.everywhere]);
            sets.for_each(|set| set.insert(ports.clone()));
        }
        for &address in addresses {
            self.on.entry(address).or_insert_with(|| self.everywhere.clone()).insert(ports.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_what_is_owned_everywhere_whichever_came_first() {
        let address = IpAddr::from([10, 0, 0, 1]);
        let (mut one, mut other) = (Owners::default(), Owners::default());
        one.own(&[], 1..=1);
        one.own(&[address], 65_535..=65_535);
        other.own(&[address], 65_535..=65_535);
        other.own(&[], 1..=1);
        assert_eq!(one, other);
        assert_eq!((one.everywhere.count(), one.on[&address].count()), (1, 2));
        assert_eq!((one.on[&address].bits()[0], one.on[&address].bits()[BYTES - 1]), (1 << 1, 1 << 7));
    }
}
