//! SIGHUP: another configuration while packets flow.

use std::cell::Cell;
use std::fs;

use nix::sys::signal::Signal;

use crate::bench::{Bench, CLIENT, FREE, FREE_CONTAINER, SERVER, SLOW};
use crate::portlane::{Ended, Portlane, eventually};
use crate::traffic::{Echo, Flood};

/// A portlane, and how often it has been told to reload.
pub(crate) struct Reloading {
    portlane: Portlane,
    told: Cell<usize>,
}

impl Reloading {
    pub(crate) fn new(portlane: Portlane) -> Self {
        Self { portlane, told: Cell::new(0) }
    }

    pub(crate) fn portlane(&self) -> &Portlane {
        &self.portlane
    }

    pub(crate) fn ended(self) -> Ended {
        self.portlane.ended()
    }

    /// Tells it to read its configuration again, and waits until it has.
    pub(crate) fn reload(&self, bench: &Bench, config: &str) {
        bench.config(config);
        self.reload_as_written();
    }

    fn reload_as_written(&self) {
        self.portlane.signal(Signal::SIGHUP);
        self.told.set(self.told.get() + 1);
        let is_answer =
            |line: &&str| ["configuration reloaded: ", "not reloaded: "].iter().any(|word| line.starts_with(word));
        let answers = || self.portlane.stderr().lines().filter(is_answer).count();
        eventually(|| answers() == self.told.get(), || format!("no answer: {}", self.portlane.stderr()));
    }
}

/// The unlimited container, and others that come, go and change.
fn config(round: usize) -> String {
    let others = (0..round % 4).map(|number| {
        let (port, rate) = (8_000 + number, 1 + round % 9);
        format!("[[container]]\nid = \"other{number}\"\nports = [\"{port}\"]\negress = {{ rate = \"{rate}mbit\" }}\n")
    });
    let group = if round.is_multiple_of(3) { "[[group]]\nid = \"tenant\"\n" } else { "" };
    format!("[link]\nrate = \"10gbit\"\nburst = \"2mb\"\n{group}{FREE_CONTAINER}{}", others.collect::<String>())
}

/// Every packet of two floods that reaches the interfaces leaves them, or was missed by a worker that came late.
pub(crate) fn under_load() {
    const RELOADS: usize = 1_000;
    let bench = Bench::new();
    let reloading = Reloading::new(bench.start(&config(0)));
    bench.ping();
    let floods =
        [(&bench.client, SERVER), (&bench.server, CLIENT)].map(|(from, to)| Flood::start(from, (to, FREE), 500, 2));
    let mut before = 0;
    for round in 1..=RELOADS {
        reloading.reload(&bench, &config(round));
        if round % 100 == 0 {
            let lane = bench.stats().containers.remove(0).ingress;
            assert!(lane.sent_packets > before, "the counters of who stays go on: {lane:?}");
            before = lane.sent_packets;
        }
    }
    drop(floods);
    let (snapshot, kernel) = bench.settled_books();
    let (totals, free) = (&snapshot.totals, &snapshot.containers[0]);
    assert_eq!((totals.received, totals.sent), (kernel.received, kernel.sent));
    assert_eq!((totals.dropped, totals.unsent), (totals.missed, 0), "nothing was lost by reloading: {totals:?}");
    // What the server sends comes from a port that nobody owns.
    for lane in [&free.ingress, &snapshot.unmatched.egress] {
        assert!(lane.offered_packets > 1_000 && lane.sent_packets == lane.offered_packets, "{lane:?}");
    }
    assert_eq!(reloading.portlane.stderr().matches("configuration reloaded: ").count(), RELOADS);
    reloading.portlane.signal(Signal::SIGTERM);
    assert_eq!(reloading.portlane.ended().code, Some(0));
}

/// The kernel chooses by the new owners, and goes by the old ones if a reload is refused.
pub(crate) fn of_a_shared_card() {
    let bench = Bench::shared();
    let portlane = bench.start_shared(FREE_CONTAINER, "\"all\"");
    let reloading = Reloading::new(portlane);
    let containers_own = |port| Echo::new(&bench, port).ask(b"a container's");
    let hosts_own = |port| Echo::between(&bench.client, &bench.line, (SERVER, port)).ask(b"the host's");
    containers_own(FREE);
    hosts_own(SLOW);
    bench.shared_config(&format!("[[container]]\nid = \"free\"\nports = [\"{SLOW}\"]\n"), "\"all\"");
    reloading.reload_as_written();
    containers_own(SLOW);
    hosts_own(FREE);
    bench.shared_config(FREE_CONTAINER, "[0]");
    reloading.reload_as_written();
    let said = reloading.portlane.stderr();
    assert!(said.contains("[nic] cannot change while portlane runs"), "{said}");
    containers_own(SLOW);
    hosts_own(FREE);
    // Who it is that the client is, the container learns as before.
    bench.server.command("ip", &["neighbour", "flush", "all"]).unwrap();
    containers_own(SLOW);
    let (snapshot, _) = bench.settled_books();
    assert_eq!((snapshot.totals.received, snapshot.totals.unmatched), (8, 0), "{:?}", snapshot.totals);
    reloading.portlane.signal(Signal::SIGTERM);
    assert_eq!(reloading.portlane.ended().code, Some(0));
    bench.assert_untouched();
}

/// All or nothing: what cannot be followed changes nothing.
pub(crate) fn refused() {
    let bench = Bench::new();
    let limited = |rate: &str| format!("{FREE_CONTAINER}egress = {{ rate = \"{rate}\" }}\n");
    let reloading = Reloading::new(bench.start(&limited("3mbit")));
    bench.ping();
    let before = bench.stats();
    for (config, why) in [
        (limited("0mbit"), "error: "),
        (format!("{}[[container]]\nid = \"other\"\nports = [\"7050\"]\n", limited("1mbit")), "both own"),
        (
            format!("{}[http]\nlisten = \"127.0.0.1:9\"\n", limited("1mbit")),
            "[http] listen cannot change while portlane runs",
        ),
    ] {
        reloading.reload(&bench, &config);
        let said = reloading.portlane.stderr();
        assert!(said.contains(why) && said.ends_with("not reloaded: portlane goes on as before\n"), "{said}");
        let now = bench.stats();
        assert_eq!(now.containers, before.containers);
    }
    fs::remove_file(bench.path("portlane.toml")).unwrap();
    reloading.portlane.signal(Signal::SIGHUP);
    eventually(|| reloading.portlane.stderr().contains("cannot be read"), || reloading.portlane.stderr());
    reloading.told.set(reloading.told.get() + 1);
    reloading.reload(&bench, &limited("5mbit"));
    assert!(
        reloading.portlane.stderr().ends_with("configuration reloaded: containers: 0 added, 1 changed, 0 removed\n")
    );
    bench.ping();
    reloading.portlane.signal(Signal::SIGTERM);
    assert_eq!(reloading.portlane.ended().code, Some(0));
}
