//! Who watches a turn: to measure it, or to see its frames. A line that nobody watches pays nothing for that.

use portlane_classify::{Arriving, Direction, Malformed};
use portlane_rings::{Frame, Pool};
use portlane_shaper::{DropReason, LaneId, Nanos};

/// What a turn consists of, in this order. Packets that wait leave first, so those that arrive find the link as free as it
/// is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Frames that were sent come home, and devices get new ones to fill.
    Reclaim,
    /// Packets that waited, and whose time has come, leave.
    Dequeue,
    /// Frames are taken from a device.
    Receive,
    /// Their headers tell whose they are.
    Classify,
    /// They go straight through, or join their lanes.
    Enqueue,
    /// Devices are told to send.
    Flush,
}

/// What becomes of a frame, told while its bytes are still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It leaves. If it has waited, then since this time.
    Sent {
        /// Its lane.
        lane: LaneId,
        /// When it joined its lane; `None`: it goes straight through.
        enqueued: Option<Nanos>,
    },
    /// Its lane drops it.
    Dropped {
        /// Its lane.
        lane: LaneId,
        /// Why.
        reason: DropReason,
    },
    /// It has a header that cannot be.
    Malformed(Malformed),
    /// It is another worker's, who has no room for it.
    HandOff {
        /// Its lane.
        lane: LaneId,
    },
}

/// Who wants to know how far a turn has come, or what becomes of frames: without a word about clocks or files in the line.
///
/// Handed on by value, so that nobody, `()`, is not there at all in what the compiler makes of a turn.
pub trait Watch {
    /// The same watcher, [lent](Self::lend).
    type Lent<'a>: Watch
    where
        Self: 'a;

    /// Lends the watcher to a part of the turn.
    fn lend(&mut self) -> Self::Lent<'_>;

    /// A stage is over. With several ports [`Receive`](Stage::Receive) to [`Enqueue`](Stage::Enqueue) follow for each.
    #[inline]
    fn passed(&mut self, _stage: Stage) {}

    /// Frames have arrived.
    #[inline]
    fn arrived(&mut self, _pool: &Pool, _frames: &[Frame], _arriving: Arriving) {}

    /// What is told next is of frames that have arrived at this port.
    #[inline]
    fn turns_to_port(&mut self, _port: usize) {}

    /// What is told next is of packets of this direction.
    #[inline]
    fn turns_to(&mut self, _direction: Direction) {}

    /// A frame joins its lane, where it may have to wait.
    #[inline]
    fn joins(&mut self, _pool: &Pool, _frame: &Frame) {}

    /// A frame was marked "congestion experienced", or had been before.
    #[inline]
    fn marked(&mut self, _pool: &Pool, _frame: &Frame) {}

    /// What becomes of a frame.
    #[inline]
    fn ends(&mut self, _pool: &Pool, _frame: &Frame, _end: End) {}

    /// The frame told of last does not leave: the device's ring is full.
    #[inline]
    fn takes_back(&mut self) {}
}

/// Nobody.
impl Watch for () {
    type Lent<'a> = ();

    #[inline]
    fn lend(&mut self) {}
}

/// Both.
impl<A: Watch, B: Watch> Watch for (A, B) {
    type Lent<'a>
        = (A::Lent<'a>, B::Lent<'a>)
    where
        Self: 'a;

    fn lend(&mut self) -> Self::Lent<'_> {
        (self.0.lend(), self.1.lend())
    }

    fn passed(&mut self, stage: Stage) {
        self.0.passed(stage);
        self.1.passed(stage);
    }

    fn arrived(&mut self, pool: &Pool, frames: &[Frame], arriving: Arriving) {
        self.0.arrived(pool, frames, arriving);
        self.1.arrived(pool, frames, arriving);
    }

    fn turns_to_port(&mut self, port: usize) {
        self.0.turns_to_port(port);
        self.1.turns_to_port(port);
    }

    fn turns_to(&mut self, direction: Direction) {
        self.0.turns_to(direction);
        self.1.turns_to(direction);
    }

    fn joins(&mut self, pool: &Pool, frame: &Frame) {
        self.0.joins(pool, frame);
        self.1.joins(pool, frame);
    }

    fn marked(&mut self, pool: &Pool, frame: &Frame) {
        self.0.marked(pool, frame);
        self.1.marked(pool, frame);
    }

    fn ends(&mut self, pool: &Pool, frame: &Frame, end: End) {
        self.0.ends(pool, frame, end);
        self.1.ends(pool, frame, end);
    }

    fn takes_back(&mut self) {
        self.0.takes_back();
        self.1.takes_back();
    }
}
