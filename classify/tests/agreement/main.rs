//! On well-formed packets the parser says what two independent parsers say.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod by_etherparse;
mod by_pnet;
mod packets;

use std::net::IpAddr;

use portlane_classify::{Fragment, Link, Ports, parse};
use proptest::prelude::*;

use packets::{Sample, raw_ip, sample};

/// What all three parsers are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    source: IpAddr,
    destination: IpAddr,
    /// `None` for a later fragment, behind whose IP header parsers go on as far as they like.
    protocol: Option<u8>,
    ports: Option<Ports>,
    fragment: Option<Fragment>,
}

fn is_later(fragment: Option<Fragment>) -> bool {
    fragment.is_some_and(|fragment| fragment.later)
}

fn ours(link: Link, frame: &[u8]) -> Answer {
    let headers = parse(link, frame, u32::try_from(frame.len()).unwrap()).unwrap();
    let addresses = headers.addresses.unwrap();
    Answer {
        source: addresses.source(),
        destination: addresses.destination(),
        protocol: (!is_later(headers.fragment)).then_some(headers.protocol),
        ports: headers.ports,
        fragment: headers.fragment,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn with_how_the_packet_was_built(sample in sample()) {
        let answer = ours(sample.link, &sample.frame);
        prop_assert_eq!(answer.source, sample.source);
        prop_assert_eq!(answer.destination, sample.destination);
        prop_assert_eq!(answer.fragment, sample.fragment);
        let ports = sample.ports.filter(|_| !is_later(sample.fragment));
        prop_assert_eq!(answer.ports, ports);
    }

    #[test]
    fn with_etherparse(sample in sample()) {
        prop_assert_eq!(
            ours(sample.link, &sample.frame),
            by_etherparse::read(sample.link, &sample.frame)
        );
    }

    #[test]
    fn with_pnet(sample in sample()) {
        if let Some(answer) = by_pnet::read(sample.link, &sample.frame) {
            prop_assert_eq!(ours(sample.link, &sample.frame), answer);
        }
    }

    #[test]
    fn an_icmp_error_is_the_quoted_packet_the_other_way(sample in raw_ip()) {
        let Sample { link, frame, .. } = sample;
        let quoted = ours(link, &frame);
        let error = packets::icmp_error(&frame, quoted.source.is_ipv4());
        let headers = parse(link, &error, u32::try_from(error.len()).unwrap()).unwrap();
        prop_assert!(headers.quoted);
        let addresses = headers.addresses.unwrap();
        prop_assert_eq!(addresses.source(), quoted.destination);
        prop_assert_eq!(addresses.destination(), quoted.source);
        prop_assert_eq!(headers.ports, quoted.ports.map(Ports::swapped));
    }
}
