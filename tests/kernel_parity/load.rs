//! What is sent, and when.

use std::time::Duration;

/// Packets for a leaf at a steady rate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// The leaf, by its place among the leaves.
    pub(crate) leaf: usize,
    pub(crate) sizes: Sizes,
    /// Bits per millisecond.
    pub(crate) kbit: u64,
    /// How many milliseconds of each second, from its beginning, it sends.
    pub(crate) on_ms: u64,
}

impl Load {
    /// All the time.
    pub(crate) fn steady(leaf: usize, size: u32, kbit: u64) -> Self {
        Self { leaf, sizes: Sizes::All(size), kbit, on_ms: 1_000 }
    }

    /// All the time, in all lengths.
    pub(crate) fn mixed(leaf: usize, kbit: u64) -> Self {
        Self { sizes: Sizes::Mixed, ..Self::steady(leaf, 0, kbit) }
    }
}

/// Lengths of packets in bytes, Ethernet header included.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sizes {
    All(u32),
    /// Short, middle-sized and full packets at random, equally often.
    Mixed,
}

/// A packet to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Planned {
    /// Time from the beginning.
    pub(crate) after: Duration,
    pub(crate) leaf: usize,
    pub(crate) len: u32,
}

/// All packets of these loads in `seconds`, in the order in which they are to be sent.
pub(crate) fn plan(loads: &[Load], seconds: u64) -> Vec<Planned> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut planned = Vec::new();
    for load in loads {
        let mut at_ns = 0;
        while at_ns < seconds * 1_000_000_000 {
            let len = load.sizes.draw(&mut random);
            if at_ns % 1_000_000_000 < load.on_ms * 1_000_000 {
                planned.push(Planned { after: Duration::from_nanos(at_ns), leaf: load.leaf, len });
            }
            // Half to one and a half of what the rate says, so that no load keeps step with another.
            let gap_ns = u64::from(len) * 8 * 1_000_000 / load.kbit;
            at_ns += gap_ns / 2 + random.below(gap_ns + 1);
        }
    }
    planned.sort();
    planned
}

impl Sizes {
    fn draw(self, random: &mut Random) -> u32 {
        match self {
            Self::All(size) => size,
            Self::Mixed => [60, 576, 1_514][usize::try_from(random.below(3)).unwrap()],
        }
    }
}

/// Xorshift (Marsaglia 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
