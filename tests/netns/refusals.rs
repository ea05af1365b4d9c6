//! What cannot be is refused with one message, before anything is touched.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::bench::{Bench, FREE_CONTAINER, WIRE};
use crate::portlane::{Ended, PROGRAM, Portlane, ask};

/// Runs `portlane run` to its end.
fn run(bench: &Bench, wrapper: &[&str], config: &Path) -> Ended {
    Portlane::launch(&bench.line, wrapper, config).ended()
}

pub(crate) fn interfaces() {
    let bench = Bench::new();
    let config = bench.config(FREE_CONTAINER);
    let set =
        |words: &[&str]| drop(bench.line.command("ip", &[&["link", "set", "container"], words].concat()).unwrap());
    let refused = |words: &[&str]| {
        run(&bench, &[], &config).assert_refused(words);
        bench.assert_untouched();
        assert!(!bench.socket().exists());
    };
    set(&["mtu", "12011"]);
    refused(&["interface container has an MTU of 12011", "at most 12010", "`ip link set container mtu 12010`"]);
    set(&["mtu", "1500"]);
    set(&["down"]);
    refused(&["interface container is down", "`ip link set container up`"]);
    bench.line.command("ip", &["link", "delete", "container"]).unwrap();
    refused(&["there is no interface container in this network namespace", "`ip link`"]);
}

/// Everything that only one can have: the interfaces, the control socket, the HTTP port.
pub(crate) fn taken() {
    let bench = Bench::new();
    let first = bench.start(FREE_CONTAINER);
    let other_socket = format!("[control]\nsocket = {:?}\n", bench.path("other.sock"));
    let other_port = "[http]\nlisten = \"127.0.0.1:9661\"\n";
    let same_wire = bench.write("same_wire.toml", &[FREE_CONTAINER, WIRE, other_port, &other_socket].concat());
    let same_port = bench.write("same_port.toml", &[FREE_CONTAINER, WIRE, &other_socket].concat());
    let same_socket = bench.config(&[FREE_CONTAINER, other_port].concat());

    let refused = |config: &Path, words: &[&str]| {
        run(&bench, &[], config).assert_refused(words);
        assert!(!bench.path("other.sock").exists());
        bench.ping();
    };
    refused(&same_wire, &["interface network already runs an XDP program", "`bpftool net`", "xdp off"]);
    refused(&same_port, &["HTTP address 127.0.0.1:9660", "in use", "[http] listen = "]);
    let socket = bench.socket();
    refused(&same_socket, &[socket.to_str().unwrap(), "another portlane listens there", "[control] socket"]);
    assert_eq!(bench.stats().mode.len(), 2, "the first one still answers");
    drop(first);
    bench.assert_untouched();
}

pub(crate) fn privileges() {
    let bench = Bench::new();
    let config = bench.config(FREE_CONTAINER);
    for lacking in ["-all", "-net_raw"] {
        let ended = run(&bench, &["setpriv", &format!("--bounding-set={lacking}")], &config);
        ended.assert_refused(&["no permission to ", ": be root, or have CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF"]);
        bench.assert_untouched();
    }
}

/// Most will meet this first: the default control socket is where only root may write.
pub(crate) fn unwritable_socket() {
    let bench = Bench::new();
    let folder = bench.path("roots");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o555)).unwrap();
    let control = format!("[control]\nsocket = {:?}\n", folder.join("control.sock"));
    let config = bench.write("unwritable.toml", &[FREE_CONTAINER, WIRE, &control].concat());
    let ended = run(&bench, &["setpriv", "--bounding-set=-all"], &config);
    ended.assert_refused(&["roots/control.sock: Permission denied", "be root, or name a place", "[control] socket = "]);
    bench.assert_untouched();
}

pub(crate) fn locked_memory() {
    let bench = Bench::new();
    let limited = ["prlimit", "--memlock=8388608", "setpriv", "--bounding-set=-ipc_lock"];
    let ended = run(&bench, &limited, &bench.config(FREE_CONTAINER));
    ended.assert_refused(&["need 33554432 bytes of locked memory", "may have 8388608 bytes", "`ulimit -l unlimited`"]);
    bench.assert_untouched();
}

pub(crate) fn no_wire() {
    let bench = Bench::new();
    let config = bench.write("no_wire.toml", &format!("{FREE_CONTAINER}[control]\nsocket = {:?}\n", bench.socket()));
    run(&bench, &[], &config).assert_refused(&["names no interfaces", "add [wire] with network = "]);
    bench.assert_untouched();
}

pub(crate) fn nobody_listens() {
    let bench = Bench::new();
    let socket = bench.socket();
    let ended = Portlane::command(&bench.line, &[PROGRAM, "stats", "--socket", socket.to_str().unwrap()]).ended();
    ended.assert_refused(&["no portlane listens on ", socket.to_str().unwrap(), "--socket"]);
    // A file that a portlane left behind, and one that never was a socket.
    drop(UnixListener::bind(&socket).unwrap());
    assert_eq!(ask(&socket, "json").status.code(), Some(2));
    let file = bench.write("file", "");
    assert_eq!(ask(&file, "json").status.code(), Some(2));
}
