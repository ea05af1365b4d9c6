//! Containers behind interfaces of their own: who they may say that they are, what they may ask, and who hears the answer.
//!
//! What Mesos tried of its `network/port_mapping` is named where it is tried here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::thread;
use std::time::{Duration, Instant};

use etherparse::PacketBuilder;
use portlane::netns::Namespace;
use portlane_stats::live::OffenderReport;

use crate::bench::{CLIENT, NOBODYS, SERVER, ping};
use crate::busy::assert_in_time;
use crate::host::{Host, WEB};
use crate::offer::Offer;
use crate::portlane::eventually;
use crate::traffic::{Echo, udp};

/// Identifiers of which two are no port of any container's, and two leave as the same of web's, were there no others.
const IDENTIFIERS: [&str; 3] = ["4242", "7000", "7100"];

/// Gives the host and the client IPv6, and what is attached later, too.
pub(crate) fn with_ipv6(host: &Host) -> [Ipv6Addr; 2] {
    let addresses = [Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2), Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1)];
    for (namespace, address) in [&host.client, &host.host].into_iter().zip(addresses) {
        namespace.set("ipv6/conf/eth0/disable_ipv6", "0").unwrap();
        let add = ["-6", "address", "add", &format!("{address}/64"), "dev", "eth0", "nodad"];
        namespace.command("ip", &add).unwrap();
    }
    for namespace in [&host.web, &host.db] {
        namespace.set("ipv6/conf/default/disable_ipv6", "0").unwrap();
    }
    addresses
}

/// Twenty echo requests of one identifier, all of which must be answered, and once.
fn ping_as(identifier: &str, from: &Namespace, to: &str) {
    let said = from.command("ping", &["-e", identifier, "-c", "20", "-i", "0.02", "-W", "10", to]).unwrap();
    assert!(said.contains(" 20 received") && !said.contains("DUP"), "{said}");
}

/// Containers ping, each hears its own answers, and they are its own in lanes, too (Mesos: `ROOT_ContainerICMPExternal`). The
/// host pings and is pinged as before.
fn pings_of(host: &Host, client: &str, server: &str) {
    let before = host.settled();
    for namespace in [&host.web, &host.db, &host.host] {
        ping(namespace, client);
    }
    ping(&host.client, server);
    // Containers that ask the same with the same identifier at the same time, and the host with them.
    thread::scope(|scope| {
        for (namespace, identifier) in [&host.web, &host.db].into_iter().flat_map(|of| IDENTIFIERS.map(|id| (of, id))) {
            scope.spawn(move || ping_as(identifier, namespace, client));
        }
        scope.spawn(|| ping(&host.host, client));
    });
    // In fragments.
    let said = host.db.command("ping", &["-s", "4000", "-c", "3", "-i", "0.05", "-W", "5", client]).unwrap();
    assert!(said.contains(" 0% packet loss"), "{said}");

    let after = host.settled();
    for (lanes, (then, least)) in after.containers.iter().zip(before.containers.iter().zip([63, 63 + 9])) {
        let sent = |now: u64, then: u64| assert!(now - then >= least, "{lanes:?}");
        sent(lanes.egress.sent_packets, then.egress.sent_packets);
        sent(lanes.ingress.sent_packets, then.ingress.sent_packets);
    }
    let nobodys = &after.unmatched;
    assert_eq!((nobodys.egress.sent_packets, nobodys.ingress.sent_packets), (0, 0));
    let verdicts = &after.steering["pld-eth0"];
    assert_eq!((verdicts["without_ports"], verdicts["foreign_port"]), (0, 0), "{verdicts:?}");
}

pub(crate) fn pings() {
    let host = Host::new();
    let portlane = host.start(&host.both(""));
    pings_of(&host, &CLIENT.to_string(), &SERVER.to_string());
    host.end(portlane);
}

pub(crate) fn pings_over_ipv6() {
    let host = Host::new();
    let [client, server] = with_ipv6(&host);
    let portlane = host.start(&host.both(""));
    pings_of(&host, &client.to_string(), &server.to_string());
    drop(portlane);
}

/// Within a container its own address and 127.0.0.1 answer (Mesos: `ROOT_ContainerICMPInternal`); nothing of it leaves.
pub(crate) fn pings_within() {
    let host = Host::new();
    let portlane = host.start(&host.both(""));
    for address in ["127.0.0.1", &SERVER.to_string()] {
        ping(&host.web, address);
    }
    assert_eq!(host.settled().totals.received, 0);
    host.end(portlane);
}

