//! The answer of etherparse.

use etherparse::{IpHeaders, NetSlice, SlicedPacket, TcpHeaderSlice, TransportSlice, UdpHeaderSlice, ip_number};
use portlane_classify::{Fragment, Link, Ports};

use super::{Answer, is_later};

pub(crate) fn read(link: Link, frame: &[u8]) -> Answer {
    let sliced = match link {
        Link::Ethernet => SlicedPacket::from_ethernet(frame),
        Link::Ip => SlicedPacket::from_ip(frame),
        Link::LinuxSll => SlicedPacket::from_linux_sll(frame),
        Link::LinuxSll2 => unreachable!("etherparse does not write it"),
    }
    .unwrap();
    let net = sliced.net.as_ref().unwrap();
    let payload = net.ip_payload_ref().unwrap();
    let (source, destination) = match net {
        NetSlice::Ipv4(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        NetSlice::Ipv6(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        NetSlice::Arp(_) => unreachable!("no ARP was written"),
    };
    let (headers, ..) = IpHeaders::from_slice(ip_of(link, &sliced, frame)).unwrap();
    let fragment = fragment(&headers);
    let ports = match sliced.transport {
        Some(TransportSlice::Udp(udp)) => ports(udp.source_port(), udp.destination_port()),
        Some(TransportSlice::Tcp(tcp)) => ports(tcp.source_port(), tcp.destination_port()),
        // A fragment, behind which etherparse does not look by itself.
        None if payload.fragmented && !is_later(fragment) => leading_ports(payload.ip_number.0, payload.payload),
        _ => None,
    };
    let protocol = (!is_later(fragment)).then_some(payload.ip_number.0);
    Answer { source, destination, protocol, ports, fragment }
}

fn ip_of<'a>(link: Link, sliced: &SlicedPacket<'a>, frame: &'a [u8]) -> &'a [u8] {
    match link {
        Link::Ip => frame,
        _ => sliced.ether_payload().unwrap().payload,
    }
}

fn fragment(headers: &IpHeaders) -> Option<Fragment> {
    match headers {
        IpHeaders::Ipv4(header, _) => header
            .is_fragmenting_payload()
            .then(|| Fragment { id: header.identification.into(), later: header.fragment_offset.value() != 0 }),
        IpHeaders::Ipv6(_, extensions) => {
            let header = extensions.fragment.as_ref()?;
            header
                .is_fragmenting_payload()
                .then(|| Fragment { id: header.identification, later: header.fragment_offset.value() != 0 })
        }
    }
}

fn leading_ports(protocol: u8, segment: &[u8]) -> Option<Ports> {
    if protocol == ip_number::UDP.0 {
        let udp = UdpHeaderSlice::from_slice(segment).unwrap();
        ports(udp.source_port(), udp.destination_port())
    } else if protocol == ip_number::TCP.0 {
        let tcp = TcpHeaderSlice::from_slice(segment).unwrap();
        ports(tcp.source_port(), tcp.destination_port())
    } else {
        None
    }
}

fn ports(source: u16, destination: u16) -> Option<Ports> {
    Some(Ports::new(source, destination))
}
