//! Changes while lanes have packets.

use proptest::prelude::*;

use super::scene::{group, groups, lane, lanes, nodes, rates, shape, trees};
use crate::params::{Framing, GroupParams, LaneParams, LinkParams, TreeParams};
use crate::tree::{NodeReading, Tree};
use crate::units::{NANOS_PER_SECOND, Nanos};
use crate::{GroupId, LaneId, NodeId};

type Pick = prop::sample::Index;

#[derive(Debug, Clone)]
enum Step {
    AddGroup(GroupParams, Pick),
    SetGroup(Pick, GroupParams, Pick),
    RemoveGroup(Pick),
    AddLane(LaneParams, Pick),
    SetLane(Pick, LaneParams, Pick),
    RemoveLane(Pick),
    SetLink(LinkParams),
    Arrive(Pick),
    Leave(Pick),
    Send(u64, usize, u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pick = any::<Pick>;
    let step = prop_oneof![
        1 => (groups(), pick()).prop_map(|(group, parent)| Step::AddGroup(group, parent)),
        2 => (pick(), groups(), pick()).prop_map(|(group, params, parent)| Step::SetGroup(group, params, parent)),
        1 => pick().prop_map(Step::RemoveGroup),
        2 => (lanes(), pick()).prop_map(|(lane, parent)| Step::AddLane(lane, parent)),
        2 => (pick(), lanes(), pick()).prop_map(|(lane, params, parent)| Step::SetLane(lane, params, parent)),
        1 => pick().prop_map(Step::RemoveLane),
        1 => groups().prop_map(|GroupParams { shape, framing, .. }| {
            Step::SetLink(LinkParams { shape, framing: framing.under(Framing::default()) })
        }),
        6 => pick().prop_map(Step::Arrive),
        1 => pick().prop_map(Step::Leave),
        8 => (0..20_000_000_u64, 1..20_usize, 60..9_000_u32).prop_map(|(pass, most, len)| Step::Send(pass, most, len)),
    ];
    prop::collection::vec(step, 1..120)
}

/// A tree, and what it should be.
struct Scene {
    tree: Tree,
    link: LinkParams,
    groups: Vec<Option<GroupParams>>,
    lanes: Vec<Option<LaneParams>>,
    now: Nanos,
}

fn existing<T>(list: &[Option<T>]) -> Vec<u32> {
    (0..).zip(list).filter(|(_, item)| item.is_some()).map(|(id, _)| id).collect()
}

/// Puts an item where the tree put it: into the lowest free place.
fn put<T>(list: &mut Vec<Option<T>>, id: u32, item: T) {
    let lowest = list.iter().position(Option::is_none).unwrap_or(list.len());
    assert_eq!(lowest, id as usize);
    if lowest == list.len() {
        list.push(None);
    }
    list[lowest] = Some(item);
}

impl Scene {
    fn new(params: TreeParams) -> Self {
        let tree = Tree::new(&params, Nanos::ZERO).unwrap();
        let groups = params.groups.into_iter().map(Some).collect();
        Self { tree, link: params.link, groups, lanes: params.lanes.into_iter().map(Some).collect(), now: Nanos::ZERO }
    }

    fn parent(&self, pick: &Pick) -> Option<GroupId> {
        let groups = existing(&self.groups);
        pick.index(groups.len() + 1).checked_sub(1).map(|at| GroupId(groups[at]))
    }

    fn group(&self, pick: &Pick) -> Option<GroupId> {
        let groups = existing(&self.groups);
        (!groups.is_empty()).then(|| GroupId(*pick.get(&groups)))
    }

    fn lane(&self, pick: &Pick) -> Option<LaneId> {
        let lanes = existing(&self.lanes);
        (!lanes.is_empty()).then(|| LaneId(*pick.get(&lanes)))
    }

    /// Changes; what is refused (circles, groups too deep or not empty) changes nothing.
    fn step(&mut self, step: Step) {
        let now = self.now;
        match step {
            Step::AddGroup(params, parent) => {
                let params = GroupParams { group: self.parent(&parent), ..params };
                if let Ok(id) = self.tree.add_group(params, now) {
                    put(&mut self.groups, id.0, params);
                }
            }
            Step::SetGroup(group, params, parent) => {
                let params = GroupParams { group: self.parent(&parent), ..params };
                if let Some(id) = self.group(&group)
                    && self.tree.set_group(id, params, now).is_ok()
                {
                    self.groups[id.0 as usize] = Some(params);
                }
            }
            Step::RemoveGroup(group) => {
                if let Some(id) = self.group(&group)
                    && self.tree.remove_group(id, now).is_ok()
                {
                    self.groups[id.0 as usize] = None;
                }
            }
            Step::AddLane(params, parent) => {
                let params = LaneParams { group: self.parent(&parent), ..params };
                put(&mut self.lanes, self.tree.add_lane(&params, now).unwrap().0, params);
            }
            Step::SetLane(lane, params, parent) => {
                let params = LaneParams { group: self.parent(&parent), ..params };
                if let Some(id) = self.lane(&lane) {
                    self.tree.set_lane(id, &params, now).unwrap();
                    self.lanes[id.index()] = Some(params);
                }
            }
            Step::RemoveLane(lane) => {
                if let Some(id) = self.lane(&lane) {
                    self.tree.remove_lane(id, now).unwrap();
                    self.lanes[id.index()] = None;
                }
            }
            Step::SetLink(params) => {
                self.tree.set_link(params, now).unwrap();
                self.link = params;
            }
            Step::Arrive(lane) => {
                self.lane(&lane).into_iter().for_each(|id| self.tree.activate(id));
            }
            Step::Leave(lane) => {
                self.lane(&lane).into_iter().for_each(|id| self.tree.deactivate(id));
            }
            Step::Send(pass, most, len) => self.send(pass, most, len),
        }
    }

