//! What is true: the checked configuration, with units and without spans.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use portlane_classify::{Direction, PortRange, Rule, RuleError, Table};
use portlane_flows::Inventory;
use portlane_shaper::{GroupId, GroupParams, LaneParams, LinkParams, QueueParams, TreeParams};
use portlane_stats::snapshot::Identity;
use portlane_stats::window::Sampling;
use toml::Spanned;

use super::added::{Added, added};
use super::advice;
use super::error::Problem;
use super::file::{self, File};
use super::flows;
use super::groups::{Names, groups};
use super::interfaces::{Nic, Wire, nic, wire};
use super::inventory::inventory;
use super::limiter::{self, check_default, framing, share};
use super::meters::meters;
use super::mode::Mode;
use super::namespaces::{self, Places};
use super::netstat;
use super::node;
use super::queue::queue;
use super::rates::rates;
use super::running::{Running, drain, io};
use super::values::Text;
use super::workers::{Worker, workers};
use crate::flows::Settings as FlowSettings;
use crate::meters::Settings;

/// Where a running portlane listens for control, if the configuration does not say.
pub const DEFAULT_SOCKET: &str = "/run/portlane/control.sock";

/// The longest path of a socket (`sun_path` of unix(7) with its final zero).
const MAX_SOCKET_PATH: usize = 107;

/// A tree has at most this many lanes, one of which is nobody's, and as many groups.
const MAX_NODES: usize = 1 << 20;

/// A checked configuration. What two of them have in common they share: it is the same without a look at what it says.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Whether limits hold for what no container owns, and for containers that do not say.
    pub mode: Mode,
    /// The link, each direction on its own.
    pub link: LinkPlan,
    /// Addresses of the containers' host; may be empty.
    pub host_addresses: Vec<IpAddr>,
    /// All groups, as written: a [`GroupId`] is a position in this list.
    pub groups: Arc<[Group]>,
    /// All containers, as written.
    pub containers: Vec<Arc<Container>>,
    /// The lane of traffic that no container owns, in both directions.
    pub unmatched: LanePlan,
    /// Owner of each port: a container's position, or the number of containers for nobody's.
    pub owners: Arc<Table<u32>>,
    /// The interfaces to join, for live traffic that is taken whole.
    pub wire: Option<Wire>,
    /// The interface that host and containers share, for live traffic of containers alone. Not beside `wire`.
    pub nic: Option<Nic>,
    /// The workers that serve them; none: as many as there are queues and cores for.
    pub workers: Vec<Worker>,
    /// How a live portlane behaves.
    pub running: Running,
    /// Where numbers are served.
    pub listen: SocketAddr,
    /// The window that each lane's rates are followed in, if percentiles of them are wanted.
    pub rates: Option<Sampling>,
    /// Where a running portlane is controlled.
    pub socket: PathBuf,
    /// Containers that are added at run time.
    pub added: Added,
    /// What is counted by prefixes.
    pub meters: Arc<Settings>,
    /// What flow metrics know of addresses.
    pub inventory: Arc<Inventory>,
    /// Connections that are remembered where TCP's counters are told from frames, if they are.
    pub netstat: Option<usize>,
    /// Whether the kernel's counters are read in the network namespaces of containers that are not attached.
    pub reads_namespaces: bool,
    /// How flows are observed, if they are.
    pub flows: Option<Arc<FlowSettings>>,
    /// What is allowed but probably not meant.
    pub warnings: Vec<String>,
}

/// The link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkPlan {
    /// What it is to be, by [`Direction::index`]: the same in both.
    pub params: [LinkParams; 2],
}

/// An inner node of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub id: String,
    /// The group that it is in; `None`: directly under the link.
    pub group: Option<GroupId>,
    /// What it is to be, by [`Direction::index`].
    pub params: [GroupParams; 2],
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub id: String,
    /// The group that it is in; `None`: directly under the link.
    pub group: Option<GroupId>,
    /// The ports it owns.
    pub ports: Vec<PortRange>,
    /// The addresses on which it owns them; empty: all.
    pub addresses: Vec<IpAddr>,
    /// Whether its limits hold.
    pub mode: Mode,
    /// Its network namespace, if it has an interface of its own there.
    pub netns: Option<PathBuf>,
    /// What Mesos calls it.
    pub mesos: Identity,
    /// Its lanes, by [`Direction::index`].
    pub lanes: [LanePlan; 2],
}

/// What a lane is to be.
pub type LanePlan = LaneParams;

