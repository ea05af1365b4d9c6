//! Well-formed packets, written by etherparse.

use std::net::IpAddr;

use etherparse::{
    IpAuthHeader, IpFragOffset, IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, Ipv6Extensions, Ipv6FragmentHeader,
    Ipv6Header, Ipv6RawExtHeader, Ipv6RoutingExtensions, LinuxSllPacketType, PacketBuilder, PacketBuilderStep, VlanId,
};
use portlane_classify::{Fragment, Link, Ports};
use proptest::collection::vec;
use proptest::prelude::*;

/// A frame and what went into it.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) link: Link,
    pub(crate) frame: Vec<u8>,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// `None` if the protocol has none.
    pub(crate) ports: Option<Ports>,
    pub(crate) fragment: Option<Fragment>,
}

#[derive(Clone, Debug)]
enum Wire {
    Ethernet { tags: Vec<u16>, padding: usize },
    Ip,
    LinuxSll,
}

#[derive(Clone, Debug)]
struct Network {
    headers: IpHeaders,
    source: IpAddr,
    destination: IpAddr,
    fragment: Option<Fragment>,
}

#[derive(Clone, Debug)]
enum Transport {
    Udp,
    Tcp { options: Vec<u8> },
    Echo,
}

pub(crate) fn sample() -> impl Strategy<Value = Sample> {
    on(wire())
}

/// Raw IP packets.
pub(crate) fn raw_ip() -> impl Strategy<Value = Sample> {
    on(Just(Wire::Ip))
}

fn on(wire: impl Strategy<Value = Wire>) -> impl Strategy<Value = Sample> {
    let network = prop_oneof![ipv4(), ipv6()];
    let ports = any::<[u16; 2]>().prop_map(|[source, destination]| Ports::new(source, destination));
    (wire, network, transport(), ports, vec(any::<u8>(), 0..40)).prop_map(
        |(wire, network, transport, ports, payload)| {
            let step = behind(&wire, network.headers);
            let mut frame = Vec::new();
            match &transport {
                Transport::Udp => step.udp(ports.source(), ports.destination()).write(&mut frame, &payload),
                Transport::Tcp { options } => step
                    .tcp(ports.source(), ports.destination(), 1, 1024)
                    .options_raw(options)
                    .unwrap()
                    .write(&mut frame, &payload),
                Transport::Echo if network.source.is_ipv4() => {
                    step.icmpv4_echo_request(7, 1).write(&mut frame, &payload)
                }
                Transport::Echo => step.icmpv6_echo_request(7, 1).write(&mut frame, &payload),
            }
            .unwrap();
            let link = match wire {
                Wire::Ethernet { padding, .. } => {
                    frame.resize(frame.len() + padding, 0xff);
                    Link::Ethernet
                }
                Wire::Ip => Link::Ip,
                Wire::LinuxSll => Link::LinuxSll,
            };
            let Network { source, destination, fragment, .. } = network;
            let ports = Some(ports).filter(|_| !matches!(transport, Transport::Echo));
            Sample { link, frame, source, destination, ports, fragment }
        },
    )
}

fn behind(wire: &Wire, headers: IpHeaders) -> PacketBuilderStep<IpHeaders> {
    let id = |tag: u16| VlanId::try_new(tag).unwrap();
    match wire {
        Wire::Ethernet { tags, .. } => {
            let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
            match tags[..] {
                [] => ethernet.ip(headers),
                [tag] => ethernet.single_vlan(id(tag)).ip(headers),
                [outer, inner, ..] => ethernet.double_vlan(id(outer), id(inner)).ip(headers),
            }
        }
        Wire::Ip => PacketBuilder::ip(headers),
        Wire::LinuxSll => PacketBuilder::linux_sll(LinuxSllPacketType::OUTGOING, 6, [0; 8]).ip(headers),
    }
}

