//! What stays on the host: what attached containers say to the address that they share, and what is said to them from there.
//!
//! It has a port of its own, by which it comes and goes. What a container sends comes by it to the container's egress lane, and leaves
//! by it again. There the kernel gives it to the host, or has it turn round: it comes once more, now for the ingress lane of the
//! container that has the port, and leaves as all that is for containers. What the host says comes in like the latter.
//!
//! It is a little, beside what the network has: so it never goes straight through, and the path of all other packets stays as short
//! as it is.

use portlane_classify::{Arriving, Direction};
use portlane_rings::{Device, Frame};
use portlane_shaper::Nanos;

use super::{Line, Owner, Watch, link_of};

/// Where an Ethernet header has the first byte of its sender, and the bit of it that says that a frame is on its way out of a container.
/// No sender has it: it would be a group (IEEE 802.3, section 3.2.3). `rings/bpf/attached.h` sets it.
const SENDER: usize = 6;
const IS_LEAVING: u8 = 1;

/// The ports that packets of a direction leave by: what goes, and what stays on the host. Where there is none for the latter it goes
/// back to where containers are, and never to the network.
#[inline]
pub(super) fn ways(leaves_by: [usize; 2], within: Option<usize>, direction: Direction) -> (usize, usize) {
    (leaves_by[direction.index()], within.unwrap_or(leaves_by[Direction::Ingress.index()]))
}

/// The one of them that a packet leaves by.
#[inline]
pub(super) fn way(leaves_by: [usize; 2], within: Option<usize>, direction: Direction, frame: &Frame) -> usize {
    let (goes_by, stays_by) = ways(leaves_by, within, direction);
    if frame.stays() { stays_by } else { goes_by }
}

/// Frames of the port of what stays on the host that have arrived one behind the other, and are all for containers, or all of them.
pub(super) fn runs(frames: &[Frame]) -> impl Iterator<Item = (&[Frame], Arriving)> {
    let runs = frames.chunk_by(|one, next| one.stays() == next.stays());
    runs.map(|run| (run, if run.iter().any(Frame::stays) { Arriving::Egress } else { Arriving::Ingress }))
}

impl<D: Device> Line<D> {
    /// The line with a port of those that it has, by which comes and goes what stays on the host. Its frames are Ethernet.
    #[must_use]
    pub fn with_host(self, port: usize) -> Self {
        Self { within: Some(port), ..self }
    }

    /// The port of what stays on the host, if there is any.
    #[must_use]
    pub fn within(&self) -> Option<usize> {
        self.within
    }

    /// Finds out whose the frames of the batch are, and which of them are on their way out of a container.
    #[inline(never)]
    pub(super) fn classify_within(&mut self, now: Nanos) {
        let Self { pool, classifier, flows, batch, owners, .. } = self;
        owners.extend(batch.iter_mut().map(|frame| {
            let mut arriving = Arriving::Ingress;
            if let Some(sender) = pool.bytes_mut(frame).get_mut(SENDER).filter(|first| **first & IS_LEAVING != 0) {
                *sender &= !IS_LEAVING;
                arriving = Arriving::Egress;
                frame.stay();
            }
            classifier.find(flows, link_of(frame), pool.bytes(frame), frame.wire_len(), arriving, now.0)
        }));
    }

    /// The frames of the batch join their owners' lanes; or they are malformed. Returns how many have left.
    #[inline(never)]
    pub(super) fn enqueue_within(&mut self, now: Nanos, mut watch: impl Watch) -> usize {
        let (mut batch, mut owners) = (std::mem::take(&mut self.batch), std::mem::take(&mut self.owners));
        let pairs = batch.drain(..).zip(owners.drain(..));
        let sent = pairs.map(|(frame, owner): (Frame, Owner)| self.take_in(frame, owner, now, watch.lend())).sum();
        (self.batch, self.owners) = (batch, owners);
        sent
    }
}
