//! Trees of htb, tbf and pfifo beside what the kernel printed of them, and the forms that it did not.

use regex::{Captures, Regex};

use super::super::{tc, tc_json};
use super::blocks;
use crate::lane::LimitReport;
use crate::samples;

const KERNEL_QDISCS: &str = include_str!("../../../tests/golden/htb-tbf-pfifo.qdisc.txt");
const KERNEL_QDISCS_JSON: &str = include_str!("../../../tests/golden/htb-tbf-pfifo.qdisc.json");
const KERNEL_CLASSES: &str = include_str!("../../../tests/golden/htb-tbf-pfifo.class.txt");
const GROUP_QDISCS: &str = include_str!("../../../tests/golden/htb-group.qdisc.txt");
const GROUP_CLASSES: &str = include_str!("../../../tests/golden/htb-group.class.txt");

/// The kernel's text or JSON with our handles of the group and of what no container owns: the trees that were recorded had other
/// numbers for them.
fn with_our_handles(kernels: &str, group: &str) -> String {
    let class = Regex::new(r#"\b(1:2|2:|0x2)([ ",])"#).unwrap();
    let renamed = class.replace_all(kernels, |found: &Captures<'_>| {
        let ours = match &found[1] {
            "1:2" => "1:fffe",
            "2:" => "fffe:",
            _ => "0xfffe",
        };
        format!("{ours}{}", &found[2])
    });
    renamed.replace(&format!("{group} "), "1:fffd ")
}

/// That each block of what the kernel printed is among ours, byte for byte. Class lists of one device do not name it.
fn assert_has_all(ours: &str, kernels: &str, count: usize) {
    let kernels = blocks(kernels);
    assert_eq!(kernels.len(), count);
    let ours = if kernels[0].starts_with("class") { ours.replace(" dev eth0", "") } else { ours.to_owned() };
    let our_blocks = blocks(&ours);
    for block in kernels {
        assert!(our_blocks.contains(&block), "{block}is not among\n{ours}");
    }
}

/// The sample's egress has the figures that the kernel had.
#[test]
fn qdiscs_read_as_the_kernels() {
    assert_has_all(&tc::render(&samples::snapshot()), &with_our_handles(KERNEL_QDISCS, "none"), 6);
}

/// In the kernel's tree every class had a rate of its own, so its link lent nothing. In the sample's, the 67 packets of the
/// filtered lane and the 37 unmatched ones went at the link's.
#[test]
fn classes_read_as_the_kernels() {
    let kernels = KERNEL_CLASSES.replacen("lended: 0", "lended: 104", 1);
    assert_has_all(&tc::render(&samples::snapshot()), &kernels, 4);
}

#[test]
fn groups_are_inner_classes_as_the_kernels() {
    let ours = tc::render(&samples::grouped());
    assert_has_all(&ours, &with_our_handles(GROUP_QDISCS, "1:12"), 4);
    assert_has_all(&ours, &with_our_handles(GROUP_CLASSES, "1:12"), 5);
}

#[test]
fn qdisc_json_has_the_kernels_keys_in_its_order() {
    let ours = tc_json::render(&samples::snapshot());
    assert_eq!(ours.lines().count(), 1);
    let kernels = with_our_handles(KERNEL_QDISCS_JSON, "none");
    let kernels: Vec<_> = kernels.trim().trim_matches(['[', ']']).split_inclusive("\"qlen\":").collect();
    assert_eq!(kernels.len(), 6 + 1);
    for object in &kernels[..6] {
        let object = object.trim_start_matches(|c: char| c != '{');
        assert!(ours.contains(object), "{object} is not in\n{ours}");
    }
}

#[test]
fn class_json_has_the_keys_of_iproute2_6_2() {
    let json = tc_json::render(&samples::grouped());
    let group = r#"{"class":"htb","handle":"1:fffd","dev":"eth0","parent":"1:1","rate":1000000,"ceil":1500000,"burst":15360,"cburst":1597,"stats":{"bytes":1360852,"packets":1306,"drops":0,"overlimits":382,"requeues":0,"backlog":0,"qlen":0,"lended":233,"borrowed":368,"giants":0,"tokens":-7450,"ctokens":5801}}"#;
    assert!(json.contains(group), "{json}");
    let leaf = r#"{"class":"htb","handle":"1:11","dev":"eth0","parent":"1:fffd","leaf":"0x11","prio":1,"rate":125000,"overhead":24,"ceil":250000,"burst":1600,"cburst":1600,"stats":{"#;
    assert!(json.contains(leaf), "{json}");
    let json = tc_json::render(&samples::snapshot());
    let filter = r#"{"class":"tbf","handle":"11:1","dev":"eth0","parent":"11:","leaf":"0x8011","stats":{}}"#;
    assert!(json.contains(filter), "{json}");
    let unlimited =
        r#"{"class":"htb","handle":"1:10","dev":"veth-web","root":true,"leaf":"0x10","prio":0,"rate":6250000,"#;
    assert!(json.contains(unlimited), "{json}");
}

/// Groups without a limit, in a group, in none that exists; nothing is lost of what is below them.
#[test]
fn groups_are_placed_wherever_they_claim_to_be() {
    let mut snapshot = samples::grouped();
    let mut inner = snapshot.groups[0].clone();
    inner.id = "inner".to_owned();
    inner.number = 1;
    inner.group = Some("tenant-a".to_owned());
    inner.egress.limit = None;
    snapshot.groups.insert(0, inner);
    snapshot.containers[0].group = Some("inner".to_owned());
    snapshot.containers[1].group = Some("nobody".to_owned());
    let text = tc::render(&snapshot);
    assert!(text.contains("class htb 1:fffc dev eth0 parent 1:fffd \n Sent 1360852 bytes"), "{text}");
    assert!(text.contains("class htb 1:fffc dev veth-web parent 1:fffd \n Sent 0 bytes"), "{text}");
    assert!(text.contains("class htb 1:fffd dev veth-web root \n Sent 0 bytes"), "{text}");
    assert!(text.contains("class htb 1:10 dev eth0 parent 1:fffc leaf 10: "), "{text}");
    assert!(text.contains("class htb 1:11 dev eth0 parent 1:1 leaf 11: "), "{text}");
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
    assert!(text.contains("class htb 1:fffe dev eth0 parent 1:1 leaf fffe: prio 0 \n Sent 8954 bytes"), "{text}");
    assert!(text.contains("class htb 1:11 dev veth-web root leaf 11: prio 0 \n Sent 0 bytes"), "{text}");
    assert!(text.contains(" root refcnt 2 "), "{text}");
    let json = tc_json::render(&snapshot);
    assert!(json.contains(r#""options":{"rate":250000,"burst":16384,"limit":4096},"#), "{json}");
}
