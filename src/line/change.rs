//! Another plan for a line at work: containers and groups come, go, move and change, and no packet is lost.
//!
//! What stays keeps its counters, its queue, its credit and its debt. A container that goes keeps its lanes until they
//! are empty, under the group that it was in or, if that goes too, under the link.

use std::sync::Arc;

use portlane_classify::Direction;
use portlane_rings::Device;
use portlane_shaper::{GroupId, GroupParams, LaneParams, Nanos, TreeError};

use super::places::{Leaving, Place, Places};
use super::{Home, Line};
use crate::config::{Mode, Plan};

mod books;
mod pairs;

use books::Ledger;
use pairs::{Before, Pairs, Shared};

/// Lanes that a tree may have, and likewise groups; those that are leaving count.
const MAX_NODES: usize = 1 << 20;

/// What the lanes are called that were nobody's, while they still have packets.
const UNMATCHED: &str = "unmatched";

/// What a change did, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    /// Containers that came.
    pub added: usize,
    /// Containers that stayed, and are to be otherwise.
    pub changed: usize,
    /// Containers that went.
    pub removed: usize,
}

/// Too many nodes, counting those that are leaving: nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "there would be more than {MAX_NODES} containers or groups, with those that still have packets: try again later"
)]
pub struct TooMany;

impl<D: Device> Line<D> {
    /// Brings the line from the plan that it has, `old`, to another one.
    ///
    /// # Errors
    ///
    /// [`TooMany`]; the line is as it was.
    pub fn change(&mut self, old: &Plan, new: &Plan, now: Nanos) -> Result<Change, TooMany> {
        self.forget_leaving(old, now);
        self.check_size(old, new)?;
        let change = self.follow(old, new, now);
        self.forget_leaving(new, now);
        Ok(change)
    }

    /// Whether there is room for all that there is and all that is to be.
    pub(crate) fn check_size(&self, old: &Plan, new: &Plan) -> Result<(), TooMany> {
        let lanes = new.containers.len() + old.containers.len() + self.places.leaving.len();
        if lanes.max(new.groups.len() + old.groups.len()) < MAX_NODES { Ok(()) } else { Err(TooMany) }
    }

    /// The change itself. Whoever leaves stays until forgotten.
    pub(crate) fn follow(&mut self, old: &Plan, new: &Plan, now: Nanos) -> Change {
        let shared = Shared::by(old, new);
        let ledger = Ledger::read(self, old, shared.between(old), now);
        let pairs = Pairs::of(old, new, shared, self);
        let change = Changer { pairs, shared, line: self, old, new, now }.run();
        ledger.settle(self, new, shared.between(new));
        let owners = new.owners.map(|position| match self.places.containers.get(position as usize) {
            Some(place) => place.lane.0,
            None => self.places.unmatched.0,
        });
        self.classifier.replace(owners, &new.host_addresses);
        self.follow_beside(new);
        change
    }

    /// Removes the lanes of containers that have left and are empty now. Costs nothing where nobody leaves.
    pub fn forget_leaving(&mut self, plan: &Plan, now: Nanos) {
        let emptied: Vec<bool> = self.emptied().collect();
        self.forget(&emptied, plan, now);
    }

    /// Of each that is leaving, whether its lanes are empty.
    pub(crate) fn emptied(&self) -> impl Iterator<Item = bool> {
        let is_empty = |lane| {
            let of = |direction: Direction| {
                let backlog = self.shapers[direction.index()].backlog(lane);
                backlog.packets + self.held_up(direction, lane).packets
            };
            Direction::ALL.into_iter().all(|direction| of(direction) == 0)
        };
        self.places.leaving.iter().map(move |leaving| is_empty(leaving.place.lane))
    }

    /// Removes the lanes of those that are leaving and have `emptied`.
    pub(crate) fn forget(&mut self, emptied: &[bool], plan: &Plan, now: Nanos) {
        if !emptied.contains(&true) {
            return;
        }
        let ledger = Ledger::read(self, plan, 0..0, now);
        let places = Arc::make_mut(&mut self.places);
        for (one, _) in places.leaving.iter().zip(emptied).filter(|(_, emptied)| **emptied) {
            for shaper in &mut self.shapers {
                let counters = shaper.counters(one.place.lane);
                if one.mode == Mode::Observe {
                    places.gone.sent += counters.offered.packets;
                } else {
                    places.gone.sent += counters.sent.packets;
                    places.gone.dropped += counters.dropped_total().packets;
                }
                kept(shaper.remove_lane(one.place.lane, now));
            }
        }
        let mut emptied = emptied.iter();
        places.leaving.retain(|_| !emptied.next().is_some_and(|emptied| *emptied));
        ledger.settle(self, plan, 0..0);
    }
}

/// A checked plan keeps the rules of a tree, and so does every step on the way: see [`Changer::run`].
fn kept<T>(step: Result<T, TreeError>) -> T {
    step.expect("every step to a checked plan keeps the rules of a tree")
}

