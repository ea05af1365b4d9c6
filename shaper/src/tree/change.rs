//! Adding, changing and removing nodes, while lanes have packets.
//!
//! Every change is made whole or refused. Credit and debt of a node stay its own, in bytes, wherever it goes; credit is cut
//! to its new bursts. Who waits his turn keeps it where the round that he stands in stays the same.

use super::node::{Inner, Leaf, Slot, Spec};
use super::{LINK, Tree, TreeError, check, parent_slot};
use crate::params::{GroupParams, LaneParams, LinkParams, NodeId};
use crate::tree::check::Rule;
use crate::units::Nanos;
use crate::{GroupId, LaneId};

impl Tree {
    /// Changes the link.
    ///
    /// # Errors
    ///
    /// If the parameters break a [`Rule`].
    pub(crate) fn set_link(&mut self, params: LinkParams, now: Nanos) -> Result<(), TreeError> {
        check::link(&params)?;
        let link = &mut self.inner[LINK as usize];
        link.spec = Spec::from(&params);
        self.set_link_guarantee(now);
        self.rebalance(LINK, now);
        self.inherit(LINK);
        Ok(())
    }

    /// Adds a group, under the lowest id that is free.
    ///
    /// # Errors
    ///
    /// If the parameters break a [`Rule`].
    pub(crate) fn add_group(&mut self, params: GroupParams, now: Nanos) -> Result<GroupId, TreeError> {
        let inner = self.free_groups.first_from(0).map_or(self.inner.len(), |id| id as usize + 1);
        let inner = u32::try_from(inner).expect("no more than 2^20 groups");
        let id = GroupId(inner - 1);
        let room = Self::check_room(id.0 as usize);
        room.and_then(|()| self.check_group(None, &params)).map_err(|rule| rule.at(NodeId::Group(id)))?;
        let group = Inner::new(0, Spec::from(&params));
        match self.inner.get_mut(inner as usize) {
            Some(free) => *free = group,
            None => self.inner.push(group),
        }
        self.free_groups.remove(id.0);
        self.waiting.grow(self.leaves.len(), self.inner.len());
        self.adopt(Slot::Inner(inner), params.group);
        self.settle_group(inner, parent_slot(params.group), now);
        Ok(id)
    }

    /// Changes a group. It may move to another group, with all that is in it.
    ///
    /// # Errors
    ///
    /// If the parameters break a [`Rule`], or there is no such group.
    pub(crate) fn set_group(&mut self, id: GroupId, params: GroupParams, now: Nanos) -> Result<(), TreeError> {
        let inner = self.find_group(Some(id)).ok_or(Rule::Unknown.at(NodeId::Group(id)))?;
        self.check_group(Some(id), &params).map_err(|rule| rule.at(NodeId::Group(id)))?;
        let group = &mut self.inner[inner as usize];
        let old = group.spec.priority;
        let parent = parent_slot(params.group);
        let moves = group.node.parent != Some(parent);
        // Those below that have packets stand in rows and feeds by the old priority, and by the old levels.
        let taken = if moves || old != params.priority { self.take_out(inner) } else { Vec::new() };
        self.inner[inner as usize].spec = Spec::from(&params);
        if moves {
            self.give_away(Slot::Inner(inner), now);
            self.adopt(Slot::Inner(inner), params.group);
        }
        self.settle_group(inner, parent, now);
        taken.into_iter().for_each(|lane| self.activate(lane));
        Ok(())
    }

    /// Removes a group that has no members.
    ///
    /// # Errors
    ///
    /// If it has members, or there is no such group.
    pub(crate) fn remove_group(&mut self, id: GroupId, now: Nanos) -> Result<(), TreeError> {
        let inner = self.find_group(Some(id)).ok_or(Rule::Unknown.at(NodeId::Group(id)))?;
        if self.inner[inner as usize].children.iter().any(Option::is_some) {
            return Err(Rule::NotEmpty.at(NodeId::Group(id)));
        }
        self.forget_wait(Slot::Inner(inner));
        self.give_away(Slot::Inner(inner), now);
        self.free_groups.insert(id.0);
        Ok(())
    }

    /// Adds a lane without packets, under the lowest id that is free.
    ///
    /// # Errors
    ///
    /// If the parameters break a [`Rule`].
    pub(crate) fn add_lane(&mut self, params: &LaneParams, now: Nanos) -> Result<LaneId, TreeError> {
        let id = self.next_lane();
        let room = Self::check_room(id.index());
        room.and_then(|()| self.check_lane(params)).map_err(|rule| rule.at(NodeId::Lane(id)))?;
        let slot = self.new_leaf(params);
        self.waiting.grow(self.leaves.len(), self.inner.len());
        self.adopt(slot, params.group);
        self.rebalance(parent_slot(params.group), now);
        self.refresh_leaf(id.0);
        Ok(id)
    }

