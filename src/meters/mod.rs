//! Traffic meters: how many packets and bytes containers exchanged with prefixes, as Neutron's metering agent tells it.
//!
//! [`portlane_meters`] knows which labels a packet counts for. Here is where workers count ([`Meter`]), where labels and rules are kept
//! while they do ([`Meters`]), and who tells of it ([`Agent`]).
//!
//! Workers wait for nobody: each counts on pages of its own, which others only read. Where labels or rules change, a worker begins another
//! page before its next packets, and the one before is read a last time when it has let go of it: so nothing is counted twice, and
//! nothing is lost.

#[cfg(feature = "af-xdp")]
mod agent;
mod delivery;
mod event;
mod page;
mod settings;
mod shared;
#[cfg(feature = "af-xdp")]
mod sinks;
mod state;

#[cfg(feature = "af-xdp")]
pub use agent::Agent;
pub use delivery::Delivery;
pub use event::Event;
pub use page::Meter;
pub(crate) use settings::SPOOL_LIMIT;
pub use settings::{Settings, SinkConfig, Url};
pub use shared::{Change, Counted, Meters, Unchanged};
#[cfg(feature = "af-xdp")]
pub use sinks::Sinks;
pub use state::State;
