//! The link and the groups.

use std::fmt;

use super::exposition::{Kind, Writer, bytes, labels};
use crate::lane::HtbReport;
use crate::snapshot::{NodeReport, Snapshot};

/// What is told of a node: what it is, its name, its help, and the value where there is one.
type Figure = (Kind, &'static str, &'static str, fn(&NodeReport) -> Option<String>);

const FIGURES: [Figure; 7] = [
    (Kind::Counter, "sent_packets", "Packets sent by the lanes below it.", |node| Some(node.sent_packets.to_string())),
    (Kind::Counter, "sent_bytes", "Bytes sent by the lanes below it.", |node| Some(node.sent_bytes.to_string())),
    (Kind::Counter, "lent_packets", "Packets sent on its credit.", |node| Some(node.class.lended.to_string())),
    (Kind::Counter, "borrowed_packets", "Packets sent on the credit of a node above.", |node| {
        Some(node.class.borrowed.to_string())
    }),
    (Kind::Counter, "overlimits", "Times that it reached its ceil.", |node| Some(node.class.overlimits.to_string())),
    (Kind::Gauge, "limit_bytes_per_second", "Its rate, as configured; absent if it has none.", |node| {
        node.limit.as_ref().map(|limit| bytes(limit.rate_bits_per_s))
    }),
    (
        Kind::Gauge,
        "ceil_bytes_per_second",
        "The rate up to which it may borrow; absent if there is no limit to that.",
        |node| {
            let ceil = node.limit.as_ref().map(|limit| limit.ceil_bits_per_s);
            ceil.filter(|&ceil| ceil < HtbReport::NO_CEIL).map(bytes)
        },
    ),
];

pub(super) fn write(out: &mut Writer, snapshot: &Snapshot) -> fmt::Result {
    write_nodes(out, "link_ingress", &[(String::new(), &snapshot.link.ingress)])?;
    write_nodes(out, "link_egress", &[(String::new(), &snapshot.link.egress)])?;
    let groups = || snapshot.groups.iter().map(|group| (labels(&[("group", &group.id)]), group));
    let ingress: Vec<_> = groups().map(|(labels, group)| (labels, &group.ingress)).collect();
    let egress: Vec<_> = groups().map(|(labels, group)| (labels, &group.egress)).collect();
    write_nodes(out, "group_ingress", &ingress)?;
    write_nodes(out, "group_egress", &egress)
}

fn write_nodes(out: &mut Writer, prefix: &str, nodes: &[(String, &NodeReport)]) -> fmt::Result {
    for (kind, name, help, value) in FIGURES {
        let mut family = out.family(kind, &format!("portlane_{prefix}_{name}"), help)?;
        for (labels, node) in nodes {
            if let Some(value) = value(node) {
                family.sample(labels, value)?;
            }
        }
    }
    Ok(())
}
