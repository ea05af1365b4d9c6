//! What several workers saw, in the order of time.

use std::sync::Arc;

use portlane_shaper::Nanos;

use super::pipe::Chunk;
use super::{Counts, Pipe, Sight};

/// Reads the pipes of all workers. Closes them when dropped.
#[derive(Debug)]
pub struct Merge(Vec<Reading>);

#[derive(Debug)]
struct Reading {
    pipe: Arc<Pipe>,
    chunk: Option<Chunk>,
    /// The next frame of the chunk, and where its bytes begin.
    sight: usize,
    byte: usize,
}

impl Reading {
    /// The time of the next frame that is there.
    fn next_time(&mut self) -> Option<Nanos> {
        if self.chunk.as_ref().is_some_and(|chunk| self.sight == chunk.sights.len()) {
            self.chunk.take().into_iter().for_each(|chunk| self.pipe.give_back(chunk));
        }
        if self.chunk.is_none() {
            (self.chunk, self.sight, self.byte) = (self.pipe.take_filled(), 0, 0);
        }
        self.chunk.as_ref()?.sights.get(self.sight).map(|sight| sight.time)
    }

    fn take(&mut self) -> Option<(Sight, &[u8])> {
        let chunk = self.chunk.as_ref()?;
        let sight = *chunk.sights.get(self.sight)?;
        let begin = self.byte;
        (self.sight, self.byte) = (self.sight + 1, begin + sight.captured);
        Some((sight, &chunk.bytes[begin..self.byte]))
    }
}

impl Merge {
    /// Reads these pipes.
    #[must_use]
    pub fn new(pipes: Vec<Arc<Pipe>>) -> Self {
        Self(pipes.into_iter().map(|pipe| Reading { pipe, chunk: None, sight: 0, byte: 0 }).collect())
    }

    /// The next frame in the order of time; `None` if it is not there yet.
    pub fn take(&mut self) -> Option<(Sight, &[u8])> {
        // What a pipe has until then is there when it is looked for afterwards.
        let until = self.until();
        let first =
            self.0.iter_mut().enumerate().filter_map(|(position, reading)| Some((reading.next_time()?, position)));
        let (time, position) = first.min()?;
        if time > until { None } else { self.0[position].take() }
    }

    fn until(&self) -> Nanos {
        self.0.iter().map(|reading| reading.pipe.until()).min().unwrap_or(Nanos::MAX)
    }

    /// Whether all taps are gone. What they have left may still be [taken](Self::take).
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.until() == Nanos::MAX
    }

    /// What all have counted so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.iter().fold(Counts::default(), |sum, reading| sum.plus(reading.pipe.counts()))
    }

    /// Tells the taps that no more is wanted.
    pub fn close(&self) {
        self.0.iter().for_each(|reading| reading.pipe.close());
    }
}

impl Drop for Merge {
    fn drop(&mut self) {
        self.close();
    }
}
