//! What the shaper's integration tests share: reproducible chance, and plain packets.

use portlane_shaper::Arrival;

/// A packet in a buffer of its own length, of the only flow.
pub(crate) fn arrival<P>(packet: P, len: u32) -> Arrival<P> {
    Arrival { packet, len, memory: len, flow: 0, ect: true }
}

/// `SplitMix64` (Steele, Lea and Flood 2014): the same seed gives the same numbers on every machine.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`, both included. The bias of the remainder does not matter here.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// One of `choices`.
    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        let last = choices.len() as u64 - 1;
        choices[usize::try_from(self.between(0, last)).expect("an index")]
    }

    /// A packet length between 64 and 9000 bytes: small, full, jumbo or anything.
    pub(crate) fn packet_len(&mut self) -> u32 {
        let any = self.between(64, 9_000);
        let len = self.one_of(&[64, 576, 1_514, 9_000, any]);
        u32::try_from(len).expect("at most 9000")
    }
}
