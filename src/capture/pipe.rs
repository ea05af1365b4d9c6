//! The way of frames from a worker to who reads them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam::queue::ArrayQueue;
use crossbeam::utils::CachePadded;
use portlane_shaper::Nanos;

use super::{INTERFACES, Sight};

/// Bytes of frames in a chunk: more than the longest frame has.
const BYTES: usize = 1 << 16;

/// Frames in a chunk.
const SIGHTS: usize = 512;

/// Frames, and their bytes one after the other.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) sights: Vec<Sight>,
    pub(super) bytes: Vec<u8>,
}

impl Chunk {
    fn new() -> Self {
        Self { sights: Vec::with_capacity(SIGHTS), bytes: Vec::with_capacity(BYTES) }
    }

    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.sights.len() < SIGHTS && self.bytes.len() + bytes <= BYTES
    }
}

/// What was seen at each interface, in frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Those that the capture was to have.
    pub seen: [u64; INTERFACES],
    /// Those among them that found no room.
    pub lost: [u64; INTERFACES],
}

impl Counts {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let sum = |one: [u64; INTERFACES], two: [u64; INTERFACES]| std::array::from_fn(|side| one[side] + two[side]);
        Self { seen: sum(self.seen, other.seen), lost: sum(self.lost, other.lost) }
    }
}

/// The way from one worker to who reads: chunks go one way full, and the other way empty. None is made later, and neither side
/// ever waits for the other.
#[derive(Debug)]
pub struct Pipe {
    free: ArrayQueue<Chunk>,
    filled: ArrayQueue<Chunk>,
    /// Everything that was seen until then is in `filled`; the end of time when the tap is gone.
    until: CachePadded<AtomicU64>,
    seen: [AtomicU64; INTERFACES],
    lost: [AtomicU64; INTERFACES],
    closed: AtomicBool,
}

impl Pipe {
    /// A pipe of about so many bytes: two chunks at least.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let each = BYTES + SIGHTS * size_of::<Sight>();
        let chunks = usize::try_from(bytes).unwrap_or(usize::MAX).div_ceil(each).max(2);
        let (free, filled) = (ArrayQueue::new(chunks), ArrayQueue::new(chunks));
        // There is room for all.
        (0..chunks).for_each(|_| drop(free.push(Chunk::new())));
        Self {
            free,
            filled,
            until: CachePadded::new(AtomicU64::new(0)),
            seen: Default::default(),
            lost: Default::default(),
            closed: AtomicBool::new(false),
        }
    }

    /// Tells the tap that nobody reads any more.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// What the tap has counted so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |counts: &[AtomicU64; INTERFACES]| counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        Counts { seen: read(&self.seen), lost: read(&self.lost) }
    }

    /// A chunk to be filled, if there is one.
    pub(super) fn take_free(&self) -> Option<Chunk> {
        self.free.pop()
    }

    /// Gives a chunk to the reader.
    pub(super) fn fill(&self, chunk: Chunk) {
        // As many have room as there are.
        drop(self.filled.push(chunk));
    }

    /// Everything until then has been given to the reader.
    pub(super) fn publish(&self, counts: &Counts, until: Nanos) {
        for side in 0..INTERFACES {
            self.seen[side].store(counts.seen[side], Ordering::Relaxed);
            self.lost[side].store(counts.lost[side], Ordering::Relaxed);
        }
        self.until.store(until.0, Ordering::Release);
    }

    /// Until when all chunks are there to be [taken](Self::take_filled).
    pub(super) fn until(&self) -> Nanos {
        Nanos(self.until.load(Ordering::Acquire))
    }

    pub(super) fn take_filled(&self) -> Option<Chunk> {
        self.filled.pop()
    }

    /// A chunk has been read.
    pub(super) fn give_back(&self, mut chunk: Chunk) {
        chunk.sights.clear();
        chunk.bytes.clear();
        drop(self.free.push(chunk));
    }
}
