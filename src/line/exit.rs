//! The ends of frames: they leave by a device, or go home.

use portlane_classify::{Direction, ecn};
use portlane_rings::{Device, Frame, Pool};
use portlane_shaper::{Departure, DropReason, Fate, LaneId, Nanos, Way};
use portlane_stats::histogram::Histograms;

use super::{End, Port, Watch, link_of};

/// Frames that do not leave go home, and are counted.
pub(super) struct Home<'a, W> {
    pub(super) pool: &'a mut Pool,
    pub(super) dropped: &'a mut u64,
    pub(super) watch: W,
}

impl<W: Watch> Fate<Frame> for Home<'_, W> {
    #[inline]
    fn dropped(&mut self, lane: LaneId, frame: Frame, reason: DropReason) {
        if !frame.is_phantom() {
            *self.dropped += 1;
            self.watch.ends(self.pool, &frame, End::Dropped { lane, reason });
        }
        self.pool.put(frame);
    }

    fn mark(&mut self, frame: &mut Frame) -> bool {
        if frame.is_phantom() {
            return frame.phantom_bit();
        }
        let marked = ecn::mark_ce(link_of(frame), self.pool.bytes_mut(frame));
        if marked {
            self.watch.marked(self.pool, frame);
        }
        marked
    }

    #[inline]
    fn turns_to(&mut self, shaper: usize) {
        self.watch.turns_to(Direction::ALL[shaper]);
    }
}

/// Where packets of a direction leave.
pub(super) struct Exit<'a, D, W> {
    pub(super) home: Home<'a, W>,
    pub(super) ports: &'a mut [Port<D>],
    /// The port of what goes, and that of what stays on the host.
    pub(super) leaves_by: usize,
    pub(super) stays_by: usize,
    /// Of the direction's lanes.
    pub(super) histograms: &'a mut Histograms,
    pub(super) sent: &'a mut u64,
    pub(super) now: Nanos,
}

impl<D, W: Watch> Fate<Frame> for Exit<'_, D, W> {
    #[inline]
    fn dropped(&mut self, lane: LaneId, frame: Frame, reason: DropReason) {
        self.home.dropped(lane, frame, reason);
    }

    #[inline]
    fn mark(&mut self, frame: &mut Frame) -> bool {
        self.home.mark(frame)
    }
}

impl<D: Device, W: Watch> Way<Frame> for Exit<'_, D, W> {
    #[inline(always)]
    fn send(&mut self, departure: Departure<Frame>) -> Result<(), Departure<Frame>> {
        let Departure { lane, packet, enqueued, .. } = departure;
        if packet.is_phantom() {
            self.end_phantom(lane, packet, enqueued);
            return Ok(());
        }
        let port = if packet.stays() { self.stays_by } else { self.leaves_by };
        let watch = &mut self.home.watch;
        watch.ends(self.home.pool, &packet, End::Sent { lane, enqueued: Some(enqueued) });
        if let Err(packet) = self.ports[port].device.send(packet) {
            watch.takes_back();
            return Err(Departure { packet, ..departure });
        }
        *self.sent += 1;
        self.record(lane, enqueued);
        Ok(())
    }
}

impl<D, W> Exit<'_, D, W> {
    #[inline]
    fn record(&mut self, lane: LaneId, enqueued: Nanos) {
        self.histograms.record(lane.index(), (self.now - enqueued).0);
    }

    /// A packet of an observed lane would have left.
    #[cold]
    #[inline(never)]
    fn end_phantom(&mut self, lane: LaneId, phantom: Frame, enqueued: Nanos) {
        self.home.pool.put(phantom);
        self.record(lane, enqueued);
    }
}
