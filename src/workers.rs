//! Several workers: who owns which lanes, and a line for each.
//!
//! A packet is received by the worker whose queue it arrives on, and classified there. If its lane is another worker's, it is
//! handed over with what is known of it. What shares a limit has one owner, so every limit holds for the sum of all queues.

use std::io;
use std::sync::Arc;

use portlane_classify::{Direction, Found};
use portlane_rings::{Device, Part, Pool, divide};
use portlane_shaper::{GroupId, Nanos};

use crate::build;
use crate::config::Plan;
use crate::line::{Line, Neighbours, Port};

/// Frames on the way from one worker to another, at most.
pub const RING: u32 = 1_024;

/// The most workers.
pub const MAX_WORKERS: usize = 64;

/// Who owns what, by the numbers of workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owners {
    /// Of each lane, that of traffic that no container owns the last.
    lanes: Arc<[u8]>,
    /// Of each group.
    groups: Vec<u8>,
}

impl Owners {
    /// Divides the containers of `plan` among workers, each to who has the fewest so far; groups stay together, and under a
    /// link with a rate all do. The first worker owns what no container does.
    ///
    /// # Panics
    ///
    /// If there is no worker, or more than [`MAX_WORKERS`].
    #[must_use]
    pub fn assign(plan: &Plan, workers: usize) -> Self {
        assert!((1..=MAX_WORKERS).contains(&workers), "{workers} workers");
        let link_limits = plan.link.params.iter().any(|link| link.shape.is_some());
        let mut load = vec![0_u32; if link_limits { 1 } else { workers }];
        let tops: Vec<_> = (0..plan.groups.len()).map(|group| top(plan, group)).collect();
        let mut members = vec![0; plan.groups.len()];
        let top_of = |group: Option<GroupId>| group.map(|GroupId(position)| tops[position as usize]);
        for top in plan.containers.iter().filter_map(|container| top_of(container.group)) {
            members[top] += 1;
        }
        let mut next = |size: u32| {
            let (worker, load) = (0_u8..).zip(&mut load).min_by_key(|(_, load)| **load).expect("there is a worker");
            *load += size;
            worker
        };
        let mut of_top: Vec<Option<u8>> = vec![None; plan.groups.len()];
        let mut lanes: Vec<_> = plan
            .containers
            .iter()
            .map(|container| match top_of(container.group) {
                Some(top) => *of_top[top].get_or_insert_with(|| next(members[top])),
                None => next(1),
            })
            .collect();
        lanes.push(0);
        Self { lanes: lanes.into(), groups: tops.iter().map(|&top| of_top[top].unwrap_or(0)).collect() }
    }

    /// The worker of a lane.
    #[must_use]
    pub fn of_lane(&self, lane: u32) -> usize {
        usize::from(self.lanes[lane as usize])
    }

    /// The worker of a group.
    #[must_use]
    pub fn of_group(&self, group: u32) -> usize {
        usize::from(self.groups[group as usize])
    }
}

/// The group directly under the link that a group is in, or is.
fn top(plan: &Plan, group: usize) -> usize {
    let mut top = group;
    while let Some(GroupId(above)) = plan.groups[top].group {
        top = above as usize;
    }
    top
}

/// A line for each of `workers`, over equal parts of `pool`, all of whose frames are free. `ports` makes the devices of a
/// worker over its part; a direction leaves by the same port at each.
///
/// # Errors
///
/// `InvalidInput` if the pool has too few frames.
pub fn lines<D: Device>(
    plan: &Plan,
    owners: &Owners,
    workers: u32,
    pool: Pool,
    mut ports: impl FnMut(usize, &mut Pool) -> Vec<Port<D>>,
    leaves_by: [usize; 2],
    key: [u64; 2],
) -> io::Result<Vec<Line<D>>> {
    let nothing = Found { direction: Direction::Ingress, owner: 0, flow: 0 };
    let parts = divide(pool, workers, RING, nothing)?;
    let line = |(worker, Part { mut pool, peers })| {
        let ports = ports(worker, &mut pool);
        let line = build::line(plan, pool, ports, leaves_by, key, Nanos::ZERO);
        line.among(Neighbours::new(Arc::clone(&owners.lanes), peers))
    };
    Ok(parts.into_iter().enumerate().map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn owners(link: &str, workers: usize) -> Owners {
        let mut text =
            format!("{link}\n[[group]]\nid = \"g\"\n[[group]]\nid = \"h\"\ngroup = \"g\"\n[[group]]\nid = \"i\"\n");
        for (number, group) in ["", "group = \"g\"", "", "group = \"h\"", "", ""].iter().enumerate() {
            let port = 1_000 + number;
            text += &format!("[[container]]\nid = \"c{number}\"\nports = [\"{port}\"]\n{group}\n");
        }
        Owners::assign(&config::parse(&text, "test").unwrap(), workers)
    }

    #[test]
    fn what_shares_a_limit_has_one_owner() {
        let owners = owners("", 2);
        assert_eq!(owners.lanes[..], [0, 1, 0, 1, 0, 1, 0], "{owners:?}");
        assert_eq!(owners.groups, [1, 1, 0]);
    }

    #[test]
    fn a_link_with_a_rate_has_one_owner() {
        let owners = owners("[link]\nrate = \"1gbit\"", 3);
        assert!(owners.lanes.iter().chain(&owners.groups).all(|&worker| worker == 0));
    }

    #[test]
    fn containers_are_divided_evenly() {
        let owners = owners("", 4);
        assert_eq!(owners.lanes[..], [0, 1, 2, 1, 3, 0, 0], "{owners:?}");
    }
}
