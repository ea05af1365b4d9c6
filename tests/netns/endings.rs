//! However a run ends, the interfaces are as they were before.

use nix::sys::signal::Signal;

use crate::bench::{Bench, CLIENT, FREE, FREE_CONTAINER, SERVER, SIDES, ping};
use crate::portlane::{Ended, Portlane, eventually};
use crate::traffic::{Echo, Flood};

pub(crate) fn signals() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let bench = Bench::new();
        let portlane = bench.start(FREE_CONTAINER);
        bench.ping();
        let links = bench.links();
        assert_eq!([" xdp qdisc ", "promiscuity 1 "].map(|words| links.matches(words).count()), [2, 2], "{links}");
        portlane.signal(signal);
        let ended = portlane.ended();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
        let report = ["network: copy (not zero-copy: ", "container: copy (not zero-copy: ", "free", "unmatched"];
        assert!(report.iter().all(|words| ended.stdout.contains(words)), "{}", ended.stdout);
        assert_pings_counted(&ended);
        bench.assert_untouched();
        assert!(!bench.socket().exists());
    }
}

/// What was counted is not lost: three pings and ARP, there and back, of which a slow answer makes more.
fn assert_pings_counted(ended: &Ended) {
    let received = ended.stdout.lines().find_map(|line| line.strip_prefix("received ")?.split_once(' '));
    let (received, _) = received.unwrap_or_else(|| panic!("no totals: {}", ended.stdout));
    assert!(received.parse::<u64>().unwrap() >= 8, "{}", ended.stdout);
}

pub(crate) fn killed() {
    let bench = Bench::new();
    let portlane = bench.start(FREE_CONTAINER);
    bench.ping();
    let _there = Flood::start(&bench.client, (SERVER, FREE), 1_000, 5);
    let _back = Flood::start(&bench.server, (CLIENT, FREE), 1_000, 5);
    eventually(|| bench.stats().totals.received > 1_000, || "the floods do not arrive".to_owned());
    portlane.signal(Signal::SIGKILL);
    assert_eq!(portlane.ended().code, None, "a signal ended it");
    bench.assert_untouched();

    // The line's interfaces carry the kernel's own traffic again.
    let hosts = [(SIDES[0], &bench.client, "10.78"), (SIDES[1], &bench.server, "10.79")];
    for (side, host, subnet) in hosts {
        bench.line.command("ip", &["address", "add", &format!("{subnet}.0.1/24"), "dev", side]).unwrap();
        host.command("ip", &["address", "add", &format!("{subnet}.0.2/24"), "dev", "eth0"]).unwrap();
        ping(&bench.line, &format!("{subnet}.0.2"));
        bench.line.command("ip", &["address", "flush", "dev", side]).unwrap();
    }

    assert!(bench.socket().exists(), "it had no time to remove its socket");
    let next = bench.start(FREE_CONTAINER);
    bench.ping();
    Echo::new(&bench, FREE + 1).ask(b"is it open again?");
    next.signal(Signal::SIGTERM);
    assert_eq!(next.ended().code, Some(0));
}

pub(crate) fn lost_interface() {
    const GONE: &str = "gone: start again when it is back";
    const DOWN: &str = "down: start again when it is up";
    // Deleting takes an interface down first, and that may be noticed first.
    for (change, side, found) in [
        (["delete", "container"].as_slice(), "container", [GONE, DOWN].as_slice()),
        (&["delete", "network"], "network", &[GONE, DOWN]),
        (&["set", "container", "down"], "container", &[DOWN]),
    ] {
        let bench = Bench::new();
        let portlane = bench.start(&format!("interface_down = \"end\"\n{FREE_CONTAINER}"));
        bench.ping();
        bench.line.command("ip", &[&["link"], change].concat()).unwrap();
        let ended = portlane.ended();
        let said = found.iter().any(|state| ended.stderr == format!("error: interface {side} is {state}\n"));
        assert!(ended.code == Some(1) && said, "{ended:?}");
        assert_pings_counted(&ended);
        bench.assert_untouched();
        assert!(!bench.socket().exists());
    }
}

/// A report that cannot be printed is a failure; the interfaces are restored all the same.
pub(crate) fn full_output() {
    let bench = Bench::new();
    let config = bench.config(FREE_CONTAINER);
    let wrapper = ["sh", "-c", "exec \"$@\" >/dev/full", "sh"];
    let ended = Portlane::launch(&bench.line, &wrapper, &config).ended();
    let said = "error: standard output cannot be written: No space left on device (os error 28)\n";
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), said));
    bench.assert_untouched();
    assert!(!bench.socket().exists());
}
