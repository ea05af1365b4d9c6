//! What containers take over from the interface that they share with the host.

use std::fmt;
use std::io;
use std::net::IpAddr;

use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressProtocol, AddressScope,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::libc::ENODEV;
use portlane_rings::Interface;

use super::error::AttachError;
use super::netlink::Netlink;
use super::paths::LOOPBACK;

/// An interface of the host, as containers have it too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Uplink {
    pub(super) hardware: [u8; 6],
    pub(super) mtu: u32,
    pub(super) addresses: Vec<Address>,
    /// Those that nothing new is to begin from: a container that has them keeps them.
    deprecated: Vec<IpAddr>,
    /// Of the link alone: a container has such by itself.
    link_addresses: Vec<IpAddr>,
    pub(super) routes: Vec<DefaultRoute>,
}

/// An address, and how much of it all on the link have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) address: IpAddr,
    prefix: u8,
    is_deprecated: bool,
    /// Given by portlane.
    is_given: bool,
}

/// Who gave an address (`IFA_PROTO`, Linux 5.18): those below 4 are the kernel's, the others for whoever wants one.
const GIVEN: AddressProtocol = AddressProtocol::Other(b'p');

/// The way to everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DefaultRoute {
    pub(super) is_ipv4: bool,
    gateway: Option<IpAddr>,
    is_on_link: bool,
    priority: Option<u32>,
}

impl Uplink {
    /// Of the interface called `name` in the calling thread's network namespace, which `host` asks about.
    pub(super) fn of(host: &mut Netlink, name: &str) -> Result<Self, AttachError> {
        let interface = Interface::query(name).map_err(|cause| match cause.raw_os_error() {
            Some(ENODEV) => AttachError::NoUplink { uplink: name.to_owned() },
            _ => AttachError::of_kernel(format!("look up interface {name}"), cause),
        })?;
        let asked = |cause| AttachError::of_kernel(format!("ask for the addresses and routes of {name}"), cause);
        let scope = |host: &mut Netlink, scope| addresses(host, interface.index, scope).map_err(asked);
        let (deprecated, addresses): (Vec<_>, Vec<_>) =
            scope(host, AddressScope::Universe)?.into_iter().partition(|address| address.is_deprecated);
        let of = |addresses: Vec<Address>| addresses.into_iter().map(|address| address.address).collect();
        let (deprecated, link_addresses) = (of(deprecated), of(scope(host, AddressScope::Link)?));
        if addresses.is_empty() {
            return Err(AttachError::NoAddress { uplink: name.to_owned() });
        }
        let routes = routes(host, interface.index).map_err(asked)?;
        Ok(Self { hardware: interface.address, mtu: interface.mtu, addresses, deprecated, link_addresses, routes })
    }

    /// What takes from a container's interface the addresses that it was given and that the host has no more. `inside` asks about its
    /// namespace.
    pub(super) fn superfluous(&self, inside: &mut Netlink, interface: u32) -> io::Result<Vec<RouteNetlinkMessage>> {
        let is_hosts = |had: &Address| {
            self.addresses.iter().any(|address| (address.address, address.prefix) == (had.address, had.prefix))
                || self.deprecated.contains(&had.address)
        };
        let had = addresses(inside, interface, AddressScope::Universe)?.into_iter();
        Ok(had
            .filter(|had| had.is_given && !is_hosts(had))
            .map(|had| RouteNetlinkMessage::DelAddress(had.message(interface)))
            .collect())
    }

    /// The addresses that a container may send from: those that it is given, and on the link the host's and the one that the kernel
    /// makes of the Ethernet address (RFC 4291, appendix A).
    pub(super) fn sources(&self) -> Vec<IpAddr> {
        let [a, b, c, d, e, f] = self.hardware;
        let own = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f];
        let mut sources: Vec<_> = self.addresses.iter().map(|address| address.address).collect();
        sources.extend(self.deprecated.iter().chain(&self.link_addresses));
        sources.push(own.into());
        sources.sort_unstable();
        sources.dedup();
        sources
    }
}

/// The addresses that containers share, looked at now and then.
pub(super) struct Watched {
    host: Netlink,
    interface: u32,
    seen: Vec<Address>,
}

/// What a look has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// What there was at the last look.
    Same,
    /// Others.
    Others,
    /// None any more.
    None,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { interface, seen, .. } = self;
        f.debug_struct("Watched").field("interface", interface).field("seen", seen).finish_non_exhaustive()
    }
}

impl Watched {
    /// Of the interface called `name` in the calling thread's network namespace.
    pub(super) fn begin(name: &str) -> io::Result<Self> {
        let mut watched = Self { host: Netlink::open()?, interface: Interface::query(name)?.index, seen: Vec::new() };
        watched.look();
        Ok(watched)
    }

