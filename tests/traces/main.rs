//! What a kernel's HTB, FQ-CoDel and TBF made of recorded arrivals, and what `portlane replay` makes of the same: packet
//! for packet. Prints a table of how far they are apart.
#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod compare;
mod recording;
mod virtual_time;

use std::process::ExitCode;
use std::sync::Mutex;

use libtest_mimic::{Arguments, Failed, Trial};
use portlane::args::Way;
use portlane_stats::render;

use crate::compare::Comparison;
use crate::recording::Recording;

/// An HTB class with FQ-CoDel, both with tc's defaults.
const FQ_CODEL: &str = "[[container]]\nid = \"all\"\nports = [\"31000-31002\"]\n\
                        ingress = { rate = \"10mbit\", burst = \"1600b\" }\nqueue = { kind = \"fq_codel\" }\n";

/// A token bucket filter. Its queue is bounded in bytes alone, like the `bfifo` that tc puts there.
const TBF: &str = "[[container]]\nid = \"all\"\nports = [\"31000-31002\"]\n\
                   ingress = { kind = \"tbf\", rate = \"10mbit\", burst = \"32kb\", limit = \"128kb\" }\n\
                   queue = { kind = \"fifo\", limit = 10_000 }\n";

/// What the kernel's `tc -s` said when all of k1 had left: what HTB, FQ-CoDel and the last flow's CoDel counted.
const TC_OF_K1: [&str; 5] = [
    " Sent 15123000 bytes 15339 pkt (dropped 3990, overlimits 15326 requeues 0) ",
    "  maxpacket 1000 drop_overlimit 0 new_flow_count 250 ecn_mark 0",
    "  new_flows_len 0 old_flows_len 1",
    " lended: 15339 borrowed: 0 giants: 0",
    "  deficit 460 count 71 lastcount 20 ldelay 101ms",
];

/// The least share of departures that are the kernel's, packet, place and time, in percent.
const LEAST_SAME_PERCENT: f64 = 99.9;

/// The most that bytes in a second, and marks, may differ, in percent.
const MOST_APART_PERCENT: f64 = 1.0;

/// The most that the median sojourn time of a flow may differ: a share, in percent, or a time, whichever is more.
const MOST_SOJOURN_PERCENT: u64 = 3;
const MOST_SOJOURN_NS: u64 = 100_000;

fn main() -> ExitCode {
    let traces = [
        Trace { name: "k1", qdisc: "htb, fq_codel", config: FQ_CODEL, text: include_str!("../data/kernel/k1.txt") },
        Trace {
            name: "k2",
            qdisc: "htb, fq_codel, ecn",
            config: FQ_CODEL,
            text: include_str!("../data/kernel/k2.txt"),
        },
        Trace { name: "k3", qdisc: "tbf", config: TBF, text: include_str!("../data/kernel/k3.txt") },
    ];
    let arguments = Arguments::from_args();
    let rows = Mutex::new(Vec::new());
    let rows: &'static Mutex<Vec<String>> = Box::leak(Box::new(rows));
    let trial = |trace: Trace| Trial::test(trace.name, move || trace.run(rows));
    let conclusion = libtest_mimic::run(&arguments, traces.map(trial).into());
    print_table(&mut rows.lock().unwrap());
    conclusion.exit_code()
}

struct Trace {
    name: &'static str,
    qdisc: &'static str,
    config: &'static str,
    text: &'static str,
}

impl Trace {
    fn run(&self, rows: &Mutex<Vec<String>>) -> Result<(), Failed> {
        let recording = Recording::parse(self.text);
        let replayed = virtual_time::replay(self.config, Way::Ingress, &recording.arrivals);
        let found = Comparison::new(&recording, &replayed.departures);
        let marked = replayed.departures.iter().filter(|packet| packet.ecn == virtual_time::CE).count();
        let counted = replayed.stats.containers[0].ingress.ecn_marks;
        assert_eq!(counted, marked as u64, "what is counted is what is on the wire");
        rows.lock().unwrap().push(self.row(&found));
        let mut failures = self.failures(&found);
        if self.name == "k1" {
            let tc = render::tc::render(&replayed.stats);
            let missing = TC_OF_K1.iter().filter(|line| !tc.lines().any(|ours| ours == **line));
            failures.extend(missing.map(|line| format!("tc does not say {line:?}")));
        }
        if failures.is_empty() { Ok(()) } else { Err(failures.join("; ").into()) }
    }

    /// What is not as close as it should be.
    fn failures(&self, found: &Comparison) -> Vec<String> {
        let mut failures = Vec::new();
        if self.name != "k3" && found.same_percent < LEAST_SAME_PERCENT {
            failures.push(format!("{:.2} % of departures are the kernel's", found.same_percent));
        }
        if found.second_percent > MOST_APART_PERCENT {
            failures.push(format!("bytes in a second differ by {:.2} %", found.second_percent));
        }
        let [ours, kernels] = found.marks;
        if ours.abs_diff(kernels) as f64 > kernels as f64 * MOST_APART_PERCENT / 100.0 {
            failures.push(format!("{ours} marks, the kernel's are {kernels}"));
        }
        for (flow, &[ours, kernels]) in found.sojourns.iter().enumerate() {
            if ours.abs_diff(kernels) > MOST_SOJOURN_NS.max(kernels * MOST_SOJOURN_PERCENT / 100) {
                failures.push(format!("median sojourn of flow {flow}: {ours} ns, the kernel's {kernels}"));
            }
        }
        failures
    }

    fn row(&self, found: &Comparison) -> String {
        let sojourns: Vec<_> =
            found.sojourns.iter().map(|[ours, kernels]| format!("{} / {}", millis(*ours), millis(*kernels))).collect();
        format!(
            "{:<5} {:<18} {:>10} {:>9.3} % {:>8.1} {:>8.1} {:>7.2} % {:>15}   {}",
            self.name,
            self.qdisc,
            found.departures,
            found.same_percent,
            micros(found.median_ns),
            micros(found.largest_ns),
            found.second_percent,
            format!("{} / {}", found.marks[0], found.marks[1]),
            sojourns.join(", ")
        )
    }
}

fn print_table(rows: &mut [String]) {
    println!(
        "{:<5} {:<18} {:>10} {:>11} {:>17} {:>9} {:>15}   median sojourn of each flow, ms",
        "trace", "kernel", "departures", "the same", "time apart, us", "bytes/s", "marks"
    );
    println!(
        "{:<5} {:<18} {:>10} {:>11} {:>8} {:>8} {:>9} {:>15}   ours / kernel's",
        "", "", "", "", "median", "largest", "apart", "ours / kernel's"
    );
    rows.sort();
    rows.iter().for_each(|row| println!("{row}"));
}

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

fn millis(nanos: u64) -> String {
    format!("{:.2}", nanos as f64 / 1e6)
}
