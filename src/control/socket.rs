//! The control socket: for its owner only, one portlane at a time.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, umask};

use crate::failure::Failure;

/// A listening control socket; its file goes when it goes.
#[derive(Debug)]
pub(super) struct ControlSocket {
    pub(super) listener: UnixListener,
    path: PathBuf,
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
        if UnixStream::connect(path).is_ok() {
            let why = "another portlane listens there: stop it, or give this one its own [control] socket";
            return Err(Failure::refused(format!("control socket {}: {why}", path.display())));
        }
        remove_stale(path).map_err(refused)?;
        // The permissions must hold from the first moment, not from a later chmod on.
        let before = umask(Mode::S_IRWXG | Mode::S_IRWXO | Mode::S_IXUSR);
        let listener = UnixListener::bind(path);
        umask(before);
        let listener = listener.and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
        Ok(Self { listener: listener.map_err(refused)?, path: path.to_owned() })
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // Nothing to be done if somebody else took it away.
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes a socket that nobody listens on any more; anything else stays, and binding says what is in the way.
fn remove_stale(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    match fs::symlink_metadata(path) {
        Ok(file) if file.file_type().is_socket() => fs::remove_file(path),
        _ => Ok(()),
    }
}
