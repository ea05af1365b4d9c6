//! Limits that are only watched, over veth: all that comes leaves, and what would have been is told.

use std::thread;
use std::time::Duration;

use portlane_classify::Direction;
use portlane_stats::counters::DropReason;
use portlane_stats::lane::{LaneMode, LaneReport};

use crate::bench::{Bench, CLIENT, FREE, SERVER, SLOW};
use crate::reloads::Reloading;
use crate::traffic::{Flood, payload, transfer};

/// A container that is flooded, and one for transfers.
fn config(mode: &str) -> String {
    let slow =
        "id = \"slow\"\nports = [\"8000-8099\"]\ningress = { rate = \"2mbit\" }\negress = { rate = \"2mbit\" }\n";
    let free = "id = \"free\"\nports = [\"7000-7099\"]\n";
    format!("{mode}[[container]]\n{slow}queue = {{ kind = \"codel\", limit = 60 }}\n[[container]]\n{free}")
}

const OBSERVE: &str = "mode = \"observe\"\n";

fn would_drop(lane: &LaneReport, reason: DropReason) -> u64 {
    lane.would.as_ref().unwrap().drops[&reason]
}

pub(crate) fn all_leaves() {
    let bench = Bench::new();
    let _portlane = bench.start(&config(OBSERVE));
    bench.ping();
    let payload = payload(5_000_000);
    let took = transfer(&bench, SLOW, Direction::Egress, &payload);
    assert!(took < Duration::from_secs(10), "at 2 mbit it would have taken 20 s: {took:?}");
    let flood = Flood::start(&bench.client, (SERVER, SLOW), 500, 3);
    thread::sleep(Duration::from_millis(1_000));
    drop(flood);
    let (snapshot, kernel) = bench.settled_books();
    let totals = &snapshot.totals;
    assert_eq!((totals.received, totals.sent), (kernel.received, kernel.sent));
    assert_eq!(totals.dropped, totals.missed, "nothing is dropped: {totals:?}");
    let slow = &snapshot.containers[0];
    for lane in [&slow.ingress, &slow.egress] {
        assert_eq!((lane.mode, lane.sent_packets), (LaneMode::Observe, lane.offered_packets));
        assert!(lane.would.as_ref().unwrap().delayed_packets > 20, "{lane:?}");
    }
    assert!(would_drop(&slow.ingress, DropReason::Limit) > 100 && would_drop(&slow.ingress, DropReason::Codel) > 0);
    let rate = slow.ingress.shaped().bytes * 8;
    assert!(rate < slow.ingress.sent().bytes * 8 / 2, "tc's forms show what a qdisc would have sent: {slow:?}");
}

/// From one mode to the other and back, under traffic: nothing is lost but what limits drop while they hold.
pub(crate) fn reloads() {
    const RELOADS: usize = 60;
    let bench = Bench::new();
    let modes = [OBSERVE, ""];
    let reloading = Reloading::new(bench.start(&config(OBSERVE)));
    bench.ping();
    let floods = [
        Flood::start(&bench.client, (SERVER, SLOW), 500, 1),
        Flood::start(&bench.client, (SERVER, FREE), 500, 1),
        Flood::start(&bench.server, (CLIENT, FREE), 500, 1),
    ];
    let mut modes_seen = [0; 2];
    for round in 1..=RELOADS {
        reloading.reload(&bench, &config(modes[round % 2]));
        thread::sleep(Duration::from_millis(20));
        let snapshot = bench.stats();
        let mode = snapshot.containers[0].ingress.mode;
        assert_eq!(mode == LaneMode::Observe, round % 2 == 0);
        assert_eq!(snapshot.unmatched.egress.mode, mode, "what nobody owns has the mode of all");
        modes_seen[round % 2] += 1;
        let free = &snapshot.containers[1];
        assert_eq!((free.ingress.dropped().packets, free.egress.dropped().packets), (0, 0));
    }
    assert_eq!(modes_seen, [RELOADS / 2; 2]);
    drop(floods);
    let said = reloading.portlane().stderr();
    assert!(said.contains("containers: 0 added, 2 changed, 0 removed"), "{said}");
    let (snapshot, kernel) = bench.settled_books();
    let totals = &snapshot.totals;
    assert_eq!((totals.received, totals.sent), (kernel.received, kernel.sent));
    assert_eq!(totals.received, totals.sent + totals.dropped);
    assert_eq!(totals.unsent, 0);
}

/// One container is watched, and the other one's limit holds.
pub(crate) fn one_of_two() {
    let bench = Bench::new();
    let limited = "ingress = { rate = \"2mbit\" }\n";
    let watched = format!("[[container]]\nid = \"slow\"\nmode = \"observe\"\nports = [\"8000-8099\"]\n{limited}");
    let held = format!("[[container]]\nid = \"free\"\nports = [\"7000-7099\"]\n{limited}");
    let _portlane = bench.start(&format!("{watched}{held}"));
    bench.ping();
    let floods = [SLOW, FREE].map(|port| Flood::start(&bench.client, (SERVER, port), 500, 2));
    thread::sleep(Duration::from_millis(1_500));
    drop(floods);
    let (snapshot, _) = bench.settled_books();
    let [watched, held] = [0, 1].map(|container| &snapshot.containers[container].ingress);
    assert_eq!((watched.sent_packets, watched.dropped().packets), (watched.offered_packets, 0));
    assert!(held.dropped().packets > 0 && held.would.is_none(), "{held:?}");
    let would = watched.would.as_ref().unwrap().drops.values().sum::<u64>();
    assert!(would > 0, "{watched:?}");
}
