//! What holds between any two calls.

use crate::bucket::Bucket;
use crate::tree::node::{Mode, Slot};
use crate::tree::{LINK, Tree};

impl Tree {
    /// Every active node is where its mode has it, and nobody else is anywhere; who cannot send waits.
    pub(super) fn check_invariants(&mut self) {
        let active = self.leaves.iter().filter(|leaf| leaf.node.active != 0).count();
        assert_eq!(active, self.active_leaves);
        for leaf in 0..u32::try_from(self.leaves.len()).unwrap() {
            self.check_node(Slot::Leaf(leaf));
            let direct = self.leaves[leaf as usize].node.direct;
            let known = self.leaves[leaf as usize].node.parent.is_some();
            assert!(!known || direct == self.is_direct(leaf), "lane {leaf} is direct: {direct}");
        }
        for inner in 0..u32::try_from(self.inner.len()).unwrap() {
            self.check_node(Slot::Inner(inner));
            let fed = (0..8).filter(|&priority| !self.inner[inner as usize].feeds[priority].is_empty());
            let fed = fed.fold(0, |bits, priority| bits | 1_u8 << priority);
            assert_eq!(self.inner[inner as usize].node.active, fed, "inner node {inner}");
        }
    }

    fn check_node(&mut self, slot: Slot) {
        let (node, number) = match slot {
            Slot::Leaf(number) => (&self.leaves[number as usize].node, number),
            Slot::Inner(number) => (&self.inner[number as usize].node, number),
        };
        if node.parent.is_none() && slot != Slot::Inner(LINK) {
            assert!(node.active == 0 && node.wait == 0, "{slot:?} was removed");
            return;
        }
        let (mode, active, level, position, parent) = (node.mode, node.active, node.level, node.position, node.parent);
        let debt =
            [node.limits.rate(), node.limits.ceil()].into_iter().flatten().any(|bucket| !Bucket::in_credit(bucket));
        assert!(mode == Mode::CanSend || node.wait != 0, "{slot:?} cannot send and does not wait");
        assert!(mode != Mode::CanSend || !debt && node.wait == 0, "{slot:?} can send and owes");
        for priority in 0..8 {
            let member = active & (1 << priority) != 0;
            let in_row = self.rows.round(usize::from(level), priority).has(number);
            assert_eq!(in_row, member && mode == Mode::CanSend, "{slot:?} in its row");
            if let Some(parent) = parent {
                let feed = &self.inner[parent as usize].feeds[priority];
                assert_eq!(feed.has(position), member && mode == Mode::MayBorrow, "{slot:?} in its parent's feed");
            }
        }
    }
}
