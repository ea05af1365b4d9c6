//! Several workers: who owns which lanes, and a line for each.
//!
//! A packet is received by the worker whose queue it arrives on, and classified there. If its lane is another worker's, it is
//! handed over with what is known of it. What shares a limit has one owner, so every limit holds for the sum of all queues.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use portlane_classify::{Direction, Found};
use portlane_rings::{Device, Part, Pool, divide};
use portlane_shaper::{GroupId, LaneId, Nanos};

use crate::build;
use crate::config::Plan;
use crate::line::change::{Change, TooMany};
use crate::line::places::Places;
use crate::line::{Line, Neighbours, Port};

/// Frames on the way from one worker to another, at most.
pub const RING: u32 = 1_024;

/// The most workers.
pub const MAX_WORKERS: usize = 64;

/// Who owns what, by the numbers of workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owners {
    /// The workers that own lanes; not empty.
    may_own: Vec<u8>,
    /// Of each lane.
    lanes: Arc<[u8]>,
    /// Of each group of the plan.
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
        Self::among(plan, 0..workers)
    }

    /// The same among some of the workers; the others only receive.
    ///
    /// # Panics
    ///
    /// If there is none among them, or one beyond [`MAX_WORKERS`].
    #[must_use]
    pub fn among(plan: &Plan, workers: impl IntoIterator<Item = usize>) -> Self {
        let number = |worker| u8::try_from(worker).ok().filter(|_| worker < MAX_WORKERS);
        let may_own: Vec<_> = workers.into_iter().map(|worker| number(worker).expect("too many workers")).collect();
        assert!(!may_own.is_empty(), "somebody owns lanes");
        let mut owners = Self { may_own, lanes: Arc::default(), groups: Vec::new() };
        owners.follow(plan, &Places::of(plan), &HashSet::new());
        owners
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

    /// The worker of each lane, for [`Line`]s.
    #[must_use]
    pub fn of_lanes(&self) -> Arc<[u8]> {
        Arc::clone(&self.lanes)
    }

    /// Follows another plan, whose lanes are at `places`; `lived` are those that there were before. What is to have one owner
    /// together stays with who has most of it; what is new goes to who has the fewest.
    fn follow(&mut self, plan: &Plan, places: &Places, lived: &HashSet<LaneId>) {
        let last = places.lanes().map(|LaneId(lane)| lane as usize + 1).max().unwrap_or(0);
        if let [only] = self.may_own[..] {
            (self.lanes, self.groups) = (vec![only; last].into(), vec![only; plan.groups.len()]);
            return;
        }
        let units = Units::of(plan);
        let mut members: Vec<Vec<LaneId>> = vec![Vec::new(); units.count];
        for (&unit, place) in units.of_containers.iter().zip(&places.containers) {
            members[unit].push(place.lane);
        }
        let mut load = [0_usize; MAX_WORKERS];
        let mut keeps: Vec<_> = members.iter().map(|lanes| self.who_has_most(lanes, lived)).collect();
        for (lanes, keeper) in members.iter().zip(&keeps) {
            keeper.iter().for_each(|&keeper| load[usize::from(keeper)] += lanes.len());
        }
        for &unit in &units.of_containers {
            let idlest = || self.may_own.iter().copied().min_by_key(|&worker| load[usize::from(worker)]);
            if keeps[unit].is_none() {
                let worker = idlest().unwrap_or_default();
                load[usize::from(worker)] += members[unit].len();
                keeps[unit] = Some(worker);
            }
        }
        let worker = |unit: usize| keeps[unit].unwrap_or(self.may_own[0]);
        // Those that are leaving stay where they are.
        let mut lanes: Vec<_> =
            (0..last).map(|lane| self.lanes.get(lane).copied().unwrap_or(self.may_own[0])).collect();
        for (&unit, place) in units.of_containers.iter().zip(&places.containers) {
            lanes[place.lane.0 as usize] = worker(unit);
        }
        lanes[places.unmatched.0 as usize] = match units.of_unmatched {
            Some(unit) => worker(unit),
            None => self.who_has_most(&[places.unmatched], lived).unwrap_or(self.may_own[0]),
        };
        self.groups = units.of_groups.iter().map(|&unit| worker(unit)).collect();
        self.lanes = lanes.into();
    }

    /// The worker who has most of those lanes that there were before.
    fn who_has_most(&self, lanes: &[LaneId], lived: &HashSet<LaneId>) -> Option<u8> {
        let mut count = [0_usize; MAX_WORKERS];
        lanes.iter().filter(|lane| lived.contains(lane)).for_each(|lane| count[self.of_lane(lane.0)] += 1);
        let has = |worker: &u8| count[usize::from(*worker)];
        // Of equals the first.
        self.may_own.iter().copied().rev().filter(|worker| has(worker) > 0).max_by_key(has)
    }
}

