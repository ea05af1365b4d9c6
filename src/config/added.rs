//! Where containers that are added at run time are kept, and which ports they may be given.

use std::env;
use std::path::PathBuf;
use std::sync::Arc;

use portlane_classify::PortRange;
use portlane_shaper::Nanos;

use super::error::Problem;
use super::file;
use super::plan::Container;
use super::values::Text;

/// How long ports that were given back rest, unless told otherwise: as long as TCP's TIME-WAIT on Linux.
const REST: Nanos = Nanos::from_millis(60_000);

/// Ports that are never given: those below are for services that the world knows (RFC 6335, section 6).
const FIRST_FREE: u16 = 1_024;

/// What containers that are added at run time may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// The file that they are kept in.
    pub state: PathBuf,
    /// The ports that `auto:N` takes blocks of; `None`: there are none to be had.
    pub pool: Option<PortRange>,
    /// How long ports of the pool that were given back are not given again.
    pub rest: Nanos,
}

/// `[control] state`, `ephemeral_ports` and `ports_rest`. The ports of the file's own containers are not to be in the pool.
pub(super) fn added(written: &file::Control, own: &[Arc<Container>]) -> Result<Added, Problem> {
    let pool = written.ephemeral_ports.as_ref();
    if let Some(range) = pool.filter(|range| range.get_ref().0.first() < FIRST_FREE) {
        let problem = Problem::at(range.span(), format!("ephemeral_ports begin below {FIRST_FREE}"));
        return Err(problem.help("leave well-known ports out, as in ephemeral_ports = \"32768-57343\""));
    }
    if let Some(range) = pool {
        let pool = range.get_ref().0;
        let inside =
            |container: &&Arc<Container>| container.ports.iter().any(|ports| ports.shared_with(pool).is_some());
        if let Some(container) = own.iter().find(inside) {
            let title = format!("ephemeral_ports have ports of container {:?} in them", container.id);
            return Err(Problem::at(range.span(), title).help("keep them apart: they are for `--ports auto:N` alone"));
        }
    }
    let beside = || PathBuf::from(written.socket.get_ref()).with_file_name("containers.toml");
    let of_service = || Some(PathBuf::from(env::var_os("STATE_DIRECTORY")?).join("containers.toml"));
    let state = written.state.as_ref().map(|path| path.get_ref().clone());
    Ok(Added {
        state: state.or_else(of_service).unwrap_or_else(beside),
        pool: pool.map(|range| range.get_ref().0),
        rest: written.ports_rest.as_ref().map_or(REST, |rest| {
            let Text(rest) = rest.get_ref();
            *rest
        }),
    })
}
