use super::*;
use crate::{DEFAULT_FRAGMENT_LIFETIME_NS, Fragment, Rule};

const UNMATCHED: u8 = 0;
const WEB: u8 = 1;
const DB: u8 = 2;

fn table() -> Table<u8> {
    let rule = |name: &str, ports: &str, owner| Rule {
        name: name.to_owned(),
        addresses: vec![],
        ports: vec![ports.parse().unwrap()],
        owner,
    };
    Table::build(UNMATCHED, &[rule("web", "80", WEB), rule("db", "5432", DB)]).unwrap()
}

fn classifier(host_addresses: &[&str]) -> Classifier<u8> {
    let host_addresses: Vec<_> = host_addresses.iter().map(|text| text.parse().unwrap()).collect();
    let fragments = Fragments::new(16, DEFAULT_FRAGMENT_LIFETIME_NS, [1, 2]);
    Classifier::new(table(), fragments, &host_addresses)
}

/// A packet from 10.0.0.9 to 10.0.0.1.
fn packet(source: u16, destination: u16) -> Headers {
    Headers {
        addresses: Some(Addresses::V4 { source: [10, 0, 0, 9].into(), destination: [10, 0, 0, 1].into() }),
        protocol: 17,
        ports: Some(Ports::new(source, destination)),
        echo: None,
        fragment: None,
        quoted: false,
        network_offset: 14,
    }
}

use Direction::{Egress, Ingress};

#[test]
fn a_known_direction_decides_which_port_counts() {
    let mut classifier = classifier(&[]);
    let packet = packet(5432, 80);
    assert_eq!(classifier.classify(&packet, Arriving::Ingress, 0), (Ingress, WEB));
    assert_eq!(classifier.classify(&packet, Arriving::Egress, 0), (Egress, DB));
}

#[test]
fn without_host_addresses_the_owned_port_tells_the_direction() {
    let mut classifier = classifier(&[]);
    for (source, destination, verdict) in [
        (5432, 80, (Ingress, WEB)),
        (40_000, 5432, (Ingress, DB)),
        (5432, 40_000, (Egress, DB)),
        (40_000, 40_001, (Ingress, UNMATCHED)),
    ] {
        let packet = packet(source, destination);
        assert_eq!(classifier.classify(&packet, Arriving::Either, 0), verdict);
    }
}

#[test]
fn host_addresses_tell_the_direction_and_the_destination_goes_first() {
    let packet = packet(5432, 80);
    for (host_addresses, verdict) in [
        (&["10.0.0.1"][..], (Ingress, WEB)),
        (&["10.0.0.9"], (Egress, DB)),
        (&["10.0.0.9", "10.0.0.1"], (Ingress, WEB)),
        (&["fd00::1"], (Ingress, UNMATCHED)),
    ] {
        let mut classifier = classifier(host_addresses);
        assert_eq!(classifier.classify(&packet, Arriving::Either, 0), verdict);
    }
    // An address of the host decides even if nobody owns the port there.
    let mut to_host = classifier(&["10.0.0.1"]);
    let packet = self::packet(80, 40_000);
    assert_eq!(to_host.classify(&packet, Arriving::Either, 0), (Ingress, UNMATCHED));
    assert_eq!(to_host.classify(&packet, Arriving::Egress, 0), (Egress, WEB));
}

#[test]
fn what_has_no_ports_is_unmatched() {
    let no_ports = Headers { ports: None, ..packet(0, 0) };
    let not_ip = Headers { addresses: None, ..no_ports };
    for mut classifier in [classifier(&[]), classifier(&["10.0.0.1"])] {
        for headers in [no_ports, not_ip] {
            for (arriving, direction) in
                [(Arriving::Ingress, Ingress), (Arriving::Egress, Egress), (Arriving::Either, Ingress)]
            {
                let verdict = classifier.classify(&headers, arriving, 0);
                assert_eq!(verdict, (direction, UNMATCHED));
            }
        }
    }
    let mut from_host = classifier(&["10.0.0.9"]);
    assert_eq!(from_host.classify(&no_ports, Arriving::Either, 0), (Egress, UNMATCHED));
}

#[test]
fn later_fragments_follow_their_first_through_a_change_of_tables() {
    let first = Headers { fragment: Some(Fragment { id: 7, later: false }), ..packet(4000, 80) };
    let later = Headers { ports: None, fragment: Some(Fragment { id: 7, later: true }), ..first };
    let mut classifier = classifier(&[]);
    assert_eq!(classifier.classify(&later, Arriving::Either, 0), (Ingress, UNMATCHED));
    assert_eq!(classifier.classify(&first, Arriving::Either, 1), (Ingress, WEB));
    assert_eq!(classifier.classify(&later, Arriving::Either, 2), (Ingress, WEB));
    let late = 1 + DEFAULT_FRAGMENT_LIFETIME_NS;
    assert_eq!(classifier.classify(&later, Arriving::Either, late), (Ingress, UNMATCHED));

    let before = classifier.replace_table(Table::build(9, &[]).unwrap());
    assert_eq!(before.lookup([10, 0, 0, 1].into(), 80), WEB);
    assert_eq!(classifier.classify(&later, Arriving::Either, 3), (Ingress, 9));
    classifier.replace_table(before);
    assert_eq!(classifier.classify(&later, Arriving::Either, 3), (Ingress, WEB));
}

#[test]
fn directions_are_indexed_in_order_and_named() {
    assert_eq!(Direction::ALL.map(Direction::index), [0, 1]);
    assert_eq!(Direction::ALL.map(|direction| direction.to_string()), ["ingress", "egress"]);
    assert_eq!(format!("{Egress:>8}"), "  egress");
}

#[test]
fn echoes_have_owners_where_this_is_asked_for() {
    let flows = FlowKey::new([1, 2]);
    let mut request = vec![2; 12];
    request.extend([8, 0, 0x45, 0, 0, 28, 0, 7, 0x20, 0, 64, 1, 0, 0, 10, 0, 0, 1, 10, 0, 0, 9]);
    request.extend([8, 0, 0, 0, 0, 80, 0, 1]);
    let mut later = request.clone();
    later[20..22].copy_from_slice(&[0, 1]);
    let owners = |mut classifier: Classifier<u8>| {
        [&request, &later].map(|frame| {
            let found = classifier.find(&flows, Link::Ethernet, frame, 42, Arriving::Egress, 0).unwrap();
            (found.direction, found.owner)
        })
    };
    assert_eq!(owners(classifier(&[])), [(Egress, UNMATCHED); 2]);
    assert_eq!(owners(classifier(&[]).with_echoes(true)), [(Egress, WEB); 2], "the later fragment follows");
}
