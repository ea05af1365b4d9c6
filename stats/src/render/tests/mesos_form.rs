use regex::Regex;
use serde_json::Value;

use super::super::mesos;
use crate::lane::{HtbReport, LimitReport};
use crate::live::{InterfaceReport, Passed};
use crate::samples;
use crate::snapshot::Ports;

#[test]
fn mesos_objects_have_the_agents_keys_in_alphabetical_order() {
    let text = mesos::render(&samples::snapshot());
    let web = text.split("},{\"executor_id\"").next().unwrap();
    let keys: Vec<_> =
        Regex::new(r#""(net_\w+|timestamp)":"#).unwrap().captures_iter(web).map(|key| key[1].to_owned()).collect();
    assert!(keys.is_sorted(), "{keys:?}");
    assert_eq!(keys.len(), 14, "no burst for egress: its ceil is its rate");
    let element = r#"{"backlog":6000,"bytes":80000,"drops":4,"id":"ingress_bw_limit","overlimits":60,"packets":80,"qlen":6,"ratebps":40000,"ratepps":40,"requeues":1}"#;
    assert!(web.contains(element), "{web}");
}

#[test]
fn mesos_counts_from_the_containers_side() {
    let json: Value = serde_json::from_str(&mesos::render(&samples::snapshot())).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 3);
    let executor = &json[0];
    for key in ["executor_id", "executor_name", "source"] {
        assert_eq!(executor[key], "web");
    }
    assert_eq!(executor["framework_id"], "");
    let statistics = &executor["statistics"];
    assert_eq!(statistics["net_rx_packets"], 80);
    assert_eq!(statistics["net_rx_dropped"], 4);
    assert_eq!(statistics["net_rx_errors"], 0);
    assert_eq!(statistics["net_tx_bytes"], 312_600);
    assert_eq!(statistics["net_tx_rate_limit"], 625_000, "bytes per second");
    assert_eq!(statistics["net_rx_burst_rate_limit"], 10_000_000);
    assert_eq!(statistics["net_rx_burst_size"], 1600);
    assert_eq!(statistics["timestamp"], 1_436_300_487.415_95);
    let ids: Vec<_> = statistics["net_traffic_control_statistics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|element| element["id"].as_str().unwrap())
        .collect();
    let expected = ["bw_limit", "bloat_reduction", "ingress_bw_limit", "ingress_bloat_reduction"];
    assert_eq!(ids, expected);
}

/// The fields of `RateStatistics` and `RatePercentiles`, in the order of their names.
#[test]
fn mesos_has_percentiles_of_rates_where_they_are_followed() {
    let text = mesos::render(&samples::followed());
    let zero = r#"{"max":0,"min":0,"p50":0,"p90":0,"p95":0,"p99":0,"p999":0,"p9999":0,"samples":2}"#;
    let packets = r#"{"max":30,"min":10,"p50":20,"p90":28,"p95":29,"p99":29,"p999":29,"p9999":29,"samples":2}"#;
    let bytes =
        r#"{"max":3000,"min":1000,"p50":2000,"p90":2800,"p95":2900,"p99":2980,"p999":2998,"p9999":2999,"samples":2}"#;
    let expected = format!(
        "\"statistics\":{{\"net_rate_statistics\":{{\"rx_drop_rate\":{zero},\"rx_error_rate\":{zero},\"rx_packet_rate\":{zero},\
         \"rx_rate\":{zero},\"sampling_interval_secs\":1.0,\"sampling_window_secs\":60.0,\"tx_drop_rate\":{zero},\
         \"tx_error_rate\":{zero},\"tx_packet_rate\":{packets},\"tx_rate\":{bytes}}},\"net_rx_"
    );
    assert!(text.contains(&expected), "{text}");
    assert!(!mesos::render(&samples::snapshot()).contains("net_rate_statistics"));
}

#[test]
fn an_executor_has_the_names_that_were_given_to_it() {
    let mut snapshot = samples::snapshot();
    let names = r#"{"executor_id":"web.7","framework_id":"20150707-000042"}"#;
    snapshot.containers[0].mesos = serde_json::from_str(names).unwrap();
    let text = mesos::render(&snapshot);
    let begin = r#"[{"executor_id":"web.7","executor_name":"web","framework_id":"20150707-000042","source":"web","statistics":{"#;
    assert!(text.starts_with(begin), "{text}");
}

#[test]
fn a_ceil_that_is_none_is_no_burst_rate() {
    let mut snapshot = samples::snapshot();
    let LimitReport::Htb(htb) = &mut snapshot.containers[0].ingress.limit else {
        panic!("the sample's first container has a class");
    };
    htb.ceil_bits_per_s = HtbReport::NO_CEIL;
    assert!(!mesos::render(&snapshot).contains("net_rx_burst"));
}

/// Of an attached container what passed its interface; drops are those of its interface and of its lane. The range has both ends.
#[test]
fn mesos_counts_at_the_interface_where_there_is_one() {
    let mut snapshot = samples::snapshot();
    let passed = |packets, bytes, errors, dropped| Passed { packets, bytes, errors, dropped };
    let (rx, tx) = (passed(90, 9_000, 1, 2), passed(500, 50_000, 3, 40));
    snapshot.containers[0].interface = Some(InterfaceReport { rx, tx });
    snapshot.containers[0].ephemeral_ports = Some(Ports { begin: 32_768, end: 33_791 });
    let lanes = [&snapshot.containers[0].ingress, &snapshot.containers[0].egress].map(|lane| lane.dropped().packets);
    let text = mesos::render(&snapshot);
    assert!(text.contains(r#""statistics":{"net_ephemeral_ports":{"begin":32768,"end":33791},"net_rx_"#), "{text}");
    let json: Value = serde_json::from_str(&text).unwrap();
    let counted = |which: &str| {
        ["packets", "bytes", "errors", "dropped"]
            .map(|key| json[0]["statistics"][format!("net_{which}_{key}")].as_u64().unwrap())
    };
    assert_eq!(counted("rx"), [90, 9_000, 1, 2 + lanes[0]]);
    assert_eq!(counted("tx"), [500, 50_000, 3, 40 + lanes[1]]);
    assert!(json[1]["statistics"].get("net_ephemeral_ports").is_none(), "absent, not null");
}
