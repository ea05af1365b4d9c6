//! Containers behind interfaces of their own: where their ranges end, how long their packets may be, and tagged frames.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use etherparse::{PacketBuilder, VlanId};
use nix::sys::signal::Signal;
use portlane::netns::Namespace;
use socket2::{Domain, Socket, Type};

use crate::bench::{CLIENT, NOBODYS, SERVER, hardware, quiet_namespace};
use crate::frames::Raw;
use crate::host::{DB, Host, WEB, link};
use crate::host_icmp::with_ipv6;
use crate::portlane::eventually;
use crate::traffic::{Echo, payload, transfer_between, udp};

/// A range of one port.
const SINGLE: u16 = 7_300;

/// How long something is waited for that is not to come.
const NEVER: Duration = Duration::from_millis(200);

/// A connection from a port that the container has chosen itself.
fn connect_from(namespace: &Namespace, from: SocketAddr, to: SocketAddr) -> std::io::Result<()> {
    let connect = || {
        let socket = Socket::new(Domain::for_address(from), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&from.into())?;
        socket.connect_timeout(&to.into(), NEVER)
    };
    namespace.within(connect).unwrap()
}

/// A port of the container: what is sent there arrives, and what is sent from there leaves.
fn is_the_containers(host: &Host, inside: &Namespace, [client, server]: [IpAddr; 2], port: u16) {
    Echo::between(&host.client, inside, (server, port)).ask(b"yours?");
    transfer_between(&host.client, inside, (server, port), &payload(5_000));
    let heard = udp(&host.client, client, NOBODYS, Duration::from_secs(20));
    udp(inside, server, port, NEVER).send_to(b"mine", (client, NOBODYS)).unwrap();
    assert_eq!(heard.recv(&mut [0; 8]).unwrap(), 4);
    let listener = host.client.within(|| TcpListener::bind((client, NOBODYS))).unwrap().unwrap();
    // A SYN is sent again after a second.
    let connected = (0..20).any(|_| connect_from(inside, (server, port).into(), (client, NOBODYS).into()).is_ok());
    assert!(connected, "{inside:?} has no way out from {port}");
    assert_eq!(listener.accept().unwrap().1.port(), port);
}

/// A port beside: what is sent there is the host's, and what is sent from there is dropped and counted.
fn is_the_hosts(host: &Host, (inside, interface): (&Namespace, &str), [client, server]: [IpAddr; 2], port: u16) {
    let heard = udp(inside, server, port, NEVER);
    let listens = inside.within(|| TcpListener::bind((server, port))).unwrap().unwrap();
    Echo::between(&host.client, &host.host, (server, port)).ask(b"the host's?");
    transfer_between(&host.client, &host.host, (server, port), &payload(5_000));
    assert!(heard.recv(&mut [0; 16]).is_err(), "{interface}: the container hears of {port}");
    drop(listens);

    let count = || host.stats().steering[interface]["foreign_port"];
    let (before, hears) = (count(), udp(&host.client, client, NOBODYS, NEVER));
    heard.send_to(b"not mine", (client, NOBODYS)).unwrap();
    eventually(|| count() == before + 1, || format!("{} of a datagram", count() - before));
    let listener = host.client.within(|| TcpListener::bind((client, NOBODYS))).unwrap().unwrap();
    let refused = connect_from(inside, (server, port).into(), (client, NOBODYS).into()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TimedOut);
    eventually(|| count() >= before + 2, || format!("{} of a datagram and a SYN", count() - before));
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(hears.recv(&mut [0; 16]).is_err(), "something left from {port}");
}

fn ranges_of(host: &Host, addresses: [IpAddr; 2]) {
    let (web, db) = ((&host.web, "plc-web"), (&host.db, "plc-db"));
    for (of, first, last) in [(web, WEB, WEB + 99), (web, SINGLE, SINGLE), (db, DB, DB + 99)] {
        is_the_containers(host, of.0, addresses, first);
        is_the_containers(host, of.0, addresses, last);
        is_the_hosts(host, of, addresses, first - 1);
        is_the_hosts(host, of, addresses, last + 1);
    }
    // A neighbour's are as foreign.
    let [client, server] = addresses;
    let count = || host.stats().steering["plc-db"]["foreign_port"];
    let before = count();
    udp(&host.db, server, WEB + 99, NEVER).send_to(b"not mine", (client, NOBODYS)).unwrap();
    eventually(|| count() == before + 1, || format!("{}", count() - before));
}

/// With a range of one port more.
fn with_single(host: &Host) -> String {
    host.both("").replacen("\"7000-7099\"", &format!("\"7000-7099\", \"{SINGLE}\""), 1)
}

