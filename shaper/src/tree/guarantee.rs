//! What each node is guaranteed: its rate, or what is left of its parent's guarantee.
//!
//! A node *wants* its own rate; a group without one wants what its children want together. Where the parent is guaranteed
//! at least what its children want, each gets that, and what is left is shared out by weight among those without a rate of
//! their own. Else the children get less in proportion, and those without a rate keep a [`RESERVE`] of the parent's
//! guarantee. So the guarantees of children never exceed the parent's (but for a bit a second each, where a share comes to
//! less), and no node is driven above its ceil by what it lends. Under a node that is not limited all get their rates, and
//! those without are not limited either.

use super::node::Slot;
use super::{LEVELS, LINK, Tree};
use crate::units::{Nanos, Rate};

/// The children without a rate share at least this part of their parent's guarantee: 1/1024.
const RESERVE: u128 = 1_024;

/// tc's `r2q`: a quantum is what the rate sends in a second, divided by this.
const RATE_TO_QUANTUM: u64 = 10;
/// Bytes that a quantum from a rate has at least and at most.
const MIN_QUANTUM: u64 = 1_000;
const MAX_QUANTUM: u64 = 200_000;
/// Bytes that a lane without a rate sends at least: an Ethernet frame.
const FRAME: u64 = 1_514;

/// How a node's guarantee is divided, in bits a second.
#[derive(Debug, Clone, Copy)]
struct Division {
    /// What the children want together, and what is there for that.
    wanted: u128,
    granted: u128,
    /// What those without a rate share, and their weights together.
    spare: u128,
    weights: u128,
}

impl Division {
    fn of(guarantee: Rate, wanted: u128, weights: u128) -> Self {
        let total = u128::from(guarantee.bits_per_second());
        let reserve = if weights > 0 { total / RESERVE } else { 0 };
        let granted = wanted.min(total - reserve);
        Self { wanted, granted, spare: total - granted, weights }
    }

    /// What a child is guaranteed: at least 1 bit a second. `weight`: that of a child without a rate.
    fn guarantee(self, wants: u64, weight: Option<u32>) -> Rate {
        let granted = (u128::from(wants) * self.granted).checked_div(self.wanted).unwrap_or(0);
        let spare = weight.and_then(|weight| (self.spare * u128::from(weight)).checked_div(self.weights)).unwrap_or(0);
        let bits = u64::try_from(granted + spare).unwrap_or(u64::MAX);
        Rate::from_bits_per_second(bits.max(1)).unwrap_or(Rate::MAX)
    }
}

impl Tree {
    /// Works out all that follows from the parameters, for a tree in which nobody has a packet.
    pub(super) fn settle_all(&mut self, now: Nanos) {
        self.measure(LINK);
        self.set_link_guarantee(now);
        self.distribute(LINK, None, now);
        self.inherit(LINK);
    }

    /// Works out what follows from a change of an inner node's children, for these and as far up and down as it matters.
    pub(super) fn rebalance(&mut self, inner: u32, now: Nanos) {
        let mut path = Vec::new();
        let mut top = inner;
        loop {
            path.push(top);
            let demand = self.demand_of_inner(top);
            let node = &mut self.inner[top as usize];
            let before = std::mem::replace(&mut node.demand, demand);
            match node.node.parent {
                Some(parent) if before != demand => top = parent,
                _ => break,
            }
        }
        self.distribute(top, Some(&path), now);
        self.wake = None;
    }

    /// The link is guaranteed its rate.
    pub(super) fn set_link_guarantee(&mut self, now: Nanos) {
        let rate = self.inner[LINK as usize].spec.rate();
        self.set_guarantee(Slot::Inner(LINK), rate, now);
    }

    /// Brings the framing of an inner node, and levels, framings, priorities and quanta below it, to what is above them.
    pub(super) fn inherit(&mut self, inner: u32) {
        self.refresh_framing(Slot::Inner(inner));
        let level = self.inner[inner as usize].node.level;
        for position in 0..self.inner[inner as usize].children.len() {
            match self.inner[inner as usize].children[position] {
                Some(Slot::Inner(child)) => {
                    self.inner[child as usize].node.level = level - 1;
                    self.inherit(child);
                }
                Some(Slot::Leaf(leaf)) => self.refresh_leaf(leaf),
                None => {}
            }
        }
    }

    fn refresh_framing(&mut self, slot: Slot) {
        let above = self.at(slot).parent.map(|parent| self.inner[parent as usize].node.framing);
        self.at_mut(slot).framing = self.spec(slot).framing.under(above.unwrap_or_default());
    }

    /// Brings a lane's framing, priority and quantum to what it was asked to be, to what it is guaranteed, and to what is above
    /// it.
    pub(super) fn refresh_leaf(&mut self, leaf: u32) {
        self.refresh_framing(Slot::Leaf(leaf));
        let priority = self.priority(Slot::Leaf(leaf));
        let quantum = self.quantum(leaf);
        let direct = self.is_direct(leaf);
        let leaf = &mut self.leaves[leaf as usize];
        leaf.node.direct = direct;
        leaf.priority = priority;
        leaf.quantum = quantum;
        for level in 0..LEVELS {
            let deficit = leaf.deficit_at(level);
            *deficit = (*deficit).min(quantum);
        }
    }

