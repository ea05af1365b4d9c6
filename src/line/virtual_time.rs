//! Time that passes within a turn, where a device hands over frames ahead of their time: those of a capture.

use std::io;

use portlane_classify::Direction;
use portlane_rings::Device;
use portlane_shaper::{Nanos, Wake};

use super::Line;

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

    fn set_now(&mut self, now: Nanos) {
        for port in &mut self.ports {
            port.device.set_now(now.0);
        }
    }
}
