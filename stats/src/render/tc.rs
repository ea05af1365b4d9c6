//! As iproute2 6.1 prints it: `tc -s qdisc`, then `tc -s class`, with every byte in its place.
//!
//! ```text
//! qdisc codel 10: dev eth0 parent 1:10 limit 1000p target 5ms interval 100ms ecn
//!  Sent 2569780 bytes 1798 pkt (dropped 12, overlimits 0 requeues 0)
//!  backlog 0b 0p requeues 0
//!   count 4 lastcount 1 ldelay 5.2ms dropping drop_next 41ms
//!   maxpacket 1514 ecn_mark 0 drop_overlimit 0
//! ```
//!
//! | line | printed by (iproute2) | filled by (kernel) |
//! |---|---|---|
//! | `qdisc KIND HANDLE: dev … root`, `… parent …` | `print_qdisc`, `tc/tc_qdisc.c` | `tc_fill_qdisc`, `sch_api.c` |
//! | … `r2q 10 default 0x2 …` | `htb_print_opt`, `tc/q_htb.c` | `htb_dump` |
//! | … `rate … burst … lat …` | `tbf_print_opt`, `tc/q_tbf.c` | `tbf_dump` |
//! | … `limit 1000p` | `fifo_print_opt`, `tc/q_fifo.c` | `fifo_dump` |
//! | … `limit … target … interval …` | `codel_print_opt`, `tc/q_codel.c` | `codel_dump` |
//! | `Sent …`, `backlog …` | `print_tcstats2_attr`, `tc/tc_util.c` | `gnet_stats_copy_basic`, `gnet_stats_copy_queue` |
//! | `count …`, `maxpacket …` | `codel_print_xstats`, `tc/q_codel.c` | `codel_dump_stats` |
//! | `class htb …` | `print_class`, `tc/tc_class.c`, and `htb_print_opt` | `htb_dump_class` |
//! | `lended: …`, `tokens: …` | `htb_print_xstats`, `tc/q_htb.c` | `htb_dump_class_stats` |
//! | `class tbf …` | `print_class` | `tbf_dump_class` |
//!
//! Which qdisc is which lane: [`render::tc_json`](super::tc_json) has the same ones, and the containers are numbered from
//! `1:10` in the order of the configuration; `1:2` is unmatched traffic, `1:1` the link.
//!
//! Three differences: `backlog` is always in plain bytes (tc writes large ones as `1234Kb`, which known parsers fail on);
//! classes name their `dev`, as `tc monitor` does, since there are two; a class of a lane that has no limit of its own ends
//! after `prio 0`, since the kernel has no class without a rate.

use std::fmt::{self, Write};

use super::tree::{self, Class, ClassKind, Kind, Qdisc, Stats, UNMATCHED};
use super::units::{rate, size, time};
use crate::lane::{CodelReport, HtbReport, TbfReport};
use crate::snapshot::Snapshot;

/// `PSCHED_TICKS`: the kernel shows token counts in units of 64 ns.
const NS_PER_TICK: i64 = 64;

/// The report as `tc -s` text.
#[must_use]
pub fn render(snapshot: &Snapshot) -> String {
    let mut out = String::new();
    write_all(&mut out, snapshot).expect("a String takes all that is written to it");
    out
}

fn write_all(out: &mut String, snapshot: &Snapshot) -> fmt::Result {
    for qdisc in tree::qdiscs(snapshot) {
        write_qdisc(out, &qdisc)?;
    }
    for class in tree::classes(snapshot) {
        write_class(out, &class)?;
    }
    Ok(())
}

fn write_qdisc(out: &mut String, qdisc: &Qdisc<'_>) -> fmt::Result {
    let Qdisc { dev, handle, .. } = qdisc;
    write!(out, "qdisc {} {handle} dev {dev} ", qdisc.kind.name())?;
    match qdisc.parent {
        None => write!(out, "root refcnt {} ", tree::REFCNT)?,
        Some(parent) => write!(out, "parent {parent} ")?,
    }
    match &qdisc.kind {
        Kind::Htb => write_htb_options(out)?,
        Kind::Tbf(tbf) => write_tbf_options(out, tbf)?,
        Kind::Pfifo { limit_packets } => write!(out, "limit {limit_packets}p")?,
        Kind::Codel { codel, .. } => write_codel_options(out, codel)?,
    }
    writeln!(out)?;
    write_stats(out, &qdisc.stats)?;
    if let Kind::Codel { codel, ecn_marks, drop_overlimit } = &qdisc.kind {
        write_codel_state(out, codel)?;
        let maxpacket = codel.maxpacket;
        writeln!(out, "  maxpacket {maxpacket} ecn_mark {ecn_marks} drop_overlimit {drop_overlimit}")?;
    }
    Ok(())
}

