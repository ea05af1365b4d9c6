//! Interfaces of containers: made, unmade, and found again after a crash.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use portlane::attach::{AttachError, Making, Wanted, join, make_gate, part, remove_gate, sweep};
use portlane::netns::Namespace;

use crate::bench::{CLIENT, SERVER, quiet_namespace};
use crate::busy::assert_in_time;

/// A host whose uplink leads to a client, and a namespace for a container.
struct Host {
    host: Namespace,
    inside: Namespace,
    client: Namespace,
}

impl Host {
    fn new() -> Self {
        let [host, inside, client] = [(); 3].map(|()| quiet_namespace());
        inside.command("ip", &["link", "set", "lo", "down"]).unwrap();
        host.join("eth0", &client, "eth0").unwrap();
        for (namespace, address) in [(&host, SERVER), (&client, CLIENT)] {
            namespace.command("ip", &["address", "add", &format!("{address}/24"), "dev", "eth0"]).unwrap();
        }
        host.command("ip", &["route", "add", "default", "via", &CLIENT.to_string()]).unwrap();
        Self { host, inside, client }
    }

    fn wanted(&self) -> Wanted {
        let namespace = PathBuf::from(self.inside.path());
        let local_ports = Some((32_768, 33_791));
        Wanted {
            id: "web".into(),
            uplink: "eth0".into(),
            namespace,
            local_ports,
            ports: vec![(32_768, 33_791)],
            loopback: true,
            may_be_new: true,
        }
    }

    fn join(&self) -> Result<(), AttachError> {
        self.host.within(|| join(self.wanted())).unwrap().map(drop)
    }

    /// All that could be changed.
    fn state(&self) -> String {
        let of = |namespace: &Namespace| {
            let settings = ["net.ipv4.ip_local_port_range", "net.ipv4.conf.all.route_localnet"];
            let said = [
                namespace.command("ip", &["-brief", "link"]).unwrap(),
                namespace.command("ip", &["-brief", "address"]).unwrap(),
                namespace.command("ip", &["route", "show", "table", "all"]).unwrap(),
                namespace.command("ip", &["-details", "rule"]).unwrap(),
                namespace.command("ip", &["-details", "-6", "rule"]).unwrap(),
                namespace.command("sysctl", &settings).unwrap(),
            ];
            said.concat()
        };
        of(&self.host) + &of(&self.inside)
    }

    fn inside(&self, words: &[&str]) -> String {
        self.inside.command(words[0], &words[1..]).unwrap()
    }

    /// What means nothing in a namespace without its interface, and stays there.
    fn reset(&self) {
        self.inside.command("ip", &["link", "set", "lo", "down"]).unwrap();
        self.inside.command("sysctl", &["-q", "-w", "net.ipv4.ip_local_port_range=32768 60999"]).unwrap();
        for family in ["-4", "-6"] {
            let rules = self.inside.command("ip", &["-details", family, "rule"]).unwrap();
            for made in rules.lines().filter(|line| line.contains("proto 112")) {
                let priority = made.split(':').next().unwrap();
                self.inside.command("ip", &[family, "rule", "delete", "priority", priority]).unwrap();
            }
            if !rules.starts_with("0:") {
                let first = ["rule", "add", "priority", "0", "lookup", "local", "protocol", "kernel"];
                self.inside.command("ip", &[&[family], &first[..]].concat()).unwrap();
            }
        }
    }

    fn refuses(&self, wanted: Wanted, words: &str) {
        let before = self.state();
        let why = self.host.within(|| join(wanted)).unwrap().unwrap_err().to_string();
        assert!(why.contains(words), "{words:?} is not in {why}");
        assert_eq!(self.state(), before, "nothing half-made");
    }
}

pub(crate) fn as_the_uplink() {
    let host = Host::new();
    let before = host.state();
    let started = Instant::now();
    host.join().unwrap();
    let took = started.elapsed();
    assert_in_time(took < Duration::from_millis(100), || format!("it took {took:?}"));

    let hardware = |namespace: &Namespace| {
        let links = namespace.command("ip", &["-brief", "link", "show", "eth0"]).unwrap();
        links.split_ascii_whitespace().nth(2).unwrap().to_owned()
    };
    assert_eq!(hardware(&host.inside), hardware(&host.host));
    let addresses = host.inside(&["ip", "-brief", "address"]);
    assert!(
        addresses.contains(&format!("{SERVER}/24")) && addresses.contains("lo               UNKNOWN"),
        "{addresses}"
    );
    let routes = host.inside(&["ip", "route"]);
    assert!(routes.contains(&format!("default via {CLIENT} dev eth0")), "{routes}");
    assert_eq!(host.inside(&["sysctl", "-n", "net.ipv4.ip_local_port_range"]), "32768\t33791\n");
    let features = host.inside(&["ethtool", "-k", "eth0"]);
    for off in ["tx-checksumming: off", "tcp-segmentation-offload: off", "generic-segmentation-offload: off"] {
        assert!(features.contains(off), "{off}: {features}");
    }
    assert!(features.contains("generic-receive-offload: on"), "{features}");
    let link = host.host.command("ip", &["link", "show", "plc-web"]).unwrap();
    assert!(link.contains("alias portlane container on eth0: web") && link.contains("state UP"), "{link}");

    let (done, first) = (host.state(), link);
    host.join().unwrap();
    assert_eq!(host.state(), done);
    assert_eq!(host.host.command("ip", &["link", "show", "plc-web"]).unwrap(), first, "it is the same one");

    host.host.within(|| part("eth0", "web")).unwrap().unwrap();
    host.host.within(|| part("eth0", "web")).unwrap().unwrap();
    host.reset();
    assert_eq!(host.state(), before);
    drop(host.client);
}

