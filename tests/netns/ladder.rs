//! Every rung of the ladder carries traffic, and says which it is.

use std::time::Duration;

use nix::sys::signal::Signal;
use portlane_classify::Direction;
use portlane_stats::snapshot::Mode;

use crate::bench::{Bench, CLIENT, FREE, FREE_CONTAINER, SERVER, SIDES, SLOW};
use crate::portlane::{Portlane, ask};
use crate::traffic::{Echo, payload, transfer, udp};

const BYTES: usize = 4 << 20;

/// A container without limit, by this rung.
fn by(io: &str) -> String {
    format!("io = {io:?}\n{FREE_CONTAINER}")
}

/// TCP and UDP, owned and not, both ways: intact, and both books agree with the kernel's.
pub(crate) fn forwards() {
    let payload = payload(BYTES);
    for (io, mode) in [("copy", Mode::Copy), ("generic", Mode::Generic), ("packet", Mode::Packet)] {
        let bench = Bench::new();
        let before = bench.kernel_count();
        let portlane = bench.start(&by(io));
        assert!(portlane.stdout().starts_with(&format!("container: {io}\nnetwork: {io}\n")), "{}", portlane.stdout());
        for direction in Direction::ALL {
            transfer(&bench, FREE, direction, &payload);
        }
        let echo = Echo::new(&bench, SLOW);
        (1..=100).for_each(|len| echo.ask(&payload[..len * 10]));
        let (snapshot, after) = bench.settled_books();
        let totals = &snapshot.totals;
        assert_eq!(totals.received, totals.sent + totals.dropped + totals.queued, "{io}: {totals:?}");
        assert_eq!(totals.received, after.received - before.received, "{io}: what the kernel received: {totals:?}");
        assert_eq!(totals.sent, after.sent - before.sent, "{io}: what the kernel sent: {totals:?}");
        assert!(totals.malformed.is_empty() && totals.too_long == 0, "{io}: {totals:?}");
        assert_eq!(SIDES.map(|side| snapshot.mode[side]), [mode; 2]);
        let sockets = SIDES.map(|side| &snapshot.sockets[&format!("{side}:0")]);
        assert!(sockets.iter().all(|socket| socket.mode == Some(mode) && socket.kicks > 0), "{io}: {sockets:?}");
        portlane.signal(Signal::SIGTERM);
        let ended = portlane.ended();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
        bench.assert_untouched();
    }
}

/// Of a card that is shared with the host, AF_XDP's rungs alone.
pub(crate) fn shared() {
    let bench = Bench::shared();
    for io in ["copy", "generic"] {
        let portlane = bench.start_shared(&by(io), "\"all\"");
        assert!(portlane.stdout().starts_with(&format!("container: {io}\nnetwork: {io}\n")), "{}", portlane.stdout());
        transfer(&bench, FREE, Direction::Egress, &payload(BYTES));
        assert!(bench.stats().totals.sent > 1_000);
    }
    let refused = |io: &str, words: &[&str]| {
        let config = bench.shared_config(&by(io), "\"all\"");
        Portlane::launch(&bench.line, &[], &config).ended().assert_refused(words);
        bench.assert_untouched();
    };
    refused("zero-copy", &["interface network cannot do zero-copy (Operation not supported", "use `auto`"]);
    refused("packet", &["[nic] cannot use io = \"packet\"", "the host would answer", "by [wire]"]);
}

/// A rung that is named and does not hold is refused by its name.
pub(crate) fn refused() {
    let bench = Bench::new();
    let refused = |io: &str, words: &[&str]| {
        Portlane::launch(&bench.line, &[], &bench.config(&by(io))).ended().assert_refused(words);
        bench.assert_untouched();
    };
    refused("zero-copy", &["interface network cannot do zero-copy (Operation not supported", "use `auto`"]);
    bench.line.command("ip", &["link", "delete", "container"]).unwrap();
    bench.line.command("ip", &["link", "add", "container", "type", "bridge"]).unwrap();
    bench.line.command("ip", &["link", "set", "container", "up"]).unwrap();
    refused("copy", &["interface container cannot do copy (Operation not supported", "use `auto`"]);
    let busy_poll = format!("idle = \"busy-poll\"\n{}", by("packet"));
    Portlane::launch(&bench.line, &[], &bench.config(&busy_poll))
        .ended()
        .assert_refused(&["network cannot be busy-polled: a packet socket has no queue to poll", "idle = \"busy\""]);
    bench.assert_untouched();
}

/// Without a name it is the best that holds, and what refused a better one is said.
pub(crate) fn best() {
    let bench = Bench::new();
    let said = |portlane: &Portlane, words: &str| assert!(portlane.stdout().contains(words), "{}", portlane.stdout());
    let portlane = bench.start(&by("auto"));
    for side in SIDES {
        said(
            &portlane,
            &format!("{side}: copy (not zero-copy: cannot bind a socket to queue 0 of network: Operation not"),
        );
    }
    drop(portlane);
    bench.line.command("ip", &["link", "delete", "container"]).unwrap();
    bench.line.command("ip", &["link", "add", "container", "type", "bridge"]).unwrap();
    bench.line.command("ip", &["link", "set", "container", "up"]).unwrap();
    let portlane = bench.start(&by("auto"));
    said(&portlane, "network: copy (not zero-copy: an interface beside it has no native XDP)\n");
    said(&portlane, "container: generic (not native: Operation not supported (os error 95))\n");
}

/// In a container that may open packet sockets and nothing else, traffic passes all the same.
pub(crate) fn without_bpf() {
    let bench = Bench::new();
    let wrapper = ["setpriv", "--bounding-set=-all,+net_raw"];
    let portlane = Portlane::launch(&bench.line, &wrapper, &bench.config(FREE_CONTAINER));
    portlane.wait_until_open();
    let said = "network: packet (not AF_XDP: no permission to attach an XDP program to network: ";
    assert!(portlane.stdout().contains(said), "{}", portlane.stdout());
    transfer(&bench, FREE, Direction::Egress, &payload(BYTES));
    let (snapshot, _) = bench.settled_books();
    assert!(snapshot.totals.sent > 1_000, "{:?}", snapshot.totals);
}

/// What is longer than a frame is told from what came too late: both books agree with the kernel's.
pub(crate) fn too_long() {
    let bench = Bench::new();
    let portlane = bench.start(&by("packet"));
    for (namespace, interface) in [(&bench.client, "eth0"), (&bench.line, SIDES[0])] {
        namespace.command("ip", &["link", "set", interface, "mtu", "4000"]).unwrap();
    }
    let before = bench.stats().totals;
    let echo = Echo::new(&bench, FREE);
    echo.ask(b"are you there?");
    let long = udp(&bench.client, CLIENT, 0, Duration::from_secs(1));
    (0..10).for_each(|_| assert!(long.send_to(&payload(3_000), (SERVER, FREE)).is_ok()));
    let (snapshot, _) = bench.settled_books();
    let totals = &snapshot.totals;
    assert_eq!((totals.too_long, totals.malformed.len()), (10, 0), "{totals:?}");
    assert_eq!(totals.dropped - before.dropped, 10, "{totals:?}");
    let text = String::from_utf8(ask(&bench.socket(), "text").stdout).unwrap();
    assert!(text.contains("too long, longer than a frame: 10\n"), "{text}");
    drop(portlane);
}