/// What has one owner together, each by a number.
struct Units {
    count: usize,
    of_containers: Vec<usize>,
    of_groups: Vec<usize>,
    /// Where the link has a rate.
    of_unmatched: Option<usize>,
}

impl Units {
    fn of(plan: &Plan) -> Self {
        let (groups, containers) = (plan.groups.len(), plan.containers.len());
        if plan.link.params.iter().any(|link| link.shape.is_some()) {
            return Self {
                count: 1,
                of_containers: vec![0; containers],
                of_groups: vec![0; groups],
                of_unmatched: Some(0),
            };
        }
        let of_groups: Vec<_> = (0..groups).map(|group| top(plan, group)).collect();
        let alone = groups..groups + containers;
        let of_containers = plan.containers.iter().zip(alone).map(|(container, alone)| match container.group {
            Some(GroupId(group)) => of_groups[group as usize],
            None => alone,
        });
        Self { count: groups + containers, of_containers: of_containers.collect(), of_groups, of_unmatched: None }
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

/// A pool in equal parts for so many workers, and their ways to each other; whole for one.
///
/// # Errors
///
/// `InvalidInput` if the pool has too few frames.
pub fn parts(pool: Pool, workers: u32) -> io::Result<Vec<Part<Found<u32>>>> {
    if workers == 1 {
        return Ok(vec![Part { pool, peers: Vec::new() }]);
    }
    divide(pool, workers, RING, Found { direction: Direction::Ingress, ect: true, owner: 0, flow: 0 })
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
    let line = |(worker, mut part): (usize, Part<_>)| {
        let ports = ports(worker, &mut part.pool);
        line(plan, owners, part, (ports, leaves_by), key, Nanos::ZERO)
    };
    Ok(parts(pool, workers)?.into_iter().enumerate().map(line).collect())
}

/// The line of the worker whose part this is, at `now`; of its ports, directions leave by those given. The key is all workers'.
#[must_use]
pub fn line<D: Device>(
    plan: &Plan,
    owners: &Owners,
    Part { pool, peers }: Part<Found<u32>>,
    (ports, leaves_by): (Vec<Port<D>>, [usize; 2]),
    key: [u64; 2],
    now: Nanos,
) -> Line<D> {
    let line = build::line(plan, pool, ports, leaves_by, key, now);
    if peers.is_empty() { line } else { line.among(Neighbours::new(owners.of_lanes(), peers)) }
}

/// Has all lines take over what the others have handed to them: then nothing is on its way between them. To be called
/// between their turns, as all that follows.
///
/// # Errors
///
/// A device failed.
pub fn settle<D: Device>(lines: &mut [&mut Line<D>], now: Nanos) -> io::Result<()> {
    lines.iter_mut().try_for_each(|line| line.take_over_all(now))
}

/// Brings the lines of all workers from the plan that they have, `old`, to another one: as [`Line::change`] does one, and to
/// the same lanes all. They must be [settled](settle).
///
/// A lane keeps its owner, unless it comes to share a limit with lanes of another: then what waits leaves where it is, and what
/// comes goes to the new owner.
///
/// # Errors
///
/// [`TooMany`]; the lines are as they were.
pub fn change<D: Device>(
    lines: &mut [&mut Line<D>],
    owners: &mut Owners,
    old: &Plan,
    new: &Plan,
    now: Nanos,
) -> Result<Change, TooMany> {
    forget_leaving(lines, old, now);
    lines.iter().try_for_each(|line| line.check_size(old, new))?;
    let lived: HashSet<_> = match lines.first() {
        Some(first) if owners.may_own.len() > 1 => first.places.lanes().collect(),
        _ => HashSet::new(),
    };
    let mut change = Change::default();
    for line in lines.iter_mut() {
        change = line.follow(old, new, now);
    }
    if let Some(first) = lines.first() {
        owners.follow(new, &first.places, &lived);
    }
    lines.iter_mut().for_each(|line| line.set_owners(owners.of_lanes()));
    forget_leaving(lines, new, now);
    Ok(change)
}

/// Removes the lanes of containers that have left and are empty at all workers, whose lines must be [settled](settle) if
/// somebody [leaves].
pub fn forget_leaving<D: Device>(lines: &mut [&mut Line<D>], plan: &Plan, now: Nanos) {
    let mut emptied: Vec<bool> = lines.first().map(|first| vec![true; first.places.leaving.len()]).unwrap_or_default();
    for line in lines.iter() {
        emptied.iter_mut().zip(line.emptied()).for_each(|(all, here)| *all &= here);
    }
    lines.iter_mut().for_each(|line| line.forget(&emptied, plan, now));
}

/// Whether lanes wait to be forgotten.
#[must_use]
pub fn leaves<D>(lines: &[&mut Line<D>]) -> bool {
    lines.iter().any(|line| !line.places.leaving.is_empty())
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
