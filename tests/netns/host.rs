//! Containers behind interfaces of their own, on the host's address.
//!
//! ```text
//! client eth0 ─── eth0 │ host │ plc-web ─── eth0 web
//!                      │      │ plc-db ──── eth0 db
//! ```

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use portlane::netns::Namespace;
use portlane_stats::snapshot::Snapshot;
use tempfile::TempDir;

use crate::bench::{CLIENT, KernelCount, NOBODYS, SERVER, ping, quiet_namespace, settled};
use crate::busy::assert_in_time;
use crate::portlane::{PROGRAM, Portlane, eventually, stats};
use crate::traffic::{Echo, payload, transfer_between, udp};

pub(crate) const WEB: u16 = 7_000;
pub(crate) const DB: u16 = 8_000;

/// The ports that the host's own programs get: none of a container's, nor of the pool.
pub(crate) const HOSTS_OWN: &str = "49152 60999";

pub(crate) struct Host {
    pub(crate) client: Namespace,
    pub(crate) host: Namespace,
    pub(crate) web: Namespace,
    pub(crate) db: Namespace,
    folder: TempDir,
    before: String,
}

impl Host {
    pub(crate) fn new() -> Self {
        let [client, host, web, db] = [(); 4].map(|()| quiet_namespace());
        host.join("eth0", &client, "eth0").unwrap();
        for (namespace, address) in [(&client, CLIENT), (&host, SERVER)] {
            namespace.command("ip", &["address", "add", &format!("{address}/24"), "dev", "eth0"]).unwrap();
            let as_on_a_cable = ["-K", "eth0", "tx", "off", "tso", "off", "gso", "off", "gro", "off"];
            namespace.command("ethtool", &as_on_a_cable).unwrap();
        }
        host.set("ipv4/ip_local_port_range", HOSTS_OWN).unwrap();
        // Who connects is given none of those that trials listen at.
        for (container, first) in [(&web, WEB), (&db, DB)] {
            container.set("ipv4/ip_local_reserved_ports", &format!("{first},{}", first + 99)).unwrap();
        }
        let mut host = Self { client, host, web, db, folder: TempDir::new().unwrap(), before: String::new() };
        host.before = host.state();
        host
    }

    /// The host's interfaces, and the containers'.
    pub(crate) fn state(&self) -> String {
        let of = |namespace: &Namespace| {
            let links = namespace.command("ip", &["-details", "link"]).unwrap();
            let addresses = namespace.command("ip", &["-brief", "address"]).unwrap();
            // A namespace gets a number when somebody looks for it.
            links.lines().filter(|line| !line.contains("link-netnsid")).collect::<Vec<_>>().join("\n") + &addresses
        };
        [&self.host, &self.web, &self.db].map(of).concat() + &self.paths()
    }

    /// The host's rules and routes.
    pub(crate) fn paths(&self) -> String {
        let shown = [&["rule"][..], &["-6", "rule"], &["route", "show", "table", "all"]];
        let shown = shown.map(|words| self.host.command("ip", words).unwrap()).concat();
        // The kernel makes one of its own, and takes its time.
        shown.lines().filter(|line| !line.contains("local fe80:")).collect::<Vec<_>>().join("\n")
    }

    /// A configuration of one container.
    pub(crate) fn only_web(&self) -> String {
        let path = link(self, "web", &self.web);
        format!("[[container]]\nid = \"web\"\nports = [\"7000-7099\"]\nnetns = {path:?}\n")
    }

