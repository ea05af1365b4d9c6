//! Choosing, and what follows from sending: `htb_dequeue_tree` and what it calls.

use portlane_hint::{prefetch, prefetch_line};

use super::node::{Bill, Mode, Node, Slot};
use super::rows::bits;
use super::waiting::slot_on;
use super::{Chosen, LEVELS, LINK, Tree};
use crate::LaneId;
use crate::bucket::MAX_PACKET;
use crate::units::Nanos;

impl Tree {
    /// The lane has a packet that may be tried; nothing happens if that was known (`htb_activate`). It is parked no longer.
    #[inline]
    pub(crate) fn activate(&mut self, lane: LaneId) {
        let leaf = &mut self.leaves[lane.index()];
        if leaf.node.active != 0 {
            return;
        }
        leaf.node.active = 1 << leaf.priority;
        let (priorities, waits) = (leaf.node.active, leaf.node.wait != 0);
        self.active_leaves += 1;
        if waits {
            self.waiting.activate(Slot::Leaf(lane.0));
        }
        self.unpark(lane);
        self.link(Slot::Leaf(lane.0), priorities);
        if let Some(wake) = self.wake {
            self.wake = Some(wake.min(self.sends_at(Slot::Leaf(lane.0))));
        }
    }

    /// The lane has no packet that may be tried; nothing happens if that was known (`htb_deactivate`).
    #[inline]
    pub(crate) fn deactivate(&mut self, lane: LaneId) {
        let priorities = self.leaves[lane.index()].node.active;
        if priorities == 0 {
            return;
        }
        self.unlink(Slot::Leaf(lane.0), priorities);
        self.leaves[lane.index()].node.active = 0;
        self.active_leaves -= 1;
        self.wake = None;
    }

    /// An inactive lane asks to be told at `until`, by [`expire`](Self::expire); any earlier wish is forgotten.
    pub(crate) fn park(&mut self, lane: LaneId, until: Nanos) {
        self.unpark(lane);
        self.parked.grow(self.leaves.len());
        self.parked.insert(lane.0, until);
    }

    /// The lane no longer asks to be told.
    pub(crate) fn unpark(&mut self, lane: LaneId) {
        self.parked.remove(lane.0);
    }

    /// Ends the waits that are over at `now`. To be called before [`choose`](Self::choose) whenever time has passed. Parked
    /// lanes whose time has come go to `woken`, and of those that may send now most to `ready`.
    #[inline]
    pub(crate) fn expire(&mut self, now: Nanos, mut woken: impl FnMut(LaneId), mut ready: impl FnMut(LaneId)) {
        self.waiting.expire(now, &mut self.leaves, &self.inner, &mut self.rows, |leaf| ready(LaneId(leaf)));
        if !self.parked.is_empty() {
            self.parked.expire(now, |lane| woken(LaneId(lane)));
        }
    }

    /// The leaf that sends next, if one may at `now`. Nothing is paid for before [`sent`](Self::sent).
    #[inline]
    pub(crate) fn choose(&mut self, now: Nanos) -> Option<Chosen> {
        if self.waiting.levels() == 0
            && let Some(priority) = self.rows.first_priority(0)
        {
            return Some(self.choose_on(0, priority));
        }
        loop {
            let busy = self.rows.levels() | self.waiting.levels();
            if busy == 0 {
                return None;
            }
            let level = busy.trailing_zeros() as usize;
            if self.waiting.levels() & (1 << level) != 0 {
                self.end_waits(level, now);
            }
            if let Some(priority) = self.rows.first_priority(level) {
                return Some(self.choose_on(level, priority));
            }
        }
    }

    /// The leaf sent `len` bytes, and has more packets to send or has not.
    #[inline]
    pub(crate) fn sent(&mut self, chosen: Chosen, len: u32, more: bool, now: Nanos) {
        self.wake = None;
        let leaf = &mut self.leaves[chosen.lane.index()];
        let quantum = leaf.quantum;
        let deficit = leaf.deficit_at(usize::from(chosen.level));
        *deficit -= len.min(MAX_PACKET).cast_signed();
        if *deficit < 0 {
            *deficit += quantum;
            self.pass_turn(chosen.lane.0, usize::from(chosen.level));
        }
        if !more {
            self.deactivate(chosen.lane);
        }
        let node = &mut self.leaves[chosen.lane.index()].node;
        let bill = Bill::new(node.framing, len);
        let (changed, parent) = (node.charge(&bill, chosen.level, now), node.parent);
        if changed {
            self.update_leaf_mode(chosen.lane.0);
        }
        self.charge_above(parent, bill, chosen.level, now);
    }

