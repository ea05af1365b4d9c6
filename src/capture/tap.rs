//! A worker's side of a capture.

use std::sync::Arc;

use portlane_classify::Direction;
use portlane_rings::{Frame, Pool};
use portlane_shaper::{LaneId, Nanos};

use super::pipe::Chunk;
use super::{Counts, Fate, NOBODYS, Pipe, Sight, Wanted};
use crate::line::{End, Watch};

/// How long a chunk that is not full stays with the worker.
const STAYS: Nanos = Nanos(1_000_000);

/// Where a line is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The interface of each port.
    pub interfaces: Vec<usize>,
    /// The port that a direction leaves by, by [`Direction::index`].
    pub leaves_by: [usize; 2],
    /// The port by which comes and goes what stays on the host.
    pub within: Option<usize>,
    /// Frames of all workers.
    pub frames: usize,
}

/// Sees a line's frames, and copies those that are wanted, until its time is over or nobody reads them any more.
///
/// It gets no memory, waits for nobody, and has no system call: where there is no room it counts.
#[derive(Debug)]
pub struct Tap {
    wanted: Wanted,
    place: Place,
    pipe: Arc<Pipe>,
    ends: Nanos,
    now: Nanos,
    published: Nanos,
    unmatched: LaneId,
    port: usize,
    direction: Direction,
    chunk: Option<Chunk>,
    counts: Counts,
    /// Where the frame that was seen last is counted, and whether it was lost.
    last: Option<(usize, bool)>,
    /// By the frame's [position](Pool::index): when it joined its lane, 0 before the capture; and whether it was marked since.
    joined: Vec<Nanos>,
    marked: Vec<bool>,
}

impl Tap {
    /// A tap that begins at `now`.
    #[must_use]
    pub fn new(wanted: Wanted, place: Place, pipe: Arc<Pipe>, now: Nanos) -> Self {
        let frames = place.frames;
        Self {
            wanted,
            place,
            pipe,
            ends: now + wanted.time,
            now,
            published: now,
            unmatched: NOBODYS,
            port: 0,
            direction: Direction::Ingress,
            chunk: None,
            counts: Counts::default(),
            last: None,
            joined: vec![Nanos::ZERO; frames],
            marked: vec![false; frames],
        }
    }

    /// What follows is seen at `now`, while the lane of what nobody owns is this one. False: the capture is over.
    #[must_use]
    pub fn begin(&mut self, now: Nanos, unmatched: LaneId) -> bool {
        (self.now, self.unmatched) = (now, unmatched);
        now < self.ends && !self.pipe.is_closed()
    }

    /// Gives the reader what was seen, if it is time to.
    pub fn finish(&mut self) {
        if self.now >= self.published + STAYS {
            self.give(self.now);
        }
    }

    fn give(&mut self, until: Nanos) {
        self.published = self.now;
        if let Some(chunk) = self.chunk.take() {
            self.pipe.fill(chunk);
        }
        self.pipe.publish(&self.counts, until);
    }

    /// The name by which a capture has a lane.
    fn lane(&self, lane: LaneId) -> LaneId {
        if lane == self.unmatched { NOBODYS } else { lane }
    }

    /// The interface that a direction leaves by.
    fn leaves_by(&self, direction: Direction) -> usize {
        self.place.interfaces[self.place.leaves_by[direction.index()]]
    }

    /// The interface that a frame leaves by.
    fn way(&self, frame: &Frame) -> usize {
        match self.place.within.filter(|_| frame.stays()) {
            Some(port) => self.place.interfaces[port],
            None => self.leaves_by(self.direction),
        }
    }

    /// The interface that a frame of the current direction comes from: those of the other direction leave by it.
    fn comes_from(&self, frame: &Frame) -> usize {
        match self.place.within.filter(|_| frame.stays()) {
            Some(port) => self.place.interfaces[port],
            None => self.leaves_by(self.other_direction()),
        }
    }