    /// Everything is as it was before the run.
    pub(crate) fn assert_untouched(&self) {
        assert_eq!(self.state(), self.before);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn config(&self, containers: &str) -> PathBuf {
        self.config_of(containers, "")
    }

    /// The same, with more lines of `[nic]`.
    fn config_of(&self, containers: &str, nic: &str) -> PathBuf {
        let (path, socket) = (self.path("host.toml"), self.path("control.sock"));
        let text = format!(
            "{containers}[nic]\ninterface = \"eth0\"\ncontainers = \"attached\"\n{nic}\
             [control]\nsocket = {socket:?}\nephemeral_ports = \"32768-33791\"\nports_rest = \"3600s\"\n"
        );
        fs::write(&path, text).unwrap();
        path
    }

    /// Both containers.
    pub(crate) fn both(&self, more: &str) -> String {
        let of = |id: &str, port: u16, namespace: &Namespace, more: &str| {
            let (last, path) = (port + 99, link(self, id, namespace));
            format!("[[container]]\nid = {id:?}\nports = [\"{port}-{last}\"]\nnetns = {path:?}\n{more}")
        };
        of("web", WEB, &self.web, "") + &of("db", DB, &self.db, more)
    }

    pub(crate) fn start(&self, containers: &str) -> Portlane {
        self.launch(&self.config(containers))
    }

    /// With a 127.0.0.1 of each one's own.
    pub(crate) fn start_apart(&self, containers: &str) -> Portlane {
        self.launch(&self.config_of(containers, "loopback = false\n"))
    }

    fn launch(&self, config: &Path) -> Portlane {
        let portlane = Portlane::launch(&self.host, &[], config);
        portlane.wait_until_open();
        portlane
    }

    pub(crate) fn stats(&self) -> Snapshot {
        stats(&self.path("control.sock"))
    }

    pub(crate) fn settled(&self) -> Snapshot {
        settled(|| (self.stats(), KernelCount::default())).0
    }

    fn counted(&self, interface: &str, verdict: &str) -> u64 {
        self.stats().steering[interface][verdict]
    }

    pub(crate) fn command(&self, words: &[&str]) -> Output {
        Command::new(PROGRAM).args(words).arg("--socket").arg(self.path("control.sock")).output().unwrap()
    }

    pub(crate) fn said(&self, words: &[&str]) -> String {
        let output = self.command(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn refused(&self, words: &[&str]) -> String {
        let output = self.command(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    pub(crate) fn end(&self, portlane: Portlane) {
        assert_eq!(portlane.stderr(), "");
        self.end_telling(portlane);
    }

    /// The same of one that has said something.
    pub(crate) fn end_telling(&self, portlane: Portlane) {
        portlane.signal(Signal::SIGTERM);
        let ended = portlane.ended();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        self.assert_untouched();
    }
}

/// A path that outlives no process of the trial's, as a name in `/run/netns` does.
pub(crate) fn link(host: &Host, id: &str, namespace: &Namespace) -> PathBuf {
    let path = host.path(&format!("{id}.ns"));
    if !path.exists() {
        std::os::unix::fs::symlink(namespace.path(), &path).unwrap();
    }
    path
}

fn ask(host: &Host, inside: &Namespace, port: u16) {
    Echo::between(&host.client, inside, (SERVER, port)).ask(b"is this your port?");
}

/// TCP in both directions, opened from both sides; UDP; and the container asks who the client is.
pub(crate) fn traffic() {
    const MANY: usize = 1 << 20;
    let host = Host::new();
    let portlane = host.start(&host.both(""));
    for (inside, port) in [(&host.web, WEB), (&host.db, DB)] {
        for port in [port, port + 99] {
            ask(&host, inside, port);
        }
        transfer_between(&host.client, inside, (SERVER, port), &payload(MANY));
        // The container opens this one, from a port of its own that the system chose.
        transfer_between(inside, &host.client, (CLIENT, NOBODYS), &payload(MANY));
    }
    // The host's own goes on beside it, and it answers pings.
    Echo::between(&host.client, &host.host, (SERVER, NOBODYS)).ask(b"the host's");
    ping(&host.client, &SERVER.to_string());

    let snapshot = host.settled();
    for (container, interface) in snapshot.containers.iter().zip(["plc-web", "plc-db"]) {
        let most = MANY as u64;
        assert!(container.ingress.sent_bytes > most && container.egress.sent_bytes > most, "{container:?}");
        let steered = &snapshot.steering[interface];
        assert!(steered["asked"] >= 1 && steered["owned"] >= container.egress.sent_packets, "{steered:?}");
        assert_eq!(steered["foreign_port"], 0, "{steered:?}");
    }
    let sent: u64 = snapshot.containers.iter().map(|container| container.ingress.sent_packets).sum();
    assert_eq!(snapshot.steering["pld-eth0"]["owned"], sent, "all that was sent was delivered");
    assert_eq!(snapshot.unmatched.egress.sent_packets, 0);
    host.end(portlane);
}

/// Ports of others, and of nobody: nothing of it leaves, and each is counted at its container.
pub(crate) fn foreign_ports() {
    let host = Host::new();
    let portlane = host.start(&host.both(""));
    let client = udp(&host.client, CLIENT, NOBODYS, Duration::from_millis(300));
    let send = |inside: &Namespace, port: u16| {
        udp(inside, SERVER, port, Duration::from_millis(1)).send_to(b"not mine", (CLIENT, NOBODYS)).unwrap();
    };
    for port in [WEB - 1, WEB + 100, DB, DB + 99] {
        send(&host.web, port);
    }
    send(&host.db, WEB);
    assert!(client.recv(&mut [0; 64]).is_err(), "nothing arrives from foreign ports");
    eventually(|| host.counted("plc-db", "foreign_port") == 1, || format!("{:?}", host.stats().steering));
    assert_eq!((host.counted("plc-web", "foreign_port"), host.counted("plc-db", "foreign_port")), (4, 1));
    assert_eq!(host.settled().totals.received, 0);
    // Its own it may use as before.
    send(&host.web, WEB);
    assert!(client.recv(&mut [0; 64]).is_ok());
    // The host has learnt nothing from the containers.
    assert_eq!(host.host.command("ip", &["neighbour", "show", "dev", "plc-web"]).unwrap(), "");
    host.end(portlane);
}

/// A limit holds from above, and the other container does not feel it.
pub(crate) fn limits() {
    const SECOND: usize = 20_000_000 / 8;
    let host = Host::new();
    let limit = "{ rate = \"20mbit\", burst = \"64kb\" }";
    let portlane = host.start(&host.both(&format!("egress = {limit}\ningress = {limit}\n")));
    let out = transfer_between(&host.db, &host.client, (CLIENT, NOBODYS), &payload(SECOND));
    let inwards = transfer_between(&host.client, &host.db, (SERVER, DB), &payload(SECOND));
    let free = transfer_between(&host.client, &host.web, (SERVER, WEB), &payload(SECOND));
    let least = Duration::from_millis(900);
    assert!(out > least && inwards > least, "{out:?} out, {inwards:?} in");
    assert_in_time(free < least, || format!("without limit it took {free:?}"));
    host.end(portlane);
}

/// Fragments find their container, and errors find whom they are about.
pub(crate) fn fragments_and_errors() {
    let host = Host::new();
    let portlane = host.start(&host.both(""));
    Echo::between(&host.client, &host.web, (SERVER, WEB)).ask(&payload(4_000));
    // Nobody listens: the client's kernel says so, and the container is told.
    let asks = udp(&host.db, SERVER, DB, Duration::from_secs(5));
    asks.connect((CLIENT, NOBODYS)).unwrap();
    asks.send(b"anybody?").unwrap();
    assert_eq!(asks.recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(host.counted("pld-eth0", "lost_fragment"), 0);
    host.end(portlane);
}

/// Added, changed and removed under a running portlane.
pub(crate) fn come_and_go() {
    let host = Host::new();
    let web = "[[container]]\nid = \"web\"\nports = [\"7000-7099\"]\n";
    let portlane = host.start(&format!("{web}netns = {:?}\n", link(&host, "web", &host.web)));
    let only_web = host.state();
    let netns = link(&host, "db", &host.db);
    let started = Instant::now();
    let add = ["container", "add", "db", "--ports", "8000-8099,auto:256", "--netns", netns.to_str().unwrap()];
    let why = host.refused(&add);
    assert!(why.contains("auto:256"), "a block or names: {why}");
    let add = ["container", "add", "db", "--ports", "auto:256", "--netns", netns.to_str().unwrap()];
    assert_eq!(host.said(&add), "db: ports 32768-33023\n");
    eprintln!("two commands and attaching took {:?}", started.elapsed());
    assert_eq!(host.db.command("sysctl", &["-n", "net.ipv4.ip_local_port_range"]).unwrap(), "32768\t33023\n");
    ask(&host, &host.db, 32_768);
    transfer_between(&host.db, &host.client, (CLIENT, NOBODYS), &payload(1 << 16));
    ask(&host, &host.web, WEB);

    let twice = ["container", "add", "other", "--ports", "9000", "--netns", netns.to_str().unwrap()];
    assert!(host.refused(&twice).contains("the same network namespace"));
    let absent = ["container", "add", "other", "--ports", "9000", "--netns", "/run/netns/no-such"];
    assert!(host.refused(&absent).contains("there is no network namespace /run/netns/no-such"));
    let gone = ["container", "add", "other", "--ports", "9000", "--pid", "4194304"];
    assert!(host.refused(&gone).contains("there is no process 4194304"));
    let nowhere = ["container", "add", "other", "--ports", "9000"];
    assert!(host.refused(&nowhere).contains("has no network namespace"));

    assert_eq!(host.said(&["container", "set", "db", "--ports", "8000-8099"]), "db: ports 8000-8099\n");
    ask(&host, &host.db, DB);
    host.said(&["container", "remove", "db"]);
    assert_eq!(host.state(), only_web, "nothing is left of it");
    host.end(portlane);
}

/// A run that was killed leaves interfaces: the next goes on with those that are wanted, and removes the others.
pub(crate) fn killed() {
    let host = Host::new();
    let both = host.both("");
    let portlane = host.start(&both);
    let interface = || host.web.command("ip", &["-brief", "link", "show", "eth0"]).unwrap();
    let first = interface();
    // What has begun before goes on after.
    let echo = Echo::between(&host.client, &host.web, (SERVER, WEB));
    echo.ask(b"before");
    portlane.signal(Signal::SIGKILL);
    assert_eq!(portlane.ended().code, None);
    assert_eq!(interface(), first, "it is left");

    // A run that cannot begin takes nothing away.
    let config = host.config(&both);
    let without = ["setpriv", "--bounding-set=-all,+bpf,+net_admin,+sys_admin"];
    assert_eq!(Portlane::launch(&host.host, &without, &config).ended().code, Some(2));
    assert_eq!(interface(), first, "it is still there");

    let web = "[[container]]\nid = \"web\"\nports = [\"7000-7099\"]\n";
    let portlane = host.start(&format!("{web}netns = {:?}\n", link(&host, "web", &host.web)));
    assert_eq!(interface(), first, "it is the same");
    echo.ask(b"after");
    assert!(!host.db.command("ip", &["-brief", "link"]).unwrap().contains("eth0"), "db is no more");
    host.end_telling(portlane);
}

/// A process's number may be another's by the next start: what was attached by it is gone on with, and not made anew.
pub(crate) fn of_process() {
    let host = Host::new();
    let containers =
        format!("[[container]]\nid = \"web\"\nports = [\"7000-7099\"]\nnetns = {:?}\n", link(&host, "web", &host.web));
    let mut sleeper = host.db.within(|| Command::new("sleep").arg("60").spawn()).unwrap().unwrap();
    let portlane = host.start(&containers);
    let id = sleeper.id().to_string();
    host.said(&["container", "add", "db", "--ports", "8000-8099", "--pid", &id]);
    portlane.signal(Signal::SIGKILL);
    assert_eq!(portlane.ended().code, None);
    let portlane = host.start(&containers);
    ask(&host, &host.db, DB);
    host.said(&["container", "set", "db", "--ports", "8000-8199"]);
    ask(&host, &host.db, DB + 199);
    host.end_telling(portlane);

    let portlane = host.start(&containers);
    let said = portlane.stderr();
    assert!(
        said.contains(&format!("container \"db\" is not attached: it has no interface in /proc/{id}/ns/net any more")),
        "{said}"
    );
    host.said(&["reload"]);
    assert!(!host.db.command("ip", &["-brief", "link"]).unwrap().contains("eth0"));
    host.said(&["container", "remove", "db"]);
    host.said(&["container", "add", "db", "--ports", "8000-8099", "--pid", &id]);
    ask(&host, &host.db, DB);
    host.end_telling(portlane);
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}

/// Who cannot be attached does not keep the others from it; and is, once it can be.
pub(crate) fn lost_namespace() {
    let host = Host::new();
    let both = host.both("");
    fs::remove_file(host.path("db.ns")).unwrap();
    let portlane = host.start(&both);
    assert!(
        portlane.stderr().contains("warning: container \"db\" is not attached: there is no network namespace"),
        "{}",
        portlane.stderr()
    );
    ask(&host, &host.web, WEB);
    link(&host, "db", &host.db);
    host.said(&["reload"]);
    ask(&host, &host.db, DB);
    // A file that has it no more takes its interface away.
    let web = format!("[[container]]\nid = \"web\"\nports = [\"7000-7199\"]\nnetns = {:?}\n", host.path("web.ns"));
    host.config(&web);
    host.said(&["reload"]);
    assert!(!host.db.command("ip", &["-brief", "link"]).unwrap().contains("eth0"));
    ask(&host, &host.web, WEB + 199);
    host.end_telling(portlane);
}

/// Nothing is half-made where a run cannot be.
pub(crate) fn refused() {
    let host = Host::new();
    let config = host.config(&host.both(""));
    let refused = |wrapper: &[&str], words: &[&str]| {
        Portlane::launch(&host.host, wrapper, &config).ended().assert_refused(words);
        host.assert_untouched();
    };
    let without = ["setpriv", "--bounding-set=-all,+bpf,+net_admin,+net_raw,+ipc_lock"];
    refused(&without, &["no permission to enter containers' namespaces: CAP_SYS_ADMIN lacks"]);
    host.host.command("ip", &["link", "add", "plg-eth0", "type", "bridge"]).unwrap();
    let ended = Portlane::launch(&host.host, &[], &config).ended();
    ended.assert_refused(&["there is an interface plg-eth0, which is not portlane's"]);
    host.host.command("ip", &["link", "delete", "plg-eth0"]).unwrap();
    host.assert_untouched();
}
