//! How connections fare: flow metrics from the headers of packets.
//!
//! A [`Digest`] is what is kept of a packet: time, lengths, endpoints, the fields of its TCP header, and the [`Messages`] of
//! applications that it begins. A [`Table`] joins
//! digests to flows, follows each one's TCP state, and tells a [`Sink`] once a second what a flow did in that second: a
//! [`Record`], with a [`Meter`] of what was counted, and at its end a [`CloseType`] that says how it ended. [`Rows`] are a sink
//! that adds records up, by container, server port and pair, for each second and each minute.
//!
//! The definitions are those of FlowMetrics, as DeepFlow's agent implements them; docs/flows.md of the repository has them,
//! and says where and why this crate differs. Whose an endpoint is, the caller says; the crate knows owners as numbers.
//!
//! No clock is read and no I/O is done: the times of packets decide. Memory is bounded: a table has as many flows as it was
//! told, and what finds no room is counted. Nothing that a packet contains can make this crate panic.
//!
//! ```
//! use portlane_classify::Link;
//! use portlane_flows::{Config, Digest, Record, Table};
//!
//! // A UDP packet of two bytes from 10.0.0.9:40000 to 10.0.0.1:53, as raw IP.
//! let frame = [
//!     0x45, 0, 0, 30, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 9, 10, 0, 0, 1, // IPv4
//!     0x9c, 0x40, 0, 53, 0, 10, 0, 0, b'h', b'i', // UDP
//! ];
//! let digest = Digest::read(Link::Ip, &frame, 30, 1_000_000_000)?.expect("it is IP").owned_by(None, Some(7));
//!
//! let mut table = Table::new(Config::default(), [1, 2]);
//! let mut records = Vec::new();
//! table.packet(&digest, &mut |record: &Record| records.push(*record));
//! table.finish(&mut |record: &Record| records.push(*record));
//!
//! let [traffic, end] = records[..] else { panic!("{records:?}") };
//! assert_eq!((traffic.flow.server.port, traffic.flow.server.owner), (53, Some(7)));
//! assert_eq!((traffic.second, traffic.meter.packet.tx, traffic.meter.l4_byte.tx), (1, 1, 2));
//! assert_eq!((end.second, end.meter.closes.total()), (6, 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod application;
mod close;
mod digest;
mod exchange;
mod flow;
mod inventory;
mod meter;
mod record;
mod rows;
mod table;
mod tags;
mod tcp;
mod timeouts;

pub use application::{Answer, Application, Message, Messages};
pub use close::{CloseType, Closes};
pub use digest::{Digest, Echo, Endpoint, Flags, Kind, Segment};
pub use inventory::{Acl, Inventory, Networks, Place};
pub use ipnet::IpNet;
pub use meter::{Dialogue, Meter, Pair, Side, Timing, Traffic};
pub use record::{FlowId, Record, Sink};
pub use rows::{AclRow, Batch, EdgeRow, Grain, Observation, PacketEdgeRow, PacketRow, Rows, SingleRow};
pub use table::{Config, Counters, Table, Volume};
pub use tags::{Cast, Tag};
pub use timeouts::Timeouts;

/// A second in nanoseconds.
const SECOND: u64 = 1_000_000_000;
