//! Talking to a running portlane: HTTP over a Unix socket for its owner, and read-only over TCP for everybody who may
//! connect (loopback, unless configured).

#[cfg(feature = "af-xdp")]
pub mod questions;
#[cfg(feature = "af-xdp")]
pub mod server;

pub mod client;
pub mod negotiation;

#[cfg(feature = "af-xdp")]
mod answers;
#[cfg(feature = "af-xdp")]
mod captures;
#[cfg(feature = "af-xdp")]
mod changes;
#[cfg(feature = "af-xdp")]
mod connections;
#[cfg(feature = "af-xdp")]
mod endpoints;
#[cfg(feature = "af-xdp")]
mod flows;
#[cfg(feature = "af-xdp")]
mod forms;
#[cfg(feature = "af-xdp")]
mod handed;
#[cfg(feature = "af-xdp")]
mod meters;
#[cfg(feature = "af-xdp")]
mod problem;
#[cfg(feature = "af-xdp")]
mod socket;
