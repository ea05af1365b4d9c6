//! What was written: the shape of the TOML, with the place of each value. Reading a key of a later version is refused,
//! so such a field is never filled.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use portlane_classify::PortRange;
use portlane_shaper::{Nanos, Size};
use serde::Deserialize;
use toml::Spanned;

use super::error::Problem;
use super::later;
use super::values::{Limit, List, Listed, Packets, Text};

/// A written value and where it stands.
pub(crate) type Value<T> = Option<Spanned<Text<T>>>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) link: Option<Spanned<Direction>>,
    #[serde(default)]
    pub(crate) host: Host,
    #[serde(default)]
    pub(crate) defaults: Shape,
    #[serde(default)]
    pub(crate) container: List<Container>,
    pub(crate) wire: Option<Wire>,
    #[serde(default)]
    pub(crate) http: Http,
    #[serde(default)]
    pub(crate) control: Control,
    #[expect(dead_code, reason = "refused")]
    group: Option<later::GroupTable>,
    #[expect(dead_code, reason = "refused")]
    nic: Option<later::NicTable>,
    #[expect(dead_code, reason = "refused")]
    worker: Option<later::WorkerTable>,
    #[expect(dead_code, reason = "refused")]
    flows: Option<later::FlowsTable>,
    #[expect(dead_code, reason = "refused")]
    meters: Option<later::MetersTable>,
}

#[derive(Debug, Default, Deserialize)]
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
    #[expect(dead_code, reason = "refused")]
    group: Option<later::Group>,
}

#[derive(Debug, Deserialize)]
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
    #[expect(dead_code, reason = "refused")]
    group: Option<later::Group>,
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

/// The keys of a direction of a node.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Direction {
    pub(crate) kind: Option<Spanned<LimiterKind>>,
    pub(crate) rate: Value<Limit>,
    pub(crate) burst: Value<Size>,
    pub(crate) peakrate: Value<Limit>,
    pub(crate) mtu: Value<Size>,
    pub(crate) limit: Value<Size>,
    pub(crate) latency: Value<Nanos>,
    #[expect(dead_code, reason = "refused")]
    ceil: Option<later::Ceil>,
    #[expect(dead_code, reason = "refused")]
    cburst: Option<later::Cburst>,
    #[expect(dead_code, reason = "refused")]
    priority: Option<later::Priority>,
    #[expect(dead_code, reason = "refused")]
    weight: Option<later::Weight>,
    #[expect(dead_code, reason = "refused")]
    quantum: Option<later::Quantum>,
    #[expect(dead_code, reason = "refused")]
    overhead: Option<later::Overhead>,
    #[expect(dead_code, reason = "refused")]
    mpu: Option<later::Mpu>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LimiterKind {
    Htb,
    Tbf,
}

/// The keys of a queue.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Queue {
    pub(crate) kind: Option<Spanned<QueueKind>>,
    pub(crate) limit: Option<Spanned<Packets>>,
    pub(crate) target: Value<Nanos>,
    pub(crate) interval: Value<Nanos>,
    pub(crate) ecn: Option<Spanned<bool>>,
    #[expect(dead_code, reason = "refused")]
    flows: Option<later::Flows>,
    #[expect(dead_code, reason = "refused")]
    quantum: Option<later::Quantum>,
    #[expect(dead_code, reason = "refused")]
    memory_limit: Option<later::MemoryLimit>,
    #[expect(dead_code, reason = "refused")]
    drop_batch: Option<later::DropBatch>,
    #[expect(dead_code, reason = "refused")]
    ce_threshold: Option<later::CeThreshold>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum QueueKind {
    Fifo,
    Codel,
    FqCodel,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wire {
    pub(crate) network: Spanned<String>,
    pub(crate) container: Spanned<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Http {
    #[serde(default = "default_listen")]
    pub(crate) listen: Text<SocketAddr>,
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: default_listen() }
    }
}

fn default_listen() -> Text<SocketAddr> {
    Text(SocketAddr::from(([127, 0, 0, 1], 9_660)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Control {
    #[serde(default = "default_socket")]
    pub(crate) socket: Spanned<PathBuf>,
}

impl Default for Control {
    fn default() -> Self {
        Self { socket: default_socket() }
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

impl Direction {
    /// The kind as written, or HTB.
    pub(crate) fn limiter_kind(&self) -> LimiterKind {
        self.kind.as_ref().map_or(LimiterKind::Htb, |kind| *kind.get_ref())
    }

    /// These keys, and the default's where one is not given: a limiter does not inherit keys that another kind of
    /// limiter has, nor a second bound of its queue.
    pub(crate) fn over(&self, default: &Self) -> Self {
        let or = |own: &Value<Limit>, default: &Value<Limit>| own.clone().or_else(|| default.clone());
        let size = |own: &Value<Size>, default: &Value<Size>| own.clone().or_else(|| default.clone());
        let merged = Self {
            kind: self.kind.clone().or_else(|| default.kind.clone()),
            rate: or(&self.rate, &default.rate),
            burst: size(&self.burst, &default.burst),
            ..self.clone()
        };
        if merged.limiter_kind() != LimiterKind::Tbf {
            return merged;
        }
        let bounded = self.limit.is_some() || self.latency.is_some();
        let bound = if bounded { self } else { default };
        Self {
            peakrate: or(&self.peakrate, &default.peakrate),
            mtu: size(&self.mtu, &default.mtu),
            limit: bound.limit.clone(),
            latency: bound.latency.clone(),
            ..merged
        }
    }
}

impl Queue {
    /// These keys, and the default's where one is not given.
    pub(crate) fn over(&self, default: &Self) -> Self {
        Self {
            kind: self.kind.clone().or_else(|| default.kind.clone()),
            limit: self.limit.clone().or_else(|| default.limit.clone()),
            target: self.target.clone().or_else(|| default.target.clone()),
            interval: self.interval.clone().or_else(|| default.interval.clone()),
            ecn: self.ecn.clone().or_else(|| default.ecn.clone()),
            ..Self::default()
        }
    }
}
