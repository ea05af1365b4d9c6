//! Why an interface cannot be made.

use std::io;
use std::path::PathBuf;

/// Why a container's interface cannot be: all is as it was.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// There is nothing at the path.
    #[error("there is no network namespace {}: `ip netns list` shows those that have names", path.display())]
    NoNamespace {
        /// Where one was looked for.
        path: PathBuf,
    },
    /// The path is one of a process that has ended, or never was.
    #[error("there is no process {pid}, whose network namespace a container would be in")]
    NoProcess {
        /// Its number.
        pid: String,
    },
    /// What is at the path is something else.
    #[error("{} is no network namespace", path.display())]
    NotNamespace {
        /// The path.
        path: PathBuf,
    },
    /// The path is that of the namespace that portlane is in.
    #[error("{} is the host's own network namespace: a container needs one of its own (`ip netns add`)", path.display())]
    OwnNamespace {
        /// The path.
        path: PathBuf,
    },
    /// The namespace has an `eth0`.
    #[error("{} has an interface eth0 already: a container has one, and portlane makes it", path.display())]
    HasInterface {
        /// The namespace.
        path: PathBuf,
    },
    /// The name that the host's end is to have is somebody else's.
    #[error("there is an interface {name}, which is not portlane's: remove it (`ip link delete {name}`)")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The host has no such interface.
    #[error("there is no interface {uplink}: `ip link` lists them")]
    NoUplink {
        /// Its name.
        uplink: String,
    },
    /// What containers are to share is not there.
    #[error("interface {uplink} has no address that containers could share: give it one (`ip address add`)")]
    NoAddress {
        /// Its name.
        uplink: String,
    },
    /// It is not to be made, and there is none.
    #[error(
        "it has no interface in {} any more, and who has that number now may be another process: remove it, and add it again",
        path.display()
    )]
    NotThere {
        /// Its namespace.
        path: PathBuf,
    },
    /// Who has the number of the process that the container was found by is another one, or may be.
    #[error("who has the number of {} now may be another process: remove it, and add it again", path.display())]
    AnotherProcess {
        /// Its namespace.
        path: PathBuf,
    },
    /// The kernel does not do it.
    #[error("cannot {what}: {cause}{}", hint(cause))]
    Kernel {
        /// What was to be done.
        what: String,
        /// What it says.
        cause: io::Error,
    },
}

impl AttachError {
    pub(super) fn of_kernel(what: impl Into<String>, cause: io::Error) -> Self {
        Self::Kernel { what: what.into(), cause }
    }
}

fn hint(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::PermissionDenied => ": it needs CAP_NET_ADMIN, and CAP_SYS_ADMIN for namespaces",
        _ => "",
    }
}
