//! What becomes of the frames of a batch: they go straight through, or join their lanes.

use std::io;
use std::vec::Drain;

use portlane_classify::{Direction, Found};
use portlane_rings::{Device, Frame};
use portlane_shaper::{Arrival, LaneId, Nanos, Shaper, Way};

use super::virtual_time::Time;
use super::{End, Line, Owner, Watch};

impl<D: Device> Line<D> {
    /// The frames of the batch go straight through, or join their owners' lanes; or they are malformed.
    pub(super) fn enqueue(&mut self, port: usize, now: Nanos, watch: impl Watch) -> io::Result<usize> {
        let (mut batch, mut owners) = (std::mem::take(&mut self.batch), std::mem::take(&mut self.owners));
        let ahead = self.ports[port].device.arrival(0).is_some();
        let sent = if !ahead && self.shapers.iter().any(Shaper::is_owed) {
            Ok(self.enqueue_among_debtors(batch.drain(..), &owners, now, watch))
        } else {
            self.enqueue_in_order(port, batch.drain(..), &owners, now, watch)
        };
        owners.clear();
        (self.batch, self.owners) = (batch, owners);
        sent
    }

    /// Frames that have arrived together, some of whose lanes owe. Those that go straight through are sent at the end, and
    /// before anything else could be: what joins a lane that owes only waits, unless that is only watched.
    #[inline(never)]
    fn enqueue_among_debtors(
        &mut self,
        frames: Drain<'_, Frame>,
        owners: &[Owner],
        now: Nanos,
        mut watch: impl Watch,
    ) -> usize {
        self.prefetch_flows(owners);
        let (memory, mut sent) = (self.pool.capacity(), 0);
        let mut leaving = std::mem::take(&mut self.leaving);
        let (mut direction, mut room) = (Direction::Ingress, self.room(Direction::Ingress));
        for (frame, owner) in frames.zip(owners) {
            let Ok(found) = *owner else {
                self.take_in(frame, *owner, now, watch.lend());
                continue;
            };
            let (lane, len) = (LaneId(found.owner), frame.wire_len());
            let shaper = &mut self.shapers[found.direction.index()];
            if shaper.owes(lane) {
                let arrival = Arrival { packet: frame, len, memory, flow: found.flow, ect: found.ect };
                if self.observed.is_none()
                    && let Some(waiting) = shaper.flow_that_waits(lane, len, memory, found.flow)
                {
                    watch.turns_to(found.direction);
                    watch.joins(&self.pool, &arrival.packet);
                    shaper.follow(lane, waiting, arrival, now);
                } else if self.observed.is_some() {
                    // It may leave now, and those before it have to be gone.
                    sent += self.send_all(direction, leaving.drain(..));
                    sent += self.join(found.direction, lane, arrival, now, watch.lend());
                    room = self.room(direction);
                } else {
                    self.join_lane(found.direction, lane, arrival, now, watch.lend());
                }
                continue;
            }
            if found.direction != direction {
                sent += self.send_all(direction, leaving.drain(..));
                (direction, room) = (found.direction, self.room(found.direction));
            }
            if leaving.len() < room && self.shapers[direction.index()].pass(lane, len, memory, found.flow, now) {
                watch.turns_to(direction);
                watch.ends(&self.pool, &frame, End::Sent { lane, enqueued: None });
                leaving.push(frame);
            } else {
                sent += self.send_all(direction, leaving.drain(..)) + self.take_in(frame, *owner, now, watch.lend());
                room = self.room(direction);
            }
        }
        sent += self.send_all(direction, leaving.drain(..));
        self.leaving = leaving;
        sent
    }

    /// Starts to bring into the cache what frames touch that are going to wait.
    fn prefetch_flows(&self, owners: &[Owner]) {
        for (direction, shaper) in Direction::ALL.into_iter().zip(&self.shapers) {
            if shaper.outgrows_cache() {
                let here = owners.iter().flatten().filter(|found| found.direction == direction);
                shaper.prefetch_flows(here.map(|found| (LaneId(found.owner), found.flow)));
            }
        }
    }

    /// Frames that the device of a direction has room for.
    #[inline]
    pub(super) fn room(&mut self, direction: Direction) -> usize {
        if self.is_held_up(direction) {
            return 0;
        }
        self.ports[self.leaves_by[direction.index()]].device.room()
    }

    /// Frames that went straight through leave. Their lanes count those that did not wait: no need to record it.
    #[inline]
    pub(super) fn send_all(&mut self, direction: Direction, frames: impl ExactSizeIterator<Item = Frame>) -> usize {
        let sent = frames.len();
        self.counters.sent += sent as u64;
        self.ports[self.leaves_by[direction.index()]].device.send_all(frames);
        sent
    }

