//! A day of connections, as the container's kernel has counted them and as their frames tell.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use portlane::netns::Namespace;
use portlane::netstat::Values;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::bench::{CLIENT, NOBODYS, SERVER};
use crate::host::{Host, WEB};
use crate::host_counters::inside;
use crate::portlane::eventually;
use crate::traffic::{payload, transfer_between};

/// As long as nothing is lost on the way.
const SOON: Duration = Duration::from_secs(10);

/// What frames tell of TCP. `InErrs` and `InCsumErrors` take whole segments.
const TOLD: [&str; 10] = [
    "Tcp_ActiveOpens",
    "Tcp_AttemptFails",
    "Tcp_CurrEstab",
    "Tcp_EstabResets",
    "Tcp_InSegs",
    "Tcp_OutRsts",
    "Tcp_OutSegs",
    "Tcp_PassiveOpens",
    "Tcp_RetransSegs",
    "TcpExt_TCPSynRetrans",
];

fn of_source(host: &Host, source: &str) -> Values {
    host.stats().netstat.get("web").and_then(|sources| sources.get(source)).cloned().unwrap_or_default()
}

/// A socket of the container's, of one of its ports.
fn socket(namespace: &Namespace, port: u16) -> Socket {
    namespace
        .within(|| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
            socket.set_reuse_address(true).unwrap();
            socket.bind(&SocketAddr::from((SERVER, port)).into()).unwrap();
            socket
        })
        .unwrap()
}

fn listener(host: &Host, port: u16, backlog: i32) -> TcpListener {
    let socket = socket(&host.web, port);
    socket.listen(backlog).unwrap();
    socket.into()
}

fn connect(host: &Host, port: u16) -> TcpStream {
    host.client.within(|| TcpStream::connect_timeout(&(SERVER, port).into(), SOON)).unwrap().unwrap()
}

fn refused(host: &Host, port: u16) {
    let refused = host.client.within(|| TcpStream::connect_timeout(&(SERVER, port).into(), SOON)).unwrap();
    assert!(refused.is_err());
}

/// The end of a connection is a reset.
fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

/// While it lasts, the client does not hear segments with these flags of those that may be set.
struct Deaf<'a>(&'a Host);

impl<'a> Deaf<'a> {
    fn to(host: &'a Host, flags: &str) -> Self {
        let rules = format!(
            "table ip deaf {{\n chain arrive {{\n type filter hook prerouting priority 0;\n \
             tcp flags & (syn|ack|fin|rst|psh) == {flags} drop\n }}\n}}\n"
        );
        let path = host.path("deaf.nft");
        std::fs::write(&path, rules).unwrap();
        host.client.command("nft", &["-f", path.to_str().unwrap()]).unwrap();
        Self(host)
    }
}

impl Drop for Deaf<'_> {
    fn drop(&mut self) {
        let _ = self.0.client.command("nft", &["delete", "table", "ip", "deaf"]);
    }
}

/// Connections of both sides that end in all ways.
fn connections(host: &Host) {
    transfer_between(&host.client, &host.web, (SERVER, WEB), &payload(200_000));
    transfer_between(&host.web, &host.client, (CLIENT, NOBODYS), &payload(100_000));
    (10..13).for_each(|port| refused(host, WEB + port));
    // Who asks where nobody listens.
    let asking = socket(&host.web, WEB + 50);
    assert!(asking.connect(&SocketAddr::from((CLIENT, NOBODYS + 1)).into()).is_err());

    let listener = listener(host, WEB + 1, 16);
    let pair = || {
        let client = connect(host, WEB + 1);
        (client, listener.accept().unwrap().0)
    };
    let talk = |client: &mut TcpStream, server: &mut TcpStream| {
        client.write_all(b"question").unwrap();
        server.read_exact(&mut [0; 8]).unwrap();
        server.write_all(b"answer").unwrap();
        client.read_exact(&mut [0; 6]).unwrap();
    };
    // Each side resets what is established; and what the other has closed.
    for ends_first in [false, true] {
        for client_resets in [false, true] {
            let (mut client, mut server) = pair();
            talk(&mut client, &mut server);
            let (resets, other) = if client_resets { (client, server) } else { (server, client) };
            if ends_first {
                other.shutdown(Shutdown::Write).unwrap();
                let mut resets = &resets;
                assert_eq!(resets.read(&mut [0; 8]).unwrap(), 0);
            }
            reset(resets);
            let mut other = other;
            let _ = other.read(&mut [0; 8]);
        }
    }
    // One has no more to say, and hears on; either of them first.
    for client_first in [false, true] {
        let (client, server) = pair();
        let (mut first, mut second) = if client_first { (client, server) } else { (server, client) };
        first.shutdown(Shutdown::Write).unwrap();
        assert_eq!(second.read(&mut [0; 8]).unwrap(), 0);
        second.write_all(b"still here").unwrap();
        first.read_exact(&mut [0; 10]).unwrap();
        drop(second);
        assert_eq!(first.read(&mut [0; 8]).unwrap(), 0);
    }
    // What was sent and not read is reset, and what comes after the end.
    let (mut client, server) = pair();
    client.write_all(b"never read").unwrap();
    server.peek(&mut [0; 4]).unwrap();
    drop(server);
    let _ = client.read(&mut [0; 8]);
}

