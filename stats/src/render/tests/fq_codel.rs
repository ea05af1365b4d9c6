//! CoDel and FQ-CoDel beside what the kernel printed, and the forms that it did not.

use super::super::{tc, tc_json};
use super::blocks;
use crate::counters::{DropReason, LaneCounters, Volume};
use crate::lane::{ClassReport, FlowReport, FqCodelReport, HtbReport, LimitReport, QueueReport};
use crate::samples;
use crate::snapshot::Snapshot;

const DROPPING_QDISC: &str = include_str!("../../../tests/golden/fq_codel-dropping.qdisc.txt");
const DROPPING_QDISC_JSON: &str = include_str!("../../../tests/golden/fq_codel-dropping.qdisc.json");
const DROPPING_CLASSES: &str = include_str!("../../../tests/golden/fq_codel-dropping.class.txt");
const MARKING_QDISC: &str = include_str!("../../../tests/golden/fq_codel-marking.qdisc.txt");
const MARKING_QDISC_JSON: &str = include_str!("../../../tests/golden/fq_codel-marking.qdisc.json");
const MARKING_CLASSES: &str = include_str!("../../../tests/golden/fq_codel-marking.class.txt");

/// A lane of 10 Mbit/s that has sent `sent` and holds `queued` packets of 1,000 bytes; its class is the only one.
fn snapshot(sent: Volume, queued: u64, codel_drops: u32, class: ClassReport, fq_codel: FqCodelReport) -> Snapshot {
    let mut counters = LaneCounters { offered: sent, dequeued: sent, sent, ..LaneCounters::default() };
    for _ in 0..codel_drops {
        counters.offered.add(1000);
        counters.drop_frame(DropReason::Codel, 1000);
    }
    let queued = Volume { packets: queued, bytes: 1000 * queued };
    counters.offered = counters.offered.plus(queued);
    let limit = LimitReport::Htb(HtbReport {
        rate_bits_per_s: 10_000_000,
        ceil_bits_per_s: 10_000_000,
        burst_bytes: 1600,
        cburst_bytes: 1600,
    });
    let class = ClassReport { lended: sent.packets, ..class };
    let mut snapshot = samples::snapshot();
    snapshot.link.egress.limit = None;
    snapshot.containers[0].egress = samples::report(&counters, queued, limit, class, QueueReport::FqCodel(fq_codel));
    snapshot
}

fn class(overlimits: u64, ticks: i64) -> ClassReport {
    ClassReport { overlimits, tokens_ns: ticks * 64, ctokens_ns: ticks * 64, ..ClassReport::default() }
}

fn defaults() -> FqCodelReport {
    FqCodelReport {
        limit_packets: 10_240,
        flows: 1024,
        quantum_bytes: 1514,
        target_ns: 5_000_000,
        interval_ns: 100_000_000,
        memory_limit_bytes: 32 << 20,
        ecn: true,
        drop_batch: 64,
        maxpacket: 1000,
        ..FqCodelReport::default()
    }
}

fn dropping() -> Snapshot {
    let flow = FlowReport {
        flow: 0xd1,
        deficit_bytes: 460,
        count: 71,
        lastcount: 20,
        ldelay_ns: 100_900_000,
        ..FlowReport::default()
    };
    let fq_codel = FqCodelReport { new_flow_count: 250, old_flows_len: 1, flow_states: vec![flow], ..defaults() };
    snapshot(Volume { packets: 15_339, bytes: 15_123_000 }, 0, 3990, class(15_326, -12_467), fq_codel)
}

fn flow(flow: u32, qlen: u64, deficit_bytes: i64, count: u32, drop_next_ns: i64) -> FlowReport {
    let ldelay_ns = 3_250_000_000;
    let backlog_bytes = 1000 * qlen;
    FlowReport {
        flow,
        backlog_bytes,
        qlen,
        deficit_bytes,
        count,
        lastcount: 1,
        ldelay_ns,
        dropping: true,
        drop_next_ns,
    }
}

