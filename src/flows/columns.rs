//! What is in the columns of each table: tags first, then metrics, by the names of `FlowMetrics`.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use portlane_flows::{
    AclRow, CloseType, Dialogue, EdgeRow, Endpoint, FlowId, Inventory, Meter, Observation, PacketEdgeRow, PacketRow,
    Pair, Place, Side, SingleRow, Tag, Timing, Traffic,
};

use super::names::List;

/// The traffic of a virtual network: what all of this is, in `FlowMetrics`.
const VIRTUAL_NETWORK: u8 = 3;

/// A value in a row.
pub(super) enum Cell<'a> {
    /// Seconds since 1970.
    Time(u64),
    /// A count, bytes, or microseconds.
    Count(u64),
    /// A small number.
    Small(u8),
    /// The number that somebody has given to something; below 0 it says why there is none.
    Id(i64),
    /// A port.
    Port(u16),
    /// An address.
    Address(IpAddr),
    /// A name.
    Text(&'a str),
}

/// Takes the cells of a row, one after the other: always the same names in the same order, for rows of one table.
pub(super) trait Cells {
    fn cell(&mut self, name: &'static str, cell: Cell<'_>);
}

/// A row of a table.
pub(super) trait Row {
    /// A row, to learn names from.
    fn sample() -> Self;

    /// Tells of each cell. `ports` says whether the table has servers' ports.
    fn cells(&self, start: u64, known: &Known, ports: bool, cells: &mut impl Cells);
}

/// What is known of ends besides what packets say.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// The names of owners.
    pub(super) names: List,
    /// Where addresses are.
    pub(super) inventory: Arc<Inventory>,
    /// The number of who has counted.
    pub(super) agent: u32,
}

const NOWHERE: Endpoint = Endpoint { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), port: 0, owner: None };

/// What a container is called; nothing for who is none.
fn name<'a>(end: &Endpoint, names: &'a [Arc<str>]) -> &'a str {
    let position = end.owner.and_then(|owner| usize::try_from(owner).ok());
    position.and_then(|position| names.get(position)).map_or("", |name| name)
}

fn version(address: IpAddr) -> Cell<'static> {
    Cell::Small(if address.is_ipv4() { 4 } else { 6 })
}

macro_rules! place {
    ($cells:expr, $suffix:literal, $place:expr) => {
        let place: Place = $place;
        $cells.cell(concat!("region_id", $suffix), Cell::Id(place.region.into()));
        $cells.cell(concat!("az_id", $suffix), Cell::Id(place.az.into()));
        $cells.cell(concat!("l3_epc_id", $suffix), Cell::Id(place.epc.into()));
        $cells.cell(concat!("subnet_id", $suffix), Cell::Id(place.subnet.into()));
        $cells.cell(concat!("host_id", $suffix), Cell::Id(place.host.into()));
    };
}

impl Row for SingleRow {
    fn sample() -> Self {
        Self { side: Side::Client, end: NOWHERE, protocol: 0, flow_load: 0, meter: Meter::default() }
    }

    fn cells(&self, start: u64, known: &Known, ports: bool, cells: &mut impl Cells) {
        cells.cell("time", Cell::Time(start));
        cells.cell("ip", Cell::Address(self.end.address));
        cells.cell("ip_version", version(self.end.address));
        cells.cell("pod_id", Cell::Text(name(&self.end, &known.names)));
        place!(cells, "", known.inventory.networks.place(&self.end));
        cells.cell("direction", Cell::Text(direction(self.side)));
        cells.cell("protocol", Cell::Small(self.protocol));
        if ports {
            cells.cell("server_port", Cell::Port(self.end.port));
        }
        captured(known, cells);
        metrics(&self.meter, self.flow_load, cells);
    }
}

impl Row for EdgeRow {
    fn sample() -> Self {
        let flow = FlowId { client: NOWHERE, server: NOWHERE, protocol: 0 };
        Self { flow, observation: Observation::Client, flow_load: 0, meter: Meter::default() }
    }

