//! What Prometheus scrapes, in its text format 0.0.4 or in OpenMetrics 1.0.
//!
//! Names begin with `portlane_`, units are bytes and seconds, and the direction is part of the name, since one is hardly ever wanted
//! with the other. `docs/numbers.md` of the project lists every metric.
//!
//! Beside them stand series that dashboards already know: `node_qdisc_*` as node_exporter's qdisc collector has them, with the labels
//! `device`, `kind`, `parent` and `handle` of the qdiscs that [`render::tc`](super::tc) shows; and, if asked for,
//! `container_network_*` as cAdvisor has them. In a replay both directions have the same device, and so there are no `node_qdisc_*`.
//!
//! A container that is leaving has no series of its own: one of its name may have come already.

mod exposition;
mod flows;
mod lanes;
mod live;
mod meters;
mod neighbours;
mod netstat;
mod nodes;

use std::fmt;

use exposition::{Kind, Writer};

use crate::snapshot::{Snapshot, Totals};

/// The format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Exposition {
    /// Prometheus' text format 0.0.4.
    #[default]
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Exposition {
    /// The media type, which Prometheus insists on.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// The format.
    pub exposition: Exposition,
    /// Whether cAdvisor's series are wanted, too.
    pub cadvisor: bool,
}

/// The report as metrics.
#[must_use]
pub fn render(snapshot: &Snapshot, options: Options) -> String {
    let mut out = Writer::new(options.exposition);
    write_all(&mut out, snapshot, options).expect("a String takes all that is written to it");
    out.finish()
}

fn write_all(out: &mut Writer, snapshot: &Snapshot, options: Options) -> fmt::Result {
    let version = exposition::labels(&[("version", env!("CARGO_PKG_VERSION"))]);
    out.family(Kind::Gauge, "portlane_build_info", "Which portlane this is.")?.sample(&version, 1)?;
    out.family(Kind::Gauge, "portlane_counted_seconds", "How long has been counted.")?
        .sample("", exposition::seconds(snapshot.duration_ns))?;
    write_totals(out, &snapshot.totals)?;
    nodes::write(out, snapshot)?;
    lanes::write(out, snapshot)?;
    live::write(out, snapshot)?;
    meters::write(out, snapshot)?;
    netstat::write(out, snapshot)?;
    flows::write(out, snapshot)?;
    neighbours::write_qdiscs(out, snapshot)?;
    if options.cadvisor { neighbours::write_cadvisor(out, snapshot) } else { Ok(()) }
}

fn write_totals(out: &mut Writer, totals: &Totals) -> fmt::Result {
    let counters = [
        ("received", "Packets that arrived.", totals.received),
        ("sent", "Packets sent on.", totals.sent),
        ("dropped", "Packets dropped, for whatever reason.", totals.dropped),
        ("unmatched", "Packets that no container owns; sent, dropped or queued as others are.", totals.unmatched),
        ("handoff_dropped", "Packets dropped because their lane's worker had no room for more.", totals.handoff),
        ("missed", "Packets dropped by the kernel because a worker was late.", totals.missed),
        (
            "too_long",
            "Packets dropped because they are longer than a frame, where packet sockets tell.",
            totals.too_long,
        ),
        ("unsent", "Packets dropped by an interface that could not send them.", totals.unsent),
    ];
    for (name, help, count) in counters {
        out.family(Kind::Counter, &format!("portlane_{name}_packets"), help)?.sample("", count)?;
    }
    out.family(Kind::Gauge, "portlane_queued_packets", "Packets that lanes hold.")?.sample("", totals.queued)?;
    let help = "Packets dropped for a malformed header.";
    let mut malformed = out.family(Kind::Counter, "portlane_malformed_packets", help)?;
    for (reason, &count) in &totals.malformed {
        malformed.sample(&exposition::labels(&[("reason", reason)]), count)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
