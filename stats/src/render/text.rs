//! Tables for people, one for each direction: a row for each lane, below those of the groups that it is in; then the totals, and
//! what the steering program has decided.
//!
//! The columns:
//!
//! | | |
//! |---|---|
//! | `limit` | the configured rate, and the ceil where it is another: `5-10Mbit` |
//! | `rate` | at which it sent |
//! | `sent`, `queued` | packets |
//! | `p50`, `p99` | how long half, and all but a hundredth of the packets stayed, at most |
//! | `limited by` | what keeps the lane from sending more: [`LimitedBy`](crate::lane::LimitedBy) |
//! | `dropped, marked` | packets, by the reason for their drop; of an observed lane what would have been, and `rate` is what it would have sent at |

use std::collections::BTreeMap;

use super::live;
use super::outline::{Item, outline};
use super::units::{rate, time};
use crate::counters::DropReason;
use crate::lane::{HtbReport, LaneReport, LimitReport, Rate};
use crate::live::AttachedReport;
use crate::snapshot::{NodeReport, Snapshot, Totals};

const HEADINGS: [&str; 9] = ["", "limit", "rate", "sent", "queued", "p50", "p99", "limited by", "dropped, marked"];

/// Columns that hold words; the others hold numbers and are aligned right.
const WORDS: [usize; 3] = [0, 7, 8];

type Row = [String; HEADINGS.len()];

/// The report as tables.
#[must_use]
pub fn render(snapshot: &Snapshot) -> String {
    let (devices, link) = (&snapshot.devices, &snapshot.link);
    let ingress = rows(snapshot, &link.ingress, &snapshot.unmatched.ingress, |item| match item {
        Item::Group(group) => Cells::Node(&group.ingress),
        Item::Container(container) => Cells::Lane(&container.ingress),
    });
    let egress = rows(snapshot, &link.egress, &snapshot.unmatched.egress, |item| match item {
        Item::Group(group) => Cells::Node(&group.egress),
        Item::Container(container) => Cells::Lane(&container.egress),
    });
    let widths = widths(&[&ingress, &egress]);
    let mut out = heading(snapshot);
    for (direction, dev, rows) in [("ingress", &devices.ingress, ingress), ("egress", &devices.egress, egress)] {
        out += &format!("\n{direction}, sent by {}\n{}", printable(dev), table(&rows, widths));
    }
    out.push('\n');
    out.push_str(&totals(&snapshot.totals));
    for (dev, verdicts) in &snapshot.steering {
        out += &steering(dev, verdicts, snapshot.attached.get(dev));
    }
    out.push_str(&live::render(snapshot));
    out
}

/// The verdicts that occurred, and what else is known of the interface if it is an attached container's.
fn steering(dev: &str, verdicts: &BTreeMap<String, u64>, attached: Option<&AttachedReport>) -> String {
    let occurred = verdicts.iter().filter(|(_, n)| **n > 0).map(|(verdict, n)| format!("{n} {}", printable(verdict)));
    let words: Vec<_> = occurred.collect();
    let words = if words.is_empty() { "nothing has arrived".to_owned() } else { words.join(", ") };
    format!("steering of {}: {words}{}\n", printable(dev), attached.map(live::attached).unwrap_or_default())
}

fn heading(snapshot: &Snapshot) -> String {
    let mut line = format!("{} counted", time(snapshot.duration_ns / 1000));
    for (dev, mode) in &snapshot.mode {
        line += &format!("; {} is in {} mode", printable(dev), mode.as_str());
    }
    line + "\n"
}

