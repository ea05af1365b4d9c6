//! The network namespaces that containers are in.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::libc::{EINVAL, O_NONBLOCK};
use serde::{Deserialize, Serialize};

use super::error::AttachError;
use crate::netns::Namespace;

/// Which namespace it is, while it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// That of no namespace.
    pub(super) const NOBODYS: Self = Self { device: 0, inode: 0 };

    fn of(handle: &File) -> io::Result<Self> {
        let metadata = handle.metadata()?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// Opens the network namespace at a path, and tells which it is.
pub(super) fn identify(path: &Path) -> Result<(Namespace, Identity), AttachError> {
    let namespace = open(path)?;
    let failed = |cause| AttachError::of_kernel(format!("open {}", path.display()), cause);
    let identity = Identity::of(namespace.file()).map_err(failed)?;
    Ok((namespace, identity))
}

/// Opens the network namespace at a path (`/run/netns/web`, `/proc/1234/ns/net`).
pub(super) fn open(path: &Path) -> Result<Namespace, AttachError> {
    let failed = |cause: io::Error| match cause.kind() {
        io::ErrorKind::NotFound => absent(path),
        _ => AttachError::of_kernel(format!("open {}", path.display()), cause),
    };
    // Whatever it is, nobody is waited for.
    let handle = File::options().read(true).custom_flags(O_NONBLOCK).open(path).map_err(failed)?;
    let is_own = is_same(&handle, Path::new("/proc/thread-self/ns/net")).map_err(failed)?;
    if is_own {
        return Err(AttachError::OwnNamespace { path: path.to_owned() });
    }
    let namespace = Namespace::of(handle);
    namespace.within(|| ()).map_err(|cause| match cause.raw_os_error() {
        Some(EINVAL) => AttachError::NotNamespace { path: path.to_owned() },
        _ => AttachError::of_kernel(format!("enter network namespace {}", path.display()), cause),
    })?;
    Ok(namespace)
}

fn is_same(handle: &File, other: &Path) -> io::Result<bool> {
    Ok(Identity::of(handle)? == Identity::of(&File::open(other)?)?)
}

fn absent(path: &Path) -> AttachError {
    let text = path.to_string_lossy();
    match text.strip_prefix("/proc/").and_then(|rest| rest.strip_suffix("/ns/net")) {
        Some(pid) => AttachError::NoProcess { pid: pid.to_owned() },
        None => AttachError::NoNamespace { path: path.to_owned() },
    }
}
