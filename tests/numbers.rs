//! What is written about numbers holds: every metric is documented, and the dashboard asks for none that does not exist.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use portlane_stats::flows::{ContainerFlows, FlowsReport, StoreReport};
use portlane_stats::render::prometheus::{Options, render};
use portlane_stats::snapshot::Snapshot;
use serde_json::Value;

/// A replay's report.
fn replayed() -> Snapshot {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portlane"));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    let replay = ["replay", "tests/data/mixed.pcapng", "--config", "examples/replay.toml", "--format", "json"];
    let output = command.args(replay).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The families that there are, with those that only a live run has.
fn families() -> BTreeSet<String> {
    let mut snapshot = replayed();
    snapshot.devices.ingress = "veth-web".to_owned();
    let containers = vec![ContainerFlows { id: "web".to_owned(), ..ContainerFlows::default() }];
    snapshot.flows = Some(FlowsReport { store: Some(StoreReport::default()), containers, ..FlowsReport::default() });
    let of = |names: [&str; 2]| names.map(|name| (name.to_owned(), 1)).into();
    let sources = [
        ("wire", ["Wire_UnansweredSyns", "Wire_Untracked"]),
        ("proc", ["rtt_p50_microseconds", "rtt_p90_microseconds"]),
    ];
    let sources = sources.map(|(source, names)| (source.to_owned(), of(names)));
    snapshot.netstat.insert("web".to_owned(), sources.into());
    let text = render(&snapshot, Options { cadvisor: true, ..Options::default() });
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    families.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Words that look like names of metrics.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| ["portlane_", "node_qdisc_", "container_network_"].iter().any(|begin| word.starts_with(begin)))
        .collect()
}

#[test]
fn every_metric_is_documented_and_no_other() {
    let page = read("docs/numbers.md");
    let named = |direction: &str| page.replace("_D_", &format!("_{direction}_"));
    let both = named("ingress") + &named("egress");
    let documented: BTreeSet<_> =
        names(&both).into_iter().filter(|name| !name.ends_with('_')).map(str::to_owned).collect();
    let families = families();
    assert!(families.len() > 80, "{families:?}");
    let missing: Vec<_> = families.difference(&documented).collect();
    let unknown: Vec<_> = documented.difference(&families).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "not documented: {missing:?}; not there: {unknown:?}");
}

#[test]
fn the_dashboard_asks_for_what_there_is() {
    let dashboard: Value = serde_json::from_str(&read("dist/grafana.json")).unwrap();
    let families = families();
    let panels = dashboard["panels"].as_array().unwrap();
    let asked: Vec<_> = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap()).collect();
    assert!(asked.len() > 15);
    for target in asked {
        let question = target["expr"].as_str().unwrap().replace("${direction}", "egress");
        let names = names(&question);
        assert!(!names.is_empty(), "{question}");
        for name in names {
            let family = name.strip_suffix("_bucket").unwrap_or(name);
            assert!(families.contains(family), "{name} in {question}");
        }
    }
}
