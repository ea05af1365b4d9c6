//! `portlane bench`: its output, that it counts the same every time, and that its loads are what they say.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::collections::BTreeSet;
use std::process::{Command, Output};

use portlane::bench::{Load, Options, Scenario, Totals};
use portlane::report;
use portlane_classify::Direction;
use portlane_shaper::{DropReason, LaneId, Limited};
use serde_json::Value;

/// Packets of a size with which little virtual time is needed until CoDel has its pace.
const SIZE: u16 = 512;

const CONTAINERS: u32 = 128;

fn warm(load: Load) -> Scenario {
    let mut scenario =
        Scenario::new(&Options { containers: CONTAINERS, size: SIZE, load, ..Options::default() }).unwrap();
    scenario.warm_up();
    scenario
}

fn counted(load: Load) -> (Scenario, Totals) {
    let mut scenario = warm(load);
    scenario.turns(2_000);
    let totals = scenario.totals();
    (scenario, totals)
}

fn dropped(totals: &Totals, reason: DropReason) -> u64 {
    totals.dropped[reason.index()]
}

/// Lanes of containers that have packets.
fn backlogged(scenario: &Scenario) -> u32 {
    let shaper = &scenario.line().shapers[Direction::Egress.index()];
    (0..CONTAINERS).map(|lane| u32::from(shaper.backlog(LaneId(lane)).packets > 0)).sum()
}

#[test]
fn idle_lanes_make_nobody_wait_and_everybody_pay() {
    let (scenario, totals) = counted(Load::Idle);
    assert_eq!((totals.offered, totals.queued), (totals.sent, 0));
    assert!(totals.offered >= 128_000);
    let sojourns = report::sojourns(scenario.line());
    assert_eq!((sojourns.count(), sojourns.unwaited()), (totals.sent, totals.sent));
    let shaper = &scenario.line().shapers[Direction::Egress.index()];
    for lane in (0..CONTAINERS).map(LaneId) {
        let counters = shaper.counters(lane);
        assert!(counters.sent.packets > 0 && counters.overlimits == 0, "{lane:?}: {counters:?}");
        let node = shaper.node(portlane_shaper::NodeId::Lane(lane), scenario.now());
        assert_eq!(node.lended, counters.sent.packets, "{lane:?}");
    }
}

#[test]
fn by_default_a_quarter_is_limited() {
    let (scenario, totals) = counted(Load::Default);
    let limited = CONTAINERS / 4;
    let has_packets = backlogged(&scenario);
    assert!((limited..=limited + 3).contains(&has_packets), "{has_packets} lanes have packets");
    assert_eq!(totals.dropped.iter().sum::<u64>(), dropped(&totals, DropReason::Codel));
    // Of 1.5 and three times 0.8 parts offered, 0.5 are too much, and 1 of the rest is sent by those that wait.
    let share = |part: u64, whole: u64| part * 1_000 / whole;
    assert!((123..=133).contains(&share(dropped(&totals, DropReason::Codel), totals.offered)), "{totals:?}");
    let sojourns = report::sojourns(scenario.line());
    let waited = sojourns.count() - sojourns.unwaited();
    assert!((285..=310).contains(&share(waited, totals.sent)), "{waited} of {totals:?}");
}

#[test]
fn overload_backlogs_every_lane_and_codel_drops_half() {
    let (scenario, totals) = counted(Load::Overload);
    assert_eq!(backlogged(&scenario), CONTAINERS);
    assert_eq!(totals.dropped.iter().sum::<u64>(), dropped(&totals, DropReason::Codel));
    let per_mille = totals.sent * 1_000 / totals.offered;
    assert!((495..=505).contains(&per_mille), "{totals:?}");
    let shaper = &scenario.line().shapers[Direction::Egress.index()];
    let sent: Vec<_> = (0..CONTAINERS).map(|lane| shaper.counters(LaneId(lane)).sent.packets).collect();
    let (least, most) = (sent.iter().min().unwrap(), sent.iter().max().unwrap());
    assert!(most - least < most / 10, "lanes share the link: {least} to {most}");
    assert_ne!(shaper.limited_by(LaneId(0), scenario.now()), Limited::Nothing);
    assert!(report::sojourns(scenario.line()).unwaited() * 100 < totals.sent);
}

