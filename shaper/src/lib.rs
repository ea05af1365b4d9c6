//! Token buckets, CoDel and fair lanes: a shaper without clock or I/O, generic over what it shapes.
//!
//! A [`Shaper`] holds the lanes of one direction. Packets are put into lanes with [`Shaper::enqueue`], leave with
//! [`Shaper::dequeue`] as soon as their lane's limiter and the link permit, and [`Shaper::next_wake`] says when to ask
//! again. Time is an argument everywhere, so the same code shapes live traffic and, in virtual time, captures.
//!
//! Within a lane CoDel decides before the bucket pays, as in the kernel: tokens are charged for the packet that
//! survived. All arithmetic is in integers.
//!
//! ```
//! use portlane_shaper::{DropReason, Fate, LaneId, LaneParams, Limiter, LinkParams, Nanos, Shaper, Wake};
//!
//! struct Bin;
//! impl Fate<&'static str> for Bin {
//!     fn dropped(&mut self, lane: LaneId, packet: &'static str, reason: DropReason) {
//!         println!("{packet} dropped in lane {}: {}", lane.0, reason.as_str());
//!     }
//!     fn mark(&mut self, _packet: &mut &'static str) -> bool {
//!         false // not ECN-capable
//!     }
//! }
//!
//! let limiter = Limiter::Htb { rate: "8mbit".parse()?, burst: "1600b".parse()? };
//! let lane = LaneParams { limiter, ..LaneParams::default() };
//! let link = LinkParams { limit: None, quantum: 1_514 };
//! let mut shaper = Shaper::new(link, vec![lane], 64, Nanos::ZERO);
//!
//! for packet in ["first", "second", "third"] {
//!     shaper.enqueue(LaneId(0), packet, 1_500, Nanos::ZERO, &mut Bin);
//! }
//! // The burst of 1,600 bytes pays for the first, and for the second into debt; the third has to wait: 8 mbit is a
//! // byte a microsecond, and 1,400 are owed.
//! assert_eq!(shaper.dequeue(Nanos::ZERO, &mut Bin).map(|leaving| leaving.packet), Some("first"));
//! assert_eq!(shaper.dequeue(Nanos::ZERO, &mut Bin).map(|leaving| leaving.packet), Some("second"));
//! assert_eq!(shaper.dequeue(Nanos::ZERO, &mut Bin), None);
//! assert_eq!(shaper.next_wake(Nanos::ZERO), Wake::At("1400us".parse()?));
//! # Ok::<(), portlane_shaper::units::ParseError>(())
//! ```

#![forbid(unsafe_code)]

pub mod bucket;
pub mod codel;
mod lane;
mod lengths;
pub mod queue;
mod shaper;
pub mod units;
pub mod wheel;

pub use lane::{LaneParams, Limiter, Peak, QueueParams};
pub use portlane_stats::counters::{DropReason, LaneCounters, Volume};
pub use shaper::{Departure, Fate, LaneId, LinkParams, Shaper, Wake, shed};
pub use units::{Nanos, Rate, Size};
