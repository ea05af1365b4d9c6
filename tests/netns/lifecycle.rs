//! Coming and going: what was taken is sent before the end, and the kernel forwards again however that came.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use portlane::netns::Namespace;

use crate::bench::{Bench, CLIENT, FREE, FREE_CONTAINER, SERVER, SIDES, SLOW};
use crate::portlane::{Portlane, eventually};
use crate::traffic::{Echo, Flood, udp};

/// Datagrams that wait when the run is asked to end: the socket that they go to holds as many.
const WAITING: usize = 50;

/// A container whose queue keeps all that it gets, and lets it go at this rate.
fn slow(rate: &str) -> String {
    let egress = format!("{{ rate = \"{rate}\", burst = \"1600b\" }}");
    format!("[[container]]\nid = \"slow\"\nports = [\"8000\"]\ningress = {egress}\nqueue = {{ kind = \"fifo\" }}\n")
}

/// A run of `config`, asked to end while datagrams wait: how long it took, the report, and how many arrived.
fn ended_with_a_queue(config: &str) -> (Duration, String, usize) {
    let bench = Bench::new();
    let portlane = bench.start(config);
    bench.ping();
    let sink = udp(&bench.server, SERVER, SLOW, Duration::from_millis(500));
    let client = udp(&bench.client, CLIENT, 0, Duration::from_secs(1));
    (0..WAITING).for_each(|_| assert_eq!(client.send_to(&[7; 958], (SERVER, SLOW)).unwrap(), 958));
    eventually(|| bench.stats().containers[0].ingress.offered_packets == WAITING as u64, || "not taken".to_owned());
    let asked = Instant::now();
    portlane.signal(Signal::SIGTERM);
    let ended = portlane.ended();
    let took = asked.elapsed();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    bench.assert_untouched();
    let arrived = std::iter::from_fn(|| sink.recv(&mut [0; 1_024]).ok()).count();
    (took, ended.stdout, arrived)
}

/// 50 packets of 1,000 bytes at 400 kbit/s leave within a second.
pub(crate) fn drained() {
    let (took, report, arrived) = ended_with_a_queue(&format!("drain = \"10s\"\n{}", slow("400kbit")));
    assert_eq!(arrived, WAITING, "{report}");
    assert!(report.contains("+ dropped 0 + queued 0 packets"), "{report}");
    assert!(took < Duration::from_secs(8), "it has waited longer than it had to: {took:?}");
}

/// At 40 kbit/s they would take ten seconds.
pub(crate) fn drained_in_part() {
    let (took, report, arrived) = ended_with_a_queue(&format!("drain = \"300ms\"\n{}", slow("40kbit")));
    assert!(arrived < WAITING, "all has left");
    assert!(!report.contains("queued 0 packets") && report.contains("queued "), "{report}");
    assert!((Duration::from_millis(300)..Duration::from_secs(8)).contains(&took), "{took:?}");
}

/// Down and up again, a run goes on with all that it knew.
pub(crate) fn interface_comes_back() {
    let bench = Bench::new();
    let portlane = bench.start(FREE_CONTAINER);
    for side in SIDES {
        bench.ping();
        bench.line.command("ip", &["link", "set", side, "down"]).unwrap();
        let down = format!("interface {side} is down: waiting until it is up\n");
        eventually(|| portlane.stderr().contains(&down), || format!("not noticed: {}", portlane.stderr()));
        bench.line.command("ip", &["link", "set", side, "up"]).unwrap();
        let up = format!("interface {side} is up again\n");
        eventually(|| portlane.stderr().contains(&up), || format!("not noticed: {}", portlane.stderr()));
        Echo::new(&bench, FREE).ask(b"are you there again?");
    }
    bench.settled_books();
    portlane.signal(Signal::SIGTERM);
    assert_eq!(portlane.ended().code, Some(0));
    bench.assert_untouched();
}

/// Many lives, each ended by `kill -9` under load: every time the kernel forwards again, and the next life begins.
pub(crate) fn killed_a_hundred_times() {
    const LIVES: u32 = 100;
    let bench = Bench::new();
    let kernel = KernelRoute::new(&bench);
    let _there = Flood::start(&bench.client, (SERVER, FREE), 1_000, 5);
    let _back = Flood::start(&bench.server, (CLIENT, FREE), 1_000, 5);
    for life in 0..LIVES {
        let portlane = start_and_forward(&bench, &format!("life {life}"));
        portlane.signal(Signal::SIGKILL);
        assert_eq!(portlane.ended().code, None, "a signal ended it");
        bench.assert_untouched();
        kernel.assert_forwards();
    }
    // And what comes after the last of them is as the first one was.
    let portlane = start_and_forward(&bench, "the last life");
    Echo::new(&bench, FREE + 1).ask(b"is it open again?");
    portlane.signal(Signal::SIGTERM);
    assert_eq!(portlane.ended().code, Some(0));
}

/// A portlane through which the floods have come, both ways: while nobody carried their questions, client and server forgot
/// where the other one is, and what is sent until they know again may be lost in their own queues.
fn start_and_forward(bench: &Bench, life: &str) -> Portlane {
    let sent = || SIDES.map(|side| bench.line.counters(side).unwrap().tx_packets);
    let portlane = bench.start(FREE_CONTAINER);
    let before = sent();
    let forwards = || sent().iter().zip(before).all(|(now, before)| now - before > 20);
    eventually(forwards, || format!("{life} does not forward both ways: {before:?}, {:?}", sent()));
    portlane
}

/// A way from client to server through the line's namespace that the kernel forwards by, if nobody takes its packets.
struct KernelRoute<'a>(&'a Bench);

impl<'a> KernelRoute<'a> {
    fn new(bench: &'a Bench) -> Self {
        bench.line.set("ipv4/ip_forward", "1").unwrap();
        for (side, host, own, other) in
            [(SIDES[0], &bench.client, "10.78", "10.79"), (SIDES[1], &bench.server, "10.79", "10.78")]
        {
            let ip = |namespace: &Namespace, words: &str| {
                namespace.command("ip", &words.split(' ').collect::<Vec<_>>()).unwrap()
            };
            ip(&bench.line, &format!("address add {own}.0.1/24 dev {side}"));
            ip(host, &format!("address add {own}.0.2/24 dev eth0"));
            ip(host, &format!("route add {other}.0.0/24 via {own}.0.1"));
            // What portlane carries to the other side is not to be taken for an answer.
            let address = |namespace: &Namespace, link: &str| {
                let said = ip(namespace, &format!("-oneline link show {link}"));
                said.split(' ').skip_while(|word| *word != "link/ether").nth(1).unwrap().to_owned()
            };
            let (here, there) = (address(&bench.line, side), address(host, "eth0"));
            ip(host, &format!("neighbour replace {own}.0.1 lladdr {here} dev eth0 nud permanent"));
            ip(&bench.line, &format!("neighbour replace {own}.0.2 lladdr {there} dev {side} nud permanent"));
        }
        Self(bench)
    }

    fn assert_forwards(&self) {
        let said = self.0.client.command("ping", &["-c", "1", "-W", "5", "10.79.0.2"]).unwrap();
        assert!(said.contains(" 0% packet loss"), "{said}");
    }
}
