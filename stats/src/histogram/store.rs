//! The histograms of all lanes, laid out for whoever records.

use memmap2::MmapMut;
use portlane_hint::prefetch_at;

use super::{BUCKETS, LaneHistogram, SUB_BITS, bucket_of};

/// Buckets that are copied together.
const OCTAVE: usize = 1 << SUB_BITS;

/// Counts of 8 bits in a cache line: the buckets of two octaves, which is most of what a lane uses.
const LINE: usize = 64;

/// From one lane's counts to the next: an odd number of lines. Were it a power of two, the buckets for one sojourn of all
/// lanes would share a few of the cache's sets.
const STRIDE: usize = BUCKETS + LINE;

/// Records that are on their way to the counts, at most.
const PENDING: usize = 64;

/// From so many lanes on, the counts are more than the near caches hold.
const MANY_LANES: usize = 512;

/// The histograms of all lanes. One writer; reading is copying ([`Histograms::lane`]).
///
/// The counts take 1 KiB a lane, and more where a bucket has seen 256 packets: address space, zeroed by the operating
/// system, of which the pages that nobody records in are never touched. Nothing is allocated after [`Histograms::new`].
///
/// With many lanes a count is in memory, far away, when it is wanted. So its line is asked for, and the count is made some
/// records later, when it has come.
#[derive(Debug)]
pub struct Histograms {
    /// Per lane its maximum plus one; 0 where nothing was recorded.
    peaks: Vec<u64>,
    /// Lane after lane, [`STRIDE`] each, from `first` on: how often each bucket was hit, without what `carried` has.
    counts: MmapMut,
    /// The first of `counts` that begins a cache line.
    first: usize,
    /// In the order of `counts`: how often each went past `u8::MAX`.
    carried: Vec<u64>,
    /// Per lane the octaves of which `carried` has anything, a bit each. What is only read need not become memory either.
    carriers: Vec<u32>,
    /// Places in `counts` to be counted: the first `waiting` of them.
    pending: [usize; PENDING],
    waiting: usize,
    /// Whether records wait in `pending`.
    waits: bool,
}

impl Histograms {
    /// Room for lanes `0..lanes`: 9 kB of address space each, memory only for those that record.
    #[must_use]
    pub fn new(lanes: usize) -> Self {
        let places = lanes * STRIDE + LINE;
        let counts = zeroed(places);
        // Should there be no such place, any will do.
        let first = counts.as_ptr().align_offset(LINE).min(LINE);
        Self {
            peaks: vec![0; lanes],
            counts,
            first,
            carried: vec![0; places],
            carriers: vec![0; lanes],
            pending: [0; PENDING],
            waiting: 0,
            waits: lanes >= MANY_LANES,
        }
    }

    /// The same histograms with room for lanes `0..lanes`, no fewer than before.
    #[must_use]
    pub fn grown(&self, lanes: usize) -> Self {
        let mut grown = Self::new(lanes);
        for lane in (0..self.peaks.len()).filter(|&lane| self.peaks[lane] > 0) {
            grown.peaks[lane] = self.peaks[lane];
            for bucket in 0..BUCKETS {
                let (place, total) = (grown.place(lane, bucket), self.total(lane, bucket));
                let [low, high] = [total & u64::from(u8::MAX), total >> u8::BITS];
                grown.counts[place] = u8::try_from(low).expect("its 8 low bits");
                grown.carried[place] = high;
                grown.carriers[lane] |= u32::from(high > 0) << (bucket / OCTAVE);
            }
        }
        grown
    }

    /// Forgets what a lane has recorded.
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    pub fn clear(&mut self, lane: usize) {
        if self.peaks[lane] == 0 {
            return;
        }
        self.catch_up();
        self.peaks[lane] = 0;
        self.carriers[lane] = 0;
        let places = self.place(lane, 0)..self.place(lane, BUCKETS);
        self.counts[places.clone()].fill(0);
        self.carried[places].fill(0);
    }

    /// Records that a frame spent `ns` nanoseconds in `lane`.
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    #[inline]
    pub fn record(&mut self, lane: usize, ns: u64) {
        let peak = &mut self.peaks[lane];
        if ns >= *peak {
            *peak = ns.saturating_add(1);
        }
        let place = self.place(lane, bucket_of(ns));
        if self.waits {
            self.put_off(place);
        } else {
            self.count(place);
        }
    }

    #[inline]
    fn place(&self, lane: usize, bucket: usize) -> usize {
        self.first + lane * STRIDE + bucket
    }

    #[inline]
    fn count(&mut self, place: usize) {
        let count = &mut self.counts[place];
        *count = count.wrapping_add(1);
        if *count == 0 {
            self.carry(place);
        }
    }

    #[cold]
    fn carry(&mut self, place: usize) {
        self.carried[place] += 1;
        let (lane, bucket) = ((place - self.first) / STRIDE, (place - self.first) % STRIDE);
        self.carriers[lane] |= 1 << (bucket / OCTAVE);
    }

    #[inline]
    fn put_off(&mut self, place: usize) {
        prefetch_at(&self.counts, place);
        if self.waiting == PENDING {
            self.catch_up();
        }
        self.pending[self.waiting % PENDING] = place;
        self.waiting += 1;
    }

