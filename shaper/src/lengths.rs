//! Which lanes have the longest queues, at a cost that does not grow with the number of lanes.
//!
//! Lanes that hold packets are in lists by the power of two of their queue's length. A lane changes lists when its length
//! passes a power of two, which a push or a pop tells from the lengths before and after; so a queue that stands long
//! costs nothing here.

const NONE: u32 = u32::MAX;

/// Lists of lanes with 2^b to 2^(b+1) - 1 packets, by b.
#[derive(Debug)]
pub(crate) struct Lengths {
    /// Bit b: list b is not empty.
    occupied: u32,
    first: [u32; u32::BITS as usize],
    links: Vec<Links>,
}

#[derive(Debug, Clone, Copy)]
struct Links {
    previous: u32,
    next: u32,
}

impl Lengths {
    /// For the lanes `0..lanes`, all empty.
    pub(crate) fn new(lanes: usize) -> Self {
        let links = vec![Links { previous: NONE, next: NONE }; lanes];
        Self { occupied: 0, first: [NONE; u32::BITS as usize], links }
    }

    /// Makes room for lanes up to `lanes`, all new ones empty.
    pub(crate) fn grow(&mut self, lanes: usize) {
        let links = Links { previous: NONE, next: NONE };
        self.links.resize(lanes.max(self.links.len()), links);
    }

    /// The queue of `lane` had `before` packets and has `after`.
    #[inline(always)]
    pub(crate) fn changed(&mut self, lane: u32, before: u32, after: u32) {
        // The highest bits differ.
        if before ^ after > before & after {
            self.change_lists(lane, before, after);
        }
    }

    #[inline(never)]
    fn change_lists(&mut self, lane: u32, before: u32, after: u32) {
        if let Some(list) = before.checked_ilog2() {
            self.unlink(lane, list);
        }
        if let Some(list) = after.checked_ilog2() {
            self.link(lane, list);
        }
    }

    /// The list of the longest queues; `None` if all are empty.
    pub(crate) fn longest(&self) -> Option<u32> {
        self.occupied.checked_ilog2()
    }

    /// The lanes of a list.
    pub(crate) fn members(&self, list: u32) -> impl Iterator<Item = u32> {
        let known = |&lane: &u32| lane != NONE;
        let first = Some(self.first[list as usize]).filter(known);
        std::iter::successors(first, move |&lane| Some(self.links[lane as usize].next).filter(known))
    }

    fn link(&mut self, lane: u32, list: u32) {
        let next = std::mem::replace(&mut self.first[list as usize], lane);
        if next != NONE {
            self.links[next as usize].previous = lane;
        }
        self.links[lane as usize] = Links { previous: NONE, next };
        self.occupied |= 1 << list;
    }

    fn unlink(&mut self, lane: u32, list: u32) {
        let Links { previous, next } = self.links[lane as usize];
        if next != NONE {
            self.links[next as usize].previous = previous;
        }
        if previous != NONE {
            self.links[previous as usize].next = next;
        } else {
            self.first[list as usize] = next;
            if next == NONE {
                self.occupied &= !(1 << list);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LANES: u32 = 12;

    proptest! {
        /// Every lane is in the list of its length, once, and nowhere else.
        #[test]
        fn lists_follow_lengths(changes in prop::collection::vec((0..LANES, prop_oneof![0..9_u32, any::<u32>()]), 0..200)) {
            let mut lengths = Lengths::new(LANES as usize);
            let mut model = [0; LANES as usize];
            for (lane, after) in changes {
                let before = std::mem::replace(&mut model[lane as usize], after);
                lengths.changed(lane, before, after);
                prop_assert_eq!(lengths.longest(), model.iter().copied().max().and_then(u32::checked_ilog2));
                for list in 0..u32::BITS {
                    let mut members: Vec<u32> = lengths.members(list).collect();
                    members.sort_unstable();
                    let expected = (0..LANES).filter(|&lane| model[lane as usize].checked_ilog2() == Some(list));
                    prop_assert_eq!(members, expected.collect::<Vec<_>>());
                }
            }
        }
    }
}
