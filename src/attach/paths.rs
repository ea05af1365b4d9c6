//! Ways to the address that a host and its containers share: which ports of it are here, and which are elsewhere on the host.
//!
//! The kernel takes what is for an address of its own for its own, whatever the port: its first rule is to look in the table of local
//! addresses. So rules that know ports come before it, and it comes after them:
//!
//! ```text
//! container: to ports of its own: local      host: to ports of containers: table 28780      then both: local
//!            to others: table 28780
//! ```
//!
//! So 127.0.0.1 can be shared, too ([`LOOPBACK`]).
//!
//! The table has a route to each shared address, by the interface that leads to portlane. While it has none, as after a run that was
//! killed and whose interfaces are gone, rules mean nothing: what is not found goes on to the next.
//!
//! What is made is marked (`proto 112`), so that a later run finds it.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage, RulePortRange};
use netlink_packet_route::{AddressFamily, IpProtocol, RouteNetlinkMessage};
use nix::libc::{EEXIST, ENOENT, ESRCH, IPPROTO_ICMPV6};

use super::netlink::{Netlink, Present};

/// The table of routes: "pl".
const TABLE: u32 = 0x706c;

/// Who made a rule or a route; those below 4 are the kernel's, and few others have a name.
const MADE: RouteProtocol = RouteProtocol::Other(b'p');

/// The table of the ways back. The host takes packets from its own address by an interface if the route to that address is by it
/// (`fib_validate_source`), strictly or not (`rp_filter`): so there is one, which says of what is for the host what the kernel's says.
/// It asks without ports: the rules by port are of what is sent, for which nothing is dissected (`rule_requires_fldissect`). A container
/// has its address at the interface by which it sends, and needs no other route there but for [`LOOPBACK`].
const BACK_TABLE: u32 = TABLE + 1;

/// The places of rules: what is here, what is elsewhere, from where it comes back, and what the kernel has first otherwise.
const HERE: u32 = 10;
const ELSEWHERE: u32 = 11;
const BACK: u32 = 12;
const LOCAL: u32 = 20;

/// Ranges of ports that a host has rules for, at most: each of its packets that has no route yet goes through them.
const MOST_RANGES: usize = 32;

/// The address that each namespace has for itself, and that containers of one host share as they do the card's, if they are to. No
/// other of 127.0.0.0/8; and of IPv6 there is none, since Linux takes packets of `::1` from its loopback alone (`ip6_rcv_core`).
pub(super) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Ports from the first to the last.
pub(super) type Range = (u16, u16);

/// The kinds of ICMP errors, as rules take them for ports: the kind is the upper byte, and the code the lower one (`union flowi_uli`).
const ERRORS: &[Range] = &[(0x0300, 0x05ff), (0x0b00, 0x0cff)];
const ERRORS_V6: &[Range] = &[(0x0100, 0x04ff)];

/// A rule of these.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    family: AddressFamily,
    priority: u32,
    table: u32,
    /// Of what the namespace itself sends: what.
    matches: Option<Matches>,
}

/// A protocol, and to which ports: any, where none is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Matches {
    protocol: Option<IpProtocol>,
    ports: Option<Range>,
}

impl Rule {
    fn message(&self) -> RuleMessage {
        let mut message = RuleMessage::default();
        message.header.family = self.family;
        message.header.action = RuleAction::ToTable;
        message.attributes = vec![RuleAttribute::Priority(self.priority), RuleAttribute::Table(self.table)];
        let made = if self.priority == 0 { RouteProtocol::Kernel } else { MADE };
        message.attributes.push(RuleAttribute::Protocol(made));
        if let Some(Matches { protocol, ports }) = self.matches {
            message.attributes.push(RuleAttribute::Iifname("lo".to_owned()));
            message.attributes.extend(protocol.map(RuleAttribute::IpProtocol));
            let range = ports.map(|(start, end)| RulePortRange { start, end });
            message.attributes.extend(range.map(RuleAttribute::DestinationPortRange));
        }
        message
    }

    fn of(message: &RuleMessage) -> Self {
        let RuleMessage { header, attributes, .. } = message;
        let mut rule = Self { family: header.family, priority: 0, table: header.table.into(), matches: None };
        let (mut is_its_own, mut protocol, mut ports) = (false, None, None);
        for attribute in attributes {
            match attribute {
                RuleAttribute::Priority(priority) => rule.priority = *priority,
                RuleAttribute::Table(table) => rule.table = *table,
                RuleAttribute::Iifname(_) => is_its_own = true,
                RuleAttribute::IpProtocol(said) => protocol = Some(*said),
                RuleAttribute::DestinationPortRange(range) => ports = Some((range.start, range.end)),
                _ => {}
            }
        }
        rule.matches = is_its_own.then_some(Matches { protocol, ports });
        rule
    }
}

