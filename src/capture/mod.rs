//! Frames of live traffic for those who want to see them: AF_XDP hides them from every other tool.
//!
//! While a capture runs, each worker's line is [tapped](Tap): it copies frames, as they leave or are dropped, into chunks of
//! memory that were there before, and never waits. What finds no room is counted. Chunks go to a reader and come back through
//! queues that hold them all ([`Pipe`]); the reader [merges](Merge) what the workers saw by time.

mod merge;
mod pipe;
mod request;
mod tap;

use portlane_classify::{Direction, Malformed};
use portlane_shaper::{DropReason, LaneId, Nanos};

pub use merge::Merge;
pub use pipe::{Counts, Pipe};
pub use request::{Request, Trailers};
pub use tap::{Place, Tap};

/// The most interfaces that a line has: the network's, and the containers'.
pub const INTERFACES: usize = 2;

/// The lane of what no container owns, as captures number it.
pub const NOBODYS: LaneId = LaneId(u32::MAX);

/// What a capture is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Packets of this lane alone, or [`NOBODYS`].
    pub lane: Option<LaneId>,
    /// Dropped frames alone.
    pub drops: bool,
    /// So many bytes of each frame, at most.
    pub snap: usize,
    /// For so long.
    pub time: Nanos,
}

/// A frame as it was seen; its bytes are beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// When it left, or was dropped.
    pub time: Nanos,
    /// What became of it.
    pub fate: Fate,
    /// Whose it is; of a malformed one nobody knows.
    pub owner: Option<(LaneId, Direction)>,
    /// Where it left or, if it did not, where it came from: a position among the interfaces.
    pub interface: usize,
    /// How long it was in its lane, if that is known.
    pub waited: Option<Nanos>,
    /// Marked "congestion experienced".
    pub marked: bool,
    /// Bytes that were copied.
    pub captured: usize,
    /// Bytes that it had.
    pub wire_len: u32,
}

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It left.
    Sent,
    /// Its lane dropped it.
    Dropped(DropReason),
    /// It was dropped for its headers.
    Malformed(Malformed),
    /// It was dropped between workers.
    HandOff,
}

impl Sight {
    /// What is said of it in a capture: words, each a name and a value. `lane` is the name of its lane.
    ///
    /// `lane=web direction=egress fate=dropped reason=codel sojourn_ns=7300125 mark=ce`
    #[must_use]
    pub fn comment(&self, lane: &str) -> String {
        let owner = self.owner.map(|(_, direction)| format!("lane={lane} direction={direction} "));
        let fate = match self.fate {
            Fate::Sent => "fate=sent".to_owned(),
            Fate::Dropped(reason) => format!("fate=dropped reason={}", reason.as_str()),
            Fate::Malformed(reason) => format!("fate=malformed reason={}", reason.as_str()),
            Fate::HandOff => "fate=dropped reason=handoff".to_owned(),
        };
        let waited = self.waited.map(|Nanos(waited)| format!(" sojourn_ns={waited}"));
        let mark = if self.marked { " mark=ce" } else { "" };
        format!("{}{fate}{}{mark}", owner.unwrap_or_default(), waited.unwrap_or_default())
    }
}
