//! A network card that the host shares with its containers: what is whose, and who gets it.

use std::net::Ipv6Addr;
use std::time::Duration;

use nix::sys::signal::Signal;
use portlane_classify::Direction;
use portlane_stats::snapshot::Snapshot;

use crate::bench::{Bench, CLIENT, FREE, FREE_CONTAINER, NOBODYS, SERVER, SIDES, SLOW, ping};
use crate::portlane::{Portlane, eventually};
use crate::traffic::{Echo, payload, transfer, transfer_with, udp};

const FEW: usize = 1 << 20;
const NETWORK: &str = SIDES[0];
const CONTAINER: &str = SIDES[1];

/// How often the program has decided so.
fn counted(snapshot: &Snapshot, interface: &str, verdict: &str) -> u64 {
    snapshot.steering[interface][verdict]
}

/// What entered is what containers own, and nothing else.
fn assert_owned_alone(snapshot: &Snapshot) {
    let owned = SIDES.map(|side| counted(snapshot, side, "owned")).iter().sum::<u64>();
    let totals = &snapshot.totals;
    assert_eq!((totals.received, totals.unmatched, totals.malformed.len()), (owned, 0, 0), "{totals:?}");
}

pub(crate) fn hosts_own() {
    let bench = Bench::shared();
    let _portlane = bench.start_shared(FREE_CONTAINER, "\"all\"");
    let resolve = ["neighbour", "flush", "dev", "eth0"];
    bench.client.command("ip", &resolve).unwrap();
    bench.ping();
    for direction in Direction::ALL {
        transfer_with(&bench, &bench.line, NOBODYS, direction, &payload(FEW));
    }
    let (snapshot, _) = bench.settled_books();
    assert_eq!((snapshot.totals.received, snapshot.totals.sent), (0, 0), "{:?}", snapshot.totals);
    for (verdict, least) in [("without_ports", 3), ("other_protocol", 1), ("foreign_port", 100)] {
        assert!(counted(&snapshot, NETWORK, verdict) >= least, "{verdict}: {:?}", snapshot.steering);
    }
    for verdict in ["owned", "other_queue", "malformed", "lost_fragment"] {
        assert_eq!(counted(&snapshot, NETWORK, verdict), 0, "{verdict}");
    }
    assert!(snapshot.steering[CONTAINER].values().all(|&count| count == 0), "{:?}", snapshot.steering);
}

pub(crate) fn containers_own() {
    const RATE_BYTES: usize = 20_000_000 / 8;
    let bench = Bench::shared();
    let slow = format!(
        "[[container]]\nid = \"slow\"\nports = [\"{SLOW}\"]\negress = {{ rate = \"20mbit\", burst = \"64kb\" }}\n"
    );
    let portlane = bench.start_shared(&(FREE_CONTAINER.to_owned() + &slow), "\"all\"");
    for direction in Direction::ALL {
        transfer(&bench, FREE, direction, &payload(5 * FEW));
    }
    let took = transfer(&bench, SLOW, Direction::Egress, &payload(RATE_BYTES));
    assert!(took > Duration::from_millis(900), "a second's worth took {took:?}");
    // The host's own goes on beside it.
    transfer_with(&bench, &bench.line, NOBODYS, Direction::Ingress, &payload(FEW));
    bench.ping();

    let (snapshot, _) = bench.settled_books();
    assert_owned_alone(&snapshot);
    let [free, slow] = [&snapshot.containers[0], &snapshot.containers[1]];
    for (lane, least) in [(&free.ingress, 5 * FEW), (&free.egress, 5 * FEW), (&slow.egress, RATE_BYTES)] {
        assert!(lane.sent_bytes > least as u64, "{lane:?}");
    }
    assert!(counted(&snapshot, CONTAINER, "asked") >= 1, "who the client is: {:?}", snapshot.steering);

    portlane.signal(Signal::SIGTERM);
    let ended = portlane.ended();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    assert!(ended.stdout.contains("steering of network: "), "{}", ended.stdout);
    bench.assert_untouched();
}

/// The first and the last port are the container's, those beside them the host's.
pub(crate) fn edges() {
    let bench = Bench::shared();
    let _portlane = bench.start_shared(FREE_CONTAINER, "\"all\"");
    for port in [7_000, 7_099] {
        Echo::new(&bench, port).ask(b"a container's");
    }
    let (snapshot, _) = bench.settled_books();
    assert_eq!(snapshot.totals.received, 4, "two there and two back");
    for port in [6_999, 7_100] {
        Echo::between(&bench.client, &bench.line, (SERVER, port)).ask(b"the host's");
    }
    let (snapshot, _) = bench.settled_books();
    assert_eq!((snapshot.totals.received, counted(&snapshot, NETWORK, "foreign_port")), (4, 2));
    assert_owned_alone(&snapshot);
}