/// Rules of a container's namespace: of the addresses that it shares, these ports are its own.
pub(super) fn container_rules(own: &[Range], shared: &[IpAddr]) -> Rules {
    let own = together(own.to_vec());
    let families = families(shared);
    Rules::of(&families, |rules, with| {
        for protocol in [IpProtocol::Tcp, IpProtocol::Udp] {
            let matches = |ports| Matches { protocol: Some(protocol), ports };
            own.iter().for_each(|&range| rules.push(with(HERE, LOCAL_TABLE, matches(Some(range)))));
            rules.push(with(ELSEWHERE, TABLE, matches(None)));
        }
        let back = shared.contains(&LOOPBACK).then(|| with(BACK, BACK_TABLE, Matches { protocol: None, ports: None }));
        rules.extend(back);
    })
}

/// Rules of the host's namespace: these ports are containers'. Where there are many ranges, the smallest gaps between them belong to
/// them: what is for those turns back.
pub(super) fn host_rules(containers: &[Range], shared: &[IpAddr]) -> Rules {
    let ranges = at_most(MOST_RANGES, together(containers.to_vec()));
    let families = if ranges.is_empty() { Vec::new() } else { families(shared) };
    Rules::of(&families, |rules, with| {
        for protocol in [IpProtocol::Tcp, IpProtocol::Udp] {
            let matches = |&ports| Matches { protocol: Some(protocol), ports: Some(ports) };
            rules.extend(ranges.iter().map(|range| with(ELSEWHERE, TABLE, matches(range))));
        }
        rules.push(with(BACK, BACK_TABLE, Matches { protocol: None, ports: None }));
    })
}

/// `RT_TABLE_LOCAL`.
const LOCAL_TABLE: u32 = 255;

/// All rules that there are to be of these.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Rules(Vec<Rule>);

impl Rules {
    fn of(families: &[AddressFamily], add: impl Fn(&mut Vec<Rule>, &dyn Fn(u32, u32, Matches) -> Rule)) -> Self {
        let mut rules = Vec::new();
        for &family in families {
            let with = |priority, table, matches| Rule { family, priority, table, matches: Some(matches) };
            // First what is there meanwhile.
            rules.push(Rule { family, priority: LOCAL, table: LOCAL_TABLE, matches: None });
            add(&mut rules, &with);
            // Errors about such packets are told apart by whom they are about, where the host gives them to portlane.
            let (protocol, errors) = match family {
                AddressFamily::Inet => (IpProtocol::Icmp, ERRORS),
                _ => (IpProtocol::Other(IPPROTO_ICMPV6), ERRORS_V6),
            };
            let matches = |&kinds| Matches { protocol: Some(protocol), ports: Some(kinds) };
            rules.extend(errors.iter().map(|kinds| with(ELSEWHERE, TABLE, matches(kinds))));
        }
        Self(rules)
    }

    /// Has these be there and no others of portlane's: at no moment is there no rule for local addresses. None of a family: that one
    /// has the rules that it had without portlane.
    pub(super) fn settle(&self, netlink: &mut Netlink) -> io::Result<()> {
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let wanted: Vec<_> = self.0.iter().filter(|rule| rule.family == family).collect();
            let (made, others) = rules(netlink, family)?;
            let first = Rule { family, priority: 0, table: LOCAL_TABLE, matches: None };
            let has_first = others.contains(&first);
            if made.is_empty() && wanted.is_empty() {
                continue;
            }
            for &rule in wanted.iter().filter(|&&rule| !made.contains(rule)) {
                present(netlink.change(RouteNetlinkMessage::NewRule(rule.message()), NLM_F_CREATE | NLM_F_EXCL))?;
            }
            match (wanted.is_empty(), has_first) {
                (true, false) => {
                    present(netlink.change(RouteNetlinkMessage::NewRule(first.message()), NLM_F_CREATE | NLM_F_EXCL))?
                }
                (false, true) => absent(netlink.change(RouteNetlinkMessage::DelRule(first.message()), 0))?,
                _ => {}
            }
            // What comes last was there first.
            for rule in made.iter().rev().filter(|&rule| !wanted.contains(&rule)) {
                absent(netlink.change(RouteNetlinkMessage::DelRule(rule.message()), 0))?;
            }
        }
        Ok(())
    }
}

