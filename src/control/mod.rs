//! Talking to a running portlane: HTTP over a Unix socket for its owner, and read-only over TCP for everybody who may
//! connect (loopback, unless configured).

#[cfg(feature = "af-xdp")]
pub mod questions;
#[cfg(feature = "af-xdp")]
pub mod server;

pub mod client;

#[cfg(feature = "af-xdp")]
mod answers;
#[cfg(feature = "af-xdp")]
mod connections;
#[cfg(feature = "af-xdp")]
mod socket;
