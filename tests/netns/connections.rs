//! Flow metrics of the kernel's own connections, beside what the kernel and tshark say of them.
//!
//! A relay delays frames and loses some, behind the place where they are captured; the capture is replayed.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use portlane::netns::Namespace;
use socket2::SockRef;

use crate::bench::{Bench, FREE, FREE_CONTAINER, SERVER};
use crate::busy::assert_in_time;
use crate::portlane::{PROGRAM, eventually};
use crate::relay::{self, Relay};
use crate::tables::{Row, number, rows};
use crate::traffic::payload;

/// One way.
const DELAY: Duration = Duration::from_millis(20);

const PATIENCE: Duration = Duration::from_secs(60);

/// What was captured, and what became of it.
struct Seen {
    capture: PathBuf,
    /// By the server's port, all seconds and minutes of which are one row.
    rows: BTreeMap<u64, Row>,
}

impl Seen {
    /// Ends the relay, and replays what it saw.
    fn by(bench: &Bench, relay: Relay) -> Self {
        let (capture, store) = (bench.path("seen.pcapng"), bench.path("store"));
        relay::write(&relay.end(), &capture);
        let config = bench.write("replay.toml", FREE_CONTAINER);
        let mut replay = Command::new(PROGRAM);
        replay.arg("replay").arg(&capture).arg("--config").arg(config).arg("--flows").arg(&store);
        let output = replay.arg("--stats").arg(bench.path("stats.json")).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let mut by_port = BTreeMap::new();
        for row in rows(&store, "vtap_flow_edge_port.1m") {
            add(by_port.entry(number(&row, "server_port")).or_default(), row);
        }
        Self { capture, rows: by_port }
    }

    fn value(&self, port: u16, name: &str) -> u64 {
        number(&self.rows[&u64::from(port)], name)
    }

    /// Fields of the frames that match a filter, as tshark has them.
    fn tshark(&self, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
        let mut command = Command::new("tshark");
        command.arg("-r").arg(&self.capture).args(["-Y", filter, "-T", "fields"]);
        command.args(fields.iter().flat_map(|field| ["-e", field]));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
    }
}

/// Adds up the figures of two rows; the first may be empty.
fn add(sum: &mut Row, row: Row) {
    use parquet::record::Field;
    for (name, value) in row {
        match (sum.get_mut(&name), value) {
            (Some(Field::ULong(sum)), Field::ULong(more)) if name.ends_with("_max") => *sum = (*sum).max(more),
            (Some(Field::ULong(sum)), Field::ULong(more)) => *sum += more,
            (_, value) => drop(sum.insert(name, value)),
        }
    }
}

fn listen(bench: &Bench, port: u16) -> TcpListener {
    bench.server.within(|| TcpListener::bind((SERVER, port))).unwrap().unwrap()
}

/// The client's end of a connection, and how long connect() took.
fn connect(bench: &Bench, port: u16) -> (TcpStream, Duration) {
    let connect = || {
        let begun = Instant::now();
        let stream = TcpStream::connect_timeout(&(SERVER, port).into(), PATIENCE).unwrap();
        (stream, begun.elapsed())
    };
    bench.client.within(connect).unwrap()
}

/// What the kernel says of the connections that match (`TCP_INFO`), as words of `ss`.
fn tcp_info(namespace: &Namespace, filter: &str) -> Vec<String> {
    let said = namespace.command("ss", &["-tinH", filter]).unwrap();
    said.split_ascii_whitespace().map(str::to_owned).collect()
}

/// The part before the slash, or behind it, of a value that `ss` gives.
fn of_pair(words: &[String], name: &str, second: bool) -> Option<f64> {
    let pair = words.iter().find_map(|word| word.strip_prefix(name))?;
    let (one, other) = pair.split_once('/').unwrap();
    Some(if second { other } else { one }.parse().unwrap())
}

fn near(one: f64, other: f64) -> bool {
    (one - other).abs() <= one.max(other) / 10.0
}

