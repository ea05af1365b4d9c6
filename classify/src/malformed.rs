//! Why a frame is refused: one name for each way in which headers can contradict themselves.

use std::fmt;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// Why the headers of a frame cannot be believed.
        ///
        /// A header that only the capture cut short (a snap length) is not malformed; these are
        /// headers that were already wrong on the wire.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Malformed {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Malformed {
            /// Every reason, in the order of [`index`](Self::index).
            pub const ALL: [Self; [$(Self::$variant),+].len()] = [$(Self::$variant),+];

            /// The name under which the reason is counted, in snake case.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

reasons! {
    /// An Ethernet frame of fewer than 14 bytes (IEEE 802.3, clause 3).
    EthernetTruncated = "ethernet_truncated",
    /// A Linux cooked frame shorter than its 16-byte (SLL) or 20-byte (SLL2) header.
    CookedTruncated = "cooked_truncated",
    /// The frame ends within a VLAN tag (IEEE 802.1Q, clause 9.6).
    VlanTruncated = "vlan_truncated",
    /// A raw IP frame of no bytes.
    IpTruncated = "ip_truncated",
    /// A raw IP frame whose version is neither 4 nor 6.
    IpVersion = "ip_version",
    /// Fewer than the 20 bytes of an IPv4 header (RFC 791, section 3.1).
    Ipv4Truncated = "ipv4_truncated",
    /// Announced as IPv4 by the link layer, but the version is not 4.
    Ipv4Version = "ipv4_version",
    /// The IPv4 header length is under five words, or beyond the end of its packet.
    Ipv4HeaderLength = "ipv4_header_length",
    /// The IPv4 total length is more than the frame held.
    Ipv4TotalLength = "ipv4_total_length",
    /// Fewer than the 40 bytes of an IPv6 header (RFC 8200, section 3).
    Ipv6Truncated = "ipv6_truncated",
    /// Announced as IPv6 by the link layer, but the version is not 6.
    Ipv6Version = "ipv6_version",
    /// The IPv6 payload length is more than the frame held.
    Ipv6PayloadLength = "ipv6_payload_length",
    /// An IPv6 extension header runs beyond the end of its packet (RFC 8200, section 4).
    Ipv6ExtensionTruncated = "ipv6_extension_truncated",
    /// More than eight IPv6 extension headers: one more than every kind in the recommended order
    /// (RFC 8200, section 4.1), and a bound on the work one packet may ask for (RFC 8504, 5.3).
    Ipv6ExtensionCount = "ipv6_extension_count",
    /// Fewer than the 20 bytes of a TCP header (RFC 9293, section 3.1).
    TcpTruncated = "tcp_truncated",
    /// The TCP data offset is under five words, or beyond the end of the segment.
    TcpDataOffset = "tcp_data_offset",
    /// Fewer than the 8 bytes of a UDP header (RFC 768).
    UdpTruncated = "udp_truncated",
    /// The UDP length is under 8, or more than its packet carries. A length of 0 is right only in
    /// an IPv6 jumbogram (RFC 2675, section 4).
    UdpLength = "udp_length",
    /// Fewer than the 8 bytes of a UDP-Lite header (RFC 3828, section 3.1).
    UdpLiteTruncated = "udp_lite_truncated",
    /// The UDP-Lite checksum coverage is 1 to 7, or more than its packet carries.
    UdpLiteCoverage = "udp_lite_coverage",
    /// Fewer than the 12 bytes of an SCTP common header (RFC 9260, section 3.1).
    SctpTruncated = "sctp_truncated",
    /// Fewer than the 12 bytes of the shortest DCCP header (RFC 4340, section 5.1).
    DccpTruncated = "dccp_truncated",
    /// The DCCP data offset is under three words, or beyond the end of the packet.
    DccpDataOffset = "dccp_data_offset",
    /// Fewer than the 8 bytes of an ICMP message (RFC 792).
    IcmpTruncated = "icmp_truncated",
    /// Fewer than the 4 bytes of an ICMPv6 message (RFC 4443, section 2.1), or the 8 of an error.
    Icmpv6Truncated = "icmpv6_truncated",
}

impl Malformed {
    /// How many reasons there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The reason's place in [`ALL`](Self::ALL), for arrays of counters.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for Malformed {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn reasons_are_indexed_in_order_and_named_apart() {
        for (index, reason) in Malformed::ALL.iter().enumerate() {
            assert_eq!(reason.index(), index);
        }
        let names: HashSet<_> = Malformed::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(names.len(), Malformed::COUNT);
        assert!(
            names.iter().all(|name| { name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') })
        );
    }
}