/// What a row tells of.
enum Cells<'a> {
    Node(&'a NodeReport),
    Lane(&'a LaneReport),
}

fn rows<'a>(
    snapshot: &'a Snapshot,
    link: &NodeReport,
    unmatched: &LaneReport,
    of: impl Fn(Item<'a>) -> Cells<'a>,
) -> Vec<Row> {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    if link.limit.is_some() {
        rows.push(node_row("link".to_owned(), link, snapshot.duration_ns));
    }
    for entry in outline(snapshot) {
        let id = match entry.item {
            Item::Group(group) => &group.id,
            Item::Container(container) => &container.id,
        };
        let name = format!("{:1$}{2}", "", 2 * entry.depth, printable(id));
        rows.push(match of(entry.item) {
            Cells::Node(node) => node_row(name, node, snapshot.duration_ns),
            Cells::Lane(lane) => lane_row(name, lane),
        });
    }
    rows.push(lane_row("unmatched".to_owned(), unmatched));
    rows
}

/// A node has no queue of its own.
fn node_row(name: String, node: &NodeReport, duration_ns: u64) -> Row {
    let absent = || "-".to_owned();
    let bytes_per_s = Rate::average(node.sent(), duration_ns).bytes_per_s;
    [
        name,
        node.limit.as_ref().map_or_else(|| "none".to_owned(), rates),
        measured_rate(bytes_per_s.saturating_mul(8)),
        node.sent_packets.to_string(),
        absent(),
        absent(),
        absent(),
        absent(),
        absent(),
    ]
}

fn lane_row(name: String, lane: &LaneReport) -> Row {
    let sojourn = lane.sojourn_ns;
    let waited = |ns: u64| {
        if sojourn.count > 0 { sojourn_time(ns) } else { "-".to_owned() }
    };
    [
        name,
        limit(&lane.limit),
        measured_rate(lane.bw_limit().ratebps.saturating_mul(8)),
        lane.sent_packets.to_string(),
        lane.queued().packets.to_string(),
        waited(sojourn.p50),
        waited(sojourn.p99),
        printable(&lane.limited_by.to_string()),
        losses(lane),
    ]
}

/// The configured rate, and the ceil where it is another: `5-10Mbit`; `none` without one.
#[must_use]
pub fn limit(limit: &LimitReport) -> String {
    match limit {
        LimitReport::None => "none".to_owned(),
        LimitReport::Htb(htb) => rates(htb),
        LimitReport::Tbf(tbf) => rate(tbf.rate_bits_per_s),
    }
}

/// Rate and ceil; the unit once if they have the same.
fn rates(htb: &HtbReport) -> String {
    let assured = rate(htb.rate_bits_per_s);
    let ceil = match htb.ceil_bits_per_s {
        same if same == htb.rate_bits_per_s => return assured,
        HtbReport::NO_CEIL => "none".to_owned(),
        ceil => rate(ceil),
    };
    let number = assured.trim_end_matches(|c: char| !c.is_ascii_digit());
    let same_unit = ceil.trim_start_matches(|c: char| c.is_ascii_digit()) == &assured[number.len()..];
    format!("{}-{ceil}", if same_unit { number } else { &assured })
}

fn losses(lane: &LaneReport) -> String {
    let named = counted(&lane.drops, lane.ecn_marks, lane.ce_marks);
    let Some(would) = &lane.would else { return if named.is_empty() { "-".to_owned() } else { named } };
    let would_be = counted(&would.drops, would.ecn_marks, would.ce_marks);
    let would_be = [format!("{} delayed", would.delayed_packets), would_be].join(", ");
    format!("observed, would be: {}", would_be.trim_end_matches(", "))
}

/// Packets by what became of them, as far as there are.
fn counted(drops: &BTreeMap<DropReason, u64>, ecn_marks: u64, ce_marks: u64) -> String {
    let drops = drops.iter().map(|(reason, n)| (*n, reason.as_str()));
    let counted = drops.chain([(ecn_marks, "marked"), (ce_marks, "over ce_threshold")]).filter(|(n, _)| *n > 0);
    counted.map(|(n, what)| format!("{n} {what}")).collect::<Vec<_>>().join(", ")
}

/// A rate in bits per second to three digits: a measured one, unlike a configured one, is never a round number.
#[must_use]
pub fn measured_rate(bits_per_s: u64) -> String {
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

/// A time in nanoseconds to three digits.
#[must_use]
pub fn sojourn_time(ns: u64) -> String {
    if ns < 1000 { format!("{ns}ns") } else { time(ns / 1000) }
}

fn widths(tables: &[&[Row]]) -> [usize; HEADINGS.len()] {
    let width = |column: usize| {
        let rows = tables.iter().flat_map(|rows| rows.iter());
        rows.map(|row| row[column].chars().count()).max().unwrap_or(0)
    };
    std::array::from_fn(width)
}

fn table(rows: &[Row], widths: [usize; HEADINGS.len()]) -> String {
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
    if totals.handoff > 0 {
        out += &format!("handoff, the worker that owns their lane was late: {}\n", totals.handoff);
    }
    if totals.missed > 0 {
        out += &format!("missed, the worker was late: {}\n", totals.missed);
    }
    if totals.too_long > 0 {
        out += &format!("too long, longer than a frame: {}\n", totals.too_long);
    }
    if totals.backwards_timestamps > 0 {
        out += &format!("timestamps that ran backwards: {}\n", totals.backwards_timestamps);
    }
    out
}

/// A name without control characters, which a terminal would obey.
#[must_use]
pub fn printable(name: &str) -> String {
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
