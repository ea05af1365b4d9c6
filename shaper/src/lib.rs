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
//! use portlane_shaper::{
//!     Arrival, DropReason, Fate, LaneId, LaneParams, Limiter, Nanos, Shape, Shaper, TreeParams, Wake,
//! };
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
//! let limiter = Limiter::Htb(Shape::flat("8mbit".parse()?, "1600b".parse()?));
//! let lane = LaneParams { limiter, ..LaneParams::default() };
//! let tree = TreeParams { lanes: vec![lane], ..TreeParams::default() };
//! let mut shaper = Shaper::new(&tree, 64, Nanos::ZERO)?;
//!
//! for packet in ["first", "second", "third"] {
//!     let arrival = Arrival { packet, len: 1_500, memory: 2_048, flow: 0 };
//!     shaper.enqueue(LaneId(0), arrival, Nanos::ZERO, &mut Bin);
//! }
//! // The burst of 1,600 bytes pays for the first, and for the second into debt; the third has to wait: 8 mbit is a
//! // byte a microsecond, and 1,400 are owed.
//! assert_eq!(shaper.dequeue(Nanos::ZERO, &mut Bin).map(|leaving| leaving.packet), Some("first"));
//! assert_eq!(shaper.dequeue(Nanos::ZERO, &mut Bin).map(|leaving| leaving.packet), Some("second"));
//! assert_eq!(shaper.dequeue(Nanos::ZERO, &mut Bin), None);
//! assert_eq!(shaper.next_wake(Nanos::ZERO), Wake::At("1400us".parse()?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

pub mod bucket;
pub mod codel;
mod lane;
mod lengths;
mod params;
mod queue;
mod shaper;
mod tbf;
mod tree;
pub mod units;
pub mod wheel;

pub use params::{
    Aqm, FqParams, Framing, GroupId, GroupParams, LaneId, LaneParams, Limiter, LinkParams, NodeId, OwnFraming, Peak,
    QueueParams, Shape, Share, TreeParams,
};
pub use portlane_stats::counters::{DropReason, LaneCounters, Volume};
pub use queue::{FlowStats, QueueStats};
pub use shaper::{Arrival, Departure, Fate, Limited, Shaper, Wake, shed};
pub use tree::{NodeReading, Rule, TreeError};
pub use units::{Nanos, Rate, Size};