    fn cells(&self, start: u64, known: &Known, ports: bool, cells: &mut impl Cells) {
        let FlowId { client, server, protocol } = &self.flow;
        cells.cell("time", Cell::Time(start));
        ends(client, server, known, cells);
        cells.cell("protocol", Cell::Small(*protocol));
        if ports {
            cells.cell("server_port", Cell::Port(server.port));
        }
        cells.cell("observation_point", Cell::Text(self.observation.as_str()));
        // Between two containers packets are counted where they are sent, and the client is who began.
        let port = if self.observation == Observation::Server { server } else { client };
        cells.cell("capture_nic", Cell::Text(name(port, &known.names)));
        captured(known, cells);
        metrics(&self.meter, self.flow_load, cells);
    }
}

impl Row for AclRow {
    fn sample() -> Self {
        Self { group: 0, traffic: Traffic::default() }
    }

    fn cells(&self, start: u64, known: &Known, _: bool, cells: &mut impl Cells) {
        cells.cell("time", Cell::Time(start));
        cells.cell("acl_gid", Cell::Id(self.group.into()));
        captured(known, cells);
        traffic(&self.traffic, cells);
    }
}

impl Row for PacketRow {
    fn sample() -> Self {
        Self { side: Side::Client, end: NOWHERE, tag: Tag::Syn, traffic: Traffic::default() }
    }

    fn cells(&self, start: u64, known: &Known, _: bool, cells: &mut impl Cells) {
        cells.cell("time", Cell::Time(start));
        cells.cell("ip", Cell::Address(self.end.address));
        cells.cell("ip_version", version(self.end.address));
        cells.cell("pod_id", Cell::Text(name(&self.end, &known.names)));
        place!(cells, "", known.inventory.networks.place(&self.end));
        cells.cell("direction", Cell::Text(direction(self.side)));
        tag(self.tag, cells);
        captured(known, cells);
        traffic(&self.traffic, cells);
    }
}

impl Row for PacketEdgeRow {
    fn sample() -> Self {
        let (observation, tag) = (Observation::Client, Tag::Syn);
        Self { client: NOWHERE, server: NOWHERE, observation, tag, traffic: Traffic::default() }
    }

    fn cells(&self, start: u64, known: &Known, _: bool, cells: &mut impl Cells) {
        cells.cell("time", Cell::Time(start));
        ends(&self.client, &self.server, known, cells);
        tag(self.tag, cells);
        cells.cell("observation_point", Cell::Text(self.observation.as_str()));
        captured(known, cells);
        traffic(&self.traffic, cells);
    }
}

/// Where all of it was counted.
fn captured(known: &Known, cells: &mut impl Cells) {
    cells.cell("capture_network_type_id", Cell::Small(VIRTUAL_NETWORK));
    cells.cell("agent_id", Cell::Id(known.agent.into()));
}

fn direction(side: Side) -> &'static str {
    if side == Side::Client { "c2s" } else { "s2c" }
}

fn tag(tag: Tag, cells: &mut impl Cells) {
    cells.cell("tag_type", Cell::Small(tag.kind()));
    cells.cell("tag_value", Cell::Text(tag.value()));
}

fn ends(client: &Endpoint, server: &Endpoint, known: &Known, cells: &mut impl Cells) {
    cells.cell("ip_0", Cell::Address(client.address));
    cells.cell("ip_1", Cell::Address(server.address));
    cells.cell("ip_version", version(client.address));
    cells.cell("pod_id_0", Cell::Text(name(client, &known.names)));
    cells.cell("pod_id_1", Cell::Text(name(server, &known.names)));
    place!(cells, "_0", known.inventory.networks.place(client));
    place!(cells, "_1", known.inventory.networks.place(server));
}

