//! What attached containers say to the address that they share: their own ports are within, and nothing of it leaves the host.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::time::Duration;

use portlane::netns::Namespace;
use portlane_stats::snapshot::ContainerReport;

use crate::bench::{NOBODYS, SERVER};
use crate::host::{DB, Host, WEB};
use crate::traffic::{Echo, payload, transfer_between, udp};

/// How long an answer may take that has to come.
const PATIENCE: Duration = Duration::from_secs(5);

const BOTH: [Ipv4Addr; 2] = [Ipv4Addr::LOCALHOST, SERVER];

/// Packets that the host has sent by its card.
fn sent_by_card(host: &Host) -> u64 {
    host.host.counters("eth0").unwrap().tx_packets
}

/// A container that speaks to ports of its own stays within, on either address (in Mesos' `port_mapping`, the filter of a
/// container's `lo` that stops what is for its own range).
pub(crate) fn own_ports() {
    let host = Host::new();
    let portlane = host.start(&host.both(""));
    let before = sent_by_card(&host);
    for address in BOTH {
        for port in [WEB, WEB + 99] {
            let hears = udp(&host.web, address, port, PATIENCE);
            udp(&host.web, address, WEB + 50, PATIENCE).send_to(b"is this mine?", (address, port)).unwrap();
            assert_eq!(hears.recv(&mut [0; 64]).unwrap(), 13);
            transfer_between(&host.web, &host.web, (address, port), &payload(1 << 16));
        }
    }
    let snapshot = host.settled();
    assert_eq!((snapshot.totals.received, sent_by_card(&host)), (0, before));
    assert_eq!(snapshot.steering["plc-web"]["owned"], 0);
    host.end(portlane);
}

/// Whom the address belongs to: a container, or the host itself.
#[derive(Clone, Copy)]
struct End<'a> {
    inside: &'a Namespace,
    /// A port that it may listen at.
    port: u16,
}

fn ends(host: &Host) -> [End<'_>; 3] {
    let end = |inside, port| End { inside, port };
    [end(&host.web, WEB), end(&host.db, DB + 99), end(&host.host, NOBODYS)]
}

/// Each speaks to each other on the address that they share: over TCP, and in datagrams and their fragments.
fn speak(host: &Host, address: IpAddr) {
    for one in ends(host) {
        for other in ends(host).into_iter().filter(|other| other.port != one.port) {
            transfer_between(one.inside, other.inside, (address, other.port), &payload(1 << 18));
            let echo = Echo::between(one.inside, other.inside, (address, other.port));
            echo.ask(b"are you there?");
            echo.ask(&payload(4_000));
        }
    }
}

/// Containers reach each other and the host on the address that they share, and the host reaches them (Mesos' `ContainerToContainerTCP`,
/// `ContainerToContainerUDP`, `HostToContainerTCP` and `HostToContainerUDP`, on the public address): counted at each container, and none
/// of it leaves the host.
pub(crate) fn neighbours() {
    let host = Host::new();
    let portlane = host.start(&host.both(""));
    let before = sent_by_card(&host);
    speak(&host, SERVER.into());
    let snapshot = host.settled();
    assert_eq!(sent_by_card(&host), before);
    for (container, interface) in snapshot.containers.iter().zip(["plc-web", "plc-db"]) {
        let steered = &snapshot.steering[interface];
        assert_eq!(steered["owned"], container.egress.sent_packets, "{steered:?}");
        assert_eq!(steered["foreign_port"], 0, "{steered:?}");
        for direction in [&container.ingress, &container.egress] {
            // From two others, and to them.
            assert!(direction.sent_bytes > 2 << 18, "{direction:?}");
        }
    }
    let sent = |of: fn(&ContainerReport) -> u64| snapshot.containers.iter().map(of).sum::<u64>();
    let within = sent(|container| container.egress.sent_packets) + sent(|container| container.ingress.sent_packets);
    assert_eq!(snapshot.steering["pll-eth0"]["owned"], within);
    assert_eq!(snapshot.steering["pld-eth0"]["owned"], sent(|container| container.ingress.sent_packets));
    assert_eq!(snapshot.unmatched.egress.sent_packets + snapshot.unmatched.ingress.sent_packets, 0);
    host.end(portlane);
}

/// What is for a port that nobody listens at within the container is refused at once: who has that port on the same host hears nothing,
/// and the network neither (the invalid ports of Mesos' `ContainerToContainerTCP` and `ContainerToContainerUDP`).
pub(crate) fn others_ports() {
    let host = Host::new();
    let portlane = host.start(&host.both(""));
    let before = sent_by_card(&host);
    for (inside, port) in [(&host.db, DB), (&host.host, NOBODYS)] {
        let hears = udp(inside, SERVER, port, Duration::from_millis(100));
        for address in BOTH {
            assert_refused(&host.web, address, port);
        }
        assert!(hears.recv(&mut [0; 8]).is_err(), "port {port} hears nothing");
    }
    let snapshot = host.settled();
    assert_eq!((snapshot.totals.received, sent_by_card(&host)), (0, before));
    host.end(portlane);
}

fn assert_refused(from: &Namespace, address: Ipv4Addr, port: u16) {
    let connected = from.within(|| TcpStream::connect_timeout(&(address, port).into(), PATIENCE)).unwrap();
    assert_eq!(connected.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    let asks = udp(from, address, WEB, PATIENCE);
    asks.connect((address, port)).unwrap();
    asks.send(b"anybody?").unwrap();
    assert_eq!(asks.recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}
