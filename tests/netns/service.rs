//! Life as a service: what the manager is told, and what privileges are left.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::bench::{Bench, FREE_CONTAINER, WIRE};
use crate::portlane::{PROGRAM, Portlane, eventually, stats};

const NET_ADMIN: u64 = 1 << 12;

/// A stand-in for the service manager's socket.
struct Manager(UnixDatagram);

impl Manager {
    fn hear(&self) -> String {
        let mut buffer = [0; 512];
        let len = self.0.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    }

    /// The next that is not about the watchdog.
    fn hear_state(&self) -> String {
        loop {
            let state = self.hear();
            if state != "WATCHDOG=1\n" {
                return state;
            }
        }
    }
}

pub(crate) fn notifies() {
    let bench = Bench::new();
    let path = bench.path("notify.sock");
    let manager = Manager(UnixDatagram::bind(&path).unwrap());
    manager.0.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let socket = format!("NOTIFY_SOCKET={}", path.display());
    let config = bench.config(FREE_CONTAINER);
    let portlane = Portlane::launch(&bench.line, &["env", &socket, "WATCHDOG_USEC=300000"], &config);
    assert_eq!(manager.hear(), "READY=1\n");
    bench.ping();
    (0..3).for_each(|_| assert_eq!(manager.hear(), "WATCHDOG=1\n"));

    portlane.signal(Signal::SIGHUP);
    let reloading = manager.hear_state();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(manager.hear_state(), "READY=1\n");

    portlane.signal(Signal::SIGTERM);
    assert_eq!(manager.hear_state(), "STOPPING=1\n");
    assert_eq!(portlane.ended().code, Some(0));
}

/// Once its interfaces are open, no thread of a run has a capability, nor can get one.
pub(crate) fn gives_up_privileges() {
    let bench = Bench::new();
    let portlane = bench.start(FREE_CONTAINER);
    keeps_no_privileges(&portlane, 4);
    bench.ping();
    portlane.signal(Signal::SIGTERM);
    let ended = portlane.ended();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    bench.assert_untouched();
    assert!(!bench.socket().exists());
}

/// Only who puts offloads back keeps a capability, of a run on a wire that has so many threads at least.
pub(crate) fn keeps_no_privileges(portlane: &Portlane, least: usize) {
    // The kernel keeps 15 bytes of a name.
    assert_privileges(portlane, least, |name| if name == "portlane-offloa" { NET_ADMIN } else { 0 });
}

/// Every thread, of which there are so many at least, has the capabilities that its name says, and can get no others: as soon as
/// it has begun, which on a busy machine may be a while after it was started.
fn assert_privileges(portlane: &Portlane, least: usize, kept_by: impl Fn(&str) -> u64) {
    let threads = || fs::read_dir(format!("/proc/{}/task", portlane.id())).unwrap().map(|entry| entry.unwrap().path());
    eventually(|| threads().count() >= least, || format!("{} threads", threads().count()));
    let odd = || threads().find_map(|thread| odd_privileges(&thread, &kept_by));
    eventually(|| odd().is_none(), || format!("{:?}", odd()));
}

/// What a thread has that it should not have, or the other way round.
fn odd_privileges(thread: &Path, kept_by: impl Fn(&str) -> u64) -> Option<String> {
    let status = fs::read_to_string(thread.join("status")).unwrap();
    let of = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim();
    let kept = format!("{:016x}", kept_by(of("Name:")));
    let none = format!("{:016x}", 0);
    let wanted =
        [("CapEff:", &*kept), ("CapPrm:", &kept), ("CapInh:", &none), ("CapAmb:", &none), ("NoNewPrivs:", "1")];
    let odd = wanted.into_iter().find(|&(key, wanted)| of(key) != wanted);
    odd.map(|(key, wanted)| format!("{}: {key} {}, not {wanted}", of("Name:"), of(key)))
}

pub(crate) fn keeps_few_privileges() {
    const BPF: u64 = 1 << 39;
    let bench = Bench::shared();
    let portlane = bench.start_shared(FREE_CONTAINER, "\"all\"");
    assert_privileges(&portlane, 5, |name| match name {
        "portlane-watch" => BPF,
        "portlane-neighb" | "portlane-offloa" => NET_ADMIN,
        _ => 0,
    });
}

pub(crate) fn renamed_interface() {
    let bench = Bench::new();
    let portlane = bench.start(FREE_CONTAINER);
    bench.ping();
    // Most drivers, veth too, let an interface be renamed while it is up (Linux 6.6).
    bench.line.command("ip", &["link", "set", "network", "name", "world"]).unwrap();
    eventually(
        || portlane.stderr().contains("interface network is called world now"),
        || format!("not noticed: {}", portlane.stderr()),
    );
    bench.ping();
    portlane.signal(Signal::SIGTERM);
    assert_eq!(portlane.ended().code, Some(0));
    bench.assert_untouched();
}

/// As the service unit starts it: another user, with three capabilities. (The fourth is for what LimitMEMLOCK does there: a
/// hard limit may be too low here.)
pub(crate) fn runs_unprivileged() {
    const NOBODY: u32 = 65_534;
    let bench = Bench::new();
    let config = bench.config(FREE_CONTAINER);
    let folder = config.parent().unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    let run = bench.path("run");
    fs::create_dir(&run).unwrap();
    chown(&run, Some(NOBODY), Some(NOBODY)).unwrap();
    let socket = run.join("control.sock");
    bench.write("portlane.toml", &format!("{FREE_CONTAINER}{WIRE}[control]\nsocket = {socket:?}\n"));
    let capabilities = "+net_admin,+net_raw,+bpf,+ipc_lock";
    let [inherited, ambient] = ["inh", "ambient"].map(|set| format!("--{set}-caps={capabilities}"));
    let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let portlane = Portlane::launch(&bench.line, &[&user[..], &[&inherited, &ambient]].concat(), &config);
    portlane.wait_until_open();
    bench.ping();
    assert!(stats(&socket).totals.received >= 8);
    portlane.signal(Signal::SIGTERM);
    let ended = portlane.ended();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    bench.assert_untouched();
    assert!(!socket.exists());
}

/// The unit in `dist`, of the program that this is a test of, and with what is added for attached containers.
pub(crate) fn unit_is_valid() {
    let unit = include_str!("../../dist/portlane.service").replace("/usr/local/bin/portlane", PROGRAM);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("portlane.service");
    fs::write(&path, unit).unwrap();
    verify(&path);
    let added = folder.path().join("portlane.service.d");
    fs::create_dir(&added).unwrap();
    fs::write(added.join("attached.conf"), include_str!("../../dist/portlane-attached.conf")).unwrap();
    verify(&path);
}

fn verify(path: &Path) {
    let verified = Command::new("systemd-analyze").arg("verify").arg(path).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stderr);
    // Of other units on the machine there may be something to say too.
    assert!(verified.status.success() && !said.contains("portlane"), "{said}");
}