macro_rules! pair {
    ($cells:expr, $name:literal, $pair:expr) => {
        let pair: Pair = $pair;
        $cells.cell(concat!($name, "_tx"), Cell::Count(pair.tx));
        $cells.cell(concat!($name, "_rx"), Cell::Count(pair.rx));
        $cells.cell($name, Cell::Count(pair.sum()));
    };
}

macro_rules! timing {
    ($cells:expr, $name:literal, $timing:expr) => {
        let timing: Timing = $timing;
        $cells.cell(concat!($name, "_sum"), Cell::Count(timing.sum_us()));
        $cells.cell(concat!($name, "_count"), Cell::Count(timing.count));
        $cells.cell(concat!($name, "_max"), Cell::Count(timing.max_us()));
    };
}

macro_rules! dialogue {
    ($cells:expr, $name:literal, $rrt:literal, $dialogue:expr) => {
        let dialogue: Dialogue = $dialogue;
        $cells.cell(concat!($name, "_request"), Cell::Count(dialogue.request.into()));
        $cells.cell(concat!($name, "_response"), Cell::Count(dialogue.response.into()));
        $cells.cell(concat!($name, "_client_error"), Cell::Count(dialogue.client_error.into()));
        $cells.cell(concat!($name, "_server_error"), Cell::Count(dialogue.server_error.into()));
        $cells.cell(concat!($name, "_error"), Cell::Count(dialogue.error().into()));
        $cells.cell(concat!($name, "_timeout"), Cell::Count(dialogue.timeout.into()));
        timing!($cells, $rrt, dialogue.rrt);
    };
}

fn traffic(traffic: &Traffic, cells: &mut impl Cells) {
    pair!(cells, "packet", traffic.packet);
    pair!(cells, "byte", traffic.byte);
    pair!(cells, "l3_byte", traffic.l3_byte);
    pair!(cells, "l4_byte", traffic.l4_byte);
}

fn metrics(meter: &Meter, flow_load: u64, cells: &mut impl Cells) {
    traffic(&meter.traffic(), cells);
    cells.cell("new_flow", Cell::Count(meter.new_flow));
    cells.cell("closed_flow", Cell::Count(meter.closes.total()));
    cells.cell("flow_load", Cell::Count(flow_load));
    cells.cell("syn_count", Cell::Count(meter.syn_count));
    cells.cell("synack_count", Cell::Count(meter.synack_count));
    timing!(cells, "rtt", meter.rtt);
    timing!(cells, "rtt_client", meter.rtt_client);
    timing!(cells, "rtt_server", meter.rtt_server);
    timing!(cells, "srt", meter.srt);
    timing!(cells, "art", meter.art);
    pair!(cells, "retrans", meter.retrans);
    cells.cell("retrans_syn", Cell::Count(meter.retrans_syn));
    cells.cell("retrans_synack", Cell::Count(meter.retrans_synack));
    pair!(cells, "ooo", meter.ooo);
    pair!(cells, "zero_win", meter.zero_win);
    dialogue!(cells, "l7", "rrt", meter.applications());
    dialogue!(cells, "http", "http_rrt", meter.http);
    dialogue!(cells, "dns", "dns_rrt", meter.dns);
    // How connections ended, but for those that finished, which are among `closed_flow` alone.
    let harmless = [CloseType::Unknown, CloseType::Finish, CloseType::Probe];
    for close in CloseType::ALL.into_iter().filter(|close| !harmless.contains(close)) {
        cells.cell(close.as_str(), Cell::Count(meter.closes.get(close)));
    }
    cells.cell("client_establish_fail", Cell::Count(meter.closes.client_establish_fail()));
    cells.cell("server_establish_fail", Cell::Count(meter.closes.server_establish_fail()));
    cells.cell("tcp_establish_fail", Cell::Count(meter.closes.establish_fail()));
    cells.cell("tcp_transfer_fail", Cell::Count(meter.closes.transfer_fail()));
    cells.cell("tcp_rst_fail", Cell::Count(meter.closes.rst_fail()));
}
