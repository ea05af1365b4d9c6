//! Hints to the processor and the operating system, as safe functions.
//!
//! A hint changes when something happens, never what: a program with all of them taken out computes the same. They are
//! worth it where the address of the next load is known well before the load, and the memory is likely to be cold. On
//! x86-64 a prefetch is one instruction; elsewhere, where stable Rust has none, it is nothing.
//!
//! ```
//! use portlane_hint::{prefetch, prefetch_at};
//!
//! let lanes = vec![[0_u64; 8]; 1_024];
//! let wanted = [7, 900, 13];
//! for &lane in &wanted {
//!     prefetch_at(&lanes, lane);
//! }
//! // By now the first of them is on its way, and so on.
//! let sum: u64 = wanted.iter().map(|&lane| lanes[lane][0]).sum();
//! prefetch(&sum);
//! assert_eq!(sum, 0);
//! ```

#![no_std]

extern crate alloc;

use alloc::vec::Vec;

/// Less memory than this, in bytes, is left in small pages: it has no whole huge page of 2 MiB for sure.
const WORTH_HUGE_PAGES: usize = 4 << 20;

/// Where advice begins and ends, in bytes: a multiple of all sizes of small pages that Linux has.
const WHOLE_PAGES: usize = 64 << 10;

/// A vector with room for `capacity` items, in huge pages where the operating system has them to spare: for tables that are looked up at
/// random, where it would take as long to find the page as to read the item. It is empty, and as any other vector else.
#[must_use]
pub fn vec_in_huge_pages<T>(capacity: usize) -> Vec<T> {
    let vec: Vec<T> = Vec::with_capacity(capacity);
    let (begin, len) = (vec.as_ptr().cast::<u8>(), vec.capacity().saturating_mul(size_of::<T>()));
    if len >= WORTH_HUGE_PAGES {
        let first = begin.wrapping_add(begin.align_offset(WHOLE_PAGES));
        let len = len - (first.addr() - begin.addr());
        huge_pages(first, len - len % WHOLE_PAGES);
    }
    vec
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "the one system call that this crate is about")]
fn huge_pages(first: *const u8, len: usize) {
    // SAFETY: MADV_HUGEPAGE changes nothing that a program could see of its memory, whosever it is, and fails where there is none
    // (madvise(2)). It is not looked at whether it does: without huge pages all goes on, only slower.
    unsafe { libc::madvise(first.cast_mut().cast(), len, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn huge_pages(_first: *const u8, _len: usize) {}

/// Starts to bring the line at which `value` begins into the first-level cache, to be read or written soon.
///
/// A value that spans lines (of 64 bytes, mostly) takes a call for each part that is wanted.
#[inline(always)]
pub fn prefetch<T: ?Sized>(value: &T) {
    line(core::ptr::from_ref(value).cast());
}

/// The same for a line of 64 bytes further on in the value: line 0 is the one at which it begins.
#[inline(always)]
pub fn prefetch_line<T>(value: &T, number: usize) {
    line(core::ptr::from_ref(value).cast::<u8>().wrapping_add(64 * number));
}

/// The same for the element of a slice at `index`. Nothing is checked and nothing goes wrong if there is no such element.
#[inline(always)]
pub fn prefetch_at<T>(slice: &[T], index: usize) {
    line(slice.as_ptr().wrapping_add(index).cast());
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[allow(unsafe_code, reason = "the one instruction that this crate is about")]
fn line(address: *const u8) {
    use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: PREFETCHT0 is part of every x86-64 processor. It reads nothing that the program could see, and does not
    // fault whatever the address is (Intel SDM, volume 2, PREFETCHh).
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn line(_address: *const u8) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_as_they_were() {
        let values = [1_u64, 2, 3];
        prefetch(&values);
        prefetch(&values[1..]);
        prefetch_line(&values, 1);
        prefetch("text");
        for index in 0..values.len() {
            prefetch_at(&values, index);
        }
        assert_eq!(values, [1, 2, 3]);
    }

    #[test]
    fn a_vector_is_one_whatever_its_pages_are() {
        for capacity in [0, 1, 1_000, 3 << 20] {
            let mut numbers = vec_in_huge_pages::<u64>(capacity);
            assert!(numbers.is_empty() && numbers.capacity() >= capacity);
            numbers.extend(0..capacity as u64);
            assert!((0..capacity as u64).eq(numbers.iter().copied()));
        }
        assert!(vec_in_huge_pages::<()>(1 << 40).is_empty());
    }

    #[test]
    fn no_address_is_wrong() {
        let none: [[u8; 4_096]; 0] = [];
        prefetch(&none);
        for index in [0, 1, 1 << 40, usize::MAX] {
            prefetch_at(&none, index);
            prefetch_at(&[0_u8], index);
            prefetch_at(&[()], index);
        }
    }
}
