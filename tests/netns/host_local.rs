//! What attached containers say to the address that they share: their own ports are within, and nothing of it leaves the host.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream};
use std::time::Duration;

use etherparse::PacketBuilder;
use nix::sys::signal::Signal;
use portlane::netns::Namespace;
use portlane_stats::snapshot::ContainerReport;

use crate::bench::{CLIENT, NOBODYS, SERVER, hardware, quiet_namespace};
use crate::busy::assert_in_time;
use crate::frames::Raw;
use crate::host::{DB, Host, WEB};
use crate::host_icmp::with_ipv6;
use crate::portlane::eventually;
use crate::traffic::{Echo, payload, transfer_between, udp};

/// How long an answer may take that has to come.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long something is waited for that is not to come.
const NEVER: Duration = Duration::from_millis(200);

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
/// `ContainerToContainerUDP`, `HostToContainerTCP` and `HostToContainerUDP`): counted at each container, and none of it leaves the host.
pub(crate) fn neighbours() {
    neighbours_on(SERVER);
}

/// The same on 127.0.0.1.
pub(crate) fn neighbours_on_loopback() {
    neighbours_on(Ipv4Addr::LOCALHOST);
}

fn neighbours_on(address: Ipv4Addr) {
    let host = Host::new();
    let portlane = host.start(&host.both(""));
    let before = sent_by_card(&host);
    speak(&host, address.into());
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

/// The same where the card has two queues, each with a worker: one of them has the containers' lanes, and what stays on the host.
pub(crate) fn neighbours_at_two_workers() {
    let host = Host::new();
    for namespace in [&host.client, &host.host] {
        namespace.command("ethtool", &["-L", "eth0", "rx", "2", "tx", "2"]).unwrap();
    }
    let portlane = host.start(&host.both(""));
    let before = sent_by_card(&host);
    BOTH.into_iter().for_each(|address| speak(&host, address.into()));
    let snapshot = host.settled();
    assert_eq!((snapshot.workers.len(), sent_by_card(&host)), (2, before));
    // With the network, too, by either queue.
    for port in WEB..WEB + 20 {
        Echo::between(&host.client, &host.web, (SERVER, port)).ask(b"by which queue?");
    }
    transfer_between(&host.client, &host.db, (SERVER, DB), &payload(1 << 20));
    transfer_between(&host.db, &host.client, (CLIENT, NOBODYS), &payload(1 << 20));
    let snapshot = host.settled();
    assert!(snapshot.workers.iter().any(|worker| worker.handed_over > 0), "{:?}", snapshot.workers);
    assert_eq!(snapshot.unmatched.egress.sent_packets + snapshot.unmatched.ingress.sent_packets, 0);
    let totals = &snapshot.totals;
    assert_eq!(totals.received, totals.sent + totals.dropped + totals.queued);
    host.end(portlane);
}

/// The same over IPv6.
pub(crate) fn neighbours_over_ipv6() {
    let host = Host::new();
    let [_, address] = with_ipv6(&host);
    let paths = host.paths();
    let portlane = host.start(&host.both(""));
    let before = sent_by_card(&host);
    speak(&host, address.into());
    speak(&host, SERVER.into());
    for (inside, port) in [(&host.web, NOBODYS + 1), (&host.db, WEB + 1), (&host.host, DB + 1)] {
        assert_refused(inside, address.into(), port);
    }
    let snapshot = host.settled();
    // Who has an address now and then asks for neighbours that it knows.
    assert!(sent_by_card(&host) < before + 20, "nothing of it leaves");
    assert_eq!(snapshot.unmatched.egress.sent_packets + snapshot.unmatched.ingress.sent_packets, 0);
    portlane.signal(Signal::SIGTERM);
    assert_eq!(portlane.ended().code, Some(0));
    assert_eq!(host.paths(), paths);
}

/// The same in packets that take several of the kernel's buffers.
pub(crate) fn long_packets() {
    let host = Host::new();
    for namespace in [&host.client, &host.host] {
        namespace.command("ip", &["link", "set", "eth0", "mtu", "9000"]).unwrap();
    }
    let before = host.state();
    let portlane = host.start(&host.both(""));
    speak(&host, SERVER.into());
    for one in ends(&host) {
        for other in ends(&host).into_iter().filter(|other| other.port != one.port) {
            Echo::between(one.inside, other.inside, (SERVER, other.port)).ask(&payload(8_000));
        }
    }
    portlane.signal(Signal::SIGTERM);
    assert_eq!(portlane.ended().code, Some(0));
    assert_eq!(host.state(), before);
}

/// A host that looks back along the path of every packet, strictly (`rp_filter`), hears its containers all the same: ports say that
/// they are where their packets come from.
pub(crate) fn strict_host() {
    let host = Host::new();
    for namespace in [&host.host, &host.web, &host.db] {
        namespace.set("ipv4/conf/all/rp_filter", "1").unwrap();
        namespace.set("ipv4/conf/default/rp_filter", "1").unwrap();
    }
    let portlane = host.start(&host.both(""));
    for address in BOTH {
        for one in ends(&host) {
            for other in ends(&host).into_iter().filter(|other| other.port != one.port) {
                transfer_between(one.inside, other.inside, (address, other.port), &payload(1 << 16));
                let echo = Echo::between(one.inside, other.inside, (address, other.port));
                echo.ask(b"are you there?");
                echo.ask(&payload(4_000));
                drop(echo);
                assert_refused(one.inside, address.into(), other.port);
            }
        }
    }
    host.end(portlane);
}

/// What is for a port of another's where nobody listens is refused at once, over TCP and UDP, by whoever has it, on either address (the
/// invalid ports of Mesos' `ContainerToContainerTCP`, `ContainerToContainerUDP` and `HostToContainerTCP`); and so is what is for a
/// container's own.
pub(crate) fn others_ports() {
    let host = Host::new();
    let portlane = host.start(&host.both(""));
    let before = sent_by_card(&host);
    for address in BOTH {
        for one in ends(&host) {
            for other in ends(&host) {
                assert_refused(one.inside, address.into(), other.port);
            }
            // Nobody's is the host's.
            assert_refused(one.inside, address.into(), NOBODYS + 1);
        }
    }
    host.settled();
    assert_eq!(sent_by_card(&host), before);
    host.end(portlane);
}

/// The first and the last port of a container are its own for whoever speaks to them from the host, and those beside them are the host's.
pub(crate) fn ranges() {
    let host = Host::new();
    let portlane = host.start(&host.both(""));
    let before = sent_by_card(&host);
    let reaches = |from: &Namespace, to: &Namespace, address: Ipv4Addr, port: u16| {
        Echo::between(from, to, (address, port)).ask(b"yours?");
        transfer_between(from, to, (address, port), &payload(5_000));
    };
    for (inside, neighbour, first) in [(&host.web, &host.db, WEB), (&host.db, &host.web, DB)] {
        for address in BOTH {
            for port in [first, first + 99] {
                [neighbour, &host.host, inside].iter().for_each(|from| reaches(from, inside, address, port));
            }
            for port in [first - 1, first + 100] {
                let hears = udp(inside, Ipv4Addr::UNSPECIFIED, port, NEVER);
                [neighbour, &host.host, inside].iter().for_each(|from| reaches(from, &host.host, address, port));
                assert!(hears.recv(&mut [0; 8]).is_err(), "port {port} of {address} is heard inside");
            }
        }
    }
    host.settled();
    assert_eq!(sent_by_card(&host), before);
    host.end(portlane);
}

/// Where 127.0.0.1 is not shared each container has all of its ports by itself, and nobody else hears of it.
pub(crate) fn loopback_apart() {
    let host = Host::new();
    let portlane = host.start_apart(&host.both(""));
    for one in ends(&host) {
        for other in ends(&host).into_iter().filter(|other| other.port != one.port) {
            let hears = udp(other.inside, Ipv4Addr::UNSPECIFIED, other.port, Duration::from_millis(50));
            assert_refused(one.inside, Ipv4Addr::LOCALHOST.into(), other.port);
            assert!(hears.recv(&mut [0; 8]).is_err(), "port {} hears nothing", other.port);
            drop(hears);
            transfer_between(one.inside, one.inside, (Ipv4Addr::LOCALHOST, other.port), &payload(1 << 16));
        }
        transfer_between(&host.web, &host.host, (SERVER, NOBODYS), &payload(1 << 16));
        assert_eq!(setting(&host.web, "eth0", "route_localnet"), "0");
    }
    assert_eq!(setting(&host.host, "plh-eth0", "route_localnet"), "0");
    portlane.signal(Signal::SIGKILL);
    assert_eq!(portlane.ended().code, None);
    // What a killed run has left becomes as the next one has it, and back.
    let portlane = host.start(&host.both(""));
    speak(&host, Ipv4Addr::LOCALHOST.into());
    portlane.signal(Signal::SIGKILL);
    assert_eq!(portlane.ended().code, None);
    let portlane = host.start_apart(&host.both(""));
    for one in ends(&host) {
        transfer_between(one.inside, one.inside, (Ipv4Addr::LOCALHOST, WEB), &payload(1 << 16));
    }
    assert_eq!(setting(&host.web, "eth0", "route_localnet"), "0");
    host.end_telling(portlane);
}

/// A setting of an interface for IPv4.
fn setting(namespace: &Namespace, interface: &str, what: &str) -> String {
    let key = format!("net.ipv4.conf.{interface}.{what}");
    namespace.command("sysctl", &["-n", &key]).unwrap().trim().to_owned()
}

/// Packets of 127.0.0.1 stay on the host: a container sends none to the network, and hears none from there; nor does its host.
pub(crate) fn loopback_stays() {
    let host = Host::new();
    let portlane = host.start(&host.both(""));
    for interface in ["eth0", "all"] {
        assert_eq!(setting(&host.host, interface, "route_localnet"), "0");
    }
    let client = udp(&host.client, CLIENT, NOBODYS, NEVER);
    let sends = udp(&host.web, Ipv4Addr::LOCALHOST, WEB, NEVER);
    sends.send_to(b"from your own host", (CLIENT, NOBODYS)).unwrap();
    let foreign = || host.stats().steering["plc-web"]["foreign_address"];
    eventually(|| foreign() == 1, || format!("{} from a foreign address", foreign()));
    assert!(client.recv(&mut [0; 32]).is_err());
    drop(sends);

    let heard = [(&host.web, WEB), (&host.host, NOBODYS)];
    let heard = heard.map(|(inside, port)| (udp(inside, Ipv4Addr::UNSPECIFIED, port, NEVER), port));
    let nobody = quiet_namespace();
    host.client.join("spare", &nobody, "spare").unwrap();
    let mut raw = Raw::open(&host.client);
    let (from, to) = (hardware(&host.client, "eth0"), hardware(&host.host, "eth0"));
    let loopback = Ipv4Addr::LOCALHOST;
    let mut refused = 0;
    for (_, port) in &heard {
        let elsewhere = Ipv4Addr::new(127, 9, 9, 9);
        for (source, destination) in [(loopback, SERVER), (CLIENT, loopback), (loopback, loopback), (elsewhere, SERVER)]
        {
            let packet = PacketBuilder::ethernet2(from, to).ipv4(source.octets(), destination.octets(), 64);
            let mut frame = Vec::new();
            packet.udp(DB, *port).write(&mut frame, b"from within").unwrap();
            raw.send(&frame);
            refused += u64::from(*port == WEB);
        }
    }
    let counted = || host.stats().steering["eth0"]["foreign_address"];
    eventually(|| counted() == refused, || format!("{} of {refused} refused", counted()));
    for (socket, port) in heard {
        assert!(socket.recv(&mut [0; 32]).is_err(), "port {port} hears what comes from the network as from within");
    }
    assert_eq!(host.settled().totals.received, 0);
    drop(raw);
    host.end(portlane);
}

/// What containers say to each other has both their limits, and what they say to the host that of their egress.
pub(crate) fn limits() {
    const SECOND: usize = 20_000_000 / 8;
    let host = Host::new();
    let limit = "{ rate = \"20mbit\", burst = \"64kb\" }";
    for direction in ["egress", "ingress"] {
        let portlane = host.start(&host.both(&format!("{direction} = {limit}\n")));
        let long = payload(SECOND);
        let [out, inwards] = match direction {
            "egress" => [(&host.web, WEB), (&host.host, NOBODYS)]
                .map(|(to, port)| transfer_between(&host.db, to, (SERVER, port), &long)),
            _ => [&host.web, &host.host].map(|from| transfer_between(from, &host.db, (SERVER, DB), &long)),
        };
        let free = transfer_between(&host.web, &host.host, (SERVER, NOBODYS), &long);
        let least = Duration::from_millis(900);
        assert!(out > least && inwards > least, "{direction}: {out:?}, {inwards:?}");
        assert_in_time(free < least, || format!("without limit it took {free:?}"));
        host.end(portlane);
    }
}

/// Ports that are given to a container and taken from it while it runs are the others' at once, and its own connections go on; so they
/// do after a kill.
pub(crate) fn ports_come_and_go() {
    let host = Host::new();
    let both = host.both("");
    let portlane = host.start(&both);
    let echo = Echo::between(&host.web, &host.db, (SERVER, DB));
    echo.ask(b"before");
    let netns = crate::host::link(&host, "db", &host.db);
    portlane.signal(Signal::SIGKILL);
    assert_eq!(portlane.ended().code, None);
    let portlane = host.start(&host.only_web());
    // That one has been removed, and its ports are the host's again.
    transfer_between(&host.web, &host.host, (SERVER, DB), &payload(1 << 16));
    let add = ["container", "add", "db", "--ports", "8000-8099", "--netns", netns.to_str().unwrap()];
    host.said(&add);
    echo.ask(b"after");
    assert_refused(&host.web, SERVER.into(), DB + 150);
    host.said(&["container", "set", "db", "--ports", "8000-8199"]);
    Echo::between(&host.web, &host.db, (SERVER, DB + 150)).ask(b"yours now?");
    Echo::between(&host.host, &host.db, (SERVER, DB + 150)).ask(b"yours now?");
    Echo::between(&host.db, &host.db, (SERVER, DB + 150)).ask(b"mine?");
    host.said(&["container", "set", "db", "--ports", "8000-8099"]);
    Echo::between(&host.web, &host.host, (SERVER, DB + 150)).ask(b"the host's again?");
    Echo::between(&host.db, &host.host, (SERVER, DB + 150)).ask(b"the host's again?");
    echo.ask(b"and still");
    host.said(&["container", "remove", "db"]);
    Echo::between(&host.web, &host.host, (SERVER, DB)).ask(b"the host's now?");
    host.end_telling(portlane);
}

fn assert_refused(from: &Namespace, address: IpAddr, port: u16) {
    let connected = from.within(|| TcpStream::connect_timeout(&(address, port).into(), PATIENCE)).unwrap();
    assert_eq!(connected.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let asks = udp(from, any, 0, PATIENCE);
    asks.connect((address, port)).unwrap();
    asks.send(b"anybody?").unwrap();
    assert_eq!(asks.recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}
