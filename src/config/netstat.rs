//! `[netstat]`: which counters of TCP are told, besides those of attached containers' kernels.

use serde::Deserialize;

use super::bounded::{Connections, Number};

/// Connections that are remembered, if the configuration does not say how many.
const CONNECTIONS: u32 = 65_536;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    #[serde(default)]
    wire: bool,
    #[serde(default)]
    proc: bool,
    max_connections: Option<Number<Connections>>,
}

/// Whether what kernels say is read of containers that are not attached, too.
pub(super) fn reads(written: Option<&Written>) -> bool {
    written.is_some_and(|written| written.proc)
}

/// Connections that are remembered, if counters are told from frames.
pub(super) fn connections(written: Option<&Written>) -> Option<usize> {
    let written = written.filter(|written| written.wire)?;
    Some(written.max_connections.map_or(CONNECTIONS, |connections| connections.0) as usize)
}
