//! Time that passes within a turn, where a device hands over frames ahead of their time: those of a capture.

use std::io;
use std::vec::Drain;

use portlane_classify::{Direction, Found};
use portlane_rings::{Device, Frame};
use portlane_shaper::{LaneId, Nanos, Wake};

use super::{End, Line, Owner, Watch};

/// How far time has come in a batch of frames that did not arrive at the same time.
#[derive(Debug)]
pub(super) struct Time {
    pub(super) now: Nanos,
    /// When each direction was last asked for what may leave, by [`Direction::index`].
    asked: [Nanos; Direction::ALL.len()],
    /// The position in the batch up to which frames have arrived.
    pub(super) end: usize,
    /// How many frames are in the batch.
    frames: usize,
    /// Whether a device failed. Time goes on even so: every frame has a place to be.
    pub(super) failed: io::Result<()>,
}

impl Time {
    /// At the beginning of a turn, when what may leave has left. All `frames` of the batch have arrived, unless the device says
    /// otherwise.
    #[inline]
    pub(super) fn at(now: Nanos, frames: usize) -> Self {
        Self { now, asked: [now; Direction::ALL.len()], end: frames, frames, failed: Ok(()) }
    }
}

impl<D: Device> Line<D> {
    /// Frames at the head of the batch that arrive at times of their own go straight through, as long as nobody waits for anything:
    /// then nothing else can leave meanwhile. Returns how many did.
    #[inline]
    pub(super) fn pass_in_time(
        &mut self,
        time: &mut Time,
        port: usize,
        frames: &mut Drain<'_, Frame>,
        owners: &[Owner],
        mut watch: impl Watch,
    ) -> usize {
        let begun = owners.len() - frames.len();
        let Ok(Found { direction, .. }) = owners[begun] else { return 0 };
        if self.waiting() > 0 {
            return 0;
        }
        let passed = self.run_in_time(port, direction, begun, frames.as_slice(), &owners[begun..], time.now);
        watch.turns_to(direction);
        let leaves_by = self.leaves_by[direction.index()];
        for (position, frame) in (begun..).zip(frames.by_ref().take(passed)) {
            let arrival = self.ports[port].device.arrival(position).map_or(time.now, Nanos);
            time.now = time.now.max(arrival);
            if let Ok(found) = owners[position] {
                watch.ends(&self.pool, &frame, End::Sent { lane: LaneId(found.owner), enqueued: None });
            }
            let device = &mut self.ports[leaves_by].device;
            device.set_now(time.now.0);
            device.send_all(std::iter::once(frame));
        }
        if passed > 0 {
            self.counters.sent += passed as u64;
            self.set_now(time.now);
            time.end = begun + passed;
        }
        passed
    }

    /// How many frames go straight through in a direction, each at its time. They are those from a position of the batch on.
    // On its own, so that all registers are for the loop.
    #[inline(never)]
    fn run_in_time(
        &mut self,
        port: usize,
        direction: Direction,
        begun: usize,
        frames: &[Frame],
        owners: &[Owner],
        mut now: Nanos,
    ) -> usize {
        let (memory, room) = (self.pool.capacity(), self.room(direction));
        let device = &self.ports[port].device;
        let Some(mut shaper) = self.shapers[direction.index()].at_rest(memory) else { return 0 };
        let mut passed = 0;
        for (frame, owner) in frames.iter().zip(&owners[..owners.len().min(room)]) {
            let (Ok(found), Some(arrival)) = (owner, device.arrival(begun + passed)) else { break };
            now = now.max(Nanos(arrival));
            if found.direction != direction || !shaper.pass(LaneId(found.owner), frame.wire_len(), found.flow, now) {
                break;
            }
            passed += 1;
        }
        passed
    }

    /// Virtual time goes on to the arrival of the frame at this position, of a packet of this direction if it is of any. What may
    /// leave before or then leaves; returns how many packets did.
    #[inline]
    pub(super) fn go_on(
        &mut self,
        time: &mut Time,
        port: usize,
        position: usize,
        direction: Option<Direction>,
    ) -> usize {
        let mut sent = 0;
        if let Some(arrival) = self.ports[port].device.arrival(position).map(Nanos).filter(|&at| at > time.now) {
            if self.waiting() > 0 {
                sent += self.depart_until(time, arrival);
            }
            time.now = arrival;
            self.set_now(arrival);
        }
        if position == 0 || position == time.end {
            let arrived = |&position: &usize| self.ports[port].device.arrival(position) <= Some(time.now.0);
            time.end = position + (position..time.frames).take_while(arrived).count();
        }
        match direction {
            // Nothing of its direction has waited since then. From now on that is known, and the packet may pass.
            Some(direction) if time.asked[direction.index()] != time.now => {
                time.asked[direction.index()] = time.now;
                sent + self.dequeue(direction, time.now, ())
            }
            _ => sent,
        }
    }

    #[inline(never)]
    fn depart_until(&mut self, time: &mut Time, arrival: Nanos) -> usize {
        let mut sent = 0;
        while time.now < arrival {
            time.now = match self.next_wake(time.now) {
                Wake::Now => time.now,
                Wake::At(wake) => wake.min(arrival),
                Wake::Never => arrival,
            };
            self.set_now(time.now);
            match self.depart(time.now, ()) {
                Ok(departed) => sent += departed,
                Err(error) => {
                    time.failed = Err(error);
                    time.now = arrival;
                }
            }
        }
        time.asked = [arrival; Direction::ALL.len()];
        sent
    }

    #[inline]
    fn set_now(&mut self, now: Nanos) {
        for port in &mut self.ports {
            port.device.set_now(now.0);
        }
    }
}
