//! The benchmark: the line that runs live and in replay, between the two ends of a device made for measuring.
//!
//! Every container is an HTB leaf with FQ-CoDel under a link of 10 gbit (156.25 mbit for each of fewer than 64), and owns
//! an equal block of ports. All packets are egress, of one size, in virtual time: 64 arrive in every turn, and the time from
//! turn to turn follows from what is offered ([`Load`]). A lane's rate is its equal share of the link, but for a thousandth:
//! what limits it is its own bucket. Its burst is what the rate earns in 10 ms, and 16 packets or 1600 bytes if that is more.
//! CoDel's target is 10 us and its interval 200 us, as suits such rates: with tc's 5 and 100 ms CoDel would take minutes to
//! find its pace against senders who do not listen, with millions of packets in the queues.
//!
//! Lanes and flows come in random order with a fixed seed, every lane exactly as often as its share of the offer says: the
//! same options give the same counts. A [`Scenario`] is such a line, warmed up:
//!
//! ```
//! use portlane::bench::{Load, Options, Scenario};
//!
//! let mut scenario = Scenario::new(&Options { containers: 16, load: Load::Idle, ..Options::default() })?;
//! scenario.warm_up();
//! scenario.turns(100);
//! let totals = scenario.totals();
//! assert_eq!((totals.offered - totals.sent, totals.queued), (0, 0));
//! # Ok::<(), portlane::failure::Failure>(())
//! ```

mod crew;
mod floor;
mod load;
mod observed;
mod plan;
mod report;
mod rounds;
mod scenario;
mod segments;
mod source;
mod stages;
mod traffic;

pub use crew::{Together, measure_together};
pub use load::{Load, Setup};
pub use observed::{Observed, measure_observed};
pub use report::{json, json_observed, json_together, text, text_observed, text_together};
pub use rounds::{Measured, Times, measure};
pub use scenario::{Scenario, Totals};
pub use source::Source;

use crate::line::BATCH;

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Containers, each with a lane: 1 to [`MAX_CONTAINERS`].
    pub containers: u32,
    /// Bytes of a packet, Ethernet header included, checksum not: 60 to 1514.
    pub size: u16,
    /// Flows of all containers together, at least one each; `None`: 4 a container.
    pub flows: Option<u32>,
    /// Frames that go round through the device's receive ring: 512 stay in the caches, 65,536 do not. Rounded up to whole
    /// batches. Packets in queues are in further frames.
    pub frames: u32,
    /// How much is offered.
    pub load: Load,
    /// Segments of TCP with all that is behind their headers as data, in order in every flow; else datagrams of UDP.
    pub tcp: bool,
}

impl Options {
    /// Flows of all containers together.
    #[must_use]
    pub fn flows(&self) -> u32 {
        self.flows.unwrap_or(self.containers.saturating_mul(4))
    }

    /// The protocol's name.
    fn protocol(&self) -> &'static str {
        if self.tcp { "tcp" } else { "udp" }
    }

    /// Frames in the device's receive ring.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.batches() * BATCH
    }

    /// Batches in the device's receive ring.
    fn batches(&self) -> usize {
        (self.frames as usize).div_ceil(BATCH).max(1)
    }
}

/// As many containers as there are ports, and one more: that one needs a second address.
pub const MAX_CONTAINERS: u32 = 65_536;

/// The most flows: their sequence of packets takes up to 60 MB.
pub const MAX_FLOWS: u32 = 1 << 20;

impl Default for Options {
    fn default() -> Self {
        Self { containers: 1_024, size: 64, flows: None, frames: 512, load: Load::Default, tcp: false }
    }
}
