//! What the benchmark prints.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use portlane_shaper::{DropReason, Nanos};
use portlane_stats::render::units;
use serde_json::json;

use super::{Load, Measured, Times, Together, Totals};

mod observed;

pub use observed::{json_observed, text_observed};

/// One JSON object: the contract's keys, and those that tell how far to trust them.
#[must_use]
pub fn json(measured: &Measured) -> String {
    let Measured { options, totals, line, .. } = measured;
    let stages: BTreeMap<_, _> = measured.stages.iter().map(|&(stage, ns)| (stage, hundredths(ns))).collect();
    let object = json!({
        "containers": options.containers,
        "packets": measured.packets,
        "rounds": measured.rounds,
        "size": options.size,
        "flows": options.flows(),
        "frames": options.frames(),
        "pool_frames": measured.pool,
        "workers": 1,
        "load": options.load.as_str(),
        "ns_per_packet": hundredths(line.lowest()),
        "ns_per_packet_median": hundredths(line.median()),
        "ns_per_packet_highest": hundredths(line.highest()),
        "mpps": hundredths(mpps(line)),
        "stages_ns": stages,
        "device_ns_per_packet": hundredths(measured.device.lowest()),
        "floor_ns_per_packet": hundredths(measured.floor.lowest()),
        "offered": totals.offered,
        "sent": totals.sent,
        "dropped": reasons(totals).collect::<BTreeMap<_, _>>(),
        "queued": totals.queued,
        "missed": measured.missed,
        "waited_percent": hundredths(waited_percent(measured)),
        "sojourn_ns": measured.sojourn.quantiles(),
    });
    format!("{object:#}\n")
}

/// One JSON object of what several workers do; `ns_per_packet` and `mpps` are of all together, on separate containers.
#[must_use]
pub fn json_together(measured: &Together) -> String {
    let Together { options, alone, separate, handed_over, gain, .. } = measured;
    let kind = |times: &Times| json!({ "ns_per_packet": hundredths(times.lowest()), "ns_per_packet_median": hundredths(times.median()) });
    let object = json!({
        "containers": options.containers,
        "packets": measured.packets,
        "rounds": measured.rounds,
        "size": options.size,
        "flows": options.flows(),
        "frames": options.frames(),
        "workers": measured.workers,
        "load": options.load.as_str(),
        "ns_per_packet": hundredths(separate.lowest()),
        "ns_per_packet_median": hundredths(separate.median()),
        "mpps": hundredths(mpps(separate)),
        "alone": kind(alone),
        "separate": kind(separate),
        "handed_over": kind(handed_over),
        "separate_gain": hundredths(gain[0]),
        "handed_over_gain": hundredths(gain[1]),
        "handoff_percent": hundredths(measured.handoff_percent),
    });
    format!("{object:#}\n")
}

/// A page of what several workers do, for people.
#[must_use]
pub fn text_together(measured: &Together) -> String {
    let mut text = String::new();
    write_together(&mut text, measured).expect("a text takes any text");
    text
}

fn write_together(out: &mut String, measured: &Together) -> fmt::Result {
    let Together { options, workers, alone, separate, handed_over, gain, .. } = measured;
    writeln!(out, "containers  {}, divided among {workers} workers, each on a core of its own", options.containers)?;
    writeln!(out, "packets     {} bytes, {} flows, load {}", options.size, options.flows(), described(options.load))?;
    writeln!(
        out,
        "\nns a packet   lowest  median highest   ({} rounds of {} each)",
        measured.rounds, measured.packets
    )?;
    let times_one = |gain: f64| format!("{gain:.2} times one alone, in the median of the rounds");
    write_times(out, "one alone", alone, "")?;
    write_times(out, "separate", separate, &times_one(gain[0]))?;
    write_times(out, "handed over", handed_over, &times_one(gain[1]))?;
    writeln!(
        out,
        "\nhandoff       {:.2} % of what was to be handed over was dropped: a worker was late",
        measured.handoff_percent
    )?;
    write_warning(out)
}

/// A page for people.
#[must_use]
pub fn text(measured: &Measured) -> String {
    let mut text = String::new();
    write(&mut text, measured).expect("a text takes any text");
    text
}

