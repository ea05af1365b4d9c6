//! Interfaces of several queues, and a worker for each.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use portlane_stats::lane::LaneReport;
use portlane_stats::snapshot::Snapshot;

use crate::bench::{Bench, CLIENT, FREE, FREE_CONTAINER, SERVER, SIDES, SLOW, WIRE};
use crate::busy::assert_in_time;
use crate::portlane::{Portlane, eventually};
use crate::reloads::Reloading;
use crate::service::keeps_no_privileges;
use crate::traffic::{Echo, Flood, udp};

/// Which queue a flow comes by is the sender's choice: of so many, some come by either.
const FLOWS: u16 = 16;

const SLOW_CONTAINER: &str = "[[container]]\nid = \"slow\"\nports = [\"8000-8099\"]\n";

/// Floods that come by both queues.
fn floods(bench: &Bench, port: u16, len: usize, per_ms: u32) -> Vec<Flood> {
    (0..FLOWS).map(|_| Flood::start(&bench.client, (SERVER, port), len, per_ms)).collect()
}

/// Both workers have received something.
fn assert_both_at_work(snapshot: &Snapshot) {
    assert_eq!(snapshot.workers.len(), 2, "{:?}", snapshot.workers);
    for worker in &snapshot.workers {
        let batches = |queue: &String| snapshot.sockets[queue].batches.iter().sum::<u64>();
        assert!(worker.queues.iter().map(batches).sum::<u64>() > 0, "{worker:?}: {:?}", snapshot.sockets);
    }
}

/// Half as much again as the container may have, by both queues. In no window does it get more than its limit; in one it gets
/// no less: in others the machine may have had other things to do.
pub(crate) fn limited_in_total() {
    const BITS_PER_S: u64 = 100_000_000;
    const WINDOWS: usize = 8;
    let bench = Bench::with_queues(2);
    // As much as may come on top in half a percent of a window: it makes good for a worker that was off its core so long.
    let limit = "ingress = { rate = \"100mbit\", burst = \"240kb\" }\nqueue = { kind = \"codel\" }\n";
    let _portlane = bench.start(&format!("{FREE_CONTAINER}{SLOW_CONTAINER}{limit}"));
    bench.ping();
    let _sink = udp(&bench.server, SERVER, SLOW, Duration::from_secs(1));
    let _floods = floods(&bench, SLOW, 1_400, 1);
    let lane = |snapshot: &Snapshot| snapshot.containers[1].ingress.clone();
    let drops = |lane: &LaneReport| lane.dropped().packets;
    eventually(|| drops(&lane(&bench.stats())) > 1_000, || format!("too little comes: {:?}", lane(&bench.stats())));
    let rates = (0..WINDOWS).map(|_| {
        let before = bench.stats();
        std::thread::sleep(Duration::from_secs(4));
        let after = bench.stats();
        let (bytes, time) = (lane(&after).sent_bytes - lane(&before).sent_bytes, after.time_ns - before.time_ns);
        let rate = u64::try_from(u128::from(bytes) * 8_000_000_000 / u128::from(time)).unwrap();
        println!("limited to {BITS_PER_S} bit/s on two queues: {rate}");
        assert!(rate <= BITS_PER_S + BITS_PER_S / 200, "{rate} bit/s");
        rate
    });
    let gets_all = rates.into_iter().any(|rate| rate >= BITS_PER_S - BITS_PER_S / 200);
    assert_in_time(gets_all, || "it never gets what it may have".to_owned());
    let snapshot = bench.stats();
    assert_both_at_work(&snapshot);
    let handed_over: u64 = snapshot.workers.iter().map(|worker| worker.handed_over).sum();
    assert!(handed_over > 1_000, "{:?}", snapshot.workers);
}

