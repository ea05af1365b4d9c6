//! What is done with the packets of a batch besides sending them, once it is known whose they are.

use portlane_rings::Device;
use portlane_shaper::Nanos;

use super::{Line, within};
use crate::config::Plan;
use crate::flows::heads;
use crate::meters::Meter;

/// Who wants to know of packets. A line that none of them looks at pays nothing for them.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// Counts by prefixes.
    meter: Option<Meter>,
    /// Where flows are observed.
    heads: Option<heads::Sender>,
}

impl<D: Device> Line<D> {
    /// Counts packets by prefixes from now on.
    pub(crate) fn count_by(&mut self, meter: Meter) {
        self.beside.get_or_insert_default().meter = Some(meter);
    }

    /// Shows the beginnings of frames, as they arrive, to who observes flows from now on.
    pub(crate) fn show_heads(&mut self, heads: heads::Sender) {
        self.beside.get_or_insert_default().heads = Some(heads);
    }

    /// Another plan is followed.
    pub(super) fn follow_beside(&mut self, plan: &Plan) {
        if let Some(meter) = self.beside.as_mut().and_then(|beside| beside.meter.as_mut()) {
            meter.follow(plan, &self.places);
        }
    }

    /// Has all of them look at the batch, which has arrived at a port.
    #[inline(never)]
    pub(super) fn look_beside(&mut self, port: usize, now: Nanos) {
        let Some(Beside { meter, heads }) = self.beside.as_deref_mut() else { return };
        if let Some(meter) = meter {
            meter.count(&self.pool, &self.batch, &self.owners);
        }
        if let Some(heads) = heads {
            if self.within == Some(port) {
                within::runs(&self.batch).for_each(|(run, arriving)| heads.show_within(&self.pool, run, arriving, now));
            } else {
                heads.show(&self.pool, &self.batch, self.ports[port].arriving, now);
            }
        }
    }
}
