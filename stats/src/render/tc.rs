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
//! | … `limit … flows … quantum …` | `fq_codel_print_opt`, `tc/q_fq_codel.c` | `fq_codel_dump` |
//! | `Sent …`, `backlog …` | `print_tcstats2_attr`, `tc/tc_util.c` | `gnet_stats_copy_basic`, `gnet_stats_copy_queue` |
//! | `count …`, `maxpacket …` | `codel_print_xstats`, `tc/q_codel.c` | `codel_dump_stats` |
//! | `maxpacket …`, `new_flows_len …` | `fq_codel_print_xstats`, `tc/q_fq_codel.c` | `fq_codel_dump_stats` |
//! | `class htb …` | `print_class`, `tc/tc_class.c`, and `htb_print_opt` | `htb_dump_class` |
//! | `lended: …`, `tokens: …` | `htb_print_xstats`, `tc/q_htb.c` | `htb_dump_class_stats` |
//! | `class tbf …` | `print_class` | `tbf_dump_class` |
//! | `class fq_codel …`, `deficit …` | `print_class`, `fq_codel_print_xstats` | `fq_codel_dump_class_stats` |
//!
//! Which class is which: [`render::tc_json`](super::tc_json) has the same ones. Containers are numbered from `1:2` on, in the
//! order of the configuration as long as it stays the same, and the groups from `1:fffd` down; `1:fffe` is unmatched traffic, `1:1`
//! the link ([`render::containers`](super::containers) has the names). A flow of an fq_codel is the class `10:d2` of its qdisc `10:`, and at most 32 are shown of each.
//!
//! Three differences: `backlog` is always in plain bytes (tc writes large ones as `1234Kb`, which known parsers fail on);
//! classes name their `dev`, as `tc monitor` does, since there are two; a class that has no limit of its own has no `rate` and
//! what follows it, since the kernel has no class without a rate.
//!
//! Times of CoDel are in the kernel's units of 1.024 µs, as tc shows them. Counters are 64 bits wide and do not wrap.

use std::fmt::{self, Write};

use super::tree::{self, Class, ClassKind, HtbClass, Kind, Qdisc, Stats};
use super::units::{c_hex, codel_time_us, rate, signed_codel_time_us, size, time};
use crate::lane::{CodelReport, FlowReport, FqCodelReport, HtbReport, TbfReport};
use crate::snapshot::Snapshot;

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
        Kind::Htb { default } => write_htb_options(out, *default)?,
        Kind::Tbf(tbf) => write_tbf_options(out, tbf)?,
        Kind::Pfifo { limit_packets } => write!(out, "limit {limit_packets}p")?,
        Kind::Codel { codel, .. } => write_codel_options(out, codel)?,
        Kind::FqCodel(fq_codel) => write_fq_codel_options(out, fq_codel)?,
    }
    writeln!(out)?;
    write_sent(out, &qdisc.stats)?;
    write_stats(out, &qdisc.stats)?;
    match &qdisc.kind {
        Kind::Codel { codel, ecn_marks, drop_overlimit } => write_codel_state(out, codel, *ecn_marks, *drop_overlimit),
        Kind::FqCodel(fq_codel) => write_fq_codel_counters(out, fq_codel),
        Kind::Htb { .. } | Kind::Tbf(_) | Kind::Pfifo { .. } => Ok(()),
    }
}

fn write_htb_options(out: &mut String, default: u64) -> fmt::Result {
    let (r2q, direct_qlen) = (tree::R2Q, tree::DIRECT_QLEN);
    let default = c_hex(default);
    write!(out, "r2q {r2q} default {default} direct_packets_stat 0 direct_qlen {direct_qlen}")
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
    write!(out, "limit {}p ", codel.limit_packets)?;
    write_codel_times(out, codel.target_ns, codel.ce_threshold_ns, codel.interval_ns)?;
    out.write_str(if codel.ecn { "ecn " } else { "" })
}

fn write_fq_codel_options(out: &mut String, fq_codel: &FqCodelReport) -> fmt::Result {
    let FqCodelReport { limit_packets, flows, quantum_bytes, drop_batch, .. } = fq_codel;
    write!(out, "limit {limit_packets}p flows {flows} quantum {quantum_bytes} ")?;
    write_codel_times(out, fq_codel.target_ns, fq_codel.ce_threshold_ns, fq_codel.interval_ns)?;
    write!(out, "memory_limit {} ", size(fq_codel.memory_limit_bytes))?;
    out.write_str(if fq_codel.ecn { "ecn " } else { "" })?;
    write!(out, "drop_batch {drop_batch} ")
}

fn write_codel_times(out: &mut String, target: u64, ce_threshold: Option<u64>, interval: u64) -> fmt::Result {
    let shown = |ns| time(codel_time_us(ns));
    write!(out, "target {} ", shown(target))?;
    if let Some(ce_threshold) = ce_threshold {
        write!(out, "ce_threshold {} ", shown(ce_threshold))?;
    }
    write!(out, "interval {} ", shown(interval))
}

