//! Where trials happen: a client, a server, and between them the namespace that portlane runs in.
//!
//! ```text
//! client eth0 ─── network │ line │ container ─── eth0 server
//! ```

use std::fs;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use portlane::netns::Namespace;
use portlane_stats::snapshot::Snapshot;
use tempfile::TempDir;

use crate::portlane::{Portlane, stats};

pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// The line's interfaces.
pub(crate) const SIDES: [&str; 2] = ["network", "container"];

/// A port of container `free`, and one of container `slow`, and one that nobody owns.
pub(crate) const FREE: u16 = 7_000;
pub(crate) const SLOW: u16 = 8_000;
pub(crate) const NOBODYS: u16 = 9_000;

/// What is in most trials: a container without limit.
pub(crate) const FREE_CONTAINER: &str = "[[container]]\nid = \"free\"\nports = [\"7000-7099\"]\n";

pub(crate) const WIRE: &str = "[wire]\nnetwork = \"network\"\ncontainer = \"container\"\n";

pub(crate) struct Bench {
    pub(crate) client: Namespace,
    pub(crate) line: Namespace,
    pub(crate) server: Namespace,
    folder: TempDir,
}

/// Packets at both interfaces of the line, by the kernel's counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct KernelCount {
    pub(crate) received: u64,
    pub(crate) sent: u64,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let [client, line, server] = [(); 3].map(|()| quiet_namespace());
        for (side, host, address) in [(SIDES[0], &client, CLIENT), (SIDES[1], &server, SERVER)] {
            line.join(side, host, "eth0").unwrap();
            host.command("ip", &["address", "add", &format!("{address}/24"), "dev", "eth0"]).unwrap();
            let as_on_a_cable = ["-K", "eth0", "tx", "off", "tso", "off", "gso", "off", "gro", "off"];
            host.command("ethtool", &as_on_a_cable).unwrap();
        }
        Self { client, line, server, folder: TempDir::new().unwrap() }
    }

    /// The line's namespace is a host, and the server a container that has the host's addresses: the interface to the client
    /// is both's.
    pub(crate) fn shared() -> Self {
        Self::shared_with_queues(1)
    }

    /// A bench whose interfaces all have so many queues.
    pub(crate) fn with_queues(queues: u32) -> Self {
        let bench = Self::new();
        Self::set_queues(queues, &[(&bench.client, "eth0"), (&bench.line, SIDES[0])]);
        Self::set_queues(queues, &[(&bench.server, "eth0"), (&bench.line, SIDES[1])]);
        bench
    }

    fn set_queues(queues: u32, ends: &[(&Namespace, &str)]) {
        let count = queues.to_string();
        for (namespace, interface) in ends {
            namespace.command("ethtool", &["-L", interface, "rx", &count, "tx", &count]).unwrap();
        }
    }

    /// The same with so many queues of the interface to the client.
    pub(crate) fn shared_with_queues(queues: u32) -> Self {
        let bench = Self::new();
        if queues > 1 {
            Self::set_queues(queues, &[(&bench.client, "eth0"), (&bench.line, SIDES[0])]);
        }
        let links = bench.line.command("ip", &["-brief", "link", "show", SIDES[0]]).unwrap();
        let hardware = links.split_ascii_whitespace().nth(2).unwrap();
        bench.server.command("ip", &["link", "set", "eth0", "address", hardware]).unwrap();
        bench.line.command("ip", &["address", "add", &format!("{SERVER}/24"), "dev", SIDES[0]]).unwrap();
        bench
    }

    /// A portlane at work that takes what belongs to these containers, and nothing else.
    pub(crate) fn start_shared(&self, containers: &str, queues: &str) -> Portlane {
        let portlane = Portlane::launch(&self.line, &[], &self.shared_config(containers, queues));
        portlane.wait_until_open();
        portlane
    }

    pub(crate) fn shared_config(&self, containers: &str, queues: &str) -> PathBuf {
        let [network, container] = SIDES;
        let nic = format!("[nic]\ninterface = {network:?}\nqueues = {queues}\ncontainer = {container:?}\n");
        let socket = self.socket();
        self.write("shared.toml", &format!("{containers}{nic}[control]\nsocket = {socket:?}\n"))
    }

    /// A file of the trial's own.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("control.sock")
    }

    /// Writes a configuration with these containers, the bench's wire and a control socket in the bench's folder.
    pub(crate) fn config(&self, containers: &str) -> PathBuf {
        let socket = self.socket();
        self.write("portlane.toml", &format!("{containers}{WIRE}[control]\nsocket = {socket:?}\n"))
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// A portlane at work, with the bench's wire and these containers.
    pub(crate) fn start(&self, containers: &str) -> Portlane {
        let portlane = Portlane::launch(&self.line, &[], &self.config(containers));
        portlane.wait_until_open();
        portlane
    }

    pub(crate) fn stats(&self) -> Snapshot {
        stats(&self.socket())
    }

    /// What `ip` says of the line's interfaces; nothing of one that is gone.
    pub(crate) fn links(&self) -> String {
        self.line.command("ip", &["-details", "link"]).unwrap()
    }

    /// No XDP program, no promiscuity: as before any portlane.
    pub(crate) fn assert_untouched(&self) {
        let links = self.links();
        assert!(!links.contains("xdp"), "{links}");
        let promiscuity = links.matches("promiscuity ").count();
        assert!(promiscuity > 0 && links.matches("promiscuity 0 ").count() == promiscuity, "{links}");
    }

    pub(crate) fn kernel_count(&self) -> KernelCount {
        SIDES.iter().fold(KernelCount::default(), |sum, side| {
            let counters = self.line.counters(side).unwrap();
            KernelCount { received: sum.received + counters.rx_packets, sent: sum.sent + counters.tx_packets }
        })
    }

    /// The server's Ethernet address.
    pub(crate) fn server_hardware(&self) -> [u8; 6] {
        hardware(&self.server, "eth0")
    }

    /// Both books of the same moment.
    pub(crate) fn settled_books(&self) -> (Snapshot, KernelCount) {
        settled(|| (self.stats(), self.kernel_count()))
    }

    /// The client asks for echoes, and the server answers.
    pub(crate) fn ping(&self) {
        ping(&self.client, &SERVER.to_string());
    }
}

