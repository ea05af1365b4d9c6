//! Containers behind interfaces of their own: each in a network namespace, with the host's Ethernet and IP addresses.
//!
//! ```text
//! container's namespace │ host
//!   eth0 (MAC, IP) ─────┼─ plc-web ─┐ XDP redirects        plg-eth0 ── AF_XDP ── portlane ── AF_XDP ── eth0
//!   eth0 (the same) ────┼─ plc-db ──┴──────── pld-eth0 ────┘ (the gate)
//! ```
//!
//! What they say to the address that they share stays on the host:
//!
//! ```text
//!   eth0 ───────────────┼─ plc-web ── XDP redirects ─┐
//!                       │        host's kernel ── plh-eth0 ── pll-eth0 ── AF_XDP ── portlane
//! ```
//!
//! What is made is marked, in names that follow from what it is for and in the interface's alias. So a run finds what one before
//! it has left, and goes on with it, or removes it.

pub mod names;

#[cfg(feature = "af-xdp")]
mod attachments;
#[cfg(feature = "af-xdp")]
mod error;
#[cfg(feature = "af-xdp")]
mod gate;
#[cfg(feature = "af-xdp")]
mod helper;
#[cfg(feature = "af-xdp")]
mod listeners;
#[cfg(feature = "af-xdp")]
mod local_ports;
#[cfg(feature = "af-xdp")]
mod making;
#[cfg(feature = "af-xdp")]
mod namespace;
#[cfg(feature = "af-xdp")]
mod netlink;
#[cfg(feature = "af-xdp")]
mod paths;
#[cfg(feature = "af-xdp")]
mod readings;
#[cfg(feature = "af-xdp")]
mod round_trips;
#[cfg(feature = "af-xdp")]
mod uplink;
#[cfg(feature = "af-xdp")]
mod wanted;

#[cfg(feature = "af-xdp")]
pub use attachments::Attachments;
#[cfg(feature = "af-xdp")]
pub use error::AttachError;
#[cfg(feature = "af-xdp")]
pub use gate::{make_gate, remove_gate};
#[cfg(feature = "af-xdp")]
pub use helper::serve;
#[cfg(feature = "af-xdp")]
pub use making::Making;
#[cfg(feature = "af-xdp")]
pub use readings::{NewPlaces, Readings};
#[cfg(feature = "af-xdp")]
pub use wanted::{Joined, Wanted, join, part, sweep};
