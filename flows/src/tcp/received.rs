//! Which bytes of one direction have been seen: what comes again, and what comes in another order.

#[cfg(test)]
mod tests;

use std::mem::offset_of;

/// Segments that are remembered.
const MOST: usize = 16;

/// Sequence numbers have come round when they were beyond the first and are below the second.
const LAST_QUARTER: u32 = 0xc000_0000;
const FIRST_QUARTER: u32 = 0x4000_0000;

/// What a segment is, given those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Its place says nothing: it goes on where the last one ended, or beyond; or it cannot be held against what is known.
    New,
    /// It begins with bytes that were seen before.
    Again,
    /// It is before others that were seen earlier.
    OutOfOrder,
    /// It begins with new bytes and goes on with others that were seen before.
    Overlap,
}

/// A run of bytes: from the first sequence number to before the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Run {
    start: u32,
    end: u32,
}

/// Runs in the order of their starts.
///
/// When there is no room for another, the hole between the two lowest is taken for seen: what fills it later is
/// [`Again`](Arrival::Again).
#[derive(Debug, Default)]
#[repr(C)] // How many there are, next to the one that mostly is the only one.
pub(super) struct Received {
    len: usize,
    runs: [Run; MOST],
}

impl Received {
    /// How much of it most segments need, in bytes.
    pub(super) const HOT: usize = offset_of!(Self, runs) + size_of::<Run>();

    /// Takes in a segment of `len` bytes from `seq` on.
    pub(super) fn segment(&mut self, seq: u32, len: u32) -> Arrival {
        let Some(end) = seq.checked_add(len).filter(|_| seq != 0) else { return Arrival::New };
        let segment = Run { start: seq, end };
        let Some(top) = self.runs().last().copied() else { return self.restart(segment) };
        if top.end > LAST_QUARTER && seq < FIRST_QUARTER {
            return self.restart(segment);
        }
        if top.end < FIRST_QUARTER && seq > LAST_QUARTER {
            return Arrival::New;
        }
        let above = self.runs().partition_point(|run| run.start < seq);
        let before = self.runs()[above.saturating_sub(1)];
        if (before.start..before.end).contains(&seq) {
            return Arrival::Again;
        }
        let next = self.runs().get(above).copied();
        if next.is_some_and(|next| seq < next.start && end > next.start || end > next.end) {
            return Arrival::Overlap;
        }
        self.take_in(segment, above);
        if next.is_some() { Arrival::OutOfOrder } else { Arrival::New }
    }

    fn runs(&self) -> &[Run] {
        &self.runs[..self.len]
    }

    fn restart(&mut self, segment: Run) -> Arrival {
        self.runs[0] = segment;
        self.len = 1;
        Arrival::New
    }

    /// Joins a segment to the runs that it touches, or puts it between them. `above` is the place of the first run that does
    /// not start before it.
    fn take_in(&mut self, segment: Run, above: usize) {
        let joins_below = above > 0 && self.runs[above - 1].end == segment.start;
        let joins_above = above < self.len && self.runs[above].start == segment.end;
        match (joins_below, joins_above) {
            (true, true) => {
                self.runs[above - 1].end = self.runs[above].end;
                self.take_out(above);
            }
            (true, false) => self.runs[above - 1].end = segment.end,
            (false, true) => self.runs[above].start = segment.start,
            (false, false) => {
                self.runs.copy_within(above..self.len, above + 1);
                self.runs[above] = segment;
                self.len += 1;
                if self.len == MOST {
                    self.runs[0].end = self.runs[0].end.max(self.runs[1].end);
                    self.take_out(1);
                }
            }
        }
    }

    fn take_out(&mut self, place: usize) {
        self.runs.copy_within(place + 1..self.len, place);
        self.len -= 1;
    }
}
