//! As `tc -s -j qdisc` of iproute2 6.1 prints it: one line, keys in its order, rates in bytes per second, times in
//! microseconds.
//!
//! The qdiscs are those of [`render::tc`](super::tc). `peakrate` is absent because iproute2 leaves it out of its JSON too;
//! the `json` format has it.

use serde::Serialize;

use super::tree::{self, Kind, Qdisc, UNMATCHED};
use crate::snapshot::Snapshot;

/// The report as `tc -s -j qdisc` JSON.
#[must_use]
pub fn render(snapshot: &Snapshot) -> String {
    let objects: Vec<Object<'_>> = tree::qdiscs(snapshot).into_iter().map(Object::from).collect();
    let mut out =
        serde_json::to_string(&objects).expect("plain structs with string keys do not refuse to be serialized");
    out.push('\n');
    out
}

/// One qdisc; the fields are in emission order.
#[derive(Serialize)]
struct Object<'a> {
    kind: &'static str,
    handle: String,
    dev: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refcnt: Option<u32>,
    options: Options,
    bytes: u64,
    packets: u64,
    drops: u64,
    overlimits: u64,
    requeues: u64,
    backlog: u64,
    qlen: u64,
    #[serde(flatten)]
    xstats: Option<CodelXstats>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Options {
    Htb {
        r2q: u32,
        default: String,
        direct_packets_stat: u64,
        direct_qlen: u32,
    },
    Tbf {
        rate: u64,
        burst: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        minburst: Option<u64>,
        #[serde(flatten)]
        bound: TbfBound,
    },
    Pfifo {
        limit: u64,
    },
    Codel {
        limit: u64,
        target: u64,
        interval: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        ecn: Option<bool>,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum TbfBound {
    Lat(u64),
    Limit(u64),
}

#[derive(Serialize)]
struct CodelXstats {
    count: u32,
    lastcount: u32,
    ldelay: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropping: Option<bool>,
    drop_next: i64,
    maxpacket: u32,
    ecn_mark: u64,
    drop_overlimit: u64,
}

impl<'a> From<Qdisc<'a>> for Object<'a> {
    fn from(qdisc: Qdisc<'a>) -> Self {
        let is_root = qdisc.parent.is_none();
        Self {
            kind: qdisc.kind.name(),
            handle: qdisc.handle.to_string(),
            dev: qdisc.dev,
            root: is_root.then_some(true),
            parent: qdisc.parent.map(|parent| parent.to_string()),
            refcnt: is_root.then_some(tree::REFCNT),
            options: options(&qdisc.kind),
            bytes: qdisc.stats.bytes,
            packets: qdisc.stats.packets,
            drops: qdisc.stats.drops,
            overlimits: qdisc.stats.overlimits,
            requeues: qdisc.stats.requeues,
            backlog: qdisc.stats.backlog,
            qlen: qdisc.stats.qlen,
            xstats: xstats(&qdisc.kind),
        }
    }
}

fn options(kind: &Kind<'_>) -> Options {
    match kind {
        Kind::Htb => Options::Htb {
            r2q: tree::R2Q,
            default: format!("{UNMATCHED:#x}"),
            direct_packets_stat: 0,
            direct_qlen: tree::DIRECT_QLEN,
        },
        Kind::Tbf(tbf) => Options::Tbf {
            rate: tbf.rate_bits_per_s / 8,
            burst: tbf.burst_bytes,
            minburst: tbf.peak.as_ref().map(|peak| peak.mtu_bytes),
            bound: tree::latency_us(tbf).map_or(TbfBound::Limit(tbf.limit_bytes), TbfBound::Lat),
        },
        Kind::Pfifo { limit_packets } => Options::Pfifo { limit: *limit_packets },
        Kind::Codel { codel, .. } => Options::Codel {
            limit: codel.limit_packets,
            target: codel.target_ns / 1000,
            interval: codel.interval_ns / 1000,
            ecn: codel.ecn.then_some(true),
        },
    }
}

fn xstats(kind: &Kind<'_>) -> Option<CodelXstats> {
    let Kind::Codel { codel, ecn_marks, drop_overlimit } = kind else {
        return None;
    };
    Some(CodelXstats {
        count: codel.count,
        lastcount: codel.lastcount,
        ldelay: codel.ldelay_ns / 1000,
        dropping: codel.dropping.then_some(true),
        drop_next: codel.drop_next_ns / 1000,
        maxpacket: codel.maxpacket,
        ecn_mark: *ecn_marks,
        drop_overlimit: *drop_overlimit,
    })
}
