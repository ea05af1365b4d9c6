//! Rows are the sums of what was told, each once.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use proptest::prelude::*;

use super::{Batch, Grain, Observation, Rows};
use crate::application::Messages;
use crate::close::CloseType;
use crate::digest::{Digest, Endpoint, Flags, Kind, Segment};
use crate::inventory::{Acl, Inventory, Place};
use crate::meter::{Meter, Pair, Side, Traffic};
use crate::record::{FlowId, Record, Sink};
use crate::table::{Config, Table};
use crate::tags::{Cast, Tag};
use crate::timeouts::Timeouts;

const MS: u64 = 1_000_000;

fn end(host: u8, port: u16, owner: Option<u32>) -> Endpoint {
    Endpoint { address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)), port, owner }
}

fn flow(client: Endpoint, server: Endpoint) -> FlowId {
    FlowId { client, server, protocol: 6 }
}

/// What a flow did in a second: packets of both sides, whether it began, and whether it ended.
fn record(flow: FlowId, second: u64, packets: (u64, u64), begun: bool, ended: bool) -> Record {
    let mut meter = Meter { packet: Pair { tx: packets.0, rx: packets.1 }, ..Meter::default() };
    meter.byte = Pair { tx: packets.0 * 100, rx: packets.1 * 100 };
    meter.retrans = Pair { tx: packets.0, rx: 0 };
    meter.new_flow = u64::from(begun);
    if ended {
        meter.closes.count(CloseType::Finish);
    }
    Record { flow, second, meter }
}

fn batches(records: &[Record]) -> Vec<Batch> {
    batches_with(records, &Inventory::default())
}

fn batches_with(records: &[Record], inventory: &Inventory) -> Vec<Batch> {
    let mut rows = Rows::new(1_000, &Timeouts::default()).with(Arc::new(inventory.clone()));
    records.iter().for_each(|record| rows.record(record));
    let mut batches = Vec::new();
    rows.finish(&mut |batch| batches.push(batch));
    batches
}

#[test]
fn ends_that_are_at_home_have_rows_of_their_own() {
    let web = end(1, 80, Some(7));
    let observed = |client, server| {
        let batch = &batches(&[record(flow(client, server), 5, (3, 2), true, false)])[0];
        assert_eq!((batch.grain, batch.start, batch.flow_edge.len()), (Grain::Second, 5, 1));
        let edge = &batch.flow_edge_port[0];
        assert_eq!((edge.flow.client.port, edge.flow.server), (0, server));
        assert_eq!((edge.meter.packet, edge.meter.retrans), (Pair { tx: 3, rx: 2 }, Pair { tx: 3, rx: 0 }));
        let singles = batch.flow_port.iter().map(|row| (row.side, row.end.port, row.meter.packet, row.meter.retrans));
        (edge.observation.as_str(), singles.collect::<Vec<_>>())
    };
    let sent_by_server = (Side::Server, 80, Pair { tx: 2, rx: 3 }, Pair { tx: 0, rx: 3 });
    let sent_by_client = (Side::Client, 0, Pair { tx: 3, rx: 2 }, Pair { tx: 3, rx: 0 });
    assert_eq!(observed(end(9, 40_000, None), web), ("s", vec![sent_by_server]));
    let away = Endpoint { owner: None, ..web };
    assert_eq!(observed(end(2, 40_000, Some(3)), away), ("c", vec![sent_by_client]));
    assert_eq!(observed(end(9, 40_000, None), away), ("c", vec![sent_by_client]), "nobody's");
    let local = observed(end(2, 40_000, Some(3)), web);
    assert_eq!(local, ("local", vec![sent_by_server, sent_by_client]));
}

#[test]
fn ports_of_clients_do_not_matter_and_those_of_servers_do() {
    let server = |port| end(1, port, Some(7));
    let client = |port| end(9, port, None);
    let batch = &batches(&[
        record(flow(client(40_000), server(80)), 5, (1, 0), true, false),
        record(flow(client(40_001), server(80)), 5, (2, 0), true, false),
        record(flow(client(40_000), server(443)), 5, (4, 0), true, false),
        record(flow(end(8, 40_000, None), server(443)), 5, (8, 0), true, false),
    ])[0];
    let edges = |rows: &[super::EdgeRow]| rows.iter().map(|row| row.meter.packet.tx).collect::<Vec<_>>();
    let singles = |rows: &[super::SingleRow]| rows.iter().map(|row| row.meter.packet.rx).collect::<Vec<_>>();
    assert_eq!(edges(&batch.flow_edge_port), [8, 3, 4]);
    assert_eq!(edges(&batch.flow_edge), [8, 7]);
    assert_eq!(singles(&batch.flow_port), [3, 12]);
    assert_eq!(singles(&batch.flow), [15]);
    assert_eq!(batch.flow[0].flow_load, 4);
}

