//! The demo: what it prints, and that nothing is left of it.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use portlane::netns::Namespace;
use serde_json::Value;
use tempfile::TempDir;

use crate::busy::assert_in_time;
use crate::control::get;
use crate::portlane::{PROGRAM, Portlane, ask, eventually, stats};

/// Where a demo is called from: a network namespace and a `/run` of its own, so that what others do is not taken for the
/// demo's leavings. `ip netns` would show what is in `/run/netns`.
pub(crate) struct Caller {
    namespace: Namespace,
    run: TempDir,
    links: String,
}

impl Caller {
    pub(crate) fn new() -> Self {
        let namespace = Namespace::new().unwrap();
        let links = links(&namespace);
        Self { namespace, run: TempDir::new().unwrap(), links }
    }

    pub(crate) fn demo(&self, options: &[&str]) -> Portlane {
        let run = self.run.path().to_str().unwrap();
        let own_run = ["unshare", "--mount", "sh", "-c", "mount --bind \"$0\" /run && exec \"$@\"", run];
        Portlane::command(&self.namespace, &[&own_run, [PROGRAM, "demo"].as_slice(), options].concat())
    }

    /// The caller's interfaces are as they were, and in `/run` there is no more than this.
    pub(crate) fn assert_left(&self, in_run: &[&str]) {
        assert_eq!(links(&self.namespace), self.links);
        let names = fs::read_dir(&self.run).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.collect::<Vec<_>>(), in_run);
    }
}

fn links(namespace: &Namespace) -> String {
    namespace.command("ip", &["-details", "link"]).unwrap()
}

pub(crate) fn contract() {
    let caller = Caller::new();
    let ended = caller.demo(&["--seconds", "6", "--json"]).ended_within(Duration::from_secs(60));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    caller.assert_left(&[]);
    let printed: Value = serde_json::from_str(&ended.stdout).unwrap();
    for round in ["containers", "without_codel"] {
        let containers = printed[round].as_array().unwrap();
        let limits = [("fast", Some(50_000_000)), ("slow", Some(20_000_000)), ("free", None)];
        assert_eq!(containers.len(), limits.len());
        containers.iter().zip(limits).for_each(|(container, (id, limit))| assert_container(container, id, limit));
    }
    (0..2).for_each(|limited| assert_codel_shows(&printed, limited));
    let number = |object: &str, key: &str| printed[object][key].as_u64().unwrap();
    let totals = ["received", "sent", "dropped", "queued", "unmatched"].map(|key| number("totals", key));
    let [received, sent, dropped, queued, _unmatched] = totals;
    assert!(printed["totals"]["malformed"].is_object());
    assert_eq!((queued, received), (0, sent + dropped));
    assert_eq!((received, sent), (number("interfaces", "received"), number("interfaces", "sent")));
    let modes = printed["mode"].as_object().unwrap();
    assert_eq!(modes.keys().collect::<Vec<_>>(), ["container", "network"]);
    assert!(modes.values().all(|mode| ["zero-copy", "copy", "generic", "packet"].iter().any(|name| mode == name)));
}

fn assert_container(container: &Value, id: &str, limit: Option<u64>) {
    assert_eq!((container["id"].as_str(), container["limit_bps"].as_u64()), (Some(id), limit));
    assert_eq!(container["limit_bps"].is_null(), limit.is_none());
    let measured = container["measured_bps"].as_u64().unwrap();
    // No more than the limit; less only by what a busy machine takes.
    let (lowest, highest) = limit.map_or((1_000_000, u64::MAX), |limit| (limit / 100 * 90, limit / 100 * 102));
    assert!(measured <= highest, "{container}");
    assert_in_time(measured >= lowest, || container.to_string());
    assert!(container["drops"].is_u64() && container["ecn_marks"].is_u64(), "{container}");
    let sojourn = ["p50", "p99"].map(|key| container["sojourn_ns"][key].as_u64().unwrap());
    assert!(sojourn[0] <= sojourn[1], "{container}");
}

/// CoDel keeps the queues of limited containers short, and without it they are several times as long.
fn assert_codel_shows(printed: &Value, limited: usize) {
    let p50 = |round: &str| printed[round][limited]["sojourn_ns"]["p50"].as_u64().unwrap();
    let (with, without) = (p50("containers"), p50("without_codel"));
    assert!(with >= 1_000_000, "{printed}");
    assert_in_time(with < 25_000_000 && without > 5 * with, || printed.to_string());
}

pub(crate) fn interrupted() {
    let caller = Caller::new();
    let demo = caller.demo(&["--seconds", "2", "--json"]);
    thread::sleep(Duration::from_secs(3));
    demo.signal(Signal::SIGINT);
    let ended = demo.ended();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{ended:?}");
    assert_eq!(ended.stderr, "error: interrupted; everything has been removed\n");
    caller.assert_left(&[]);
}

/// A held demo is asked as a `run` is, from where it was called; what flows did stays.
pub(crate) fn held() {
    let (caller, kept) = (Caller::new(), TempDir::new().unwrap());
    let store = kept.path().join("store");
    let store = store.to_str().unwrap();
    let demo = caller.demo(&["--hold", "--flows", store]);
    let socket = caller.run.path().join("portlane/control.sock");
    let flows = || ask(&socket, "json").status.success() && stats(&socket).totals.sent > 1_000;
    eventually(flows, || format!("no traffic: {}", demo.stdout()));
    assert_eq!(get(&caller.namespace, "/health"), (200, "ok\n".to_owned()));
    let three = |json: &str| ["fast", "slow", "free"].iter().all(|id| json.contains(&format!("{{\"pod_id\":\"{id}\"")));
    let live = || get(&caller.namespace, "/flows?by=container&top=9").1;
    eventually(|| three(&live()), live);
    demo.signal(Signal::SIGINT);
    let ended = demo.ended();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    assert!(ended.stdout.contains("traffic flows until Ctrl-C") && ended.stdout.contains("fast"), "{ended:?}");
    assert!(!socket.exists());
    caller.assert_left(&["portlane"]);
    let kept = Command::new(PROGRAM).args(["flows", "--json", "--store", store]).output().unwrap();
    let kept = String::from_utf8(kept.stdout).unwrap();
    assert!(three(&kept), "{kept}");
}
