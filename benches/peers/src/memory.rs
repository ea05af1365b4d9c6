//! In memory: `portlane bench` beside DPDK's rte_sched, without a network.

use serde_json::Value;

use crate::command::run;
use crate::peer::{Peer, Sample, alternate};
use crate::report::{Chapter, Comparison, Wanted};
use crate::{Failure, Programs};

const ROUNDS: usize = 5;

/// Packets of one of the many rounds within a round, and how many of these rte_sched runs; `portlane bench` runs 15.
const PACKETS: &str = "300000";
const RTE_ROUNDS: &str = "15";

/// The core on which both run.
const CORE: &str = "1";

/// Bursts that wait in rte_sched all the time, where it is given some.
const STANDING: &str = "16";

const LANES: [u32; 3] = [128, 1_024, 4_096];

/// Each load, and how many times portlane should be as fast with the most lanes.
const LOADS: [(&str, f64); 2] = [("idle", 10.0), ("default", 6.0)];

pub(crate) fn chapters(programs: &Programs) -> Result<Vec<Chapter>, Failure> {
    let mut chapters = Vec::new();
    for (load, wanted) in LOADS {
        for lanes in LANES {
            chapters.push(chapter(programs, load, lanes, (lanes == 4_096).then_some(wanted))?);
        }
    }
    Ok(chapters)
}

fn chapter(programs: &Programs, load: &'static str, lanes: u32, wanted: Option<f64>) -> Result<Chapter, Failure> {
    let mut peers: Vec<Box<dyn Peer + '_>> = vec![
        Box::new(Bench { programs, load, lanes }),
        Box::new(RteSched { programs, load, lanes, standing: "0" }),
        Box::new(RteSched { programs, load, lanes, standing: STANDING }),
    ];
    let measured = alternate(ROUNDS, &mut peers)?;
    let compare =
        |peer: usize, wanted| Comparison { mine: measured[0].name.clone(), peer: measured[peer].name.clone(), wanted };
    let comparisons = vec![compare(1, wanted.map(Wanted::TimesAsFast)), compare(2, None)];
    Ok(Chapter {
        title: format!("In memory, {lanes} lanes, load `{load}`"),
        about: if lanes == LANES[0] { about(load) } else { "" },
        measured,
        comparisons,
        limits: Vec::new(),
        findings: Vec::new(),
    })
}

/// What is in the figures.
fn about(load: &str) -> &'static str {
    match load {
        "idle" => {
            "One core, 64-byte UDP packets in bursts of 64, 4 flows a lane in random order, 512 frames that go round; every \
             lane is offered a fifth of its rate. In both figures: writing each packet's ports, checking its headers, finding \
             its lane by the port, enqueue, dequeue, and taking the frame back. portlane's also has an HTB tree, FQ-CoDel, \
             counters and a sojourn histogram for each lane; rte_sched has token buckets and four queues a pipe, of which \
             each flow has one. What waits in rte_sched all the time, where that is said, are packets of nobody's need: its \
             grinders are faster with more to choose from."
        }
        _ => {
            "A quarter of the lanes is offered 1.5 times its rate, the others 0.8. rte_sched's time is that of its port, in \
             bytes sent; portlane's is virtual: both drop what exceeds the rate, whatever the machine's speed."
        }
    }
}

/// `portlane bench`.
struct Bench<'a> {
    programs: &'a Programs,
    load: &'static str,
    lanes: u32,
}

impl Peer for Bench<'_> {
    fn name(&self) -> String {
        "portlane bench".to_owned()
    }

    fn measure(&mut self) -> Result<Sample, Failure> {
        let portlane = self.programs.portlane.to_str().ok_or("a path that is not text")?;
        let lanes = self.lanes.to_string();
        let bench = ["bench", "--json", "--frames", "512", "--packets", PACKETS];
        let ours = ["--load", self.load, "--containers", &lanes];
        sample(&run("taskset", &[&["-c", CORE, portlane][..], &bench, &ours].concat())?)
    }
}

/// DPDK's hierarchical scheduler: see `rte_sched.c`.
struct RteSched<'a> {
    programs: &'a Programs,
    load: &'static str,
    lanes: u32,
    standing: &'static str,
}

impl Peer for RteSched<'_> {
    fn name(&self) -> String {
        match self.standing {
            "0" => "DPDK rte_sched".to_owned(),
            bursts => format!("DPDK rte_sched, {bursts} bursts kept waiting"),
        }
    }

    fn measure(&mut self) -> Result<Sample, Failure> {
        let lanes = self.lanes.to_string();
        let arguments = [&lanes, self.load, self.standing, RTE_ROUNDS, PACKETS];
        sample(&run(self.programs.built.join("rte_sched"), &arguments)?)
    }
}

/// What both print.
fn sample(printed: &str) -> Result<Sample, Failure> {
    let object: Value = serde_json::from_str(printed)?;
    let number = |key: &str| object[key].as_f64().ok_or_else(|| format!("no {key} in {printed}"));
    let dropped = match &object["dropped"] {
        Value::Object(reasons) => reasons.values().filter_map(Value::as_f64).fold(0.0, |sum, count| sum + count),
        _ => number("dropped")?,
    };
    let offered = number("offered")?;
    let percent = |count: f64| 100.0 * count / offered;
    let note = format!("{:.1} % sent, {:.1} % dropped", percent(number("sent")?), percent(dropped));
    Ok(Sample { ns: number("ns_per_packet")?, note })
}