/// A container of either worker, with as much as the machine gives.
pub(crate) fn nobody_starves() {
    let bench = Bench::with_queues(2);
    let _portlane = bench.start(&format!("{FREE_CONTAINER}{SLOW_CONTAINER}"));
    bench.ping();
    let _sinks = [FREE, SLOW].map(|port| udp(&bench.server, SERVER, port, Duration::from_secs(1)));
    let floods = [FREE, SLOW].map(|port| floods(&bench, port, 500, 1));
    std::thread::sleep(Duration::from_secs(2));
    drop(floods);
    let (snapshot, kernel) = bench.settled_books();
    assert_both_at_work(&snapshot);
    let totals = &snapshot.totals;
    assert_eq!((totals.received - totals.missed, totals.sent), (kernel.received - totals.missed, kernel.sent));
    assert_eq!(totals.dropped, totals.missed + totals.handoff, "{totals:?}");
    let sent = [0, 1].map(|container| snapshot.containers[container].ingress.sent_packets);
    assert_in_time(sent[0].min(sent[1]) * 2 > sent[0].max(sent[1]), || format!("{sent:?}"));
    let owned: Vec<_> = snapshot.workers.iter().map(|worker| worker.containers).collect();
    assert_eq!(owned, [1, 1]);
}

/// Whoever sleeps is woken when something is handed over.
pub(crate) fn sleepers_are_woken() {
    let bench = Bench::with_queues(2);
    let _portlane = bench.start(FREE_CONTAINER);
    bench.ping();
    let echoes: Vec<_> = (0..FLOWS).map(|flow| Echo::new(&bench, FREE + flow)).collect();
    for echo in echoes.iter().cycle().take(100) {
        std::thread::sleep(Duration::from_millis(5));
        echo.ask(b"are you awake?");
    }
    let snapshot = bench.stats();
    let woken: u64 = snapshot.workers.iter().map(|worker| worker.woken_by_worker).sum();
    assert!(woken >= 20, "{:?}", snapshot.workers);
}

/// Containers come, go and change groups, the link gets a rate and loses it: lanes change their owners too.
fn config(round: usize) -> String {
    let link = if round % 4 == 3 { "[link]\nrate = \"10gbit\"\nburst = \"2mb\"\n" } else { "" };
    let group = |member: usize| if (round + member).is_multiple_of(3) { "group = \"tenant\"\n" } else { "" };
    let others = (0..round % 5).map(|number| {
        let (port, rate, group) = (8_100 + number, 1 + round % 9, group(number));
        format!(
            "[[container]]\nid = \"other{number}\"\nports = [\"{port}\"]\n{group}egress = {{ rate = \"{rate}mbit\" }}\n"
        )
    });
    let [free, slow] =
        [(FREE_CONTAINER, group(0)), (SLOW_CONTAINER, group(1))].map(|(one, group)| one.to_owned() + group);
    let groups = "[[group]]\nid = \"tenant\"\ningress = { rate = \"5gbit\", burst = \"1mb\" }\n";
    format!("{link}{groups}{free}{}{slow}", others.collect::<String>())
}

/// Every packet that reaches the interfaces leaves them, or is counted as dropped.
pub(crate) fn reloads_under_load() {
    const RELOADS: usize = 40;
    let bench = Bench::with_queues(2);
    let reloading = Reloading::new(bench.start(&config(0)));
    bench.ping();
    let _sinks = [FREE, SLOW].map(|port| udp(&bench.server, SERVER, port, Duration::from_secs(1)));
    let there = [FREE, SLOW].map(|port| floods(&bench, port, 300, 1));
    let back: Vec<_> = (0..4).map(|_| Flood::start(&bench.server, (CLIENT, FREE), 300, 1)).collect();
    for round in 1..=RELOADS {
        reloading.reload(&bench, &config(round));
        if round % 5 == 0 {
            bench.stats();
        }
    }
    drop((there, back));
    let (snapshot, kernel) = bench.settled_books();
    assert_both_at_work(&snapshot);
    let totals = &snapshot.totals;
    assert_eq!((totals.received, totals.sent), (kernel.received, kernel.sent));
    assert_eq!((totals.dropped, totals.unsent), (totals.missed + totals.handoff, 0), "{totals:?}");
    let last = snapshot.containers.len() - 1;
    for container in [&snapshot.containers[0], &snapshot.containers[last]] {
        assert!(container.ingress.offered_packets > 1_000, "{container:?}");
    }
    assert_eq!(reloading.portlane().stderr().matches("configuration reloaded: ").count(), RELOADS);
    reloading.portlane().signal(Signal::SIGTERM);
    assert_eq!(reloading.ended().code, Some(0));
    bench.assert_untouched();
}

