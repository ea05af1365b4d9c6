//! Which bytes of one direction have been seen: what comes again, and what comes in another order.

#[cfg(test)]
mod tests;

use std::slice;

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
pub(super) struct Run {
    start: u32,
    end: u32,
}

/// What becomes of a segment that is neither [`Again`](Arrival::Again) nor an [`Overlap`](Arrival::Overlap).
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Behind the run at this place.
    Behind(usize),
    /// Before the run at this place.
    Before(usize),
    /// Between the run before this place and the one at it, with nothing left between them.
    Joining(usize),
    /// By itself: all runs from this place on are above.
    Alone(usize),
}

/// Runs in the order of their starts.
///
/// Mostly there is one: others are kept elsewhere, so that a flow takes little memory. When there is no room for another, the
/// hole between the two lowest is taken for seen: what fills it later is [`Again`](Arrival::Again).
#[derive(Debug, Default)]
pub(super) enum Received {
    /// Nothing has come.
    #[default]
    Nothing,
    /// All that has come is in one piece, as far as it is known.
    Whole(Run),
    /// There are holes.
    Pieces(Box<Pieces>),
}

/// Two runs or more.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    len: usize,
    runs: [Run; MOST],
}

impl Received {
    /// Takes in a segment of `len` bytes from `seq` on.
    pub(super) fn segment(&mut self, seq: u32, len: u32) -> Arrival {
        let Some(end) = seq.checked_add(len).filter(|_| seq != 0) else { return Arrival::New };
        let segment = Run { start: seq, end };
        let runs = self.runs();
        let Some(top) = runs.last().copied() else { return self.restart(segment) };
        if top.end > LAST_QUARTER && seq < FIRST_QUARTER {
            return self.restart(segment);
        }
        if top.end < FIRST_QUARTER && seq > LAST_QUARTER {
            return Arrival::New;
        }
        let above = runs.partition_point(|run| run.start < seq);
        let before = runs[above.saturating_sub(1)];
        if (before.start..before.end).contains(&seq) {
            return Arrival::Again;
        }
        let next = runs.get(above).copied();
        if next.is_some_and(|next| seq < next.start && end > next.start || end > next.end) {
            return Arrival::Overlap;
        }
        let joins_below = above > 0 && before.end == seq;
        let joins_above = next.is_some_and(|next| next.start == end);
        self.take_in(
            segment,
            match (joins_below, joins_above) {
                (true, true) => Place::Joining(above),
                (true, false) => Place::Behind(above - 1),
                (false, true) => Place::Before(above),
                (false, false) => Place::Alone(above),
            },
        );
        if next.is_some() { Arrival::OutOfOrder } else { Arrival::New }
    }

    fn runs(&self) -> &[Run] {
        match self {
            Self::Nothing => &[],
            Self::Whole(run) => slice::from_ref(run),
            Self::Pieces(pieces) => &pieces.runs[..pieces.len],
        }
    }

    fn restart(&mut self, segment: Run) -> Arrival {
        *self = Self::Whole(segment);
        Arrival::New
    }

    fn take_in(&mut self, segment: Run, place: Place) {
        match (&mut *self, place) {
            (Self::Whole(run), Place::Behind(_)) => run.end = segment.end,
            (Self::Whole(run), Place::Before(_)) => run.start = segment.start,
            _ => self.take_in_between(segment, place),
        }
    }

    #[cold]
    fn take_in_between(&mut self, segment: Run, place: Place) {
        let mut pieces = match std::mem::take(self) {
            Self::Pieces(pieces) => pieces,
            fewer => {
                let mut pieces = Box::<Pieces>::default();
                pieces.len = fewer.runs().len();
                pieces.runs[..pieces.len].copy_from_slice(fewer.runs());
                pieces
            }
        };
        *self = match pieces.take_in(segment, place) {
            Some(whole) => Self::Whole(whole),
            None => Self::Pieces(pieces),
        };
    }
}

impl Pieces {
    /// Joins a segment to the runs that it touches, or puts it between them. Returns what there is when it is in one piece.
    fn take_in(&mut self, segment: Run, place: Place) -> Option<Run> {
        match place {
            Place::Behind(below) => self.runs[below].end = segment.end,
            Place::Before(above) => self.runs[above].start = segment.start,
            Place::Joining(above) => {
                self.runs[above - 1].end = self.runs[above].end;
                self.take_out(above);
            }
            Place::Alone(above) => {
                self.runs.copy_within(above..self.len, above + 1);
                self.runs[above] = segment;
                self.len += 1;
                if self.len == MOST {
                    self.runs[0].end = self.runs[0].end.max(self.runs[1].end);
                    self.take_out(1);
                }
            }
        }
        (self.len == 1).then_some(self.runs[0])
    }

    fn take_out(&mut self, place: usize) {
        self.runs.copy_within(place + 1..self.len, place);
        self.len -= 1;
    }
}
