//! What `[meters]` comes to.

use std::path::PathBuf;
use std::time::Duration;

use portlane_meters::Book;

use super::sinks::SinkConfig;

/// What is counted, and how it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Labels and rules of the configuration file.
    pub book: Book,
    /// From one measurement to the next.
    pub measure: Duration,
    /// From one report to the next, at least.
    pub report: Duration,
    /// Containers are told apart, and there are events of labels, containers and projects.
    pub granular: bool,
    /// The machine's name in reports.
    pub host: String,
    /// The file of what is added at run time.
    pub state: PathBuf,
    /// Where reports go.
    pub sinks: SinkConfig,
}

impl Settings {
    /// Whether what is counted would be told otherwise by others.
    #[must_use]
    pub fn tells_otherwise(&self, other: &Self) -> bool {
        let telling = |of: &Self| (of.measure, of.report, of.host.clone(), of.state.clone(), of.sinks.clone());
        telling(self) != telling(other)
    }
}
