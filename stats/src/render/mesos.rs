//! As a Mesos agent serves it at `/monitor/statistics`: an array with one object per executor, here one per container.
//!
//! Names, types and units are those of `ResourceStatistics` and `TrafficControlStatistics` in `mesos.proto`; keys are in
//! alphabetical order, and what is not known is absent. `net_rx_*` is what was delivered to the container, `net_tx_*` what
//! was sent on from it: Mesos reads them at the container's veth, behind its egress shaping. A malformed frame has no owner,
//! so no container has errors.
//!
//! Of a container that portlane has attached, packets, bytes and errors are read at its veth, too. There its egress shaping comes
//! after it: `net_tx_packets` is what it sent, and `net_tx_dropped` of it what was dropped at the interface, for a foreign port, and
//! by its lane.
//!
//! `net_traffic_control_statistics` has the egress elements first, under the ids they always had, then the ingress ones
//! with the prefix of the later schema. Consumers select by `id`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::lane::{HtbReport, LaneReport, LimitReport, TrafficControl};
use crate::live::{InterfaceReport, Passed};
use crate::snapshot::{ContainerReport, Ports, Snapshot};
use crate::window::{Percentiles, WindowRates};

/// The report as Mesos' monitoring JSON.
#[must_use]
pub fn render(snapshot: &Snapshot) -> String {
    let timestamp = snapshot.time_ns as f64 / 1e9;
    let containers = snapshot.containers.iter();
    let executors: Vec<_> = containers
        .map(|container| {
            let counted = snapshot.netstat.get(&container.id).and_then(|sources| sources.get("proc"));
            Executor::new(container, counted, timestamp)
        })
        .collect();
    let mut out =
        serde_json::to_string(&executors).expect("plain structs with string keys do not refuse to be serialized");
    out.push('\n');
    out
}

#[derive(Serialize)]
struct Executor<'a> {
    executor_id: &'a str,
    executor_name: &'a str,
    framework_id: &'a str,
    source: &'a str,
    statistics: Statistics<'a>,
}

/// The network part of `ResourceStatistics`; the fields are in emission order.
#[derive(Serialize)]
struct Statistics<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    net_ephemeral_ports: Option<Ports>,
    #[serde(skip_serializing_if = "Option::is_none")]
    net_rate_statistics: Option<RateStatistics>,
    #[serde(skip_serializing_if = "Option::is_none")]
    net_rx_burst_rate_limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    net_rx_burst_size: Option<u64>,
    net_rx_bytes: u64,
    net_rx_dropped: u64,
    net_rx_errors: u64,
    net_rx_packets: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    net_rx_rate_limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    net_snmp_statistics: Option<Snmp<'a>>,
    #[serde(flatten)]
    net_tcp: Connections,
    net_traffic_control_statistics: [Element<'a>; 4],
    #[serde(skip_serializing_if = "Option::is_none")]
    net_tx_burst_rate_limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    net_tx_burst_size: Option<u64>,
    net_tx_bytes: u64,
    net_tx_dropped: u64,
    net_tx_errors: u64,
    net_tx_packets: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    net_tx_rate_limit: Option<u64>,
    /// Seconds since the epoch.
    timestamp: f64,
}

/// `SNMPStatistics`: what the kernel counts in the container's namespace (`/proc/net/snmp`), field by field under the kernel's names.
#[derive(Serialize)]
struct Snmp<'a> {
    icmp_stats: BTreeMap<&'a str, i64>,
    ip_stats: BTreeMap<&'a str, i64>,
    tcp_stats: BTreeMap<&'a str, i64>,
    udp_stats: BTreeMap<&'a str, i64>,
}

impl<'a> Snmp<'a> {
    fn new(values: &'a BTreeMap<String, i64>) -> Self {
        let of = |protocol: &str| {
            let fields = values.iter().filter_map(|(name, &value)| Some((name.strip_prefix(protocol)?, value)));
            fields.collect()
        };
        Self { icmp_stats: of("Icmp_"), ip_stats: of("Ip_"), tcp_stats: of("Tcp_"), udp_stats: of("Udp_") }
    }
}

/// TCP connections of the container's namespace, and how long packets and their answers take there, in microseconds.
#[derive(Default, Serialize)]
struct Connections {
    #[serde(skip_serializing_if = "Option::is_none")]
    net_tcp_active_connections: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    net_tcp_rtt_microsecs_p50: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    net_tcp_rtt_microsecs_p90: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    net_tcp_rtt_microsecs_p95: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    net_tcp_rtt_microsecs_p99: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    net_tcp_time_wait_connections: Option<f64>,
}

impl Connections {
    fn new(values: &BTreeMap<String, i64>) -> Self {
        let value = |name: &str| values.get(name).map(|&value| value as f64);
        let rtt = |percent: u8| value(&format!("rtt_p{percent}_microseconds"));
        // Connections with IPv4 of sockets that take both families are among those of IPv6.
        let active = value("sockstat_TCP_inuse").map(|v4| v4 + value("sockstat_TCP6_inuse").unwrap_or(0.0));
        Self {
            net_tcp_active_connections: active,
            net_tcp_rtt_microsecs_p50: rtt(50),
            net_tcp_rtt_microsecs_p90: rtt(90),
            net_tcp_rtt_microsecs_p95: rtt(95),
            net_tcp_rtt_microsecs_p99: rtt(99),
            net_tcp_time_wait_connections: value("sockstat_TCP_tw"),
        }
    }
}

