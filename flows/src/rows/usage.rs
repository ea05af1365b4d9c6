//! Rows of other tables than those of flows: by group of rules, with the world, and by what packets have in common.

use std::collections::BTreeMap;

use super::open::TaggedPair;
use super::{Observation, SingleRow, Tally, at_home, merged, single, without_port};
use crate::digest::Endpoint;
use crate::inventory::{Inventory, Networks};
use crate::meter::{Side, Traffic};
use crate::record::FlowId;
use crate::tags::Tag;

/// What the flows of a group of rules did: of `vtap_acl`. `tx` is what clients sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AclRow {
    /// The group's number.
    pub group: u32,
    /// What was counted.
    pub traffic: Traffic,
}

/// By group, of all that match one of its rules.
pub(super) fn acl(inventory: &Inventory, tallies: &[(FlowId, Tally)]) -> Vec<AclRow> {
    let mut groups = BTreeMap::<u32, Traffic>::new();
    if !inventory.acls.is_empty() {
        for (flow, tally) in tallies {
            for group in inventory.groups(flow) {
                *groups.entry(group).or_default() += tally.meter.traffic();
            }
        }
    }
    groups.into_iter().map(|(group, traffic)| AclRow { group, traffic }).collect()
}

/// By end that is inside, of flows whose other end is not. Where no network is named nobody knows what is outside.
pub(super) fn wan(networks: &Networks, tallies: &[(FlowId, Tally)]) -> Vec<SingleRow> {
    if networks.is_empty() {
        return Vec::new();
    }
    let end = |(flow, tally): &(FlowId, Tally)| {
        let (end, side, meter) = match (networks.is_inside(&flow.client), networks.is_inside(&flow.server)) {
            (true, false) => (flow.client, Side::Client, tally.meter),
            (false, true) => (flow.server, Side::Server, tally.meter.swapped()),
            _ => return None,
        };
        Some(((without_port(end), side, flow.protocol), Tally { meter, ..*tally }))
    };
    merged(tallies.iter().filter_map(end)).into_iter().map(single).collect()
}

/// Packets that one end sent and received and that have something in common: of `vtap_packet`. `tx` is what it sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketRow {
    /// Whether it was client or server of their flows.
    pub side: Side,
    /// Address and owner; its port is 0.
    pub end: Endpoint,
    /// What they have in common.
    pub tag: Tag,
    /// How many they were.
    pub traffic: Traffic,
}

/// Packets between two ends that have something in common: of `vtap_packet_edge`. `tx` is what the client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketEdgeRow {
    /// The client; its port is 0.
    pub client: Endpoint,
    /// The server; its port is 0.
    pub server: Endpoint,
    /// Where they were seen from.
    pub observation: Observation,
    /// What they have in common.
    pub tag: Tag,
    /// How many they were.
    pub traffic: Traffic,
}

pub(super) fn packet(tags: &BTreeMap<TaggedPair, Traffic>) -> Vec<PacketRow> {
    let mut ends = BTreeMap::<(Endpoint, Side, Tag), Traffic>::new();
    for (&(client, server, tag), traffic) in tags {
        for (end, side) in at_home(client, server) {
            let own = if side == Side::Client { *traffic } else { traffic.swapped() };
            *ends.entry((end, side, tag)).or_default() += own;
        }
    }
    ends.into_iter().map(|((end, side, tag), traffic)| PacketRow { side, end, tag, traffic }).collect()
}

pub(super) fn packet_edge(tags: &BTreeMap<TaggedPair, Traffic>) -> Vec<PacketEdgeRow> {
    let row = |(&(client, server, tag), &traffic): (&TaggedPair, &Traffic)| {
        let observation = Observation::of(&client, &server);
        PacketEdgeRow { client, server, observation, tag, traffic }
    };
    tags.iter().map(row).collect()
}
