//! What is true: the checked configuration, with units and without spans.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use portlane_classify::{Direction, PortRange, Rule, RuleError, Table};
use portlane_shaper::{LaneParams, Limiter, QueueParams, Rate, Size};
use toml::Spanned;

use super::error::Problem;
use super::file::{self, File};
use super::limits::{check_shape_alone, limiter, link, queue};
use super::values::Text;

/// Where a running portlane listens for control, if the configuration does not say.
pub const DEFAULT_SOCKET: &str = "/run/portlane/control.sock";

/// The longest name of a network interface (`IFNAMSIZ` with its final zero).
const MAX_INTERFACE_NAME: usize = 15;

/// The longest path of a socket (`sun_path` of unix(7) with its final zero).
const MAX_SOCKET_PATH: usize = 107;

/// Packets that can wait live whatever the rings hold: of 16,384 frames half may be in the rings of both interfaces.
const LIVE_PACKETS: u64 = 8_192;

/// A checked configuration.
#[derive(Debug)]
pub struct Plan {
    /// The link's limit, each direction on its own.
    pub link: LinkPlan,
    /// Addresses of the containers' host; may be empty.
    pub host_addresses: Vec<IpAddr>,
    /// All containers, as written.
    pub containers: Vec<Container>,
    /// The lane of traffic that no container owns, in both directions.
    pub unmatched: LanePlan,
    /// Owner of each port: a container's position, or the number of containers for nobody's.
    pub owners: Table<u32>,
    /// The interfaces to join, for live traffic.
    pub wire: Option<Wire>,
    /// Where numbers are served.
    pub listen: SocketAddr,
    /// Where a running portlane is controlled.
    pub socket: PathBuf,
    /// What is allowed but probably not meant.
    pub warnings: Vec<String>,
}

/// The link's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkPlan {
    /// Rate and burst; `None`: not limited.
    pub limit: Option<(Rate, Size)>,
}

/// A container.
#[derive(Debug, Clone)]
pub struct Container {
    /// Its name.
    pub id: String,
    /// The ports it owns.
    pub ports: Vec<PortRange>,
    /// The addresses on which it owns them; empty: all.
    pub addresses: Vec<IpAddr>,
    /// Its lanes, by [`Direction::index`].
    pub lanes: [LanePlan; 2],
}

/// What a lane is to be.
pub type LanePlan = LaneParams;

/// Two interfaces to join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wire {
    /// The side that the world is on.
    pub network: String,
    /// The side that the containers are on.
    pub container: String,
}

/// Checks what was written.
pub(crate) fn build(file: File) -> Result<Plan, Problem> {
    if file.container.0.is_empty() {
        let problem = Problem::of_the_whole("no container");
        return Err(problem.help("add one: [[container]] with id = \"web\" and ports = [\"31000-31499\"]"));
    }
    let mut warnings = Vec::new();
    let link = link(file.link.as_ref(), &mut warnings)?;
    check_shape_alone(&file.defaults)?;
    let containers = file
        .container
        .0
        .iter()
        .map(|container| build_container(container, &file.defaults, &mut warnings))
        .collect::<Result<Vec<_>, _>>()?;
    let owners = owners(&containers, &file.container.0)?;
    let queue = queue(&file.defaults.queue, &file::Queue::default(), "defaults", &mut warnings)?;
    let unmatched = LaneParams { limiter: Limiter::None, queue };
    let wire = file.wire.map(wire).transpose()?;
    warn_of_foreign_addresses(&file.host, &file.defaults, &file.container.0, &mut warnings);
    if wire.is_some() {
        warn_of_long_queues(&containers, &unmatched, &mut warnings);
    }
    Ok(Plan {
        link,
        host_addresses: file.host.addresses.0.into_iter().map(|Text(address)| address).collect(),
        unmatched,
        containers,
        owners,
        wire,
        listen: file.http.listen.0,
        socket: socket(file.control.socket)?,
        warnings,
    })
}

fn build_container(
    written: &file::Container,
    defaults: &file::Shape,
    warnings: &mut Vec<String>,
) -> Result<Container, Problem> {
    let id = check_id(&written.id)?;
    let queue = queue(&written.queue, &defaults.queue, id, warnings)?;
    let mut lane = |direction: Direction, own: &file::Direction, default: &file::Direction| {
        let who = format!("{id} {direction}");
        let limited = limiter(own, default, &who, warnings)?;
        let limit_bytes = limited.limit_bytes;
        Ok::<_, Problem>(LaneParams { limiter: limited.limiter, queue: QueueParams { limit_bytes, ..queue.clone() } })
    };
    let lanes = [
        lane(Direction::Ingress, &written.ingress, &defaults.ingress)?,
        lane(Direction::Egress, &written.egress, &defaults.egress)?,
    ];
    let addresses = written.addresses.as_ref().or(defaults.addresses.as_ref());
    Ok(Container {
        id: id.to_owned(),
        ports: written.ports.get_ref().0.iter().map(|range| range.get_ref().0).collect(),
        addresses: addresses.into_iter().flat_map(|list| &list.0).map(|&Text(address)| address).collect(),
        lanes,
    })
}

