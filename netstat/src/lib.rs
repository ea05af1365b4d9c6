//! TCP counters as the Linux kernel keeps them for a network namespace, told from the frames that a container receives and sends.
//!
//! No clock and no I/O. What the kernel counts is said where it is counted: its functions are named. `docs/tcp-counters.md` of the
//! project has what can be told so, and how that differs from what the kernel says itself.

#![forbid(unsafe_code)]

mod wire;

pub use wire::{Counters, IDLE_NS, Segment, UNANSWERED_NS, UNSETTLED_NS, Wire};
