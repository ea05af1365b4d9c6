//! The kernel's counters of containers' network namespaces, under the names that node_exporter gives a host's.

use std::collections::BTreeSet;
use std::fmt;

use super::exposition::{Kind, Writer, labels};
use crate::snapshot::Snapshot;

/// What is told of each protocol: node_exporter's default (`netstat_fields`), and what it leaves out of how TCP fares.
fn is_told(name: &str) -> bool {
    let Some((protocol, field)) = name.split_once('_') else { return false };
    let is_among = |fields: &[&str]| fields.contains(&field);
    let by_protocol = match protocol {
        "Ip" => is_among(&["Forwarding"]),
        "Ip6" | "IpExt" => is_among(&["InOctets", "OutOctets"]),
        "Icmp" | "Icmp6" => is_among(&["InMsgs", "OutMsgs"]),
        "Udp" | "Udp6" => is_among(&["InDatagrams", "OutDatagrams", "NoPorts", "RcvbufErrors", "SndbufErrors"]),
        "Tcp" => is_among(&[
            "ActiveOpens",
            "AttemptFails",
            "CurrEstab",
            "EstabResets",
            "InCsumErrors",
            "InSegs",
            "OutRsts",
            "OutSegs",
            "PassiveOpens",
            "RetransSegs",
        ]),
        "TcpExt" => {
            field.starts_with("Listen")
                || field.starts_with("Syncookies")
                || is_among(&["TCPOFOQueue", "TCPRcvQDrop", "TCPSynRetrans", "TCPTimeouts"])
        }
        _ => false,
    };
    by_protocol || is_among(&["InErrors", "InErrs"])
}

pub(super) fn write(out: &mut Writer, snapshot: &Snapshot) -> fmt::Result {
    let all = || snapshot.netstat.iter().flat_map(|(container, sources)| sources.iter().map(move |of| (container, of)));
    let names: BTreeSet<_> = all().flat_map(|(_, (_, values))| values.keys()).filter(|name| is_told(name)).collect();
    for name in names {
        let help = format!("Statistic {}.", name.replace('_', ""));
        let mut family = out.family(Kind::Untyped, &format!("node_netstat_{name}"), &help)?;
        for (container, (source, values)) in all() {
            if let Some(value) = values.get(name) {
                family.sample(&labels(&[("container", container), ("source", source)]), value)?;
            }
        }
    }
    for (name, help) in [
        ("sockstat_TCP_inuse", "Number of TCP sockets in state inuse."),
        ("sockstat_TCP_tw", "Number of TCP sockets in state tw."),
        ("sockstat_TCP6_inuse", "Number of TCP6 sockets in state inuse."),
    ] {
        let known = || all().filter_map(|(container, (source, of))| Some((container, source, of.get(name)?)));
        if known().next().is_some() {
            let mut family = out.family(Kind::Gauge, &format!("node_{name}"), help)?;
            for (container, source, value) in known() {
                family.sample(&labels(&[("container", container), ("source", source)]), value)?;
            }
        }
    }
    write_round_trips(out, snapshot)?;
    let own = [
        ("Wire_UnansweredSyns", "unanswered_syns", "SYNs that neither a SYN+ACK nor a reset has answered."),
        ("Wire_Untracked", "untracked_connections", "Connections that there was no room for."),
    ];
    for (name, of, help) in own {
        let known: Vec<_> = all().filter_map(|(container, (_, values))| Some((container, values.get(name)?))).collect();
        if known.is_empty() {
            continue;
        }
        let mut family = out.family(Kind::Counter, &format!("portlane_container_{of}"), help)?;
        for (container, value) in known {
            family.sample(&labels(&[("container", container)]), value)?;
        }
    }
    if all().any(|(_, (source, _))| source == "wire") {
        let help = "Packets of containers that were not seen by who tells TCP's counters from frames.";
        out.family(Kind::Counter, "portlane_wire_lost_packets", help)?.sample("", snapshot.wire_lost_packets)?;
    }
    Ok(())
}

fn write_round_trips(out: &mut Writer, snapshot: &Snapshot) -> fmt::Result {
    let measured = || {
        let sources =
            snapshot.netstat.iter().flat_map(|(container, sources)| sources.values().map(move |of| (container, of)));
        sources.flat_map(|(container, of)| {
            let percentile = move |percent| Some((container, percent, of.get(&format!("rtt_{percent}_microseconds"))?));
            ["p50", "p90", "p95", "p99"].into_iter().filter_map(percentile)
        })
    };
    if measured().next().is_none() {
        return Ok(());
    }
    let help = "The kernel's smoothed round-trip times of the container's TCP connections: percentiles.";
    let mut family = out.family(Kind::Gauge, "portlane_container_tcp_rtt_seconds", help)?;
    for (container, percent, &microseconds) in measured() {
        let labels = labels(&[("container", container), ("statistic", percent)]);
        family.sample(&labels, microseconds as f64 / 1e6)?;
    }
    Ok(())
}
