//! What containers have sent, and what they are given, on its way to who tells TCP's counters from it.

use portlane_classify::{Arriving, Direction};
use portlane_rings::{Frame, Pool};
use portlane_shaper::Nanos;

use super::Sender;
use crate::line::{End, Watch};

/// Sees frames as containers' kernels do: what they send when it arrives, whatever its lane does with it, and what they are given when it
/// leaves for them. What may go either way is shown as it arrives, too.
#[derive(Debug)]
pub struct Deliveries {
    heads: Sender,
    now: Nanos,
    direction: Direction,
    /// Whether the frame that was told of last was shown.
    was_shown: bool,
}

impl Deliveries {
    /// They are shown there.
    #[must_use]
    pub fn new(heads: Sender) -> Self {
        Self { heads, now: Nanos::ZERO, direction: Direction::Ingress, was_shown: false }
    }

    /// What follows is seen at `now`.
    pub(crate) fn begin(&mut self, now: Nanos) {
        self.now = now;
    }

    /// What was seen is shown.
    pub(crate) fn finish(&mut self) {
        self.heads.publish();
    }
}

impl Watch for &mut Deliveries {
    type Lent<'a>
        = &'a mut Deliveries
    where
        Self: 'a;

    fn lend(&mut self) -> &mut Deliveries {
        self
    }

    fn arrived(&mut self, pool: &Pool, frames: &[Frame], arriving: Arriving) {
        if arriving != Arriving::Ingress {
            self.heads.show(pool, frames, arriving, self.now);
        }
    }

    fn turns_to(&mut self, direction: Direction) {
        self.direction = direction;
    }

    fn ends(&mut self, pool: &Pool, frame: &Frame, end: End) {
        self.was_shown = matches!(end, End::Sent { .. }) && self.direction == Direction::Ingress;
        if self.was_shown {
            self.heads.show_one(pool, frame, Arriving::Ingress, self.now);
        }
    }

    fn takes_back(&mut self) {
        if std::mem::take(&mut self.was_shown) {
            self.heads.take_back();
        }
    }
}