    /// One dump of the host's addresses. Who cannot tell has nothing new to tell.
    pub(super) fn look(&mut self) -> Seen {
        let Ok(now) = addresses(&mut self.host, self.interface, AddressScope::Universe) else { return Seen::Same };
        if now == self.seen {
            return Seen::Same;
        }
        self.seen = now;
        if self.seen.is_empty() { Seen::None } else { Seen::Others }
    }
}

/// Whether a namespace has 127.0.0.1: it is there once `lo` is up, unless somebody has taken it away.
pub(super) fn has_loopback(namespace: &mut Netlink) -> io::Result<bool> {
    let Some(loopback) = namespace.link("lo")? else { return Ok(false) };
    let had = addresses(namespace, loopback.index, AddressScope::Host)?;
    Ok(had.iter().any(|had| had.address == LOOPBACK))
}

/// Those that reach as far.
fn addresses(host: &mut Netlink, interface: u32, scope: AddressScope) -> io::Result<Vec<Address>> {
    let answers = host.all(RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
    let address = |answer| {
        let RouteNetlinkMessage::NewAddress(message) = answer else { return None };
        let AddressMessage { header, attributes, .. } = message;
        let is_wanted = header.index == interface && header.scope == scope;
        let unusable = AddressHeaderFlags::Tentative | AddressHeaderFlags::Dadfailed;
        if !is_wanted || header.flags.intersects(unusable) {
            return None;
        }
        // Of IPv4 the local one: the other may be that of a point-to-point link's other end.
        let find = |choose: fn(&AddressAttribute) -> Option<IpAddr>| attributes.iter().find_map(choose);
        let local = find(|attribute| if let AddressAttribute::Local(it) = attribute { Some(*it) } else { None });
        let any = find(|attribute| if let AddressAttribute::Address(it) = attribute { Some(*it) } else { None });
        let is_given = attributes.contains(&AddressAttribute::Protocol(GIVEN));
        let is_deprecated = header.flags.contains(AddressHeaderFlags::Deprecated);
        Some(Address { address: local.or(any)?, prefix: header.prefix_len, is_deprecated, is_given })
    };
    Ok(answers.into_iter().filter_map(address).collect())
}

fn routes(host: &mut Netlink, interface: u32) -> io::Result<Vec<DefaultRoute>> {
    let answers = host.all(RouteNetlinkMessage::GetRoute(RouteMessage::default()))?;
    let route = |answer| {
        let RouteNetlinkMessage::NewRoute(RouteMessage { header, attributes, .. }) = answer else { return None };
        let is_default = header.destination_prefix_length == 0
            && header.table == RouteHeader::RT_TABLE_MAIN
            && header.kind == RouteType::Unicast;
        if !is_default || !attributes.contains(&RouteAttribute::Oif(interface)) {
            return None;
        }
        let gateway = attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Gateway(RouteAddress::Inet(address)) => Some(IpAddr::from(*address)),
            RouteAttribute::Gateway(RouteAddress::Inet6(address)) => Some(IpAddr::from(*address)),
            _ => None,
        });
        let priority = attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Priority(priority) => Some(*priority),
            _ => None,
        });
        let (is_ipv4, is_on_link) =
            (header.address_family == AddressFamily::Inet, header.flags.contains(RouteFlags::Onlink));
        Some(DefaultRoute { is_ipv4, gateway, is_on_link, priority })
    };
    Ok(answers.into_iter().filter_map(route).collect())
}

impl Address {
    /// What gives it to an interface. Nobody looks whether another has it: the host has.
    pub(super) fn given(self, interface: u32) -> RouteNetlinkMessage {
        let mut message = self.message(interface);
        message.attributes.push(AddressAttribute::Protocol(GIVEN));
        RouteNetlinkMessage::NewAddress(message)
    }

    fn message(self, interface: u32) -> AddressMessage {
        let mut message = AddressMessage::default();
        let is_ipv4 = self.address.is_ipv4();
        message.header.family = if is_ipv4 { AddressFamily::Inet } else { AddressFamily::Inet6 };
        message.header.prefix_len = self.prefix;
        message.header.index = interface;
        message.attributes = vec![AddressAttribute::Local(self.address), AddressAttribute::Address(self.address)];
        if !is_ipv4 {
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        message
    }
}

impl DefaultRoute {
    /// What gives it to an interface.
    pub(super) fn message(self, interface: u32) -> RouteNetlinkMessage {
        let mut message = RouteMessage::default();
        message.header.address_family = if self.is_ipv4 { AddressFamily::Inet } else { AddressFamily::Inet6 };
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Boot;
        message.header.kind = RouteType::Unicast;
        message.header.scope =
            if self.gateway.is_none() && self.is_ipv4 { RouteScope::Link } else { RouteScope::Universe };
        message.header.flags.set(RouteFlags::Onlink, self.is_on_link);
        message.attributes.push(RouteAttribute::Oif(interface));
        message.attributes.extend(self.gateway.map(|gateway| RouteAttribute::Gateway(gateway.into())));
        message.attributes.extend(self.priority.map(RouteAttribute::Priority));
        RouteNetlinkMessage::NewRoute(message)
    }
}