/// Each handshake takes what the client's connect() takes, and what its kernel takes for the first round trip, within 10 %; to the
/// microsecond what tshark reads from the capture.
pub(crate) fn handshakes() {
    const CONNECTIONS: u16 = 8;
    let bench = Bench::new();
    let relay = Relay::start(&bench, DELAY, |_| false);
    // Who asks for a neighbour does not wait for that later.
    bench.ping();
    let mut measured = Vec::new();
    for port in FREE..FREE + CONNECTIONS {
        let listener = listen(&bench, port);
        let (stream, took) = connect(&bench, port);
        let info = tcp_info(&bench.client, &format!("dport = :{port}"));
        let rtt_ms = of_pair(&info, "rtt:", false).unwrap();
        measured.push((port, took.as_secs_f64() * 1e3, rtt_ms));
        drop((listener.accept().unwrap(), stream));
    }
    let seen = Seen::by(&bench, relay);
    let mut by_tshark = BTreeMap::new();
    for line in
        seen.tshark("tcp.analysis.initial_rtt && tcp.dstport < 8000", &["tcp.dstport", "tcp.analysis.initial_rtt"])
    {
        by_tshark.insert(line[0].parse::<u16>().unwrap(), line[1].parse::<f64>().unwrap() * 1e6);
    }
    println!("handshake, ms: {:>6} {:>10} {:>10} {:>10}", "port", "connect()", "tcpi_rtt", "rtt");
    for (port, connect_ms, rtt_ms) in measured {
        assert_eq!(["rtt_count", "rtt_client_count", "rtt_server_count"].map(|name| seen.value(port, name)), [1; 3]);
        #[expect(clippy::cast_precision_loss, reason = "microseconds of some milliseconds")]
        let rtt_us = seen.value(port, "rtt_sum") as f64;
        println!("{port:>21} {connect_ms:>10.3} {rtt_ms:>10.3} {:>10.3}", rtt_us / 1e3);
        assert!((rtt_us - by_tshark[&port]).abs() <= 1.0, "{rtt_us} and {} us", by_tshark[&port]);
        let parts = seen.value(port, "rtt_client_sum") + seen.value(port, "rtt_server_sum");
        assert!(parts.abs_diff(seen.value(port, "rtt_sum")) <= 1, "{parts} us are the two parts");
        let told = || format!("connect() took {connect_ms} ms, tcpi_rtt is {rtt_ms} ms, the metric {rtt_us} us");
        assert_in_time(near(rtt_us / 1e3, connect_ms) && near(rtt_us / 1e3, rtt_ms), told);
    }
}

/// The bytes of data, and the port of the server, of a segment; and whether the client sent it.
fn segment(frame: &[u8]) -> Option<(bool, u16, usize, bool)> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(tcp))) = (&packet.net, &packet.transport) else {
        return None;
    };
    let by_client = ip.header().destination_addr() == SERVER;
    let port = if by_client { tcp.destination_port() } else { tcp.source_port() };
    Some((by_client, port, tcp.payload().len(), tcp.syn()))
}

/// Loses the first SYN of one connection and the first SYN+ACK of another, and one in some segments with data.
fn losses() -> impl FnMut(&[u8]) -> bool + Send + 'static {
    let (mut handshakes, mut data) = (0, 0);
    move |frame| {
        let Some((by_client, port, len, syn)) = segment(frame) else { return false };
        if syn {
            let which = match (port - FREE, by_client) {
                (0, true) => 1,
                (1, false) => 2,
                _ => 0,
            };
            let lost = which != 0 && handshakes & which == 0;
            handshakes |= which;
            return lost;
        }
        data += usize::from(len > 0);
        len > 0 && port < FREE + 2 && data % 29 == 7
    }
}

