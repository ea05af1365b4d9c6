//! HTB's hierarchy, FQ-CoDel and token buckets: a shaper without clock or I/O, generic over what it shapes.
//!
//! A [`Shaper`] holds the lanes of one direction, as leaves of a tree: link, optional groups, lanes. Packets are put into
//! lanes with [`Shaper::enqueue`], leave with [`Shaper::dequeue`] as soon as the tree permits, and [`Shaper::next_wake`]
//! says when to ask again. Time is an argument everywhere, so the same code shapes live traffic and, in virtual time,
//! captures. All arithmetic is in integers.
//!
//! - The tree decides as `sch_htb` does: rates are guaranteed, what is spare is lent by priority and then in turns by
//!   quantum, and nobody gets more than its ceil ([`TreeParams`], [`Shape`], [`Share`]).
//! - A lane's queue is a FIFO, CoDel (RFC 8289) or FQ-CoDel (RFC 8290; [`QueueParams`]). CoDel decides before the bucket
//!   pays, as in the kernel: tokens are charged for the packet that survived.
//! - Everything may change while packets are queued ([`Shaper::set_lane`] and its relatives), and everything can be read:
//!   what a lane [counted](Shaper::counters), how a node [stands](Shaper::node), and what [limits](Shaper::limited_by) a lane.
//!
//! # Shape packets of your own type
//!
//! Two lanes share a link of 8 mbit, a byte a microsecond. Each is guaranteed a quarter of it and may borrow the rest.
//!
//! ```
//! use portlane_shaper::{
//!     Arrival, DropReason, Fate, LaneId, LaneParams, Limiter, LinkParams, Nanos, Shape, Shaper, TreeParams, Wake,
//! };
//!
//! /// Whatever a packet is to you.
//! struct Letter {
//!     text: String,
//! }
//!
//! /// What becomes of packets that are dropped, and how they are marked.
//! #[derive(Default)]
//! struct Post {
//!     lost: Vec<Letter>,
//! }
//!
//! impl Fate<Letter> for Post {
//!     fn dropped(&mut self, lane: LaneId, letter: Letter, reason: DropReason) {
//!         println!("{} lost in lane {}: {}", letter.text, lane.0, reason.as_str());
//!         self.lost.push(letter);
//!     }
//!
//!     fn mark(&mut self, _letter: &mut Letter) -> bool {
//!         false // not ECN-capable: drop it instead
//!     }
//! }
//!
//! let link = LinkParams { shape: Some(Shape::flat("8mbit".parse()?, "1600b".parse()?)), ..LinkParams::default() };
//! let shape = Shape { rate: "2mbit".parse()?, ceil: "8mbit".parse()?, burst: "1600b".parse()?, cburst: "1600b".parse()? };
//! let lane = LaneParams { limiter: Limiter::Htb(shape), ..LaneParams::default() };
//! let tree = TreeParams { link, groups: vec![], lanes: vec![lane.clone(), lane] };
//! let mut now = Nanos::ZERO;
//! let mut shaper = Shaper::new(&tree, 64, now)?;
//! let mut post = Post::default();
//!
//! for number in 0..100 {
//!     for lane in [LaneId(0), LaneId(1)] {
//!         let letter = Letter { text: format!("letter {number}") };
//!         shaper.enqueue(lane, Arrival { packet: letter, len: 1_000, memory: 1_024, flow: 7, ect: false }, now, &mut post);
//!     }
//! }
//! // A lane sends while its burst is in credit, two letters of 1,000 bytes; then both take turns at the speed of the link.
//! let mut sent = [0, 0];
//! loop {
//!     while let Some(leaving) = shaper.dequeue(now, &mut post) {
//!         sent[leaving.lane.0 as usize] += 1;
//!     }
//!     match shaper.next_wake(now) {
//!         Wake::At(time) => now = time,
//!         Wake::Now => {}
//!         Wake::Never => break,
//!     }
//! }
//! assert_eq!(sent[0] + sent[1] + post.lost.len(), 200);
//! assert!(sent[0].abs_diff(sent[1]) <= 2);
//! // CoDel dropped some of them, since they waited for more than 5 ms throughout 100 ms.
//! assert!((1..10).contains(&post.lost.len()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A packet of yours comes back in exactly one of two ways: as a [`Departure`], or through [`Fate::dropped`].

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
pub use shaper::{Arrival, AtRest, Departure, Fate, Limited, Shaper, Still, WaitingFlow, Wake, Way, shed};
pub use tree::{NodeReading, Rule, TreeError};
pub use units::{Nanos, Rate, Size};