/// With few lanes CoDel has to drop the more often in each: it keeps pace all the same.
#[test]
fn codel_keeps_pace_in_the_lanes_of_a_few() {
    for containers in [1, 5] {
        for load in [Load::Default, Load::Overload] {
            let mut scenario = Scenario::new(&Options { containers, load, ..Options::default() }).unwrap();
            scenario.warm_up();
            scenario.turns(2_000);
            let totals = scenario.totals();
            let codel = dropped(&totals, DropReason::Codel);
            assert_eq!(totals.dropped.iter().sum::<u64>(), codel, "{containers}, {load:?}: {totals:?}");
            assert!(codel * 10 > totals.offered, "{containers}, {load:?}: {totals:?}");
        }
    }
}

#[test]
fn the_same_is_counted_every_time() {
    for load in [Load::Default, Load::Overload] {
        let (one, other) = (counted(load), counted(load));
        assert_eq!(one.1, other.1);
        assert_eq!(report::sojourns(one.0.line()), report::sojourns(other.0.line()));
        assert_eq!(one.0.line().ports[0].device.missed(), 0);
    }
}

#[test]
fn past_the_last_port_there_is_a_second_address() {
    let options = Options { containers: 65_536, load: Load::Idle, ..Options::default() };
    let mut scenario = Scenario::new(&options).unwrap();
    scenario.turns(65_536 * 4 / 64);
    let shaper = &scenario.line().shapers[Direction::Egress.index()];
    let sent = |lane: u32| shaper.counters(LaneId(lane)).sent.packets;
    assert!((0..65_536).all(|lane| sent(lane) == 4), "{:?}", scenario.totals());
    assert_eq!(shaper.counters(scenario.line().places.unmatched).offered.packets, 0);
}

fn portlane(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_portlane")).arg("bench").args(arguments).output().unwrap()
}

const SMALL: [&str; 6] = ["--containers", "64", "--packets", "1000", "--size", "1000"];

#[test]
fn json_has_what_scripts_read() {
    let output = portlane(&[&SMALL[..], &["--json"]].concat());
    assert!(output.status.success(), "{output:?}");
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (key, value) in
        [("containers", 64), ("packets", 1_024), ("size", 1_000), ("flows", 256), ("frames", 512), ("workers", 1)]
    {
        assert_eq!(object[key], value, "{key}");
    }
    assert_eq!(object["load"], "default");
    let number = |key: &str| object[key].as_f64().unwrap();
    assert!(0.0 < number("floor_ns_per_packet") && 0.0 < number("device_ns_per_packet"));
    assert!(number("ns_per_packet") <= number("ns_per_packet_median"));
    assert!((number("mpps") * number("ns_per_packet") / 1_000.0 - 1.0).abs() < 0.05);
    assert!((25.0..35.0).contains(&number("waited_percent")));
    let keys = |key: &str| object[key].as_object().unwrap().keys().map(String::as_str).collect::<BTreeSet<_>>();
    let stages = ["classify", "dequeue", "enqueue", "flush", "receive", "reclaim"];
    assert_eq!(keys("stages_ns"), BTreeSet::from(stages));
    assert_eq!(keys("sojourn_ns"), BTreeSet::from(["count", "max", "p50", "p90", "p99", "p999"]));
    assert_eq!(keys("dropped"), BTreeSet::from(["codel"]));
    assert!(object["sojourn_ns"]["p50"] == 0 && object["sojourn_ns"]["p90"].as_u64() > Some(0));
    assert_eq!(object["sojourn_ns"]["count"], object["sent"]);
}

