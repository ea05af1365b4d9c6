//! The answer of pnet.

use pnet_packet::Packet;
use pnet_packet::ethernet::{EtherType, EtherTypes, EthernetPacket};
use pnet_packet::ip::{IpNextHeaderProtocol, IpNextHeaderProtocols as Protocols};
use pnet_packet::ipv4::{Ipv4Flags, Ipv4Packet};
use pnet_packet::ipv6::{ExtensionPacket, FragmentPacket, Ipv6Packet};
use pnet_packet::sll::SLLPacket;
use pnet_packet::tcp::TcpPacket;
use pnet_packet::udp::UdpPacket;
use pnet_packet::vlan::VlanPacket;
use portlane_classify::{Fragment, Link, Ports};

use super::{Answer, is_later};

/// `None` for authentication headers, which pnet does not know.
pub(crate) fn read(link: Link, frame: &[u8]) -> Option<Answer> {
    match link {
        Link::Ethernet => {
            let ethernet = EthernetPacket::new(frame).unwrap();
            behind_tags(ethernet.get_ethertype(), ethernet.payload())
        }
        Link::Ip => by_version(frame),
        Link::LinuxSll => by_version(SLLPacket::new(frame).unwrap().payload()),
        Link::LinuxSll2 => unreachable!("no such frame was written"),
    }
}

fn behind_tags(ethertype: EtherType, payload: &[u8]) -> Option<Answer> {
    match ethertype {
        EtherTypes::Vlan | EtherTypes::PBridge => {
            let tag = VlanPacket::new(payload).unwrap();
            behind_tags(tag.get_ethertype(), tag.payload())
        }
        EtherTypes::Ipv4 => Some(ipv4(payload)),
        EtherTypes::Ipv6 => ipv6(payload),
        other => panic!("{other} was not written"),
    }
}

fn by_version(packet: &[u8]) -> Option<Answer> {
    if packet[0] >> 4 == 4 { Some(ipv4(packet)) } else { ipv6(packet) }
}

fn ipv4(packet: &[u8]) -> Answer {
    let ip = Ipv4Packet::new(packet).unwrap();
    let later = ip.get_fragment_offset() != 0;
    let fragmented = later || ip.get_flags() & Ipv4Flags::MoreFragments != 0;
    let fragment = fragmented.then(|| Fragment { id: ip.get_identification().into(), later });
    Answer {
        source: ip.get_source().into(),
        destination: ip.get_destination().into(),
        protocol: (!later).then_some(ip.get_next_level_protocol().0),
        ports: (!later).then(|| ports(ip.get_next_level_protocol(), ip.payload())).flatten(),
        fragment,
    }
}

fn ipv6(packet: &[u8]) -> Option<Answer> {
    let ip = Ipv6Packet::new(packet).unwrap();
    let mut next = ip.get_next_header();
    let mut payload = ip.payload();
    let mut fragment = None;
    while !is_later(fragment) {
        let passed = match next {
            Protocols::Hopopt | Protocols::Ipv6Opts | Protocols::Ipv6Route => {
                let options = ExtensionPacket::new(payload).unwrap();
                next = options.get_next_header();
                options.payload().len() + 2
            }
            Protocols::Ipv6Frag => {
                let header = FragmentPacket::new(payload).unwrap();
                next = header.get_next_header();
                // pnet takes one of the two reserved bits for a part of the offset.
                let later = header.get_fragment_offset() >> 3 != 0;
                let fragmented = later || !header.is_last_fragment();
                fragment = fragmented.then(|| Fragment { id: header.get_id(), later });
                8
            }
            Protocols::Ah => return None,
            _ => break,
        };
        payload = &payload[passed..];
    }
    let later = is_later(fragment);
    Some(Answer {
        source: ip.get_source().into(),
        destination: ip.get_destination().into(),
        protocol: (!later).then_some(next.0),
        ports: (!later).then(|| ports(next, payload)).flatten(),
        fragment,
    })
}

fn ports(protocol: IpNextHeaderProtocol, segment: &[u8]) -> Option<Ports> {
    match protocol {
        Protocols::Tcp => {
            let tcp = TcpPacket::new(segment).unwrap();
            Some(Ports::new(tcp.get_source(), tcp.get_destination()))
        }
        Protocols::Udp => {
            let udp = UdpPacket::new(segment).unwrap();
            Some(Ports::new(udp.get_source(), udp.get_destination()))
        }
        _ => None,
    }
}
