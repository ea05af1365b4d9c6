//! Flows that are observed while they pass.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use parquet::record::Field;
use portlane::flows::Told;
use portlane_classify::Direction;
use portlane_stats::flows::{ContainerFlows, FlowsReport};
use portlane_stats::snapshot::Snapshot;

use crate::bench::{Bench, CLIENT, FREE, FREE_CONTAINER, NOBODYS, SERVER};
use crate::host::{DB, Host, WEB};
use crate::portlane::{PROGRAM, eventually};
use crate::tables::{Row, number, rows};
use crate::traffic::{Echo, payload, transfer, transfer_between, udp};

const PATIENCE: Duration = Duration::from_secs(20);

/// What is said of flows; all frames are in it.
fn observed(bench: &Bench) -> FlowsReport {
    all_of(&bench.settled_books().0, || bench.stats())
}

/// The same of whoever has received what this snapshot says.
fn all_of(snapshot: &Snapshot, stats: impl Fn() -> Snapshot) -> FlowsReport {
    let report = |snapshot: &Snapshot| snapshot.flows.clone().unwrap();
    let all = |flows: &FlowsReport| {
        let of_flows = flows.counted.packets + flows.refused.packets + flows.late.packets;
        of_flows + flows.lost.packets + flows.repeated_packets + flows.other_frames
    };
    let received = snapshot.totals.received;
    let told = || report(&stats());
    eventually(|| all(&told()) == received, || format!("{received} received, and {:?}", told()));
    told()
}

fn of_free(flows: &FlowsReport) -> ContainerFlows {
    let [free] = &flows.containers[..] else { panic!("{flows:?}") };
    assert_eq!(free.id, "free");
    free.clone()
}

fn traffic(bench: &Bench) {
    transfer(bench, FREE, Direction::Ingress, &payload(400_000));
    transfer(bench, FREE, Direction::Egress, &payload(300_000));
    let servers = [FREE, NOBODYS].map(|port| udp(&bench.server, SERVER, port, PATIENCE));
    let client = udp(&bench.client, CLIENT, 40_000, PATIENCE);
    let mut buffer = [0; 2_048];
    for (server, port) in servers.iter().zip([FREE, NOBODYS]) {
        for size in [10, 100, 1_000] {
            client.send_to(&payload(size), (SERVER, port)).unwrap();
            let (len, from) = server.recv_from(&mut buffer).unwrap();
            server.send_to(&buffer[..len], from).unwrap();
            assert_eq!(client.recv(&mut buffer).unwrap(), size);
        }
    }
    // Nobody listens here: a connection that is refused.
    let refused = bench.client.within(|| TcpStream::connect((SERVER, FREE + 9))).unwrap();
    assert!(refused.is_err());
}

/// Every frame that was received is seen, and connections are measured.
pub(crate) fn all_are_seen() {
    observe(&Bench::new());
}

/// The same where the two directions of a connection may pass different workers.
pub(crate) fn at_two_workers() {
    observe(&Bench::with_queues(2));
}

fn observe(bench: &Bench) {
    let portlane = bench.start(&format!("{FREE_CONTAINER}[flows]\n"));
    traffic(bench);
    let flows = observed(bench);
    assert_eq!((flows.refused, flows.late, flows.lost), Default::default(), "{flows:?}");
    assert!(flows.live >= 4 && flows.store.is_none(), "{flows:?}");
    // A second is told of when it is over for all packets.
    eventually(
        || observed(bench).containers.first().is_some_and(|free| free.new == 4 && free.establish_failures == 1),
        || format!("{:?}", observed(bench)),
    );
    let free = of_free(&observed(bench));
    assert!(free.rtt.count == 2 && free.rtt.sum_us > 0, "{free:?}");
    assert!(free.art.count >= 3, "{free:?}");
    let metrics = crate::portlane::ask(&bench.socket(), "prometheus").stdout;
    let metrics = String::from_utf8(metrics).unwrap();
    assert!(metrics.contains("\nportlane_container_flows_new_total{container=\"free\"} 4\n"), "{metrics}");
    assert!(metrics.contains("\nportlane_flows_packets_total{fate=\"lost\"} 0\n"), "{metrics}");

    // Others are owners after a reload, and go on being known by their names.
    bench.config(&format!("[[container]]\nid = \"other\"\nports = [\"9000\"]\n{FREE_CONTAINER}[flows]\n"));
    portlane.signal(Signal::SIGHUP);
    eventually(|| portlane.stderr().contains("configuration reloaded"), || portlane.stderr());
    traffic(bench);
    eventually(
        || {
            let news: Vec<_> = observed(bench).containers.into_iter().map(|one| (one.id, one.new)).collect();
            // The UDP of those before may still be the same flow.
            news.iter().any(|(id, new)| id == "free" && *new >= 7) && news.iter().any(|(id, _)| id == "other")
        },
        || format!("{:?}", observed(bench)),
    );
    // What flows are observed by does not change while they are.
    bench.config(&format!("{FREE_CONTAINER}[flows]\nmax_flows = 100\n"));
    portlane.signal(Signal::SIGHUP);
    eventually(|| portlane.stderr().contains("[flows] cannot change while portlane runs"), || portlane.stderr());
    portlane.signal(Signal::SIGTERM);
    assert_eq!(portlane.ended().code, Some(0));
}

