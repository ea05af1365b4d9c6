//! What the configuration says of observing flows.

use std::path::PathBuf;
use std::time::Duration;

use portlane_shaper::Size;

/// How flows are observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// On which core; `None`: on any but those of workers.
    pub core: Option<usize>,
    /// Flows that live at a time, and pairs with ports in a second or minute.
    pub max_flows: usize,
    /// Where rows are kept, if they are.
    pub store: Option<StoreSettings>,
}

/// Where rows are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// The folder.
    pub folder: PathBuf,
    /// How long a file grows before it is there to be read.
    pub every: Duration,
    /// How old files get; `None`: until there are too many.
    pub age: Option<Duration>,
    /// How many bytes all files may have.
    pub limit: Size,
}