/// `RateStatistics`: bytes and packets per second.
#[derive(Serialize)]
struct RateStatistics {
    rx_drop_rate: Percentiles,
    rx_error_rate: Percentiles,
    rx_packet_rate: Percentiles,
    rx_rate: Percentiles,
    sampling_interval_secs: f64,
    sampling_window_secs: f64,
    tx_drop_rate: Percentiles,
    tx_error_rate: Percentiles,
    tx_packet_rate: Percentiles,
    tx_rate: Percentiles,
}

impl RateStatistics {
    fn new(rx: &WindowRates, tx: &WindowRates) -> Self {
        // There are no errors at any time.
        let errors = |of: &WindowRates| Percentiles { samples: of.bytes_per_s.samples, ..Percentiles::default() };
        Self {
            rx_drop_rate: rx.drops_per_s,
            rx_error_rate: errors(rx),
            rx_packet_rate: rx.packets_per_s,
            rx_rate: rx.bytes_per_s,
            sampling_interval_secs: rx.interval_ns as f64 / 1e9,
            sampling_window_secs: rx.window_ns as f64 / 1e9,
            tx_drop_rate: tx.drops_per_s,
            tx_error_rate: errors(tx),
            tx_packet_rate: tx.packets_per_s,
            tx_rate: tx.bytes_per_s,
        }
    }
}

/// `TrafficControlStatistics`.
#[derive(Serialize)]
struct Element<'a> {
    backlog: u64,
    bytes: u64,
    drops: u64,
    id: &'a str,
    overlimits: u64,
    packets: u64,
    qlen: u64,
    ratebps: u64,
    ratepps: u64,
    requeues: u64,
}

impl<'a> Executor<'a> {
    fn new(container: &'a ContainerReport, counted: Option<&'a BTreeMap<String, i64>>, timestamp: f64) -> Self {
        let ContainerReport { id, mesos, ephemeral_ports, interface, ingress, egress, .. } = container;
        let or_id = |given: &'a Option<String>| given.as_ref().unwrap_or(id).as_str();
        let (rx, tx) = (Limits::of(ingress), Limits::of(egress));
        let passed = |of: fn(&InterfaceReport) -> Passed, lane| passed(interface.as_ref().map(of), lane);
        let (received, sent) = (passed(|of| of.rx, ingress), passed(|of| of.tx, egress));
        let rates = ingress.rates.as_ref().zip(egress.rates.as_ref());
        Self {
            executor_id: or_id(&mesos.executor_id),
            executor_name: or_id(&mesos.executor_name),
            framework_id: mesos.framework_id.as_deref().unwrap_or(""),
            source: or_id(&mesos.source),
            statistics: Statistics {
                net_ephemeral_ports: *ephemeral_ports,
                net_rate_statistics: rates.map(|(rx, tx)| RateStatistics::new(rx, tx)),
                net_rx_burst_rate_limit: rx.burst_rate,
                net_rx_burst_size: rx.burst_size,
                net_rx_bytes: received.bytes,
                net_rx_dropped: received.dropped,
                net_rx_errors: received.errors,
                net_rx_packets: received.packets,
                net_rx_rate_limit: rx.rate,
                net_snmp_statistics: counted.map(Snmp::new),
                net_tcp: counted.map(Connections::new).unwrap_or_default(),
                net_traffic_control_statistics: [
                    Element::new(egress.bw_limit(), "bw_limit"),
                    Element::new(egress.bloat_reduction(), "bloat_reduction"),
                    Element::new(ingress.bw_limit(), "ingress_bw_limit"),
                    Element::new(ingress.bloat_reduction(), "ingress_bloat_reduction"),
                ],
                net_tx_burst_rate_limit: tx.burst_rate,
                net_tx_burst_size: tx.burst_size,
                net_tx_bytes: sent.bytes,
                net_tx_dropped: sent.dropped,
                net_tx_errors: sent.errors,
                net_tx_packets: sent.packets,
                net_tx_rate_limit: tx.rate,
                timestamp,
            },
        }
    }
}

/// What passed a container's interface, or else its lane; drops are those of both.
fn passed(interface: Option<Passed>, lane: &LaneReport) -> Passed {
    let of_lane = lane.dropped().packets;
    match interface {
        Some(interface) => Passed { dropped: interface.dropped.saturating_add(of_lane), ..interface },
        None => Passed { packets: lane.sent_packets, bytes: lane.sent_bytes, errors: 0, dropped: of_lane },
    }
}

impl<'a> Element<'a> {
    fn new(element: &TrafficControl, id: &'a str) -> Self {
        Self {
            backlog: element.backlog,
            bytes: element.bytes,
            drops: element.drops,
            id,
            overlimits: element.overlimits,
            packets: element.packets,
            qlen: element.qlen,
            ratebps: element.ratebps,
            ratepps: element.ratepps,
            requeues: element.requeues,
        }
    }
}

/// A direction's limit in Mesos' terms, bytes per second and bytes; what does not apply is absent.
#[derive(Default)]
struct Limits {
    rate: Option<u64>,
    /// The ceil, and the bytes that may pass at it: only where there is one, above the rate.
    burst_rate: Option<u64>,
    burst_size: Option<u64>,
}

impl Limits {
    fn of(lane: &LaneReport) -> Self {
        match &lane.limit {
            LimitReport::None => Self::default(),
            LimitReport::Tbf(tbf) => Self { rate: Some(tbf.rate_bits_per_s / 8), ..Self::default() },
            LimitReport::Htb(htb) => {
                let has_ceil = htb.rate_bits_per_s < htb.ceil_bits_per_s && htb.ceil_bits_per_s < HtbReport::NO_CEIL;
                Self {
                    rate: Some(htb.rate_bits_per_s / 8),
                    burst_rate: has_ceil.then_some(htb.ceil_bits_per_s / 8),
                    burst_size: has_ceil.then_some(htb.burst_bytes),
                }
            }
        }
    }
}