/// As the classes were read, the last of three readings.
pub(super) fn marking() -> Snapshot {
    let flow_states = vec![flow(0x288, 111, 650, 5551, -232_000_000), flow(0x3bc, 103, 304, 5555, -234_000_000)];
    let fq_codel = FqCodelReport { ecn_mark: 11_100, flow_states, ..marked() };
    snapshot(Volume { packets: 19_115, bytes: 18_899_000 }, 214, 0, class(19_102, -12_471), fq_codel)
}

fn marked() -> FqCodelReport {
    FqCodelReport { new_flow_count: 248, old_flows_len: 2, ..defaults() }
}

/// The lane's objects of tc's text, without what a list of one device has not.
fn lane_blocks(snapshot: &Snapshot) -> Vec<String> {
    blocks(&tc::render(snapshot).replace(" dev eth0", ""))
}

#[track_caller]
fn assert_has_all(snapshot: &Snapshot, kernels: &str, count: usize) {
    let (ours, kernels) = (lane_blocks(snapshot), blocks(kernels));
    assert_eq!(kernels.len(), count);
    for block in kernels {
        assert!(ours.contains(&block), "{block}is not among\n{}", ours.concat());
    }
}

#[track_caller]
fn assert_has_json(snapshot: &Snapshot, kernels: &str) {
    let ours = tc_json::render(snapshot).replace(r#""dev":"eth0","#, "");
    assert!(ours.contains(kernels.trim()), "{kernels} is not in\n{ours}");
}

#[test]
fn fq_codel_reads_as_the_kernels() {
    assert_has_all(&dropping(), DROPPING_QDISC, 1);
    assert_has_all(&dropping(), DROPPING_CLASSES, 2);
    assert_has_json(&dropping(), DROPPING_QDISC_JSON);
}

/// With memory used and flows that drop; the kernel's three readings are of three moments.
#[test]
fn a_backlogged_fq_codel_reads_as_the_kernels() {
    let fq_codel = FqCodelReport { ecn_mark: 11_084, memory_used_bytes: 543_744, ..marked() };
    let sent = Volume { packets: 19_093, bytes: 18_877_000 };
    assert_has_all(&snapshot(sent, 236, 0, ClassReport::default(), fq_codel), MARKING_QDISC, 1);

    let fq_codel = FqCodelReport { ecn_mark: 11_095, memory_used_bytes: 518_400, ..marked() };
    let sent = Volume { packets: 19_104, bytes: 18_888_000 };
    assert_has_json(&snapshot(sent, 225, 0, ClassReport::default(), fq_codel), MARKING_QDISC_JSON);

    assert_has_all(&marking(), MARKING_CLASSES, 3);
}

#[test]
fn the_rarer_figures_of_fq_codel_are_in_iproute2s_order() {
    let fq_codel = FqCodelReport {
        ce_threshold_ns: Some(1_000_000),
        ecn: false,
        ce_mark: 3,
        memory_used_bytes: 1 << 40,
        drop_overmemory: 1 << 33,
        drop_overlimit: 1 << 34,
        ..defaults()
    };
    let snapshot = snapshot(Volume::default(), 0, 0, ClassReport::default(), fq_codel);
    let text = tc::render(&snapshot);
    let options = "target 5ms ce_threshold 999us interval 100ms memory_limit 32Mb drop_batch 64 \n";
    assert!(text.contains(options), "{text}");
    let counters = "  maxpacket 1000 drop_overlimit 17179869184 new_flow_count 0 ecn_mark 0 ce_mark 3 \
memory_used 1099511627776 drop_overmemory 8589934592\n  new_flows_len 0 old_flows_len 0\n";
    assert!(text.contains(counters), "{text}");
    let json = tc_json::render(&snapshot);
    let options = r#""target":4999,"ce_threshold":999,"interval":99999,"memory_limit":33554432,"drop_batch":64}"#;
    assert!(json.contains(options), "{json}");
    let counters =
        r#""ecn_mark":0,"ce_mark":3,"memory_used":1099511627776,"drop_overmemory":8589934592,"new_flows_len":0,"#;
    assert!(json.contains(counters), "{json}");
}

#[test]
fn flows_are_classes_in_json_too() {
    let json = tc_json::render(&marking());
    let class = r#"{"class":"fq_codel","handle":"10:289","dev":"eth0","parent":"10:","stats":{"drops":0,"overlimits":0,"requeues":0,"backlog":111000,"qlen":111,"deficit":650,"count":5551,"lastcount":1,"ldelay":3249999,"dropping":true,"drop_next":-231999}}"#;
    assert!(json.contains(class), "{json}");
    let json = tc_json::render(&dropping());
    let calm = r#""deficit":460,"count":71,"lastcount":20,"ldelay":100899}}"#;
    assert!(json.contains(calm), "{json}");
}

#[test]
fn flows_below_a_filter_belong_to_the_queue_and_not_to_the_filter() {
    let mut snapshot = marking();
    snapshot.containers[1].egress.queue = snapshot.containers[0].egress.queue.clone();
    let text = tc::render(&snapshot);
    assert!(text.contains("qdisc fq_codel 8011: dev eth0 parent 11:1 limit 10240p "), "{text}");
    assert!(text.contains("class fq_codel 8011:289 dev eth0 parent 8011: \n (dropped 0,"), "{text}");
}

#[test]
fn codel_is_printed_as_iproute2_would() {
    let text = tc::render(&samples::snapshot());
    let expected = "\
qdisc codel 10: dev veth-web parent 1:10 limit 1000p target 5ms interval 100ms ecn \n \
Sent 80000 bytes 80 pkt (dropped 4, overlimits 0 requeues 0) \n \
backlog 6000b 6p requeues 0\n  \
count 8 lastcount 1 ldelay 7.23ms dropping drop_next -232ms\n  \
maxpacket 1514 ecn_mark 7 drop_overlimit 3\n";
    assert!(text.contains(expected), "{text}");
    let idle = "  count 0 lastcount 0 ldelay 0us drop_next 0us\n  maxpacket 0 ecn_mark 0 drop_overlimit 0\n";
    assert!(text.contains(idle), "{text}");
}

#[test]
fn codel_json_flattens_its_state_behind_qlen() {
    let json = tc_json::render(&samples::snapshot());
    let expected = r#"{"kind":"codel","handle":"10:","dev":"veth-web","parent":"1:10","options":{"limit":1000,"target":4999,"interval":99999,"ecn":true},"bytes":80000,"packets":80,"drops":4,"overlimits":0,"requeues":0,"backlog":6000,"qlen":6,"count":8,"lastcount":1,"ldelay":7234,"dropping":true,"drop_next":-232000,"maxpacket":1514,"ecn_mark":7,"drop_overlimit":3}"#;
    assert!(json.contains(expected), "{json}");
}

#[test]
fn codel_shows_its_threshold_where_it_has_one() {
    let mut snapshot = samples::snapshot();
    let QueueReport::Codel(codel) = &mut snapshot.containers[0].ingress.queue else {
        panic!("the sample's first container has CoDel");
    };
    codel.ce_threshold_ns = Some(2_500_000);
    codel.ce_mark = 9;
    let text = tc::render(&snapshot);
    assert!(text.contains("limit 1000p target 5ms ce_threshold 2.5ms interval 100ms ecn \n"), "{text}");
    assert!(text.contains("  maxpacket 1514 ecn_mark 7 drop_overlimit 3 ce_mark 9\n"), "{text}");
    let json = tc_json::render(&snapshot);
    assert!(json.contains(r#""target":4999,"ce_threshold":2499,"interval":99999,"ecn":true}"#), "{json}");
    assert!(json.contains(r#""drop_overlimit":3,"ce_mark":9}"#), "{json}");
}
