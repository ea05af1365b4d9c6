//! The process that makes and removes containers' interfaces, and reads what their kernels count: it alone keeps the privileges that this takes, and does nothing else.
//!
//! It is this program again, started while privileges are there. Orders come on its standard input, a socket, as lines of JSON;
//! each is answered by one. It ends with the socket, and then leaves all as it is: a run that was killed is gone on with by the next.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use caps::{CapSet, Capability};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::error::AttachError;
use super::gate::{lead_host, make_gate, remove_gate};
use super::namespace::{self, Identity};
use super::paths::Range;
use super::readings::Place;
use super::round_trips;
use super::wanted::{Joined, Wanted, join, part, sharable, sweep};
use crate::failure::Failure;
use crate::netstat::{self, Files};
use crate::privileges;

/// What it takes to enter a container's namespace, and to make interfaces there.
const NEEDED: [Capability; 2] = [Capability::CAP_SYS_ADMIN, Capability::CAP_NET_ADMIN];

/// What it takes to find the namespaces of others' processes: kept where it is there.
const USEFUL: Capability = Capability::CAP_SYS_PTRACE;

#[derive(Debug, Serialize, Deserialize)]
enum Order {
    MakeGate { uplink: String },
    RemoveGate { uplink: String },
    Lead { uplink: String, ports: Vec<Range>, loopback: bool },
    Join(Wanted),
    Part { uplink: String, id: String },
    Sweep { uplink: String, kept: Vec<String> },
    Read { namespace: PathBuf, identity: Option<Identity> },
}

/// What was read in a namespace, and which one that is.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Reading {
    pub(super) files: Files,
    pub(super) identity: Identity,
}

/// The helper, as its employer sees it. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Helper {
    process: Child,
    orders: BufReader<UnixStream>,
}

impl Helper {
    /// Starts it, in the network namespace of the calling thread.
    pub(super) fn start() -> Result<Self, Failure> {
        check_privileges()?;
        let start = || -> io::Result<_> {
            let (orders, theirs) = UnixStream::pair()?;
            let mut command = Command::new("/proc/self/exe");
            // In a group of its own it hears no Ctrl-C: it has to outlive who employs it.
            command.arg("attach").stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).process_group(0);
            Ok(Self { process: command.spawn()?, orders: BufReader::new(orders) })
        };
        start().map_err(|cause| {
            Failure::failed(format!("the process that enters containers' namespaces cannot be started: {cause}"))
        })
    }

    pub(super) fn make_gate(&mut self, uplink: &str) -> Result<(), String> {
        self.ask(&Order::MakeGate { uplink: uplink.to_owned() })
    }

    pub(super) fn remove_gate(&mut self, uplink: &str) -> Result<(), String> {
        self.ask(&Order::RemoveGate { uplink: uplink.to_owned() })
    }

    /// Has the host find these ports of the shared addresses at containers; `loopback`: also those of 127.0.0.1.
    pub(super) fn lead(&mut self, uplink: &str, ports: Vec<Range>, loopback: bool) -> Result<(), String> {
        self.ask(&Order::Lead { uplink: uplink.to_owned(), ports, loopback })
    }

    pub(super) fn join(&mut self, wanted: &Wanted) -> Result<Joined, String> {
        self.ask(&Order::Join(wanted.clone()))
    }

    pub(super) fn part(&mut self, uplink: &str, id: &str) -> Result<(), String> {
        self.ask(&Order::Part { uplink: uplink.to_owned(), id: id.to_owned() })
    }

    pub(super) fn sweep(&mut self, uplink: &str, kept: Vec<String>) -> Result<Vec<String>, String> {
        self.ask(&Order::Sweep { uplink: uplink.to_owned(), kept })
    }

    /// What the kernel counts in a namespace.
    pub(super) fn read(&mut self, Place { namespace, identity }: &Place) -> Result<Reading, String> {
        self.ask(&Order::Read { namespace: namespace.clone(), identity: *identity })
    }

    fn ask<T: DeserializeOwned>(&mut self, order: &Order) -> Result<T, String> {
        let mut ask = || -> io::Result<Result<T, String>> {
            write_line(self.orders.get_mut(), order)?;
            let mut answer = String::new();
            self.orders.read_line(&mut answer)?;
            Ok(serde_json::from_str(&answer)?)
        };
        ask().unwrap_or_else(|cause| {
            Err(format!("the process that enters containers' namespaces does not answer: {cause}"))
        })
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // It reads the end of its orders; that it has ended already is no harm.
        let _ = self.orders.get_ref().shutdown(std::net::Shutdown::Both);
        let _ = self.process.wait();
    }
}