pub(crate) fn nothing_leaks() {
    let bench = Bench::shared();
    let _portlane = bench.start_shared(FREE_CONTAINER, "\"all\"");
    let client = udp(&bench.client, CLIENT, NOBODYS, Duration::from_millis(300));
    for port in [6_999, 7_100] {
        udp(&bench.server, SERVER, port, Duration::from_millis(1)).send_to(b"not mine", (CLIENT, NOBODYS)).unwrap();
    }
    assert!(client.recv(&mut [0; 64]).is_err(), "nothing arrives from foreign ports");
    // Nobody answers: echo requests have no port.
    let unanswered = ["-c", "2", "-i", "0.05", "-W", "0.3", &CLIENT.to_string()];
    assert!(bench.server.command("ping", &unanswered).is_err());
    let settled = || bench.settled_books().0;
    eventually(|| counted(&settled(), CONTAINER, "without_ports") == 2, || format!("{:?}", settled().steering));
    let snapshot = settled();
    assert_eq!(counted(&snapshot, CONTAINER, "foreign_port"), 2, "{:?}", snapshot.steering);
    assert_eq!(snapshot.totals.received, 0, "{:?}", snapshot.totals);
    // The host has learnt nothing from the container: neither its questions nor itself.
    let neighbours = bench.line.command("ip", &["neighbour", "show", "dev", CONTAINER]).unwrap();
    assert_eq!(neighbours, "");
}

/// Datagrams of three fragments, there and back.
pub(crate) fn fragments() {
    let bench = Bench::shared();
    let _portlane = bench.start_shared(FREE_CONTAINER, "\"all\"");
    let echo = Echo::new(&bench, FREE);
    for len in [3_000, 4_000, 4_400] {
        echo.ask(&payload(len));
    }
    let (snapshot, _) = bench.settled_books();
    assert_owned_alone(&snapshot);
    assert_eq!(snapshot.totals.received, 2 * (3 + 3 + 3), "{:?}", snapshot.totals);
    assert_eq!(SIDES.map(|side| counted(&snapshot, side, "lost_fragment")), [0, 0]);
    // The host's too, whose fragments are no container's.
    Echo::between(&bench.client, &bench.line, (SERVER, NOBODYS)).ask(&payload(3_000));
    let (snapshot, _) = bench.settled_books();
    assert_owned_alone(&snapshot);
    assert_eq!(counted(&snapshot, NETWORK, "foreign_port"), 3, "{:?}", snapshot.steering);
}

/// Neither the container nor the host knows the client's hardware address.
pub(crate) fn unknown_neighbour() {
    let bench = Bench::shared();
    let _portlane = bench.start_shared(FREE_CONTAINER, "\"all\"");
    let client = udp(&bench.client, CLIENT, NOBODYS, Duration::from_secs(10));
    for namespace in [&bench.line, &bench.server, &bench.client] {
        namespace.command("ip", &["neighbour", "flush", "all"]).unwrap();
    }
    let container = udp(&bench.server, SERVER, FREE, Duration::from_secs(10));
    container.send_to(b"first", (CLIENT, NOBODYS)).unwrap();
    let mut buffer = [0; 64];
    let (len, from) = client.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..len], from), (&b"first"[..], (SERVER, FREE).into()));
    let known = bench.line.command("ip", &["neighbour", "show", &CLIENT.to_string(), "dev", NETWORK]).unwrap();
    assert!(known.contains("lladdr"), "{known}");
    // Nobody has this address: nobody answers, and nothing else suffers.
    container.send_to(b"to nobody", ("10.77.0.99", NOBODYS)).unwrap();
    Echo::new(&bench, FREE + 1).ask(b"still there?");
}

pub(crate) fn ipv6() {
    let bench = Bench::shared();
    let [client, server] = ["fd77::2", "fd77::1"].map(|address| address.parse::<Ipv6Addr>().unwrap());
    let ends = [(&bench.client, "eth0", client), (&bench.line, NETWORK, server), (&bench.server, "eth0", server)];
    for (namespace, interface, address) in ends {
        namespace.set(&format!("ipv6/conf/{interface}/disable_ipv6"), "0").unwrap();
        // Without the second in which a duplicate would be looked for.
        let add = ["-6", "address", "add", &format!("{address}/64"), "dev", interface, "nodad"];
        namespace.command("ip", &add).unwrap();
    }
    let _portlane = bench.start_shared(FREE_CONTAINER, "\"all\"");
    ping(&bench.client, "fd77::1");
    let echo = Echo::between(&bench.client, &bench.server, (server, FREE));
    [100, 1_000, 4_000].iter().for_each(|&len| echo.ask(&payload(len)));
    Echo::between(&bench.client, &bench.line, (server, NOBODYS)).ask(b"the host's");
    let (snapshot, _) = bench.settled_books();
    assert_owned_alone(&snapshot);
    assert_eq!(snapshot.totals.received, 2 * (1 + 1 + 3), "{:?}", snapshot.totals);
    assert!(counted(&snapshot, CONTAINER, "asked") >= 1, "{:?}", snapshot.steering);
}

