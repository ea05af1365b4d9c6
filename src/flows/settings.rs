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
    /// This host's number, in `agent_id`; 0: it has none.
    pub agent: u32,
    /// Where rows are kept, if they are.
    pub store: Option<StoreSettings>,
}

impl Settings {
    /// Flows at a time, if nobody says.
    pub const MAX_FLOWS: u32 = 65_536;

    /// What is so if nobody says anything but where rows are kept.
    #[must_use]
    pub fn kept_in(folder: PathBuf) -> Self {
        Self { core: None, max_flows: Self::MAX_FLOWS as usize, agent: 0, store: Some(StoreSettings::new(folder)) }
    }
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

impl StoreSettings {
    /// How long a file grows, if nobody says.
    pub const EVERY: Duration = Duration::from_secs(60);
    /// How many bytes there are of all, if nobody says.
    pub const LIMIT: Size = Size(1 << 30);

    /// A folder, of which nobody says more.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, every: Self::EVERY, age: None, limit: Self::LIMIT }
    }
}
