//! portlane: a lane for every container.
//!
//! The binary is a thin shell around this library, which wires the rooms of the workspace together: frames come from
//! devices ([`portlane_rings`]), find their owner ([`portlane_classify`]), are shaped ([`portlane_shaper`]) and counted
//! ([`portlane_stats`]). [`line::Line::turn`] is the path of one packet, on one screen.

#![forbid(unsafe_code)]

pub mod args;
pub mod attach;
pub mod bench;
pub mod build;
pub mod capture;
#[cfg(feature = "af-xdp")]
pub mod clock;
pub mod commands;
pub mod config;
pub mod containers;
pub mod control;
#[cfg(feature = "af-xdp")]
pub mod demo;
pub mod failure;
pub mod flows;
pub mod line;
#[cfg(feature = "af-xdp")]
pub mod live;
pub mod meters;
#[cfg(feature = "af-xdp")]
pub mod neighbours;
#[cfg(feature = "af-xdp")]
mod netlink;
#[cfg(feature = "af-xdp")]
pub mod netns;
#[cfg(feature = "af-xdp")]
pub mod netstat;
#[cfg(feature = "af-xdp")]
pub mod offloads;
#[cfg(feature = "af-xdp")]
pub mod privileges;
pub mod reading;
pub mod report;
#[cfg(feature = "af-xdp")]
pub mod supervisor;
pub mod top;
pub mod workers;
