//! The turn of a leaf right under the link: what [`choose`](Tree::choose) and [`sent`](Tree::sent) come to where nobody lends.

use super::node::{Bill, Inner, Leaf, Limits, Mode, Slot};
use super::rows::Rows;
use super::waiting::Waiting;
use super::{Chosen, LINK, Tree};
use crate::LaneId;
use crate::units::Nanos;

/// It is the turn of a leaf that is [direct](super::node::Node::direct), and what its packet has to do with is at hand.
#[must_use]
pub(crate) struct DirectTurn<'a> {
    lane: u32,
    priority: usize,
    leaf: &'a mut Leaf,
    link: &'a mut Inner,
    rows: &'a mut Rows,
    waiting: &'a mut Waiting,
    active_leaves: &'a mut usize,
}

/// What is left to do after a [turn](DirectTurn).
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Afterwards {
    Nothing,
    /// The link's mode is another: [tell it](Tree::update_link).
    UpdateLink,
}

impl Tree {
    /// The turn that [`choose`](Self::choose) would give, if it is a direct leaf's, which is not in deficit.
    #[inline(always)]
    pub(crate) fn direct_turn(&mut self) -> Option<DirectTurn<'_>> {
        if self.waiting.levels() != 0 {
            return None;
        }
        let priority = self.rows.first_priority(0)?;
        let lane = self.rows.next_leaf(priority);
        let leaf = &mut self.leaves[lane as usize];
        if !leaf.node.direct || leaf.deficit < 0 {
            return None;
        }
        self.wake = None;
        Some(DirectTurn {
            lane,
            priority,
            leaf,
            link: &mut self.inner[LINK as usize],
            rows: &mut self.rows,
            waiting: &mut self.waiting,
            active_leaves: &mut self.active_leaves,
        })
    }

    /// After a [turn](DirectTurn::sent) that says so.
    #[cold]
    #[inline(never)]
    pub(crate) fn update_link(&mut self) {
        self.update_mode(Slot::Inner(LINK));
    }
}

impl DirectTurn<'_> {
    #[inline]
    pub(crate) fn chosen(&self) -> Chosen {
        Chosen { lane: LaneId(self.lane), level: 0 }
    }

    /// The leaf sent `len` bytes, and has more packets to send or has not.
    #[inline(always)]
    pub(crate) fn sent(self, len: u32, more: bool, now: Nanos) -> Afterwards {
        let Self { lane, priority, leaf, link, rows, waiting, active_leaves } = self;
        let node = &mut leaf.node;
        let bill = Bill::new(node.framing, len);
        node.lended += 1;
        node.count(len);
        let mut until = Nanos::MAX;
        if let Limits::Flat(own) = &mut node.limits {
            own.refill_once(now);
            if !own.spend(bill.cost) {
                until = own.credit_at();
                node.mode = Mode::CantSend;
                node.overlimits += 1;
            }
        }
        leaf.deficit -= len.cast_signed();
        let turn_over = leaf.deficit < 0;
        if turn_over {
            leaf.deficit += leaf.quantum;
        }
        if !more {
            node.active = 0;
            *active_leaves -= 1;
        }
        if !more || node.mode == Mode::CantSend {
            rows.leave_turn(priority, lane);
        } else if turn_over {
            rows.round(0, priority).advance();
        }
        // A wait until the end of time is none.
        if until < Nanos::MAX {
            node.wait = waiting.insert(Slot::Leaf(lane), until, more);
        }
        link.node.count(len);
        if link.node.pay(&bill, 0, now) { Afterwards::UpdateLink } else { Afterwards::Nothing }
    }
}
