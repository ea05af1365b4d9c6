//! What the demo prints.

use std::collections::BTreeMap;

use portlane_stats::lane::{LaneReport, LimitReport};
use portlane_stats::render::units;
use portlane_stats::snapshot::{ContainerReport, Totals};
use serde_json::{Value, json};

use super::round::Measured;
use super::virtual_time::InVirtualTime;
use crate::attach::names;

/// The contract's JSON: egress figures of both rounds, and the totals of the first.
pub(super) fn json(with: &Measured, without: &Measured) -> String {
    let modes = serde_json::to_value(&with.end.mode).expect("modes are plain data");
    let object = json!({
        "containers": containers(with),
        "without_codel": containers(without),
        "totals": with.end.totals,
        "interfaces": { "received": with.kernel.0, "sent": with.kernel.1 },
        "mode": modes,
    });
    format!("{object:#}\n")
}

fn containers(round: &Measured) -> Vec<Value> {
    let measured = round.window.containers.iter().zip(&round.egress_bps);
    let one = |(container, bps): (&ContainerReport, &u64)| {
        let lane = &container.egress;
        json!({
            "id": container.id,
            "limit_bps": limit_bps(lane),
            "measured_bps": bps,
            "drops": lane.dropped().packets,
            "ecn_marks": lane.ecn_marks,
            "sojourn_ns": { "p50": lane.sojourn_ns.p50, "p99": lane.sojourn_ns.p99 },
        })
    };
    measured.map(one).collect()
}

/// `None`, null in JSON: not limited.
fn limit_bps(lane: &LaneReport) -> Option<u64> {
    match &lane.limit {
        LimitReport::None => None,
        LimitReport::Htb(htb) => Some(htb.rate_bits_per_s),
        LimitReport::Tbf(tbf) => Some(tbf.rate_bits_per_s),
    }
}

/// Both rounds as tables, and how the books balance.
pub(super) fn text(with: &Measured, without: &Measured) -> String {
    let modes: Vec<_> = with.end.mode.iter().map(|(name, mode)| format!("{name} {}", mode.as_str())).collect();
    let totals = &with.end.totals;
    format!(
        "Mode: {}\n\nWith FQ-CoDel:\n{}\nWithout (fifo, same flows):\n{}\n\
         received {} = sent {} + dropped {} + queued {}; the kernel counted {} received and {} sent at both interfaces\n",
        modes.join(", "),
        table(with),
        table(without),
        totals.received,
        totals.sent,
        totals.dropped,
        totals.queued,
        with.kernel.0,
        with.kernel.1,
    )
}

/// The rounds with attached containers.
#[derive(Debug)]
pub(super) struct HostRounds {
    /// All keep to what they may.
    pub(super) without: Measured,
    /// One floods from a foreign port.
    pub(super) flood: Measured,
    /// One fills its own queue.
    pub(super) full: Measured,
    /// Which: by its position.
    pub(super) fills: usize,
    /// They speak with the last of them, and that one with the host.
    pub(super) between: Measured,
    /// What bad neighbours change where nothing else does.
    pub(super) in_virtual_time: InVirtualTime,
}

/// Egress figures of all rounds, and their totals.
pub(super) fn host_json(rounds: &HostRounds) -> String {
    let HostRounds { without, flood, full, between, in_virtual_time, .. } = rounds;
    let modes = serde_json::to_value(&flood.end.mode).expect("modes are plain data");
    let attached = |round: &Measured| {
        let mut containers = containers(round);
        for (container, report) in containers.iter_mut().zip(&round.end.containers) {
            container["steering"] = json!(steering(round, &report.id));
        }
        containers
    };
    let object = json!({
        "containers": attached(without),
        "with_flood": attached(flood),
        "with_full_queue": attached(full),
        "between": attached(between),
        "totals": without.end.totals,
        "totals_with_flood": flood.end.totals,
        "totals_with_full_queue": full.end.totals,
        "totals_between": between.end.totals,
        "left_the_host_between": between.kernel.1,
        "in_virtual_time": in_virtual_time,
        "mode": modes,
    });
    format!("{object:#}\n")
}

