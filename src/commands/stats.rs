//! `portlane stats`: the numbers of a running portlane.

use super::outputs;
use crate::args::Stats;
use crate::control::client;
use crate::failure::Failure;

/// Runs the command.
///
/// # Errors
///
/// Refused if nobody listens on the socket, or does not answer as portlane does; failed if standard output cannot be
/// written.
pub fn run(arguments: &Stats) -> Result<(), Failure> {
    let snapshot = client::snapshot(&arguments.socket).map_err(Failure::refused)?;
    outputs::print(&arguments.format.render(&snapshot))
}
