//! Giving up what only opening interfaces needs.

use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::prctl;

use crate::failure::Failure;

/// Takes all capabilities from the calling thread, and from the threads that it starts later; none can be had back, not by
/// starting a program either.
///
/// Interfaces are open then, and all that comes later needs no privilege: sending and receiving, reading counters, and
/// letting go of everything, which the kernel does as descriptors are closed.
///
/// # Errors
///
/// Failed if the kernel refuses, which it does to nobody.
pub fn give_up() -> Result<(), Failure> {
    keep(&[])
}

/// As [`give_up`], but the calling thread keeps these, which it must have.
///
/// # Errors
///
/// Failed if it has not.
pub fn keep(kept: &[Capability]) -> Result<(), Failure> {
    let kept: CapsHashSet = kept.iter().copied().collect();
    let failed = |cause: &dyn std::fmt::Display| Failure::failed(format!("capabilities cannot be given up: {cause}"));
    prctl::set_no_new_privs().map_err(|cause| failed(&cause))?;
    for set in [CapSet::Ambient, CapSet::Inheritable] {
        caps::clear(None, set).map_err(|cause| failed(&cause))?;
    }
    for set in [CapSet::Effective, CapSet::Permitted] {
        caps::set(None, set, &kept).map_err(|cause| failed(&cause))?;
    }
    Ok(())
}
