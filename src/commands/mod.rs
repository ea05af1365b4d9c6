//! One file for each command.

pub mod bench;
pub mod capture;
pub mod check;
pub mod container;
pub mod flows;
pub mod import_mesos;
pub mod meters;
pub(crate) mod outputs;
pub mod replay;
#[cfg(feature = "af-xdp")]
pub mod run;
pub mod stats;
