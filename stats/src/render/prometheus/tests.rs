//! Both formats hold to promlint's rules and to their own, on every sample.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use super::*;
use crate::samples;

/// The samples of a family, as they are written.
#[derive(Debug, Default)]
struct Family {
    help: String,
    kind: String,
    samples: Vec<(String, String, String)>,
}

/// Reads an exposition, strictly: families whole, one after the other, every line as it has to be.
fn read(text: &str) -> BTreeMap<String, Family> {
    let sample = Regex::new(r#"^([a-z_:]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)+)\})? ([0-9.]+)$"#).unwrap();
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines().filter(|&line| line != "# EOF") {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            current = name.to_owned();
            let begun = Family { help: help.to_owned(), ..Family::default() };
            assert!(families.insert(current.clone(), begun).is_none(), "{name} is in two places");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(name, current);
            families.get_mut(name).unwrap().kind = kind.to_owned();
        } else {
            let parts = sample.captures(line).unwrap_or_else(|| panic!("{line:?} is no sample"));
            let [name, value] = [&parts[1], &parts[3]].map(str::to_owned);
            let labels = parts.get(2).map_or(String::new(), |labels| labels.as_str().to_owned());
            assert!(name.starts_with(&current), "{name} is not of {current}");
            families.get_mut(&current).unwrap().samples.push((name, labels, value));
        }
    }
    families
}

/// A snapshot with everything in it.
fn everything() -> Snapshot {
    let mut all = samples::grouped();
    let (live, steered) = (samples::live(), samples::steered());
    all.sockets = live.sockets;
    all.workers = live.workers;
    all.steering = steered.steering;
    all.attached = steered.attached;
    all.containers[0].egress.rates = samples::followed().containers[0].egress.rates;
    all.containers[1].id = "a \"b\"\\c".to_owned();
    all
}

fn rendered(exposition: Exposition) -> String {
    render(&everything(), Options { exposition, cadvisor: true })
}

/// The words of a name that say a unit which is not a base unit, or an abbreviation of one.
const NO_UNITS: [&str; 34] = [
    "bits",
    "milliseconds",
    "microseconds",
    "nanoseconds",
    "minutes",
    "hours",
    "days",
    "weeks",
    "kilobytes",
    "megabytes",
    "gigabytes",
    "kibibytes",
    "mebibytes",
    "percent",
    "s",
    "ms",
    "us",
    "ns",
    "sec",
    "b",
    "kb",
    "mb",
    "gb",
    "tb",
    "pb",
    "m",
    "h",
    "d",
    "kib",
    "mib",
    "gib",
    "mbit",
    "kbit",
    "bps",
];

/// promlint's nine rules: help, base units, counters, reserved suffixes, no type in a name, no colons, no camel case, no
/// abbreviations of units, no duplicates.
#[test]
fn promlint_has_nothing_to_say() {
    for (name, family) in read(&rendered(Exposition::Text)) {
        assert!(!family.help.is_empty(), "{name} has no help");
        let words: Vec<_> = name.split('_').collect();
        for word in &words {
            assert!(!NO_UNITS.contains(word), "{name} is not in base units, or abbreviated: {word}");
            let types = ["counter", "gauge", "histogram", "summary", "untyped"];
            assert!(!types.contains(word), "{name} has a type in its name");
        }
        assert_eq!(family.kind == "counter", name.ends_with("_total"), "{name} is a {}", family.kind);
        assert!(!["_bucket", "_count", "_sum"].iter().any(|suffix| name.ends_with(suffix)), "{name} is reserved");
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name} has other characters");
        let known: BTreeSet<_> = family.samples.iter().map(|(name, labels, _)| (name, labels)).collect();
        assert_eq!(known.len(), family.samples.len(), "{name} has the same labels twice");
    }
}

