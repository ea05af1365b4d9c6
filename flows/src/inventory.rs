//! What somebody has said of addresses: the networks that they are in, and the groups that flows are counted in.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;
use portlane_classify::PortRange;

use crate::digest::Endpoint;
use crate::record::FlowId;

/// Of addresses that are nobody's: `FlowMetrics` takes them for the Internet's.
const INTERNET: i32 = -2;

/// Of addresses that are somebody's, though nobody has said whose.
const OTHER: i32 = -1;

/// Where an address is, in numbers of whoever made the inventory. 0 is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The region.
    pub region: u32,
    /// The availability zone.
    pub az: u32,
    /// The virtual private cloud; -1 where that is not known, and -2 of what is in no network.
    pub epc: i32,
    /// The subnet.
    pub subnet: u32,
    /// The host.
    pub host: u32,
}

/// Networks by their prefixes. Of several that an address is in, the one with the longest prefix counts.
#[derive(Clone, Debug, Default)]
pub struct Networks {
    places: HashMap<IpNet, Place>,
    /// Lengths of prefixes, those of IPv4 and of IPv6.
    lengths: [BTreeSet<u8>; 2],
}

impl Networks {
    /// Adds a network, or changes what is said of it. An [`epc`](Place::epc) of 0 says that it is not known.
    pub fn insert(&mut self, prefix: IpNet, place: Place) {
        let epc = if place.epc == 0 { OTHER } else { place.epc };
        self.lengths[usize::from(prefix.addr().is_ipv6())].insert(prefix.prefix_len());
        self.places.insert(prefix.trunc(), Place { epc, ..place });
    }

    /// Whether nothing is said of any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// All of them, in the order of their prefixes.
    pub fn iter(&self) -> impl Iterator<Item = (IpNet, Place)> {
        let all: BTreeMap<_, _> = self.places.iter().map(|(&prefix, &place)| (prefix, place)).collect();
        all.into_iter()
    }

    /// What is said of an address.
    #[must_use]
    pub fn get(&self, address: IpAddr) -> Option<&Place> {
        let lengths = self.lengths[usize::from(address.is_ipv6())].iter().rev();
        let prefix = |&length: &u8| IpNet::new(address, length).ok().map(|net| net.trunc());
        lengths.filter_map(prefix).find_map(|prefix| self.places.get(&prefix))
    }

    /// Where an end is: what is in no network and nobody's here is on the Internet.
    #[must_use]
    pub fn place(&self, end: &Endpoint) -> Place {
        let elsewhere = if end.owner.is_some() { OTHER } else { INTERNET };
        self.get(end.address).copied().unwrap_or(Place { epc: elsewhere, ..Place::default() })
    }

    /// Whether an end is somebody's here, or in a network.
    #[must_use]
    pub fn is_inside(&self, end: &Endpoint) -> bool {
        end.owner.is_some() || self.get(end.address).is_some()
    }
}

/// A rule that says which flows are counted in a group: those that match all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    /// The group's number; several rules may have the same.
    pub group: u32,
    /// The IP protocol; `None`: any.
    pub protocol: Option<u8>,
    /// The client's address is in one of these; none: any.
    pub clients: Vec<IpNet>,
    /// The server's address is in one of these; none: any.
    pub servers: Vec<IpNet>,
    /// The server's port is one of these; none: any. What has no port matches none of them.
    pub server_ports: Vec<PortRange>,
}

impl Acl {
    /// Whether a flow is meant.
    #[must_use]
    pub fn matches(&self, flow: &FlowId) -> bool {
        let within = |prefixes: &[IpNet], end: &Endpoint| {
            prefixes.is_empty() || prefixes.iter().any(|prefix| prefix.contains(&end.address))
        };
        let port = || self.server_ports.is_empty() || self.server_ports.iter().any(|p| p.contains(flow.server.port));
        self.protocol.is_none_or(|protocol| protocol == flow.protocol)
            && port()
            && within(&self.clients, &flow.client)
            && within(&self.servers, &flow.server)
    }
}

/// What somebody has said.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// Where addresses are.
    pub networks: Networks,
    /// Which flows are counted in which group.
    pub acls: Vec<Acl>,
}

impl Inventory {
    /// The groups that a flow is counted in, each once.
    #[must_use]
    pub fn groups(&self, flow: &FlowId) -> BTreeSet<u32> {
        self.acls.iter().filter(|acl| acl.matches(flow)).map(|acl| acl.group).collect()
    }
}
