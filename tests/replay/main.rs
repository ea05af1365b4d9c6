//! `portlane replay`, the program as it is, on captures made here.
//!
//! Every packet carries a number of its own, so that one that left can be told among those that arrived.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod congestion;
mod directions;
mod endings;
mod fates;
mod flows;
mod links;
mod observe;
mod packets;
mod percentiles;
mod refusals;
mod scene;
#[path = "../support/tables.rs"]
mod tables;
mod traffic;
mod tree;
mod wireshark;