/// Does what it is told on standard input, until that ends.
///
/// # Errors
///
/// Refused without the capabilities that it takes; failed where standard input is no socket.
pub fn serve() -> Result<(), Failure> {
    check_privileges()?;
    let kept: Vec<_> = NEEDED.into_iter().chain([USEFUL].into_iter().filter(|&useful| is_kept(useful))).collect();
    privileges::keep(&kept)?;
    // Whoever ends portlane may tell all of its processes: this one has work left then.
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false))).map_err(Failure::failed)?;
    }
    let orders = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from).map_err(Failure::failed)?;
    let mut answers = orders.try_clone().map_err(Failure::failed)?;
    for order in BufReader::new(orders).lines() {
        let Ok(order) = order else { break };
        let order = serde_json::from_str(&order).map_err(Failure::failed)?;
        let answered = match order {
            Order::MakeGate { uplink } => answer(&mut answers, sharable(&uplink).and_then(|()| make_gate(&uplink))),
            Order::RemoveGate { uplink } => answer(&mut answers, remove_gate(&uplink)),
            Order::Lead { uplink, ports, loopback } => answer(&mut answers, lead_host(&uplink, &ports, loopback)),
            Order::Join(wanted) => answer(&mut answers, join(wanted)),
            Order::Part { uplink, id } => answer(&mut answers, part(&uplink, &id)),
            Order::Sweep { uplink, kept } => answer(&mut answers, sweep(&uplink, &kept)),
            Order::Read { namespace, identity } => answer(&mut answers, read(&namespace, identity)),
        };
        if answered.is_err() {
            // Nobody waits for it any more.
            break;
        }
    }
    Ok(())
}

/// What the kernel says in a namespace, if it is the one that is meant.
fn read(path: &Path, meant: Option<Identity>) -> Result<Reading, AttachError> {
    let (namespace, identity) = namespace::identify(path)?;
    if meant.is_some_and(|meant| meant != identity) {
        return Err(AttachError::AnotherProcess { path: path.to_owned() });
    }
    let failed = |cause| AttachError::of_kernel(format!("read what is counted in {}", path.display()), cause);
    Ok(Reading { files: namespace.within(files).map_err(failed)?, identity })
}

/// The kernel's files of the namespace of the calling thread.
fn files() -> Files {
    let read = |name: &str| fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap_or_default();
    let mut files = Files {
        snmp: read("snmp"),
        snmp6: read("snmp6"),
        netstat: read("netstat"),
        sockstat: read("sockstat"),
        sockstat6: read("sockstat6"),
        round_trips: None,
    };
    // To look for connections where there is no socket costs as much as where there are.
    let [has_v4, has_v6] = files.has_tcp();
    let measured = round_trips::all(has_v4, has_v6);
    files.round_trips = measured.ok().and_then(|mut measured| netstat::percentiles(&mut measured));
    files
}

fn check_privileges() -> Result<(), Failure> {
    match NEEDED.into_iter().find(|&needed| !is_kept(needed)) {
        Some(lacking) => {
            let names = NEEDED.map(|needed| needed.to_string()).join(" and ");
            Err(Failure::refused(format!(
                "no permission to enter containers' namespaces: {lacking} lacks; it takes {names}"
            )))
        }
        None => Ok(()),
    }
}

fn is_kept(capability: Capability) -> bool {
    caps::has_cap(None, CapSet::Permitted, capability).unwrap_or(false)
}

fn answer<T: Serialize>(to: &mut UnixStream, did: Result<T, AttachError>) -> io::Result<()> {
    write_line(to, &did.map_err(|why| why.to_string()))
}

fn write_line(to: &mut UnixStream, what: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    to.write_all(&line)
}
