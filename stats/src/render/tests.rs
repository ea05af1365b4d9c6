use regex::Regex;
use serde_json::Value;

use super::*;
use crate::samples;

mod fq_codel;
mod htb;
mod mesos_form;
mod readers;
mod tables;

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

#[test]
fn json_survives_the_trip_and_can_be_rendered_elsewhere() {
    for snapshot in [samples::snapshot(), samples::grouped(), samples::steered(), fq_codel::marking()] {
        let fetched: Snapshot = serde_json::from_str(&json::render(&snapshot)).unwrap();
        assert_eq!(fetched, snapshot);
        for format in Format::ALL {
            assert_eq!(format.render(&fetched), format.render(&snapshot));
        }
    }
}

#[test]
fn what_the_steering_program_has_decided_is_shown() {
    let lines = "steering of eth0: 12345 foreign_port, 7 other_protocol, 90 owned\n\
                 steering of veth-web: 2 asked, 477 owned; 3 undelivered; the last foreign_port was udp from 10.0.0.1, port 6999\n";
    assert!(text::render(&samples::steered()).ends_with(lines));
    assert!(!text::render(&samples::snapshot()).contains("steering"));
    let json: Value = serde_json::from_str(&json::render(&samples::steered())).unwrap();
    assert_eq!(json["steering"]["eth0"]["malformed"], 0, "what has not occurred is there, too");
    let json: Value = serde_json::from_str(&json::render(&samples::snapshot())).unwrap();
    assert!(json.get("steering").is_none() && json.get("attached").is_none());
}

/// What reports had before there were groups and classes is enough.
#[test]
fn json_without_the_later_keys_is_read() {
    let mut json: Value = serde_json::from_str(&json::render(&samples::snapshot())).unwrap();
    json.as_object_mut().unwrap().remove("groups");
    let web = json["containers"][0].as_object_mut().unwrap();
    web.remove("group");
    let lane = web["ingress"].as_object_mut().unwrap();
    for key in ["class", "limited_by", "refused"] {
        assert!(lane.remove(key).is_some(), "{key}");
    }
    assert!(serde_json::from_value::<Snapshot>(json).is_ok());
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
        for reason in ["limit", "codel", "no_frame", "oversize", "memory"] {
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
    assert_eq!(web["ingress"]["limited_by"], "codel");
    assert_eq!(web["egress"]["class"]["lended"], 300);
}

/// Whatever a peer claims, it is printed or refused.
#[test]
fn absurd_figures_do_not_panic() {
    let digits = Regex::new(r"(: )-?\d+").unwrap();
    let mut rendered = 0;
    for figure in ["0", "4294967295", "9223372036854775807", "18446744073709551615"] {
        for sample in [samples::snapshot(), samples::grouped(), fq_codel::marking()] {
            let json = json::render(&sample);
            let absurd = digits.replace_all(&json, format!("${{1}}{figure}"));
            let Ok(snapshot) = serde_json::from_str::<Snapshot>(&absurd) else {
                continue;
            };
            let _ = snapshot.check();
            for format in Format::ALL {
                rendered += usize::from(!format.render(&snapshot).is_empty());
            }
        }
    }
    assert_eq!(rendered, 2 * 3 * Format::ALL.len(), "figures beyond 32 bits are refused for CoDel's count");
}

#[test]
fn marks_of_both_kinds_are_told_apart() {
    let mut snapshot = samples::snapshot();
    snapshot.containers[0].ingress.ce_marks = 5;
    let table = text::render(&snapshot);
    assert!(table.contains("7 marked, 5 over ce_threshold"), "{table}");
}
