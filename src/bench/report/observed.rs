//! What the benchmark prints of flows that are observed.

use std::fmt::{self, Write as _};

use serde_json::json;

use super::{described, hundredths, mpps, write_times, write_warning};
use crate::bench::{Observed, Times};

/// One JSON object; `ns_per_packet` and `mpps` are of the line whose flows are observed.
#[must_use]
pub fn json_observed(measured: &Observed) -> String {
    let Observed { options, off, on, cost, observer, .. } = measured;
    let kind = |times: &Times| json!({ "ns_per_packet": hundredths(times.lowest()), "ns_per_packet_median": hundredths(times.median()) });
    let object = json!({
        "containers": options.containers,
        "packets": measured.packets,
        "rounds": measured.rounds,
        "size": options.size,
        "protocol": options.protocol(),
        "flows": options.flows(),
        "frames": options.frames(),
        "workers": 1,
        "load": options.load.as_str(),
        "ns_per_packet": hundredths(on.lowest()),
        "ns_per_packet_median": hundredths(on.median()),
        "mpps": hundredths(mpps(on)),
        "off": kind(off),
        "on": kind(on),
        "cost_ns_per_packet": hundredths(on.lowest() - off.lowest()),
        "cost_ns_per_packet_median": hundredths(cost.median()),
        "observer": kind(observer),
        "observer_mpps": hundredths(mpps(observer)),
        "observer_seconds": observer.len(),
        "edges": measured.edges,
        "live_flows": measured.live,
        "shown": measured.shown,
        "missing": measured.missing,
    });
    format!("{object:#}\n")
}

/// A page for people.
#[must_use]
pub fn text_observed(measured: &Observed) -> String {
    let mut text = String::new();
    write(&mut text, measured).expect("a text takes any text");
    text
}

fn write(out: &mut String, measured: &Observed) -> fmt::Result {
    let Observed { options, off, on, cost, observer, .. } = measured;
    writeln!(out, "containers  {}", options.containers)?;
    let (size, protocol, flows) = (options.size, options.protocol(), options.flows());
    writeln!(out, "packets     {size} bytes, {flows} flows of {protocol}, load {}", described(options.load))?;
    let (rounds, packets) = (measured.rounds, measured.packets);
    writeln!(out, "\nns a packet   lowest  median highest   ({rounds} rounds of {packets} each)")?;
    write_times(out, "off", off, "the line, flows not observed")?;
    write_times(out, "on", on, "the line, which shows the beginnings of frames")?;
    let lowest = on.lowest() - off.lowest();
    writeln!(out, "{:<12}  {lowest:>6.1}  {:>6.1}            between neighbours in time", "cost", cost.median())?;
    let seconds = observer.len();
    let remark =
        format!("{:.2} Mpps on a core of its own, of {seconds} virtual seconds with their rows", mpps(observer));
    write_times(out, "observer", observer, &remark)?;
    let Observed { shown, missing, live, edges, .. } = measured;
    writeln!(
        out,
        "\nobserved      {shown} packets shown, {missing} missing; {live} flows, {edges} edges with ports a second"
    )?;
    write_warning(out)
}