/// What is lost is sent again: a SYN of the container's, a SYN+ACK, data, a FIN.
fn losses(host: &Host) {
    let at_client = host.client.within(|| TcpListener::bind((CLIENT, NOBODYS + 2))).unwrap().unwrap();
    let asking = socket(&host.web, WEB + 51);
    thread::scope(|scope| {
        let deaf = Deaf::to(host, "syn");
        let connects = scope.spawn(|| asking.connect_timeout(&SocketAddr::from((CLIENT, NOBODYS + 2)).into(), SOON));
        let again = || inside(&host.web)["TcpExt_TCPSynRetrans"] >= 1;
        eventually(again, || format!("{:?}", inside(&host.web)));
        drop(deaf);
        connects.join().unwrap().unwrap();
    });
    let mut accepted = at_client.accept().unwrap().0;
    let mut asking: TcpStream = asking.into();
    {
        let before = inside(&host.web)["Tcp_RetransSegs"];
        let _deaf = Deaf::to(host, "(ack|psh)");
        asking.write_all(b"lost at first").unwrap();
        let again = || inside(&host.web)["Tcp_RetransSegs"] > before;
        eventually(again, || format!("{:?}", inside(&host.web)));
    }
    accepted.read_exact(&mut [0; 13]).unwrap();
    {
        let before = inside(&host.web)["Tcp_RetransSegs"];
        let _deaf = Deaf::to(host, "(fin|ack)");
        asking.shutdown(Shutdown::Write).unwrap();
        let again = || inside(&host.web)["Tcp_RetransSegs"] > before;
        eventually(again, || format!("{:?}", inside(&host.web)));
    }
    assert_eq!(accepted.read(&mut [0; 8]).unwrap(), 0);
    drop((accepted, asking));

    let listener = listener(host, WEB + 2, 16);
    let before = inside(&host.web)["TcpExt_TCPSynRetrans"];
    thread::scope(|scope| {
        let deaf = Deaf::to(host, "(syn|ack)");
        let connects = scope.spawn(|| connect(host, WEB + 2));
        let again = || inside(&host.web)["TcpExt_TCPSynRetrans"] > before;
        eventually(again, || format!("{:?}", inside(&host.web)));
        drop(deaf);
        let client = connects.join().unwrap();
        drop((client, listener.accept().unwrap()));
    });
}

/// Both ends ask each other, and neither listens: the client has not heard the container's SYN when it sends its own.
fn both_ask(host: &Host) {
    let ends = [SocketAddr::from((SERVER, WEB + 52)), SocketAddr::from((CLIENT, NOBODYS + 3))];
    let container = socket(&host.web, WEB + 52);
    let client = host.client.within(|| Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap()).unwrap();
    client.bind(&ends[1].into()).unwrap();
    let deaf = Deaf::to(host, "syn");
    let before = inside(&host.web)["Tcp_ActiveOpens"];
    thread::scope(|scope| {
        let asks = scope.spawn(|| container.connect_timeout(&ends[1].into(), SOON));
        let asked = || inside(&host.web)["Tcp_ActiveOpens"] > before;
        eventually(asked, || format!("{:?}", inside(&host.web)));
        client.connect_timeout(&ends[0].into(), SOON).unwrap();
        asks.join().unwrap().unwrap();
    });
    drop(deaf);
    let (mut container, mut client): (TcpStream, TcpStream) = (container.into(), client.into());
    container.write_all(b"both").unwrap();
    client.read_exact(&mut [0; 4]).unwrap();
    drop(container);
    assert_eq!(client.read(&mut [0; 4]).unwrap(), 0);
}