#[test]
fn both_formats_say_the_same() {
    let (text, open) = (rendered(Exposition::Text), rendered(Exposition::OpenMetrics));
    assert!(open.ends_with("\n# EOF\n") && !text.contains("# EOF"));
    let samples =
        |text: &str| -> Vec<String> { text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect() };
    assert_eq!(samples(&text), samples(&open));
    for (name, family) in read(&open) {
        assert!(!name.ends_with("_total"), "{name}");
        let suffixes: &[_] = match family.kind.as_str() {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        for (sample, ..) in family.samples {
            assert!(suffixes.contains(&sample.strip_prefix(&name).unwrap()), "{sample}");
        }
    }
}

#[test]
fn histograms_are_cumulative_and_end_with_their_count() {
    let families = read(&rendered(Exposition::Text));
    let family = &families["portlane_egress_sojourn_seconds"];
    assert_eq!(family.kind, "histogram");
    let mut per_lane: BTreeMap<String, Vec<(String, u64)>> = BTreeMap::new();
    let le = Regex::new(r#",le="([^"]+)"$"#).unwrap();
    for (name, labels, value) in family.samples.iter().filter(|(name, ..)| name.ends_with("_bucket")) {
        let bound = le.captures(labels).unwrap_or_else(|| panic!("{name} {labels}"))[1].to_owned();
        let lane = le.replace(labels, "").into_owned();
        per_lane.entry(lane).or_default().push((bound, value.parse().unwrap()));
    }
    assert_eq!(per_lane.len(), 3);
    for (lane, buckets) in per_lane {
        assert_eq!(buckets.len(), 22);
        assert!(buckets.is_sorted_by_key(|(_, count)| *count), "{lane}");
        assert_eq!((buckets[0].0.as_str(), buckets[21].0.as_str()), ("0.000001024", "+Inf"));
        let count =
            family.samples.iter().find(|(name, labels, _)| name.ends_with("_count") && *labels == lane).unwrap();
        assert_eq!(count.2, buckets[21].1.to_string(), "{lane}");
    }
}

/// One sample, by its name and labels.
fn value(text: &str, sample: &str) -> String {
    let begin = format!("{sample} ");
    let line = text.lines().find(|line| line.starts_with(&begin)).unwrap_or_else(|| panic!("no {sample} in\n{text}"));
    line[begin.len()..].to_owned()
}

#[test]
fn figures_are_those_of_the_report() {
    let text = rendered(Exposition::Text);
    for (sample, expected) in [
        ("portlane_egress_sent_bytes_total{container=\"web\"}", "1204552"),
        ("portlane_egress_dropped_packets_total{container=\"web\",reason=\"limit\"}", "344"),
        ("portlane_egress_limit_bytes_per_second{container=\"web\"}", "625000"),
        ("portlane_egress_ceil_bytes_per_second{container=\"web\"}", "1250000"),
        ("portlane_egress_limited{container=\"web\",by=\"group\"}", "1"),
        ("portlane_egress_limited{container=\"web\",by=\"link\"}", "0"),
        ("portlane_egress_sent_packets_total{container=\"unmatched\"}", "33"),
        ("portlane_egress_sent_packets_total{container=\"a \\\"b\\\"\\\\c\"}", "150"),
        ("portlane_container_info{container=\"web\",group=\"tenant-a\"}", "1"),
        ("portlane_group_egress_sent_bytes_total{group=\"tenant-a\"}", "1360852"),
        ("portlane_link_egress_limit_bytes_per_second", "2500000"),
        ("portlane_received_packets_total", "1683"),
        ("portlane_counted_seconds", "2"),
        ("portlane_socket_rx_ring_full_total{socket=\"eth0:0\"}", "3"),
        ("portlane_worker_slept_seconds_total{worker=\"0\"}", "1.9"),
        ("portlane_interface_info{interface=\"eth0\",mode=\"zero-copy\"}", "1"),
        ("portlane_steered_frames_total{interface=\"eth0\",verdict=\"owned\"}", "90"),
        ("portlane_undelivered_frames_total{interface=\"veth-web\"}", "3"),
        ("container_network_transmit_bytes_total{container=\"web\",interface=\"veth-web\"}", "1204552"),
        ("container_network_receive_errors_total{container=\"web\",interface=\"veth-web\"}", "0"),
    ] {
        assert_eq!(value(&text, sample), expected, "{sample}");
    }
    assert!(!text.contains("portlane_egress_limit_bytes_per_second{container=\"unmatched\"} 9223"));
}

#[test]
fn qdiscs_are_as_node_exporter_names_them() {
    let text = rendered(Exposition::Text);
    let root = "device=\"eth0\",kind=\"htb\",parent=\"root\",handle=\"1:\"";
    let leaf = "device=\"eth0\",kind=\"pfifo\",parent=\"1:10\",handle=\"10:\"";
    assert_eq!(value(&text, &format!("node_qdisc_bytes_total{{{root}}}")), "1368362");
    assert_eq!(value(&text, &format!("node_qdisc_overlimits_total{{{root}}}")), "1629");
    assert_eq!(value(&text, &format!("node_qdisc_drops_total{{{leaf}}}")), "344");
    assert_eq!(value(&text, &format!("node_qdisc_current_queue_length{{{leaf}}}")), "0");
    assert_eq!(value(&text, &format!("node_qdisc_backlog{{{leaf}}}")), "0");
    let mut replayed = everything();
    replayed.devices.ingress = "replay".to_owned();
    replayed.devices.egress = "replay".to_owned();
    assert!(!render(&replayed, Options::default()).contains("node_qdisc"));
}

#[test]
fn cadvisors_series_are_there_if_asked_for() {
    assert!(!render(&everything(), Options::default()).contains("container_network"));
}

#[test]
fn a_container_that_leaves_does_not_repeat_one_that_came() {
    let mut snapshot = everything();
    snapshot.leaving.push(snapshot.containers[0].clone());
    let text = render(&snapshot, Options::default());
    assert_eq!(text.matches("portlane_egress_sent_bytes_total{container=\"web\"}").count(), 1);
    assert_eq!(value(&text, "portlane_leaving_containers"), "1");
}

#[test]
fn percentiles_of_rates_are_there_where_they_are_followed() {
    let text = rendered(Exposition::Text);
    let values = [("min", 1_000), ("p50", 2_000), ("p90", 2_800), ("p95", 2_900), ("p99", 2_980), ("max", 3_000)];
    for (statistic, value) in values {
        let name = "portlane_egress_window_rate_bytes_per_second";
        let sample = format!("\n{name}{{container=\"web\",statistic=\"{statistic}\"}} {value}\n");
        assert!(text.contains(&sample), "{sample}");
    }
    assert!(!text.contains("portlane_ingress_window_rate_bytes_per_second{"), "nothing has been followed there");
}
