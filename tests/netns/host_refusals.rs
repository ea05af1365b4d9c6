//! What attached containers cannot have: each is one error that says what would be right, and nothing is half-made.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::process::Command;

use nix::sys::signal::Signal;
use portlane::netns::Namespace;

use crate::bench::{SERVER, quiet_namespace};
use crate::host::{DB, HOSTS_OWN, Host, WEB};
use crate::portlane::{Portlane, eventually};
use crate::traffic::Echo;

/// What a running portlane is, as far as it can be seen from outside.
fn all(host: &Host) -> (String, String, String) {
    let kept = fs::read_to_string(host.path("containers.toml")).unwrap_or_default();
    // Of what says nothing there may be a file, or none.
    let kept = kept.lines().filter(|line| !line.starts_with('#')).collect();
    (host.state(), host.said(&["container", "list"]), kept)
}

/// Refused, with these words, and all is as it was.
fn refuses(host: &Host, words: &[&str], named: &[&str]) {
    let before = all(host);
    let why = host.refused(words);
    assert_eq!(why.matches("error: ").count(), 1, "{why}");
    named.iter().for_each(|name| assert!(why.contains(name), "{name:?} is not in {why}"));
    assert_eq!(all(host), before, "{words:?}");
}

/// Ports that the host's own programs may get are no containers'.
pub(crate) fn the_hosts_own_ports() {
    let host = Host::new();
    let config = host.config(&host.both(""));
    let set = |range: &str, reserved: &str| {
        host.host.set("ipv4/ip_local_port_range", range).unwrap();
        host.host.set("ipv4/ip_local_reserved_ports", reserved).unwrap();
    };
    let refused = |words: &[&str]| {
        Portlane::launch(&host.host, &[], &config).ended().assert_refused(words);
        host.assert_untouched();
    };
    set("32768 60999", "");
    refused(&[
        "ephemeral_ports 32768-33791 and the host's own net.ipv4.ip_local_port_range 32768-60999 have 32768-33791 in common",
        "sysctl -w net.ipv4.ip_local_port_range=\"33792 60999\"",
        "net.ipv4.ip_local_reserved_ports=32768-33791",
    ]);
    set("1024 8050", "32768-33791,7000-7099");
    refused(&["ports of container \"db\": 8000-8099 and", "ip_local_port_range 1024-8050 have 8000-8050 in common"]);

    // What the host's programs are kept off is the containers'.
    set("1024 60999", "8000-8099,32768-33791,7000-7099");
    let portlane = host.start(&host.both(""));
    Echo::between(&host.client, &host.web, (SERVER, WEB)).ask(b"mine?");
    let other = quiet_namespace();
    let add = ["container", "add", "other", "--ports", "9000-9010", "--netns", &other.path()];
    refuses(&host, &add, &["ports of container \"other\": 9000-9010", "1024-60999", "9000-9010 in common"]);
    assert!(!other.command("ip", &["-brief", "link"]).unwrap().contains("eth0"));
    // Who is there already is no reason to refuse what is right.
    set("1024 60999", "9000-9010");
    host.said(&add);
    host.said(&["container", "remove", "other"]);
    // A reload is refused as a start is.
    let before = all(&host);
    host.config(&host.both("").replace("8000-8099", "8000-8200"));
    let why = host.refused(&["reload"]);
    assert!(why.contains("ports of container \"db\": 8000-8200"), "{why}");
    assert_eq!(all(&host), before);
    set(HOSTS_OWN, "");
    host.said(&["reload"]);
    Echo::between(&host.client, &host.db, (SERVER, DB + 200)).ask(b"and this one?");
    host.end_telling(portlane);
}

