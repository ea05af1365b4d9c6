//! Lanes whose limits are only watched: their packets leave at once, and phantoms go through the shaper in their place.
//!
//! A phantom has the length and the flow of its packet, and is delayed, dropped and marked as the packet would have been. So
//! what its lane counts is what would have been, to the packet. A packet that goes straight through needs none: it leaves as it
//! would have.

use std::collections::VecDeque;

use portlane_classify::Direction;
use portlane_rings::{Device, Frame};
use portlane_shaper::{Arrival, LaneId, Nanos, Volume};

use super::within::way;
use super::{End, Line, Watch};
use crate::config::{Mode, Plan};

/// Frames of observed lanes that wait for a device, in each direction; more are lost.
const MOST_HELD_UP: usize = 1_024;

/// Which lanes are observed, and what of them a device would not take.
#[derive(Debug)]
pub(super) struct Observed {
    /// By lane, in both directions.
    lanes: Vec<bool>,
    /// By [`Direction::index`].
    held_up: [VecDeque<(LaneId, Frame)>; 2],
}

impl<D: Device> Line<D> {
    /// Observes the lanes that a plan, which is the line's, says are to be observed, and no others.
    pub(crate) fn observe(&mut self, plan: &Plan) {
        let places = &self.places;
        let containers = plan.containers.iter().zip(&places.containers).map(|(of, place)| (place.lane, of.mode));
        let leaving = places.leaving.iter().map(|one| (one.place.lane, one.mode));
        let mut lanes = vec![false; self.shapers[0].lanes()];
        for (lane, mode) in containers.chain(leaving).chain([(places.unmatched, plan.mode)]) {
            lanes[lane.0 as usize] = mode == Mode::Observe;
        }
        let held_up = self.observed.take().map(|observed| observed.held_up).unwrap_or_default();
        if lanes.contains(&true) || held_up.iter().any(|held_up| !held_up.is_empty()) {
            self.observed = Some(Box::new(Observed { lanes, held_up }));
        }
    }

    /// Whether a lane is observed.
    #[inline]
    #[must_use]
    pub fn observes(&self, lane: LaneId) -> bool {
        self.observed.as_ref().is_some_and(|observed| observed.lanes.get(lane.0 as usize) == Some(&true))
    }

    /// What has not left of an observed lane, because the device's ring is full.
    #[must_use]
    pub fn held_up(&self, direction: Direction, lane: LaneId) -> Volume {
        let mut volume = Volume::default();
        let all = self.observed.iter().flat_map(|observed| &observed.held_up[direction.index()]);
        all.filter(|(of, _)| *of == lane).for_each(|(_, frame)| volume.add(frame.wire_len()));
        volume
    }

    /// Frames of observed lanes that wait for a device.
    pub(super) fn all_held_up(&self) -> usize {
        self.observed.iter().flat_map(|observed| &observed.held_up).map(VecDeque::len).sum()
    }

    /// Whether frames of a direction wait for its device: then others have to wait behind them.
    #[inline]
    pub(super) fn is_held_up(&self, direction: Direction) -> bool {
        self.observed.as_ref().is_some_and(|observed| !observed.held_up[direction.index()].is_empty())
    }

    /// A packet of an observed lane that does not go straight through: a phantom joins the lane, and the packet leaves. Returns
    /// how many have left, phantoms included.
    #[cold]
    #[inline(never)]
    pub(super) fn join_observed(
        &mut self,
        direction: Direction,
        lane: LaneId,
        arrival: Arrival<Frame>,
        now: Nanos,
        mut watch: impl Watch,
    ) -> usize {
        let Arrival { packet: frame, len, memory, flow, ect } = arrival;
        let phantom = Arrival { packet: self.pool.phantom(&frame, ect), len, memory, flow, ect };
        let sent = self.join_lane(direction, lane, phantom, now, watch.lend());
        sent + usize::from(self.let_go(direction, lane, frame, watch))
    }

    /// A packet of an observed lane leaves, or waits for the device. Whether it has left.
    fn let_go(&mut self, direction: Direction, lane: LaneId, frame: Frame, mut watch: impl Watch) -> bool {
        let Self { ports, pool, observed, leaves_by, within, counters, .. } = self;
        let Some(held_up) = observed.as_mut().map(|observed| &mut observed.held_up[direction.index()]) else {
            pool.put(frame);
            return false;
        };
        let mut frame = frame;
        if held_up.is_empty() {
            watch.turns_to(direction);
            watch.ends(pool, &frame, End::Sent { lane, enqueued: None });
            match ports[way(*leaves_by, *within, direction, &frame)].device.send(frame) {
                Ok(()) => {
                    counters.sent += 1;
                    return true;
                }
                Err(back) => frame = back,
            }
            watch.takes_back();
        }
        if held_up.len() < MOST_HELD_UP {
            held_up.push_back((lane, frame));
        } else {
            counters.unsent += 1;
            pool.put(frame);
        }
        false
    }

    /// Frames of observed lanes that waited for their device leave, as many as it takes. Returns how many.
    #[cold]
    #[inline(never)]
    pub(super) fn let_go_held_up(&mut self, mut watch: impl Watch) -> usize {
        let Self { ports, pool, observed: Some(observed), leaves_by, within, counters, .. } = self else { return 0 };
        let mut sent = 0;
        for direction in Direction::ALL {
            let held_up = &mut observed.held_up[direction.index()];
            watch.turns_to(direction);
            while let Some((lane, frame)) = held_up.pop_front() {
                watch.ends(pool, &frame, End::Sent { lane, enqueued: None });
                let device = &mut ports[way(*leaves_by, *within, direction, &frame)].device;
                if let Err(frame) = device.send(frame) {
                    watch.takes_back();
                    held_up.push_front((lane, frame));
                    break;
                }
                counters.sent += 1;
                sent += 1;
            }
        }
        sent
    }
}
