//! Rows of traffic alone, made of those of edges: by group of rules, and with the world.

use std::collections::BTreeMap;

use super::{SingleRow, Tally, merged, single, without_port};
use crate::inventory::{Inventory, Networks};
use crate::meter::{Side, Traffic};
use crate::record::FlowId;

/// What the flows of a group of rules did: of `vtap_acl`. `tx` is what clients sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AclRow {
    /// The group's number.
    pub group: u32,
    /// What was counted.
    pub traffic: Traffic,
}

/// By group, of all that match one of its rules.
pub(super) fn acl(inventory: &Inventory, tallies: &BTreeMap<FlowId, Tally>) -> Vec<AclRow> {
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
pub(super) fn wan(networks: &Networks, tallies: &BTreeMap<FlowId, Tally>) -> Vec<SingleRow> {
    if networks.is_empty() {
        return Vec::new();
    }
    let end = |(flow, tally): (&FlowId, &Tally)| {
        let (end, side, meter) = match (networks.is_inside(&flow.client), networks.is_inside(&flow.server)) {
            (true, false) => (flow.client, Side::Client, tally.meter),
            (false, true) => (flow.server, Side::Server, tally.meter.swapped()),
            _ => return None,
        };
        Some(((without_port(end), side, flow.protocol), Tally { meter, ..*tally }))
    };
    merged(tallies.iter().filter_map(end)).into_iter().map(single).collect()
}
