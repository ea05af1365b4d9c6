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