/// First and last port of every range, and those beside them; over TCP and UDP, in both directions (Mesos: `ROOT_NC_ContainerToContainer…`
/// and `ROOT_NC_HostToContainer…` try one valid and one invalid port).
pub(crate) fn ranges() {
    let host = Host::new();
    let portlane = host.start(&with_single(&host));
    ranges_of(&host, [CLIENT.into(), SERVER.into()]);
    host.end(portlane);
}

pub(crate) fn ranges_over_ipv6() {
    let host = Host::new();
    let addresses = with_ipv6(&host).map(IpAddr::from);
    let _portlane = host.start(&with_single(&host));
    ranges_of(&host, addresses);
}

/// Behind the client is a link that takes shorter packets: whoever sends longer ones is told, and only that one.
pub(crate) fn path_mtu() {
    const MTU: &str = "1300";
    let host = Host::new();
    let [client6, _] = with_ipv6(&host);
    let far = quiet_namespace();
    host.client.join("far", &far, "eth0").unwrap();
    let ip = |namespace: &Namespace, words: &str| {
        namespace.command("ip", &words.split_ascii_whitespace().collect::<Vec<_>>()).unwrap();
    };
    for (namespace, interface, last) in [(&host.client, "far", 1), (&far, "eth0", 2)] {
        namespace.set(&format!("ipv6/conf/{interface}/disable_ipv6"), "0").unwrap();
        ip(namespace, &format!("address add 10.78.0.{last}/24 dev {interface}"));
        ip(namespace, &format!("address add fd78::{last}/64 dev {interface} nodad"));
    }
    // The ends of that link do not say so, as those of a tunnel on the way would not.
    ip(&host.client, &format!("route change 10.78.0.0/24 dev far mtu {MTU}"));
    ip(&host.client, "-6 route delete fd78::/64 dev far");
    ip(&host.client, &format!("-6 route add fd78::/64 dev far mtu {MTU}"));
    ip(&far, "route add default via 10.78.0.1");
    ip(&far, "-6 route add default via fd78::1");
    host.client.set("ipv4/ip_forward", "1").unwrap();
    host.client.set("ipv6/conf/all/forwarding", "1").unwrap();
    ip(&host.host, &format!("route add default via {CLIENT}"));
    ip(&host.host, &format!("-6 route add default via {client6}"));
    let _portlane = host.start(&host.both(""));
    for address in ["10.78.0.2", "fd78::2"].map(|address| address.parse::<IpAddr>().unwrap()) {
        // A connection of its own accord finds the length that fits: the first segments are too long.
        transfer_between(&host.web, &far, (address, NOBODYS), &payload(1 << 20));
        let known = |namespace: &Namespace| namespace.command("ip", &["route", "get", &address.to_string()]).unwrap();
        assert!(known(&host.web).contains(&format!("mtu {MTU}")), "{}", known(&host.web));
        assert!(!known(&host.db).contains("mtu"), "{}", known(&host.db));
        assert!(!known(&host.host).contains("mtu"), "{}", known(&host.host));
        // In fragments that fit, there and back.
        Echo::between(&host.web, &far, (address, NOBODYS)).ask(&payload(4_000));
    }
    let snapshot = host.settled();
    assert_eq!((snapshot.unmatched.ingress.sent_packets, snapshot.unmatched.egress.sent_packets), (0, 0));
}