/// A program of the host that listens at a container's port is told of, since it hears nothing any more.
pub(crate) fn listeners() {
    let host = Host::new();
    let any = Ipv4Addr::UNSPECIFIED;
    let inside = || {
        let web = TcpListener::bind((any, WEB + 99)).unwrap();
        let within = TcpListener::bind((Ipv4Addr::LOCALHOST, DB)).unwrap();
        let other = UdpSocket::bind((SERVER, 9_000)).unwrap();
        (web, within, other)
    };
    let held = host.host.within(inside).unwrap();
    let portlane = host.start(&host.both(""));
    let said = || portlane.stderr();
    let lines = |count: usize| eventually(|| said().lines().count() >= count, said);
    lines(1);
    assert!(
        said()
            .starts_with("warning: container \"web\" has ports that programs of the host listen at (tcp 0.0.0.0:7099)"),
        "{}",
        said()
    );
    let namespace = quiet_namespace();
    host.said(&["container", "add", "other", "--ports", "9000-9010", "--netns", &namespace.path()]);
    lines(2);
    assert!(said().contains("container \"other\"") && said().contains(&format!("(udp {}:9000)", SERVER)));
    // What was told of once is not told of again.
    host.said(&["container", "set", "other", "--egress-rate", "10mbit"]);
    host.said(&["container", "remove", "other"]);
    host.said(&["reload"]);
    assert_eq!(said().lines().filter(|line| line.starts_with("warning: ")).count(), 2, "{}", said());
    drop(held);
    host.end_telling(portlane);
}

/// Each thing that keeps a container from being attached, asked for of a run.
pub(crate) fn of_a_run() {
    let host = Host::new();
    let portlane = host.start(&host.both(""));
    let other = quiet_namespace();
    let there = other.path();
    let add = |ports: &'static str, more: [&'static str; 2]| {
        [&["container", "add", "other", "--ports", ports][..], &more].concat()
    };
    refuses(
        &host,
        &add("9000", ["--netns", "/run/netns/no-such"]),
        &["there is no network namespace /run/netns/no-such"],
    );
    refuses(&host, &add("9000", ["--pid", "4194304"]), &["there is no process 4194304"]);
    refuses(&host, &add("9000", ["--netns", "/etc/hostname"]), &["/etc/hostname is no network namespace"]);
    let of_web = ["container", "add", "other", "--ports", "7050-7150", "--netns", &there];
    refuses(&host, &of_web, &["7050-7099", "web", "other"]);
    let of_pool = ["container", "add", "other", "--ports", "33000", "--netns", &there];
    refuses(&host, &of_pool, &["ports 33000 are of the pool"]);

    host.host.command("ip", &["link", "add", "plc-other", "type", "veth", "peer", "name", "peer"]).unwrap();
    host.host.command("ip", &["link", "set", "plc-other", "alias", "somebody's"]).unwrap();
    let plain = ["container", "add", "other", "--ports", "9000", "--netns", &there];
    refuses(&host, &plain, &["there is an interface plc-other, which is not portlane's", "ip link delete plc-other"]);
    host.host.command("ip", &["link", "delete", "plc-other"]).unwrap();
    other.command("ip", &["link", "add", "eth0", "type", "veth", "peer", "name", "peer"]).unwrap();
    refuses(&host, &plain, &["has an interface eth0 already"]);
    other.command("ip", &["link", "delete", "eth0"]).unwrap();

    // All of the pool, and one port more.
    let block = ["container", "add", "whole", "--ports", "auto:1024", "--netns", &there];
    assert_eq!(host.said(&block), "whole: ports 32768-33791\n");
    let one = quiet_namespace();
    let more = ["container", "add", "more", "--ports", "auto:1", "--netns", &one.path()];
    refuses(&host, &more, &["the pool 32768-33791 has no 1 ports together that are free and have rested"]);
    assert!(!one.command("ip", &["-brief", "link"]).unwrap().contains("eth0"));
    host.said(&["container", "remove", "whole"]);
    refuses(&host, &more, &["and have rested"]);

    Echo::between(&host.client, &host.web, (SERVER, WEB)).ask(b"undisturbed?");
    host.end(portlane);
}

