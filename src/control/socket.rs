//! The control socket: for its owner only, one portlane at a time.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, umask};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::failure::Failure;

/// A listening control socket; its file goes when it goes.
#[derive(Debug)]
pub(super) struct ControlSocket {
    pub(super) listener: UnixListener,
    path: PathBuf,
    /// Device and inode: whose file is at the path may change.
    file: (u64, u64),
}

impl ControlSocket {
    /// Listens on `path`, which only the owner may open. A file that a portlane left behind is replaced.
    pub(super) fn listen(path: &Path) -> Result<Self, Failure> {
        let refused = |cause: io::Error| {
            // The default place is root's, and root is needed for the interfaces too.
            let root = if cause.kind() == io::ErrorKind::PermissionDenied { "be root, or " } else { "" };
            let remedy = "name a place that may be written, as in [control] socket = \"/tmp/portlane.sock\"";
            Failure::refused(format!("control socket {}: {cause}: {root}{remedy}", path.display()))
        };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(refused)?;
        }
        match occupant(path).map_err(refused)? {
            Occupant::Nobody => {}
            Occupant::Left => fs::remove_file(path).map_err(refused)?,
            Occupant::Listener => {
                let why = "another portlane listens there: stop it, or give this one its own [control] socket";
                return Err(Failure::refused(format!("control socket {}: {why}", path.display())));
            }
        }
        // The permissions must hold from the first moment, not from a later chmod on.
        let before = umask(Mode::S_IRWXG | Mode::S_IRWXO | Mode::S_IXUSR);
        let listener = UnixListener::bind(path);
        umask(before);
        let listener = listener.and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
        let listener = listener.map_err(refused)?;
        Ok(Self { listener, path: path.to_owned(), file: identity(path).map_err(refused)? })
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|file| file == self.file) {
            // Nothing to be done if somebody else took it away.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Who is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Occupant {
    /// No socket. If there is another file, binding says so.
    Nobody,
    /// A socket that nobody listens on any more.
    Left,
    /// Somebody.
    Listener,
}

/// Who is at `path`. Only a refused connection says that nobody listens; when the kernel says anything else (the socket
/// is of another type, or may not be opened), that is the error.
fn occupant(path: &Path) -> io::Result<Occupant> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A listener that is stopped, and its backlog full, would be waited for.
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Ok(()) => Ok(Occupant::Listener),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock => Ok(Occupant::Listener),
            io::ErrorKind::NotFound => Ok(Occupant::Nobody),
            // Also said of what is no socket at all.
            io::ErrorKind::ConnectionRefused => {
                let is_socket = fs::symlink_metadata(path)?.file_type().is_socket();
                Ok(if is_socket { Occupant::Left } else { Occupant::Nobody })
            }
            _ => Err(error),
        },
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}