/// What `portlane flows` prints with these words.
fn printed(words: &[&str]) -> String {
    let output = Command::new(PROGRAM).arg("flows").args(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn told(words: &[&str]) -> Told {
    serde_json::from_str(&printed(&[words, &["--json"]].concat())).unwrap()
}

/// Packets and bytes of frames of a table's rows.
fn sums(rows: &[Row]) -> [u64; 2] {
    ["packet", "byte"].map(|name| rows.iter().map(|row| number(row, name)).sum())
}

/// The rows with this text in a column.
fn with(mut rows: Vec<Row>, column: &str, text: &str) -> Vec<Row> {
    rows.retain(|row| row[column] == Field::Str(text.to_owned()));
    rows
}

/// Packets and bytes that the two lanes of a container were offered.
fn offered(snapshot: &Snapshot, id: &str) -> [u64; 2] {
    let container = snapshot.containers.iter().find(|container| container.id == id).unwrap();
    let lanes = [&container.ingress, &container.egress].map(|lane| [lane.offered_packets, lane.offered_bytes]);
    [0, 1].map(|figure| lanes.iter().map(|lane| lane[figure]).sum::<u64>())
}

/// Rows are kept in a store, and asked for while packets pass: they say what lanes have counted.
pub(crate) fn rows_are_kept() {
    let bench = Bench::new();
    let store = bench.path("flows");
    let portlane =
        bench.start(&format!("{FREE_CONTAINER}[flows]\nstore = {store:?}\nstore_every = \"1s\"\nstore_age = \"1d\"\n"));
    traffic(&bench);
    let flows = observed(&bench);
    let offered = offered(&bench.settled_books().0, "free");

    // Of what has passed a second is told when it is over.
    let socket = bench.socket();
    let live = ["--socket", socket.to_str().unwrap()];
    let by = |by| told(&[&live[..], &["--by", by]].concat());
    let packets = |told: &Told| told.rows.iter().map(|line| line.figures.packets()).sum::<u64>() + told.other_packets;
    eventually(|| packets(&by("pair")) == flows.counted.packets, || format!("{:?}, {flows:?}", by("pair")));
    let [one] = &by("container").rows[..] else { panic!("{:?}", by("container")) };
    assert_eq!(
        (one.of.pod_id.as_deref(), one.figures.packets(), one.figures.bytes()),
        (Some("free"), offered[0], offered[1])
    );
    assert!(by("port").rows.iter().all(|line| line.of.pod_id.as_deref() == Some("free")));
    let table = printed(&live);
    println!("{table}");
    assert!(table.lines().nth(1).is_some_and(|line| line.starts_with("free ")), "{table}");

    portlane.signal(Signal::SIGTERM);
    assert_eq!(portlane.ended().code, Some(0));
    for grain in ["1s", "1m"] {
        let edges = rows(&store, &format!("vtap_flow_edge_port.{grain}"));
        assert_eq!(sums(&edges), [flows.counted.packets, flows.counted.bytes], "{grain}");
        assert_eq!(sums(&with(rows(&store, &format!("vtap_flow.{grain}")), "pod_id", "free")), offered, "{grain}");
    }
    let kept = told(&["--store", store.to_str().unwrap(), "--by", "pair"]);
    assert_eq!(packets(&kept), flows.counted.packets);
}

/// What attached containers say to each other comes to the line twice, and is in the rows once, as `local`; nobody has said which address
/// is the host's.
pub(crate) fn neighbours() {
    let host = Host::new();
    let store = host.path("flows");
    let portlane = host.start(&format!("{}[flows]\nstore = {store:?}\n", host.both("")));
    for (from, to, port) in [
        (&host.web, &host.db, DB),
        (&host.db, &host.web, WEB),
        (&host.web, &host.host, NOBODYS),
        (&host.host, &host.db, DB),
    ] {
        transfer_between(from, to, (SERVER, port), &payload(1 << 16));
        let echo = Echo::between(from, to, (SERVER, port + 1));
        echo.ask(b"are you there?");
        // In fragments.
        echo.ask(&payload(4_000));
    }
    transfer_between(&host.client, &host.web, (SERVER, WEB), &payload(1 << 16));
    // Nobody listens there: it is the neighbour who says so.
    let refused = host.web.within(|| TcpStream::connect((SERVER, DB + 9))).unwrap();
    assert!(refused.is_err());

    let snapshot = host.settled();
    let flows = all_of(&snapshot, || host.stats());
    assert_eq!((flows.refused, flows.late, flows.lost), Default::default(), "{flows:?}");
    host.end(portlane);
    for grain in ["1s", "1m"] {
        for table in ["vtap_flow_edge", "vtap_flow_edge_port"] {
            let edges = rows(&store, &format!("{table}.{grain}"));
            assert_eq!(sums(&edges), [flows.counted.packets, flows.counted.bytes], "{table}.{grain}");
            let local = with(edges, "observation_point", "local");
            assert_eq!(sums(&local)[0], flows.repeated_packets, "what came twice is what is local: {local:?}");
            let web_to_db = with(with(local, "pod_id_0", "web"), "pod_id_1", "db");
            assert!(sums(&web_to_db)[0] > 40, "{web_to_db:?}");
        }
        for id in ["web", "db"] {
            let of_it = with(rows(&store, &format!("vtap_flow.{grain}")), "pod_id", id);
            assert_eq!(sums(&of_it), offered(&snapshot, id), "{id}, {grain}");
        }
    }
}

/// Rows are lost while there is no room for them, and all else goes on.
pub(crate) fn a_full_disk() {
    let bench = Bench::new();
    let disk = bench.path("disk");
    std::fs::create_dir(&disk).unwrap();
    let mounted = Mounted::new(&disk, "size=256k");
    let store = disk.join("flows");
    let portlane = bench.start(&format!("{FREE_CONTAINER}[flows]\nstore = {store:?}\nstore_every = \"1s\"\n"));
    let ballast = disk.join("ballast");
    let report = || bench.stats().flows.unwrap().store.unwrap();
    traffic(&bench);
    eventually(|| report().rows > 0, || format!("{:?}", report()));
    let _ = std::fs::write(&ballast, vec![0; 256 << 10]);
    traffic(&bench);
    eventually(|| report().lost_rows > 0, || format!("{:?}", report()));
    assert!(report().error.is_some_and(|why| why.contains("No space left on device")), "{:?}", report());
    assert!(
        portlane.stderr().contains("warning: rows of flows are lost until this is mended"),
        "{}",
        portlane.stderr()
    );
    let metrics = String::from_utf8(crate::portlane::ask(&bench.socket(), "prometheus").stdout).unwrap();
    assert!(metrics.contains("\nportlane_flows_store_up 0\n"), "{metrics}");
    let before = report().rows;
    std::fs::remove_file(&ballast).unwrap();
    traffic(&bench);
    eventually(|| report().rows > before && report().error.is_none(), || format!("{:?}", report()));
    portlane.signal(Signal::SIGTERM);
    assert_eq!(portlane.ended().code, Some(0));
    drop(mounted);
}

/// A file system in memory, until it is dropped.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn new(at: &'a Path, options: &str) -> Self {
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).status().unwrap();
        assert!(done.success());
        Self(at)
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}