/// A host without address: nobody could have it.
pub(crate) fn no_address() {
    let host = Host::new();
    let config = host.config(&host.both(""));
    host.host.command("ip", &["address", "flush", "dev", "eth0"]).unwrap();
    let before = host.state();
    let words = ["interface eth0 has no address that containers could share: give it one (`ip address add`)"];
    Portlane::launch(&host.host, &[], &config).ended().assert_refused(&words);
    assert_eq!(host.state(), before);

    // What a killed run has left stays until there is one again.
    let address = format!("{}/24", SERVER);
    host.host.command("ip", &["address", "add", &address, "dev", "eth0"]).unwrap();
    let portlane = host.start(&host.both(""));
    portlane.signal(Signal::SIGKILL);
    assert_eq!(portlane.ended().code, None);
    let interface = || host.web.command("ip", &["-brief", "link", "show", "eth0"]).unwrap();
    let left = interface();
    host.host.command("ip", &["address", "flush", "dev", "eth0"]).unwrap();
    Portlane::launch(&host.host, &[], &config).ended().assert_refused(&words);
    assert_eq!(interface(), left);
    host.host.command("ip", &["address", "add", &address, "dev", "eth0"]).unwrap();
    let portlane = host.start(&host.both(""));
    assert_eq!(interface(), left, "it is the same");
    host.end_telling(portlane);
}

/// Interfaces are made before sockets are open: if those cannot be, they go again.
pub(crate) fn not_open() {
    let host = Host::new();
    let config = host.config(&host.both(""));
    let without = ["setpriv", "--bounding-set=-all,+bpf,+net_admin,+sys_admin,+ipc_lock"];
    Portlane::launch(&host.host, &without, &config).ended().assert_refused(&["no permission to"]);
    host.assert_untouched();
    let portlane = host.start(&host.both(""));
    Echo::between(&host.client, &host.web, (SERVER, WEB)).ask(b"now?");
    host.end(portlane);
}

/// As the service unit starts it with what is added for attached containers: another user, with few capabilities. (CAP_IPC_LOCK is
/// for what LimitMEMLOCK does there.)
pub(crate) fn few_capabilities() {
    const NOBODY: u32 = 65_534;
    let host = Host::new();
    // Descriptors of the trial's, by which it has its namespaces, others may not open, unlike `/run/netns` and processes'.
    let other = quiet_namespace();
    let sleep = |namespace: &Namespace| namespace.within(|| Command::new("sleep").arg("60").spawn()).unwrap().unwrap();
    let mut sleepers = [&host.web, &host.db, &other].map(sleep);
    for (name, sleeper) in ["web.ns", "db.ns"].iter().zip(&sleepers) {
        symlink(format!("/proc/{}/ns/net", sleeper.id()), host.path(name)).unwrap();
    }
    let config = host.config(&host.both(""));
    let folder = config.parent().unwrap();
    // The control socket, and what was added, are in a folder of the service's.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
    let capabilities = "+net_admin,+net_raw,+bpf,+sys_admin,+sys_ptrace,+ipc_lock";
    let [inherited, ambient] = ["inh", "ambient"].map(|set| format!("--{set}-caps={capabilities}"));
    let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"];
    let portlane = Portlane::launch(&host.host, &[&user[..], &[&inherited, &ambient]].concat(), &config);
    portlane.wait_until_open();
    assert_eq!(portlane.stderr(), "");
    Echo::between(&host.client, &host.web, (SERVER, WEB)).ask(b"whoever serves you?");
    host.said(&["container", "add", "other", "--ports", "9000-9010", "--pid", &sleepers[2].id().to_string()]);
    Echo::between(&host.client, &other, (SERVER, 9_000)).ask(b"and you?");
    host.said(&["container", "remove", "other"]);
    for sleeper in &mut sleepers {
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    }
    host.end(portlane);
}
