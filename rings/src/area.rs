//! The memory under a pool: one mapped area.
#![allow(unsafe_code, reason = "maps memory and hands out slices of it")]

use std::any::Any;
use std::io;
use std::ptr::NonNull;
use std::sync::Arc;
#[cfg(feature = "af-xdp")]
use std::sync::Mutex;

use crate::mapping::{HUGE_PAGE, Mapping};

/// One mapped area of bytes that are only reached through [`Area::slice`] and [`Area::slice_mut`].
///
/// The parts of a divided pool each have a handle of the area. What keeps their accesses apart is the tokens: a range lies
/// within one frame, whoever reads it borrows that frame's token, and whoever writes it borrows the token mutably. Of each
/// frame there is one token at most, and with it the right to its bytes goes from thread to thread.
pub(crate) struct Area {
    base: NonNull<u8>,
    len: usize,
    /// Whether it was mapped in huge pages that were set aside (`MAP_HUGETLB`).
    huge_pages: bool,
    /// What keeps the mapping alive; dropped with the last handle.
    owner: Arc<dyn Any + Send + Sync>,
}

// SAFETY: the pointer is not tied to the thread that made it; see `Area` for what keeps accesses apart.
unsafe impl Send for Area {}

impl Area {
    /// Maps `len` zeroed bytes, in huge pages when the system has some to spare, else asking for transparent ones.
    pub(crate) fn map(len: usize) -> io::Result<Self> {
        let rounded = len.next_multiple_of(HUGE_PAGE);
        let huge = Mapping::anonymous(rounded, libc::MAP_HUGETLB);
        let huge_pages = huge.is_ok();
        let mapping = huge.or_else(|_| Mapping::anonymous(rounded, 0))?;
        mapping.advise_huge_pages();
        Ok(Self { base: mapping.base(), len, huge_pages, owner: Arc::new(mapping) })
    }

    /// Takes over memory that somebody else mapped.
    ///
    /// # Safety
    ///
    /// `base` must be valid for reads and writes of `len` bytes for as long as `owner` lives, and nothing but the
    /// area (and the kernel, for frames given to it) may access them.
    #[cfg(feature = "af-xdp")]
    pub(crate) unsafe fn adopt(base: NonNull<u8>, len: usize, huge_pages: bool, owner: Box<dyn Any + Send>) -> Self {
        // Nobody ever locks it: it is there to be dropped, and may be so by any thread.
        Self { base, len, huge_pages, owner: Arc::new(Mutex::new(owner)) }
    }

    /// Another handle of the same memory.
    pub(crate) fn share(&self) -> Self {
        Self { owner: Arc::clone(&self.owner), ..*self }
    }

    pub(crate) fn has_huge_pages(&self) -> bool {
        self.huge_pages
    }

    /// Number of bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn slice(&self, start: u32, len: u32) -> &[u8] {
        let (start, len) = self.check(start, len);
        // SAFETY: `check` has shown that the range lies within the area.
        let first = unsafe { self.base.add(start) };
        // SAFETY: as above; the memory is initialised (zeroed by the mapping), and the token that the caller borrows keeps
        // writers out: others of this process (see `Area`), and the kernel, whose frames have no token.
        unsafe { std::slice::from_raw_parts(first.as_ptr(), len) }
    }

    #[inline]
    pub(crate) fn slice_mut(&mut self, start: u32, len: u32) -> &mut [u8] {
        let (start, len) = self.check(start, len);
        // SAFETY: `check` has shown that the range lies within the area.
        let first = unsafe { self.base.add(start) };
        // SAFETY: as in `slice`, and the token that the caller borrows mutably keeps readers out too.
        unsafe { std::slice::from_raw_parts_mut(first.as_ptr(), len) }
    }

    /// Copies `len` bytes from one place to another.
    #[cfg(feature = "af-xdp")]
    pub(crate) fn copy(&mut self, from: u32, to: u32, len: u32) {
        let (from, _) = self.check(from, len);
        let (to, len) = self.check(to, len);
        // SAFETY: `check` has shown that the range lies within the area.
        let from = unsafe { self.base.add(from) };
        // SAFETY: as above.
        let to = unsafe { self.base.add(to) };
        // SAFETY: both ranges lie within the area, and may overlap; as in `slice` and `slice_mut` the tokens that the caller
        // borrows keep others out.
        unsafe { from.copy_to(to, len) };
    }

    /// Bounds are checked in every build: a wrong descriptor from a device must not become a wild pointer.
    #[inline]
    fn check(&self, start: u32, len: u32) -> (usize, usize) {
        let (start, len) = (start as usize, len as usize);
        if start + len > self.len {
            outside(start, len, self.len);
        }
        (start, len)
    }

    /// Starts to bring the line at `start` into the cache; whatever `start` is, nothing goes wrong.
    #[inline]
    pub(crate) fn prefetch(&self, start: u32) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let line = self.base.as_ptr().wrapping_add(start as usize);
            // SAFETY: PREFETCHT0 is part of every x86-64 processor, reads nothing that the program could see, and does not
            // fault whatever the address is.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = start;
    }
}

/// Apart from its caller, which so has nothing to keep ready for the message.
#[cold]
#[inline(never)]
fn outside(start: usize, len: usize, area: usize) -> ! {
    panic!("frame {start}+{len} lies outside its pool of {area} bytes")
}

impl std::fmt::Debug for Area {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Area").field("len", &self.len).finish_non_exhaustive()
    }
}
