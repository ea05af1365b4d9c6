//! Series by the names that others gave them: node_exporter's qdisc collector, and cAdvisor.

use std::borrow::Borrow;
use std::fmt;

use super::super::tree::{self, Stats};
use super::exposition::{Kind, Writer, labels};
use crate::snapshot::{ContainerReport, Snapshot};

type Figure<T> = (Kind, &'static str, &'static str, fn(&T) -> u64);

const QDISC: [Figure<Stats>; 7] = [
    (Kind::Counter, "node_qdisc_bytes", "Number of bytes sent.", |stats| stats.bytes),
    (Kind::Counter, "node_qdisc_packets", "Number of packets sent.", |stats| stats.packets),
    (Kind::Counter, "node_qdisc_drops", "Number of packet drops.", |stats| stats.drops),
    (Kind::Counter, "node_qdisc_requeues", "Number of packets dequeued, not transmitted, and requeued.", |stats| {
        stats.requeues
    }),
    (Kind::Counter, "node_qdisc_overlimits", "Number of packet overlimits.", |stats| stats.overlimits),
    (Kind::Gauge, "node_qdisc_current_queue_length", "Number of packets currently in queue to be sent.", |stats| {
        stats.qlen
    }),
    (Kind::Gauge, "node_qdisc_backlog", "Number of bytes currently in queue to be sent.", |stats| stats.backlog),
];

/// Without what no container owns: it is nobody's interface.
const CADVISOR: [Figure<ContainerReport>; 8] = [
    (Kind::Counter, "container_network_receive_bytes", "Cumulative count of bytes received", |of| {
        of.ingress.sent_bytes
    }),
    (Kind::Counter, "container_network_receive_packets", "Cumulative count of packets received", |of| {
        of.ingress.sent_packets
    }),
    (
        Kind::Counter,
        "container_network_receive_packets_dropped",
        "Cumulative count of packets dropped while receiving",
        |of| of.ingress.dropped().packets,
    ),
    (
        Kind::Counter,
        "container_network_receive_errors",
        "Cumulative count of errors encountered while receiving",
        |_| 0,
    ),
    (Kind::Counter, "container_network_transmit_bytes", "Cumulative count of bytes transmitted", |of| {
        of.egress.sent_bytes
    }),
    (Kind::Counter, "container_network_transmit_packets", "Cumulative count of packets transmitted", |of| {
        of.egress.sent_packets
    }),
    (
        Kind::Counter,
        "container_network_transmit_packets_dropped",
        "Cumulative count of packets dropped while transmitting",
        |of| of.egress.dropped().packets,
    ),
    (
        Kind::Counter,
        "container_network_transmit_errors",
        "Cumulative count of errors encountered while transmitting",
        |_| 0,
    ),
];

pub(super) fn write_qdiscs(out: &mut Writer, snapshot: &Snapshot) -> fmt::Result {
    // Handles are given once on a device, but both directions of a replay have the same.
    if snapshot.devices.ingress == snapshot.devices.egress {
        return Ok(());
    }
    let qdiscs: Vec<_> = tree::qdiscs(snapshot)
        .into_iter()
        .map(|qdisc| {
            let parent = qdisc.parent.map_or_else(|| "root".to_owned(), |parent| parent.to_string());
            let (kind, handle) = (qdisc.kind.name(), qdisc.handle.to_string());
            let labels = [("device", qdisc.dev), ("kind", kind), ("parent", &parent), ("handle", &handle)];
            (self::labels(&labels), qdisc.stats)
        })
        .collect();
    write(out, QDISC, &qdiscs)
}

pub(super) fn write_cadvisor(out: &mut Writer, snapshot: &Snapshot) -> fmt::Result {
    let interface = &snapshot.devices.ingress;
    let containers = snapshot.containers.iter();
    let containers = containers.map(|of| (labels(&[("container", &of.id), ("interface", interface)]), of));
    write(out, CADVISOR, &containers.collect::<Vec<_>>())
}

fn write<T, B: Borrow<T>, const N: usize>(
    out: &mut Writer,
    figures: [Figure<T>; N],
    all: &[(String, B)],
) -> fmt::Result {
    for (kind, name, help, value) in figures {
        let mut family = out.family(kind, name, help)?;
        for (labels, of) in all {
            family.sample(labels, value(of.borrow()))?;
        }
    }
    Ok(())
}