/// Where the host's addresses tell directions apart, no packet to or from another address is a container's.
fn warn_of_foreign_addresses(
    host: &file::Host,
    defaults: &file::Shape,
    containers: &[file::Container],
    warnings: &mut Vec<String>,
) {
    if host.addresses.0.is_empty() {
        return;
    }
    let own = containers.iter().map(|container| (container.id.get_ref().as_str(), &container.addresses));
    for (who, addresses) in [("defaults", &defaults.addresses)].into_iter().chain(own) {
        let foreign = addresses.iter().flat_map(|list| &list.0).filter(|address| !host.addresses.0.contains(address));
        warnings.extend(foreign.map(|Text(address)| {
            format!(
                "{who}: {address} is not one of [host] addresses; where those tell the direction, as in a replay, \
                 its traffic is unmatched"
            )
        }));
    }
}

/// What may wait live is bounded by the frames that there are.
fn warn_of_long_queues(containers: &[Container], unmatched: &LanePlan, warnings: &mut Vec<String>) {
    let lanes = containers.iter().flat_map(|container| &container.lanes).chain([unmatched; Direction::ALL.len()]);
    let limits: u64 = lanes.map(|lane| u64::from(lane.queue.limit)).sum();
    if limits > LIVE_PACKETS {
        warnings.push(format!(
            "the limits of all queues add up to {limits} packets, and live at least {LIVE_PACKETS} can wait; when more \
             do, the longest queue may lose its oldest (no_frame): lower the limits of queues"
        ));
    }
}

fn check_id(id: &Spanned<String>) -> Result<&str, Problem> {
    let name = id.get_ref().as_str();
    let wrong = if name.is_empty() {
        "a container's id is empty"
    } else if name.chars().any(char::is_control) {
        "a container's id has a control character"
    } else if name == "unmatched" {
        "\"unmatched\" is the lane of traffic that no container owns"
    } else {
        return Ok(name);
    };
    Err(Problem::at(id.span(), wrong).help("give the container a name of its own, as in id = \"web\""))
}

/// The table of ports; what is wrong is shown at the container that came later.
fn owners(containers: &[Container], written: &[file::Container]) -> Result<Table<u32>, Problem> {
    let rules: Vec<_> = (0..)
        .zip(containers)
        .map(|(owner, container)| Rule {
            name: container.id.clone(),
            addresses: container.addresses.clone(),
            ports: container.ports.clone(),
            owner,
        })
        .collect();
    let nobody = u32::try_from(rules.len()).map_err(|_| Problem::of_the_whole("more than 2^32 containers"))?;
    Table::build(nobody, &rules).map_err(|error| {
        let place = match &error {
            RuleError::DuplicateName { name, .. } => last_named(written, name).map(|found| found.id.span()),
            RuleError::NoPorts { name } | RuleError::OverlapWithin { name, .. } => {
                last_named(written, name).map(|found| found.ports.span())
            }
            RuleError::Overlap { second, .. } => last_named(written, second).map(|found| found.ports.span()),
        };
        Problem { title: error.to_string(), span: place, help: None }
    })
}

fn last_named<'a>(written: &'a [file::Container], name: &str) -> Option<&'a file::Container> {
    written.iter().rfind(|container| container.id.get_ref() == name)
}

fn wire(written: file::Wire) -> Result<Wire, Problem> {
    for side in [&written.network, &written.container] {
        let name = side.get_ref();
        if name.is_empty() || name.len() > MAX_INTERFACE_NAME || name.contains(['/', '\0', ' ']) {
            let problem = Problem::at(side.span(), format!("{name:?} is no name of an interface"));
            return Err(problem.help("`ip link` lists them"));
        }
    }
    if written.network.get_ref() == written.container.get_ref() {
        let problem = Problem::at(written.container.span(), "both sides of the wire are the same interface");
        return Err(problem.help("name the interface that the containers are behind"));
    }
    Ok(Wire { network: written.network.into_inner(), container: written.container.into_inner() })
}

fn socket(written: Spanned<PathBuf>) -> Result<PathBuf, Problem> {
    let len = written.get_ref().as_os_str().len();
    if (1..=MAX_SOCKET_PATH).contains(&len) {
        return Ok(written.into_inner());
    }
    let problem =
        Problem::at(written.span(), format!("a socket's path has 1 to {MAX_SOCKET_PATH} bytes, this has {len}"));
    Err(problem.help(format!("leave it out for {DEFAULT_SOCKET}")))
}
