//! Asking a running portlane: over its control socket, and over HTTP.

use std::fs::{self, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use portlane::netns::Namespace;
use portlane_stats::snapshot::Snapshot;
use serde_json::Value;

use crate::bench::{Bench, FREE_CONTAINER};
use crate::portlane::{Portlane, ask};

pub(crate) fn owner_only() {
    let bench = Bench::new();
    let _portlane = bench.start(FREE_CONTAINER);
    let socket = bench.socket();
    let folder = socket.parent().unwrap();
    let (metadata, own) = (fs::symlink_metadata(&socket).unwrap(), fs::metadata(folder).unwrap());
    assert!(metadata.file_type().is_socket());
    assert_eq!((metadata.mode() & 0o7777, metadata.uid()), (0o600, own.uid()));

    // Where anybody may look, only the owner may ask.
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    let others = |question: &str| {
        let nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups", "test", question];
        Command::new("setpriv").args(nobody).arg(&socket).status().unwrap().success()
    };
    assert!(others("-S"));
    assert!(!others("-r") && !others("-w"));

    for (format, beginning) in
        [("text", ""), ("json", "{"), ("tc", "qdisc "), ("tc-json", "["), ("mesos", "["), ("prometheus", "# HELP ")]
    {
        let output = ask(&socket, format);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.trim_start().starts_with(beginning), "{format}: {output:?}");
    }
}

/// What is read over HTTP from a portlane in `namespace`: status, and body.
pub(crate) fn get(namespace: &Namespace, path: &str) -> (u16, String) {
    request(namespace, "GET", path)
}

fn request(namespace: &Namespace, method: &str, path: &str) -> (u16, String) {
    request_of(namespace, 9_660, method, path).unwrap()
}

/// The same of whoever listens on a port of loopback.
pub(crate) fn request_of(namespace: &Namespace, port: u16, method: &str, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = namespace.within(|| TcpStream::connect(("127.0.0.1", port))).unwrap()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: portlane\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        .unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let status = head.strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
    Ok((status, body.to_owned()))
}

pub(crate) fn http() {
    let bench = Bench::new();
    let _portlane = bench.start(FREE_CONTAINER);
    bench.ping();
    assert_eq!(get(&bench.line, "/health"), (200, "ok\n".to_owned()));

    let (status, body) = get(&bench.line, "/stats.json");
    assert_eq!(status, 200);
    let snapshot: Snapshot = serde_json::from_str(&body).unwrap();
    snapshot.check().unwrap();
    assert_eq!(snapshot.totals.sent, 8, "three pings and ARP, there and back");
    assert_contract(&serde_json::from_str(&body).unwrap());

    for path in ["/metrics", "/containers", "/tc/qdisc", "/tc/class", "/monitor/statistics", "/monitor/statistics.json"]
    {
        let (status, body) = get(&bench.line, path);
        assert_eq!(status, 200, "{path}");
        assert!(path == "/metrics" || serde_json::from_str::<Value>(&body).unwrap().is_array(), "{path}: {body}");
    }
    assert_eq!(get(&bench.line, "/ready"), (200, "ready\n".to_owned()));

    for (method, path, status) in [
        ("POST", "/stats.json", 405),
        ("PUT", "/stats.json", 405),
        ("DELETE", "/stats.json", 405),
        ("POST", "/health", 405),
        ("GET", "/", 404),
        ("GET", "/stats", 404),
        ("POST", "/control", 404),
    ] {
        assert_eq!(request(&bench.line, method, path).0, status, "{method} {path}");
    }
}