/// Sends all, and waits until the kernel has heard that all of it has arrived. Returns how often it has sent something again.
fn send(namespace: &Namespace, from: &mut TcpStream, to: &mut TcpStream, filter: &str) -> u64 {
    let data = payload(300_000);
    SockRef::from(&*from).set_tcp_congestion(b"reno").unwrap();
    to.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut received = vec![0; data.len()];
    thread::scope(|scope| {
        scope.spawn(|| from.write_all(&data).unwrap());
        to.read_exact(&mut received).unwrap();
    });
    assert!(received == data);
    let unacknowledged = || tcp_info(namespace, filter).iter().any(|word| word.starts_with("unacked:"));
    eventually(|| !unacknowledged(), || tcp_info(namespace, filter).join(" "));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let again = of_pair(&tcp_info(namespace, filter), "retrans:", true).unwrap() as u64;
    again
}

/// Repetitions are those that the senders' kernels count (`tcpi_total_retrans`), and those that tshark finds; so are closed windows.
pub(crate) fn repetitions() {
    let bench = Bench::new();
    let relay = Relay::start(&bench, DELAY, losses());

    let listener = listen(&bench, FREE);
    let (mut client, _) = connect(&bench, FREE);
    let mut server = listener.accept().unwrap().0;
    let by_client = send(&bench.client, &mut client, &mut server, &format!("dport = :{FREE}"));
    drop((client, server, listener));

    let port = FREE + 1;
    let listener = listen(&bench, port);
    let (mut client, _) = connect(&bench, port);
    let mut server = listener.accept().unwrap().0;
    let by_server = send(&bench.server, &mut server, &mut client, &format!("sport = :{port}"));
    drop((client, server, listener));

    close_the_window(&bench, FREE + 2);

    let seen = Seen::by(&bench, relay);
    let found = |filter: &str| seen.tshark(filter, &["frame.number"]).len() as u64;
    println!("segments sent again: {:>10} {:>10} {:>10}", "the kernel", "tshark", "retrans");
    for (port, kernels, ours, who) in
        [(FREE, by_client, "retrans_tx", "dstport"), (FREE + 1, by_server, "retrans_rx", "srcport")]
    {
        let filter = "(tcp.analysis.retransmission || tcp.analysis.out_of_order)";
        let tsharks = found(&format!("{filter} && tcp.{who} == {port}"));
        println!("{port:>20} {kernels:>10} {tsharks:>10} {:>10}", seen.value(port, ours));
        assert!(kernels > 5, "{kernels}");
        assert_eq!((seen.value(port, ours), seen.value(port, "ooo")), (kernels, 0));
        assert_eq!(tsharks, kernels);
    }
    assert_eq!((seen.value(FREE, "retrans_syn"), seen.value(FREE, "retrans_synack")), (1, 0));
    assert!(seen.value(FREE + 1, "retrans_synack") >= 1);
    let closed = found(&format!("tcp.analysis.zero_window && tcp.srcport == {}", FREE + 2));
    assert!(closed > 0);
    assert_eq!((seen.value(FREE + 2, "zero_win_rx"), seen.value(FREE + 2, "zero_win_tx")), (closed, 0));
}

/// The server lets the client wait until its window is closed, and a probe has come.
fn close_the_window(bench: &Bench, port: u16) {
    let listener = listen(bench, port);
    SockRef::from(&listener).set_recv_buffer_size(4_096).unwrap();
    let (mut client, _) = connect(bench, port);
    let mut server = listener.accept().unwrap().0;
    let data = payload(200_000);
    thread::scope(|scope| {
        scope.spawn(|| {
            client.write_all(&data).unwrap();
            client.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let filter = format!("dport = :{port}");
        let probes = || tcp_info(&bench.client, &filter).iter().any(|word| word.starts_with("timer:(persist"));
        let told = || bench.client.command("ss", &["-tinHo", &filter]).unwrap();
        eventually(|| probes() || told().contains("persist"), told);
        let mut received = Vec::new();
        server.read_to_end(&mut received).unwrap();
        assert!(received == data);
    });
}
