//! From bytes to owner and flow, over packets that lie in memory one after the other.

use std::hint::black_box;

use portlane_classify::{
    Arriving, Classifier, DEFAULT_FRAGMENT_LIFETIME_NS, FlowKey, Fragments, Headers, Link, Rule, Table, parse,
};

use super::packets::{CONTAINERS, ports, traffic};
use super::{Element, Rounds, one_by_one};

const KEY: [u64; 2] = [1, 2];

pub(super) fn parse_ipv4() -> Box<dyn Element> {
    parsing(ipv4())
}

pub(super) fn parse_vlan() -> Box<dyn Element> {
    parsing(vlan())
}

pub(super) fn parse_ipv6() -> Box<dyn Element> {
    parsing(ipv6())
}

/// The owner of headers.
pub(super) fn look_up() -> Box<dyn Element> {
    let mut classifier = classifier();
    one_by_one(headers(), move |headers| {
        black_box(classifier.classify(headers, Arriving::Egress, 0));
    })
}

pub(super) fn flow_hash() -> Box<dyn Element> {
    let key = FlowKey::new(KEY);
    one_by_one(headers(), move |headers| {
        black_box(key.hash(headers));
    })
}

/// All of it at once, as in the line.
pub(super) fn find_ipv4() -> Box<dyn Element> {
    finding(ipv4())
}

pub(super) fn find_vlan() -> Box<dyn Element> {
    finding(vlan())
}

pub(super) fn find_ipv6() -> Box<dyn Element> {
    finding(ipv6())
}

/// Packets of equal length, one after the other.
struct Frames {
    bytes: Vec<u8>,
    len: u16,
}

impl Frames {
    fn new(change: impl Fn(&[u8; 64]) -> Vec<u8>) -> Self {
        let frames: Vec<_> = traffic().iter().map(change).collect();
        Self { bytes: frames.concat(), len: u16::try_from(frames[0].len()).expect("a short frame") }
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact(self.len.into())
    }

    /// All of them in a round.
    fn each(self, mut handle: impl FnMut(&[u8], u32) + 'static) -> Box<dyn Element> {
        let packets = self.iter().count() as u64;
        Box::new(Rounds(packets, move || self.iter().for_each(|frame| handle(frame, self.len.into()))))
    }
}

fn ipv4() -> Frames {
    Frames::new(|frame| frame.to_vec())
}

/// The same packets behind a VLAN tag (IEEE 802.1Q).
fn vlan() -> Frames {
    Frames::new(|frame| [&frame[..12], &[0x81, 0, 0, 5], &frame[12..]].concat())
}

/// The same ports over IPv6.
fn ipv6() -> Frames {
    let mut header = [0; 40];
    header[..8].copy_from_slice(&[0x60, 0, 0, 0, 0, 30, 17, 64]);
    Frames::new(|frame| [&frame[..12], &[0x86, 0xdd], &header, &frame[34..]].concat())
}

fn parsing(frames: Frames) -> Box<dyn Element> {
    frames.each(|frame, len| {
        let _ = black_box(parse(Link::Ethernet, frame, len));
    })
}

fn finding(frames: Frames) -> Box<dyn Element> {
    let (mut classifier, key) = (classifier(), FlowKey::new(KEY));
    frames.each(move |frame, len| {
        let _ = black_box(classifier.find(&key, Link::Ethernet, frame, len, Arriving::Egress, 0));
    })
}

fn headers() -> Vec<Headers> {
    traffic().iter().map(|frame| parse(Link::Ethernet, frame, 64).expect("well-formed")).collect()
}

fn classifier() -> Classifier<u32> {
    let rules: Vec<_> = (0..CONTAINERS)
        .map(|owner| Rule {
            name: format!("c{owner}"),
            addresses: vec![],
            ports: vec![ports(owner).parse().expect("a valid range")],
            owner: u32::from(owner),
        })
        .collect();
    let table = Table::build(u32::from(CONTAINERS), &rules).expect("ranges that do not overlap");
    Classifier::new(table, Fragments::new(1_024, DEFAULT_FRAGMENT_LIFETIME_NS, KEY), &[])
}