/// Whether there are rules of portlane's.
pub(super) fn are_made(netlink: &mut Netlink) -> io::Result<bool> {
    let mut made = false;
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        made |= !rules(netlink, family)?.0.is_empty();
    }
    Ok(made)
}

/// Portlane's rules, and all others.
fn rules(netlink: &mut Netlink, family: AddressFamily) -> io::Result<(Vec<Rule>, Vec<Rule>)> {
    let mut question = RuleMessage::default();
    question.header.family = family;
    let (mut made, mut others) = (Vec::new(), Vec::new());
    for answer in netlink.all(RouteNetlinkMessage::GetRule(question))? {
        if let RouteNetlinkMessage::NewRule(message) = answer {
            let is_made = message.attributes.contains(&RuleAttribute::Protocol(MADE));
            let rules = if is_made { &mut made } else { &mut others };
            rules.push(Rule::of(&message));
        }
    }
    Ok((made, others))
}

/// What a route to a shared address is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// To send there.
    There,
    /// To tell that packets may come from there. IPv6 asks no such question.
    Back,
}

impl Way {
    fn table(self) -> u32 {
        if self == Self::There { TABLE } else { BACK_TABLE }
    }
}

/// Leads to shared addresses by an interface, behind which they have this Ethernet address. Others are
/// taken from the table.
pub(super) fn lead(
    netlink: &mut Netlink,
    interface: u32,
    hardware: [u8; 6],
    addresses: &[IpAddr],
    ways: &[Way],
) -> io::Result<()> {
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        for route in routes(netlink, family)? {
            let leads = |address: &&IpAddr| route.attributes.contains(&destination(**address));
            let is_by_it = route.attributes.contains(&RouteAttribute::Oif(interface));
            let is_wanted = ways.iter().any(|way| route.attributes.contains(&RouteAttribute::Table(way.table())));
            if !is_by_it || !is_wanted || addresses.iter().find(leads).is_none() {
                absent(netlink.change(RouteNetlinkMessage::DelRoute(route), 0))?;
            }
        }
    }
    for &address in addresses {
        netlink.create(neighbour(interface, hardware, address), Present::Replace)?;
        for &way in ways.iter().filter(|&&way| way == Way::There || address.is_ipv4()) {
            netlink.create(route(interface, address, way), Present::Replace)?;
        }
    }
    Ok(())
}

/// Those of the table.
fn routes(netlink: &mut Netlink, family: AddressFamily) -> io::Result<Vec<RouteMessage>> {
    let mut question = RouteMessage::default();
    question.header.address_family = family;
    let answers = netlink.all(RouteNetlinkMessage::GetRoute(question))?;
    let route = |answer| match answer {
        RouteNetlinkMessage::NewRoute(route) => Some(route),
        _ => None,
    };
    let is_ours = |route: &RouteMessage| {
        [TABLE, BACK_TABLE].iter().any(|&table| route.attributes.contains(&RouteAttribute::Table(table)))
    };
    Ok(answers.into_iter().filter_map(route).filter(is_ours).collect())
}

fn destination(address: IpAddr) -> RouteAttribute {
    RouteAttribute::Destination(RouteAddress::from(address))
}

fn route(interface: u32, address: IpAddr, way: Way) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    let is_ipv4 = address.is_ipv4();
    message.header.address_family = family(address);
    message.header.destination_prefix_length = if is_ipv4 { 32 } else { 128 };
    message.header.table = RouteHeader::RT_TABLE_UNSPEC;
    message.header.protocol = MADE;
    (message.header.kind, message.header.scope) = match way {
        Way::There if is_ipv4 => (RouteType::Unicast, RouteScope::Link),
        Way::There => (RouteType::Unicast, RouteScope::Universe),
        Way::Back => (RouteType::Local, RouteScope::Host),
    };
    message.attributes = vec![RouteAttribute::Table(way.table()), destination(address), RouteAttribute::Oif(interface)];
    if is_ipv4 {
        // With IPv6 an address is the first choice to speak to itself from (RFC 6724, section 5, rule 1).
        message.attributes.push(RouteAttribute::PrefSource(RouteAddress::from(address)));
    }
    RouteNetlinkMessage::NewRoute(message)
}

