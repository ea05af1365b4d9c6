//! Flow metrics: what they cost the packet line, and what one core observes, beside what others say of themselves.

use serde_json::Value;

use crate::command::run;
use crate::peer::{Measured, Sample};
use crate::report::{Chapter, Comparison, Finding, Limit};
use crate::{Failure, Programs};

const ROUNDS: usize = 3;

const OFF: &str = "portlane bench --flows-metrics: the worker, flows not observed";
const ON: &str = "portlane bench --flows-metrics: the worker, flows observed";
const OBSERVER: &str = "portlane bench --flows-metrics: the observer";

/// What a packet may cost the worker, in nanoseconds.
const COST: f64 = 15.0;

/// What it may cost the observer: 3 million packets a second.
const OBSERVED: f64 = 333.3;

/// What its makers say of DeepFlow's agent (blog of 2023-06-01): 1.28 million packets a second of a UDP flood on one core.
const ADVERTISED: &str = "DeepFlow's agent: their figure, not measured here";
const ADVERTISED_NS: f64 = 1e3 / 1.28;

pub(crate) fn chapter(programs: &Programs) -> Result<Chapter, Failure> {
    let portlane = programs.portlane.to_str().ok_or("a path that is not text")?;
    let (mut off, mut on, mut observer, mut costs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        eprint!("round {} of {ROUNDS}: {:<60}", round + 1, "portlane bench --flows-metrics");
        let printed = run(portlane, &["bench", "--flows-metrics", "--json"])?;
        let object: Value = serde_json::from_str(&printed)?;
        let number =
            |pointer: &str| object.pointer(pointer).and_then(Value::as_f64).ok_or(format!("no {pointer} in {printed}"));
        let sample = |pointer: &str, note: String| number(pointer).map(|ns| Sample { ns, note });
        off.push(sample("/off/ns_per_packet", String::new())?);
        on.push(sample("/on/ns_per_packet", String::new())?);
        let note = format!(
            "{} flows, {} of {} packets missing",
            number("/live_flows")?,
            number("/missing")?,
            number("/shown")?
        );
        observer.push(sample("/observer/ns_per_packet", note)?);
        costs.push(number("/cost_ns_per_packet_median")?);
        eprintln!("{:>10.1} ns", observer[round].ns);
    }
    costs.sort_by(f64::total_cmp);
    let cost = costs[ROUNDS / 2];
    let advertised = Sample { ns: ADVERTISED_NS, note: "1.28 million packets a second and core, as advertised".into() };
    let measured = vec![
        Measured::of(OFF, off),
        Measured::of(ON, on),
        Measured::of(OBSERVER, observer),
        Measured::of(ADVERTISED, vec![advertised; ROUNDS]),
    ];
    Ok(Chapter {
        title: "Flow metrics, 64,000 flows".to_owned(),
        about: "64-byte UDP packets of 64,000 flows in random order, load `idle`. The worker copies the beginnings of frames to \
                a ring; the observer, on another core, reads their headers, finds owners, keeps the table of flows, and makes \
                the rows of every second. The two take turns, so that nothing is lost and who waits is not timed. DeepFlow's \
                makers advertise 1.28 million packets a second of a UDP flood for their agent on one core (1 GB of memory, on \
                hardware that they do not name, with capture by AF_PACKET, which is in no figure of portlane's here): this is \
                their figure, nobody has measured it here, and the ratio is no more than that.",
        measured,
        comparisons: vec![Comparison { mine: OBSERVER.into(), peer: ADVERTISED.into(), wanted: None }],
        limits: vec![Limit { mine: OBSERVER.into(), ns: OBSERVED }],
        findings: vec![Finding {
            what: "what a packet costs the worker, between neighbours in time".to_owned(),
            asked: format!("<= {COST} ns"),
            found: format!("{cost:.1} ns"),
            reached: cost <= COST,
        }],
    })
}
