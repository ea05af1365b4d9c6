//! Straight through a tree in which nobody may send: what [`activate`](Tree::activate), [`choose`](Tree::choose) and
//! [`sent`](Tree::sent) come to for a packet that leaves as it arrives.

use portlane_stats::counters::Volume;

use super::node::{Bill, Limits, Mode, Slot};
use super::{LINK, Tree};
use crate::LaneId;
use crate::bucket::{Bucket, Cost};
use crate::params::Framing;
use crate::units::Nanos;

impl Tree {
    /// Whether no leaf may send, and no wait has ended since [`choose`](Self::choose) said so.
    #[inline]
    pub(crate) fn is_still(&self) -> bool {
        self.rows.levels() | self.waiting.levels() == 0
    }

    /// Whether the tree [is still](Self::is_still), and nobody waits for tokens: nothing changes as time goes by.
    #[inline]
    pub(crate) fn is_at_rest(&self) -> bool {
        self.is_still() && self.waiting.is_empty() && self.parked.is_empty()
    }

    /// Whether anybody waits for tokens.
    #[inline]
    pub(crate) fn has_waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether the leaf can neither send nor borrow.
    #[inline(always)]
    pub(crate) fn owes(&self, lane: LaneId) -> bool {
        self.leaves[lane.index()].node.mode == Mode::CantSend
    }

    /// Whether the leaf is in credit.
    #[inline(always)]
    pub(crate) fn can_send(&self, lane: LaneId) -> bool {
        self.leaves[lane.index()].node.mode == Mode::CanSend
    }

    /// The way of a packet of an inactive leaf straight through, if that is as short as it mostly is: the leaf is
    /// [direct](super::node::Node::direct), and the link can send as well.
    #[inline(always)]
    pub(crate) fn direct_way(&mut self, lane: LaneId) -> Option<DirectWay<'_>> {
        let leaf = &mut self.leaves[lane.index()];
        let link = &mut self.inner.first_mut()?.node;
        if !leaf.node.direct || link.mode != Mode::CanSend || leaf.deficit < 0 {
            return None;
        }
        let Limits::Flat(own) = &mut leaf.node.limits else { return None };
        Some(DirectWay {
            deficit: &mut leaf.deficit,
            quantum: &leaf.quantum,
            framing: &leaf.node.framing,
            passed: (&mut leaf.passed_packets, &mut leaf.passed_bytes),
            sent: (&mut link.sent_packets, &mut link.sent_bytes),
            own,
            shared: &mut link.limits,
            wake: &mut self.wake,
        })
    }

    /// After a [`DirectWay`] was gone that left a leaf or the link in debt.
    #[cold]
    #[inline(never)]
    pub(crate) fn owe_directly(&mut self, lane: LaneId) {
        for slot in [Slot::Leaf(lane.0), Slot::Inner(LINK)] {
            let node = self.at_mut(slot);
            if node.limits.mode() != node.mode {
                node.overlimits += 1;
                self.update_mode(slot);
            }
        }
    }

    /// A packet of an inactive leaf that [can send](Self::can_send) goes straight through while the tree
    /// [is still](Self::is_still): it is charged and counted, as [`activate`](Self::activate), [`choose`](Self::choose) and
    /// [`sent`](Self::sent) would. Nobody else is in the row that the leaf would be in, so it is its turn until it is not in
    /// deficit, and the row is left at its end.
    pub(crate) fn pass(&mut self, lane: LaneId, len: u32, now: Nanos) {
        let leaf = &mut self.leaves[lane.index()];
        self.wake = None;
        leaf.passed_packets += 1;
        leaf.passed_bytes += u64::from(len);
        leaf.take_turn(len);
        let mut node = &mut leaf.node;
        let mut bill = Bill::new(node.framing, len);
        if node.pay(&bill, 0, now) {
            self.update_leaf_mode(lane.0);
            node = &mut self.leaves[lane.index()].node;
        }
        while let Some(inner) = node.parent {
            node = &mut self.inner[inner as usize].node;
            node.count(len);
            bill = bill.under(node.framing);
            if node.pay(&bill, 0, now) {
                self.update_inner_mode(inner);
                node = &mut self.inner[inner as usize].node;
            }
        }
    }

    /// What [passed](Self::pass) of a lane.
    pub(crate) fn passed(&self, lane: LaneId) -> Volume {
        self.leaves[lane.index()].passed()
    }

    /// A packet that passed is counted as the others are.
    pub(crate) fn unpass(&mut self, lane: LaneId, len: u32) {
        let leaf = &mut self.leaves[lane.index()];
        leaf.passed_packets -= 1;
        leaf.passed_bytes -= u64::from(len);
        leaf.node.count(len);
        leaf.node.lended += 1;
    }
}

/// What a packet has to do with on its way through a leaf and the link.
#[must_use]
pub(crate) struct DirectWay<'a> {
    deficit: &'a mut i32,
    quantum: &'a i32,
    framing: &'a Framing,
    /// Packets and bytes, of the leaf and of the link.
    passed: (&'a mut u64, &'a mut u64),
    sent: (&'a mut u64, &'a mut u64),
    own: &'a mut Bucket,
    /// Flat, or open.
    shared: &'a mut Limits,
    wake: &'a mut Option<Nanos>,
}

impl DirectWay<'_> {
    /// A packet goes it, which a lane takes: it is charged and counted, as [`Tree::pass`] does. False if somebody [owes](Tree::owe_directly) now.
    #[inline(always)]
    pub(crate) fn go(self, len: u32, now: Nanos) -> bool {
        *self.wake = None;
        *self.passed.0 += 1;
        *self.passed.1 += u64::from(len);
        *self.sent.0 += 1;
        *self.sent.1 += u64::from(len);
        *self.deficit -= len.cast_signed();
        if *self.deficit < 0 {
            *self.deficit += *self.quantum;
        }
        let cost = Cost::on_wire_of_short(*self.framing, len);
        self.own.refill(now);
        let own = self.own.spend(cost);
        // The link pays whatever the leaf has left.
        let Limits::Flat(shared) = self.shared else { return own };
        shared.refill_once(now);
        own & shared.spend(cost)
    }
}
