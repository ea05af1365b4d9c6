//! What cannot be is refused with one message, before anything is touched.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use crate::bench::{Bench, FREE_CONTAINER, SIDES, WIRE};
use crate::offer;
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
    set(&["mtu", "9000"]);
    refused(&["interface container has an MTU of 9000", "at most 1770", "`ip link set container mtu 1770`"]);
    set(&["mtu", "1500"]);
    set(&["down"]);
    refused(&["interface container is down", "`ip link set container up`"]);
    bench.line.command("ip", &["link", "delete", "container"]).unwrap();
    refused(&["there is no interface container in this network namespace", "`ip link`"]);
    bench.line.command("ip", &["tuntap", "add", "container", "mode", "tun"]).unwrap();
    set(&["up"]);
    refused(&["interface container is not Ethernet", "a wire needs Ethernet at both ends"]);
}

/// An XDP program of somebody else's, in either place; and it goes the way that the refusal says.
pub(crate) fn others_program() {
    for shared in [false, true] {
        let bench = if shared { Bench::shared() } else { Bench::new() };
        let object = bench.path("other.o");
        fs::write(&object, offer::object()).unwrap();
        let config = if shared { bench.shared_config(FREE_CONTAINER, "\"all\"") } else { bench.config(FREE_CONTAINER) };
        let places = SIDES.into_iter().flat_map(|side| [(side, "xdpdrv", "xdp"), (side, "xdpgeneric", "xdpgeneric")]);
        for (side, hook, taken_from) in places {
            let set =
                |words: &[&str]| drop(bench.line.command("ip", &[&["link", "set", side], words].concat()).unwrap());
            set(&[hook, "object", object.to_str().unwrap(), "section", "xdp"]);
            run(&bench, &[], &config).assert_refused(&[
                &format!("interface {side} already runs an XDP program"),
                "`bpftool net`",
                &format!("`ip link set dev {side} xdp off`, or `xdpgeneric off`,"),
            ]);
            assert_eq!(bench.links().matches("prog/xdp").count(), 1, "the other's stays, and is alone");
            set(&[taken_from, "off"]);
            bench.assert_untouched();
        }
        let portlane = Portlane::launch(&bench.line, &[], &config);
        portlane.wait_until_open();
    }
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
    let wire = Bench::new();
    let shared = Bench::shared();
    let configs = [(&wire, wire.config(FREE_CONTAINER)), (&shared, shared.shared_config(FREE_CONTAINER, "\"all\""))];
    for (bench, config) in &configs {
        // Who may administer the system may do all that CAP_BPF allows.
        for lacking in ["-all", "-net_raw", "-net_admin,-sys_admin", "-bpf,-sys_admin"] {
            let ended = run(bench, &["setpriv", &format!("--bounding-set={lacking}")], config);
            ended.assert_refused(&["no permission to ", ": be root, or have CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF"]);
            bench.assert_untouched();
        }
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
    let limited = ["prlimit", "--memlock=8388608", "setpriv", "--bounding-set=-ipc_lock"];
    let wire = Bench::new();
    let shared = Bench::shared();
    let configs = [(&wire, wire.config(FREE_CONTAINER)), (&shared, shared.shared_config(FREE_CONTAINER, "\"all\""))];
    for (bench, config) in &configs {
        let ended = run(bench, &limited, config);
        let needed = "need 33554432 bytes of locked memory";
        ended.assert_refused(&[needed, "may have 8388608 bytes", "`ulimit -l unlimited`"]);
        bench.assert_untouched();
    }
}

/// The kernel would end who wants more by SIGKILL, without a word.
pub(crate) fn group_memory() {
    let group = MemoryGroup::new().unwrap();
    let join = format!("echo $$ >{:?} && exec \"$@\"", group.0.join("cgroup.procs"));
    let wire = Bench::new();
    let shared = Bench::shared();
    let configs = [(&wire, wire.config(FREE_CONTAINER)), (&shared, shared.shared_config(FREE_CONTAINER, "\"all\""))];
    for (bench, config) in &configs {
        let ended = run(bench, &["sh", "-c", &join, "sh"], config);
        let may_have = "the cgroup of this process may have 25165824: raise it in /sys/fs/cgroup/";
        ended.assert_refused(&["need 33554432 bytes of memory", may_have, "MemoryMax="]);
        bench.assert_untouched();
    }
}

/// A cgroup whose processes may have 24 MiB together; removed with the value.
pub(crate) struct MemoryGroup(PathBuf);

impl MemoryGroup {
    /// Fails where cgroups are not to be had, or not for memory.
    pub(crate) fn new() -> io::Result<Self> {
        Self::below("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            .or_else(|_| Self::below("/sys/fs/cgroup", "memory.max"))
    }

    fn below(root: &str, limit: &str) -> io::Result<Self> {
        let group = Path::new(root).join(format!("portlane-test-{}", std::process::id()));
        fs::create_dir(&group)?;
        let group = Self(group);
        fs::OpenOptions::new().write(true).open(group.0.join(limit))?.write_all(b"25165824")?;
        Ok(group)
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // The kernel may still be letting go of the last process.
        let _ = fs::remove_dir(&self.0);
    }
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
