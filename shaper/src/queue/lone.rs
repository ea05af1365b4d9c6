//! The flow of a lane that has only one: what a packet that goes straight through touches of its flows.

use std::hint::select_unpredictable;

use crate::units::Nanos;

/// The only flow of a lane: listed, without packets, and its CoDel has nothing to remember.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lone {
    pub(super) bucket: u16,
    /// In the list of old flows.
    pub(super) old: bool,
    pub(super) deficit: i32,
    /// Of its CoDel.
    pub(super) ldelay: Nanos,
}

/// In [`Seat::listed`]: in the list of old flows.
const OLD: u32 = 1 << u16::BITS;

/// The same: there is no lone flow.
const NOBODY: u32 = u32::MAX;

/// Where a lane keeps its lone flow, if it has one.
#[derive(Debug)]
pub(super) struct Seat {
    /// The bucket, and above it the list: one comparison tells who is there and whether a packet may pass.
    listed: u32,
    deficit: i32,
    ldelay: Nanos,
}

impl Seat {
    pub(super) const EMPTY: Self = Self { listed: NOBODY, deficit: 0, ldelay: Nanos::ZERO };

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.listed == NOBODY
    }

    /// Who is here.
    #[inline]
    pub(super) fn get(&self) -> Option<Lone> {
        let &Self { listed, deficit, ldelay } = self;
        let [low, high, ..] = listed.to_le_bytes();
        let lone = Lone { bucket: u16::from_le_bytes([low, high]), old: listed & OLD != 0, deficit, ldelay };
        (listed != NOBODY).then_some(lone)
    }

    /// A packet of `len` bytes comes to the flow of a bucket and goes. The flow that is here leaves its list for another one, when it is
    /// visited, unless it is among the old ones. Returns whether it is another one; `None`, and nothing happened, if nobody is here,
    /// or one who has nothing left of his deficit or does not leave.
    #[inline(always)]
    pub(super) fn pass(&mut self, bucket: u16, quantum: i32, len: u32) -> Option<bool> {
        let differs = self.listed ^ u32::from(bucket);
        if differs > OLD || self.deficit <= 0 {
            return None;
        }
        let another = differs & u32::from(u16::MAX);
        // Flows come at random.
        let deficit = select_unpredictable(another != 0, quantum, self.deficit);
        self.listed ^= another;
        self.deficit = deficit - len.cast_signed();
        self.ldelay = Nanos::ZERO;
        Some(another != 0)
    }
}

impl From<Lone> for Seat {
    #[inline]
    fn from(Lone { bucket, old, deficit, ldelay }: Lone) -> Self {
        Self { listed: u32::from(bucket) | if old { OLD } else { 0 }, deficit, ldelay }
    }
}

impl Lone {
    /// It is visited until it may send, each time from the end of the old flows.
    #[cold]
    #[inline(never)]
    pub(super) fn revisit(&mut self, quantum: i32) {
        self.deficit += (-self.deficit / quantum + 1) * quantum;
        self.old = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Step by step as `fq_codel_enqueue` and `fq_codel_dequeue`, of which this is the shortest way.
        #[test]
        fn passing_is_as_the_lists_have_it(
            (bucket, old, deficit) in (0..3_u16, any::<bool>(), -2_000..2_000),
            packets in prop::collection::vec((0..3_u16, 0..2_000_u32), 0..20),
        ) {
            let quantum = 1_514;
            let mut lone = Lone { bucket, old, deficit, ldelay: Nanos(7) };
            let mut seat = Seat::from(lone);
            prop_assert_eq!(seat.get(), Some(lone));
            for (bucket, len) in packets {
                let another = bucket != lone.bucket;
                let passes = lone.deficit > 0 && !(another && lone.old);
                prop_assert_eq!(seat.pass(bucket, quantum, len), passes.then_some(another));
                if passes {
                    let before = if another { quantum } else { lone.deficit };
                    lone = Lone { bucket, deficit: before - len.cast_signed(), ldelay: Nanos::ZERO, ..lone };
                }
                prop_assert_eq!(seat.get(), Some(lone));
            }
        }
    }

    #[test]
    fn nobody_lets_nothing_pass() {
        let mut seat = Seat::EMPTY;
        for bucket in 0..=u16::MAX {
            assert_eq!(seat.pass(bucket, 1_514, 60), None);
        }
        assert!(seat.is_empty() && seat.get().is_none());
    }
}