    /// See [`Node::direct`](super::Node::direct).
    pub(super) fn is_direct(&self, leaf: u32) -> bool {
        let (leaf, link) = (&self.leaves[leaf as usize].node, &self.inner[LINK as usize].node);
        let flat = leaf.limits.is_flat() && (link.limits.is_flat() || link.limits.is_open());
        flat && leaf.parent == Some(LINK) && leaf.framing == link.framing
    }

    /// A node's own priority, or the nearest one above.
    pub(super) fn priority(&self, slot: Slot) -> u8 {
        let above = self.ancestors(slot).find_map(|inner| self.inner[inner as usize].spec.priority);
        self.spec(slot).priority.or(above).unwrap_or(0)
    }

    fn quantum(&self, leaf: u32) -> i32 {
        let slot = Slot::Leaf(leaf);
        let spec = self.spec(slot);
        let from_rate = |rate: Rate| (rate.bytes_per_second() / RATE_TO_QUANTUM).clamp(MIN_QUANTUM, MAX_QUANTUM);
        let own = match (spec.quantum, spec.rate()) {
            (Some(quantum), _) => u64::from(quantum),
            (None, Some(rate)) => from_rate(rate),
            (None, None) => self.unweighted_guarantee(slot).map_or(FRAME, |rate| from_rate(rate).max(FRAME)),
        };
        let weights = self.ancestors(slot).map(|inner| u64::from(self.inner[inner as usize].spec.weight));
        let quantum = weights.fold(own.saturating_mul(u64::from(spec.weight)), u64::saturating_mul);
        i32::try_from(quantum).unwrap_or(i32::MAX)
    }

    /// The guarantee of a lane without a rate, without the weights that it was shared out by: its own, and those of the
    /// groups above up to one with a rate.
    fn unweighted_guarantee(&self, slot: Slot) -> Option<Rate> {
        let guarantee = self.at(slot).limits.rate()?.rate().bits_per_second();
        let groups = self.ancestors(slot).map(|inner| &self.inner[inner as usize].spec);
        let shared = groups.take_while(|spec| spec.rate().is_none()).map(|spec| u64::from(spec.weight));
        let weights = shared.fold(u64::from(self.spec(slot).weight), u64::saturating_mul);
        Rate::from_bits_per_second((guarantee / weights).max(1))
    }

    /// Works out what every inner node below wants, and the node itself.
    fn measure(&mut self, inner: u32) {
        for position in 0..self.inner[inner as usize].children.len() {
            if let Some(Slot::Inner(child)) = self.inner[inner as usize].children[position] {
                self.measure(child);
            }
        }
        self.inner[inner as usize].demand = self.demand_of_inner(inner);
    }

    /// What a node wants, in bits a second.
    fn demand(&self, slot: Slot) -> u64 {
        match slot {
            Slot::Leaf(_) => self.spec(slot).rate().map_or(0, Rate::bits_per_second),
            Slot::Inner(inner) => self.inner[inner as usize].demand,
        }
    }

    pub(super) fn demand_of_inner(&self, inner: u32) -> u64 {
        let inner = &self.inner[inner as usize];
        let wanted = || inner.children.iter().flatten().map(|&child| u128::from(self.demand(child))).sum::<u128>();
        let highest = Rate::MAX.bits_per_second();
        inner.spec.rate().map_or_else(|| u64::try_from(wanted()).unwrap_or(highest).min(highest), Rate::bits_per_second)
    }

    fn division(&self, inner: u32) -> Option<Division> {
        let inner = &self.inner[inner as usize];
        let guarantee = inner.node.limits.rate()?.rate();
        let (mut wanted, mut weights) = (0, 0);
        for &child in inner.children.iter().flatten() {
            wanted += u128::from(self.demand(child));
            let spec = self.spec(child);
            weights += if spec.rate().is_none() { u128::from(spec.weight) } else { 0 };
        }
        Some(Division::of(guarantee, wanted, weights))
    }

    /// Divides a node's guarantee among its children; on from there where something changed, and along the path of
    /// change (`None`: everywhere).
    fn distribute(&mut self, inner: u32, path: Option<&[u32]>, now: Nanos) {
        let division = self.division(inner);
        for position in 0..self.inner[inner as usize].children.len() {
            let Some(child) = self.inner[inner as usize].children[position] else { continue };
            let spec = self.spec(child);
            let rate = spec.rate();
            let weight = rate.is_none().then_some(spec.weight);
            let guarantee = division.map_or(rate, |division| Some(division.guarantee(self.demand(child), weight)));
            let changed = self.set_guarantee(child, guarantee, now);
            if let Slot::Inner(child) = child
                && (changed || path.is_none_or(|path| path.contains(&child)))
            {
                self.distribute(child, path, now);
            }
        }
    }

    /// Gives a node its buckets; true if that changes anything. A node in use goes to where its new mode has it.
    fn set_guarantee(&mut self, slot: Slot, guarantee: Option<Rate>, now: Nanos) -> bool {
        let spec = *self.spec(slot);
        let node = self.at_mut(slot);
        if !node.limits.set(guarantee, &spec, now) {
            return false;
        }
        self.update_mode(slot);
        if let Slot::Leaf(leaf) = slot {
            self.refresh_leaf(leaf);
        }
        true
    }
}
