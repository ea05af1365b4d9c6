//! Network namespaces without names: they and all that is in them are gone with the process.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

/// A network namespace, held by a descriptor alone.
pub(crate) struct Namespace(File);

impl Namespace {
    pub(crate) fn new() -> Self {
        let made = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("root may make network namespaces");
            File::open("/proc/thread-self/ns/net").expect("the thread has a namespace")
        });
        let namespace = Self(made.join().unwrap());
        namespace.shell("ip link set lo up");
        namespace
    }

    /// Runs something in a thread that lives in the namespace, and commands that it starts with it.
    pub(crate) fn run<R: Send>(&self, act: impl FnOnce() -> R + Send) -> R {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(&self.0, CloneFlags::CLONE_NEWNET).expect("root may enter network namespaces");
                act()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs a shell command that must succeed, and returns what it printed.
    pub(crate) fn shell(&self, command: &str) -> String {
        let output = self.run(|| Command::new("sh").args(["-c", command]).output().expect("there is a shell"));
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`{command}` failed: {words}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Where iproute2 finds the namespace.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}

/// Two hosts and, between them, a box with an interface towards either: `left` and `right`.
pub(crate) struct Bench {
    pub(crate) near: Namespace,
    pub(crate) line: Namespace,
    pub(crate) far: Namespace,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let [near, line, far] = [(); 3].map(|()| Namespace::new());
        for (side, host, address) in [("left", &near, "10.77.0.1"), ("right", &far, "10.77.0.2")] {
            // Only what a test sends is to arrive: IPv6 reports the groups that it joins and leaves, up to a second later.
            host.shell("[ ! -e /proc/sys/net/ipv6 ] || echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6");
            line.shell(&format!("ip link add {side} type veth peer name eth0 netns {}", host.path()));
            line.shell(&format!("ip link set {side} up"));
            // AF_XDP would forward checksums that the sending host has left to its network card.
            host.shell("ethtool -K eth0 tx off");
            host.shell(&format!("ip address add {address}/24 dev eth0 && ip link set eth0 up"));
        }
        Self { near, line, far }
    }

    /// True if either interface of the line runs an XDP program.
    pub(crate) fn has_programs(&self) -> bool {
        self.line.shell("ip -details link").contains("xdp")
    }

    /// True if either interface of the line is promiscuous.
    pub(crate) fn is_promiscuous(&self) -> bool {
        self.line.shell("ip -details link").contains("promiscuity 1")
    }
}
