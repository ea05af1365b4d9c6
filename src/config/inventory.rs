//! `[[network]]` and `[[acl]]`: what flow metrics are to know of addresses besides what packets say.

use std::collections::HashMap;
use std::ops::Range;
use std::str::FromStr;

use portlane_classify::PortRange;
use portlane_flows::{Acl, Inventory, IpNet, Networks, Place};
use serde::Deserialize;
use toml::Spanned;

use super::bounded::{Id, Number};
use super::error::Problem;
use super::values::{List, Listed, Text, Written};

/// Rules are held against every row one after the other.
const MAX_ACLS: usize = 256;

const TCP: u8 = 6;
const UDP: u8 = 17;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenNetwork {
    prefix: Spanned<Text<Prefix>>,
    region: Option<Number<Id>>,
    az: Option<Number<Id>>,
    epc: Option<Number<Id>>,
    subnet: Option<Number<Id>>,
    host: Option<Number<Id>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenAcl {
    group: Spanned<Number<Id>>,
    protocol: Option<Spanned<Text<Protocol>>>,
    #[serde(default)]
    client: List<Text<Prefix>>,
    #[serde(default)]
    server: List<Text<Prefix>>,
    server_ports: Option<Spanned<List<Spanned<Text<PortRange>>>>>,
}

impl Listed for WrittenNetwork {
    const EXPECTED: &'static str = "networks in double brackets: [[network]]";
}

impl Listed for WrittenAcl {
    const EXPECTED: &'static str = "rules in double brackets: [[acl]]";
}

/// Addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prefix(IpNet);

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let net: IpNet = text.parse().map_err(|_| format!("{text:?} is no prefix"))?;
        if net == net.trunc() {
            Ok(Self(net))
        } else {
            Err(format!("{net} has bits behind its prefix: write {}", net.trunc()))
        }
    }
}

impl Written for Prefix {
    const EXPECTED: &'static str = "a prefix in quotes, as in \"10.0.0.0/8\" or \"2001:db8::/32\"";
}

impl Listed for Text<Prefix> {
    const EXPECTED: &'static str = "a list of prefixes, as in [\"10.0.0.0/8\"]";
}

/// An IP protocol, by IANA's name or number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Protocol(u8);

/// Those that have a name here.
const PROTOCOLS: [(&str, u8); 5] = [("icmp", 1), ("tcp", TCP), ("udp", UDP), ("icmpv6", 58), ("sctp", 132)];

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = PROTOCOLS.iter().find(|(name, _)| *name == text).map(|&(_, number)| number);
        named.or_else(|| text.parse().ok()).map(Self).ok_or_else(|| format!("{text:?} is no IP protocol"))
    }
}

impl Written for Protocol {
    const EXPECTED: &'static str =
        "one of \"tcp\", \"udp\", \"icmp\", \"icmpv6\", \"sctp\", or a number in quotes, as in \"47\"";
}

/// Checks what was written.
pub(super) fn inventory(networks: &[WrittenNetwork], acls: &[WrittenAcl]) -> Result<Inventory, Problem> {
    let networks = self::networks(networks)?;
    if let Some(first) = acls.get(MAX_ACLS) {
        let problem = Problem::at(first.group.span(), format!("more than {MAX_ACLS} rules of [[acl]]"));
        return Err(problem.help("a rule may have several prefixes and ports"));
    }
    Ok(Inventory { networks, acls: acls.iter().map(acl).collect::<Result<_, _>>()? })
}

fn networks(written: &[WrittenNetwork]) -> Result<Networks, Problem> {
    let mut networks = Networks::default();
    let mut seen = HashMap::<IpNet, Range<usize>>::new();
    for network in written {
        let (place, Text(Prefix(prefix))) = (network.prefix.span(), network.prefix.get_ref());
        if seen.insert(*prefix, place.clone()).is_some() {
            let problem = Problem::at(place, format!("network {prefix} is there twice"));
            return Err(problem.help("say all of it in one [[network]]"));
        }
        let number = |number: &Option<Number<Id>>| number.as_ref().map_or(0, |number| number.0);
        let place = Place {
            region: number(&network.region),
            az: number(&network.az),
            // No more than its bounds.
            epc: i32::try_from(number(&network.epc)).unwrap_or_default(),
            subnet: number(&network.subnet),
            host: number(&network.host),
        };
        networks.insert(*prefix, place);
    }
    Ok(networks)
}

fn acl(written: &WrittenAcl) -> Result<Acl, Problem> {
    let prefixes = |list: &List<Text<Prefix>>| list.0.iter().map(|Text(Prefix(net))| *net).collect();
    let protocol = written.protocol.as_ref().map(|protocol| protocol.get_ref().0.0);
    let server_ports = match (&written.server_ports, protocol) {
        (Some(ports), Some(protocol)) if ![TCP, UDP].contains(&protocol) => {
            let problem =
                Problem::at(ports.span(), format!("server_ports with protocol {protocol}, which has none here"));
            return Err(problem.help("ports are those of TCP and UDP: leave out protocol, or server_ports"));
        }
        (Some(ports), _) => ports.get_ref().0.iter().map(|range| range.get_ref().0).collect(),
        (None, _) => Vec::new(),
    };
    let group = written.group.get_ref().0;
    Ok(Acl { group, protocol, clients: prefixes(&written.client), servers: prefixes(&written.server), server_ports })
}
