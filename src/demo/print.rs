//! What the demo prints.

use portlane_stats::lane::{LaneReport, LimitReport};
use portlane_stats::render::units;
use portlane_stats::snapshot::ContainerReport;
use serde_json::{Value, json};

use super::round::Measured;

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
    let milliseconds = |ns: u64| format!("{}.{:02}ms", ns / 1_000_000, ns / 10_000 % 100);
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
