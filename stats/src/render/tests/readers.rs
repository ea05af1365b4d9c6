//! What others read `tc`'s output with.

use regex::Regex;
use serde_json::Value;

use super::super::{tc, tc_json};
use super::{blocks, fq_codel};
use crate::samples;
use crate::snapshot::Snapshot;

/// The two expressions with which flent's `TcRunner` reads `tc -s qdisc`.
#[test]
fn flent_reads_the_text() {
    let sent = Regex::new(r"Sent (\d+) bytes (\d+) pkt \(dropped (\d+), overlimits (\d+) requeues (\d+)\)").unwrap();
    let backlog = Regex::new(r"backlog (\d+)b (\d+)p requeues (\d+)").unwrap();
    let mut snapshot = samples::snapshot();
    snapshot.containers[0].ingress.traffic_control[1].backlog = 5_242_880;
    let text = tc::render(&snapshot);
    let printed = blocks(&text).into_iter().filter(|block| !block.starts_with("class tbf"));
    for block in printed {
        assert_eq!(sent.find_iter(&block).count(), 1, "{block}");
        assert_eq!(backlog.find_iter(&block).count(), 1, "{block}");
    }
    assert!(text.contains(" backlog 5242880b "), "{text}");
}

/// Each container an htb class with an fq_codel under it, as LibreQoS has them.
fn shaped_as_libreqos_does() -> Snapshot {
    let mut snapshot = fq_codel::marking();
    let lane = snapshot.containers[0].egress.clone();
    for container in &mut snapshot.containers {
        (container.ingress, container.egress) = (lane.clone(), lane.clone());
    }
    (snapshot.unmatched.ingress, snapshot.unmatched.egress) = (lane.clone(), lane);
    snapshot
}

/// LibreQoS reads `tc -s -j qdisc show` whole or not at all: kinds that it knows, handles of two numbers of 16 bits, counters that
/// are numbers, `options` of each kind.
#[test]
fn libreqos_reads_the_qdiscs() {
    let all: Value = serde_json::from_str(&tc_json::qdiscs(&shaped_as_libreqos_does())).unwrap();
    let handle = Regex::new("^([0-9a-f]{1,4}):([0-9a-f]{1,4})?$").unwrap();
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), 2 * (1 + 3 + 1));
    for qdisc in all {
        let numbers = |of: &Value, keys: &[&str]| keys.iter().for_each(|key| assert!(of[key].is_u64(), "{key}: {of}"));
        assert!(handle.is_match(qdisc["handle"].as_str().unwrap()), "{qdisc}");
        assert!(qdisc["root"] == true || handle.is_match(qdisc["parent"].as_str().unwrap()), "{qdisc}");
        numbers(qdisc, &["bytes", "packets", "drops", "overlimits", "requeues", "backlog", "qlen"]);
        let options = &qdisc["options"];
        match qdisc["kind"].as_str().unwrap() {
            "htb" => {
                numbers(options, &["r2q", "direct_packets_stat", "direct_qlen"]);
                assert_eq!(options["default"], "0xfffe");
            }
            "fq_codel" => {
                let keys = ["limit", "flows", "quantum", "target", "interval", "memory_limit", "drop_batch"];
                numbers(options, &keys);
                let xstats =
                    ["maxpacket", "drop_overlimit", "new_flow_count", "ecn_mark", "new_flows_len", "old_flows_len"];
                numbers(qdisc, &xstats);
            }
            other => panic!("{other} would fail the whole array"),
        }
    }
}

/// `tc -s -j class show` of what LibreQoS makes has no qdiscs in it, and the other way round.
#[test]
fn qdiscs_and_classes_are_apart_and_together() {
    let snapshot = shaped_as_libreqos_does();
    let [qdiscs, classes, all] = [tc_json::qdiscs, tc_json::classes, tc_json::render].map(|render| render(&snapshot));
    let list = |text: &str| -> Vec<Value> { serde_json::from_str(text).unwrap() };
    assert!(list(&qdiscs).iter().all(|one| one["class"].is_null()));
    assert!(list(&classes).iter().all(|one| one["kind"].is_null()));
    assert_eq!([list(&qdiscs), list(&classes)].concat(), list(&all));
}
