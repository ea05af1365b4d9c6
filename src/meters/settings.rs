//! What `[meters]` comes to.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use portlane_meters::Book;
use portlane_shaper::Size;

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

/// What waits for a receiver, if the configuration does not say.
pub(crate) const SPOOL_LIMIT: Size = Size(64 << 20);

/// Where reports are to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkConfig {
    /// A file, to which a line is added for each event; `-` is standard output.
    pub output: Option<PathBuf>,
    /// A receiver, to which each report is posted.
    pub post: Option<Url>,
    /// Where reports are until the receiver has them; in memory if there is no such folder.
    pub spool: Option<PathBuf>,
    /// How much may wait there, in bytes.
    pub spool_limit: Size,
}

impl Default for SinkConfig {
    fn default() -> Self {
        Self { output: None, post: None, spool: None, spool_limit: SPOOL_LIMIT }
    }
}

/// Where an HTTP receiver is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// Host and port, as in a URL.
    authority: String,
    /// Path and query.
    path: String,
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected the URL of a receiver, as in \"http://collector:8080/meters\"";
        let uri: hyper::Uri = text.parse().map_err(|why| format!("{text:?}: {why}: {EXPECTED}"))?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        match (uri.scheme_str(), uri.authority()) {
            (Some("http"), Some(authority)) if !authority.as_str().contains('@') => {
                Ok(Self { authority: authority.to_string(), path: path.to_owned() })
            }
            (Some("https"), _) => Err(format!("{text:?}: there is no TLS here, have a proxy see to that: {EXPECTED}")),
            _ => Err(format!("{text:?} is no such URL: {EXPECTED}")),
        }
    }
}

impl Url {
    /// Host, and port if there is one.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Path and query.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}
