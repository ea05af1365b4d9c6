//! Who owns which ports, and what is refused.

use std::net::IpAddr;

use thiserror::Error;

use crate::PortRange;

/// One owner's claim: these ports, on these addresses.
///
/// It covers every protocol that has ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule<V> {
    /// The container's name, for errors.
    pub name: String,
    /// The host addresses on which the ports are owned; empty: on every address.
    pub addresses: Vec<IpAddr>,
    /// The owned ports.
    pub ports: Vec<PortRange>,
    /// What a lookup of these ports returns.
    pub owner: V,
}

/// Why a set of rules is refused. The messages are meant for whoever wrote the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RuleError {
    /// Two containers have the same name.
    #[error(
        "two containers are named {name:?}, one with ports {first_ports} and one with ports {second_ports}: give each a name of its own"
    )]
    DuplicateName {
        /// The name.
        name: String,
        /// The ports of the one named first.
        first_ports: String,
        /// The ports of the one named second.
        second_ports: String,
    },
    /// A container without ports would own nothing.
    #[error("container {name:?} has no ports: give it at least one, as in ports = [\"8080\"]")]
    NoPorts {
        /// Its name.
        name: String,
    },
    /// Two containers own the same port of the same address.
    #[error(
        "containers {first:?} and {second:?} both own {}{} ({first_range} of {first:?}, {second_range} of {second:?}): give each port to one container",
        ports(*shared), on_address(*address)
    )]
    Overlap {
        /// The container that comes first in the rules.
        first: String,
        /// Its range.
        first_range: PortRange,
        /// The other container.
        second: String,
        /// Its range.
        second_range: PortRange,
        /// The ports that both ranges contain.
        shared: PortRange,
        /// The address on which they meet; `None` if on every address.
        address: Option<IpAddr>,
    },
    /// Two ranges of one container share ports.
    #[error("container {name:?} owns {} twice ({first} and {second}): name each port once", ports(*shared))]
    OverlapWithin {
        /// The container.
        name: String,
        /// The range named first.
        first: PortRange,
        /// The range named second.
        second: PortRange,
        /// The ports that both ranges contain.
        shared: PortRange,
    },
}

fn ports(range: PortRange) -> String {
    if range.first() == range.last() { format!("port {range}") } else { format!("ports {range}") }
}

fn on_address(address: Option<IpAddr>) -> String {
    address.map(|address| format!(" on {address}")).unwrap_or_default()
}