#[test]
fn the_page_names_the_line_and_the_floor_and_percentiles_go_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sojourn.hgrm");
    let output = portlane(&[&SMALL[..], &["--load", "overload", "--hgrm", file.to_str().unwrap()]].concat());
    assert!(output.status.success(), "{output:?}");
    let page = String::from_utf8(output.stdout).unwrap();
    for word in ["line  ", "its device", "floor", "Mpps", "codel", "p99.9", "load overload"] {
        assert!(page.contains(word), "{word}: {page}");
    }
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains("\n       Value     Percentile TotalCount 1/(1-Percentile)\n"), "{text}");
    assert!(text.contains("\n#[Mean    =") && text.trim_end().ends_with(']'), "{text}");
}

#[test]
fn what_cannot_be_measured_is_refused() {
    for arguments in [
        &["--containers", "0"][..],
        &["--containers", "65537"],
        &["--size", "59"],
        &["--size", "1515"],
        &["--load", "heavy"],
        &["--containers", "8", "--flows", "7"],
        &["--hgrm", "/nowhere/at/all"],
    ] {
        let output = portlane(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn several_workers_are_measured_together() {
    let output = portlane(&["--containers", "8", "--packets", "1000", "--load", "idle", "--workers", "2", "--json"]);
    // Not `available_parallelism`, which counts less where a control group leaves less time.
    if core_affinity::get_core_ids().unwrap().len() < 2 {
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        return;
    }
    assert!(output.status.success(), "{output:?}");
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&object["workers"], &object["containers"], &object["rounds"]), (&2.into(), &8.into(), &25.into()));
    for kind in ["alone", "separate", "handed_over"] {
        assert!(object[kind]["ns_per_packet"].as_f64() > Some(0.0), "{object}");
    }
    for refused in [&["--workers", "0"][..], &["--workers", "65"], &["--workers", "2", "--containers", "1"]] {
        assert_eq!(portlane(refused).status.code(), Some(2), "{refused:?}");
    }
}

#[test]
fn what_observed_flows_cost_is_told_without_and_with_them() {
    let small = ["--flows-metrics", "--containers", "4", "--flows", "1000", "--packets", "1000", "--size", "1500"];
    let output = portlane(&[&small[..], &["--json"]].concat());
    if core_affinity::get_core_ids().unwrap().len() < 2 {
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        return;
    }
    assert!(output.status.success(), "{output:?}");
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (key, value) in [("containers", 4), ("flows", 1_000), ("live_flows", 1_000), ("missing", 0), ("edges", 4)] {
        assert_eq!(object[key], value, "{key}: {object}");
    }
    assert_eq!(object["load"], "idle", "what is not said is another thing with flows");
    assert_eq!(object["protocol"], "udp");
    let number = |pointer: &str| object.pointer(pointer).unwrap().as_f64().unwrap();
    let [off, on] = ["/off/ns_per_packet", "/on/ns_per_packet"].map(number);
    assert!((on - off - number("/cost_ns_per_packet")).abs() < 0.02, "{object}");
    assert_eq!(number("/ns_per_packet"), on);
    assert!((number("/observer_mpps") * number("/observer/ns_per_packet") / 1_000.0 - 1.0).abs() < 0.05, "{object}");
    assert!(number("/observer_seconds") >= 5.0 && number("/shown") >= 25.0 * 1_024.0, "{object}");

    let page = portlane(&small);
    let page = String::from_utf8(page.stdout).unwrap();
    for word in ["off  ", "on  ", "cost", "observer", " 0 missing", "load idle"] {
        assert!(page.contains(word), "{word}: {page}");
    }

    let segments = portlane(&[&small[..], &["--tcp", "--json"]].concat());
    let object: Value = serde_json::from_slice(&segments.stdout).unwrap();
    for (key, value) in [("protocol", "tcp".into()), ("live_flows", Value::from(1_000)), ("missing", 0.into())] {
        assert_eq!(object[key], value, "{key}: {object}");
    }
    for refused in [&["--flows-metrics", "--workers", "2"][..], &["--flows-metrics", "--hgrm", "x"], &["--tcp"]] {
        assert_eq!(portlane(refused).status.code(), Some(2), "{refused:?}");
    }
}
