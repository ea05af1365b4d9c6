//! Frames, the pool that they live in, and the devices that they come from and go to.
//!
//! The contract of this crate is who owns a frame, and when. A [`Frame`] is a token: it can be neither copied nor
//! cloned, and whoever holds it owns the bytes. It leaves the [`Pool`] with [`Pool::take`] or [`Device::receive`], is
//! given up to [`Device::send`], and comes home with [`Pool::put`] or [`Device::reclaim`]. Nothing else makes or
//! destroys one, so at every turn
//!
//! ```text
//! free (pool) + filling + sending (each device) + held by the program == total
//! ```
//!
//! With the feature `af-xdp` (on by default; it needs clang, libelf and m4 to build) frames also come from network
//! interfaces: see `open_wire` and `bind_wire`, which take everything, by AF_XDP or packet sockets, and `bind_nic`, which takes
//! what belongs to containers. Without it plain cargo suffices.
//!
//! A pool can be [divided](divide) among workers, who hand frames over to each other through rings.
//!
//! This is the only crate of the workspace with `unsafe` code, but for the one instruction of `portlane-hint`: the memory
//! of the pool, and the rings shared with the kernel.
//!
//! ```
//! use portlane_rings::{Device, Layout, Memory, Pool};
//!
//! let mut pool = Pool::new(Layout { frames: 64, frame_size: 2_048 })?;
//! let mut device = Memory::new(16);
//! let mut frame = pool.take().expect("64 are free");
//! pool.write(&mut frame, b"hello").expect("five bytes fit");
//! device.arrive(frame);
//!
//! let mut batch = Vec::with_capacity(32);
//! device.receive(&mut pool, &mut batch, 32)?;
//! for frame in batch.drain(..) {
//!     assert_eq!(pool.bytes(&frame), b"hello");
//!     device.send(frame).expect("the ring has room");
//! }
//! device.complete();
//! device.reclaim(&mut pool)?;
//! assert_eq!(pool.free(), pool.total());
//! # Ok::<(), std::io::Error>(())
//! ```

#![allow(unexpected_cfgs, reason = "`loom` is set on the command line of the model test alone")]

#[cfg(feature = "af-xdp")]
mod af_packet;
#[cfg(feature = "af-xdp")]
mod af_xdp;
mod area;
#[cfg(feature = "af-xdp")]
mod checksum;
mod device;
mod frame;
mod handoff;
#[cfg(feature = "af-xdp")]
mod ladder;
mod mapping;
mod memory;
mod pool;
pub mod ring;
#[cfg(feature = "af-xdp")]
mod socket;

#[cfg(feature = "af-xdp")]
pub use af_packet::AfPacket;
#[cfg(feature = "af-xdp")]
pub use af_xdp::{
    AfXdp, BoundNic, Features, Gate, GateCounters, Interface, Io, Mode, NewRules, Nic, Occupancy, Offender, OpenError,
    Options, Owners, Pairs, QueueChoice, Rules, Side, Solicitation, Solicitations, Statistics, Steering, Verdict,
    VerdictCounters, Verdicts, bind_nic, look_up,
};
pub use device::{Device, ETHERNET, Held, Losses};
pub use frame::Frame;
pub use handoff::{Part, Peer, divide};
#[cfg(feature = "af-xdp")]
pub use ladder::{Bound, BoundWire, bind_wire, open_wire};
pub use memory::Memory;
pub use pool::{Layout, Pool, TooLong};
#[cfg(feature = "af-xdp")]
pub use socket::{Socket, wait};