impl Container {
    /// Its block of the pool that `auto:N` takes from, if it has one.
    #[must_use]
    pub fn block(&self, pool: Option<PortRange>) -> Option<PortRange> {
        let pool = pool?;
        self.ports.iter().copied().find(|range| pool.shared_with(*range).is_some())
    }
}

impl Plan {
    /// The interfaces for live traffic: the network's, and the containers'.
    #[must_use]
    pub fn sides(&self) -> Option<[&str; 2]> {
        match (&self.wire, &self.nic) {
            (Some(wire), _) => Some([&wire.network, &wire.container]),
            (None, Some(nic)) => Some([&nic.interface, &nic.container]),
            (None, None) => None,
        }
    }

    /// The tree of one direction: the lanes are those of the containers, in order, and then that of what nobody owns.
    #[must_use]
    pub fn tree(&self, direction: Direction) -> TreeParams {
        let index = direction.index();
        let lanes = self.containers.iter().map(|container| &container.lanes[index]).chain([&self.unmatched]);
        TreeParams {
            link: self.link.params[index],
            groups: self.groups.iter().map(|group| group.params[index]).collect(),
            lanes: lanes.cloned().collect(),
        }
    }
}

/// Checks what was written, each part of it. What there is to say of the whole is not among the warnings: see [`with`].
pub(crate) fn build(file: File) -> Result<Plan, Problem> {
    if file.container.0.is_empty() {
        let problem = Problem::of_the_whole("no container");
        return Err(problem.help("add one: [[container]] with id = \"web\" and ports = [\"31000-31499\"]"));
    }
    check_size(file.container.0.len().max(file.group.0.len()))?;
    let mut warnings = Vec::new();
    let link = link(file.link.as_ref(), &mut warnings)?;
    let names = Names::of(&file.group.0)?;
    let groups = groups(&file.group.0, &names, &mut warnings)?;
    let defaults = &file.defaults;
    check_default(&defaults.ingress)?;
    check_default(&defaults.egress)?;
    let containers =
        file.container.0.iter().map(|written| container(written, file.mode, defaults, &names, &mut warnings));
    let containers = containers.map(|one| one.map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
    let owners = owners(&containers).map_err(|error| located(&error, &file.container.0))?;
    let added = added(&file.control, &containers)?;
    let queue = queue(&defaults.queue, &node::Queue::default(), "defaults", &mut warnings)?;
    let host = &file.host.addresses.0;
    advice::of_foreign_addresses(host, "defaults", defaults.addresses.as_ref(), &mut warnings);
    for container in &file.container.0 {
        advice::of_foreign_addresses(host, container.id.get_ref(), container.addresses.as_ref(), &mut warnings);
    }
    let wire = file.wire.map(wire).transpose()?;
    let running = Running {
        io: io(file.io.as_ref(), file.nic.as_ref())?,
        idle: file.idle,
        interface_down: file.interface_down,
        drain: drain(file.drain.as_ref())?,
        offloads: file.offloads,
        checksums: file.checksums,
    };
    let nic = file.nic.map(|written| nic(written, wire.as_ref())).transpose()?;
    let reads_namespaces = netstat::reads(file.netstat.as_ref());
    let places = Places::of(nic.as_ref(), reads_namespaces);
    namespaces::check(&containers, containers.len(), places).map_err(|wrong| wrong.at(&file.container.0))?;
    let workers = workers(&file.worker.0, wire.as_ref(), nic.as_ref())?;
    Ok(Plan {
        mode: file.mode,
        link,
        groups: groups.into(),
        unmatched: LaneParams { queue, ..LaneParams::default() },
        containers,
        owners: Arc::new(owners),
        netstat: netstat::connections(file.netstat.as_ref()),
        reads_namespaces,
        flows: flows::flows(file.flows, &workers)?.map(Arc::new),
        workers,
        nic,
        wire,
        running,
        host_addresses: file.host.addresses.0.into_iter().map(|Text(address)| address).collect(),
        rates: rates(&file.http)?,
        listen: file.http.listen.0,
        meters: Arc::new(meters(file.meters, &added.state)?),
        inventory: Arc::new(inventory(&file.network.0, &file.acl.0)?),
        added,
        socket: socket(file.control.socket)?,
        warnings,
    })
}

/// The plan of a file with containers behind its own, and what there is to say of the whole.
///
/// # Errors
///
/// A port has two owners, or a name, or a network namespace.
pub(crate) fn with(own: &Plan, added: &[Arc<Container>]) -> Result<Plan, Problem> {
    let containers: Vec<_> = own.containers.iter().chain(added).cloned().collect();
    check_size(containers.len())?;
    let places = Places::of(own.nic.as_ref(), own.reads_namespaces);
    namespaces::check(&containers, own.containers.len(), places).map_err(namespaces::Wrong::of_added)?;
    let owners = if added.is_empty() {
        Arc::clone(&own.owners)
    } else {
        let refused = |error: RuleError| Problem::of_the_whole(error.to_string());
        Arc::new(owners(&containers).map_err(refused)?)
    };
    let mut plan = Plan { containers, owners, ..own.clone() };
    let mut warnings = std::mem::take(&mut plan.warnings);
    advice::of_over_subscription(&plan, &mut warnings);
    if plan.wire.is_some() || plan.nic.is_some() {
        advice::of_long_queues(&plan, &mut warnings);
    }
    plan.warnings = warnings;
    Ok(plan)
}

/// Checks a container that is to be behind those of a file.
pub(crate) fn added_container(
    file: &File,
    written: &file::Container,
    warnings: &mut Vec<String>,
) -> Result<Container, Problem> {
    let id = written.id.get_ref();
    advice::of_foreign_addresses(&file.host.addresses.0, id, written.addresses.as_ref(), warnings);
    container(written, file.mode, &file.defaults, &Names::of(&file.group.0)?, warnings)
}

fn check_size(nodes: usize) -> Result<(), Problem> {
    if nodes < MAX_NODES {
        return Ok(());
    }
    Err(Problem::of_the_whole(format!("{MAX_NODES} containers or groups, or more")))
}

fn link(written: Option<&node::Direction>, warnings: &mut Vec<String>) -> Result<LinkPlan, Problem> {
    let params = written.map(|written| limiter::link(written, warnings)).transpose()?.unwrap_or_default();
    Ok(LinkPlan { params: [params; 2] })
}

fn container(
    written: &file::Container,
    mode: Mode,
    defaults: &file::Shape,
    names: &Names,
    warnings: &mut Vec<String>,
) -> Result<Container, Problem> {
    let id = names.check_container(&written.id)?;
    let group = written.group.as_ref().or(defaults.group.as_ref()).map_or(Ok(None), |name| names.find(name))?;
    let queue = queue(&written.queue, &defaults.queue, id, warnings)?;
    let mut lane = |direction: Direction, own: &node::Direction, default: &node::Direction| {
        let limited = limiter::lane(own, default, &format!("{id} {direction}"), warnings)?;
        let merged = own.over(default);
        let queue = QueueParams { limit_bytes: limited.limit_bytes, ..queue.clone() };
        let (framing, share) = (framing(&merged), share(&merged));
        Ok::<_, Problem>(LaneParams { group, limiter: limited.limiter, framing, share, queue })
    };
    let lanes = [
        lane(Direction::Ingress, &written.ingress, &defaults.ingress)?,
        lane(Direction::Egress, &written.egress, &defaults.egress)?,
    ];
    let addresses = written.addresses.as_ref().or(defaults.addresses.as_ref());
    Ok(Container {
        id: id.to_owned(),
        group,
        ports: written.ports.get_ref().0.iter().map(|range| range.get_ref().0).collect(),
        addresses: addresses.into_iter().flat_map(|list| &list.0).map(|&Text(address)| address).collect(),
        mode: written.mode.unwrap_or(mode),
        netns: written.netns.as_ref().map(|path| path.get_ref().clone()),
        mesos: written.mesos.clone(),
        lanes,
    })
}

/// The table of ports.
fn owners(containers: &[Arc<Container>]) -> Result<Table<u32>, RuleError> {
    let rules: Vec<_> = (0..)
        .zip(containers)
        .map(|(owner, container)| Rule {
            name: container.id.clone(),
            addresses: container.addresses.clone(),
            ports: container.ports.clone(),
            owner,
        })
        .collect();
    let nobody = u32::try_from(rules.len()).expect("a tree has fewer lanes than 2^32");
    Table::build(nobody, &rules)
}

/// What is wrong is shown at the container that came later.
fn located(error: &RuleError, written: &[file::Container]) -> Problem {
    let place = match error {
        RuleError::DuplicateName { name, .. } => last_named(written, name).map(|found| found.id.span()),
        RuleError::NoPorts { name } | RuleError::OverlapWithin { name, .. } => {
            last_named(written, name).map(|found| found.ports.span())
        }
        RuleError::Overlap { second, .. } => last_named(written, second).map(|found| found.ports.span()),
    };
    Problem { title: error.to_string(), span: place, help: None }
}

fn last_named<'a>(written: &'a [file::Container], name: &str) -> Option<&'a file::Container> {
    written.iter().rfind(|container| container.id.get_ref() == name)
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
