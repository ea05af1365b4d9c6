//! What a run costs while nothing happens, and what it counts.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::bench::{Bench, FREE_CONTAINER};
use crate::busy::assert_in_time;

/// Ticks of the clock that /proc counts processor time with (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor time of a process, in ticks.
fn ticks(id: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    // After the name, which may contain anything: state is the first field, utime the 12th, stime the 13th.
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().collect();
    fields[11].parse::<u32>().unwrap() + fields[12].parse::<u32>().unwrap()
}

/// The share of a core that an idle run takes.
fn idle_share(config: &str) -> f64 {
    idle_share_on(&Bench::new(), config)
}

fn idle_share_on(bench: &Bench, config: &str) -> f64 {
    let portlane = bench.start(config);
    bench.ping();
    thread::sleep(Duration::from_millis(500));
    let (before, started) = (ticks(portlane.id()), Instant::now());
    thread::sleep(Duration::from_secs(3));
    f64::from(ticks(portlane.id()) - before) / TICKS_PER_SECOND / started.elapsed().as_secs_f64()
}

pub(crate) fn adaptive() {
    let share = idle_share(FREE_CONTAINER);
    assert_in_time(share < 0.02, || format!("an idle run takes {:.1} % of a core", share * 100.0));
}

pub(crate) fn two_workers() {
    let share = idle_share_on(&Bench::with_queues(2), FREE_CONTAINER);
    assert_in_time(share < 0.04, || format!("two idle workers take {:.1} % of a core", share * 100.0));
}

pub(crate) fn busy() {
    for idle in ["busy", "busy-poll"] {
        let share = idle_share(&format!("idle = \"{idle}\"\n{FREE_CONTAINER}"));
        assert_in_time(share > 0.3, || format!("a run that is {idle} takes {:.1} % of a core", share * 100.0));
    }
}

pub(crate) fn numbers() {
    let bench = Bench::new();
    let _portlane = bench.start(FREE_CONTAINER);
    bench.ping();
    thread::sleep(Duration::from_millis(200));
    let snapshot = bench.stats();
    assert_eq!(snapshot.sockets.keys().collect::<Vec<_>>(), ["container:0", "network:0"]);
    for (name, socket) in &snapshot.sockets {
        assert_eq!((socket.rings.rx, socket.rings.tx), (0, 0), "{name}");
        assert!(socket.rings.size == 2_048 && socket.rings.fill > 2_000, "{name}: {socket:?}");
        let batches: u64 = socket.batches.iter().sum();
        assert!((1..=4).contains(&batches) && socket.kicks >= 1, "three pings and ARP, {name}: {socket:?}");
    }
    let [worker] = &snapshot.workers[..] else { panic!("{:?}", snapshot.workers) };
    assert_eq!(worker.idle, "adaptive");
    assert!(worker.turns > worker.busy_turns && (1..=16).contains(&worker.busy_turns), "{worker:?}");
    assert!(worker.sleeps >= worker.woken_by_packet && worker.woken_by_packet >= 1, "{worker:?}");
    assert!((100_000_000..snapshot.duration_ns).contains(&worker.slept_ns), "{worker:?}");
}
