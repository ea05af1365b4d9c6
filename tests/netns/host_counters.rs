//! The kernel's own counters of attached containers, beside what it says inside.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use portlane::netns::Namespace;
use portlane::netstat::{Files, Values};
use socket2::{Domain, Socket, Type};

use crate::bench::{CLIENT, NOBODYS, SERVER};
use crate::host::{Host, WEB};
use crate::portlane::eventually;
use crate::traffic::{payload, transfer_between, udp};

/// What the kernel says in a container's namespace.
pub(crate) fn inside(namespace: &Namespace) -> Values {
    let read = |name: &str| namespace.command("cat", &[&format!("/proc/net/{name}")]).unwrap_or_default();
    Files { snmp: read("snmp"), snmp6: read("snmp6"), netstat: read("netstat") }.values()
}

/// What portlane tells of a container.
fn told(host: &Host, id: &str) -> Option<Values> {
    host.stats().netstat.get(id).map(|sources| sources["proc"].clone())
}

/// Connections that are opened, refused, reset and dropped for a full queue: after that the container's counters are those that its
/// kernel tells, each of them.
pub(crate) fn as_inside() {
    let host = Host::new();
    let portlane = host.start(&host.both(""));
    transfer_between(&host.client, &host.web, (SERVER, WEB), &payload(200_000));
    transfer_between(&host.web, &host.client, (CLIENT, NOBODYS), &payload(100_000));
    let connect = |port: u16| {
        let address = (SERVER, port).into();
        host.client.within(|| TcpStream::connect_timeout(&address, Duration::from_millis(500))).unwrap()
    };
    // Nobody listens there.
    assert!(connect(WEB + 5).is_err());
    // What was sent and not read is reset.
    let listener = host.web.within(|| TcpListener::bind((SERVER, WEB + 1))).unwrap().unwrap();
    let mut client = connect(WEB + 1).unwrap();
    std::io::Write::write_all(&mut client, b"never read").unwrap();
    let accepted = listener.accept().unwrap().0;
    accepted.peek(&mut [0; 4]).unwrap();
    drop(accepted);
    // A queue of one, and nobody accepts.
    let narrow = host.web.within(|| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((SERVER, WEB + 2)).into()).unwrap();
        socket.listen(1).unwrap();
        socket
    });
    let _waiting: Vec<_> = (0..6).map(|_| connect(WEB + 2)).collect();
    // A datagram for nobody.
    udp(&host.client, CLIENT, 0, Duration::from_secs(1)).send_to(b"anybody?", (SERVER, WEB + 9)).unwrap();

    let looks_alike = || told(&host, "web").is_some_and(|told| told == inside(&host.web));
    eventually(looks_alike, || {
        let (ours, kernels) = (told(&host, "web").unwrap_or_default(), inside(&host.web));
        let differ = kernels.iter().filter(|(name, value)| ours.get(*name) != Some(value));
        format!("{:?}", differ.collect::<BTreeMap<_, _>>())
    });
    let (web, db) = (told(&host, "web").unwrap(), told(&host, "db").unwrap());
    println!("{:>24} {:>12} {:>12}", "", "web", "inside");
    let kernels = inside(&host.web);
    for name in [
        "Tcp_InSegs",
        "Tcp_OutSegs",
        "Tcp_PassiveOpens",
        "Tcp_ActiveOpens",
        "Tcp_EstabResets",
        "Tcp_OutRsts",
        "TcpExt_ListenOverflows",
        "TcpExt_ListenDrops",
        "Udp_NoPorts",
    ] {
        println!("{name:>24} {:>12} {:>12}", web[name], kernels[name]);
    }
    assert!(web["Tcp_PassiveOpens"] >= 3 && web["Tcp_ActiveOpens"] == 1 && web["Tcp_OutRsts"] >= 2, "{web:?}");
    assert!(web["TcpExt_ListenOverflows"] > 0 && web["TcpExt_ListenDrops"] > 0, "{web:?}");
    assert_eq!((web["Udp_NoPorts"], db["Tcp_PassiveOpens"]), (1, 0));
    drop((narrow, listener));

    let metrics = host.said(&["stats", "--format", "prometheus"]);
    for (id, values) in [("web", &web), ("db", &db)] {
        let line = format!(
            "node_netstat_TcpExt_ListenOverflows{{container={id:?},source=\"proc\"}} {}\n",
            values["TcpExt_ListenOverflows"]
        );
        assert!(metrics.contains(&line), "{line}");
    }
    let mesos: serde_json::Value = serde_json::from_str(&host.said(&["stats", "--format", "mesos"])).unwrap();
    assert_eq!(mesos[0]["statistics"]["net_snmp_statistics"]["tcp_stats"]["ActiveOpens"], 1);

    host.end(portlane);
}
