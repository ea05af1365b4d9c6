//! What a capture is asked for with, over the control socket.

use serde::{Deserialize, Serialize};

/// The body of a request: JSON. What is left out is as for `portlane capture`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// For how long: 1 to [`MAX_SECONDS`](Self::MAX_SECONDS).
    pub seconds: u64,
    /// Packets of this container alone; `unmatched`: of none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Dropped frames alone.
    #[serde(default)]
    pub drops: bool,
    /// So many bytes of each frame, at most.
    #[serde(default = "Request::whole")]
    pub snap: u32,
    /// So many frames, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Bytes of memory for each worker, to [`MAX_BUFFER`](Self::MAX_BUFFER).
    #[serde(default = "Request::usual_buffer")]
    pub buffer: u64,
}

impl Request {
    /// Where it is asked for: by POST.
    pub const PATH: &str = "/capture";

    /// The longest capture.
    pub const MAX_SECONDS: u64 = 3_600;

    /// The most memory for each worker.
    pub const MAX_BUFFER: u64 = 256 << 20;

    /// The name of nobody's lane.
    pub const UNMATCHED: &str = "unmatched";

    /// A snap length that cuts no frame, as tcpdump's.
    #[must_use]
    pub fn whole() -> u32 {
        262_144
    }

    /// Enough for a few thousand frames of 1,514 bytes.
    #[must_use]
    pub fn usual_buffer() -> u64 {
        16 << 20
    }

    /// What is wrong with it, if something is.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let most = Self::MAX_SECONDS;
        if !(1..=most).contains(&self.seconds) {
            return Some(format!("seconds: {}: a capture lasts 1 to {most}", self.seconds));
        }
        let most = Self::MAX_BUFFER;
        (self.buffer > most).then(|| format!("buffer: {} bytes: {most} at most", self.buffer))
    }
}

/// What is said at the end of a capture, in trailer fields (RFC 9110, section 6.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trailers;

impl Trailers {
    /// Frames that the capture was to have.
    pub const SEEN: &str = "portlane-seen";

    /// Those among them that found no room.
    pub const LOST: &str = "portlane-lost";

    /// Why it has ended, if that is not because its time was over: for people.
    pub const WHY: &str = "portlane-ended";
}
