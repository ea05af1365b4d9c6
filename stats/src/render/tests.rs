use regex::Regex;
use serde_json::Value;

use super::*;
use crate::lane::LimitReport;
use crate::samples;

const KERNEL_QDISCS: &str = include_str!("../../tests/golden/htb-tbf-pfifo.qdisc.txt");
const KERNEL_QDISCS_JSON: &str = include_str!("../../tests/golden/htb-tbf-pfifo.qdisc.json");
const KERNEL_CLASSES: &str = include_str!("../../tests/golden/htb-tbf-pfifo.class.txt");

/// What begins with one of these begins an object of tc's text.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    for line in text.split_inclusive('\n') {
        match blocks.last_mut() {
            Some(block) if !line.starts_with("qdisc") && !line.starts_with("class") => block.push_str(line),
            _ => blocks.push(line.to_owned()),
        }
    }
    blocks
}

#[test]
fn every_format_has_its_name_and_ends_its_last_line() {
    for format in Format::ALL {
        assert_eq!(format.to_string().parse(), Ok(format));
        assert!(format.render(&samples::snapshot()).ends_with('\n'));
    }
    assert_eq!(format!("{:>8}", Format::Tc), "      tc");
}

/// The sample's egress has the figures that the kernel had: each of its qdiscs must come out byte for byte.
#[test]
fn qdiscs_read_as_the_kernels() {
    let ours = blocks(&tc::render(&samples::snapshot()));
    let kernels = blocks(KERNEL_QDISCS);
    assert_eq!(kernels.len(), 6);
    for block in kernels {
        assert!(ours.contains(&block), "{block}is not among\n{}", ours.concat());
    }
}

#[test]
fn classes_read_as_the_kernels() {
    let egress = tc::render(&samples::snapshot()).replace(" dev eth0", "");
    let ours = blocks(&egress);
    let kernels = blocks(KERNEL_CLASSES);
    assert_eq!(kernels.len(), 4);
    for block in kernels.into_iter().map(|block| lent_to_the_unlimited(&block)) {
        assert!(ours.contains(&block), "{block}is not among\n{egress}");
    }
}

/// In the kernel's tree every class had a rate of its own, so its link lent nothing. In the sample's, the 67 packets of the
/// filtered lane and the 37 unmatched ones went at the link's.
fn lent_to_the_unlimited(class: &str) -> String {
    if class.starts_with("class htb 1:1 ") { class.replace("lended: 0", "lended: 104") } else { class.to_owned() }
}

#[test]
fn qdisc_json_has_the_kernels_keys_in_its_order() {
    let ours = tc_json::render(&samples::snapshot());
    assert_eq!(ours.lines().count(), 1);
    let kernels: Vec<_> = KERNEL_QDISCS_JSON.trim().trim_matches(['[', ']']).split_inclusive("\"qlen\":").collect();
    assert_eq!(kernels.len(), 6 + 1);
    for object in &kernels[..6] {
        let object = object.trim_start_matches(|c: char| c != '{');
        assert!(ours.contains(object), "{object} is not in\n{ours}");
    }
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
    let expected = r#"{"kind":"codel","handle":"10:","dev":"veth-web","parent":"1:10","options":{"limit":1000,"target":5000,"interval":100000,"ecn":true},"bytes":80000,"packets":80,"drops":4,"overlimits":0,"requeues":0,"backlog":6000,"qlen":6,"count":8,"lastcount":1,"ldelay":7234,"dropping":true,"drop_next":-232000,"maxpacket":1514,"ecn_mark":7,"drop_overlimit":3}"#;
    assert!(json.contains(expected), "{json}");
}