/// Workers as asked for: they have their cores and queues, send all that waits before the end, and keep no privileges.
pub(crate) fn as_configured() {
    const WAITING: usize = 50;
    let bench = Bench::with_queues(2);
    let workers = "[[worker]]\ncore = 1\nqueues = [\"network:1\", \"container:1\"]\n\
                   [[worker]]\ncore = 0\nqueues = [\"network:0\", \"container:0\"]\n";
    let slow = "[[container]]\nid = \"slow\"\nports = [\"8000\"]\ningress = { rate = \"400kbit\", burst = \"1600b\" }\n\
                queue = { kind = \"fifo\" }\n";
    let portlane = bench.start(&format!("drain = \"10s\"\n{FREE_CONTAINER}{slow}{workers}"));
    bench.ping();
    assert!(portlane.stdout().contains("workers on cores 1, 0; "), "{}", portlane.stdout());
    let sink = udp(&bench.server, SERVER, SLOW, Duration::from_millis(500));
    for _ in 0..WAITING {
        let client = udp(&bench.client, CLIENT, 0, Duration::from_secs(1));
        assert_eq!(client.send_to(&[7; 958], (SERVER, SLOW)).unwrap(), 958);
    }
    eventually(|| bench.stats().containers[1].ingress.offered_packets == WAITING as u64, || "not taken".to_owned());
    let snapshot = bench.stats();
    assert_both_at_work(&snapshot);
    let cores: Vec<_> = snapshot.workers.iter().map(|worker| worker.core).collect();
    assert_eq!(cores, [Some(1), Some(0)]);
    assert_eq!(snapshot.workers[0].queues, ["network:1", "container:1"]);
    let threads = fs::read_dir(format!("/proc/{}/task", portlane.id())).unwrap();
    let statuses = threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("status")).unwrap());
    let statuses: Vec<_> = statuses.collect();
    keeps_no_privileges(&portlane, statuses.len());
    for core in 0..2 {
        let pinned = format!("Cpus_allowed_list:\t{core}\n");
        assert_eq!(statuses.iter().filter(|status| status.contains(&pinned)).count(), 1, "core {core}: {statuses:?}");
    }
    portlane.signal(Signal::SIGTERM);
    let ended = portlane.ended();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    assert!(ended.stdout.contains("+ dropped 0 + queued 0 packets"), "{}", ended.stdout);
    bench.assert_untouched();
    assert_eq!(std::iter::from_fn(|| sink.recv(&mut [0; 1_024]).ok()).count(), WAITING);
}

/// An interface is spoken of once, however many queues and workers it has; and the end of one worker is the end of all.
pub(crate) fn outage() {
    let bench = Bench::with_queues(2);
    let set = |side: &str, state: &str| drop(bench.line.command("ip", &["link", "set", side, state]).unwrap());
    let portlane = bench.start(FREE_CONTAINER);
    bench.ping();
    for (state, said) in [("down", "is down: waiting until it is up"), ("up", "is up again")] {
        set(SIDES[1], state);
        let said = format!("interface {} {said}\n", SIDES[1]);
        eventually(|| portlane.stderr().contains(&said), || format!("not noticed: {}", portlane.stderr()));
    }
    (0..FLOWS).for_each(|flow| Echo::new(&bench, FREE + flow).ask(b"are you there again?"));
    assert_eq!(portlane.stderr().lines().count(), 2, "{}", portlane.stderr());
    bench.settled_books();
    portlane.signal(Signal::SIGTERM);
    assert_eq!(portlane.ended().code, Some(0));

    let portlane = bench.start(&format!("interface_down = \"end\"\n{FREE_CONTAINER}"));
    bench.ping();
    set(SIDES[0], "down");
    let ended = portlane.ended();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.ends_with("interface network is down: start again when it is up\n"), "{}", ended.stderr);
    bench.assert_untouched();
}