/// Two queues: all of them, or one, beside which the host's kernel gets what comes by the other.
pub(crate) fn queues() {
    let bench = Bench::shared_with_queues(2);
    // Which queue a flow comes by is the sender's choice: of so many, some come by either.
    const FLOWS: u16 = 32;
    let ask_all = || {
        for _ in 0..FLOWS {
            Echo::new(&bench, FREE).ask(b"by some queue");
        }
    };
    let portlane = bench.start_shared(FREE_CONTAINER, "\"all\"");
    ask_all();
    let (snapshot, _) = bench.settled_books();
    assert_owned_alone(&snapshot);
    assert_eq!(snapshot.totals.received, 2 * u64::from(FLOWS));
    assert_eq!(snapshot.sockets.keys().collect::<Vec<_>>(), ["container:0", "network:0", "network:1"]);
    for state in ["down", "up"] {
        bench.line.command("ip", &["link", "set", NETWORK, state]).unwrap();
        let said = format!("interface {NETWORK} is {state}");
        // Of an interface it is told, not of each queue.
        eventually(|| portlane.stderr().contains(&said), || format!("not noticed: {}", portlane.stderr()));
    }
    ask_all();
    assert_eq!(portlane.stderr().lines().count(), 2, "{}", portlane.stderr());
    portlane.signal(Signal::SIGTERM);
    assert_eq!(portlane.ended().code, Some(0));

    let _portlane = bench.start_shared(FREE_CONTAINER, "[1]");
    let host = udp(&bench.line, SERVER, FREE, Duration::from_millis(300));
    let clients: Vec<_> = (0..FLOWS).map(|_| udp(&bench.client, CLIENT, 0, Duration::from_secs(1))).collect();
    clients.iter().for_each(|client| assert!(client.send_to(b"by some queue", (SERVER, FREE)).is_ok()));
    let passed = std::iter::from_fn(|| host.recv(&mut [0; 64]).ok()).count() as u64;
    let (snapshot, _) = bench.settled_books();
    let [owned, others] = ["owned", "other_queue"].map(|verdict| counted(&snapshot, NETWORK, verdict));
    assert_eq!((owned + others, others), (u64::from(FLOWS), passed), "{:?}", snapshot.steering);
    assert!(owned > 0 && others > 0, "{owned} and {others}");
    // The container says that nobody listens: what it says about an owned port is owned.
    assert_owned_alone(&snapshot);
}

pub(crate) fn killed() {
    let bench = Bench::shared();
    let portlane = bench.start_shared(FREE_CONTAINER, "\"all\"");
    Echo::new(&bench, FREE).ask(b"a container's");
    portlane.signal(Signal::SIGKILL);
    assert_eq!(portlane.ended().code, None, "a signal ended it");
    bench.assert_untouched();
    Echo::between(&bench.client, &bench.line, (SERVER, FREE)).ask(b"the host's again");
    let _next = bench.start_shared(FREE_CONTAINER, "\"all\"");
    Echo::new(&bench, FREE).ask(b"and back");
}

/// What the documentation asks for is enough.
pub(crate) fn privileges() {
    let bench = Bench::shared();
    let config = bench.shared_config(FREE_CONTAINER, "\"all\"");
    // The fourth lifts the limit of locked memory, which is another matter.
    let limited = ["setpriv", "--bounding-set=-all,+bpf,+net_admin,+net_raw,+ipc_lock"];
    let portlane = Portlane::launch(&bench.line, &limited, &config);
    portlane.wait_until_open();
    Echo::new(&bench, FREE).ask(b"a container's");
    assert_owned_alone(&bench.settled_books().0);
    portlane.signal(Signal::SIGTERM);
    assert_eq!(portlane.ended().code, Some(0));
    let without = ["setpriv", "--bounding-set=-all,+net_admin,+net_raw"];
    let ended = Portlane::launch(&bench.line, &without, &config).ended();
    ended.assert_refused(&["no permission to load the steering program", "CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF"]);
}

pub(crate) fn refused() {
    let bench = Bench::shared();
    let refused = |queues: &str, words: &[&str]| {
        Portlane::launch(&bench.line, &[], &bench.shared_config(FREE_CONTAINER, queues)).ended().assert_refused(words);
        bench.assert_untouched();
    };
    refused("[0, 1]", &["interface network has no queue 1: it receives on 1, counted from 0", "ethtool -l network"]);
    bench.line.command("ip", &["link", "set", CONTAINER, "down"]).unwrap();
    refused("[0]", &["interface container is down", "ip link set container up"]);
    bench.line.command("ip", &["link", "delete", CONTAINER]).unwrap();
    refused("\"all\"", &["there is no interface container"]);
}
