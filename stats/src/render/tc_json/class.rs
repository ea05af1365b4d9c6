//! Classes: the options not nested, the figures under `stats`.

use serde::Serialize;

use super::super::tree::{Class, ClassKind, HtbClass};
use super::super::units::{codel_time_us, signed_codel_time_us};
use super::{Queue, Sent, unless_zero};
use crate::lane::FlowReport;

/// One class; the fields are in emission order.
#[derive(Serialize)]
pub(super) struct Object<'a> {
    class: &'static str,
    handle: String,
    dev: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leaf: Option<String>,
    #[serde(flatten)]
    htb: Option<HtbOptions>,
    stats: Stats,
}

/// What a class without a limit does not have is absent.
#[derive(Serialize)]
struct HtbOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    prio: Option<u32>,
    #[serde(flatten)]
    rates: Option<HtbRates>,
}

#[derive(Serialize)]
struct HtbRates {
    rate: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    overhead: Option<u64>,
    ceil: u64,
    burst: u64,
    cburst: u64,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Stats {
    Htb(HtbStats),
    Tbf {},
    FqCodel(FlowStats),
}

#[derive(Serialize)]
struct HtbStats {
    #[serde(flatten)]
    sent: Sent,
    #[serde(flatten)]
    queue: Queue,
    lended: u64,
    borrowed: u64,
    giants: u64,
    tokens: i64,
    ctokens: i64,
}

#[derive(Serialize)]
struct FlowStats {
    #[serde(flatten)]
    queue: Queue,
    deficit: i64,
    count: u32,
    lastcount: u32,
    ldelay: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropping: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drop_next: Option<i64>,
}

impl<'a> From<Class<'a>> for Object<'a> {
    fn from(class: Class<'a>) -> Self {
        let (htb, stats) = match &class.kind {
            ClassKind::Htb(htb) => (Some(htb_options(htb, class.leaf.is_some())), Stats::Htb(htb_stats(htb))),
            ClassKind::Tbf => (None, Stats::Tbf {}),
            ClassKind::FqCodel { flow, stats } => (None, Stats::FqCodel(flow_stats(flow, Queue::from(stats)))),
        };
        Self {
            class: class.kind.name(),
            handle: class.handle.to_string(),
            dev: class.dev,
            root: class.parent.is_none().then_some(true),
            parent: class.parent.map(|parent| parent.to_string()),
            leaf: class.leaf.map(|leaf| format!("{:#x}", leaf.major)),
            htb,
            stats,
        }
    }
}

fn htb_options(htb: &HtbClass<'_>, is_leaf: bool) -> HtbOptions {
    HtbOptions {
        prio: is_leaf.then_some(htb.class.priority),
        rates: htb.limit.map(|limit| HtbRates {
            rate: limit.rate_bits_per_s / 8,
            overhead: unless_zero(u64::from(htb.class.overhead_bytes)),
            ceil: limit.ceil_bits_per_s / 8,
            burst: limit.burst_bytes,
            cburst: limit.cburst_bytes,
        }),
    }
}

fn htb_stats(htb: &HtbClass<'_>) -> HtbStats {
    let [tokens, ctokens] = htb.credit_ticks();
    HtbStats {
        sent: Sent::from(&htb.stats),
        queue: Queue::from(&htb.stats),
        lended: htb.class.lended,
        borrowed: htb.class.borrowed,
        giants: 0,
        tokens,
        ctokens,
    }
}

fn flow_stats(flow: &FlowReport, queue: Queue) -> FlowStats {
    FlowStats {
        queue,
        deficit: flow.deficit_bytes,
        count: flow.count,
        lastcount: flow.lastcount,
        ldelay: codel_time_us(flow.ldelay_ns),
        dropping: flow.dropping.then_some(true),
        drop_next: flow.dropping.then_some(signed_codel_time_us(flow.drop_next_ns)),
    }
}
