//! Qdiscs: the options nested, the figures not.

use serde::Serialize;

use super::super::tree::{self, Kind, Qdisc};
use super::super::units::{c_hex, codel_time_us, signed_codel_time_us};
use super::{Queue, Sent, unless_zero};
use crate::lane::{CodelReport, FqCodelReport, TbfReport};

/// One qdisc; the fields are in emission order.
#[derive(Serialize)]
pub(super) struct Object<'a> {
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
    #[serde(flatten)]
    sent: Sent,
    #[serde(flatten)]
    queue: Queue,
    #[serde(flatten)]
    xstats: Option<Xstats>,
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
        #[serde(flatten)]
        times: CodelTimes,
        #[serde(skip_serializing_if = "Option::is_none")]
        ecn: Option<bool>,
    },
    FqCodel {
        limit: u64,
        flows: u32,
        quantum: u32,
        #[serde(flatten)]
        times: CodelTimes,
        memory_limit: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        ecn: Option<bool>,
        drop_batch: u32,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum TbfBound {
    Lat(u64),
    Limit(u64),
}

#[derive(Serialize)]
struct CodelTimes {
    target: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ce_threshold: Option<u64>,
    interval: u64,
}

impl CodelTimes {
    fn new(target_ns: u64, ce_threshold_ns: Option<u64>, interval_ns: u64) -> Self {
        Self {
            target: codel_time_us(target_ns),
            ce_threshold: ce_threshold_ns.map(codel_time_us),
            interval: codel_time_us(interval_ns),
        }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Xstats {
    Codel(CodelXstats),
    FqCodel(FqCodelXstats),
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
    #[serde(skip_serializing_if = "Option::is_none")]
    ce_mark: Option<u64>,
}

#[derive(Serialize)]
struct FqCodelXstats {
    maxpacket: u32,
    drop_overlimit: u64,
    new_flow_count: u64,
    ecn_mark: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ce_mark: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_used: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drop_overmemory: Option<u64>,
    new_flows_len: u64,
    old_flows_len: u64,
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
            sent: Sent::from(&qdisc.stats),
            queue: Queue::from(&qdisc.stats),
            xstats: xstats(&qdisc.kind),
        }
    }
}

fn options(kind: &Kind<'_>) -> Options {
    match kind {
        Kind::Htb { default } => Options::Htb {
            r2q: tree::R2Q,
            default: c_hex(*default),
            direct_packets_stat: 0,
            direct_qlen: tree::DIRECT_QLEN,
        },
        Kind::Tbf(tbf) => tbf_options(tbf),
        Kind::Pfifo { limit_packets } => Options::Pfifo { limit: *limit_packets },
        Kind::Codel { codel, .. } => Options::Codel {
            limit: codel.limit_packets,
            times: CodelTimes::new(codel.target_ns, codel.ce_threshold_ns, codel.interval_ns),
            ecn: codel.ecn.then_some(true),
        },
        Kind::FqCodel(fq_codel) => Options::FqCodel {
            limit: fq_codel.limit_packets,
            flows: fq_codel.flows,
            quantum: fq_codel.quantum_bytes,
            times: CodelTimes::new(fq_codel.target_ns, fq_codel.ce_threshold_ns, fq_codel.interval_ns),
            memory_limit: fq_codel.memory_limit_bytes,
            ecn: fq_codel.ecn.then_some(true),
            drop_batch: fq_codel.drop_batch,
        },
    }
}

fn tbf_options(tbf: &TbfReport) -> Options {
    Options::Tbf {
        rate: tbf.rate_bits_per_s / 8,
        burst: tbf.burst_bytes,
        minburst: tbf.peak.as_ref().map(|peak| peak.mtu_bytes),
        bound: tree::latency_us(tbf).map_or(TbfBound::Limit(tbf.limit_bytes), TbfBound::Lat),
    }
}

fn xstats(kind: &Kind<'_>) -> Option<Xstats> {
    match kind {
        Kind::Codel { codel, ecn_marks, drop_overlimit } => {
            Some(Xstats::Codel(codel_xstats(codel, *ecn_marks, *drop_overlimit)))
        }
        Kind::FqCodel(fq_codel) => Some(Xstats::FqCodel(fq_codel_xstats(fq_codel))),
        Kind::Htb { .. } | Kind::Tbf(_) | Kind::Pfifo { .. } => None,
    }
}

fn codel_xstats(codel: &CodelReport, ecn_mark: u64, drop_overlimit: u64) -> CodelXstats {
    CodelXstats {
        count: codel.count,
        lastcount: codel.lastcount,
        ldelay: codel_time_us(codel.ldelay_ns),
        dropping: codel.dropping.then_some(true),
        drop_next: signed_codel_time_us(codel.drop_next_ns),
        maxpacket: codel.maxpacket,
        ecn_mark,
        drop_overlimit,
        ce_mark: unless_zero(codel.ce_mark),
    }
}

fn fq_codel_xstats(fq_codel: &FqCodelReport) -> FqCodelXstats {
    FqCodelXstats {
        maxpacket: fq_codel.maxpacket,
        drop_overlimit: fq_codel.drop_overlimit,
        new_flow_count: fq_codel.new_flow_count,
        ecn_mark: fq_codel.ecn_mark,
        ce_mark: unless_zero(fq_codel.ce_mark),
        memory_used: unless_zero(fq_codel.memory_used_bytes),
        drop_overmemory: unless_zero(fq_codel.drop_overmemory),
        new_flows_len: fq_codel.new_flows_len,
        old_flows_len: fq_codel.old_flows_len,
    }
}