/// Whoever may connect may open connections and say nothing; the owner is answered all the same.
pub(crate) fn idle_connections() {
    let bench = Bench::new();
    let _portlane = bench.start(FREE_CONTAINER);
    let connect = || bench.line.within(|| TcpStream::connect("127.0.0.1:9660")).unwrap().unwrap();
    let idle: Vec<_> = (0..200).map(|_| connect()).collect();
    let asked = Instant::now();
    bench.stats();
    assert!(asked.elapsed() < Duration::from_secs(4), "before any of them is closed for its silence");

    // Those that were too many are closed at once, the others in time. Then anybody is answered again.
    for mut stream in idle {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // Closed, or reset.
        assert!(!matches!(stream.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock));
    }
    assert_eq!(get(&bench.line, "/health"), (200, "ok\n".to_owned()));
}

/// However many ask for numbers, few are made for them.
pub(crate) fn shared_numbers() {
    let bench = Bench::new();
    let _portlane = bench.start(FREE_CONTAINER);
    let time = |body: &str| serde_json::from_str::<Snapshot>(body).unwrap().time_ns;
    let began = Instant::now();
    let mut times: Vec<_> = (0..100).map(|_| time(&get(&bench.line, "/stats.json").1)).collect();
    // Those that are made to sample rates are shared, too.
    let most = began.elapsed().as_millis() / 250 + began.elapsed().as_millis() / 1_000 + 2;
    times.dedup();
    assert!(times.len() as u128 <= most, "{} in {:?}", times.len(), began.elapsed());
    // The owner's are new.
    let (first, second) = (bench.stats().time_ns, bench.stats().time_ns);
    assert!(first < second);
}

/// What a portlane finds in its socket's place goes only if it is a socket that nobody listens on.
pub(crate) fn found_in_its_place() {
    let bench = Bench::new();
    let (socket, config) = (bench.socket(), bench.config(FREE_CONTAINER));
    let refused = |words: &str| {
        let ended = Portlane::launch(&bench.line, &[], &config).ended();
        ended.assert_refused(&[socket.to_str().unwrap(), words]);
    };
    fs::write(&socket, "precious").unwrap();
    refused("Address already in use");
    assert_eq!(fs::read_to_string(&socket).unwrap(), "precious");
    fs::remove_file(&socket).unwrap();

    let datagram = UnixDatagram::bind(&socket).unwrap();
    refused("Protocol wrong type for socket");
    assert!(socket.exists());
    drop(datagram);
    fs::remove_file(&socket).unwrap();

    drop(UnixListener::bind(&socket).unwrap());
    let portlane = bench.start(FREE_CONTAINER);
    bench.stats();

    // Another's, put in its place meanwhile, stays.
    fs::remove_file(&socket).unwrap();
    let _others = UnixListener::bind(&socket).unwrap();
    portlane.signal(Signal::SIGTERM);
    assert_eq!(portlane.ended().code, Some(0));
    assert!(socket.exists());
}

/// The keys that scripts rely on, each with a number unless it is said otherwise.
fn assert_contract(report: &Value) {
    let numbers =
        |object: &Value, keys: &[&str]| keys.iter().for_each(|key| assert!(object[key].is_u64(), "{key}: {object}"));
    numbers(report, &["time_ns", "duration_ns"]);
    numbers(&report["totals"], &["received", "sent", "dropped", "queued", "unmatched"]);
    assert!(report["totals"]["malformed"].is_object());
    let container = &report["containers"][0];
    assert_eq!(container["id"], "free");
    for lane in [&container["ingress"], &container["egress"]] {
        numbers(lane, &["offered_packets", "offered_bytes", "sent_packets", "sent_bytes", "ecn_marks"]);
        assert!(lane["drops"].is_object());
        numbers(&lane["sojourn_ns"], &["p50", "p90", "p99", "p999", "max", "count"]);
        for (element, id) in ["bw_limit", "bloat_reduction"].into_iter().enumerate() {
            let element = &lane["traffic_control"][element];
            assert_eq!(element["id"], id);
            let fields =
                ["backlog", "bytes", "drops", "overlimits", "packets", "qlen", "ratebps", "ratepps", "requeues"];
            numbers(element, &fields);
        }
    }
}