/// Tagged frames find their container by their ports, and leave with their tags; questions for neighbours there are dropped.
pub(crate) fn tagged() {
    let host = Host::new();
    host.client.join("spare", &host.web, "spare").unwrap();
    let portlane = host.start(&host.both(""));
    let macs = [&host.host, &host.client].map(|namespace| hardware(namespace, "eth0"));
    let [mut client, mut web] = [&host.client, &host.web].map(Raw::open);
    let id = |id| VlanId::try_new(id).unwrap();
    let datagram = |[from, to]: [[u8; 6]; 2], [source, destination]: [[u8; 4]; 2], ports: [u16; 2], tags: usize| {
        let ethernet = PacketBuilder::ethernet2(from, to);
        let tagged = if tags == 1 { ethernet.single_vlan(id(7)) } else { ethernet.double_vlan(id(7), id(8)) };
        let mut frame = Vec::new();
        tagged.ipv4(source, destination, 64).udp(ports[0], ports[1]).write(&mut frame, b"tagged").unwrap();
        frame
    };
    let [to_host, to_client] = [[macs[1], macs[0]], [macs[0], macs[1]]];
    let [inwards, outwards] = [[CLIENT.octets(), SERVER.octets()], [SERVER.octets(), CLIENT.octets()]];
    for tags in 1..=2 {
        let there = datagram(to_host, inwards, [NOBODYS, WEB], tags);
        client.send(&there);
        assert!(web.receives(&there), "in, with {tags} tags");
        let back = datagram(to_client, outwards, [WEB, NOBODYS], tags);
        web.send(&back);
        assert!(client.receives(&back), "out, with {tags} tags");
        web.send(&datagram(to_client, outwards, [DB, NOBODYS], tags));
    }
    let count = |verdict: &str| host.stats().steering["plc-web"][verdict];
    eventually(|| count("foreign_port") == 2, || format!("{:?}", host.stats().steering["plc-web"]));
    // Who has 10.77.0.2, in VLAN 7?
    let arp = [1, 0x0800, 0x0604, 1].map(u16::to_be_bytes).concat();
    let addresses = [&macs[0][..], &SERVER.octets(), &[0; 6], &CLIENT.octets()].concat();
    let asked = (count("asked"), count("other_protocol"));
    web.send(&[&[0xff; 6], &macs[0][..], &[0x81, 0, 0, 7, 8, 6], &arp, &addresses].concat());
    eventually(|| count("other_protocol") == asked.1 + 1, || format!("{:?}", host.stats().steering["plc-web"]));
    assert_eq!(count("asked"), asked.0);
    let sent = host.settled().containers[0].clone();
    assert!(sent.ingress.sent_packets >= 2 && sent.egress.sent_packets >= 2, "{sent:?}");
    drop((client, web));
    drop(portlane);
}

/// Killed at any moment while containers come and go, what is left is what the next run says that there is.
pub(crate) fn killed_at_any_moment() {
    let host = Host::new();
    let namespaces: Vec<_> = (0..3).map(|_| quiet_namespace()).collect();
    // By a name that lasts: what is at a process's may be another's after a kill.
    let paths: Vec<_> = (0..)
        .zip(&namespaces)
        .map(|(number, namespace): (usize, _)| link(&host, &format!("c{number}"), namespace))
        .collect();
    let port = |number: usize| 9_100 + 100 * u16::try_from(number).unwrap();
    let mut portlane = host.start(&host.both(""));
    for round in 0..12_u64 {
        thread::scope(|scope| {
            for (number, path) in paths.iter().enumerate() {
                let (host, path) = (&host, path.to_str().unwrap());
                let ports = format!("{}-{}", port(number), port(number) + 9);
                scope.spawn(move || {
                    let id = format!("c{number}");
                    // Which of them are answered depends on the moment.
                    for _ in 0..2 {
                        host.command(&["container", "add", &id, "--ports", &ports, "--netns", path]);
                        host.command(&["container", "remove", &id]);
                    }
                    host.command(&["container", "add", &id, "--ports", &ports, "--netns", path]);
                });
            }
            thread::sleep(Duration::from_millis(7 * round));
            portlane.signal(Signal::SIGKILL);
        });
        drop(portlane);
        portlane = host.start(&host.both(""));
        let (listed, links) = (host.said(&["container", "list"]), host.state());
        for (number, namespace) in namespaces.iter().enumerate() {
            let is_listed = listed.contains(&format!("c{number} "));
            let has_interface = namespace.command("ip", &["-brief", "link"]).unwrap().contains("eth0");
            let has_end = links.contains(&format!("plc-c{number}@"));
            assert_eq!([has_interface, has_end], [is_listed; 2], "c{number} in round {round}: {listed}");
            if is_listed {
                Echo::between(&host.client, namespace, (SERVER, port(number))).ask(b"still there?");
                host.said(&["container", "remove", &format!("c{number}")]);
            }
        }
        Echo::between(&host.client, &host.web, (SERVER, WEB)).ask(b"and you?");
        Echo::between(&host.client, &host.db, (SERVER, DB)).ask(b"and you?");
        assert!(!portlane.stderr().contains("warning"), "{}", portlane.stderr());
    }
    host.end_telling(portlane);
}

/// A container that has another name after a kill gets the namespace of the one that it was.
pub(crate) fn renamed_after_a_kill() {
    let host = Host::new();
    let portlane = host.start(&host.both(""));
    portlane.signal(Signal::SIGKILL);
    assert_eq!(portlane.ended().code, None);
    let portlane = host.start(&host.both("").replace("id = \"web\"", "id = \"other\""));
    assert!(!portlane.stderr().contains("warning"), "{}", portlane.stderr());
    Echo::between(&host.client, &host.web, (SERVER, WEB)).ask(b"by another name?");
    Echo::between(&host.client, &host.db, (SERVER, DB)).ask(b"and you?");
    assert!(!host.state().contains("plc-web"), "{}", host.state());
    host.end_telling(portlane);
}