/// Nobody asks for the Ethernet address: it would be a host that asks for itself.
fn neighbour(interface: u32, hardware: [u8; 6], address: IpAddr) -> RouteNetlinkMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family(address);
    message.header.ifindex = interface;
    message.header.state = NeighbourState::Permanent;
    let address = match address {
        IpAddr::V4(address) => NeighbourAddress::Inet(address),
        IpAddr::V6(address) => NeighbourAddress::Inet6(address),
    };
    message.attributes =
        vec![NeighbourAttribute::Destination(address), NeighbourAttribute::LinkLayerAddress(hardware.to_vec())];
    RouteNetlinkMessage::NewNeighbour(message)
}

/// Those of the addresses, each once.
fn families(addresses: &[IpAddr]) -> Vec<AddressFamily> {
    let of = |is_ipv4: bool| addresses.iter().copied().find(|address| address.is_ipv4() == is_ipv4).map(family);
    [of(true), of(false)].into_iter().flatten().collect()
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

/// Has an interface take packets that come from an address which the namespace has itself; `loopback`: also from [`LOOPBACK`], and to
/// it. IPv6 asks no such question. With the interface all of that goes.
pub(super) fn take_own_addresses(interface: &str, loopback: bool) -> io::Result<()> {
    let folder = Path::new("/proc/sys/net/ipv4/conf").join(interface);
    fs::write(folder.join("route_localnet"), if loopback { "1" } else { "0" })?;
    fs::write(folder.join("accept_local"), "1")?;
    fs::write(folder.join("rp_filter"), "0")
}

/// Ranges in their order, with those that touch made one. Rules know neither port 0 nor port 65,535 (`fib_rule_port_range_valid`).
fn together(ranges: Vec<Range>) -> Vec<Range> {
    let ranges = ranges.into_iter().map(|(first, last)| (first.max(1), last.min(u16::MAX - 1)));
    let mut ranges: Vec<_> = ranges.filter(|(first, last)| first <= last).collect();
    ranges.sort_unstable();
    ranges.dedup_by(|next, before| {
        let touches = u32::from(next.0) <= u32::from(before.1) + 1;
        if touches {
            before.1 = before.1.max(next.1);
        }
        touches
    });
    ranges
}

/// Not more ranges than so many: the smallest gaps are filled.
fn at_most(most: usize, ranges: Vec<Range>) -> Vec<Range> {
    let Some(fill) = ranges.len().checked_sub(most).filter(|&fill| fill > 0) else { return ranges };
    let mut gaps: Vec<_> = ranges.windows(2).map(|pair| (pair[1].0 - pair[0].1, pair[0].1)).collect();
    gaps.sort_unstable();
    let filled = gaps.into_iter().take(fill).map(|(gap, last)| (last, last + gap));
    together(ranges.iter().copied().chain(filled).collect())
}

fn present(made: io::Result<()>) -> io::Result<()> {
    made.or_else(|error| if error.raw_os_error() == Some(EEXIST) { Ok(()) } else { Err(error) })
}

fn absent(deleted: io::Result<()>) -> io::Result<()> {
    let is_gone = |error: &io::Error| matches!(error.raw_os_error(), Some(ENOENT | ESRCH));
    deleted.or_else(|error| if is_gone(&error) { Ok(()) } else { Err(error) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_are_one() {
        assert_eq!(together(vec![(80, 80), (90, 99), (81, 85), (100, 100)]), [(80, 85), (90, 100)]);
        assert_eq!(together(vec![(0, u16::MAX), (1, 2)]), [(1, u16::MAX - 1)]);
        assert_eq!(together(vec![(0, 0), (u16::MAX, u16::MAX)]), []);
        assert_eq!(together(vec![]), []);
    }

    #[test]
    fn of_too_many_ranges_the_nearest_become_one() {
        let ranges = vec![(10, 19), (22, 29), (40, 49), (51, 59), (100, 100)];
        assert_eq!(at_most(5, ranges.clone()), ranges);
        assert_eq!(at_most(4, ranges.clone()), [(10, 19), (22, 29), (40, 59), (100, 100)]);
        assert_eq!(at_most(2, ranges.clone()), [(10, 59), (100, 100)]);
        let many: Vec<_> = (0..2_000).map(|block| (20 * block + 1, 20 * block + 15)).collect();
        let few = at_most(MOST_RANGES, many.clone());
        assert_eq!(few.len(), MOST_RANGES);
        assert!(many.iter().all(|range| few.iter().any(|of| of.0 <= range.0 && range.1 <= of.1)));
    }
}
