//! A table for people: a row for each lane, then the totals.

use super::units::{rate, time};
use crate::lane::{LaneReport, LimitReport, QueueReport};
use crate::snapshot::{Snapshot, Totals};

const HEADINGS: [&str; 14] = [
    "container",
    "direction",
    "limit",
    "rate",
    "offered",
    "sent",
    "dropped",
    "marked",
    "queued",
    "p50",
    "p99",
    "max",
    "queue",
    "drops by reason",
];

/// Columns that hold words; the others hold numbers and are aligned right.
const WORDS: [usize; 4] = [0, 1, 12, 13];

type Row = [String; HEADINGS.len()];

/// The report as a table.
#[must_use]
pub fn render(snapshot: &Snapshot) -> String {
    let mut out = heading(snapshot);
    out.push('\n');
    out.push_str(&table(&rows(snapshot)));
    out.push('\n');
    out.push_str(&totals(&snapshot.totals));
    out
}

fn heading(snapshot: &Snapshot) -> String {
    let length = time(snapshot.duration_ns / 1000);
    let [ingress, egress] = [&snapshot.devices.ingress, &snapshot.devices.egress].map(|dev| printable(dev));
    let mut line = format!("{length} counted; ingress is sent by {ingress}, egress by {egress}");
    for (dev, mode) in &snapshot.mode {
        line += &format!("; {} is in {} mode", printable(dev), mode.as_str());
    }
    line + "\n"
}

fn rows(snapshot: &Snapshot) -> Vec<Row> {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    for ((id, ingress), (_, egress)) in snapshot.ingress().zip(snapshot.egress()) {
        rows.push(row(&printable(id), "ingress", ingress));
        rows.push(row("", "egress", egress));
    }
    rows
}

fn row(id: &str, direction: &str, lane: &LaneReport) -> Row {
    let sojourn = lane.sojourn_ns;
    let waited = |ns: u64| {
        if sojourn.count > 0 { sojourn_time(ns) } else { "-".to_owned() }
    };
    [
        id.to_owned(),
        direction.to_owned(),
        limit(&lane.limit),
        measured_rate(lane.bw_limit().ratebps.saturating_mul(8)),
        lane.offered_packets.to_string(),
        lane.sent_packets.to_string(),
        lane.dropped().packets.to_string(),
        lane.ecn_marks.to_string(),
        lane.queued().packets.to_string(),
        waited(sojourn.p50),
        waited(sojourn.p99),
        waited(sojourn.max),
        queue(&lane.queue),
        reasons(lane),
    ]
}

fn limit(limit: &LimitReport) -> String {
    match limit {
        LimitReport::None => "none".to_owned(),
        LimitReport::Htb(htb) => rate(htb.rate_bits_per_s),
        LimitReport::Tbf(tbf) => rate(tbf.rate_bits_per_s),
    }
}

fn queue(queue: &QueueReport) -> String {
    match queue {
        QueueReport::Fifo { .. } => "fifo".to_owned(),
        QueueReport::Codel(codel) if codel.dropping => "codel, dropping".to_owned(),
        QueueReport::Codel(_) => "codel".to_owned(),
    }
}

fn reasons(lane: &LaneReport) -> String {
    let counted = lane.drops.iter().filter(|(_, n)| **n > 0);
    let named: Vec<_> = counted.map(|(reason, n)| format!("{} {n}", reason.as_str())).collect();
    if named.is_empty() { "-".to_owned() } else { named.join(", ") }
}

/// A rate in bits per second to three digits: a measured one, unlike a configured one, is never a round number.
fn measured_rate(bits_per_s: u64) -> String {
    let steps = [(1_000_000_000, "Gbit"), (1_000_000, "Mbit"), (1000, "Kbit")];
    let Some((step, unit)) = steps.into_iter().find(|(step, _)| bits_per_s >= *step) else {
        return format!("{bits_per_s}bit");
    };
    let hundredths = bits_per_s / (step / 100) % 100;
    match bits_per_s / step {
        whole @ 0..10 => format!("{whole}.{hundredths:02}{unit}"),
        whole @ 10..100 => format!("{whole}.{}{unit}", hundredths / 10),
        whole => format!("{whole}{unit}"),
    }
}

fn sojourn_time(ns: u64) -> String {
    if ns < 1000 { format!("{ns}ns") } else { time(ns / 1000) }
}

fn table(rows: &[Row]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; HEADINGS.len()] = std::array::from_fn(width);
    let mut out = String::new();
    for row in rows {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            if WORDS.contains(&column) { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

fn totals(totals: &Totals) -> String {
    let Totals { received, sent, dropped, queued, unmatched, .. } = totals;
    let mut out = format!(
        "received {received} = sent {sent} + dropped {dropped} + queued {queued} packets; {unmatched} unmatched\n"
    );
    for (reason, n) in &totals.malformed {
        out += &format!("malformed, {}: {n}\n", printable(reason));
    }
    if totals.unsent > 0 {
        out += &format!("unsent, the interface could not send them: {}\n", totals.unsent);
    }
    if totals.missed > 0 {
        out += &format!("missed, the worker was late: {}\n", totals.missed);
    }
    if totals.backwards_timestamps > 0 {
        out += &format!("timestamps that ran backwards: {}\n", totals.backwards_timestamps);
    }
    out
}

/// A name without control characters, which a terminal would obey.
fn printable(name: &str) -> String {
    name.replace(char::is_control, "?")
}

#[cfg(test)]
mod tests {
    use super::measured_rate;

    #[test]
    fn measured_rates_have_three_digits() {
        for (bits_per_s, printed) in [
            (0, "0bit"),
            (999, "999bit"),
            (1000, "1.00Kbit"),
            (35_816, "35.8Kbit"),
            (999_999, "999Kbit"),
            (49_870_000, "49.8Mbit"),
            (9_999_999_999, "9.99Gbit"),
            (123_456_000_000, "123Gbit"),
        ] {
            assert_eq!(measured_rate(bits_per_s), printed, "{bits_per_s}");
        }
    }
}
