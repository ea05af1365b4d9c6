//! The frames that answer: as the neighbour itself would.

use std::net::IpAddr;

use etherparse::icmpv6::NeighborAdvertisementHeader;
use etherparse::{ArpHardwareId, ArpOperation, ArpPacket, EtherType, Icmpv6Type, PacketBuilder};
use portlane_rings::Solicitation;

use super::table::Neighbour;

/// What shows that a packet has not been forwarded (RFC 4861, section 7.1.2).
const HOP_LIMIT: u8 = 255;

/// Target link-layer address (RFC 4861, section 4.6.1), of 8 bytes.
const TARGET_OPTION: [u8; 2] = [2, 1];

/// An ARP reply (RFC 826) or a neighbour advertisement (RFC 4861, section 4.4); `None` if the question is of both versions.
pub(super) fn frame(asked: &Solicitation, neighbour: &Neighbour) -> Option<Vec<u8>> {
    let ethernet = PacketBuilder::ethernet2(neighbour.hardware, asked.hardware);
    let mut frame = Vec::with_capacity(128);
    match (asked.target, asked.sender) {
        (IpAddr::V4(target), IpAddr::V4(sender)) => {
            let reply = ArpPacket::new(
                ArpHardwareId::ETHERNET,
                EtherType::IPV4,
                ArpOperation::REPLY,
                &neighbour.hardware,
                &target.octets(),
                &asked.hardware,
                &sender.octets(),
            );
            ethernet.arp(reply.ok()?).write(&mut frame).ok()?;
        }
        (IpAddr::V6(target), IpAddr::V6(sender)) => {
            let flags = NeighborAdvertisementHeader { router: neighbour.is_router, solicited: true, r#override: true };
            let body = [&target.octets()[..], &TARGET_OPTION, &neighbour.hardware].concat();
            let packet = ethernet.ipv6(target.octets(), sender.octets(), HOP_LIMIT);
            packet.icmpv6(Icmpv6Type::NeighborAdvertisement(flags)).write(&mut frame, &body).ok()?;
        }
        _ => return None,
    }
    Some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEIGHBOUR: Neighbour = Neighbour { hardware: [2, 0, 0, 0, 0, 9], is_router: true, is_stale: false };

    #[test]
    fn arp_is_answered_to_who_asked() {
        let (target, sender) = (IpAddr::from([10, 0, 0, 9]), IpAddr::from([10, 0, 0, 1]));
        let asked = Solicitation { target, sender, hardware: [2, 0, 0, 0, 0, 1], interface: 7 };
        let expected = [
            &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 8, 6][..],
            &[0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 9, 10, 0, 0, 9, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1],
        ];
        assert_eq!(frame(&asked, &NEIGHBOUR), Some(expected.concat()));
    }

    #[test]
    fn neighbours_are_advertised_with_a_checksum() {
        let address = |last| IpAddr::from([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
        let asked = Solicitation { target: address(9), sender: address(1), hardware: [2, 0, 0, 0, 0, 1], interface: 7 };
        let frame = frame(&asked, &NEIGHBOUR).unwrap();
        assert_eq!((frame.len(), frame[20], frame[21]), (14 + 40 + 32, 58, HOP_LIMIT));
        assert_eq!(
            (&frame[54..56], &frame[58..62]),
            (&[136, 0][..], &[0xe0, 0, 0, 0][..]),
            "router, solicited, override"
        );
        assert_eq!(&frame[78..], [2, 1, 2, 0, 0, 0, 0, 9]);
        // RFC 8200, section 8.1: with the pseudo-header, all words add up to 0xffff.
        let words =
            |bytes: &[u8]| bytes.chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum::<u32>();
        let sum = words(&frame[22..]) + 32 + 58;
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
    }

    #[test]
    fn a_question_of_both_versions_has_no_answer() {
        let (target, sender) = (IpAddr::from([10, 0, 0, 9]), IpAddr::from([0; 16]));
        assert_eq!(frame(&Solicitation { target, sender, hardware: [0; 6], interface: 7 }, &NEIGHBOUR), None);
    }
}