    #[inline(never)]
    fn catch_up(&mut self) {
        for pending in 0..self.waiting {
            self.count(self.pending[pending]);
        }
        self.waiting = 0;
    }

    /// A copy of one lane's histogram; for a lane that never recorded, without looking at its memory.
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    #[must_use]
    pub fn lane(&self, lane: usize) -> LaneHistogram {
        let mut buckets = Vec::new();
        let max = self.copy(lane, &mut buckets);
        LaneHistogram { buckets, max }
    }

    /// Appends one lane's used buckets, ascending, and how often each was hit; returns its maximum, 0 if it never recorded.
    ///
    /// # Panics
    ///
    /// If there is no such lane.
    pub fn copy(&self, lane: usize, buckets: &mut Vec<(u16, u64)>) -> u64 {
        let Some(max) = self.peaks[lane].checked_sub(1) else { return 0 };
        let all = self.place(lane, 0)..self.place(lane, BUCKETS);
        let waits = self.pending[..self.waiting].iter().any(|place| all.contains(place));
        for octave in (0..=bucket_of(max)).step_by(OCTAVE) {
            let begin = self.place(lane, octave);
            // What waits may be of any.
            let is_empty = !waits && !self.has_carried(lane, octave) && {
                let counts = &self.counts[begin..begin + OCTAVE];
                counts.iter().fold(0, |any, &count| any | count) == 0
            };
            if !is_empty {
                let octave = (octave..octave + OCTAVE).map(|bucket| (bucket, self.total(lane, bucket)));
                let used = octave.filter(|&(_, count)| count > 0);
                buckets.extend(used.filter_map(|(bucket, count)| Some((u16::try_from(bucket).ok()?, count))));
            }
        }
        max
    }

    /// Counts what is on its way to the counts, so that the next copies are quick.
    pub fn settle(&mut self) {
        self.catch_up();
    }

    /// Whether a bucket's octave has carried.
    fn has_carried(&self, lane: usize, bucket: usize) -> bool {
        self.carriers[lane] >> (bucket / OCTAVE) & 1 > 0
    }

    /// How often a bucket was hit.
    fn total(&self, lane: usize, bucket: usize) -> u64 {
        let place = self.place(lane, bucket);
        let carried = if self.has_carried(lane, bucket) { self.carried[place] << u8::BITS } else { 0 };
        let pending = self.pending[..self.waiting].iter().filter(|&&pending| pending == place).count();
        u64::from(self.counts[place]) + carried + pending as u64
    }
}

/// Zeros, in huge pages where there are enough of them: lanes are looked up at random, and with many a lookup would mostly have to find
/// the page first.
fn zeroed(len: usize) -> MmapMut {
    let zeros = MmapMut::map_anon(len).expect("there is memory for what is counted");
    // Without them it is slower, and that is all.
    #[cfg(target_os = "linux")]
    let _ = zeros.advise(memmap2::Advice::HugePage);
    zeros
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_begin_lines() {
        for lanes in [1, 2, 1_000] {
            let all = Histograms::new(lanes);
            let octaves = &all.counts[all.place(lanes - 1, 64)..];
            assert_eq!(octaves.as_ptr().align_offset(64), 0);
            assert!(octaves.len() >= BUCKETS - 64);
        }
    }

    #[test]
    fn a_full_bucket_carries_instead_of_wrapping() {
        for lanes in [2, MANY_LANES] {
            let mut all = Histograms::new(lanes);
            for _ in 0..200_000 {
                all.record(1, 1_000);
            }
            assert_eq!(all.lane(1).count(), 200_000);
            assert_eq!(all.lane(1).quantile(500), 1_000, "held down to the maximum");
            let place = all.place(1, bucket_of(1_000));
            all.carried[place] = 1 << 40;
            assert_eq!(all.total(1, bucket_of(1_000)), (1 << 48) + 200_000 % (1 << 8));
        }
    }

    #[test]
    fn what_grows_forgets_nothing_and_what_is_cleared_all() {
        for lanes in [3, MANY_LANES] {
            let mut all = Histograms::new(lanes);
            (0..70_000).for_each(|_| all.record(1, 1_000));
            all.record(2, 5);
            let mut grown = all.grown(2 * lanes);
            grown.record(2 * lanes - 1, 7);
            assert_eq!([0, 1, 2].map(|lane| grown.lane(lane)), [0, 1, 2].map(|lane| all.lane(lane)));
            grown.clear(1);
            assert_eq!([1, 2, 2 * lanes - 1].map(|lane| grown.lane(lane).count()), [0, 1, 1]);
            grown.record(1, 9);
            assert_eq!((grown.lane(1).count(), grown.lane(1).max()), (1, 9));
        }
    }

    #[test]
    fn what_is_put_off_is_told_all_the_same() {
        let mut all = Histograms::new(MANY_LANES);
        for n in 0..1_000_u64 {
            all.record(7, 5_000 + n % 2);
            assert_eq!((all.lane(7).count(), all.lane(8).count()), (n + 1, 0));
        }
        assert_eq!(all.lane(7).max(), 5_001);
    }
}
