//! Reports for people, for scripts, and in the forms that other tools already read.
//!
//! | format | is |
//! |---|---|
//! | `text` | aligned tables, one for each direction |
//! | `json` | the [`Snapshot`] itself, indented |
//! | `tc` | what `tc -s qdisc` and `tc -s class` would print |
//! | `tc-json` | what `tc -s -j qdisc` and `tc -s -j class` would print |
//! | `mesos` | what a Mesos agent serves at `/monitor/statistics` |
//! | `prometheus` | what Prometheus scrapes: its text format 0.0.4 |
//!
//! ```
//! use portlane_stats::render::Format;
//!
//! assert_eq!("tc-json".parse(), Ok(Format::TcJson));
//! let error = "yaml".parse::<Format>().unwrap_err().to_string();
//! assert_eq!(error, "unknown format \"yaml\": expected one of text, json, tc, tc-json, mesos, prometheus");
//! ```

use std::fmt;
use std::str::FromStr;

use crate::snapshot::Snapshot;

pub mod containers;
mod handles;
pub mod json;
mod live;
pub mod mesos;
mod outline;
pub mod prometheus;
pub mod tc;
pub mod tc_json;
pub mod text;
mod tree;
pub mod units;

/// How a report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Aligned tables: [`text`].
    Text,
    /// The snapshot itself: [`json`].
    Json,
    /// As `tc -s` prints it: [`tc`].
    Tc,
    /// As `tc -s -j` prints it: [`tc_json`].
    TcJson,
    /// As Mesos serves it: [`mesos`].
    Mesos,
    /// As Prometheus scrapes it: [`prometheus`].
    Prometheus,
}

/// A format that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown format {given:?}: expected one of {}", Format::ALL.map(Format::as_str).join(", "))]
pub struct UnknownFormat {
    /// What was asked for.
    pub given: String,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 6] = [Self::Text, Self::Json, Self::Tc, Self::TcJson, Self::Mesos, Self::Prometheus];

    /// The format's name on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Tc => "tc",
            Self::TcJson => "tc-json",
            Self::Mesos => "mesos",
            Self::Prometheus => "prometheus",
        }
    }

    /// The report in this format; ends with a newline.
    #[must_use]
    pub fn render(self, snapshot: &Snapshot) -> String {
        match self {
            Self::Text => text::render(snapshot),
            Self::Json => json::render(snapshot),
            Self::Tc => tc::render(snapshot),
            Self::TcJson => tc_json::render(snapshot),
            Self::Mesos => mesos::render(snapshot),
            Self::Prometheus => prometheus::render(snapshot, prometheus::Options::default()),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|format| format.as_str() == name)
            .ok_or_else(|| UnknownFormat { given: name.to_owned() })
    }
}

#[cfg(test)]
mod tests;
