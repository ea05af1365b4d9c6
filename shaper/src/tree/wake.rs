//! When to ask again.

use super::Tree;
use super::node::{Inner, Leaf, Slot, node_at};
use crate::bucket::Bucket;
use crate::units::Nanos;

impl Tree {
    /// The first time, not before `now`, at which [`choose`](Self::choose) gives a leaf, or a parked lane is woken that it
    /// would give if it were activated; if nothing changes before; [the end of time](Nanos::MAX) if there is none.
    ///
    /// Every active node that waits stands for a leaf below that could send when the node can. Looked at are those whose
    /// wait ends before the earliest answer so far; and only if something was sent since the last time.
    pub(crate) fn next_wake(&mut self, now: Nanos) -> Nanos {
        if self.sends_now() {
            return now;
        }
        let wake = self.wake.unwrap_or_else(|| self.first_to_send());
        self.wake = Some(wake);
        let wake = self.parked.earliest_of(wake, |lane, due| due.max(self.sends_at(Slot::Leaf(lane))));
        wake.max(now)
    }

    /// Whether a leaf may send without any wait having to end.
    #[inline]
    pub(crate) fn sends_now(&self) -> bool {
        self.rows.levels() != 0
    }

    fn first_to_send(&mut self) -> Nanos {
        if self.active_leaves == 0 {
            return Nanos::MAX;
        }
        let Self { waiting, leaves, inner, .. } = self;
        waiting.earliest(|slot| {
            let node = node_at(leaves, inner, slot);
            (node.active != 0).then(|| sends_at(leaves, inner, slot))
        })
    }

    /// The first time at which the node is below its ceil, and has tokens or is lent some.
    pub(super) fn sends_at(&self, slot: Slot) -> Nanos {
        sends_at(&self.leaves, &self.inner, slot)
    }
}

fn sends_at(leaves: &[Leaf], inner: &[Inner], slot: Slot) -> Nanos {
    let node = node_at(leaves, inner, slot);
    let ceil = node.limits.ceil().map_or(Nanos::ZERO, Bucket::credit_at);
    let rate = node.limits.rate().map_or(Nanos::ZERO, Bucket::credit_at);
    match node.parent {
        Some(parent) if rate > ceil => ceil.max(rate.min(sends_at(leaves, inner, Slot::Inner(parent)))),
        _ => ceil.max(rate),
    }
}
