//! Members of a round, served in turn in the order of their numbers.

/// A pointer past the last member: the next look-up begins a new round.
const END: u32 = u32::MAX;

/// Bits in a word.
const WORD: u32 = u64::BITS;

/// A set of small numbers: a bitmap, one above that tells which of its words are not empty, and one above that.
#[derive(Debug, Clone, Default)]
pub(super) struct Set {
    members: Vec<u64>,
    /// A bit for each word of the members.
    words: Vec<u64>,
    /// A bit for each word of the words: a word for as many members as most sets have.
    tops: Vec<u64>,
}

/// The place of a bit: its word, and the word with that bit alone.
#[inline]
fn place(bit: u32) -> (usize, u64) {
    ((bit / WORD) as usize, 1 << (bit % WORD))
}

/// The first bit of a bitmap that is `from` or above, in the word that `from` is in.
#[inline]
fn first_in_word(bitmap: &[u64], from: u32) -> Option<u32> {
    let word = bitmap.get((from / WORD) as usize)? & (u64::MAX << (from % WORD));
    (word != 0).then(|| from / WORD * WORD + word.trailing_zeros())
}

impl Set {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.tops.iter().all(|&word| word == 0)
    }

    #[inline]
    pub(super) fn insert(&mut self, member: u32) {
        let (word, bit) = place(member);
        let Some(members) = self.members.get_mut(word) else { return self.insert_grown(member) };
        let before = *members;
        *members |= bit;
        if before == 0 {
            let (word, bit) = place(member / WORD);
            self.words[word] |= bit;
            let (word, bit) = place(member / WORD / WORD);
            self.tops[word] |= bit;
        }
    }

    /// Inserts a member for which the bitmaps are too small.
    #[cold]
    #[inline(never)]
    fn insert_grown(&mut self, member: u32) {
        let mut last = member;
        for bitmap in [&mut self.members, &mut self.words, &mut self.tops] {
            last /= WORD;
            bitmap.resize(bitmap.len().max(last as usize + 1), 0);
        }
        self.insert(member);
    }

    #[inline]
    pub(super) fn remove(&mut self, member: u32) {
        let (word, bit) = place(member);
        let Some(members) = self.members.get_mut(word) else { return };
        *members &= !bit;
        if *members == 0 {
            self.empty_word(member / WORD);
        }
    }

    /// Removes a member, and tells the next one.
    #[inline]
    fn remove_for_next(&mut self, member: u32) -> Option<u32> {
        let (word, bit) = place(member);
        let members = self.members.get_mut(word)?;
        *members &= !bit;
        // Those below the bit are before it.
        let behind = *members & bit.wrapping_neg();
        if behind != 0 {
            return Some(member / WORD * WORD + behind.trailing_zeros());
        }
        if *members == 0 {
            self.empty_word(member / WORD);
        }
        self.first_of_words_from(member / WORD + 1)
    }

    /// A word of the members has become empty.
    #[inline]
    fn empty_word(&mut self, word: u32) {
        let (above, bit) = place(word);
        self.words[above] &= !bit;
        if self.words[above] == 0 {
            let (top, bit) = place(word / WORD);
            self.tops[top] &= !bit;
        }
    }

    /// The first member that is `from` or above.
    #[inline]
    pub(super) fn first_from(&self, from: u32) -> Option<u32> {
        first_in_word(&self.members, from).or_else(|| self.first_of_words_from(from / WORD + 1))
    }

    /// The first member in a word that is `from` or above.
    #[inline]
    fn first_of_words_from(&self, from: u32) -> Option<u32> {
        let word = first_in_word(&self.words, from).or_else(|| {
            let top = self.first_of_tops_from(from / WORD + 1)?;
            Some(top * WORD + self.words[top as usize].trailing_zeros())
        })?;
        Some(word * WORD + self.members[word as usize].trailing_zeros())
    }

    #[inline]
    fn first_of_tops_from(&self, from: u32) -> Option<u32> {
        first_in_word(&self.tops, from).or_else(|| {
            let above = (from / WORD + 1) as usize;
            let found = self.tops.get(above..)?.iter().position(|&word| word != 0)?;
            let word = u32::try_from(above + found).expect("as many words as a number has");
            Some(word * WORD + self.tops[word as usize].trailing_zeros())
        })
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
            self.leave_turn(member);
        } else {
            self.members.remove(member);
        }
    }

    /// Takes the member out whose turn it is; true if it was the last.
    #[inline]
    pub(super) fn leave_turn(&mut self, member: u32) -> bool {
        let next = self.members.remove_for_next(member);
        self.at = next.unwrap_or(END);
        next.is_none() && self.members.is_empty()
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
