//! Tables of what containers, server ports and pairs did in a second or in a minute.

mod open;
mod sums;
#[cfg(test)]
mod tests;
mod usage;

use std::hash::Hash;
use std::sync::Arc;

use crate::SECOND;
use crate::digest::Endpoint;
use crate::inventory::Inventory;
use crate::meter::{Meter, Side, Traffic};
use crate::record::{FlowId, Record, Sink};
use crate::table::Volume;
use crate::tags::Tag;
use crate::timeouts::Timeouts;
use open::{Open, Time};
use sums::{Sums, Tally};
pub use usage::{AclRow, PacketEdgeRow, PacketRow};

/// How long the time is that a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Grain {
    /// A second.
    Second,
    /// A minute.
    Minute,
}

impl Grain {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Second, Self::Minute];

    /// How many seconds it is.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
        }
    }
}

/// Where a flow was seen from: the end that is at home here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Observation {
    /// The client's, and that of flows that nobody here owns.
    Client,
    /// The server's.
    Server,
    /// Both.
    Local,
}

impl Observation {
    /// Of a flow between these two.
    #[must_use]
    pub const fn of(client: &Endpoint, server: &Endpoint) -> Self {
        match (client.owner, server.owner) {
            (Some(_), Some(_)) => Self::Local,
            (None, Some(_)) => Self::Server,
            (_, None) => Self::Client,
        }
    }

    /// `c`, `s` or `local`: its name in `FlowMetrics`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "c",
            Self::Server => "s",
            Self::Local => "local",
        }
    }
}

/// What one end of flows did: of `vtap_flow`, `vtap_flow_port` and `vtap_wan`.
///
/// All pairs are from its own point of view: `tx` is what it sent, be it client or server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SingleRow {
    /// Whether it was client or server of these flows.
    pub side: Side,
    /// Address and owner. Its port is that of the server, and 0 of clients and where tables have no ports.
    pub end: Endpoint,
    /// The IP protocol number.
    pub protocol: u8,
    /// Flows of TCP and UDP that lived at some time: see [`Rows`].
    pub flow_load: u64,
    /// What was counted.
    pub meter: Meter,
}

/// What flows between two ends did: of `vtap_flow_edge` and `vtap_flow_edge_port`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EdgeRow {
    /// Client and server; the client's port is 0, and in `vtap_flow_edge` the server's, too.
    pub flow: FlowId,
    /// Where they were seen from.
    pub observation: Observation,
    /// Flows of TCP and UDP that lived at some time: see [`Rows`].
    pub flow_load: u64,
    /// What was counted; `tx` is what the client sent.
    pub meter: Meter,
}

/// All rows about one second or one minute, each table in the order of its tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Of what length.
    pub grain: Grain,
    /// Where it begins, in seconds since 1970.
    pub start: u64,
    /// `vtap_flow`: by owner and address.
    pub flow: Vec<SingleRow>,
    /// `vtap_flow_port`: by the server's port, too.
    pub flow_port: Vec<SingleRow>,
    /// `vtap_flow_edge`: by pair.
    pub flow_edge: Vec<EdgeRow>,
    /// `vtap_flow_edge_port`: by pair and the server's port.
    pub flow_edge_port: Vec<EdgeRow>,
    /// `vtap_wan`: by end that is [inside](crate::Networks::is_inside), of flows whose other end is not.
    pub wan: Vec<SingleRow>,
    /// `vtap_acl`: by group of rules.
    pub acl: Vec<AclRow>,
    /// `vtap_packet`: by owner and address, and by what packets have in common.
    pub packet: Vec<PacketRow>,
    /// `vtap_packet_edge`: by pair, and by what packets have in common.
    pub packet_edge: Vec<PacketEdgeRow>,
}

/// Adds up records to rows.
///
/// Each record counts once in its second and once in its minute. A flow gives one row in each table of edges; in the others it
/// gives one for each end that is at home here, or one for its client if none is. So the sums over tables are the same, with
/// [local](Observation::Local) flows twice in those of single ends.
///
/// `flow_load` of an edge, a port and a time: the flows that lived when it began, and those that began in it. Of what is put
/// together of several of these it is the sum over those of which something is told in that time.
///
/// Memory is bounded by the number of edges with ports in a second or minute that is not over; records that find no room
/// are counted in [`refused`](Self::refused).
#[derive(Debug)]
pub struct Rows {
    open: [Open; 2],
    inventory: Arc<Inventory>,
    refused: Volume,
}

