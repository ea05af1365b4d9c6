//! The most that a lane may ever send.

use std::collections::HashMap;

use portlane_stats::lane::{HtbReport, LimitReport};
use portlane_stats::snapshot::{NodeReport, Snapshot};

use super::model::Direction;

/// Ceils of groups and the link in one direction.
pub(super) struct Ceils<'a> {
    link: Option<u64>,
    groups: HashMap<&'a str, Option<u64>>,
}

impl<'a> Ceils<'a> {
    pub(super) fn of(snapshot: &'a Snapshot, direction: Direction) -> Self {
        let node = |ingress, egress| ceil_of(direction.of(ingress, egress));
        let parents: HashMap<_, _> = snapshot.groups.iter().map(|group| (group.id.as_str(), group)).collect();
        let link = node(&snapshot.link.ingress, &snapshot.link.egress);
        let groups = snapshot.groups.iter().map(|group| {
            // As many steps as there are groups: a file may have groups in each other.
            let mut above = Some(group);
            let mut ceil = link;
            for _ in 0..snapshot.groups.len() {
                let Some(at) = above else { break };
                ceil = lower(ceil, node(&at.ingress, &at.egress));
                above = at.group.as_deref().and_then(|id| parents.get(id).copied());
            }
            (group.id.as_str(), ceil)
        });
        Self { link, groups: groups.collect() }
    }

    /// Bits per second: the lowest of a lane's own ceil and those above it; `None`: there are none.
    pub(super) fn allow(&self, group: Option<&str>, limit: &LimitReport) -> Option<u64> {
        let own = match limit {
            LimitReport::None => None,
            LimitReport::Htb(htb) => bounded(htb),
            LimitReport::Tbf(tbf) => Some(tbf.rate_bits_per_s),
        };
        let above = group.and_then(|id| self.groups.get(id).copied()).unwrap_or(self.link);
        lower(own, above)
    }
}

fn ceil_of(node: &NodeReport) -> Option<u64> {
    node.limit.as_ref().and_then(bounded)
}

fn bounded(htb: &HtbReport) -> Option<u64> {
    Some(htb.ceil_bits_per_s).filter(|&ceil| ceil < HtbReport::NO_CEIL)
}

fn lower(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}
