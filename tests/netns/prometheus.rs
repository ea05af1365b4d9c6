//! A real Prometheus reads a running portlane, and its own checker the metrics.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use portlane_stats::snapshot::Snapshot;
use serde_json::Value;

use crate::bench::{Bench, FREE_CONTAINER};
use crate::control::{get, request_of};
use crate::portlane::{Portlane, eventually};

/// Where Prometheus listens, in the line's namespace.
const PORT: u16 = 9_090;

pub(crate) fn scrapes() {
    let bench = Bench::new();
    let _portlane = bench.start(FREE_CONTAINER);
    bench.ping();
    for path in ["/metrics", "/metrics?cadvisor=true"] {
        check_metrics(&get(&bench.line, path).1);
    }
    let config = "scrape_configs:\n- job_name: portlane\n  scrape_interval: 1s\n  params: { cadvisor: ['true'] }\n  \
                  static_configs:\n  - targets: ['127.0.0.1:9660']\n";
    let (config, data) = (bench.write("prometheus.yml", config), bench.path("prometheus"));
    let prometheus = start(&bench, &config, &data);
    // The kernels may ask for each other's addresses again meanwhile.
    let agree = |question: &str, said: fn(&Snapshot) -> u64| {
        let same = || query(&bench, question) == Some(said(&bench.stats()).to_string());
        eventually(same, || format!("{question} is {:?}\n{}", query(&bench, question), prometheus.stderr()));
    };
    assert!(bench.stats().totals.sent >= 8, "three pings and ARP, there and back");
    agree("portlane_sent_packets_total", |of| of.totals.sent);
    agree("portlane_egress_sent_packets_total%7Bcontainer=%22unmatched%22%7D", |of| of.unmatched.egress.sent_packets);
    agree("portlane_ingress_sojourn_seconds_count%7Bcontainer=%22unmatched%22%7D", |of| {
        of.unmatched.ingress.sent_packets
    });
    agree("sum(node_qdisc_packets_total%7Bparent=%22root%22,handle=%221:%22%7D)", |of| of.totals.sent);
    agree("container_network_receive_bytes_total%7Bcontainer=%22free%22%7D", |_| 0);
    agree("count(portlane_interface_info)", |of| of.mode.len() as u64);
    agree("up", |_| 1);
}

fn start(bench: &Bench, config: &Path, data: &Path) -> Portlane {
    let options = [
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", data.display()),
        format!("--web.listen-address=127.0.0.1:{PORT}"),
    ];
    let words: Vec<_> = ["prometheus"].into_iter().chain(options.iter().map(String::as_str)).collect();
    Portlane::command(&bench.line, &words)
}

/// The value of the only series that a query finds.
fn query(bench: &Bench, question: &str) -> Option<String> {
    let (status, body) = request_of(&bench.line, PORT, "GET", &format!("/api/v1/query?query={question}")).ok()?;
    // While it starts it says 503; later the answer is JSON, perhaps in one chunk.
    let json = body.get(body.find('{')?..=body.rfind('}')?)?;
    let answer: Value = serde_json::from_str(json).ok().filter(|_| status == 200)?;
    let found = answer["data"]["result"].as_array()?;
    assert!(found.len() <= 1, "{question}: {answer}");
    found.first()?["value"][1].as_str().map(str::to_owned)
}

fn check_metrics(text: &str) {
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = promtool.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
