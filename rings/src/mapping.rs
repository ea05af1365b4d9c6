//! A mapped range of memory that is unmapped when dropped.
#![allow(unsafe_code, reason = "maps and unmaps memory")]

use std::io;
use std::os::fd::RawFd;
use std::ptr::{self, NonNull};

/// Size of a huge page on the machines that portlane runs on.
pub(crate) const HUGE_PAGE: usize = 2 << 20;

/// A mapping that may be read and written.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread.
unsafe impl Send for Mapping {}
// SAFETY: the mapping hands out its address only; whoever uses that answers for the accesses.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Zeroed private memory.
    pub(crate) fn anonymous(len: usize, extra_flags: libc::c_int) -> io::Result<Self> {
        Self::map(len, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | extra_flags, -1, 0)
    }

    /// Memory shared with the kernel, as the file lays it out at `offset`.
    #[cfg(feature = "af-xdp")]
    pub(crate) fn shared(len: usize, file: std::os::fd::BorrowedFd<'_>, offset: libc::off_t) -> io::Result<Self> {
        use std::os::fd::AsRawFd;
        Self::map(len, libc::MAP_SHARED | libc::MAP_POPULATE, file.as_raw_fd(), offset)
    }

    fn map(len: usize, flags: libc::c_int, file: RawFd, offset: libc::off_t) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a mapping at an address of the kernel's choice touches no existing memory.
        let base = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, file, offset) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).expect("a mapping that succeeded is not at address 0");
        Ok(Self { base, len })
    }

    /// Asks for transparent huge pages. Advice only: a kernel without them refuses, and small pages serve as well.
    pub(crate) fn advise_huge_pages(&self) {
        // SAFETY: the range is this mapping.
        unsafe { libc::madvise(self.base.as_ptr().cast(), self.len, libc::MADV_HUGEPAGE) };
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is the mapping made in `map`; whoever used its address has promised not to outlive it.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}