    /// The nodes from `parent` on upwards pay for a packet that was sent at `level`.
    #[inline]
    fn charge_above(&mut self, mut parent: Option<u32>, mut bill: Bill, level: u8, now: Nanos) {
        while let Some(inner) = parent {
            let node = &mut self.inner[inner as usize].node;
            bill = bill.under(node.framing);
            let changed = node.charge(&bill, level, now);
            parent = node.parent;
            if changed {
                self.update_inner_mode(inner);
            }
        }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn update_leaf_mode(&mut self, leaf: u32) {
        self.update_mode(Slot::Leaf(leaf));
    }

    #[cold]
    #[inline(never)]
    pub(super) fn update_inner_mode(&mut self, inner: u32) {
        self.update_mode(Slot::Inner(inner));
    }

    /// Starts to bring a leaf into the cache.
    #[inline]
    pub(crate) fn prefetch(&self, lane: LaneId) {
        if let Some(leaf) = self.leaves.get(lane.index()) {
            prefetch(leaf);
            prefetch_line(leaf, 1);
        }
    }

    /// Uncounts a packet that was [`sent`](Self::sent), and could not be. It stays paid for.
    pub(crate) fn uncount(&mut self, chosen: Chosen, len: u32) {
        self.on_the_way_up(chosen.lane, |node| {
            node.uncount(len);
            node.lended -= u64::from(node.level == chosen.level);
            node.borrowed -= u64::from(node.level < chosen.level);
        });
    }

    /// Counts a packet that was [uncounted](Self::uncount), and now is sent.
    pub(crate) fn count_again(&mut self, chosen: Chosen, len: u32) {
        self.on_the_way_up(chosen.lane, |node| {
            node.count(len);
            node.lended += u64::from(node.level == chosen.level);
            node.borrowed += u64::from(node.level < chosen.level);
        });
    }

    fn on_the_way_up(&mut self, lane: LaneId, mut see: impl FnMut(&mut Node)) {
        let mut next = Some(Slot::Leaf(lane.0));
        while let Some(slot) = next {
            let node = self.at_mut(slot);
            see(node);
            next = node.parent.map(Slot::Inner);
        }
    }

    /// The leaf turned out to have nothing to send.
    pub(crate) fn skip(&mut self, chosen: Chosen) {
        self.deactivate(chosen.lane);
    }

    /// The leaf whose turn it is in a row that has members. One that is in deficit gets a quantum and waits for its next
    /// turn.
    #[inline]
    fn choose_on(&mut self, level: usize, priority: usize) -> Chosen {
        loop {
            let lane = if level == 0 { self.rows.next_leaf(priority) } else { self.look_up(level, priority) };
            let leaf = &mut self.leaves[lane as usize];
            let quantum = leaf.quantum;
            let deficit = leaf.deficit_at(level);
            if *deficit >= 0 {
                let level = u8::try_from(level).expect("there are ten levels");
                return Chosen { lane: LaneId(lane), level };
            }
            *deficit += quantum;
            self.pass_turn(lane, level);
        }
    }

    /// The leaf that the pointers of a row and of the feeds below point to (`htb_lookup_leaf`). A feed that is at its end
    /// begins a new round when it is visited, and the visitor goes on with the next node above.
    #[inline]
    fn look_up(&mut self, level: usize, priority: usize) -> u32 {
        let mut path = [LINK; LEVELS];
        let mut depth = 0;
        loop {
            let round = match depth {
                0 => self.rows.round(level, priority),
                _ => &mut self.inner[path[depth - 1] as usize].feeds[priority],
            };
            let child = match round.turn() {
                Some(member) if depth == 0 => slot_on(level, member),
                Some(position) => self.inner[path[depth - 1] as usize].children[position as usize]
                    .expect("only children are in a feed"),
                None => {
                    round.rewind();
                    if depth > 0 {
                        depth -= 1;
                        match depth {
                            0 => self.rows.round(level, priority).advance(),
                            _ => self.inner[path[depth - 1] as usize].feeds[priority].advance(),
                        }
                    }
                    continue;
                }
            };
            match child {
                Slot::Leaf(leaf) => return leaf,
                Slot::Inner(inner) => {
                    path[depth] = inner;
                    depth += 1;
                }
            }
        }
    }

    /// Ends a leaf's turn at a level: the round that it is in is its parent's feed, or its row if it lends to itself.
    #[inline]
    fn pass_turn(&mut self, lane: u32, level: usize) {
        let leaf = &self.leaves[lane as usize];
        let priority = usize::from(leaf.priority);
        match leaf.node.parent {
            Some(parent) if level > 0 => self.inner[parent as usize].feeds[priority].advance(),
            _ => self.rows.round(0, priority).advance(),
        }
    }

    /// Sees to the nodes on a level whose wait has ended (`htb_do_events`).
    fn end_waits(&mut self, level: usize, now: Nanos) {
        let list = self.waiting.take_ended(level);
        for ended in &list {
            self.end_wait(slot_on(level, ended.slot), ended.wait, now);
        }
        self.waiting.done(level, list);
    }

    #[inline(never)]
    fn end_wait(&mut self, slot: Slot, wait: u64, now: Nanos) {
        let node = self.at_mut(slot);
        if node.wait == wait {
            node.limits.refill(now);
            self.update_mode(slot);
        }
    }

    /// Brings a node's mode, its place in rows or feeds, and its wait to what its buckets hold
    /// (`htb_change_class_mode`).
    #[inline]
    pub(super) fn update_mode(&mut self, slot: Slot) {
        let node = self.at_mut(slot);
        let (mode, priorities) = (node.limits.mode(), node.active);
        if mode != node.mode {
            self.unlink(slot, priorities);
            self.at_mut(slot).mode = mode;
            self.link(slot, priorities);
        }
        self.renew_wait(slot);
    }

    /// A node waits as long as it cannot send, be it active or not. A wait until the end of time is none.
    #[inline(always)]
    fn renew_wait(&mut self, slot: Slot) {
        let node = self.at_mut(slot);
        let until = node.limits.mode_ends().filter(|&until| until < Nanos::MAX);
        if std::mem::take(&mut node.wait) != 0 {
            self.waiting.remove(slot);
        }
        if let Some(until) = until {
            let active = self.at(slot).active != 0;
            self.at_mut(slot).wait = self.waiting.insert(slot, until, active);
        }
    }

    /// Puts a node where its mode has it: into its row, or into its parent's feed and the parent where that belongs, if it
    /// is not in place already (`htb_activate_prios`).
    #[inline(always)]
    fn link(&mut self, slot: Slot, mut priorities: u8) {
        let mut slot = slot;
        while priorities != 0 {
            let (mode, level, position, parent) = self.place(slot);
            match (mode, parent) {
                (Mode::CanSend, _) => return self.rows.insert(level, priorities, member_of(slot)),
                (Mode::MayBorrow, Some(parent)) => {
                    let inner = &mut self.inner[parent as usize];
                    for priority in bits(priorities) {
                        if !inner.feeds[priority].is_empty() {
                            priorities &= !(1 << priority);
                        }
                        inner.feeds[priority].insert(position);
                    }
                    let begins = inner.node.active == 0 && inner.node.wait != 0;
                    inner.node.active |= priorities;
                    if begins {
                        self.waiting.activate(Slot::Inner(parent));
                    }
                    slot = Slot::Inner(parent);
                }
                (Mode::MayBorrow, None) | (Mode::CantSend, _) => return,
            }
        }
    }

    /// Takes a node from where [`link`](Self::link) put it (`htb_deactivate_prios`).
    #[inline(always)]
    fn unlink(&mut self, slot: Slot, mut priorities: u8) {
        let mut slot = slot;
        while priorities != 0 {
            let (mode, level, position, parent) = self.place(slot);
            match (mode, parent) {
                (Mode::CanSend, _) => return self.rows.remove(level, priorities, member_of(slot)),
                (Mode::MayBorrow, Some(parent)) => {
                    let inner = &mut self.inner[parent as usize];
                    for priority in bits(priorities) {
                        inner.feeds[priority].remove(position);
                        if !inner.feeds[priority].is_empty() {
                            priorities &= !(1 << priority);
                        }
                    }
                    inner.node.active &= !priorities;
                    slot = Slot::Inner(parent);
                }
                (Mode::MayBorrow, None) | (Mode::CantSend, _) => return,
            }
        }
    }

    #[inline(always)]
    fn place(&self, slot: Slot) -> (Mode, usize, u32, Option<u32>) {
        let node = self.at(slot);
        (node.mode, usize::from(node.level), node.position, node.parent)
    }
}

/// A node's number in its row.
#[inline]
fn member_of(slot: Slot) -> u32 {
    match slot {
        Slot::Leaf(member) | Slot::Inner(member) => member,
    }
}
