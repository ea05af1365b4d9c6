//! Link types: what the first byte of a packet belongs to.

use std::fmt;

use pcap_file::DataLink;

/// A link-layer header type, numbered as in the registry of
/// [LINKTYPE values](https://www.tcpdump.org/linktypes.html).
///
/// Displayed by name and number, as in `IEEE802_11 (105)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkType(pub u16);

impl LinkType {
    /// Ethernet, from the destination address on, without preamble.
    pub const ETHERNET: Self = Self(1);
    /// IPv4 or IPv6 without a link header; the version is in the first four bits.
    pub const RAW: Self = Self(101);
    /// Linux cooked capture v1: 16 bytes instead of the link header.
    pub const LINUX_SLL: Self = Self(113);
    /// IPv4 without a link header.
    pub const IPV4: Self = Self(228);
    /// IPv6 without a link header.
    pub const IPV6: Self = Self(229);
    /// Linux cooked capture v2: 20 bytes instead of the link header.
    pub const LINUX_SLL2: Self = Self(276);

    /// The link types that a [`Reader`](crate::Reader) accepts, in the order of their numbers.
    pub const SUPPORTED: [Self; 6] =
        [Self::ETHERNET, Self::RAW, Self::LINUX_SLL, Self::IPV4, Self::IPV6, Self::LINUX_SLL2];

    /// Whether a [`Reader`](crate::Reader) accepts packets of this link type.
    #[must_use]
    pub fn is_supported(self) -> bool {
        Self::SUPPORTED.contains(&self)
    }

    /// [`LinkType::SUPPORTED`] as a list for messages.
    pub(crate) fn supported_list() -> String {
        Self::SUPPORTED.map(|link| link.to_string()).as_slice().join(", ")
    }
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DataLink::from(u32::from(self.0)) {
            DataLink::Unknown(number) => write!(f, "unknown ({number})"),
            known => write!(f, "{known:?} ({})", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{DataLink, LinkType};

    #[test]
    fn the_crates_table_keeps_every_number() {
        for number in 0..=u32::from(u16::MAX) {
            assert_eq!(u32::from(DataLink::from(number)), number);
        }
    }

    #[test]
    fn names_follow_the_registry() {
        assert_eq!(LinkType(105).to_string(), "IEEE802_11 (105)");
        assert_eq!(LinkType(54_321).to_string(), "unknown (54321)");
        assert_eq!(
            LinkType::supported_list(),
            "ETHERNET (1), RAW (101), LINUX_SLL (113), IPV4 (228), IPV6 (229), LINUX_SLL2 (276)"
        );
    }

    #[test]
    fn only_the_listed_types_are_supported() {
        let supported: Vec<u16> = (0..=u16::MAX).filter(|&n| LinkType(n).is_supported()).collect();
        assert_eq!(supported, [1, 101, 113, 228, 229, 276]);
    }
}