    /// Changes a lane. It may move to another group.
    ///
    /// # Errors
    ///
    /// If the parameters break a [`Rule`], or there is no such lane.
    pub(crate) fn set_lane(&mut self, id: LaneId, params: &LaneParams, now: Nanos) -> Result<(), TreeError> {
        let slot = self.find_lane(id)?;
        self.check_lane(params).map_err(|rule| rule.at(NodeId::Lane(id)))?;
        let parent = parent_slot(params.group);
        let node = self.at_mut(slot);
        let (active, moves) = (node.active != 0, node.parent != Some(parent));
        let taken = active && (moves || self.specs[id.index()].priority != params.share.priority);
        if taken {
            self.deactivate(id);
        }
        self.specs[id.index()] = Spec::from(params);
        if moves {
            self.give_away(slot, now);
            self.adopt(slot, params.group);
        }
        self.rebalance(parent, now);
        self.refresh_leaf(id.0);
        if taken {
            self.activate(id);
        }
        Ok(())
    }

    /// Removes a lane, whether or not it has packets.
    ///
    /// # Errors
    ///
    /// If there is no such lane.
    pub(crate) fn remove_lane(&mut self, id: LaneId, now: Nanos) -> Result<(), TreeError> {
        let slot = self.find_lane(id)?;
        self.deactivate(id);
        self.unpark(id);
        self.forget_wait(slot);
        self.give_away(slot, now);
        self.free_lanes.insert(id.0);
        Ok(())
    }

    /// A leaf that has no parent yet.
    pub(super) fn new_leaf(&mut self, params: &LaneParams) -> Slot {
        let id = self.next_lane();
        let (leaf, spec) = (Leaf::new(), Spec::from(params));
        match self.leaves.get_mut(id.index()) {
            Some(free) => {
                *free = leaf;
                self.specs[id.index()] = spec;
            }
            None => {
                self.leaves.push(leaf);
                self.specs.push(spec);
            }
        }
        self.free_lanes.remove(id.0);
        Slot::Leaf(id.0)
    }

    /// Gives a node without a parent its place among the children of one.
    pub(super) fn adopt(&mut self, slot: Slot, group: Option<GroupId>) {
        let parent = parent_slot(group);
        let inner = &mut self.inner[parent as usize];
        let position = inner.vacant.first_from(0).unwrap_or_else(|| {
            inner.children.push(None);
            u32::try_from(inner.children.len() - 1).expect("no more than 2^21 nodes")
        });
        inner.vacant.remove(position);
        inner.children[position as usize] = Some(slot);
        let node = self.at_mut(slot);
        node.parent = Some(parent);
        node.position = position;
    }

    /// Brings a group, and what is above and below it, to what it is asked to be and where it is.
    fn settle_group(&mut self, inner: u32, parent: u32, now: Nanos) {
        self.inner[inner as usize].node.level = self.inner[parent as usize].node.level - 1;
        self.inherit(inner);
        self.inner[inner as usize].demand = self.demand_of_inner(inner);
        self.rebalance(parent, now);
    }

    /// Takes a node without packets from its parent.
    fn give_away(&mut self, slot: Slot, now: Nanos) {
        let node = self.at_mut(slot);
        let position = node.position;
        if let Some(parent) = node.parent.take() {
            let inner = &mut self.inner[parent as usize];
            inner.children[position as usize] = None;
            inner.vacant.insert(position);
            self.rebalance(parent, now);
        }
    }

    /// Deactivates the lanes below an inner node; returns those that were active.
    fn take_out(&mut self, inner: u32) -> Vec<LaneId> {
        let mut taken = Vec::new();
        let mut below = vec![inner];
        while let Some(inner) = below.pop() {
            for position in 0..self.inner[inner as usize].children.len() {
                match self.inner[inner as usize].children[position] {
                    Some(Slot::Inner(child)) => below.push(child),
                    Some(Slot::Leaf(leaf)) if self.leaves[leaf as usize].node.active != 0 => {
                        self.deactivate(LaneId(leaf));
                        taken.push(LaneId(leaf));
                    }
                    Some(Slot::Leaf(_)) | None => {}
                }
            }
        }
        taken
    }

    fn forget_wait(&mut self, slot: Slot) {
        self.waiting.remove(slot);
        self.at_mut(slot).wait = 0;
    }

    fn next_lane(&self) -> LaneId {
        let id = self.free_lanes.first_from(0);
        LaneId(id.unwrap_or_else(|| u32::try_from(self.leaves.len()).expect("no more than 2^20 lanes")))
    }

    fn find_lane(&self, id: LaneId) -> Result<Slot, TreeError> {
        let leaf = self.leaves.get(id.index()).filter(|leaf| leaf.node.parent.is_some());
        leaf.map(|_| Slot::Leaf(id.0)).ok_or(Rule::Unknown.at(NodeId::Lane(id)))
    }
}
