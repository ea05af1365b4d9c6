//! Each container's lane, with one family a figure and direction; unmatched traffic is the container `unmatched`.

use std::fmt;

use super::exposition::{self, Kind, Writer, bytes, labels};
use crate::counters::DropReason;
use crate::histogram::Octaves;
use crate::lane::{HtbReport, LaneReport, LimitReport, LimitedBy};
use crate::snapshot::Snapshot;
use crate::window::{Percentiles, WindowRates};

/// What is told of a lane: its name, its help, and the value where there is one.
type Figure = (&'static str, &'static str, fn(&LaneReport) -> Option<String>);

const COUNTERS: [Figure; 12] = [
    ("offered_packets", "Packets handed to the lane.", |lane| Some(lane.offered_packets.to_string())),
    ("offered_bytes", "Bytes handed to the lane.", |lane| Some(lane.offered_bytes.to_string())),
    ("sent_packets", "Packets that left the lane.", |lane| Some(lane.sent_packets.to_string())),
    ("sent_bytes", "Bytes that left the lane.", |lane| Some(lane.sent_bytes.to_string())),
    ("dropped_bytes", "Bytes dropped, for whatever reason.", |lane| Some(lane.dropped_bytes.to_string())),
    ("refused_packets", "Arrivals that cost the packet itself, or another of its flow, its place.", |lane| {
        Some(lane.refused.to_string())
    }),
    ("ecn_marked_packets", "Packets marked CE instead of dropped.", |lane| Some(lane.ecn_marks.to_string())),
    ("threshold_marked_packets", "Packets marked CE because they waited longer than ce_threshold.", |lane| {
        Some(lane.ce_marks.to_string())
    }),
    ("lent_packets", "Packets sent on the lane's own credit.", |lane| Some(lane.class.lended.to_string())),
    ("borrowed_packets", "Packets sent on the credit of a node above.", |lane| Some(lane.class.borrowed.to_string())),
    ("overlimits", "Waits for tokens.", |lane| Some(lane.bw_limit().overlimits.to_string())),
    ("requeued_packets", "Packets that found the device's ring full.", |lane| {
        Some(lane.bw_limit().requeues.to_string())
    }),
];

const GAUGES: [Figure; 8] = [
    ("queued_packets", "Packets that the lane holds.", |lane| Some(lane.queued().packets.to_string())),
    ("queued_bytes", "Bytes that the lane holds.", |lane| Some(lane.queued().bytes.to_string())),
    ("rate_bytes_per_second", "Current rate of what left the lane, as the kernel estimates it.", |lane| {
        Some(lane.bw_limit().ratebps.to_string())
    }),
    ("rate_packets_per_second", "Current rate of what left the lane, as the kernel estimates it.", |lane| {
        Some(lane.bw_limit().ratepps.to_string())
    }),
    ("limit_bytes_per_second", "The lane's rate, as configured; absent if it has none.", |lane| {
        limit(lane).map(|limit| bytes(limit.rate))
    }),
    (
        "ceil_bytes_per_second",
        "The rate up to which the lane may borrow; absent if there is no limit to that.",
        |lane| limit(lane).and_then(|limit| limit.ceil).map(bytes),
    ),
    ("burst_bytes", "What the lane may send at once; absent if it has no rate.", |lane| {
        limit(lane).map(|limit| limit.burst.to_string())
    }),
    ("guarantee_bytes_per_second", "What the lane gets whatever the others do; absent if nothing limits it.", |lane| {
        lane.class.guarantee_bits_per_s.map(bytes)
    }),
];

/// Bits per second, and bytes.
struct Limit {
    rate: u64,
    ceil: Option<u64>,
    burst: u64,
}

fn limit(lane: &LaneReport) -> Option<Limit> {
    match &lane.limit {
        LimitReport::None => None,
        LimitReport::Htb(htb) => Some(Limit {
            rate: htb.rate_bits_per_s,
            ceil: Some(htb.ceil_bits_per_s).filter(|&ceil| ceil < HtbReport::NO_CEIL),
            burst: htb.burst_bytes,
        }),
        LimitReport::Tbf(tbf) => {
            Some(Limit { rate: tbf.rate_bits_per_s, ceil: Some(tbf.rate_bits_per_s), burst: tbf.burst_bytes })
        }
    }
}

/// What may limit a lane. Of none of them its senders alone do.
const LIMITS: [&str; 5] = ["rate", "ceil", "group", "link", "codel"];

fn limited_by(lane: &LaneReport) -> &'static str {
    match lane.limited_by {
        LimitedBy::Rate => "rate",
        LimitedBy::Ceil => "ceil",
        LimitedBy::Group(_) => "group",
        LimitedBy::Link => "link",
        LimitedBy::Codel => "codel",
        LimitedBy::Nothing => "",
    }
}

/// A lane with the labels that all its samples have.
struct Lane<'a> {
    labels: String,
    report: &'a LaneReport,
}

pub(super) fn write(out: &mut Writer, snapshot: &Snapshot) -> fmt::Result {
    write_groups(out, snapshot)?;
    let containers = &snapshot.containers;
    let lane = |id: &str, report| Lane { labels: labels(&[("container", id)]), report };
    let unmatched = |report| lane("unmatched", report);
    let ingress = containers.iter().map(|one| lane(&one.id, &one.ingress));
    let egress = containers.iter().map(|one| lane(&one.id, &one.egress));
    let ingress: Vec<_> = ingress.chain([unmatched(&snapshot.unmatched.ingress)]).collect();
    let egress: Vec<_> = egress.chain([unmatched(&snapshot.unmatched.egress)]).collect();
    write_direction(out, "ingress", &ingress)?;
    write_direction(out, "egress", &egress)
}