struct Changer<'a, D> {
    pairs: Pairs,
    shared: Shared,
    line: &'a mut Line<D>,
    old: &'a Plan,
    new: &'a Plan,
    now: Nanos,
}

impl<D: Device> Changer<'_, D> {
    /// The steps are in such an order that none breaks a rule. First all groups that go or move are put directly under the
    /// link: then whatever is above a group will be above it in the end too, and none is in itself or nested too deep.
    /// Then groups come or take their places from the top down, then lanes; then the groups that go are empty.
    fn run(mut self) -> Change {
        let old_groups = self.line.places.groups.clone();
        self.loosen(&old_groups);
        let groups = self.place_groups(&old_groups);
        let change = self.place_containers(&old_groups, &groups);
        self.place_leaving(&old_groups);
        for (&group, _) in old_groups.iter().zip(&self.pairs.stays).filter(|(_, stays)| !**stays) {
            self.line.shapers.iter_mut().for_each(|shaper| kept(shaper.remove_group(group, self.now)));
        }
        self.places().groups = groups;
        for direction in Direction::ALL {
            let [old, new] = [self.old, self.new].map(|plan| plan.link.params[direction.index()]);
            if old != new {
                kept(self.line.shapers[direction.index()].set_link(new, self.now));
            }
        }
        self.place_unmatched();
        self.line.observe(self.new);
        change
    }

    /// Puts the groups that go, and those that move, directly under the link.
    fn loosen(&mut self, old_groups: &[GroupId]) {
        let parent = |plan: &Plan, group: Option<GroupId>| group.map(|id| plan.groups[id.0 as usize].id.clone());
        let mut loose: Vec<bool> = self.pairs.stays.iter().map(|stays| !stays).collect();
        for (new, &old) in self.new.groups.iter().zip(&self.pairs.groups) {
            if let Some(old) = old {
                loose[old] = parent(self.old, self.old.groups[old].group) != parent(self.new, new.group);
            }
        }
        for (position, group) in self.old.groups.iter().enumerate().filter(|&(position, _)| loose[position]) {
            for direction in Direction::ALL {
                let params = GroupParams { group: None, ..group.params[direction.index()] };
                kept(self.line.shapers[direction.index()].set_group(old_groups[position], params, self.now));
            }
        }
    }

    /// Brings the groups of the new plan to where they are to be, those above first. Returns which they are.
    fn place_groups(&mut self, old_groups: &[GroupId]) -> Vec<GroupId> {
        let mut groups = vec![GroupId(u32::MAX); self.new.groups.len()];
        for position in from_the_top(self.new) {
            let group = &self.new.groups[position];
            let params = group
                .params
                .map(|params| GroupParams { group: params.group.map(|id| groups[id.0 as usize]), ..params });
            let [ingress, egress] = &mut self.line.shapers;
            groups[position] = match self.pairs.groups[position] {
                None => {
                    let id = kept(ingress.add_group(params[0], self.now));
                    let same = kept(egress.add_group(params[1], self.now));
                    assert_eq!(id, same, "both directions have the same groups");
                    id
                }
                Some(old) => {
                    let id = old_groups[old];
                    if !is_same_group(self.old, old, self.new, position) {
                        kept(ingress.set_group(id, params[0], self.now));
                        kept(egress.set_group(id, params[1], self.now));
                    }
                    id
                }
            };
        }
        groups
    }

    /// Brings the containers of the new plan to where they are to be, and lists the others as leaving.
    fn place_containers(&mut self, old_groups: &[GroupId], groups: &[GroupId]) -> Change {
        let mut change = Change::default();
        let old_places = std::mem::take(&mut self.places().containers);
        let mut leaving: Vec<_> = std::mem::take(&mut self.places().leaving).into_iter().map(Some).collect();
        let (mut stays, mut switched) = (vec![false; old_places.len()], vec![false; old_places.len()]);
        let (old, new) = (self.old, self.new);
        let [theirs, ours] = [old, new].map(|plan| self.shared.between(plan));
        let mut places = old_places[..ours.start].to_vec();
        for (number, position) in ours.enumerate() {
            let lanes = new.containers[position].lanes.each_ref();
            let place = match self.pairs.containers[number] {
                Before::Nothing => {
                    change.added += 1;
                    self.add_lanes(lanes, groups)
                }
                Before::OfOtherMode(before) => {
                    switched[before] = true;
                    change.changed += 1;
                    self.add_lanes(lanes, groups)
                }
                Before::Container(before) => {
                    stays[before] = true;
                    let place = old_places[before];
                    let were = old.containers[before].lanes.each_ref();
                    let changed = self.set_lanes(place, were, lanes, [old_groups, groups]);
                    change.changed += usize::from(changed || is_owner_changed(old, before, new, position));
                    place
                }
                Before::Leaving(before) => {
                    change.added += 1;
                    let one = leaving[before].take().expect("a name is found once");
                    self.set_lanes(one.place, one.lanes.each_ref(), lanes, [old_groups, groups]);
                    one.place
                }
            };
            places.push(place);
        }
        places.extend(&old_places[theirs.end..]);
        self.places().containers = places;
        self.places().leaving = leaving.into_iter().flatten().collect();
        for position in theirs {
            let (container, place) = (&old.containers[position], old_places[position]);
            if !stays[position] {
                change.removed += usize::from(!switched[position]);
                let (id, mode, lanes) = (container.id.clone(), container.mode, container.lanes.clone());
                self.places().leaving.push(Leaving { id, place, mode, lanes });
            }
        }
        change
    }

    /// What nobody owns keeps its lanes, unless its limits held and no longer do, or the other way round.
    fn place_unmatched(&mut self) {
        let (was, is) = ([&self.old.unmatched; 2], [&self.new.unmatched; 2]);
        let place = Place { lane: self.line.places.unmatched, since: self.line.places.unmatched_since };
        if self.old.mode == self.new.mode {
            self.set_lanes(place, was, is, [&[], &[]]);
            return;
        }
        let Place { lane, since } = self.add_lanes(is, &[]);
        let (id, lanes) = (UNMATCHED.to_owned(), was.map(LaneParams::clone));
        let mode = self.old.mode;
        self.places().leaving.push(Leaving { id, place, mode, lanes });
        let places = self.places();
        (places.unmatched, places.unmatched_since) = (lane, since);
    }

    /// Lanes that are leaving stay in their groups, or go under the link.
    fn place_leaving(&mut self, old_groups: &[GroupId]) {
        let mut new_position = vec![None; old_groups.len()];
        for (&old, new) in self.pairs.groups.iter().zip((0..).map(GroupId)) {
            old.into_iter().for_each(|old| new_position[old] = Some(new));
        }
        let mut leaving = std::mem::take(&mut self.places().leaving);
        for one in &mut leaving {
            let were = one.lanes.clone();
            for lane in &mut one.lanes {
                lane.group = lane.group.and_then(|old| new_position[old.0 as usize]);
            }
            let lanes = one.lanes.clone().map(|lane| LaneParams { group: None, ..lane });
            if were[0].group.is_some() && one.lanes[0].group.is_none() {
                self.set_lanes(one.place, were.each_ref(), lanes.each_ref(), [old_groups, &[]]);
            }
        }
        self.places().leaving = leaving;
    }

    /// Which lane is whose, to be changed: a report that is being made keeps what it was.
    fn places(&mut self) -> &mut Places {
        Arc::make_mut(&mut self.line.places)
    }

    fn add_lanes(&mut self, lanes: [&LaneParams; 2], groups: &[GroupId]) -> Place {
        let [ingress, egress] = lanes.map(|lane| placed(lane, groups));
        let lane = kept(self.line.shapers[0].add_lane(&ingress, self.now));
        let same = kept(self.line.shapers[1].add_lane(&egress, self.now));
        assert_eq!(lane, same, "both directions have the same lanes");
        self.line.begin_histograms(lane);
        Place { lane, since: Some(self.now) }
    }

    /// Makes lanes what they are to be, if they are not; whether they were not. The groups are those of before and after.
    fn set_lanes(
        &mut self,
        place: Place,
        were: [&LaneParams; 2],
        lanes: [&LaneParams; 2],
        [old_groups, groups]: [&[GroupId]; 2],
    ) -> bool {
        let mut changed = false;
        for (direction, (was, is)) in Direction::ALL.into_iter().zip(were.into_iter().zip(lanes)) {
            let is = placed(is, groups);
            if placed(was, old_groups) != is {
                let Line { shapers, pool, counters, .. } = &mut *self.line;
                let mut home = Home { pool, dropped: &mut counters.dropped, watch: () };
                kept(shapers[direction.index()].set_lane(place.lane, &is, self.now, &mut home));
                changed = true;
            }
        }
        changed
    }
}

