//! Which way packets go: by `--direction`, by `[host] addresses`, by ports.

use crate::packets::{CLIENT, Ends, HOST, Packet, from_host, payload, to_host, udp};
use crate::scene::{Replayed, Scene};
use crate::traffic::START;

const PORTS: &str = "[[container]]\nid = \"web\"\nports = [\"80\"]\n\n[[container]]\nid = \"db\"\nports = [\"5432\"]\n";

/// Replays one packet for each pair of ends.
fn replay(config: &str, direction: &[&str], all: &[Ends]) -> Replayed {
    let frame = |(number, &ends)| Packet::ethernet(START, udp(ends, &payload(100, number)));
    Scene::new(config, &(1..).zip(all).map(frame).collect::<Vec<_>>()).replay(direction)
}

/// To "web", from "web", to nobody, and between containers.
fn four() -> [Ends; 4] {
    let between = Ends { from: (HOST, 5_432), to: (CLIENT, 80) };
    [to_host(80), from_host(80), to_host(22), between]
}

#[test]
fn by_ports() {
    let expected = [("web", "ingress", 2), ("unmatched", "ingress", 1), ("web", "egress", 1)];
    for direction in [&[][..], &["--direction", "auto"]] {
        assert_eq!(replay(PORTS, direction, &four()).offered(), expected, "the destination is asked first");
    }
}

#[test]
fn by_host_addresses() {
    let config = format!("[host]\naddresses = [\"10.0.0.1\"]\n\n{PORTS}");
    let elsewhere = Ends { from: (CLIENT, 80), to: ([10, 0, 0, 8], 80) };
    let replayed = replay(&config, &[], &[&four()[..], &[elsewhere]].concat());
    let expected = [("web", "ingress", 1), ("unmatched", "ingress", 2), ("web", "egress", 1), ("db", "egress", 1)];
    assert_eq!(replayed.offered(), expected, "what neither comes from the host nor goes to it is nobody's");
}

#[test]
fn as_told() {
    let ingress = replay(PORTS, &["--direction", "ingress"], &four());
    assert_eq!(ingress.offered(), [("web", "ingress", 2), ("unmatched", "ingress", 2)]);
    let egress = replay(PORTS, &["--direction", "egress"], &four());
    assert_eq!(egress.offered(), [("web", "egress", 1), ("db", "egress", 1), ("unmatched", "egress", 2)]);
}

#[test]
fn the_same_port_on_two_addresses_has_two_owners() {
    let config = "[[container]]\nid = \"one\"\naddresses = [\"10.0.0.1\"]\nports = [\"80\"]\n\n\
                  [[container]]\nid = \"two\"\naddresses = [\"10.0.0.2\"]\nports = [\"80\"]\n";
    let to = |address| Ends { from: (CLIENT, 1_234), to: (address, 80) };
    let all = [to([10, 0, 0, 1]), to([10, 0, 0, 2]), to([10, 0, 0, 2]), to([10, 0, 0, 3])];
    let expected = [("one", "ingress", 1), ("two", "ingress", 2), ("unmatched", "ingress", 1)];
    assert_eq!(replay(config, &[], &all).offered(), expected);
}