/// An ICMP error that quotes all of `packet`.
pub(crate) fn icmp_error(packet: &[u8], v4: bool) -> Vec<u8> {
    let mut error = Vec::new();
    if v4 {
        PacketBuilder::ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64).icmpv4_raw(3, 4, [0; 4]).write(&mut error, packet)
    } else {
        PacketBuilder::ipv6([0x20; 16], [0x21; 16], 64).icmpv6_raw(2, 0, [0; 4]).write(&mut error, packet)
    }
    .unwrap();
    error
}

fn wire() -> impl Strategy<Value = Wire> {
    prop_oneof![
        3 => (vec(0..4096_u16, 0..3), 0..20_usize)
            .prop_map(|(tags, padding)| Wire::Ethernet { tags, padding }),
        1 => Just(Wire::Ip),
        1 => Just(Wire::LinuxSll),
    ]
}

fn transport() -> impl Strategy<Value = Transport> {
    prop_oneof![
        2 => Just(Transport::Udp),
        2 => (0..=10_usize).prop_map(|words| Transport::Tcp { options: vec![1; words * 4] }),
        1 => Just(Transport::Echo),
    ]
}

/// Offset in units of 8 bytes, and whether more follow; mostly neither.
fn fragmentation() -> impl Strategy<Value = (u16, bool)> {
    prop_oneof![
        3 => Just((0, false)),
        1 => Just((0, true)),
        1 => (1..=0x1fff_u16, any::<bool>()),
    ]
}

fn fragment(id: u32, offset: u16, more: bool) -> Option<Fragment> {
    (offset != 0 || more).then_some(Fragment { id, later: offset != 0 })
}

fn ipv4() -> impl Strategy<Value = Network> {
    (any::<[[u8; 4]; 2]>(), any::<u16>(), fragmentation(), 0..=10_usize).prop_map(
        |([source, destination], id, (offset, more), words)| {
            let mut header = Ipv4Header::new(0, 64, IpNumber(0), source, destination).unwrap();
            header.identification = id;
            header.dont_fragment = false;
            header.more_fragments = more;
            header.fragment_offset = IpFragOffset::try_new(offset).unwrap();
            header.options = [1; 40][..words * 4].try_into().unwrap();
            Network {
                headers: IpHeaders::Ipv4(header, Ipv4Extensions::default()),
                source: source.into(),
                destination: destination.into(),
                fragment: fragment(id.into(), offset, more),
            }
        },
    )
}

fn ipv6() -> impl Strategy<Value = Network> {
    let options = || {
        let header = |units: usize| Ipv6RawExtHeader::new_raw(IpNumber(0), &[0; 62][..units * 8 + 6]).unwrap();
        prop::option::of((0..4_usize).prop_map(header))
    };
    let routing = (options(), options()).prop_map(|(routing, final_destination_options)| {
        routing.map(|routing| Ipv6RoutingExtensions { routing, final_destination_options })
    });
    let fragment_header = prop::option::of((any::<u32>(), fragmentation()));
    let auth = prop::option::weighted(
        0.2,
        (0..4_usize).prop_map(|words| IpAuthHeader::new(IpNumber(0), 1, 1, &[0; 16][..words * 4]).unwrap()),
    );
    (any::<[[u8; 16]; 2]>(), options(), options(), routing, fragment_header, auth).prop_map(
        |([source, destination], hop_by_hop_options, destination_options, routing, part, auth)| {
            let extensions = Ipv6Extensions {
                hop_by_hop_options,
                destination_options,
                routing,
                fragment: part.map(|(id, (offset, more))| {
                    let offset = IpFragOffset::try_new(offset).unwrap();
                    Ipv6FragmentHeader::new(IpNumber(0), offset, more, id)
                }),
                auth,
            };
            let header = Ipv6Header { source, destination, hop_limit: 64, ..Ipv6Header::default() };
            Network {
                headers: IpHeaders::Ipv6(header, extensions),
                source: source.into(),
                destination: destination.into(),
                fragment: part.and_then(|(id, (offset, more))| fragment(id, offset, more)),
            }
        },
    )
}