#[test]
fn the_load_is_who_lived_at_some_time() {
    let one = flow(end(9, 40_000, None), end(1, 80, Some(7)));
    let other = flow(end(9, 40_001, None), end(1, 80, Some(7)));
    let third = flow(end(8, 40_001, None), end(1, 80, Some(7)));
    let records = [
        record(one, 59, (1, 0), true, false),
        record(other, 60, (1, 0), true, false),
        record(third, 60, (1, 0), true, false),
        record(one, 60, (0, 0), false, true),
        record(other, 61, (1, 0), false, false),
        record(other, 62, (0, 0), false, true),
    ];
    let batches = batches(&records);
    let loads = |grain| {
        let of_grain = batches.iter().filter(move |batch| batch.grain == grain);
        of_grain.map(|batch| (batch.start, batch.flow[0].flow_load)).collect::<Vec<_>>()
    };
    // The third one is silent in the seconds 61 and 62.
    assert_eq!(loads(Grain::Second), [(59, 1), (60, 3), (61, 1), (62, 1)]);
    assert_eq!(loads(Grain::Minute), [(0, 1), (60, 3)]);
}

#[test]
fn what_finds_no_room_is_counted() {
    let mut rows = Rows::new(2, &Timeouts::default());
    for host in 0..5 {
        rows.record(&record(flow(end(host, 40_000, None), end(1, 80, None)), 5, (1, 1), true, false));
        rows.record(&record(flow(end(0, 40_000, None), end(1, 80, None)), 5, (1, 0), false, false));
    }
    assert_eq!((rows.refused().packets, rows.refused().bytes), (6, 600));
    let mut packets = 0;
    rows.finish(&mut |batch| packets += batch.flow_edge.iter().map(|row| row.meter.packet.sum()).sum::<u64>());
    assert_eq!(packets, 2 * (15 - 6));
}

#[test]
fn rows_come_when_their_time_is_over() {
    let mut rows = Rows::new(10, &Timeouts::default());
    let mut given = Vec::new();
    for second in [58, 59, 60, 61] {
        rows.record(&record(flow(end(9, 40_000, None), end(1, 80, None)), second, (1, 0), false, false));
    }
    rows.close_before(59, &mut |batch| given.push((batch.grain, batch.start)));
    assert_eq!(given, [(Grain::Second, 58)]);
    rows.close_before(61, &mut |batch| given.push((batch.grain, batch.start)));
    assert_eq!(given[1..], [(Grain::Second, 59), (Grain::Second, 60), (Grain::Minute, 0)]);
}

#[test]
fn what_is_outside_of_all_networks_is_the_world() {
    let mut inventory = Inventory::default();
    inventory.networks.insert("10.0.0.0/29".parse().unwrap(), Place::default());
    let (web, peer, stranger) = (end(1, 80, Some(7)), end(2, 40_000, None), end(9, 40_000, None));
    let records = [
        record(flow(stranger, web), 5, (1, 2), true, false),
        record(flow(web, stranger), 5, (4, 8), true, false),
        record(flow(peer, web), 5, (16, 32), true, false),
        record(flow(peer, stranger), 5, (64, 128), true, false),
        record(flow(stranger, end(10, 80, None)), 5, (256, 512), true, false),
    ];
    let wan = |inventory: &Inventory| {
        let batch = batches_with(&records, inventory).remove(0);
        batch.wan.into_iter().map(|row| (row.end, row.side, row.meter.packet, row.flow_load)).collect::<Vec<_>>()
    };
    let expected = [
        (Endpoint { port: 0, ..web }, Side::Client, Pair { tx: 4, rx: 8 }, 1),
        (Endpoint { port: 0, ..web }, Side::Server, Pair { tx: 2, rx: 1 }, 1),
        (Endpoint { port: 0, ..peer }, Side::Client, Pair { tx: 64, rx: 128 }, 1),
    ];
    assert_eq!(wan(&inventory), expected);
    assert_eq!(wan(&Inventory::default()), [], "nobody has said what is inside");
}