    /// Frames one after the other, each at its time.
    #[inline]
    fn enqueue_in_order(
        &mut self,
        port: usize,
        mut frames: Drain<'_, Frame>,
        owners: &[Owner],
        now: Nanos,
        mut watch: impl Watch,
    ) -> io::Result<usize> {
        let (mut time, mut sent) = (Time::at(now, owners.len()), 0);
        while let Some(&owner) = owners.get(owners.len() - frames.len()) {
            let begun = owners.len() - frames.len();
            if self.ports[port].device.arrival(begun).is_some() {
                let passed = self.pass_in_time(&mut time, port, &mut frames, owners, watch.lend());
                if passed > 0 {
                    sent += passed;
                    continue;
                }
                sent += self.go_on(&mut time, port, begun, owner.ok().map(|found| found.direction));
            }
            let together = &owners[begun..time.end];
            let arrived = &frames.as_slice()[..together.len()];
            let passed = match owner {
                Ok(Found { direction, .. }) => self.pass(direction, arrived, together, time.now, watch.lend()),
                Err(_) => 0,
            };
            let next = together.get(passed);
            if let Ok(Found { direction, .. }) = owner {
                // Mostly that is all of them.
                sent += if passed == frames.len() {
                    self.send_all(direction, frames.by_ref())
                } else {
                    self.send_all(direction, frames.by_ref().take(passed))
                };
            }
            // One of the other direction is the first of the next.
            if let Some(&next) = next
                && next.map(|found| found.direction) == owner.map(|found| found.direction)
                && let Some(frame) = frames.next()
            {
                sent += self.take_in(frame, next, time.now, watch.lend());
            }
        }
        time.failed.map(|()| sent)
    }

    /// How many frames at the head of the batch go straight through in this direction.
    // On its own, so that all registers are for the loop.
    #[inline(never)]
    fn pass(
        &mut self,
        direction: Direction,
        frames: &[Frame],
        owners: &[Owner],
        now: Nanos,
        mut watch: impl Watch,
    ) -> usize {
        let (memory, room) = (self.pool.capacity(), self.room(direction));
        watch.turns_to(direction);
        let Some(mut shaper) = self.shapers[direction.index()].still(memory, now) else { return 0 };
        let mut passed = 0;
        for (frame, owner) in frames.iter().zip(&owners[..owners.len().min(room)]) {
            let Ok(found) = owner else { break };
            let lane = LaneId(found.owner);
            if found.direction != direction || !shaper.pass(lane, frame.wire_len(), found.flow) {
                break;
            }
            watch.ends(&self.pool, frame, End::Sent { lane, enqueued: None });
            passed += 1;
        }
        passed
    }

    /// A frame that did not go straight through joins its lane, or is malformed. Returns how many have left.
    pub(super) fn take_in(&mut self, frame: Frame, owner: Owner, now: Nanos, mut watch: impl Watch) -> usize {
        match owner {
            Ok(Found { direction, owner, flow, ect }) => {
                let (len, memory) = (frame.wire_len(), self.pool.capacity());
                self.join(direction, LaneId(owner), Arrival { packet: frame, len, memory, flow, ect }, now, watch)
            }
            Err(reason) => {
                self.counters.malformed[reason as usize] += 1;
                watch.ends(&self.pool, &frame, End::Malformed(reason));
                self.pool.put(frame);
                0
            }
        }
    }

    /// A packet joins its lane, or leaves while a phantom joins an observed one. Returns how many have left.
    #[inline(always)]
    fn join(
        &mut self,
        direction: Direction,
        lane: LaneId,
        arrival: Arrival<Frame>,
        now: Nanos,
        watch: impl Watch,
    ) -> usize {
        if self.observes(lane) {
            self.join_observed(direction, lane, arrival, now, watch)
        } else {
            self.join_lane(direction, lane, arrival, now, watch)
        }
    }

    /// A packet, or a phantom, joins its lane. Returns how many have left: it may be the only one that may.
    #[inline(never)]
    pub(super) fn join_lane(
        &mut self,
        direction: Direction,
        lane: LaneId,
        arrival: Arrival<Frame>,
        now: Nanos,
        mut watch: impl Watch,
    ) -> usize {
        watch.turns_to(direction);
        if !arrival.packet.is_phantom() {
            watch.joins(&self.pool, &arrival.packet);
        }
        let (shaper, mut exit) = self.exit(direction, now, watch);
        match shaper.join(lane, arrival, now, &mut exit).map(|departure| exit.send(departure)) {
            Some(Ok(())) => 1,
            Some(Err(departure)) => {
                shaper.put_back(departure);
                0
            }
            None => 0,
        }
    }
}