    fn send(&mut self, pass: u64, most: usize, len: u32) {
        self.now = self.now + Nanos(pass);
        for _ in 0..most {
            self.tree.expire(self.now, |_| (), |_| ());
            match self.tree.choose(self.now) {
                Some(chosen) => self.tree.sent(chosen, len, !len.is_multiple_of(5), self.now),
                None => self.wake(),
            }
            self.tree.check_invariants();
        }
    }

    /// Nothing may be sent before the time that is given, and something then.
    fn wake(&mut self) {
        let at = self.tree.next_wake(self.now);
        if at > self.now + Nanos(NANOS_PER_SECOND) {
            return;
        }
        assert!(at > self.now);
        for (at, sends) in [(at - Nanos(1), false), (at, true)] {
            self.tree.expire(at, |_| (), |_| ());
            assert_eq!(self.tree.choose(at).is_some(), sends);
        }
        self.now = at;
    }

    /// The parameters of the tree as it is now, of groups and lanes that exist only; and their ids in the tree.
    fn fresh(&self) -> (TreeParams, Vec<NodeId>) {
        let groups = existing(&self.groups);
        let renamed =
            |id: Option<GroupId>| id.map(|id| GroupId(u32::try_from(groups.binary_search(&id.0).unwrap()).unwrap()));
        let kept = self.groups.iter().flatten().map(|group| GroupParams { group: renamed(group.group), ..*group });
        let lanes = self.lanes.iter().flatten().map(|lane| LaneParams { group: renamed(lane.group), ..lane.clone() });
        let params = TreeParams { link: self.link, groups: kept.collect(), lanes: lanes.collect() };
        let group_ids = groups.iter().map(|&id| NodeId::Group(GroupId(id)));
        let lane_ids = existing(&self.lanes).into_iter().map(|id| NodeId::Lane(LaneId(id)));
        (params, std::iter::once(NodeId::Link).chain(group_ids).chain(lane_ids).collect())
    }

    /// What follows from the parameters is the same as in a tree that has had them from the beginning.
    fn compare_with_fresh(&self) {
        let (params, ids) = self.fresh();
        let fresh = Tree::new(&params, Nanos::ZERO).unwrap();
        for (new, old) in nodes(&params).zip(ids) {
            let derived = |node: NodeReading| (node.guarantee, node.shape, node.priority, node.quantum, node.level);
            let (new, old) = (fresh.node(new, self.now), self.tree.node(old, self.now));
            assert_eq!(derived(new), derived(old));
            assert!(old.tokens_ns <= new.tokens_ns && old.ctokens_ns <= new.ctokens_ns, "more credit than the burst");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]

    #[test]
    fn a_changed_tree_is_as_one_made_so(params in trees(), steps in steps()) {
        let mut scene = Scene::new(params);
        for step in steps {
            scene.step(step);
            scene.tree.check_invariants();
        }
        scene.compare_with_fresh();
    }
}

/// A group's wait was over, and nobody had looked at its level for a leaf below was busy, when the group came to another level.
#[test]
fn a_group_that_moves_is_found_where_it_is() {
    const LEAF: LaneId = LaneId(0);
    let fast = shape(100_000_000, 100_000_000, 1, 1);
    let params = TreeParams {
        groups: vec![group(None, None), group(Some(0), Some(fast)), group(None, None)],
        lanes: vec![lane(None, Some(rates(1_000_000, 1_000_000))), lane(Some(1), Some(rates(64_000, 100_000_000)))],
        ..TreeParams::default()
    };
    let mut tree = Tree::new(&params, Nanos::ZERO).unwrap();
    for lane in [LEAF, LaneId(1)] {
        tree.activate(lane);
        let chosen = tree.choose(Nanos::ZERO).unwrap();
        assert_eq!(chosen.lane, lane);
        tree.sent(chosen, 1_768, true, Nanos::ZERO);
    }
    let now = Nanos(1_344_000);
    tree.expire(now, |_| (), |_| ());
    let chosen = tree.choose(now).unwrap();
    assert_eq!(chosen.lane, LEAF, "168 bytes more than its burst are earned");
    tree.sent(chosen, 60, false, now);
    tree.set_group(GroupId(0), group(Some(2), None), now).unwrap();
    assert_eq!(tree.choose(now).map(|chosen| chosen.lane), Some(LaneId(1)));
}