impl Rows {
    /// No rows. There will be as many as `capacity` in a second, and as many in a minute, of `vtap_flow_edge_port`. The
    /// timeouts are those of the table whose records these are.
    #[must_use]
    pub fn new(capacity: usize, timeouts: &Timeouts) -> Self {
        let longest_silence = timeouts.longest() / SECOND;
        let open = Grain::ALL.map(|grain| Open::new(grain, capacity, longest_silence));
        Self { open, inventory: Arc::default(), refused: Volume::default() }
    }

    /// The same, with rows of what this inventory names.
    #[must_use]
    pub fn with(self, inventory: Arc<Inventory>) -> Self {
        Self { inventory, ..self }
    }

    /// From now on rows are of what this inventory names.
    pub fn follow(&mut self, inventory: Arc<Inventory>) {
        self.inventory = inventory;
    }

    /// Gives out all rows of times that end before `second`, in the order of time: [`Table::window`](crate::Table::window) says
    /// up to where all has been told.
    pub fn close_before(&mut self, second: u64, out: &mut impl FnMut(Batch)) {
        for open in &mut self.open {
            while let Some((start, time)) = open.close_before(second) {
                out(batch(open.grain(), start, &time, &self.inventory));
            }
        }
    }

    /// Gives out all rows.
    pub fn finish(mut self, out: &mut impl FnMut(Batch)) {
        self.close_before(u64::MAX, out);
    }

    /// Packets that are missing in rows of a second or of a minute, for want of room.
    #[must_use]
    pub fn refused(&self) -> Volume {
        self.refused
    }
}

impl Sink for Rows {
    fn record(&mut self, record: &Record) {
        let taken = self.open.each_mut().map(|open| open.record(record));
        if taken.contains(&false) {
            self.refused.packets += record.meter.packet.sum();
            self.refused.bytes += record.meter.byte.sum();
        }
    }

    fn tagged(&mut self, flow: &FlowId, second: u64, tag: Tag, traffic: &Traffic) {
        self.open.iter_mut().for_each(|open| open.tagged(flow, second, tag, traffic));
    }
}

fn batch(grain: Grain, start: u64, time: &Time, inventory: &Inventory) -> Batch {
    let all = || time.edges.iter().copied();
    let portless = |flow: FlowId| FlowId { server: without_port(flow.server), ..flow };
    Batch {
        grain,
        start,
        flow: singles(all().map(|(flow, tally)| (portless(flow), tally))),
        flow_port: singles(all()),
        flow_edge: edges(merged(all().map(|(flow, tally)| (portless(flow), tally)))),
        flow_edge_port: edges(all()),
        wan: usage::wan(&inventory.networks, &time.edges),
        acl: usage::acl(inventory, &time.edges),
        packet: usage::packet(&time.tags),
        packet_edge: usage::packet_edge(&time.tags),
    }
}

fn edges(tallies: impl IntoIterator<Item = (FlowId, Tally)>) -> Vec<EdgeRow> {
    let row = |(flow, tally): (FlowId, Tally)| EdgeRow {
        flow,
        observation: Observation::of(&flow.client, &flow.server),
        flow_load: tally.flow_load,
        meter: tally.meter,
    };
    tallies.into_iter().map(row).collect()
}

fn singles(tallies: impl Iterator<Item = (FlowId, Tally)>) -> Vec<SingleRow> {
    let ends = tallies.flat_map(|(flow, tally)| {
        at_home(flow.client, flow.server).map(move |(end, side)| {
            let meter = if side == Side::Client { tally.meter } else { tally.meter.swapped() };
            ((end, side, flow.protocol), Tally { meter, ..tally })
        })
    });
    merged(ends).into_iter().map(single).collect()
}

/// The ends of a flow that have rows of their own: those that are at home, or the client if none is.
fn at_home(client: Endpoint, server: Endpoint) -> impl Iterator<Item = (Endpoint, Side)> {
    let observation = Observation::of(&client, &server);
    let client = (observation != Observation::Server).then_some((client, Side::Client));
    client.into_iter().chain((observation != Observation::Client).then_some((server, Side::Server)))
}

fn single(((end, side, protocol), tally): ((Endpoint, Side, u8), Tally)) -> SingleRow {
    SingleRow { side, end, protocol, flow_load: tally.flow_load, meter: tally.meter }
}

fn merged<K: Copy + Eq + Hash + Ord>(tallies: impl Iterator<Item = (K, Tally)>) -> Vec<(K, Tally)> {
    tallies.collect::<Sums<K>>().sorted()
}

fn without_port(end: Endpoint) -> Endpoint {
    Endpoint { port: 0, ..end }
}
