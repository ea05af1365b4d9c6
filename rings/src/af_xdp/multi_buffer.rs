//! Packets that are longer than what AF_XDP takes in one piece (Documentation/networking/af_xdp.rst, "Multi-Buffer Support").
//!
//! The kernel knows chunks of a page at most, and writes a longer packet into several of them, one descriptor each. To the
//! program a packet is one frame all the same: frames are several chunks in a row, the first of which the kernel is given to
//! fill. What arrives in further frames is moved behind what arrived in the first one. Sending needs no copy: descriptors
//! may point anywhere, so a packet is described chunk by chunk.

use libc::xdp_desc;

use super::sizes;
use crate::{Frame, Layout, Pool};

/// Bit of a descriptor's options: the packet goes on in the next one. `XDP_PKT_CONTD` of `linux/if_xdp.h`.
const XDP_PKT_CONTD: u32 = 1;

/// What has arrived of a packet whose last descriptor has not.
#[derive(Debug)]
enum Arriving {
    Nothing,
    /// Its beginning.
    Packet(Frame),
    /// Something that will never be a packet.
    Rest,
}

/// What the kernel is done with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// A whole packet, whose frame begins here.
    Packet(u32),
    /// Some of a packet.
    Part,
    /// Something that it was never given.
    Stray,
}

/// The packets of a socket whose frames are several chunks long.
#[derive(Debug)]
pub(super) struct MultiBuffer {
    frame_size: u32,
    chunk_size: u32,
    /// For each frame, descriptors that the kernel has yet to be done with.
    unsent: Box<[u8]>,
    arriving: Arriving,
    /// Packets that were longer than a frame.
    pub(super) too_long: u64,
}

impl MultiBuffer {
    /// For a pool of this layout; `None` if its frames are one chunk each.
    pub(super) fn of(layout: Layout) -> Option<Self> {
        let Layout { frames, frame_size } = layout;
        let chunk_size = sizes::chunk_size(frame_size);
        let unsent = || vec![0; frames as usize].into_boxed_slice();
        let of = || Self { frame_size, chunk_size, unsent: unsent(), arriving: Arriving::Nothing, too_long: 0 };
        (frame_size > chunk_size).then(of)
    }

    /// Takes what a descriptor says, if it is a frame of the pool: the packet, if this was its last.
    pub(super) fn receive(&mut self, part: Option<Frame>, options: u32, pool: &mut Pool) -> Option<Frame> {
        match (self.join(part, pool), options & XDP_PKT_CONTD != 0) {
            (Arriving::Packet(packet), false) => Some(packet),
            (arriving, true) => {
                self.arriving = arriving;
                None
            }
            (Arriving::Nothing | Arriving::Rest, false) => None,
        }
    }

    fn join(&mut self, part: Option<Frame>, pool: &mut Pool) -> Arriving {
        match (std::mem::replace(&mut self.arriving, Arriving::Nothing), part) {
            (Arriving::Nothing, Some(first)) => return Arriving::Packet(first),
            (Arriving::Packet(mut packet), Some(part)) => {
                let appended = pool.append(&mut packet, &part);
                pool.put(part);
                if appended.is_ok() {
                    return Arriving::Packet(packet);
                }
                self.too_long += 1;
                pool.put(packet);
            }
            (Arriving::Packet(frame), None) | (Arriving::Rest, Some(frame)) => pool.put(frame),
            (Arriving::Nothing | Arriving::Rest, None) => {}
        }
        Arriving::Rest
    }

    /// Frames that packets have arrived in, but not whole.
    pub(super) fn arriving(&self) -> u32 {
        u32::from(matches!(self.arriving, Arriving::Packet(_)))
    }

    /// The most descriptors that a packet has.
    pub(super) fn most(&self) -> u32 {
        self.frame_size / self.chunk_size
    }

    /// How many descriptors a packet has.
    pub(super) fn count(&self, frame: &Frame) -> u32 {
        (frame.address % self.chunk_size + frame.len()).div_ceil(self.chunk_size)
    }

    /// The descriptors of a packet, for the kernel.
    pub(super) fn send(&mut self, frame: &Frame) -> impl Iterator<Item = xdp_desc> + use<> {
        self.unsent[(frame.address / self.frame_size) as usize] =
            u8::try_from(self.count(frame)).expect("three at most");
        let (mut at, end, chunk_size) = (frame.address, frame.address + frame.len(), self.chunk_size);
        std::iter::from_fn(move || {
            let next = (at - at % chunk_size + chunk_size).min(end);
            let options = if next < end { XDP_PKT_CONTD } else { 0 };
            let part = xdp_desc { addr: u64::from(at), len: next - at, options };
            at = next;
            (part.len > 0).then_some(part)
        })
    }

    /// The kernel is done with the descriptor of this address.
    pub(super) fn complete(&mut self, address: u32) -> Sent {
        let unsent = &mut self.unsent[(address / self.frame_size) as usize];
        match unsent.checked_sub(1) {
            None => Sent::Stray,
            Some(left) => {
                *unsent = left;
                if left == 0 { Sent::Packet(address - address % self.frame_size) } else { Sent::Part }
            }
        }
    }
}