/// Whoever cannot forward a ping tells the container that sent it.
pub(crate) fn errors() {
    let host = Host::new();
    let portlane = host.start(&host.both(""));
    host.client.set("ipv4/ip_forward", "1").unwrap();
    let nowhere = "10.78.0.1";
    for namespace in [&host.web, &host.db] {
        namespace.command("ip", &["route", "add", nowhere, "via", &CLIENT.to_string()]).unwrap();
        // It ends as one that was not answered.
        let ping = format!("ping -e {} -c 1 -W 5 {nowhere}; true", IDENTIFIERS[0]);
        let said = namespace.command("sh", &["-c", &ping]).unwrap();
        assert!(said.contains("Destination Net Unreachable"), "{said}");
    }
    drop(portlane);
}

/// What comes from another address than the host's is dropped, and counted at its container, whatever it is.
pub(crate) fn foreign_addresses() {
    let host = Host::new();
    let [client, server] = with_ipv6(&host);
    let portlane = host.start(&host.both(""));
    let (other, other6) = (Ipv4Addr::new(10, 77, 0, 99), Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x99));
    host.web.command("ip", &["address", "add", "10.77.0.99/24", "dev", "eth0"]).unwrap();
    host.web.command("ip", &["address", "add", "fd77::99/64", "dev", "eth0", "nodad"]).unwrap();
    let heard =
        [IpAddr::from(CLIENT), client.into()].map(|to| udp(&host.client, to, NOBODYS, Duration::from_millis(300)));
    let send = |from: IpAddr, to: IpAddr| {
        udp(&host.web, from, WEB, Duration::from_millis(1)).send_to(&[7; 4_000], (to, NOBODYS)).unwrap();
    };
    send(other.into(), CLIENT.into());
    send(other6.into(), client.into());
    for heard in &heard {
        assert!(heard.recv(&mut [0; 8_000]).is_err(), "nothing arrives from foreign addresses");
    }
    let pinged = format!("ping -I {other} -c 1 -W 0.2 {CLIENT}; ping -I {other6} -c 1 -W 0.2 {client}; true");
    host.web.command("sh", &["-c", &pinged]).unwrap();
    let of = |interface: &str| host.stats().steering[interface]["foreign_address"];
    // Two datagrams in three fragments each, and two pings.
    eventually(|| of("plc-web") == 8, || format!("{:?}", host.stats().steering));
    assert_eq!(of("plc-db"), 0);
    // The host's are its own, and so is the one on the link.
    send(SERVER.into(), CLIENT.into());
    send(server.into(), client.into());
    for heard in &heard {
        assert_eq!(heard.recv(&mut [0; 8_000]).unwrap(), 4_000);
    }
    // Until kernels have made sure of those on the link, they neither answer for them nor send from them.
    let tentative = || {
        let of = |of: &Namespace| of.command("ip", &["-6", "address", "show", "dev", "eth0", "tentative"]).unwrap();
        [&host.client, &host.host, &host.web].map(of).concat()
    };
    eventually(|| tentative().is_empty(), tentative);
    let links =
        host.client.command("ip", &["-6", "-brief", "address", "show", "dev", "eth0", "scope", "link"]).unwrap();
    let link = links.split_ascii_whitespace().find_map(|word| word.strip_suffix("/64")).unwrap();
    ping(&host.web, &format!("{link}%eth0"));
    assert_eq!(of("plc-web"), 8);
    drop(portlane);
}

/// What a container did wrong last is kept: of each its own.
pub(crate) fn last_offenders() {
    let host = Host::new();
    let portlane = host.start(&host.both(""));
    let last = |interface: &str| host.stats().attached.get(interface).and_then(|of| of.last_offender.clone());
    let is_last = |interface: &str, verdict: &str, address: Ipv4Addr, port: u16| {
        let expected = OffenderReport { verdict: verdict.to_owned(), protocol: 17, address: address.into(), port };
        eventually(|| last(interface).as_ref() == Some(&expected), || format!("{:?}", last(interface)));
    };
    let send = |inside: &Namespace, address: Ipv4Addr, port: u16| {
        udp(inside, address, port, Duration::from_millis(1)).send_to(b"not mine", (CLIENT, NOBODYS)).unwrap();
    };
    send(&host.web, SERVER, WEB);
    send(&host.web, SERVER, WEB - 1);
    is_last("plc-web", "foreign_port", SERVER, WEB - 1);
    let other = Ipv4Addr::new(10, 77, 0, 99);
    host.web.command("ip", &["address", "add", &format!("{other}/24"), "dev", "eth0"]).unwrap();
    send(&host.web, other, WEB);
    is_last("plc-web", "foreign_address", other, WEB);
    assert_eq!(last("plc-db"), None);
    send(&host.db, SERVER, WEB);
    is_last("plc-db", "foreign_port", SERVER, WEB);
    is_last("plc-web", "foreign_address", other, WEB);
    let said = host.said(&["stats"]);
    assert!(said.contains("; the last foreign_address was udp from 10.77.0.99, port 7000\n"), "{said}");
    drop(portlane);
}

