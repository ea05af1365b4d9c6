use etherparse::checksum::Sum16BitWords;
use etherparse::{
    IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, Ipv4Options, Ipv6Extensions, Ipv6Header, Ipv6RawExtHeader,
    PacketBuilder, VlanId,
};
use proptest::prelude::*;

use super::*;

/// A packet as a host makes it that has no card to leave anything to.
#[derive(Debug, Clone)]
struct Shape {
    is_v6: bool,
    is_udp: bool,
    addresses: [[u8; 16]; 2],
    tags: usize,
    /// Of IPv4 in words, of IPv6 in headers.
    options: u8,
    payload: Vec<u8>,
    /// Bytes after the packet.
    padding: usize,
}

impl Shape {
    fn transport(&self) -> u8 {
        if self.is_udp { UDP } else { TCP }
    }

    fn ip(&self) -> IpHeaders {
        let [source, destination] = self.addresses;
        if self.is_v6 {
            let mut extensions = Ipv6Extensions::default();
            if self.options > 0 {
                let header = Ipv6RawExtHeader::new_raw(IpNumber(self.transport()), &[1, 4, 0, 0, 0, 0]).unwrap();
                extensions.hop_by_hop_options = Some(header);
            }
            let next = IpNumber(if self.options > 0 { HOP_BY_HOP } else { self.transport() });
            let header = Ipv6Header { source, destination, hop_limit: 64, next_header: next, ..Ipv6Header::default() };
            return IpHeaders::Ipv6(header, extensions);
        }
        let four = |address: [u8; 16]| address[..4].try_into().unwrap();
        let mut header = Ipv4Header::new(0, 64, IpNumber(self.transport()), four(source), four(destination)).unwrap();
        header.options = Ipv4Options::try_from(&[1; 40][..usize::from(self.options) * 4]).unwrap();
        IpHeaders::Ipv4(header, Ipv4Extensions::default())
    }

    /// The frame, and where its transport header begins.
    fn build(&self) -> (Vec<u8>, usize) {
        let ethernet = PacketBuilder::ethernet2([2; 6], [4; 6]);
        let id = |id| VlanId::try_new(id).unwrap();
        let ip = match self.tags {
            0 => ethernet.ip(self.ip()),
            1 => ethernet.single_vlan(id(7)).ip(self.ip()),
            _ => ethernet.double_vlan(id(7), id(8)).ip(self.ip()),
        };
        let mut frame = Vec::new();
        if self.is_udp {
            ip.udp(1_000, 2_000).write(&mut frame, &self.payload).unwrap();
        } else {
            ip.tcp(1_000, 2_000, 3, 4).write(&mut frame, &self.payload).unwrap();
        }
        let start = frame.len() - self.payload.len() - if self.is_udp { 8 } else { 20 };
        frame.resize(frame.len() + self.padding, 0xee);
        (frame, start)
    }

    /// What a host leaves in the field.
    fn pseudo_header(&self, len: usize) -> u16 {
        let [source, destination] =
            self.addresses.each_ref().map(|address| &address[..if self.is_v6 { 16 } else { 4 }]);
        let sum = Sum16BitWords::new().add_slice(source).add_slice(destination).add_2bytes([0, self.transport()]);
        u16::from_be(!sum.add_slice(&u32::try_from(len).unwrap().to_be_bytes()).ones_complement())
    }
}

fn shapes() -> impl Strategy<Value = Shape> {
    let payload = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..64),
        prop::collection::vec(any::<u8>(), 1_400..1_500),
        prop::collection::vec(any::<u8>(), 8_900..9_000)
    ];
    let head = (any::<bool>(), any::<bool>(), any::<[[u8; 16]; 2]>(), 0..3_usize, 0..=10_u8);
    (head, payload, 0..20_usize).prop_map(|((is_v6, is_udp, addresses, tags, options), payload, padding)| Shape {
        is_v6,
        is_udp,
        addresses,
        tags,
        options,
        payload,
        padding,
    })
}

proptest! {
    #[test]
    fn what_a_card_was_to_finish_is_finished_as_a_host_would(shape in shapes()) {
        let (whole, start) = shape.build();
        let field = start + if shape.is_udp { 6 } else { 16 };
        let mut frame = whole.clone();
        let len = whole.len() - shape.padding - start;
        frame[field..field + 2].copy_from_slice(&shape.pseudo_header(len).to_be_bytes());
        let found = unfinished(&frame).expect("it is not finished");
        prop_assert_eq!(&found, &Unfinished { covered: start..start + len, field });
        found.finish(&mut frame);
        prop_assert_eq!(&frame[field..field + 2], &whole[field..field + 2]);
        prop_assert!(frame == whole);
    }

    /// By chance one in 65,536 looks unfinished, and then nothing changes.
    #[test]
    fn what_is_finished_stays_as_it_is(shape in shapes()) {
        let (whole, _) = shape.build();
        let mut frame = whole.clone();
        if let Some(found) = unfinished(&frame) {
            found.finish(&mut frame);
        }
        prop_assert!(frame == whole);
    }

    #[test]
    fn any_bytes_may_come(shape in shapes(), cut in any::<prop::sample::Index>(), flips in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 0..8)) {
        let (mut frame, _) = shape.build();
        frame.truncate(cut.index(frame.len() + 1));
        let headers = frame.len().min(80);
        for (at, byte) in flips.into_iter().filter(|_| headers > 0) {
            frame[at.index(headers)] = byte;
        }
        if let Some(found) = unfinished(&frame) {
            found.finish(&mut frame);
        }
    }
}

#[test]
fn a_checksum_that_looks_unfinished_by_chance_is_what_it_was() {
    let addresses = [[10; 16], [11; 16]];
    let payload = vec![0; 2];
    let mut shape = Shape { is_v6: false, is_udp: true, addresses, tags: 0, options: 0, payload, padding: 0 };
    let chances = (0..=u16::MAX).find_map(|word| {
        shape.payload = word.to_be_bytes().to_vec();
        let (frame, _) = shape.build();
        unfinished(&frame).map(|found| (found, frame))
    });
    let (found, frame) = chances.expect("one of 65,536 does");
    let mut finished = frame.clone();
    found.finish(&mut finished);
    assert_eq!(finished, frame);
}

#[test]
fn fragments_and_datagrams_without_checksum_are_left_alone() {
    let shape = Shape {
        is_v6: false,
        is_udp: true,
        addresses: [[10; 16], [11; 16]],
        tags: 0,
        options: 0,
        payload: vec![1; 100],
        padding: 0,
    };
    let (mut frame, start) = shape.build();
    frame[start + 6..start + 8].copy_from_slice(&shape.pseudo_header(108).to_be_bytes());
    assert!(unfinished(&frame).is_some());
    for fragment in [0x2000_u16, 1, 0x1fff] {
        frame[20..22].copy_from_slice(&fragment.to_be_bytes());
        assert_eq!(unfinished(&frame), None, "{fragment:#x}");
    }
    frame[20..22].copy_from_slice(&0x4000_u16.to_be_bytes());
    assert!(unfinished(&frame).is_some(), "one that must not be fragmented is none");
    frame[start + 6..start + 8].copy_from_slice(&[0, 0]);
    assert_eq!(unfinished(&frame), None);
}