fn write_groups(out: &mut Writer, snapshot: &Snapshot) -> fmt::Result {
    let mut info = out.family(Kind::Gauge, "portlane_container_info", "Which group a container is in, if any.")?;
    for container in &snapshot.containers {
        let group = container.group.as_deref().unwrap_or("");
        info.sample(&labels(&[("container", &container.id), ("group", group)]), 1)?;
    }
    let help = "Containers that the configuration no longer has, and that still have packets.";
    out.family(Kind::Gauge, "portlane_leaving_containers", help)?.sample("", snapshot.leaving.len())
}

fn write_direction(out: &mut Writer, direction: &str, lanes: &[Lane<'_>]) -> fmt::Result {
    let figures = COUNTERS.iter().map(|figure| (Kind::Counter, figure));
    for (kind, &(name, help, value)) in figures.chain(GAUGES.iter().map(|figure| (Kind::Gauge, figure))) {
        let mut family = out.family(kind, &format!("portlane_{direction}_{name}"), help)?;
        for lane in lanes {
            if let Some(value) = value(lane.report) {
                family.sample(&lane.labels, value)?;
            }
        }
    }
    write_window_rates(out, direction, lanes)?;
    write_drops(out, direction, lanes)?;
    write_observed(out, direction, lanes)?;
    write_limited(out, direction, lanes)?;
    write_sojourns(out, direction, lanes)
}

/// What is told of a lane's window: the unit, what passed, and its percentiles.
type WindowFigure = (&'static str, &'static str, fn(&WindowRates) -> &Percentiles);

const WINDOW_RATES: [WindowFigure; 3] = [
    ("window_rate_bytes_per_second", "Bytes sent", |rates| &rates.bytes_per_s),
    ("window_rate_packets_per_second", "Packets sent", |rates| &rates.packets_per_s),
    ("window_rate_drops_per_second", "Packets dropped", |rates| &rates.drops_per_s),
];

fn write_window_rates(out: &mut Writer, direction: &str, lanes: &[Lane<'_>]) -> fmt::Result {
    for (name, what, of) in WINDOW_RATES {
        let help = format!("{what} per second: percentiles of samples over rate_window; absent without one.");
        let mut family = out.family(Kind::Gauge, &format!("portlane_{direction}_{name}"), &help)?;
        for Lane { labels, report } in lanes {
            let Some(Percentiles { max, min, p50, p90, p95, p99, .. }) = report.rates.as_ref().map(of) else {
                continue;
            };
            let named = [("min", min), ("p50", p50), ("p90", p90), ("p95", p95), ("p99", p99), ("max", max)];
            for (statistic, value) in named {
                family.sample(&format!("{labels},statistic=\"{statistic}\""), value)?;
            }
        }
    }
    Ok(())
}

fn write_drops(out: &mut Writer, direction: &str, lanes: &[Lane<'_>]) -> fmt::Result {
    let name = format!("portlane_{direction}_dropped_packets");
    let mut family = out.family(Kind::Counter, &name, "Packets dropped, by reason.")?;
    for lane in lanes {
        for reason in DropReason::ALL {
            let labels = format!("{},reason=\"{}\"", lane.labels, reason.as_str());
            family.sample(&labels, lane.report.dropped_for(reason))?;
        }
    }
    Ok(())
}

/// What would have been, of lanes whose limits are only watched.
fn write_observed(out: &mut Writer, direction: &str, lanes: &[Lane<'_>]) -> fmt::Result {
    let observed = || lanes.iter().filter_map(|lane| Some((lane, lane.report.would.as_ref()?)));
    let name = |figure: &str| format!("portlane_{direction}_{figure}");
    let mut family = out.family(Kind::Gauge, &name("observed"), "1 for a lane whose limits are only watched.")?;
    for lane in lanes {
        family.sample(&lane.labels, u8::from(lane.report.would.is_some()))?;
    }
    let help = "Packets that would have waited, of lanes that are observed.";
    let mut family = out.family(Kind::Counter, &name("would_delay_packets"), help)?;
    for (lane, would) in observed() {
        family.sample(&lane.labels, would.delayed_packets)?;
    }
    let help = "Packets that would have been dropped, of lanes that are observed, by reason.";
    let mut family = out.family(Kind::Counter, &name("would_drop_packets"), help)?;
    for (lane, would) in observed() {
        for (reason, count) in &would.drops {
            family.sample(&format!("{},reason=\"{}\"", lane.labels, reason.as_str()), count)?;
        }
    }
    Ok(())
}

fn write_limited(out: &mut Writer, direction: &str, lanes: &[Lane<'_>]) -> fmt::Result {
    let name = format!("portlane_{direction}_limited");
    let mut family =
        out.family(Kind::Gauge, &name, "1 for what keeps the lane from sending more, if anything does.")?;
    for lane in lanes {
        let by = limited_by(lane.report);
        for limit in LIMITS {
            family.sample(&format!("{},by=\"{limit}\"", lane.labels), u8::from(limit == by))?;
        }
    }
    Ok(())
}

fn write_sojourns(out: &mut Writer, direction: &str, lanes: &[Lane<'_>]) -> fmt::Result {
    let name = format!("portlane_{direction}_sojourn_seconds");
    let mut family = out.family(Kind::Histogram, &name, "How long packets stayed in the lane.")?;
    let bounds = Octaves::BOUNDS_NS.map(exposition::seconds);
    for Lane { labels, report } in lanes {
        let octaves = &report.sojourn_octaves;
        let sum = exposition::seconds_of_micros(octaves.sum_us);
        family.histogram(labels, &bounds, octaves.cumulative(), sum)?;
    }
    Ok(())
}
