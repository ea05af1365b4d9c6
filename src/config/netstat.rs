//! `[netstat]`: what is told of TCP's counters besides what kernels say.

use serde::Deserialize;

use super::bounded::{Connections, Number};

/// Connections that are remembered, if the configuration does not say how many.
const CONNECTIONS: u32 = 65_536;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    #[serde(default)]
    wire: bool,
    max_connections: Option<Number<Connections>>,
}

/// Connections that are remembered, if counters are told from frames.
pub(super) fn connections(written: Option<&Written>) -> Option<usize> {
    let written = written.filter(|written| written.wire)?;
    Some(written.max_connections.map_or(CONNECTIONS, |connections| connections.0) as usize)
}
