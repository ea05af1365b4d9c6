//! All that is known of one lane.

use std::collections::BTreeMap;

use portlane_stats::counters::DropReason;
use portlane_stats::histogram::Octaves;
use portlane_stats::lane::{CodelReport, LaneReport, LimitReport, QueueReport};
use portlane_stats::render::text::{limit, measured_rate, printable, sojourn_time};
use portlane_stats::render::units::{rate, size};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::cells::{tenths, trend, used, waited};
use super::model::{HISTORY, Lane};

/// The longest bar of a histogram, in characters.
const MAX_BAR: u64 = 40;

/// What a page says, line by line.
pub(super) fn page(lane: &Lane, width: u16) -> Vec<Line<'static>> {
    let report = &lane.report;
    let group = lane.group.as_ref().map(|group| format!(" in group {group}")).unwrap_or_default();
    let title = format!("{}{group}, {}", lane.name, lane.key.direction.as_str());
    let mut lines = vec![Line::default(), Line::styled(title, Style::new().add_modifier(Modifier::BOLD))];
    let named = [
        ("rate", format!("{}, {} packets/s", measured_rate(lane.bits_per_s()), lane.sent.packets_per_s)),
        ("limit", settings(lane)),
        ("used", lane.used_per_mille().map_or_else(|| "-".to_owned(), used)),
        ("limited by", printable(&report.limited_by.to_string())),
        ("queue", queue(&report.queue)),
        ("holds", format!("{} packets, {}", report.queued().packets, size(report.queued().bytes))),
        ("offered", format!("{} packets, {} bytes", report.offered_packets, report.offered_bytes)),
        ("sent", format!("{} packets, {} bytes", report.sent_packets, report.sent_bytes)),
        ("dropped", format!("{}/s; {}", tenths(lane.drops_in_10_s), drops(report))),
        ("marked", marks(lane)),
        (
            "waits",
            format!("{} for tokens, {} for the device", report.bw_limit().overlimits, report.bw_limit().requeues),
        ),
        ("sojourn", sojourn(lane)),
    ];
    lines.extend(named.into_iter().map(|(name, value)| line(name, value)));
    let room = usize::from(width).saturating_sub(13).min(HISTORY);
    let highest = lane.history.iter().rev().take(room).max().copied().unwrap_or(0).saturating_mul(8);
    lines.push(line("trend", format!("up to {}", measured_rate(highest))));
    lines.push(bar("", trend(lane.history.iter().copied(), room), String::new()));
    lines.extend(histogram(&report.sojourn_octaves));
    lines
}

fn line(name: &str, value: String) -> Line<'static> {
    let name = Span::styled(format!("{name:<12} "), Style::new().add_modifier(Modifier::DIM));
    Line::from(vec![name, Span::from(value)])
}

fn bar(name: &str, bar: String, value: String) -> Line<'static> {
    let bar = Span::styled(bar, Style::new().fg(Color::Green));
    Line::from(vec![Span::from(format!("{name:<12} ")), bar, Span::from(value)])
}

fn settings(lane: &Lane) -> String {
    let (limiter, class) = (&lane.report.limit, &lane.report.class);
    let mut words = limit(limiter);
    match limiter {
        LimitReport::None => {}
        LimitReport::Htb(htb) => {
            words += &format!(", burst {}, cburst {}", size(htb.burst_bytes), size(htb.cburst_bytes))
        }
        LimitReport::Tbf(tbf) => {
            words += &format!(", burst {}, at most {} wait", size(tbf.burst_bytes), size(tbf.limit_bytes))
        }
    }
    if let Some(guarantee) = class.guarantee_bits_per_s {
        words += &format!(", guaranteed {}, priority {}", rate(guarantee), class.priority);
    }
    words
}

fn queue(queue: &QueueReport) -> String {
    let codel = |target_ns, interval_ns, ecn| {
        let ecn = if ecn { ", ecn" } else { "" };
        format!("target {}, interval {}{ecn}", sojourn_time(target_ns), sojourn_time(interval_ns))
    };
    match queue {
        QueueReport::Fifo { limit_packets } => format!("fifo of {limit_packets} packets"),
        QueueReport::Codel(CodelReport { target_ns, interval_ns, ecn, limit_packets, dropping, .. }) => {
            let state = if *dropping { ", dropping" } else { "" };
            format!("codel of {limit_packets} packets, {}{state}", codel(*target_ns, *interval_ns, *ecn))
        }
        QueueReport::FqCodel(of) => {
            let flows = of.new_flows_len.saturating_add(of.old_flows_len);
            let settings = codel(of.target_ns, of.interval_ns, of.ecn);
            format!("fq_codel of {} packets, {settings}, {flows} of {} flows", of.limit_packets, of.flows)
        }
    }
}

fn drops(report: &LaneReport) -> String {
    let list = |drops: &BTreeMap<DropReason, u64>| {
        let reasons: Vec<_> = drops.iter().map(|(reason, n)| format!("{n} {}", reason.as_str())).collect();
        reasons.join(", ")
    };
    match &report.would {
        None => list(&report.drops),
        Some(would) => format!("none, only observed: {} delayed, {}", would.delayed_packets, list(&would.drops)),
    }
}

fn marks(lane: &Lane) -> String {
    let report = &lane.report;
    format!("{}/s; {} ecn, {} over ce_threshold", tenths(lane.marks_in_10_s), report.ecn_marks, report.ce_marks)
}

fn sojourn(lane: &Lane) -> String {
    let of = lane.report.sojourn_ns;
    let named = [("p50", of.p50), ("p90", of.p90), ("p99", of.p99), ("p99.9", of.p999), ("max", of.max)];
    named.map(|(name, ns)| format!("{name} {}", waited(lane, ns))).join("  ")
}

/// The octaves from the first that has packets to the last.
fn histogram(octaves: &Octaves) -> Vec<Line<'static>> {
    let counts = &octaves.counts[..octaves.counts.len().min(Octaves::BOUNDS_NS.len() + 1)];
    let (Some(first), Some(last)) = (counts.iter().position(|&n| n > 0), counts.iter().rposition(|&n| n > 0)) else {
        return Vec::new();
    };
    let most = counts.iter().copied().max().unwrap_or(1).max(1);
    let shown = counts.iter().enumerate().take(last + 1).skip(first);
    let lines = shown.map(|(octave, &count)| {
        let name = match Octaves::BOUNDS_NS.get(octave) {
            Some(&bound) => format!("< {}", sojourn_time(bound)),
            None => "longer".to_owned(),
        };
        let length = (u128::from(count) * u128::from(MAX_BAR)).div_ceil(u128::from(most));
        bar(&name, "█".repeat(usize::try_from(length).unwrap_or(0)), format!(" {count}"))
    });
    lines.collect()
}
