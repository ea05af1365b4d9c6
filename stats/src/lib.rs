//! What is counted, what each counter means, and how it is printed.
//!
//! Every packet has one counted fate. For each lane (one container in one direction) at every instant, in packets and in
//! bytes:
//!
//! ```text
//! offered = sent + Σ dropped[reason] + queued
//! ```
//!
//! The counters are written by one thread, the lane's owner, and are plain integers. A report is made of copies taken at
//! one instant, so the law holds in it too; [`Snapshot::check`] says where it does not. Drops are counted where frames
//! are dropped, never derived from the other figures.
//!
//! - [`counters`]: what a lane counts, and which kernel counter each one corresponds to
//! - [`histogram`]: sojourn times of all lanes in one zeroed allocation
//! - [`estimator`]: current rates, as the kernel estimates them
//! - [`window`]: percentiles of rate over a while, as Mesos computes them
//! - [`lane`]: one lane's report, with the two elements that Mesos names `bw_limit` and `bloat_reduction`
//! - [`snapshot`]: the whole report, as plain data that survives a trip through JSON
//! - [`render`]: the report as a table, as JSON, as `tc` prints it, as Mesos serves it
//!
//! ```
//! use portlane_stats::counters::{DropReason, LaneCounters, Volume};
//! use portlane_stats::histogram::Histograms;
//!
//! let mut lane = LaneCounters::default();
//! let mut sojourn = Histograms::new(1);
//!
//! for _ in 0..3 {
//!     lane.offered.add(1514);
//! }
//! lane.drop_frame(DropReason::Codel, 1514);
//! lane.dequeued.add(1514);
//! lane.sent.add(1514);
//! sojourn.record(0, 4_200_000);
//!
//! assert!(lane.accounts_for(Volume { packets: 1, bytes: 1514 }), "one frame is still queued");
//! assert_eq!(sojourn.lane(0).quantiles().max, 4_200_000);
//! ```

#![forbid(unsafe_code)]

pub mod counters;
pub mod estimator;
pub mod flows;
pub mod histogram;
pub mod lane;
pub mod live;
pub mod render;
pub mod snapshot;
pub mod window;

pub use counters::{DropReason, LaneCounters, Volume};
pub use histogram::{Histograms, LaneHistogram, Quantiles};
pub use lane::{LaneReading, LaneReport, TrafficControl};
pub use render::Format;
pub use snapshot::{ContainerReport, Directions, Snapshot, Totals};

#[cfg(test)]
mod samples;