/// The service manager hears of workers that all take turns.
pub(crate) fn watched() {
    let bench = Bench::with_queues(2);
    let path = bench.path("notify.sock");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let socket = format!("NOTIFY_SOCKET={}", path.display());
    let portlane =
        Portlane::launch(&bench.line, &["env", &socket, "WATCHDOG_USEC=300000"], &bench.config(FREE_CONTAINER));
    for state in ["READY=1\n", "WATCHDOG=1\n", "WATCHDOG=1\n"] {
        let mut buffer = [0; 512];
        let len = manager.recv(&mut buffer).unwrap();
        assert_eq!(String::from_utf8_lossy(&buffer[..len]), state);
    }
    portlane.signal(Signal::SIGTERM);
    assert_eq!(portlane.ended().code, Some(0));
}

/// What cannot be had is refused by name, and nothing is touched.
pub(crate) fn refused() {
    let bench = Bench::with_queues(2);
    let worker = |core: u32, queues: &str| format!("[[worker]]\ncore = {core}\nqueues = {queues}\n");
    let refused = |wrapper: &[&str], workers: &str, words: &[&str]| {
        let config = bench.config(&format!("{FREE_CONTAINER}{workers}"));
        Portlane::launch(&bench.line, wrapper, &config).ended().assert_refused(words);
        bench.assert_untouched();
    };
    let all = "[\"network:0\", \"network:1\", \"container:0\", \"container:1\"]";
    refused(
        &[],
        &worker(1_023, all),
        &["there is no core 1023: this machine has ", "name one of those in [[worker]] core"],
    );
    refused(
        &["taskset", "--cpu-list", "0"],
        &worker(1, all),
        &["core 1 is not among those that portlane may run on (0)", "taskset"],
    );
    refused(
        &[],
        &worker(1, "[\"network:0\", \"network:1\", \"network:2\", \"container:0\", \"container:1\"]"),
        &["interface network has no queue 2: it receives on 2, counted from 0"],
    );
    refused(
        &[],
        &worker(1, "[\"network:0\", \"network:1\", \"container:0\"]"),
        &[
            "queue 1 of interface container is served by no worker: add \"container:1\" to the queues of a [[worker]]",
            "`ethtool -L container rx 1`",
        ],
    );
    // Another configuration cannot have others while it runs.
    let started = worker(1, all);
    let reloading = Reloading::new(bench.start(&format!("{FREE_CONTAINER}{started}")));
    reloading.reload(&bench, &format!("{FREE_CONTAINER}{}", worker(0, all)));
    let said = reloading.portlane().stderr();
    assert!(said.contains("[[worker]] cannot change while portlane runs"), "{said}");
    bench.ping();
}

/// One worker where there is one core; the interfaces' queues are all its own.
pub(crate) fn one_core() {
    let bench = Bench::with_queues(2);
    let config: &Path =
        &bench.write("one.toml", &format!("{FREE_CONTAINER}{WIRE}[control]\nsocket = {:?}\n", bench.socket()));
    let portlane = Portlane::launch(&bench.line, &["taskset", "--cpu-list", "1"], config);
    portlane.wait_until_open();
    (0..FLOWS).for_each(|flow| Echo::new(&bench, FREE + flow).ask(b"by some queue"));
    let snapshot = bench.stats();
    let [worker] = &snapshot.workers[..] else { panic!("{:?}", snapshot.workers) };
    assert_eq!(worker.queues, ["network:0", "network:1", "container:0", "container:1"]);
    let received = |queue: &str| snapshot.sockets[queue].batches.iter().sum::<u64>();
    assert!(received("network:0") > 0 && received("network:1") > 0, "{:?}", snapshot.sockets);
    assert_eq!((worker.handed_over, worker.core), (0, Some(1)));
}