/// A broadcast for one of the network's addresses, as the host would ask.
fn arp_request(target: u8) -> Vec<u8> {
    let [hardware, broadcast] = [[2, 0, 0, 0, 0, 1], [0xff; 6]];
    let operation = [8, 6, 0, 1, 8, 0, 6, 4, 0, 1];
    [&broadcast[..], &hardware, &operation, &hardware, &SERVER.octets(), &[0; 6], &[10, 77, 0, target]].concat()
}

/// One container asks for neighbours that are not there, as fast as it can; the other's questions are answered meanwhile, each within
/// a second (Mesos: `ROOT_ContainerARPExternal`).
pub(crate) fn many_questions() {
    let host = Host::new();
    let portlane = host.start(&host.both(""));
    let of = |interface: &str, verdict: &str| host.stats().steering[interface][verdict];
    let flood = Offer::start(&host.web, "eth0", &(3..=250).map(arp_request).collect::<Vec<_>>());
    eventually(|| of("plc-web", "over_limit") > 10_000, || format!("{:?}", host.stats().steering));
    let asks = || {
        host.db.command("ip", &["neighbour", "flush", "dev", "eth0"]).unwrap();
        let started = Instant::now();
        ping_once(&host.db, &CLIENT.to_string());
        started.elapsed()
    };
    let longest = (0..20).map(|_| asks()).max().unwrap();
    let offered = flood.stop();
    eprintln!("beside {offered} questions of another each was answered within {longest:?}");
    assert_in_time(longest < Duration::from_secs(1), || format!("an answer took {longest:?}"));
    assert!(of("plc-db", "asked") >= 20, "{:?}", host.stats().steering);
    assert_eq!((of("plc-db", "over_limit"), of("plc-db", "not_heard"), of("plc-web", "not_heard")), (0, 0, 0));
    host.end(portlane);
}

fn ping_once(from: &Namespace, to: &str) {
    let said = from.command("ping", &["-c", "1", "-W", "5", to]).unwrap();
    assert!(said.contains(" 1 received"), "{said}");
}

/// Pings of everybody, as fast as a container can begin them, leave room for those of others.
pub(crate) fn many_pings() {
    let host = Host::new();
    let portlane = host.start(&host.both(""));
    let request = |number: u16| {
        let [third, fourth] = number.to_be_bytes();
        let mut packet = Vec::new();
        let to = PacketBuilder::ethernet2([2; 6], [2; 6]).ipv4(SERVER.octets(), [10, 90, third, fourth], 64);
        to.icmpv4_echo_request(7_000, 1).write(&mut packet, b"everybody?").unwrap();
        packet
    };
    let over_limit = || host.stats().steering["plc-web"]["over_limit"];
    let flood = Offer::start(&host.web, "eth0", &(0..20_000).map(request).collect::<Vec<_>>());
    eventually(|| over_limit() > 10_000, || format!("{:?}", host.stats().steering));
    flood.stop();
    ping(&host.db, &CLIENT.to_string());
    // After a moment it may ping again.
    thread::sleep(Duration::from_millis(100));
    ping_once(&host.web, &CLIENT.to_string());
    assert_eq!(host.stats().steering["plc-db"]["over_limit"], 0);
    drop(portlane);
}

/// A question of a few bytes and its answer, from a port that the system has chosen (Mesos: `ROOT_DNS`).
pub(crate) fn names() {
    let host = Host::new();
    let portlane = host.start(&host.both(""));
    for inside in [&host.web, &host.db] {
        Echo::between(inside, &host.client, (CLIENT, 53)).ask(b"who is example.net?");
        Echo::between(inside, &host.host, (SERVER, 53)).ask(b"who is example.net?");
    }
    host.end(portlane);
}

/// What is delivered to a container, and its interface does not take, is counted with the container.
pub(crate) fn undelivered() {
    let host = Host::new();
    let portlane = host.start(&host.both(""));
    let of = |interface: &str| host.stats().attached[interface].undelivered;
    host.web.command("ip", &["link", "set", "eth0", "mtu", "576"]).unwrap();
    let heard = udp(&host.web, SERVER, WEB, Duration::from_secs(5));
    let client = udp(&host.client, CLIENT, NOBODYS, Duration::from_secs(5));
    for len in [1_000, 1_400, 500] {
        client.send_to(&vec![7; len], (SERVER, WEB)).unwrap();
    }
    assert_eq!(heard.recv(&mut [0; 2_000]).unwrap(), 500);
    eventually(|| of("plc-web") == 2, || format!("{:?}", host.stats().attached));
    assert_eq!(of("plc-db"), 0);
    let said = host.said(&["stats"]);
    assert!(said.contains("; 2 undelivered\n"), "{said}");
    drop(portlane);
}
