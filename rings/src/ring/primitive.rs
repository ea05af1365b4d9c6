//! The shared words that rings are made of: the standard library's, or under `cfg(loom)` those of loom, which tries
//! every interleaving of the accesses to them.
#![allow(unexpected_cfgs, reason = "`loom` is set on the command line of the model test alone")]

#[cfg(loom)]
pub(super) use loom::{
    cell::UnsafeCell,
    sync::atomic::{AtomicU32, Ordering, fence},
};
#[cfg(not(loom))]
pub(super) use {
    cell::UnsafeCell,
    std::sync::atomic::{AtomicU32, Ordering, fence},
};

#[cfg(not(loom))]
mod cell {
    /// The standard library's cell with the interface of loom's and the layout of a `T`.
    #[repr(transparent)]
    #[derive(Debug)]
    pub(in crate::ring) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(in crate::ring) fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        #[inline]
        pub(in crate::ring) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
            read(self.0.get())
        }

        #[inline]
        pub(in crate::ring) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
            write(self.0.get())
        }
    }
}
