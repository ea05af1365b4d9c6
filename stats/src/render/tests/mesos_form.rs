use regex::Regex;
use serde_json::Value;

use super::super::mesos;
use crate::lane::{HtbReport, LimitReport};
use crate::samples;

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