/// Parameters with the shapers' group in place of the plan's.
fn placed(lane: &LaneParams, groups: &[GroupId]) -> LaneParams {
    LaneParams { group: lane.group.map(|id| groups[id.0 as usize]), ..lane.clone() }
}

/// Positions of the groups, each after the one that it is in.
fn from_the_top(plan: &Plan) -> Vec<usize> {
    let above = |position: usize| plan.groups[position].group.map(|id| id.0 as usize);
    let depth = |position: usize| std::iter::successors(Some(position), |&position| above(position)).count();
    let mut positions: Vec<_> = (0..plan.groups.len()).collect();
    positions.sort_by_cached_key(|&position| depth(position));
    positions
}

fn is_same_group(old: &Plan, before: usize, new: &Plan, position: usize) -> bool {
    let name = |plan: &Plan, group: Option<GroupId>| group.map(|id| plan.groups[id.0 as usize].id.clone());
    let (was, is) = (&old.groups[before], &new.groups[position]);
    let own = |params: GroupParams| GroupParams { group: None, ..params };
    was.params.map(own) == is.params.map(own) && name(old, was.group) == name(new, is.group)
}

fn is_owner_changed(old: &Plan, before: usize, new: &Plan, position: usize) -> bool {
    let (was, is) = (&old.containers[before], &new.containers[position]);
    was.ports != is.ports || was.addresses != is.addresses
}