#[test]
fn a_group_counts_each_flow_once() {
    let any = Acl { group: 7, protocol: None, clients: Vec::new(), servers: Vec::new(), server_ports: Vec::new() };
    let ports = vec!["80".parse().unwrap()];
    let acls = vec![any.clone(), Acl { group: 3, server_ports: ports, ..any.clone() }, any];
    let records = [
        record(flow(end(9, 40_000, None), end(1, 80, Some(7))), 5, (1, 2), true, false),
        record(flow(end(9, 40_000, None), end(1, 443, Some(7))), 5, (4, 8), true, false),
    ];
    let batch = batches_with(&records, &Inventory { acls, ..Inventory::default() }).remove(0);
    let rows = batch.acl.iter().map(|row| (row.group, row.traffic.packet, row.traffic.byte.tx));
    assert_eq!(rows.collect::<Vec<_>>(), [(3, Pair { tx: 1, rx: 2 }, 100), (7, Pair { tx: 5, rx: 10 }, 500)]);
}

/// Ends of flows: ten of the containers', and some of strangers.
fn some_end(number: u8, port: u16) -> Endpoint {
    end(number % 4, port, (!number.is_multiple_of(3)).then_some(u32::from(number % 2)))
}

fn digests() -> impl Strategy<Value = Vec<Digest>> {
    let packet = (0_u64..900, any::<u8>(), any::<u8>(), any::<u8>(), 0_u32..1_400, any::<bool>());
    proptest::collection::vec(packet, 1..300).prop_map(|packets| {
        let mut now = 50_000;
        let digest = |(step, one, other, bits, len, is_udp): (u64, u8, u8, u8, u32, bool)| {
            now += step;
            let segment = Segment { seq: len * 7, ack: 3, window: u16::from(bits), flags: Flags::from_bits(bits) };
            Digest {
                time_ns: now * MS,
                source: some_end(one % 5, 40_000 + u16::from(one % 2)),
                destination: some_end(other % 5, 80 + u16::from(other % 2)),
                protocol: if is_udp { 17 } else { 6 },
                frame_bytes: len + 54,
                l3_bytes: len + 20,
                l4_bytes: len,
                kind: if is_udp { Kind::Udp } else { Kind::Tcp(segment) },
                messages: Messages::default(),
                cast: [None, None, Some(Cast::Broadcast), Some(Cast::Multicast)][usize::from(bits >> 6)],
            }
        };
        packets.into_iter().map(digest).collect()
    })
}

/// Rows, and what they were made of.
struct Both<'a> {
    rows: &'a mut Rows,
    records: &'a mut Vec<Record>,
}

impl Sink for Both<'_> {
    fn record(&mut self, record: &Record) {
        self.rows.record(record);
        self.records.push(*record);
    }

    fn tagged(&mut self, flow: &FlowId, second: u64, tag: Tag, traffic: &Traffic) {
        self.rows.tagged(flow, second, tag, traffic);
    }
}

/// By tag: packets of flags and of who frames are for, as digests say.
fn tagged_packets(digests: &[Digest]) -> HashMap<Tag, u64> {
    let mut packets = HashMap::new();
    for tag in digests.iter().flat_map(Tag::of) {
        *packets.entry(tag).or_default() += 1;
    }
    packets
}

/// For each edge and time: the flows that lived in it, if something is told of one of them in it.
fn loads(records: &[Record], grain: Grain) -> BTreeMap<(u64, FlowId), u64> {
    let mut lives: HashMap<FlowId, Vec<(u64, Option<u64>)>> = HashMap::new();
    let mut told: BTreeMap<(u64, FlowId), u64> = BTreeMap::new();
    let edge = |flow: FlowId| FlowId { client: Endpoint { port: 0, ..flow.client }, ..flow };
    for Record { flow, second, meter } in records {
        let lives = lives.entry(*flow).or_default();
        let time = second / grain.seconds();
        told.insert((time * grain.seconds(), edge(*flow)), 0);
        (0..meter.new_flow).for_each(|_| lives.push((time, None)));
        if meter.closes.total() > 0 {
            lives.last_mut().unwrap().1 = Some(time);
        }
    }
    for ((start, wanted), load) in &mut told {
        let time = *start / grain.seconds();
        let of_edge = lives.iter().filter(|(flow, _)| edge(**flow) == *wanted).flat_map(|(_, lives)| lives);
        *load = of_edge.filter(|(first, last)| *first <= time && last.is_none_or(|last| last >= time)).count() as u64;
    }
    told
}