/// Looks into both books until nothing is queued and neither changes. That nothing arrives any more is not enough: what
/// has arrived may still wait for a worker that does not run.
pub(crate) fn settled(look: impl Fn() -> (Snapshot, KernelCount)) -> (Snapshot, KernelCount) {
    let mut before = look();
    for _ in 0..100 {
        thread::sleep(Duration::from_millis(50));
        let (snapshot, count) = look();
        if snapshot.totals.queued == 0 && (&snapshot.totals, count) == (&before.0.totals, before.1) {
            return (snapshot, count);
        }
        before = (snapshot, count);
    }
    panic!("the line does not come to rest: {:?}", before.0.totals);
}

/// An interface's Ethernet address.
pub(crate) fn hardware(namespace: &Namespace, interface: &str) -> [u8; 6] {
    let links = namespace.command("ip", &["-brief", "link", "show", interface]).unwrap();
    let text = links.split_ascii_whitespace().nth(2).unwrap();
    let mut bytes = text.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap());
    std::array::from_fn(|_| bytes.next().unwrap())
}

/// Three echo requests, all of which must be answered.
pub(crate) fn ping(from: &Namespace, to: &str) {
    let said = from.command("ping", &["-c", "3", "-i", "0.05", "-W", "5", to]).unwrap();
    assert!(said.contains(" 0% packet loss"), "{said}");
}

/// A namespace in which the kernel sends nothing of its own accord.
pub(crate) fn quiet_namespace() -> Namespace {
    let namespace = Namespace::new().unwrap();
    match namespace.set("ipv6/conf/default/disable_ipv6", "1") {
        // A kernel without IPv6 is as quiet.
        Err(error) if error.kind() != ErrorKind::NotFound => panic!("{error}"),
        _ => namespace,
    }
}