/// A lane without a limit and a filter that holds less than its bucket: forms of our own and tc's rarer ones.
#[test]
fn the_rarer_forms_are_printed() {
    let mut snapshot = samples::snapshot();
    let LimitReport::Tbf(tbf) = &mut snapshot.containers[1].egress.limit else {
        panic!("the sample's second container has a filter");
    };
    tbf.limit_bytes = 4096;
    tbf.peak = None;
    let text = tc::render(&snapshot);
    assert!(text.contains("qdisc tbf 11: dev eth0 parent 1:11 rate 2Mbit burst 16Kb limit 4Kb \n"), "{text}");
    assert!(text.contains("class htb 1:2 dev eth0 parent 1:1 leaf 2: prio 0 \n Sent 8954 bytes"), "{text}");
    assert!(text.contains("class htb 1:11 dev veth-web root leaf 11: prio 0 \n Sent 0 bytes"), "{text}");
    assert!(text.contains(" root refcnt 2 "), "{text}");
    let json = tc_json::render(&snapshot);
    assert!(json.contains(r#""options":{"rate":250000,"burst":16384,"limit":4096},"#), "{json}");
}

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

#[test]
fn json_survives_the_trip_and_can_be_rendered_elsewhere() {
    let snapshot = samples::snapshot();
    let fetched: Snapshot = serde_json::from_str(&json::render(&snapshot)).unwrap();
    assert_eq!(fetched, snapshot);
    for format in Format::ALL {
        assert_eq!(format.render(&fetched), format.render(&snapshot));
    }
}

#[test]
fn json_has_the_keys_that_scripts_call() {
    let json: Value = serde_json::from_str(&json::render(&samples::snapshot())).unwrap();
    assert_eq!(json["time_ns"], 1_436_300_487_415_950_000_u64);
    assert_eq!(json["duration_ns"], 2_000_000_000);
    for key in ["received", "sent", "dropped", "queued", "unmatched"] {
        assert!(json["totals"][key].is_u64(), "{key}");
    }
    assert_eq!(json["totals"]["malformed"]["ipv4_truncated"], 3);
    assert_eq!(json["mode"]["eth0"], "zero-copy");
    let web = &json["containers"][0];
    assert_eq!(web["id"], "web");
    for direction in ["ingress", "egress"] {
        let lane = &web[direction];
        for key in ["offered_packets", "offered_bytes", "sent_packets", "sent_bytes", "ecn_marks"] {
            assert!(lane[key].is_u64(), "{key}");
        }
        for key in ["p50", "p90", "p99", "p999", "max", "count"] {
            assert!(lane["sojourn_ns"][key].is_u64(), "{key}");
        }
        for reason in ["limit", "codel", "no_frame", "oversize"] {
            assert!(lane["drops"][reason].is_u64(), "{reason}");
        }
        for (element, id) in [(0, "bw_limit"), (1, "bloat_reduction")] {
            let element = lane["traffic_control"][element].as_object().unwrap();
            assert_eq!(element["id"], id);
            assert_eq!(element.len(), 10);
        }
    }
    assert_eq!(web["ingress"]["limit"]["kind"], "htb");
    assert_eq!(web["ingress"]["queue"]["kind"], "codel");
}

/// Whatever a peer claims, it is printed or refused.
#[test]
fn absurd_figures_do_not_panic() {
    let digits = Regex::new(r"(: )-?\d+").unwrap();
    let mut rendered = 0;
    for figure in ["0", "4294967295", "9223372036854775807", "18446744073709551615"] {
        let json = json::render(&samples::snapshot());
        let absurd = digits.replace_all(&json, format!("${{1}}{figure}"));
        let Ok(snapshot) = serde_json::from_str::<Snapshot>(&absurd) else {
            continue;
        };
        let _ = snapshot.check();
        for format in Format::ALL {
            rendered += usize::from(!format.render(&snapshot).is_empty());
        }
    }
    assert_eq!(rendered, 2 * Format::ALL.len(), "figures beyond 32 bits are refused for CoDel's count");
}

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
fn the_table_reads_as_a_table() {
    assert_eq!(text::render(&samples::snapshot()), include_str!("../../tests/golden/table.txt"));
}

#[test]
fn the_table_does_not_obey_control_characters() {
    let mut snapshot = samples::snapshot();
    snapshot.containers[0].id = "\u{1b}[2Jweb\n".to_owned();
    assert!(text::render(&snapshot).contains("?[2Jweb?   ingress"));
}