/// The same as tables, with how far rates are from limits, and what the bad neighbours have changed.
pub(super) fn host_text(rounds: &HostRounds) -> String {
    let HostRounds { without, flood, full, fills, between, in_virtual_time } = rounds;
    let modes: Vec<_> = flood.end.mode.iter().map(|(name, mode)| format!("{name} {}", mode.as_str())).collect();
    let books = |round: &Measured| {
        let Totals { received, sent, dropped, queued, .. } = round.end.totals;
        format!("received {received} = sent {sent} + dropped {dropped} + queued {queued}")
    };
    format!(
        "Mode: {}\n\nWithout bad neighbours:\n{}\nWith a flood of `free` from a port of `fast`:\n{}\n{}\n\
         With `slow` sending eight times what it may, from a port of its own:\n{}\n{}\n\
         Between them, on the host's address: `fast` and `slow` with `free`, and `free` with the host itself:\n{}  \
         {} packets of it left the host\n\n\
         In virtual time: three seconds of the same packets of `fast`, 45 mbit in bursts, on a link of 75 mbit, without bad neighbours and with:\n{}\n\
         Without:    {}\nFlood:      {} (what comes from foreign ports never enters)\nFull queue: {}\n\
         Between:    {}\n\
         Nothing is left: the interfaces of the host and of the containers are as they were before.\n",
        modes.join(", "),
        table(without) + &ports(without),
        table(flood) + &ports(flood),
        changes("the flood", without, flood, None),
        table(full),
        changes("the full queue", without, full, Some(*fills)),
        table(between) + &ports(between),
        between.kernel.1,
        exactly(in_virtual_time),
        books(without),
        books(flood),
        books(full),
        books(between),
    )
}

fn exactly(got: &InVirtualTime) -> String {
    let InVirtualTime { alone, with_flood, with_full_queue } = got;
    let mut text = format!("  {:<48} {:>10} {:>9} {:>9} {:>9}\n", "neighbour", "sent", "change", "p99", "change");
    for (neighbour, got) in [
        ("none", alone),
        ("100,000 packets a second of nobody's ports", with_flood),
        ("`slow` sends eight times what it may", with_full_queue),
    ] {
        text += &format!(
            "  {neighbour:<48} {:>8}kB {:>9} {:>9} {:>9}\n",
            got.sent_bytes / 1_000,
            difference(got.sent_bytes, alone.sent_bytes),
            milliseconds(got.p99_ns),
            difference(got.p99_ns, alone.p99_ns),
        );
    }
    text
}

/// What the kernel decided about the frames that each container sent.
fn ports(round: &Measured) -> String {
    let of = |container: &ContainerReport| {
        let [owned, foreign] =
            ["owned", "foreign_port"].map(|verdict| steering(round, &container.id).get(verdict).copied().unwrap_or(0));
        format!(
            "  {:<10} sent {owned} frames from its own ports; dropped, from foreign ports: {foreign}\n",
            container.id
        )
    };
    round.end.containers.iter().map(of).collect()
}

fn steering(round: &Measured, id: &str) -> BTreeMap<String, u64> {
    round.end.steering.get(&names::container(id)).cloned().unwrap_or_default()
}

/// What limited containers got in the second round, with a bad neighbour, beside the first; but for the neighbour itself, if it
/// has a limit.
fn changes(neighbour: &str, first: &Measured, second: &Measured, but_for: Option<usize>) -> String {
    let mut text = String::new();
    for (number, (one, other)) in first.window.containers.iter().zip(&second.window.containers).enumerate() {
        let Some(limit) = limit_bps(&one.egress).filter(|_| but_for != Some(number)) else { continue };
        let [bps, then] = [first, second].map(|round| round.egress_bps[number]);
        let [p99, later] = [one, other].map(|container| container.egress.sojourn_ns.p99);
        text += &format!(
            "  {:<10} {} and {} of its limit; {neighbour} changes its rate by {}, and its p99 from {} to {}\n",
            one.id,
            difference(bps, limit),
            difference(then, limit),
            difference(then, bps),
            milliseconds(p99),
            milliseconds(later),
        );
    }
    text
}

/// By how many percent something is more than something else, as `-0.42 %`.
fn difference(one: u64, other: u64) -> String {
    let hundredths = (i128::from(one) - i128::from(other)) * 10_000 / i128::from(other.max(1));
    let sign = if hundredths < 0 { '-' } else { '+' };
    format!("{sign}{}.{:02} %", hundredths.abs() / 100, hundredths.abs() % 100)
}

fn milliseconds(ns: u64) -> String {
    format!("{}.{:02}ms", ns / 1_000_000, ns / 10_000 % 100)
}

fn table(round: &Measured) -> String {
    let mut text = format!(
        "  {:<10} {:<9} {:>9} {:>10} {:>8} {:>6} {:>9} {:>9}\n",
        "container", "direction", "limit", "measured", "drops", "marks", "p50", "p99"
    );
    for (number, container) in round.window.containers.iter().enumerate() {
        text += &row(&container.id, "egress", &container.egress, round.egress_bps[number]);
        text += &row("", "ingress", &container.ingress, round.ingress_bps[number]);
    }
    text
}

fn row(id: &str, direction: &str, lane: &LaneReport, bps: u64) -> String {
    let limit = limit_bps(lane).map_or_else(|| "none".to_owned(), units::rate);
    format!(
        "  {id:<10} {direction:<9} {limit:>9} {:>6}.{:02}M {:>8} {:>6} {:>9} {:>9}\n",
        bps / 1_000_000,
        bps / 10_000 % 100,
        lane.dropped().packets,
        lane.ecn_marks,
        milliseconds(lane.sojourn_ns.p50),
        milliseconds(lane.sojourn_ns.p99),
    )
}