fn write_htb_options(out: &mut String) -> fmt::Result {
    let (r2q, direct_qlen) = (tree::R2Q, tree::DIRECT_QLEN);
    write!(out, "r2q {r2q} default {UNMATCHED:#x} direct_packets_stat 0 direct_qlen {direct_qlen}")
}

fn write_tbf_options(out: &mut String, tbf: &TbfReport) -> fmt::Result {
    write!(out, "rate {} burst {} ", rate(tbf.rate_bits_per_s), size(tbf.burst_bytes))?;
    if let Some(peak) = &tbf.peak {
        write!(out, "peakrate {} minburst {} ", rate(peak.rate_bits_per_s), size(peak.mtu_bytes))?;
    }
    match tree::latency_us(tbf) {
        Some(us) => write!(out, "lat {} ", time(us)),
        None => write!(out, "limit {} ", size(tbf.limit_bytes)),
    }
}

fn write_codel_options(out: &mut String, codel: &CodelReport) -> fmt::Result {
    let [target, interval] = [codel.target_ns, codel.interval_ns].map(|ns| time(ns / 1000));
    write!(out, "limit {}p target {target} interval {interval} ", codel.limit_packets)?;
    out.write_str(if codel.ecn { "ecn " } else { "" })
}

fn write_codel_state(out: &mut String, codel: &CodelReport) -> fmt::Result {
    let CodelReport { count, lastcount, .. } = codel;
    let ldelay = time(codel.ldelay_ns / 1000);
    let dropping = if codel.dropping { " dropping" } else { "" };
    let next_us = codel.drop_next_ns / 1000;
    let sign = if next_us < 0 { "-" } else { "" };
    let next = time(next_us.unsigned_abs());
    writeln!(out, "  count {count} lastcount {lastcount} ldelay {ldelay}{dropping} drop_next {sign}{next}")
}

fn write_stats(out: &mut String, stats: &Stats) -> fmt::Result {
    let Stats { bytes, packets, drops, overlimits, requeues, backlog, qlen } = stats;
    write!(out, " Sent {bytes} bytes {packets} pkt ")?;
    writeln!(out, "(dropped {drops}, overlimits {overlimits} requeues {requeues}) ")?;
    writeln!(out, " backlog {backlog}b {qlen}p requeues {requeues}")
}

fn write_class(out: &mut String, class: &Class<'_>) -> fmt::Result {
    let Class { dev, handle, .. } = class;
    let kind = match class.kind {
        ClassKind::Htb { .. } => "htb",
        ClassKind::Tbf => "tbf",
    };
    write!(out, "class {kind} {handle} dev {dev} ")?;
    match class.parent {
        None => write!(out, "root ")?,
        Some(parent) => write!(out, "parent {parent} ")?,
    }
    if let Some(leaf) = class.leaf {
        write!(out, "leaf {leaf} ")?;
    }
    if let ClassKind::Htb { shape, stats, lended, borrowed } = &class.kind {
        write_htb_shape(out, *shape, class.leaf.is_some())?;
        writeln!(out)?;
        write_stats(out, stats)?;
        writeln!(out, " lended: {lended} borrowed: {borrowed} giants: 0")?;
        let ticks = shape.map_or([0; 2], |shape| [shape.tokens_ns, shape.ctokens_ns].map(to_ticks));
        write!(out, " tokens: {} ctokens: {}", ticks[0], ticks[1])?;
    }
    writeln!(out, "\n")
}

fn write_htb_shape(out: &mut String, shape: Option<&HtbReport>, is_leaf: bool) -> fmt::Result {
    if is_leaf {
        write!(out, "prio {} ", shape.map_or(0, |shape| shape.priority))?;
    }
    let Some(shape) = shape else { return Ok(()) };
    let [assured, ceil] = [shape.rate_bits_per_s, shape.ceil_bits_per_s].map(rate);
    let [burst, cburst] = [shape.burst_bytes, shape.cburst_bytes].map(size);
    write!(out, "rate {assured} ceil {ceil} burst {burst} cburst {cburst} ")
}

/// `PSCHED_NS2TICKS` shifts, and so rounds down.
fn to_ticks(ns: i64) -> i64 {
    ns.div_euclid(NS_PER_TICK)
}
