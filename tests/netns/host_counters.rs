//! The kernel's own counters of attached containers, beside what it says inside.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
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
    let [snmp, snmp6, netstat, sockstat, sockstat6] = ["snmp", "snmp6", "netstat", "sockstat", "sockstat6"].map(read);
    Files { snmp, snmp6, netstat, sockstat, sockstat6, round_trips: None }.values()
}

/// What portlane tells of a container, besides round-trip times.
fn told(host: &Host, id: &str) -> Option<Values> {
    let mut values = host.stats().netstat.get(id).map(|sources| sources["proc"].clone())?;
    values.retain(|name, _| !name.starts_with("rtt_"));
    Some(values)
}

/// What ss(8) says of TCP sockets in a namespace.
fn sockets(namespace: &Namespace, options: &[&str]) -> Vec<String> {
    let said = namespace.command("ss", &[&["--tcp", "--no-header", "--oneline"], options].concat()).unwrap();
    said.lines().map(str::to_owned).collect()
}

/// Connections, every other with a socket that takes both families, and one that has ended: how many there are is told as
/// ss(8) lists them, and how long they take is the percentile by Mesos' rule of what it says of each.
pub(crate) fn connections() {
    const OPEN: usize = 11;
    let host = Host::new();
    let portlane = host.start(&host.both(""));
    let listeners: Vec<_> = [SocketAddr::from((SERVER, WEB)), (Ipv6Addr::UNSPECIFIED, WEB + 1).into()]
        .map(|address| host.web.within(|| TcpListener::bind(address)).unwrap().unwrap())
        .into();
    let mut open = Vec::new();
    for number in 0..OPEN {
        let listener = &listeners[number % listeners.len()];
        let address = (SERVER, listener.local_addr().unwrap().port()).into();
        let client = host.client.within(|| TcpStream::connect_timeout(&address, Duration::from_secs(10))).unwrap();
        open.push((client.unwrap(), listener.accept().unwrap().0));
    }
    // Whoever ends first waits afterwards.
    let _client_ended = transfer_between(&host.web, &host.client, (CLIENT, NOBODYS), &payload(1_000));
    eventually(|| !sockets(&host.web, &["state", "time-wait"]).is_empty(), || "nobody waits".to_owned());

    let mesos = || -> serde_json::Value { serde_json::from_str(&host.said(&["stats", "--format", "mesos"])).unwrap() };
    let figures = |container: usize| {
        ["active_connections", "time_wait_connections", "rtt_microsecs_p50", "rtt_microsecs_p90", "rtt_microsecs_p95"]
            .into_iter()
            .chain(["rtt_microsecs_p99"])
            .map(|name| mesos()[container]["statistics"][format!("net_tcp_{name}")].as_f64())
            .collect::<Vec<_>>()
    };
    let listed = || {
        let connections = sockets(&host.web, &["-i"]);
        let rtt = |line: &String| Some(line.split_once(" rtt:")?.1.split_once('/')?.0.parse::<f64>().ok()? * 1e3);
        let mut times: Vec<_> = connections.iter().filter_map(rtt).map(f64::round).collect();
        times.sort_by(f64::total_cmp);
        let percentiles = [50, 90, 95, 99].map(|percent| times.get(times.len() * percent / 100).copied());
        let listening = sockets(&host.web, &["--listening"]).len();
        let waiting = sockets(&host.web, &["state", "time-wait"]).len();
        let counts = [listening + connections.len(), waiting].map(|count| Some(count as f64));
        [&counts[..], &percentiles].concat()
    };
    eventually(|| figures(0) == listed(), || format!("{:?}, and ss says {:?}", figures(0), listed()));
    println!("{:?}", figures(0));
    let lasting = listed();
    assert_eq!(lasting[0], Some((listeners.len() + OPEN) as f64));
    assert!(lasting[1] >= Some(1.0) && lasting[2] > Some(0.0) && lasting[5] >= lasting[2], "{lasting:?}");
    // Where nothing was measured, nothing is told.
    assert_eq!(figures(1), [Some(0.0), Some(0.0), None, None, None, None]);
    let metrics = host.said(&["stats", "--format", "prometheus"]);
    let told = figures(0);
    let lines = [
        format!("node_sockstat_TCP_tw{{container=\"web\",source=\"proc\"}} {}\n", told[1].unwrap()),
        format!(
            "portlane_container_tcp_rtt_seconds{{container=\"web\",statistic=\"p99\"}} {}\n",
            told[5].unwrap() / 1e6
        ),
    ];
    assert!(lines.iter().all(|line| metrics.contains(line)), "{lines:?}");
    drop(open);
    host.end(portlane);
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
    client.write_all(b"never read").unwrap();
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

/// What node_exporter tells when it runs in a namespace, and the socket by which it is asked: none of the namespace's, since its counters
/// would count the question.
fn node_exporter(namespace: &Namespace, socket: &Path) -> BTreeMap<String, f64> {
    let listener = UnixListener::bind(socket).unwrap();
    // As a service manager hands a socket over: as the descriptor behind the standard ones.
    let handed = "LISTEN_PID=$$ LISTEN_FDS=1 exec prometheus-node-exporter --web.systemd-socket --collector.disable-defaults \
                  --collector.netstat --collector.sockstat 3<&0";
    let start = || {
        let mut command = Command::new("sh");
        command.args(["-c", handed]).stdin(OwnedFd::from(listener)).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
    };
    let mut exporter = namespace.within(start).unwrap().unwrap();
    let ask = || -> std::io::Result<String> {
        let mut socket = UnixStream::connect(socket)?;
        socket.set_read_timeout(Some(Duration::from_secs(60)))?;
        socket.write_all(b"GET /metrics HTTP/1.0\r\nHost: inside\r\n\r\n")?;
        let mut said = String::new();
        socket.read_to_string(&mut said)?;
        Ok(said)
    };
    let said = ask();
    exporter.kill().unwrap();
    exporter.wait().unwrap();
    let said = said.unwrap();
    let lines = said.lines().filter(|line| line.starts_with("node_netstat_") || line.starts_with("node_sockstat_"));
    let parse = |line: &str| line.split_once(' ').map(|(name, value)| (name.to_owned(), value.parse().unwrap()));
    lines.filter_map(parse).collect()
}

/// What Debian's node_exporter says in a container's namespace is said of the container, under the same names.
pub(crate) fn as_node_exporter() {
    let host = Host::new();
    let portlane = host.start(&host.both(""));
    transfer_between(&host.client, &host.web, (SERVER, WEB), &payload(100_000));
    transfer_between(&host.web, &host.client, (CLIENT, NOBODYS), &payload(100_000));
    let address = (SERVER, WEB + 5).into();
    assert!(host.client.within(|| TcpStream::connect_timeout(&address, Duration::from_secs(10))).unwrap().is_err());

    let ours = || -> BTreeMap<String, f64> {
        let metrics = host.said(&["stats", "--format", "prometheus"]);
        let of_web = |line: &str| {
            let (name, value) = line.split_once("{container=\"web\",source=\"proc\"} ")?;
            Some((name.to_owned(), value.parse().unwrap()))
        };
        metrics.lines().filter_map(of_web).collect()
    };
    let asked = Cell::new(0);
    let ask = || {
        asked.set(asked.get() + 1);
        node_exporter(&host.web, &host.path(&format!("exporter-{}.sock", asked.get())))
    };
    // Of sockets it also tells what is of the whole host, and of other protocols.
    let of_sockets = ["TCP_inuse", "TCP_tw", "TCP6_inuse"].map(|field| format!("node_sockstat_{field}"));
    let is_ours = |name: &String| name.starts_with("node_netstat_") || of_sockets.contains(name);
    let table = RefCell::new((BTreeMap::new(), BTreeMap::new()));
    let agree = || {
        let (ours, mut theirs) = (ours(), ask());
        theirs.retain(|name, _| is_ours(name));
        let do_agree = !theirs.is_empty() && theirs.iter().all(|(name, value)| ours.get(name) == Some(value));
        table.replace((ours, theirs));
        do_agree
    };
    eventually(agree, || format!("{:?}", table.borrow()));
    let (mut ours, theirs) = table.into_inner();
    println!("{:>40} {:>12} {:>14}", "", "portlane", "node_exporter");
    for (name, value) in &theirs {
        println!("{name:>40} {:>12} {value:>14}", ours[name]);
    }
    ours.retain(|name, _| !theirs.contains_key(name));
    // Later ones tell two of these, too.
    let more = ["TcpExt_TCPOFOQueue", "TcpExt_TCPRcvQDrop", "Tcp_AttemptFails", "Tcp_EstabResets", "Tcp_InCsumErrors"];
    assert!(ours.keys().all(|name| more.iter().any(|more| name == &format!("node_netstat_{more}"))), "{ours:?}");
    assert!(theirs["node_netstat_Tcp_InSegs"] > 50.0 && theirs["node_netstat_Tcp_OutRsts"] == 1.0, "{theirs:?}");
    host.end(portlane);
}