fn write(out: &mut String, measured: &Measured) -> fmt::Result {
    let Measured { options, setup, totals, .. } = measured;
    let [link, rate] = [setup.link, setup.rate].map(units::rate);
    let burst = units::size(setup.burst);
    writeln!(out, "containers  {}, each of rate {rate} and burst {burst}, under a link of {link}", options.containers)?;
    writeln!(out, "packets     {} bytes, {} flows, load {}", options.size, options.flows(), described(options.load))?;
    writeln!(out, "frames      {} in the device's ring, {} in all", options.frames(), measured.pool)?;
    writeln!(out, "\nns a packet   lowest  median highest   ({} rounds of {})", measured.rounds, measured.packets)?;
    write_times(out, "line", &measured.line, &format!("{:.1} Mpps", mpps(&measured.line)))?;
    write_times(out, "  its device", &measured.device, "the benchmark's own part: makes packets, takes them back")?;
    write_times(out, "floor", &measured.floor, "parse, look up and count in a loop that is not portlane's")?;
    let stages: Vec<_> = measured.stages.iter().map(|(stage, ns)| format!("{stage} {ns:.1}")).collect();
    writeln!(out, "\nstages        {}", stages.join(", "))?;
    writeln!(out, "              of the fastest round in which a clock was read after each")?;
    writeln!(out, "\nvirtual time  {} since all was warm, {} from turn to turn", time(measured.elapsed), setup.pace)?;
    let Totals { offered, sent, queued, .. } = totals;
    writeln!(out, "packets       {offered} offered, {sent} sent, {}; {queued} wait", dropped_in_words(totals))?;
    let sojourn = measured.sojourn.quantiles();
    let [p50, p90, p99, p999, max] =
        [sojourn.p50, sojourn.p90, sojourn.p99, sojourn.p999, sojourn.max].map(|ns| time(Nanos(ns)));
    writeln!(out, "waited        {:.2} % of those sent", waited_percent(measured))?;
    writeln!(out, "sojourn       p50 {p50}, p90 {p90}, p99 {p99}, p99.9 {p999}, longest {max}")?;
    write_warning(out)
}

fn write_warning(out: &mut String) -> fmt::Result {
    if cfg!(debug_assertions) {
        writeln!(out, "\nThis is a build with debug assertions: its times mean nothing.")?;
    }
    Ok(())
}

fn write_times(out: &mut String, name: &str, times: &Times, remark: &str) -> fmt::Result {
    let (lowest, median, highest) = (times.lowest(), times.median(), times.highest());
    writeln!(out, "{name:<12}  {lowest:>6.1}  {median:>6.1}  {highest:>6.1}   {remark}")
}

fn described(load: Load) -> &'static str {
    match load {
        Load::Idle => "idle: every lane is offered a fifth of its rate",
        Load::Default => "default: a quarter of the lanes is offered 1.5 times its rate, the others 0.8",
        Load::Overload => "overload: every lane is offered twice its rate, all together twice the link",
    }
}

fn dropped_in_words(totals: &Totals) -> String {
    let named = reasons(totals).map(|(reason, count)| format!("{reason} {count}"));
    let (sum, named) = (totals.dropped.iter().sum::<u64>(), named.collect::<Vec<_>>());
    if named.is_empty() { format!("{sum} dropped") } else { format!("{sum} dropped ({})", named.join(", ")) }
}

/// A time in three digits, microseconds at the least.
fn time(Nanos(ns): Nanos) -> String {
    units::time(ns / 1_000)
}

/// The drops by reason, without the reasons that never were.
fn reasons(totals: &Totals) -> impl Iterator<Item = (&'static str, u64)> {
    let named = DropReason::ALL.iter().zip(totals.dropped).filter(|&(_, count)| count > 0);
    named.map(|(reason, count)| (reason.as_str(), count))
}

/// Of those sent.
fn waited_percent(measured: &Measured) -> f64 {
    let sent = measured.sojourn.count();
    let waited = sent - measured.sojourn.unwaited();
    100.0 * waited as f64 / sent.max(1) as f64
}

fn mpps(line: &Times) -> f64 {
    1_000.0 / line.lowest()
}

/// As precise as it is worth.
fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
