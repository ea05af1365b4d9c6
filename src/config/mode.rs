//! Whether limits hold, or are only watched.

use std::fmt;

use serde::Deserialize;

/// What becomes of packets that a lane would delay or drop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// They are delayed, or dropped.
    #[default]
    Enforce,
    /// They are counted, and leave at once like all others.
    Observe,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Enforce => "enforce",
            Self::Observe => "observe",
        })
    }
}
