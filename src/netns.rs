//! Network namespaces: those of others, and throw-away ones, without a name, so that nothing can collide with them and nothing is
//! left of them when the process ends, however it ends.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::process::Command;
use std::thread::{self, JoinHandle};

use nix::sched::{CloneFlags, setns, unshare};

/// A network namespace that lives as long as this value and the threads in it.
#[derive(Debug)]
pub struct Namespace {
    handle: File,
}

impl Namespace {
    /// Makes a namespace with its loopback up.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` without `CAP_SYS_ADMIN`; otherwise what the kernel or `ip` says.
    pub fn new() -> io::Result<Self> {
        // The namespace of a thread can be changed without touching that of the program: the maker is a thread.
        let made = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net")
        });
        let namespace = Self { handle: made.join().expect("the thread does not panic")? };
        namespace.command("ip", &["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// The one that a file is of, such as `/run/netns/web`.
    #[must_use]
    pub fn of(handle: File) -> Self {
        Self { handle }
    }

    /// The file that stands for it.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.handle
    }

    /// The descriptor of that file, by which the kernel finds the namespace while this lives.
    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        self.handle.as_raw_fd()
    }

    /// Starts a thread inside.
    ///
    /// # Errors
    ///
    /// The thread or its entry failed.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &str,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<JoinHandle<io::Result<T>>> {
        let handle = self.handle.try_clone()?;
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            setns(handle, CloneFlags::CLONE_NEWNET)?;
            Ok(job())
        })
    }

    /// Does something inside, and waits for it.
    ///
    /// # Errors
    ///
    /// The thread or its entry failed.
    pub fn within<T: Send>(&self, job: impl FnOnce() -> T + Send) -> io::Result<T> {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(&self.handle, CloneFlags::CLONE_NEWNET)?;
                Ok(job())
            });
            inside.join().expect("the job does not panic")
        })
    }

    /// Runs a program inside and returns what it printed.
    ///
    /// # Errors
    ///
    /// It could not be started, or failed: then with what it wrote to standard error.
    pub fn command(&self, program: &str, arguments: &[&str]) -> io::Result<String> {
        let run = || Command::new(program).args(arguments).output();
        let output = self.within(run)?.map_err(|cause| io::Error::new(cause.kind(), format!("{program}: {cause}")))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!("{program} {}: {}", arguments.join(" "), said.trim())))
    }

    /// Writes a setting under `/proc/sys/net` of the namespace.
    ///
    /// # Errors
    ///
    /// There is no such setting, or it refuses the value.
    pub fn set(&self, setting: &str, value: &str) -> io::Result<()> {
        self.within(|| std::fs::write(format!("/proc/sys/net/{setting}"), value))?
    }

    /// A path by which `ip link ... netns PATH` finds the namespace, while this process lives.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.handle.as_raw_fd())
    }

    /// Makes a veth pair, one end here and one in `other`, both up.
    ///
    /// # Errors
    ///
    /// What `ip` says.
    pub fn join(&self, here: &str, other: &Self, there: &str) -> io::Result<()> {
        let path = other.path();
        let add = ["link", "add", here, "type", "veth", "peer", "name", there, "netns", &path];
        self.command("ip", &add)?;
        self.command("ip", &["link", "set", here, "up"])?;
        other.command("ip", &["link", "set", there, "up"])?;
        Ok(())
    }

    /// The kernel's counters of an interface.
    ///
    /// # Errors
    ///
    /// There is no such interface.
    pub fn counters(&self, interface: &str) -> io::Result<InterfaceCounters> {
        let table = self.within(|| std::fs::read_to_string("/proc/thread-self/net/dev"))??;
        let line = table.lines().find_map(|line| line.trim_start().strip_prefix(interface)?.strip_prefix(':'));
        let numbers: Vec<u64> =
            line.into_iter().flat_map(str::split_ascii_whitespace).filter_map(|number| number.parse().ok()).collect();
        match numbers[..] {
            [rx_bytes, rx_packets, _, _, _, _, _, _, tx_bytes, tx_packets, ..] => {
                Ok(InterfaceCounters { rx_bytes, rx_packets, tx_bytes, tx_packets })
            }
            _ => Err(io::Error::new(io::ErrorKind::NotFound, format!("no interface {interface}"))),
        }
    }
}

/// The kernel's counters of an interface, as `/proc/net/dev` shows them; bytes include the Ethernet header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InterfaceCounters {
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
}
