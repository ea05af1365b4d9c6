//! How a worker that sleeps is woken by another.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::eventfd::{EfdFlags, EventFd};

/// A worker's bell: an eventfd, which is waited for beside its sockets.
#[derive(Debug)]
pub(super) struct Bell(EventFd);

impl Bell {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?))
    }

    pub(super) fn ring(&self) {
        // It fails when it has been rung 2^64 times and not been heard.
        let _ = self.0.write(1);
    }

    /// Whether it has rung since this was asked last.
    pub(super) fn has_rung(&self) -> bool {
        self.0.read().is_ok()
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::Bell;

    #[test]
    fn rung_twice_it_is_heard_once() {
        let bell = Bell::new().unwrap();
        assert!(!bell.has_rung());
        bell.ring();
        bell.ring();
        assert!(bell.has_rung() && !bell.has_rung());
    }
}