/// A queue of one, and nobody accepts for a while; SYNs find no room, and last parts of handshakes.
fn overflow(host: &Host) {
    let narrow = listener(host, WEB + 3, 0);
    let at_once = || {
        host.client.within(|| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&SocketAddr::from((SERVER, WEB + 3)).into());
            socket
        })
    };
    let mut waiting: Vec<_> = (0..3).map(|_| at_once().unwrap()).collect();
    let overflows = || inside(&host.web)["TcpExt_ListenOverflows"] > 0;
    eventually(overflows, || format!("{:?}", inside(&host.web)));
    // Now the queue is full, and SYNs are dropped.
    waiting.extend((0..3).map(|_| at_once().unwrap()));
    // As long as SYNs are sent again for the first time.
    thread::sleep(Duration::from_millis(1_500));
    narrow.set_nonblocking(true).unwrap();
    let mut accepted = Vec::new();
    while let Ok((stream, _)) = narrow.accept() {
        accepted.push(stream);
    }
    assert!(!accepted.is_empty());
    drop((accepted, narrow, waiting));
}

/// Segments with a checksum that is wrong, of no connection.
fn wrong_checksums(host: &Host) {
    let raw = host.client.within(|| Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::TCP)).unwrap()).unwrap();
    let [s0, s1] = 40_000_u16.to_be_bytes();
    let [d0, d1] = (WEB + 4).to_be_bytes();
    let segment = [s0, s1, d0, d1, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 1, 0, 0xba, 0xad, 0, 0];
    for _ in 0..3 {
        raw.send_to(&segment, &SocketAddr::from((SERVER, 0)).into()).unwrap();
    }
    eventually(|| inside(&host.web)["Tcp_InCsumErrors"] == 3, || format!("{:?}", inside(&host.web)));
}

pub(crate) fn a_day() {
    let host = Host::new();
    let portlane = host.start(&(host.both("") + "[netstat]\nwire = true\n"));
    connections(&host);
    losses(&host);
    both_ask(&host);
    wrong_checksums(&host);
    overflow(&host);
    // Openings that were none after all are made good by the next ones.
    for _ in 0..5 {
        transfer_between(&host.client, &host.web, (SERVER, WEB), &payload(1_000));
    }
    // What has not ended by now goes on being sent again: until it is over, or both have heard it.
    let all = || {
        let [proc, wire] = ["proc", "wire"].map(|source| of_source(&host, source));
        (inside(&host.web), proc, wire)
    };
    let alike = || {
        let (kernels, proc, wire) = all();
        TOLD.iter().all(|&name| wire.get(name) == kernels.get(name) && proc.get(name) == kernels.get(name))
    };
    let table = || {
        let (kernels, proc, wire) = all();
        let show = |values: &Values, name: &str| values.get(name).map_or_else(|| "-".to_owned(), i64::to_string);
        let line = |name: &&str| {
            format!("{name:>24} {:>8} {:>8} {:>8}\n", show(&kernels, name), show(&proc, name), show(&wire, name))
        };
        let further = ["Tcp_InCsumErrors", "TcpExt_ListenOverflows", "TcpExt_ListenDrops", "Wire_UnansweredSyns"];
        let lines = TOLD.iter().chain(&further).map(line);
        format!("{:>24} {:>8} {:>8} {:>8}\n", "", "inside", "proc", "wire") + &lines.collect::<String>()
    };
    eventually(alike, || format!("\n{}", table()));
    println!("\n{}", table());
    let (kernels, _, wire) = all();
    for name in TOLD {
        assert!(kernels[name] > 0 || name == "Tcp_CurrEstab", "{name} was not tried");
    }
    assert!(wire["Wire_UnansweredSyns"] > 0, "{wire:?}");
    assert!(!wire.contains_key("Tcp_InCsumErrors") && !wire.contains_key("TcpExt_ListenDrops"));
    let metrics = host.said(&["stats", "--format", "prometheus"]);
    let opens = format!(
        "\nnode_netstat_Tcp_PassiveOpens{{container=\"web\",source=\"wire\"}} {}\n",
        kernels["Tcp_PassiveOpens"]
    );
    assert!(metrics.contains(&opens) && metrics.contains("\nportlane_wire_lost_packets_total 0\n"), "{metrics}");
    host.end(portlane);
}
