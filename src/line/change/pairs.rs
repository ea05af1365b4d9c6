//! Who of a new plan was there before.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::config::{Container, Mode, Plan};
use crate::line::Line;

/// Containers that two plans share, where they share the groups too: nothing of them changes. So that most of a plan need not be
/// looked at when little of it changes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shared {
    /// How many at the beginning of both.
    first: usize,
    /// How many at the end of both.
    last: usize,
}

impl Shared {
    pub(super) fn by(old: &Plan, new: &Plan) -> Self {
        if !Arc::ptr_eq(&old.groups, &new.groups) {
            return Self { first: 0, last: 0 };
        }
        let same = |&(old, new): &(&Arc<Container>, &Arc<Container>)| Arc::ptr_eq(old, new);
        let first = old.containers.iter().zip(&new.containers).take_while(same).count();
        let rest = old.containers[first..].iter().rev().zip(new.containers[first..].iter().rev());
        Self { first, last: rest.take_while(same).count() }
    }

    /// The positions of those of a plan that are not shared.
    pub(super) fn between(self, plan: &Plan) -> Range<usize> {
        self.first..plan.containers.len() - self.last
    }
}

/// Who of a new plan was there before.
pub(super) struct Pairs {
    /// By the position of a new group: its old position.
    pub(super) groups: Vec<Option<usize>>,
    /// By the position of an old group: whether it stays.
    pub(super) stays: Vec<bool>,
    /// Of the new containers that are not shared.
    pub(super) containers: Vec<Before>,
}

/// What a container of a new plan was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    Nothing,
    /// The old container at this position.
    Container(usize),
    /// The one that was leaving, at this position among those.
    Leaving(usize),
    /// The old container at this position, whose limits held and no longer do, or the other way round: what it counted was of
    /// another kind, so it gets new lanes.
    OfOtherMode(usize),
}

impl Pairs {
    pub(super) fn of<D>(old: &Plan, new: &Plan, shared: Shared, line: &Line<D>) -> Self {
        let old_groups: HashMap<_, _> = old.groups.iter().map(|group| group.id.as_str()).zip(0..).collect();
        let groups: Vec<_> = new.groups.iter().map(|group| old_groups.get(group.id.as_str()).copied()).collect();
        let mut stays = vec![false; old.groups.len()];
        groups.iter().flatten().for_each(|&position| stays[position] = true);
        let leaving = line.places.leaving.iter().map(|leaving| (leaving.id.as_str(), leaving.mode));
        let mut before: HashMap<_, _> = leaving.zip((0..).map(Before::Leaving)).collect();
        let containers = || shared.between(old).map(|position| (&*old.containers[position], position));
        before.extend(containers().map(|(one, position)| ((one.id.as_str(), one.mode), Before::Container(position))));
        let by_id: HashMap<_, _> = containers().map(|(one, position)| (one.id.as_str(), position)).collect();
        let find = |id: &str, mode: Mode| match (before.get(&(id, mode)), by_id.get(id)) {
            (Some(&before), None) => before,
            (Some(&before @ Before::Container(_)), _) => before,
            (_, Some(&position)) => Before::OfOtherMode(position),
            (None, None) => Before::Nothing,
        };
        let containers = new.containers[shared.between(new)].iter();
        Self { groups, stays, containers: containers.map(|container| find(&container.id, container.mode)).collect() }
    }
}
