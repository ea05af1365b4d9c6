//! Nothing a frame contains makes the parser panic, and a cut capture never makes a frame malformed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use etherparse::PacketBuilder;
use portlane_classify::ecn::can_mark;
use portlane_classify::{
    Arriving, Classifier, DEFAULT_FRAGMENT_LIFETIME_NS, FlowKey, Found, Fragments, Headers, Link, Packet, Rule, Table,
    ends, parse,
};
use proptest::prelude::*;

const LINKS: [Link; 4] = [Link::Ethernet, Link::Ip, Link::LinuxSll, Link::LinuxSll2];

/// Random bytes rarely get past the first check, so most of these are frames with a few wrong ones.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let noise = prop::collection::vec(any::<u8>(), 0..200);
    let wrong = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    let damaged = (0..SEEDS, wrong).prop_map(|(seed, wrong)| {
        let mut frame = seed_frame(seed);
        for (place, byte) in wrong {
            let place = place.index(frame.len());
            frame[place] = byte;
        }
        frame
    });
    prop_oneof![1 => noise, 9 => damaged]
}

const SEEDS: usize = 5;

fn seed_frame(seed: usize) -> Vec<u8> {
    let builder = || PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let (v4, v6) = ([10, 0, 0, 9], [0xfd; 16]);
    let mut frame = Vec::new();
    let written = match seed {
        0 => builder().ipv4(v4, v4, 64).tcp(1, 2, 3, 4).write(&mut frame, &[0; 9]),
        1 => builder().ipv6(v6, v6, 64).udp(1, 2).write(&mut frame, &[0; 9]),
        2 => builder().single_vlan(5.try_into().unwrap()).ipv4(v4, v4, 64).udp(1, 2).write(&mut frame, &[]),
        3 => {
            let mut quote = Vec::new();
            PacketBuilder::ipv4(v4, v4, 64).udp(1, 2).write(&mut quote, &[]).unwrap();
            builder().ipv4(v4, v4, 64).icmpv4_raw(3, 1, [0; 4]).write(&mut frame, &quote)
        }
        _ => {
            let written = builder().ipv6(v6, v6, 64).write(&mut frame, 59.into(), &[0; 120]);
            // Next header 0, and zeros behind it: hop-by-hop options without end.
            frame[20] = 0;
            written
        }
    };
    written.unwrap();
    frame
}

/// Somebody owns the ports of [`seed_frame`], on `addresses` or on all.
fn classifier(addresses: &[&str], host: &[&str]) -> Classifier<u8> {
    let parsed = |addresses: &[&str]| addresses.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
    let rule = |owner: u8, ports: &str| Rule {
        name: owner.to_string(),
        addresses: parsed(addresses),
        ports: vec![ports.parse().unwrap()],
        owner,
    };
    let table = Table::build(0, &[rule(1, "1"), rule(2, "2-300")]).unwrap();
    Classifier::new(table, Fragments::new(64, DEFAULT_FRAGMENT_LIFETIME_NS, [1, 2]), &parsed(host))
}

/// What a result promises whatever the bytes are.
fn check(headers: &Headers, frame: &[u8]) -> Result<(), TestCaseError> {
    prop_assert!(headers.network_offset <= 28);
    prop_assert!(headers.addresses.is_some() || (headers.ports, headers.fragment) == (None, None));
    prop_assert!(headers.addresses.is_none() || headers.network_offset + 20 <= frame.len());
    let later = headers.fragment.is_some_and(|fragment| fragment.later);
    prop_assert!(!(later && headers.ports.is_some()));
    prop_assert!(!(headers.quoted && headers.fragment.is_some()));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes_end_in_one_of_three_ways(frame in frames(), more in any::<u32>()) {
        let len = u32::try_from(frame.len()).unwrap();
        for link in LINKS {
            for start in [0, 14] {
                let frame = frame.get(start..).unwrap_or_default();
                for wire_len in [0, len, len.saturating_add(more % 300), u32::MAX] {
                    if let Ok(headers) = parse(link, frame, wire_len) {
                        check(&headers, frame)?;
                    }
                    if let Ok(Some(packet)) = Packet::read(link, frame, wire_len) {
                        prop_assert_eq!(ends(link, frame, wire_len), Some((packet.addresses, packet.len)));
                    }
                }
            }
        }
    }

    #[test]
    fn a_frame_cut_by_the_capture_is_not_malformed(frame in frames()) {
        let wire_len = u32::try_from(frame.len()).unwrap();
        for link in LINKS {
            let Ok(complete) = parse(link, &frame, wire_len) else { continue };
            for captured in 0..frame.len() {
                let headers = parse(link, &frame[..captured], wire_len);
                prop_assert!(headers.is_ok(), "{} of {}: {:?}", captured, wire_len, headers);
                let ports = headers.unwrap().ports;
                prop_assert!(ports.is_none() || ports == complete.ports);
            }
        }
    }
}

proptest! {
    // Each with a dozen tables.
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn all_at_once_is_one_after_the_other(frames in prop::collection::vec(frames(), 1..8), more in 0..300_u32) {
        let (here, fd) = ("10.0.0.9", "fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd");
        let flows = FlowKey::new([3, 4]);
        for (addresses, host) in [(&[][..], &[][..]), (&[here, fd], &[]), (&[here], &[fd]), (&[fd], &[here, fd])] {
            for arriving in [Arriving::Ingress, Arriving::Egress, Arriving::Either] {
                let mut at_once = classifier(addresses, host);
                let mut in_turn = at_once.clone();
                for (now, (frame, link)) in (0..).zip(frames.iter().flat_map(|frame| LINKS.map(|link| (frame, link)))) {
                    let wire_len = u32::try_from(frame.len()).unwrap() + more;
                    let found = at_once.find(&flows, link, frame, wire_len, arriving, now);
                    let expected = parse(link, frame, wire_len).map(|headers| {
                        let (direction, owner) = in_turn.classify(&headers, arriving, now);
                        Found { direction, ect: can_mark(link, frame), owner, flow: flows.hash(&headers) }
                    });
                    prop_assert_eq!(found, expected);
                }
            }
        }
    }
}
