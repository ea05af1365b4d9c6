//! What a lane is as a leaf of the tree, and what keeps it from sending.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A node of the tree as a class of `sch_htb`: its share, its credit and its counters (`struct tc_htb_xstats`).
///
/// Every lane is one, also one without a rate of its own: it has what is left of the guarantee above it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClassReport {
    /// What the node gets whatever the others do, bits per second: its rate, or less where the nodes above are
    /// over-subscribed; `None`: nothing above limits it.
    pub guarantee_bits_per_s: Option<u64>,
    /// Steps above the leaves: 0 for a lane.
    pub level: u32,
    /// Lower is lent to first; of a lane.
    pub priority: u32,
    /// Bytes that the node may send before it is the next one's turn; of a lane.
    pub quantum_bytes: u32,
    /// Bytes that each packet takes on the wire beyond its own length.
    pub overhead_bytes: u32,
    /// Bytes that each packet takes at least.
    pub mpu_bytes: u32,
    /// Credit under the guarantee, as the time it takes to earn it, in nanoseconds; negative while the node owes.
    pub tokens_ns: i64,
    /// Credit under the ceil, likewise.
    pub ctokens_ns: i64,
    /// Packets sent on the node's own credit, by itself or by those below it.
    pub lended: u64,
    /// Packets sent on the credit of a node above.
    pub borrowed: u64,
    /// Times that the node reached its ceil.
    pub overlimits: u64,
}

/// What keeps a lane from sending more right now: the first of these that applies, from the lane up.
///
/// Reads and writes as the words in the table, in JSON too.
///
/// | | |
/// |---|---|
/// | `rate` | its own rate, and there is nothing to borrow from |
/// | `ceil` | its own ceil |
/// | `group NAME` | the rate or the ceil of a group that it is in |
/// | `link` | the link's |
/// | `codel` | CoDel drops or marks its packets, and nothing above holds them back |
/// | `nothing` | its senders |
///
/// ```
/// use portlane_stats::lane::LimitedBy;
///
/// assert_eq!(LimitedBy::Group("tenant-a".to_owned()).to_string(), "group tenant-a");
/// assert_eq!("ceil".parse(), Ok(LimitedBy::Ceil));
/// assert!("gravity".parse::<LimitedBy>().is_err());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum LimitedBy {
    /// Its own rate.
    Rate,
    /// Its own ceil.
    Ceil,
    /// The group of this name.
    Group(String),
    /// The link.
    Link,
    /// CoDel.
    Codel,
    /// Nothing but what it is offered.
    #[default]
    Nothing,
}

/// Not a limit that a lane can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown limit {given:?}: expected rate, ceil, group NAME, link, codel or nothing")]
pub struct UnknownLimit {
    /// What was read.
    pub given: String,
}

const GROUP: &str = "group ";

impl fmt::Display for LimitedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate => f.pad("rate"),
            Self::Ceil => f.pad("ceil"),
            Self::Group(name) => f.pad(&format!("{GROUP}{name}")),
            Self::Link => f.pad("link"),
            Self::Codel => f.pad("codel"),
            Self::Nothing => f.pad("nothing"),
        }
    }
}

impl FromStr for LimitedBy {
    type Err = UnknownLimit;

    fn from_str(words: &str) -> Result<Self, Self::Err> {
        match words {
            "rate" => Ok(Self::Rate),
            "ceil" => Ok(Self::Ceil),
            "link" => Ok(Self::Link),
            "codel" => Ok(Self::Codel),
            "nothing" => Ok(Self::Nothing),
            _ => match words.strip_prefix(GROUP) {
                Some(name) => Ok(Self::Group(name.to_owned())),
                None => Err(UnknownLimit { given: words.to_owned() }),
            },
        }
    }
}

impl From<LimitedBy> for String {
    fn from(limit: LimitedBy) -> Self {
        limit.to_string()
    }
}

impl TryFrom<String> for LimitedBy {
    type Error = UnknownLimit;

    fn try_from(words: String) -> Result<Self, Self::Error> {
        words.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_reads_back_as_it_was_written() {
        let group = |name: &str| LimitedBy::Group(name.to_owned());
        let limits = [LimitedBy::Rate, LimitedBy::Ceil, LimitedBy::Link, LimitedBy::Codel, LimitedBy::Nothing];
        for limit in limits.into_iter().chain([group("link"), group("a b"), group("")]) {
            let json = serde_json::to_string(&limit).unwrap();
            assert_eq!(json, format!("{:?}", limit.to_string()));
            assert_eq!(serde_json::from_str::<LimitedBy>(&json).unwrap(), limit);
        }
        let error = serde_json::from_str::<LimitedBy>("\"group\"").unwrap_err().to_string();
        assert!(error.starts_with("unknown limit \"group\": expected rate, ceil, group NAME, "), "{error}");
    }
}
