//! The packet line on devices made of memory, in virtual time: nothing is lost, made or reordered, whatever arrives and
//! however little room there is.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod ahead;
mod changes;
mod conservation;
mod deliveries;
mod failures;
#[path = "../support/ledger.rs"]
mod ledger;
mod links;
mod neighbours;
mod observe;
mod readings;
mod rig;
mod rings;
mod shortage;
mod soak;
mod tapped;
mod within;
mod workers;
