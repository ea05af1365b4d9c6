//! Packets that go straight through.

use super::Shaper;
use crate::LaneId;
use crate::units::Nanos;

/// A shaper of which nothing may leave at a time but what arrives then.
#[derive(Debug)]
pub struct Still<'a, P> {
    pub(super) shaper: &'a mut Shaper<P>,
    pub(super) now: Nanos,
}

/// A shaper in which nobody waits for anything, neither packets nor tokens: as long as it is one, nothing changes as time goes by.
#[derive(Debug)]
pub struct AtRest<'a, P> {
    pub(super) shaper: &'a mut Shaper<P>,
}

impl<P> AtRest<'_, P> {
    /// Whether a packet goes straight through at `now`, as [`Still::pass`] has it; no longer, once one before has left somebody in
    /// debt.
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    #[inline(always)]
    pub fn pass(&mut self, id: LaneId, len: u32, flow: u32, now: Nanos) -> bool {
        if self.shaper.is_owed() {
            return false;
        }
        (self.shaper.woken, self.shaper.still_at) = (Some(now), Some(now));
        Still { shaper: self.shaper, now }.pass(id, len, flow)
    }
}

impl<P> Still<'_, P> {
    /// Whether a packet of `len` bytes and of that flow goes straight through: it finds its lane empty and in credit. If so it
    /// has left; all is as if it had been queued: credit, turns, flows and what is counted. If not, nothing happened.
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    #[inline(always)]
    pub fn pass(&mut self, id: LaneId, len: u32, flow: u32) -> bool {
        let Shaper { tree, lanes, .. } = &mut *self.shaper;
        if !tree.can_send(id) {
            return false;
        }
        let Some(way) = tree.direct_way(id) else { return self.pass_rarely(id, len, flow) };
        if !lanes[id.index()].pass_quickly(flow, len) {
            return self.pass_rarely(id, len, flow);
        }
        if !way.go(len, self.now) {
            tree.owe_directly(id);
        }
        true
    }

    /// What [`pass`](Self::pass) does where that takes more than it mostly does.
    #[inline(never)]
    fn pass_rarely(&mut self, id: LaneId, len: u32, flow: u32) -> bool {
        let passes = self.shaper.lanes[id.index()].pass(flow, len);
        if passes {
            self.shaper.tree.pass(id, len, self.now);
        }
        passes
    }
}
