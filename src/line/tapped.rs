//! Turns while a capture runs.

use std::io;

use portlane_rings::Device;
use portlane_shaper::Nanos;

use super::Line;
use crate::capture::Tap;

impl<D: Device> Line<D> {
    /// A capture begins, in place of one that there may be.
    pub fn tap(&mut self, tap: Tap) {
        self.tap = Some(Box::new(tap));
    }

    /// Whether a capture runs.
    #[inline]
    #[must_use]
    pub fn is_tapped(&self) -> bool {
        self.tap.is_some()
    }

    /// A [`turn`](Self::turn), whose frames the tap sees; a plain one when the capture is over.
    ///
    /// # Errors
    ///
    /// As of [`turn`](Self::turn).
    #[inline(never)]
    pub fn turn_tapped(&mut self, now: Nanos) -> io::Result<usize> {
        let Some(mut tap) = self.tap.take() else { return self.turn(now) };
        if !tap.begin(now, self.places.unmatched) {
            drop(tap);
            return self.turn(now);
        }
        let turned = self.turn_watched(now, &mut *tap);
        tap.finish();
        self.tap = Some(tap);
        turned
    }

    /// Takes over what others have handed over, as much as a turn does; the tap sees it, if there is one.
    pub(super) fn take_over_seen(&mut self, now: Nanos) -> io::Result<usize> {
        let Some(mut tap) = self.tap.take() else { return self.take_over(now, ()) };
        let taken = if tap.begin(now, self.places.unmatched) {
            self.take_over(now, &mut *tap)
        } else {
            self.take_over(now, ())
        };
        self.tap = Some(tap);
        taken
    }
}