fn write_codel_state(out: &mut String, codel: &CodelReport, ecn_marks: u64, drop_overlimit: u64) -> fmt::Result {
    let CodelReport { count, lastcount, maxpacket, ce_mark, .. } = codel;
    let ldelay = time(codel_time_us(codel.ldelay_ns));
    let dropping = if codel.dropping { " dropping" } else { "" };
    let next = signed_time(codel.drop_next_ns);
    writeln!(out, "  count {count} lastcount {lastcount} ldelay {ldelay}{dropping} drop_next {next}")?;
    write!(out, "  maxpacket {maxpacket} ecn_mark {ecn_marks} drop_overlimit {drop_overlimit}")?;
    write_unless_zero(out, "ce_mark", *ce_mark)?;
    writeln!(out)
}

fn write_fq_codel_counters(out: &mut String, fq_codel: &FqCodelReport) -> fmt::Result {
    let FqCodelReport { maxpacket, drop_overlimit, new_flow_count, ecn_mark, .. } = fq_codel;
    write!(out, "  maxpacket {maxpacket} drop_overlimit {drop_overlimit} ")?;
    write!(out, "new_flow_count {new_flow_count} ecn_mark {ecn_mark}")?;
    write_unless_zero(out, "ce_mark", fq_codel.ce_mark)?;
    write_unless_zero(out, "memory_used", fq_codel.memory_used_bytes)?;
    write_unless_zero(out, "drop_overmemory", fq_codel.drop_overmemory)?;
    writeln!(out)?;
    writeln!(out, "  new_flows_len {} old_flows_len {}", fq_codel.new_flows_len, fq_codel.old_flows_len)
}

fn write_unless_zero(out: &mut String, key: &str, count: u64) -> fmt::Result {
    if count == 0 { Ok(()) } else { write!(out, " {key} {count}") }
}

fn signed_time(ns: i64) -> String {
    let us = signed_codel_time_us(ns);
    let sign = if us < 0 { "-" } else { "" };
    format!("{sign}{}", time(us.unsigned_abs()))
}

fn write_sent(out: &mut String, stats: &Stats) -> fmt::Result {
    write!(out, " Sent {} bytes {} pkt", stats.bytes, stats.packets)
}

/// What follows `Sent …`, or stands alone.
fn write_stats(out: &mut String, stats: &Stats) -> fmt::Result {
    let Stats { drops, overlimits, requeues, backlog, qlen, .. } = stats;
    writeln!(out, " (dropped {drops}, overlimits {overlimits} requeues {requeues}) ")?;
    writeln!(out, " backlog {backlog}b {qlen}p requeues {requeues}")
}

fn write_class(out: &mut String, class: &Class<'_>) -> fmt::Result {
    let Class { dev, handle, .. } = class;
    write!(out, "class {} {handle} dev {dev} ", class.kind.name())?;
    match class.parent {
        None => write!(out, "root ")?,
        Some(parent) => write!(out, "parent {parent} ")?,
    }
    if let Some(leaf) = class.leaf {
        write!(out, "leaf {leaf} ")?;
    }
    match &class.kind {
        ClassKind::Htb(htb) => write_htb_class(out, htb, class.leaf.is_some()),
        ClassKind::Tbf => writeln!(out, "\n"),
        ClassKind::FqCodel { flow, stats } => {
            writeln!(out)?;
            write_stats(out, stats)?;
            write_flow(out, flow)
        }
    }
}

fn write_htb_class(out: &mut String, htb: &HtbClass<'_>, is_leaf: bool) -> fmt::Result {
    if is_leaf {
        write!(out, "prio {} ", htb.class.priority)?;
    }
    if let Some(limit) = htb.limit {
        write_htb_rates(out, limit, htb.class.overhead_bytes)?;
    }
    writeln!(out)?;
    write_sent(out, &htb.stats)?;
    write_stats(out, &htb.stats)?;
    writeln!(out, " lended: {} borrowed: {} giants: 0", htb.class.lended, htb.class.borrowed)?;
    let [tokens, ctokens] = htb.credit_ticks();
    writeln!(out, " tokens: {tokens} ctokens: {ctokens}\n")
}

fn write_htb_rates(out: &mut String, limit: &HtbReport, overhead_bytes: u32) -> fmt::Result {
    write!(out, "rate {}", rate(limit.rate_bits_per_s))?;
    write_unless_zero(out, "overhead", u64::from(overhead_bytes))?;
    let [burst, cburst] = [limit.burst_bytes, limit.cburst_bytes].map(size);
    write!(out, " ceil {} burst {burst} cburst {cburst} ", rate(limit.ceil_bits_per_s))
}

fn write_flow(out: &mut String, flow: &FlowReport) -> fmt::Result {
    let FlowReport { deficit_bytes, count, lastcount, .. } = flow;
    let ldelay = time(codel_time_us(flow.ldelay_ns));
    write!(out, "  deficit {deficit_bytes} count {count} lastcount {lastcount} ldelay {ldelay}")?;
    if flow.dropping {
        write!(out, " dropping drop_next {}", signed_time(flow.drop_next_ns))?;
    }
    writeln!(out)
}
