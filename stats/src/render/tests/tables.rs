use super::super::text;
use crate::lane::{HtbReport, LimitReport, LimitedBy};
use crate::samples;

#[test]
fn the_table_reads_as_a_table() {
    assert_eq!(text::render(&samples::snapshot()), include_str!("../../../tests/golden/table.txt"));
}

#[test]
fn groups_are_above_what_is_in_them() {
    assert_eq!(text::render(&samples::grouped()), include_str!("../../../tests/golden/table-group.txt"));
}

/// With usual names and the figures of a day on a fast link.
#[test]
fn the_table_stays_within_100_columns() {
    let mut snapshot = samples::grouped();
    snapshot.containers[0].id = "billing-api".to_owned();
    let lane = &mut snapshot.containers[0].egress;
    lane.sent_packets = 98_765_432;
    lane.traffic_control[0].qlen = 10_240;
    lane.traffic_control[0].ratebps = 437_500_000 / 8;
    lane.sojourn_ns.p50 = 4_990_000;
    lane.sojourn_ns.p99 = 123_456_789;
    let text = text::render(&snapshot);
    let longest = text.lines().map(|line| line.chars().count()).max();
    assert!(longest <= Some(100), "{longest:?}\n{text}");
}

#[test]
fn a_ceil_is_shown_where_it_is_not_the_rate() {
    let mut snapshot = samples::snapshot();
    for (rate, ceil, shown) in [
        (5_000_000, 5_000_000, " 5Mbit "),
        (5_000_000, 10_000_000, " 5-10Mbit "),
        (500_000, 1_000_000, " 500Kbit-1Mbit "),
        (5_000_000, HtbReport::NO_CEIL, " 5Mbit-none "),
    ] {
        let htb = HtbReport { rate_bits_per_s: rate, ceil_bits_per_s: ceil, burst_bytes: 1600, cburst_bytes: 1600 };
        snapshot.containers[0].egress.limit = LimitReport::Htb(htb);
        let text = text::render(&snapshot);
        assert!(text.contains(shown), "{shown} is not in\n{text}");
    }
}

#[test]
fn groups_in_a_circle_are_left_out() {
    let mut snapshot = samples::grouped();
    snapshot.groups[0].group = Some("tenant-a".to_owned());
    let text = text::render(&snapshot);
    assert!(text.contains("\nunmatched ") && !text.contains("\ntenant-a"), "{text}");
}

#[test]
fn the_table_does_not_obey_control_characters() {
    let mut snapshot = samples::grouped();
    snapshot.containers[0].id = "\u{1b}[2Jweb\n".to_owned();
    snapshot.containers[0].egress.limited_by = LimitedBy::Group("\u{1b}[1m".to_owned());
    let text = text::render(&snapshot);
    assert!(text.contains("  ?[2Jweb?  ") && text.contains("group ?[1m"), "{text}");
}
