//! The configuration, in two stages: what was written (`file`), and what is true ([`Plan`]).
//!
//! Only a [`Plan`] reaches the rest of the program: all its values have units and have been checked against each other.
//! Whatever is wrong is one [`ConfigError`] that points at the line and says what would be right.

mod added;
mod advice;
mod bounded;
mod edit;
mod error;
mod file;
mod flows;
mod groups;
mod interfaces;
mod inventory;
mod limiter;
mod meters;
mod mode;
mod namespaces;
mod netstat;
mod node;
mod plan;
mod queue;
mod rates;
mod running;
mod shared;
mod values;
mod workers;

pub use added::Added;
pub use edit::{Configuration, Fragment};
pub use error::ConfigError;
pub use flows::Age;
pub use interfaces::{Nic, Queues, Wire};
pub use mode::Mode;
pub use plan::{Container, DEFAULT_SOCKET, Group, LanePlan, LinkPlan, Plan};
pub use running::{Checksums, Idle, InterfaceDown, Io, Running, Switching};
pub(crate) use shared::share;
pub use workers::Worker;

use std::fs;
use std::path::Path;

/// Reads and checks a configuration file.
///
/// # Errors
///
/// If the file cannot be read, is not TOML, or says something that cannot be.
pub fn load(path: &Path) -> Result<Plan, ConfigError> {
    let name = path.display().to_string();
    parse(&read(path, &name)?, &name)
}

fn read(path: &Path, name: &str) -> Result<String, ConfigError> {
    let bytes = fs::read(path).map_err(|cause| ConfigError::unreadable(name, &cause))?;
    String::from_utf8(bytes).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        ConfigError::not_text(name, error.as_bytes(), place)
    })
}

/// Checks the text of a configuration; `name` is what errors call it.
///
/// # Errors
///
/// If it is not TOML, or says something that cannot be.
pub fn parse(text: &str, name: &str) -> Result<Plan, ConfigError> {
    let checked = file::File::parse(text).and_then(plan::build).and_then(|own| plan::with(&own, &[]));
    checked.map_err(|problem| ConfigError::new(problem, text, name))
}
