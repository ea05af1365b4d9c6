//! The demo of a host: limits hold, foreign ports are stopped, a flood of them changes little for others, and nothing is left.

use std::time::Duration;

use serde_json::Value;

use crate::busy::assert_in_time;
use crate::demo::Caller;

pub(crate) fn contract() {
    let caller = Caller::new();
    let ended = caller.demo(&["--host", "--seconds", "6", "--json"]).ended_within(Duration::from_secs(80));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    caller.assert_left(&[]);
    let printed: Value = serde_json::from_str(&ended.stdout).unwrap();
    for round in ["containers", "with_flood", "with_full_queue", "between"] {
        let limits = [("fast", Some(50_000_000)), ("slow", Some(20_000_000)), ("free", None)];
        let containers = printed[round].as_array().unwrap();
        assert_eq!(containers.len(), limits.len());
        containers.iter().zip(limits).for_each(|(container, (id, limit))| assert_limit(container, id, limit));
    }
    for totals in
        ["totals", "totals_with_flood", "totals_with_full_queue", "totals_between"].map(|round| &printed[round])
    {
        let [received, sent, dropped, queued, unmatched] =
            ["received", "sent", "dropped", "queued", "unmatched"].map(|key| totals[key].as_u64().unwrap());
        assert_eq!((received, queued, unmatched), (sent + dropped, 0, 0), "{totals}");
    }
    // What the host says when its card appears is not theirs.
    assert!(printed["left_the_host_between"].as_u64().unwrap() < 10, "{printed}");
    let modes = printed["mode"].as_object().unwrap();
    assert_eq!(modes.keys().collect::<Vec<_>>(), ["eth0", "plg-eth0", "pll-eth0"]);
    // Who keeps to its ports loses nothing, and who does not loses all of it.
    let foreign =
        |round: &str| [0, 1, 2].map(|number| printed[round][number]["steering"]["foreign_port"].as_u64().unwrap());
    assert_eq!(foreign("containers"), [0, 0, 0]);
    let [fast, slow, free] = foreign("with_flood");
    assert!((fast, slow) == (0, 0) && free > 1_000, "{printed}");
    // Who sends more than it may loses what is too much, itself.
    let drops = |round: &str| printed[round][1]["drops"].as_u64().unwrap();
    assert!(drops("with_full_queue") > 10 * drops("containers").max(1_000), "{printed}");
    assert_eq!(foreign("with_full_queue"), [0, 0, 0]);
    (0..2).for_each(|number| assert_not_felt(&printed, "with_flood", number));
    assert_not_felt(&printed, "with_full_queue", 0);
    // Where nothing else changes neither do they.
    let exact = &printed["in_virtual_time"];
    for round in ["with_flood", "with_full_queue"] {
        for what in ["sent_bytes", "p99_ns"] {
            let [before, after] = ["alone", round].map(|round| exact[round][what].as_u64().unwrap());
            assert!(before > 0 && before.abs_diff(after) * 20 < before, "{exact}");
        }
    }
}

fn assert_limit(container: &Value, id: &str, limit: Option<u64>) {
    assert_eq!((container["id"].as_str(), container["limit_bps"].as_u64()), (Some(id), limit));
    let measured = container["measured_bps"].as_u64().unwrap();
    let (lowest, highest) = limit.map_or((1_000_000, u64::MAX), |limit| (limit / 100 * 98, limit / 100 * 102));
    assert!(measured <= highest, "{container}");
    assert_in_time(measured >= lowest, || container.to_string());
    assert!(container["steering"]["owned"].as_u64().unwrap() > 1_000, "{container}");
}

/// A container with a limit keeps its rate and its p99 beside a bad neighbour. What that takes from it is time of the machine, so this
/// is a matter of time.
fn assert_not_felt(printed: &Value, round: &str, number: usize) {
    let [without, with] = ["containers", round].map(|round| &printed[round][number]);
    let [before, after] = [without, with].map(|container| container["measured_bps"].as_u64().unwrap());
    let [short, long] = [without, with].map(|container| container["sojourn_ns"]["p99"].as_u64().unwrap());
    assert_in_time(after * 100 > before * 95, || format!("{before} bit/s became {after}: {printed}"));
    assert_in_time(long < 2 * short, || format!("p99 of {short} ns became {long}: {printed}"));
}