/// Whatever step is the last one: taken back nothing is left, and left as it is the next run makes of it what it should be, or takes it away.
pub(crate) fn crashes() {
    let host = Host::new();
    let before = host.state();
    host.join().unwrap();
    let done = host.state();
    host.host.within(|| part("eth0", "web")).unwrap().unwrap();
    let reset = || host.reset();
    reset();
    // The host's end has an Ethernet address at random, and interfaces are numbered.
    let settled = |state: &str| {
        let of_host_end = |line: &&str| line.starts_with("plc-web") && line.contains("MULTICAST");
        state
            .lines()
            .filter(|line| !of_host_end(line))
            .collect::<String>()
            .replace(|c: char| c.is_ascii_digit() || c == ' ', "")
    };
    let crash_after = |steps: usize| {
        let mut making = Making::begin(host.wanted()).unwrap();
        (0..steps).for_each(|_| assert!(making.step().unwrap()));
        making
    };
    for steps in 0..=Making::STEPS {
        host.host.within(|| crash_after(steps).undo()).unwrap();
        assert_eq!(host.state(), before, "undone after {steps}");

        host.host.within(|| drop(crash_after(steps))).unwrap();
        host.join().unwrap();
        assert_eq!(settled(&host.state()), settled(&done), "gone on with after {steps}");
        host.host.within(|| part("eth0", "web")).unwrap().unwrap();
        reset();

        host.host.within(|| drop(crash_after(steps))).unwrap();
        assert_eq!(
            host.host.within(|| sweep("eth1", &[])).unwrap().unwrap(),
            if steps == 1 { vec!["plc-web"] } else { vec![] }
        );
        host.host.within(|| sweep("eth0", &["web".into()])).unwrap().unwrap();
        let swept = host.host.within(|| sweep("eth0", &[])).unwrap().unwrap();
        assert_eq!(swept, if steps > 1 { vec!["plc-web"] } else { vec![] }, "after {steps}");
        reset();
        assert_eq!(host.state(), before, "swept after {steps}");
    }
}

pub(crate) fn refused() {
    let host = Host::new();
    let wanted = || host.wanted();
    let at = |path: &str| Wanted { namespace: path.into(), ..wanted() };
    host.refuses(at("/run/netns/no-such"), "there is no network namespace /run/netns/no-such: `ip netns list`");
    host.refuses(at("/proc/4194304/ns/net"), "there is no process 4194304");
    host.refuses(at("/proc/self/ns/mnt"), "/proc/self/ns/mnt is no network namespace");
    host.refuses(at("/etc/hostname"), "/etc/hostname is no network namespace");
    host.refuses(at(&host.host.path()), "is the host's own network namespace");
    host.refuses(Wanted { uplink: "eth9".into(), ..wanted() }, "there is no interface eth9");

    host.host.command("ip", &["link", "add", "plc-web", "type", "veth", "peer", "name", "other"]).unwrap();
    host.host.command("ip", &["link", "set", "plc-web", "alias", "mine"]).unwrap();
    host.refuses(wanted(), "there is an interface plc-web, which is not portlane's");
    assert!(host.host.within(|| part("eth0", "web")).unwrap().is_err());
    assert!(host.host.within(|| sweep("eth0", &[])).unwrap().unwrap().is_empty());
    host.host.command("ip", &["link", "delete", "plc-web"]).unwrap();

    host.inside.command("ip", &["link", "add", "eth0", "type", "veth", "peer", "name", "eth1"]).unwrap();
    host.refuses(wanted(), "has an interface eth0 already");
    host.inside.command("ip", &["link", "delete", "eth0"]).unwrap();

    host.host.command("ip", &["address", "flush", "dev", "eth0"]).unwrap();
    host.refuses(wanted(), "interface eth0 has no address");
}

/// A container that another process is in, and that moves: its interface goes with its namespace, and is made anew in the next.
pub(crate) fn another_namespace() {
    let mut host = Host::new();
    host.join().unwrap();
    let former = std::mem::replace(&mut host.inside, quiet_namespace());
    host.join().unwrap();
    assert!(host.inside(&["ip", "-brief", "address"]).contains(&format!("{SERVER}/24")));
    let links = former.command("ip", &["-brief", "link"]).unwrap();
    assert!(!links.contains("eth0"), "{links}");
}

pub(crate) fn gate() {
    let host = Host::new();
    let before = host.state();
    for _ in 0..2 {
        host.host.within(|| make_gate("eth0")).unwrap().unwrap();
        let links = host.host.command("ip", &["-brief", "link"]).unwrap();
        assert!(links.contains("plg-eth0@pld-eth0") && links.contains("pld-eth0@plg-eth0"), "{links}");
    }
    for _ in 0..2 {
        host.host.within(|| remove_gate("eth0")).unwrap().unwrap();
        assert_eq!(host.state(), before);
    }
}
