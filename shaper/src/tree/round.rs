//! Members of a round, served in turn in the order of their numbers.

/// A pointer past the last member: the next look-up begins a new round.
const END: u32 = u32::MAX;

/// Bits in a word.
const WORD: u32 = u64::BITS;

/// A set of small numbers: a bitmap, with a bitmap above that tells which words are not empty, and so on up to one word.
#[derive(Debug, Clone, Default)]
pub(super) struct Set {
    top: u64,
    /// The bitmaps below `top`, the members' own first. None as long as all members are below 64.
    layers: Vec<Vec<u64>>,
}

impl Set {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.top == 0
    }

    #[inline]
    pub(super) fn insert(&mut self, member: u32) {
        let mut index = member;
        for layer in &mut self.layers {
            let Some(word) = layer.get_mut((index / WORD) as usize) else { return self.insert_grown(member) };
            let before = *word;
            *word |= 1 << (index % WORD);
            if before != 0 {
                return;
            }
            index /= WORD;
        }
        if index >= WORD {
            return self.insert_grown(member);
        }
        self.top |= 1 << index;
    }

    /// Inserts a member for which the bitmaps are too small.
    #[cold]
    #[inline(never)]
    fn insert_grown(&mut self, member: u32) {
        let mut words = member / WORD;
        let mut depth = 0;
        while words > 0 {
            if depth == self.layers.len() {
                self.layers.push(vec![self.top]);
                self.top = u64::from(self.top != 0);
            }
            let layer = &mut self.layers[depth];
            layer.resize(layer.len().max(words as usize + 1), 0);
            words /= WORD;
            depth += 1;
        }
        self.insert(member);
    }

    #[inline]
    pub(super) fn remove(&mut self, member: u32) {
        let mut index = member;
        for layer in &mut self.layers {
            let Some(word) = layer.get_mut((index / WORD) as usize) else { return };
            *word &= !(1 << (index % WORD));
            if *word != 0 {
                return;
            }
            index /= WORD;
        }
        if index < WORD {
            self.top &= !(1 << index);
        }
    }

    /// The first member that is `from` or above.
    #[inline]
    pub(super) fn first_from(&self, from: u32) -> Option<u32> {
        let mut from = from;
        for (depth, layer) in self.layers.iter().enumerate() {
            let word = layer.get((from / WORD) as usize).copied().unwrap_or(0) & (u64::MAX << (from % WORD));
            if word != 0 {
                return Some(self.descend(depth, from / WORD * WORD + word.trailing_zeros()));
            }
            from = from / WORD + 1;
        }
        let word = if from < WORD { self.top & (u64::MAX << from) } else { 0 };
        (word != 0).then(|| self.descend(self.layers.len(), word.trailing_zeros()))
    }

    /// The first member below a bit of the bitmap that has `depth` bitmaps below it.
    #[inline]
    fn descend(&self, depth: usize, bit: u32) -> u32 {
        self.layers[..depth].iter().rev().fold(bit, |bit, layer| bit * WORD + layer[bit as usize].trailing_zeros())
    }
}

/// A set whose members take turns: a row or a feed of `sch_htb`, a red-black tree of class ids with a pointer there.
#[derive(Debug, Clone)]
pub(super) struct Round {
    members: Set,
    /// Whose turn it is: the first member at or above.
    at: u32,
}

impl Default for Round {
    /// Empty, and at its end, as the kernel's null pointer.
    fn default() -> Self {
        Self { members: Set::default(), at: END }
    }
}

impl Round {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    #[inline]
    pub(super) fn insert(&mut self, member: u32) {
        self.members.insert(member);
    }

    /// Takes a member out that finds its turn again if it comes back before the next look-up (`last_ptr_id`).
    #[inline]
    pub(super) fn remove(&mut self, member: u32) {
        self.members.remove(member);
    }

    /// Takes a member out; if it was its turn, it is the next one's (`htb_remove_class_from_row`).
    #[inline]
    pub(super) fn remove_passing_turn(&mut self, member: u32) {
        if self.at == member {
            self.advance();
        }
        self.members.remove(member);
    }

    /// The member whose turn it is; `None` at the end of the round.
    #[inline]
    pub(super) fn turn(&mut self) -> Option<u32> {
        let member = self.members.first_from(self.at)?;
        self.at = member;
        Some(member)
    }

    /// Makes it the next one's turn (`htb_next_rb_node`).
    #[inline]
    pub(super) fn advance(&mut self) {
        let next = if self.at == END { None } else { self.members.first_from(self.at + 1) };
        self.at = next.unwrap_or(END);
    }

    /// Begins a new round.
    #[inline]
    pub(super) fn rewind(&mut self) {
        self.at = self.members.first_from(0).unwrap_or(END);
    }
}

#[cfg(test)]
impl Round {
    pub(super) fn has(&self, member: u32) -> bool {
        self.members.first_from(member) == Some(member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_set_behaves_like_a_sorted_list(
            ops in prop::collection::vec((prop_oneof![0..3_u32, 0..70_u32, 0..5_000_u32, 0..1_u32 << 20], any::<bool>()), 1..200),
            asked in 0..1_u32 << 20,
        ) {
            let (mut set, mut model) = (Set::default(), BTreeSet::new());
            for (member, insert) in ops {
                if insert {
                    set.insert(member);
                    model.insert(member);
                } else {
                    set.remove(member);
                    model.remove(&member);
                }
                prop_assert_eq!(set.is_empty(), model.is_empty());
                for from in [0, member, member + 1, asked, END] {
                    prop_assert_eq!(set.first_from(from), model.range(from..).next().copied());
                }
            }
        }
    }

    #[test]
    fn turns_go_round_and_survive_an_absence() {
        let mut round = Round::default();
        [3, 5, 900].into_iter().for_each(|member| round.insert(member));
        assert_eq!(round.turn(), None, "a fresh round is at its end");
        round.rewind();
        assert_eq!(round.turn(), Some(3));
        round.advance();
        round.remove(5);
        round.insert(5);
        assert_eq!(round.turn(), Some(5), "found again");
        round.remove(5);
        assert_eq!(round.turn(), Some(900));
        round.insert(5);
        assert_eq!(round.turn(), Some(900), "its turn went on");
        round.advance();
        assert_eq!(round.turn(), None);
        round.rewind();
        round.remove_passing_turn(3);
        round.insert(3);
        assert_eq!(round.turn(), Some(5));
    }
}
