//! What was written: the shape of the TOML, with the place of each value. Reading a table of a later version is refused,
//! so such a field is never filled.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use portlane_classify::PortRange;
use portlane_shaper::Nanos;
use portlane_stats::snapshot::Identity;
use serde::Deserialize;
use toml::Spanned;

use super::bounded::{Core, Number};
use super::error::Problem;
use super::flows;
use super::interfaces::{Containers, Queues};
use super::inventory::{WrittenAcl, WrittenNetwork};
use super::meters;
use super::mode::Mode;
use super::netstat;
use super::node::{Direction, Queue};
use super::running::{Checksums, Idle, InterfaceDown, Io, Switching};
use super::values::{List, Listed, Text};
use super::workers::QueueName;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    #[serde(default)]
    pub(crate) mode: Mode,
    pub(crate) io: Option<Spanned<Io>>,
    #[serde(default)]
    pub(crate) idle: Idle,
    #[serde(default)]
    pub(crate) interface_down: InterfaceDown,
    pub(crate) drain: Option<Spanned<Text<Nanos>>>,
    #[serde(default)]
    pub(crate) offloads: Switching,
    #[serde(default)]
    pub(crate) checksums: Checksums,
    pub(crate) link: Option<Direction>,
    #[serde(default)]
    pub(crate) host: Host,
    #[serde(default)]
    pub(crate) defaults: Shape,
    #[serde(default)]
    pub(crate) group: List<Group>,
    #[serde(default)]
    pub(crate) container: List<Container>,
    pub(crate) wire: Option<Wire>,
    pub(crate) nic: Option<Nic>,
    #[serde(default)]
    pub(crate) http: Http,
    #[serde(default)]
    pub(crate) control: Control,
    #[serde(default)]
    pub(crate) worker: List<Worker>,
    pub(crate) flows: Option<flows::Written>,
    pub(crate) meters: Option<meters::Written>,
    pub(crate) netstat: Option<netstat::Written>,
    #[serde(default)]
    pub(crate) network: List<WrittenNetwork>,
    #[serde(default)]
    pub(crate) acl: List<WrittenAcl>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Host {
    #[serde(default)]
    pub(crate) addresses: List<Text<IpAddr>>,
}

/// The keys that `[defaults]` and a container share.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shape {
    #[serde(default)]
    pub(crate) ingress: Direction,
    #[serde(default)]
    pub(crate) egress: Direction,
    #[serde(default)]
    pub(crate) queue: Queue,
    pub(crate) addresses: Option<List<Text<IpAddr>>>,
    pub(crate) group: Option<Spanned<String>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Container {
    pub(crate) id: Spanned<String>,
    pub(crate) ports: Spanned<List<Spanned<Text<PortRange>>>>,
    pub(crate) addresses: Option<List<Text<IpAddr>>>,
    #[serde(default)]
    pub(crate) ingress: Direction,
    #[serde(default)]
    pub(crate) egress: Direction,
    #[serde(default)]
    pub(crate) queue: Queue,
    pub(crate) group: Option<Spanned<String>>,
    pub(crate) mode: Option<Mode>,
    pub(crate) netns: Option<Spanned<PathBuf>>,
    #[serde(default)]
    pub(crate) mesos: Identity,
}

/// An inner node of the tree.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    pub(crate) id: Spanned<String>,
    pub(crate) group: Option<Spanned<String>>,
    #[serde(default)]
    pub(crate) ingress: Direction,
    #[serde(default)]
    pub(crate) egress: Direction,
}

impl Listed for Group {
    const EXPECTED: &'static str = "groups in double brackets: [[group]]";
}

impl Listed for Container {
    const EXPECTED: &'static str = "containers in double brackets: [[container]]";
}

impl Listed for Spanned<Text<PortRange>> {
    const EXPECTED: &'static str = "a list of ports, as in [\"8080\", \"31000-31499\"]";
}

impl Listed for Text<IpAddr> {
    const EXPECTED: &'static str = "a list of IP addresses, as in [\"10.0.0.1\"]";
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wire {
    pub(crate) network: Spanned<String>,
    pub(crate) container: Spanned<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nic {
    pub(crate) interface: Spanned<String>,
    pub(crate) queues: Option<Spanned<Queues>>,
    pub(crate) container: Option<Spanned<String>>,
    pub(crate) containers: Option<Spanned<Containers>>,
    pub(crate) loopback: Option<Spanned<bool>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Worker {
    pub(crate) core: Spanned<Number<Core>>,
    pub(crate) queues: Spanned<List<Spanned<Text<QueueName>>>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Http {
    #[serde(default = "default_listen")]
    pub(crate) listen: Text<SocketAddr>,
    pub(crate) rate_window: Option<Spanned<Text<Nanos>>>,
    pub(crate) rate_interval: Option<Spanned<Text<Nanos>>>,
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: default_listen(), rate_window: None, rate_interval: None }
    }
}

fn default_listen() -> Text<SocketAddr> {
    Text(SocketAddr::from(([127, 0, 0, 1], 9_660)))
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Control {
    #[serde(default = "default_socket")]
    pub(crate) socket: Spanned<PathBuf>,
    pub(crate) state: Option<Spanned<PathBuf>>,
    pub(crate) ephemeral_ports: Option<Spanned<Text<PortRange>>>,
    pub(crate) ports_rest: Option<Spanned<Text<Nanos>>>,
}

impl Default for Control {
    fn default() -> Self {
        Self { socket: default_socket(), state: None, ephemeral_ports: None, ports_rest: None }
    }
}

fn default_socket() -> Spanned<PathBuf> {
    Spanned::new(0..0, PathBuf::from(super::plan::DEFAULT_SOCKET))
}

impl File {
    /// Reads the text; what a later version will understand is refused on the way.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        toml::from_str(text).map_err(Problem::from)
    }
}