proptest! {
    #[test]
    fn all_tables_say_the_same(digests in digests()) {
        let config = Config { tags: true, ..Config::default() };
        let (mut table, mut rows) = (Table::new(config, [1, 2]), Rows::new(1_000, &config.timeouts));
        let any = Acl { group: 1, protocol: None, clients: Vec::new(), servers: Vec::new(), server_ports: Vec::new() };
        let [tcp, udp] = [6, 17].map(|protocol| Acl { group: protocol.into(), protocol: Some(protocol), ..any.clone() });
        let mut inventory = Inventory { acls: vec![any, tcp, udp], ..Inventory::default() };
        inventory.networks.insert("10.0.0.0/31".parse().unwrap(), Place::default());
        let networks = inventory.networks.clone();
        rows = rows.with(Arc::new(inventory));
        let (mut records, mut batches) = (Vec::new(), Vec::new());
        for digest in &digests {
            table.packet(digest, &mut Both { rows: &mut rows, records: &mut records });
            rows.close_before(table.window(), &mut |batch| batches.push(batch));
        }
        let counted = table.counters().counted;
        table.finish(&mut Both { rows: &mut rows, records: &mut records });
        prop_assert_eq!(rows.refused().packets, 0);
        rows.finish(&mut |batch| batches.push(batch));

        let mut told = Meter::default();
        records.iter().for_each(|record| told += &record.meter);
        prop_assert_eq!((told.packet.sum(), told.byte.sum()), (counted.packets, counted.bytes));
        for grain in Grain::ALL {
            let [mut edges, mut edges_of_ports, mut singles, mut twice] = [Meter::default(); 4];
            let mut loads_of_ports = BTreeMap::new();
            let (mut tagged, mut tagged_twice) = (HashMap::new(), HashMap::new());
            for batch in batches.iter().filter(|batch| batch.grain == grain) {
                let (mut edge_load, mut port_load, mut single_load, mut twice_load) = (0, 0, 0, 0);
                for row in &batch.flow_edge {
                    edges += &row.meter;
                    edge_load += row.flow_load;
                }
                for row in &batch.flow_edge_port {
                    edges_of_ports += &row.meter;
                    port_load += row.flow_load;
                    loads_of_ports.insert((batch.start, row.flow), row.flow_load);
                    if row.observation == Observation::Local {
                        twice += &row.meter;
                        twice_load += row.flow_load;
                    }
                }
                let own = |row: &super::SingleRow| if row.side == Side::Server { row.meter.swapped() } else { row.meter };
                let mut portless = Meter::default();
                batch.flow.iter().for_each(|row| portless += &own(row));
                let mut single = Meter::default();
                for row in &batch.flow_port {
                    single += &own(row);
                    single_load += row.flow_load;
                }
                prop_assert_eq!(portless, single);
                singles += &single;
                let world = |row: &&super::EdgeRow| networks.is_inside(&row.flow.client) != networks.is_inside(&row.flow.server);
                let (mut outside, mut wan) = (Meter::default(), Meter::default());
                batch.flow_edge.iter().filter(world).for_each(|row| outside += &row.meter);
                batch.wan.iter().for_each(|row| wan += &own(row));
                prop_assert_eq!(outside, wan);
                let mut traffic = Traffic::default();
                batch.flow_edge.iter().for_each(|row| traffic += row.meter.traffic());
                let group = |group| batch.acl.iter().find(|row| row.group == group).map_or(Traffic::default(), |row| row.traffic);
                let mut of_protocols = group(6);
                of_protocols += group(17);
                prop_assert_eq!((group(1), of_protocols), (traffic, traffic));
                for row in &batch.packet_edge {
                    *tagged.entry(row.tag).or_default() += row.traffic.packet.sum();
                    let count: &mut (Traffic, Traffic) = tagged_twice.entry((batch.start, row.tag)).or_default();
                    count.0 += row.traffic;
                    if row.observation == Observation::Local {
                        count.0 += row.traffic;
                    }
                }
                for row in &batch.packet {
                    let own = if row.side == Side::Server { row.traffic.swapped() } else { row.traffic };
                    tagged_twice.entry((batch.start, row.tag)).or_default().1 += own;
                }
                prop_assert_eq!((edge_load, single_load), (port_load, port_load + twice_load));
            }
            prop_assert_eq!((edges, edges_of_ports), (told, told));
            prop_assert_eq!(tagged, tagged_packets(&digests), "each packet once for each of its tags");
            prop_assert!(tagged_twice.values().all(|(edges, singles)| edges == singles));
            let mut both = told;
            both += &twice;
            prop_assert_eq!(singles, both);
            prop_assert_eq!(loads_of_ports, loads(&records, grain));
        }
    }
}
