//! Turns whose frames somebody sees: a capture, or who tells TCP's counters from them.

use std::io;

use portlane_rings::Device;
use portlane_shaper::Nanos;

use super::Line;
use crate::capture::Tap;
use crate::flows::heads::Deliveries;

/// Who sees frames, if anybody does.
#[derive(Debug, Default)]
pub(super) struct Seen {
    tap: Option<Box<Tap>>,
    deliveries: Option<Box<Deliveries>>,
}

impl<D: Device> Line<D> {
    /// A capture begins, in place of one that there may be.
    pub fn tap(&mut self, tap: Tap) {
        self.seen.tap = Some(Box::new(tap));
    }

    /// Tells from now on what containers have sent, and what they are given, as it leaves for them.
    pub fn tell_deliveries(&mut self, deliveries: Deliveries) {
        self.seen.deliveries = Some(Box::new(deliveries));
    }

    /// Whether somebody sees frames.
    #[inline]
    #[must_use]
    pub fn is_seen(&self) -> bool {
        self.seen.tap.is_some() || self.seen.deliveries.is_some()
    }

    /// A [`turn`](Self::turn), whose frames are seen; a plain one where nobody sees any, or the capture is over.
    ///
    /// # Errors
    ///
    /// As of [`turn`](Self::turn).
    #[inline(never)]
    pub fn turn_seen(&mut self, now: Nanos) -> io::Result<usize> {
        let Seen { mut tap, mut deliveries } = self.begin_seen(now);
        let turned = match (tap.as_deref_mut(), deliveries.as_deref_mut()) {
            (Some(tap), Some(deliveries)) => self.turn_watched(now, (tap, deliveries)),
            (Some(tap), None) => self.turn_watched(now, tap),
            (None, Some(deliveries)) => self.turn_watched(now, deliveries),
            (None, None) => self.turn(now),
        };
        self.end_seen(Seen { tap, deliveries });
        turned
    }

    /// Takes over what others have handed over, as much as a turn does; it is seen, if somebody sees frames.
    pub(super) fn take_over_seen(&mut self, now: Nanos) -> io::Result<usize> {
        let Seen { mut tap, mut deliveries } = self.begin_seen(now);
        let taken = match (tap.as_deref_mut(), deliveries.as_deref_mut()) {
            (Some(tap), Some(deliveries)) => self.take_over(now, (tap, deliveries)),
            (Some(tap), None) => self.take_over(now, tap),
            (None, Some(deliveries)) => self.take_over(now, deliveries),
            (None, None) => self.take_over(now, ()),
        };
        self.end_seen(Seen { tap, deliveries });
        taken
    }

    fn begin_seen(&mut self, now: Nanos) -> Seen {
        let Seen { tap, mut deliveries } = std::mem::take(&mut self.seen);
        let unmatched = self.places.unmatched;
        let tap = tap.and_then(|mut tap| tap.begin(now, unmatched).then_some(tap));
        deliveries.iter_mut().for_each(|deliveries| deliveries.begin(now));
        Seen { tap, deliveries }
    }

    fn end_seen(&mut self, mut seen: Seen) {
        seen.tap.iter_mut().for_each(|tap| tap.finish());
        seen.deliveries.iter_mut().for_each(|deliveries| deliveries.finish());
        self.seen = seen;
    }
}