    fn other_direction(&self) -> Direction {
        match self.direction {
            Direction::Ingress => Direction::Egress,
            Direction::Egress => Direction::Ingress,
        }
    }

    fn sight(&self, pool: &Pool, frame: &Frame, end: End) -> Sight {
        let (time, index) = (self.now, pool.index(frame));
        let owner = |lane| Some((self.lane(lane), self.direction));
        let here = self.place.interfaces[self.port];
        let nothing = Sight {
            time,
            fate: Fate::Sent,
            owner: None,
            interface: here,
            waited: None,
            marked: false,
            captured: (frame.len() as usize).min(self.wanted.snap),
            wire_len: frame.wire_len(),
        };
        match end {
            End::Sent { lane, enqueued } => Sight {
                owner: owner(lane),
                interface: self.way(frame),
                waited: Some(enqueued.map_or(Nanos::ZERO, |enqueued| time - enqueued)),
                marked: enqueued.is_some() && self.marked[index],
                ..nothing
            },
            End::Dropped { lane, reason } => Sight {
                fate: Fate::Dropped(reason),
                owner: owner(lane),
                interface: self.comes_from(frame),
                waited: Some(self.joined[index]).filter(|&joined| joined > Nanos::ZERO).map(|joined| time - joined),
                marked: self.marked[index],
                ..nothing
            },
            End::Malformed(reason) => Sight { fate: Fate::Malformed(reason), ..nothing },
            End::HandOff { lane } => Sight { fate: Fate::HandOff, owner: owner(lane), ..nothing },
        }
    }

    fn wants(&self, sight: &Sight) -> bool {
        let is_its = self.wanted.lane.is_none_or(|wanted| sight.owner.is_some_and(|(lane, _)| lane == wanted));
        is_its && (!self.wanted.drops || sight.fate != Fate::Sent)
    }

    fn copy(&mut self, sight: Sight, bytes: &[u8]) {
        if self.chunk.as_ref().is_some_and(|chunk| !chunk.has_room(sight.captured)) {
            self.chunk.take().into_iter().for_each(|chunk| self.pipe.fill(chunk));
        }
        if self.chunk.is_none() {
            self.chunk = self.pipe.take_free();
        }
        self.counts.seen[sight.interface] += 1;
        self.last = Some((sight.interface, self.chunk.is_none()));
        match &mut self.chunk {
            Some(chunk) => {
                chunk.sights.push(sight);
                chunk.bytes.extend_from_slice(&bytes[..sight.captured]);
            }
            None => self.counts.lost[sight.interface] += 1,
        }
    }
}

impl Watch for &mut Tap {
    type Lent<'a>
        = &'a mut Tap
    where
        Self: 'a;

    fn lend(&mut self) -> &mut Tap {
        self
    }

    fn turns_to_port(&mut self, port: usize) {
        self.port = port;
    }

    fn turns_to(&mut self, direction: Direction) {
        self.direction = direction;
    }

    fn joins(&mut self, pool: &Pool, frame: &Frame) {
        let index = pool.index(frame);
        (self.joined[index], self.marked[index]) = (self.now, false);
    }

    fn marked(&mut self, pool: &Pool, frame: &Frame) {
        self.marked[pool.index(frame)] = true;
    }

    fn ends(&mut self, pool: &Pool, frame: &Frame, end: End) {
        let sight = self.sight(pool, frame, end);
        self.last = None;
        if self.wants(&sight) {
            self.copy(sight, pool.bytes(frame));
        }
    }

    fn takes_back(&mut self) {
        let Some((interface, was_lost)) = self.last.take() else { return };
        self.counts.seen[interface] -= 1;
        if was_lost {
            self.counts.lost[interface] -= 1;
        } else if let Some(chunk) = &mut self.chunk
            && let Some(sight) = chunk.sights.pop()
        {
            chunk.bytes.truncate(chunk.bytes.len() - sight.captured);
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.give(Nanos::MAX);
    }
}
