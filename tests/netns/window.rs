//! Percentiles of rate over a sliding window, under traffic.

use std::thread;
use std::time::Duration;

use portlane_stats::snapshot::Snapshot;
use serde_json::Value;

use crate::bench::{Bench, SERVER, SLOW};
use crate::busy::assert_in_time;
use crate::control::get;
use crate::traffic::{Flood, udp};

/// The limited container's rate, bytes a second, and its bucket.
const LIMIT: u64 = 250_000;
const BURST: u64 = 16 << 10;

/// From one sample to the next.
const INTERVAL_MS: u64 = 100;

/// The largest packet: how much a lane may owe.
const PACKET: u64 = 1_514;

/// A container gets its limit in every sample, whatever it is offered, and what is dropped has rates too.
pub(crate) fn of_a_limited_container() {
    let bench = Bench::new();
    let container = "[[container]]\nid = \"slow\"\nports = [\"8000-8099\"]\n\
                     ingress = { rate = \"2mbit\", burst = \"16kb\" }\nqueue = { kind = \"codel\", limit = 50 }\n";
    let http = format!("[http]\nrate_window = \"2s\"\nrate_interval = \"{INTERVAL_MS}ms\"\n");
    let _portlane = bench.start(&format!("{http}{container}"));
    assert_eq!(bench.stats().containers[0].egress.rates, None, "of less than two samples there is nothing to say");
    let _sink = udp(&bench.server, SERVER, SLOW, Duration::from_secs(1));
    let flood = Flood::start(&bench.client, (SERVER, SLOW), 1_000, 3);
    // The window is full of the flood then, and the bucket long spent.
    thread::sleep(Duration::from_secs(4));
    let snapshot = bench.stats();
    let (_, metrics) = get(&bench.line, "/metrics");
    let (_, mesos) = get(&bench.line, "/monitor/statistics.json");
    assert!(flood.stop() > 0);
    is_limited(&snapshot);
    for statistic in ["min", "p50", "p90", "p95", "p99", "max"] {
        let series =
            format!("portlane_ingress_window_rate_bytes_per_second{{container=\"slow\",statistic=\"{statistic}\"}} ");
        assert!(metrics.contains(&series), "no {series}");
    }
    let mesos: Value = serde_json::from_str(&mesos).unwrap();
    let rates = &mesos[0]["statistics"]["net_rate_statistics"];
    assert_eq!(rates["sampling_window_secs"].as_f64(), Some(2.0), "{mesos}");
    assert!(rates["rx_drop_rate"]["p50"].as_u64() > Some(0), "{mesos}");
}

fn is_limited(snapshot: &Snapshot) {
    let rates = snapshot.containers[0].ingress.rates.unwrap();
    assert_eq!((rates.window_ns, rates.interval_ns), (2_000_000_000, INTERVAL_MS * 1_000_000));
    let bytes = rates.bytes_per_s;
    assert!((2..=2_000 / INTERVAL_MS).contains(&bytes.samples), "{rates:?}");
    // What may pass in an interval beyond its tokens; a busy machine makes samples longer, never shorter by more than a 16th.
    let ample = (BURST + PACKET) * 1_000 / INTERVAL_MS * 16 / 15;
    assert!(bytes.max <= LIMIT + ample, "{rates:?}");
    assert_in_time((LIMIT / 2..=LIMIT + LIMIT / 10).contains(&bytes.p50), || format!("{rates:?}"));
    assert!(bytes.min <= bytes.p50 && bytes.p50 <= bytes.p99 && bytes.p99 <= bytes.max, "{rates:?}");
    assert_in_time(rates.packets_per_s.p50 > 0 && rates.drops_per_s.p50 > 0, || format!("{rates:?}"));
}
