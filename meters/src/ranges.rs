//! Which of some prefixes an address is in: ranges of addresses, found by a table and then by halving.

use std::cmp::Reverse;

/// An address as a number.
pub(crate) trait Address: Copy + Ord {
    const ZERO: Self;

    /// How far it is behind an earlier one, in steps of 2^`shift` addresses; the last number for more.
    fn steps_from(self, first: Self, shift: u32) -> usize;

    /// The bits of how far it is behind an earlier one.
    fn bits_from(self, first: Self) -> u32;

    /// The address that is so many steps of 2^`shift` addresses behind.
    fn after(self, steps: usize, shift: u32) -> Self;

    /// The address behind this one; `None` behind the last.
    fn next(self) -> Option<Self>;
}

macro_rules! addresses {
    ($($Number:ty),*) => {$(
        impl Address for $Number {
            const ZERO: Self = 0;

            #[inline]
            fn steps_from(self, first: Self, shift: u32) -> usize {
                usize::try_from((self - first) >> shift).unwrap_or(usize::MAX)
            }

            fn bits_from(self, first: Self) -> u32 {
                Self::BITS - (self - first).leading_zeros()
            }

            fn after(self, steps: usize, shift: u32) -> Self {
                let steps = Self::try_from(steps).expect("there are few steps");
                self.saturating_add(steps << shift)
            }

            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }
        }
    )*};
}

addresses!(u32, u128);

/// The largest table: 256 KiB.
const MOST_BITS: u32 = 16;

/// Disjoint ranges that together are all addresses.
#[derive(Debug)]
pub(crate) struct Ranges<A> {
    /// Where each begins, and its class.
    begins: Vec<(A, u32)>,
    /// Where the second one does: from there on the table goes.
    first: A,
    /// The table has steps of 2^`shift` addresses.
    shift: u32,
    /// By steps: the range that the first address of a step is in; the last one is of all that is beyond.
    table: Box<[u32]>,
}

/// A prefix: its first and its last address, and its class.
pub(crate) type Block<A> = (A, A, u32);

impl<A: Address> Ranges<A> {
    /// Ranges of blocks that are all of them nested or apart, each of a class of its own. The class of an address is that of the
    /// smallest block that it is in; 0 if it is in none.
    pub(crate) fn new(mut blocks: Vec<Block<A>>) -> Self {
        // The larger one first.
        blocks.sort_unstable_by_key(|&(first, last, _)| (first, Reverse(last)));
        let mut begins = vec![(A::ZERO, 0)];
        let mut around: Vec<(A, u32)> = Vec::new();
        for (first, last, class) in blocks {
            leave(&mut around, Some(first), &mut begins);
            begin(&mut begins, first, class);
            around.push((last, class));
        }
        leave(&mut around, None, &mut begins);
        Self::with_table(begins)
    }

    fn with_table(begins: Vec<(A, u32)>) -> Self {
        let first = begins.get(1).unwrap_or(&begins[0]).0;
        let span = begins[begins.len() - 1].0.bits_from(first);
        // A few steps for each range, so that most are told by the table alone.
        let bits = (4 * begins.len()).next_power_of_two().trailing_zeros().min(MOST_BITS);
        let shift = span.saturating_sub(bits);
        let number = |range: usize| u32::try_from(range).expect("there are fewer ranges");
        let steps = begins[begins.len() - 1].0.steps_from(first, shift) + 1;
        let mut range = 0;
        let of_step = |step| {
            let at = first.after(step, shift);
            while begins.get(range + 1).is_some_and(|&(begin, _)| begin <= at) {
                range += 1;
            }
            number(range)
        };
        let table = (0..steps).map(of_step).collect::<Vec<_>>();
        let last = number(begins.len() - 1);
        Self { table: table.into_iter().chain([last]).collect(), begins, first, shift }
    }

    /// The class of an address.
    #[inline]
    pub(crate) fn class(&self, address: A) -> u32 {
        if address < self.first {
            return self.begins[0].1;
        }
        let step = address.steps_from(self.first, self.shift).min(self.table.len() - 2);
        let (mut low, mut high) = (self.table[step] as usize, self.table[step + 1] as usize);
        while low < high {
            let middle = usize::midpoint(low, high + 1);
            if self.begins[middle].0 <= address {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        self.begins[low].1
    }
}

/// A range of this class begins here, or the one that does is of it.
fn begin<A: Address>(begins: &mut Vec<(A, u32)>, at: A, class: u32) {
    match begins.last_mut() {
        Some((last, of)) if *last == at => *of = class,
        _ => begins.push((at, class)),
    }
}

/// Behind the blocks that end before an address, all if that is none, the ones around them go on.
fn leave<A: Address>(around: &mut Vec<(A, u32)>, before: Option<A>, begins: &mut Vec<(A, u32)>) {
    while let Some((last, _)) = around.pop_if(|(last, _)| before.is_none_or(|before| *last < before)) {
        if let Some(behind) = last.next() {
            begin(begins, behind, around.last().map_or(0, |&(_, class)| class));
        }
    }
}
