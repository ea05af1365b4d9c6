//! `--flows`: what connections did, as Parquet.

use std::fs;

use etherparse::PacketBuilder;
use parquet::record::Field;

use crate::packets::{CLIENT, HOST, Packet, from_host, payload, to_host, udp};
use crate::scene::{Ending, Scene, THREE};
use crate::tables::{Row, number, rows};

const SECOND: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;

/// A whole minute.
const START: u64 = 1_700_000_040 * SECOND;

const TABLES: [&str; 4] = ["vtap_flow", "vtap_flow_edge", "vtap_flow_edge_port", "vtap_flow_port"];

fn text<'a>(row: &'a Row, name: &str) -> &'a str {
    let Field::Str(text) = &row[name] else { panic!("{name} is {:?}", row[name]) };
    text
}

fn signed(row: &Row, name: &str) -> i64 {
    let Field::Long(number) = row[name] else { panic!("{name} is {:?}", row[name]) };
    number
}

fn sum(rows: &[Row], name: &str) -> u64 {
    rows.iter().map(|row| number(row, name)).sum()
}

fn quiet() -> Ending {
    Ending { code: Some(0), stdout: String::new(), stderr: String::new() }
}

/// TCP between the client's port 45000 and port 32000 of container "fast".
fn tcp(after_ms: u64, by_client: bool, flags: &str, seq: u32, ack: u32, data: &[u8]) -> Packet {
    let (client, server) = ((CLIENT, 45_000), (HOST, 32_000));
    let (from, to) = if by_client { (client, server) } else { (server, client) };
    let mut tcp = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(from.0, to.0, 64).tcp(from.1, to.1, seq, 512);
    for flag in flags.chars() {
        tcp = match flag {
            'S' => tcp.syn(),
            'A' => tcp.ack(ack),
            'P' => tcp.psh(),
            _ => tcp.fin(),
        };
    }
    let mut frame = Vec::new();
    tcp.write(&mut frame, data).unwrap();
    Packet::ethernet(START + after_ms * MS, frame)
}

fn conversation() -> Vec<Packet> {
    vec![
        tcp(0, true, "S", 100, 0, &[]),
        tcp(3, false, "SA", 500, 101, &[]),
        tcp(10, true, "A", 101, 501, &[]),
        tcp(20, true, "PA", 101, 501, &[1; 50]),
        tcp(22, false, "A", 501, 151, &[]),
        tcp(30, false, "PA", 501, 151, &[2; 500]),
        tcp(35, false, "PA", 501, 151, &[2; 500]),
        tcp(1_000, true, "FA", 151, 1_001, &[]),
        tcp(1_010, false, "FA", 1_001, 152, &[]),
        tcp(1_020, true, "A", 152, 1_002, &[]),
    ]
}

#[test]
fn a_connection_is_in_all_tables() {
    let scene = Scene::new(THREE, &conversation());
    assert_eq!(scene.end(&["--flows", "store"]), quiet());
    let store = scene.path("store");
    let edges = rows(&store, "vtap_flow_edge_port.1s");
    let seconds: Vec<_> = edges.iter().map(|row| number(row, "time") - START / SECOND).collect();
    assert_eq!(seconds, [0, 1, 3], "it ends two seconds after its last packet");
    let first = &edges[0];
    assert_eq!(
        (text(first, "ip_0"), text(first, "ip_1"), number(first, "server_port")),
        ("10.0.0.9", "10.0.0.1", 32_000)
    );
    assert_eq!((text(first, "pod_id_0"), text(first, "pod_id_1"), text(first, "observation_point")), ("", "fast", "s"));
    assert_eq!(signed(first, "agent_id"), 0, "nobody has said");
    let names = ["packet_tx", "packet_rx", "syn_count", "new_flow", "closed_flow", "flow_load", "retrans_rx"];
    assert_eq!(names.map(|name| number(first, name)), [3, 4, 1, 1, 0, 1, 1]);
    let times = ["rtt_sum", "rtt_client_sum", "rtt_server_sum", "srt_sum", "art_max", "art_count"];
    assert_eq!(times.map(|name| number(first, name)), [10_000, 7_000, 3_000, 2_000, 10_000, 1]);
    assert_eq!(["packet", "closed_flow", "tcp_transfer_fail"].map(|name| number(&edges[2], name)), [0, 1, 0]);

    let single = &rows(&store, "vtap_flow_port.1m")[0];
    assert_eq!((text(single, "pod_id"), text(single, "direction"), text(single, "ip")), ("fast", "s2c", "10.0.0.1"));
    assert_eq!(
        ["packet_tx", "packet_rx", "retrans_tx", "server_port"].map(|name| number(single, name)),
        [5, 5, 1, 32_000]
    );
    assert!(!rows(&store, "vtap_flow.1m")[0].contains_key("server_port"));
    for table in TABLES {
        for grain in ["1s", "1m"] {
            let rows = rows(&store, &format!("{table}.{grain}"));
            assert_eq!((sum(&rows, "packet"), sum(&rows, "closed_flow"), sum(&rows, "retrans")), (10, 1, 1));
        }
    }
}

#[test]
fn questions_and_answers_are_in_the_tables() {
    let mut packets = conversation();
    packets[3] = tcp(20, true, "PA", 101, 501, b"GET /nothing HTTP/1.1\r\nHost: here\r\n\r\n       ");
    let answer = |text: &str| [text.as_bytes(), &vec![b' '; 500 - text.len()]].concat();
    packets[5] = tcp(30, false, "PA", 501, 151, &answer("HTTP/1.1 404 Not Found\r\n\r\n"));
    packets[6] = tcp(35, false, "PA", 501, 151, &answer("HTTP/1.1 404 Not Found\r\n\r\n"));
    let scene = Scene::new(THREE, &packets);
    assert_eq!(scene.end(&["--flows", "store"]), quiet());
    let edges = rows(&scene.path("store"), "vtap_flow_edge_port.1m");
    let names = ["http_request", "http_response", "http_client_error", "l7_error", "l7_timeout", "dns_request"];
    // What came again says nothing new.
    assert_eq!(names.map(|name| sum(&edges, name)), [1, 1, 1, 1, 0, 0]);
    assert_eq!(["http_rrt_sum", "rrt_max", "rrt_count"].map(|name| sum(&edges, name)), [10_000, 10_000, 1]);
}

#[test]
fn tables_have_what_lanes_have() {
    let mut packets = conversation();
    // UDP in both directions, to and from other containers, and what nobody owns.
    for n in 0..200_u32 {
        let port = [32_000, 33_000, 34_000, 9][n as usize % 4];
        let ends = if n % 3 == 0 { from_host(port) } else { to_host(port) };
        packets.push(Packet::ethernet(START + 1_100 * MS + u64::from(n) * 40 * MS, udp(ends, &payload(64, n))));
    }
    let scene = Scene::new(THREE, &packets);
    assert_eq!(scene.end(&["--flows", "store"]), quiet());
    let stats = scene.outputs().stats;
    for grain in ["1s", "1m"] {
        let edges = rows(&scene.path("store"), &format!("vtap_flow_edge.{grain}"));
        assert_eq!(sum(&edges, "packet"), stats.totals.received);
        for container in &stats.containers {
            let singles = rows(&scene.path("store"), &format!("vtap_flow.{grain}"));
            let own: Vec<_> = singles.into_iter().filter(|row| text(row, "pod_id") == container.id).collect();
            let lane = (&container.ingress, &container.egress);
            assert_eq!(sum(&own, "packet_rx"), lane.0.offered_packets, "{}", container.id);
            assert_eq!(sum(&own, "packet_tx"), lane.1.offered_packets, "{}", container.id);
            assert_eq!(sum(&own, "byte_rx"), lane.0.offered_bytes, "{}", container.id);
        }
    }
}

#[test]
fn an_inventory_says_where_ends_are_and_what_is_counted_together() {
    let inventory = r#"
        [flows]
        agent = 9
        [[network]]
        prefix = "10.0.0.0/29"
        region = 1
        az = 2
        epc = 3
        subnet = 4
        host = 5
        [[acl]]
        group = 7
        protocol = "tcp"
        server_ports = ["32000"]
        [[acl]]
        group = 8
        client = ["10.0.0.0/29"]
    "#;
    let scene = Scene::new(&format!("{THREE}{inventory}"), &conversation());
    assert_eq!(scene.end(&["--flows", "store"]), quiet());
    let table = |name: &str| rows(&scene.path("store"), name);
    let edge = &table("vtap_flow_edge.1m")[0];
    let tags = ["region_id_1", "az_id_1", "l3_epc_id_1", "subnet_id_1", "host_id_1"];
    assert_eq!(tags.map(|name| signed(edge, name)), [1, 2, 3, 4, 5]);
    let tags = ["region_id_0", "az_id_0", "l3_epc_id_0", "subnet_id_0", "host_id_0"];
    assert_eq!(tags.map(|name| signed(edge, name)), [0, 0, -2, 0, 0], "the client is in no network");
    assert_eq!((signed(edge, "agent_id"), text(edge, "capture_nic")), (9, "fast"));
    let wan = &table("vtap_wan.1m")[0];
    assert_eq!((text(wan, "pod_id"), text(wan, "direction"), signed(wan, "l3_epc_id")), ("fast", "s2c", 3));
    assert_eq!(["packet_tx", "packet_rx", "closed_flow"].map(|name| number(wan, name)), [5, 5, 1]);
    for name in ["vtap_flow", "vtap_flow_port", "vtap_wan", "vtap_acl", "vtap_packet", "vtap_packet_edge"] {
        let row = &table(&format!("{name}.1s"))[0];
        assert_eq!(signed(row, "agent_id"), 9);
        assert!(!row.contains_key("capture_nic"));
    }
    let groups: Vec<_> =
        table("vtap_acl.1m").iter().map(|row| (signed(row, "acl_gid"), number(row, "packet"))).collect();
    assert_eq!(groups, [(7, 10)]);
}

#[test]
fn packets_are_counted_by_flags_and_by_who_they_are_for() {
    let mut packets = conversation();
    let mut broadcast = udp(to_host(32_000), &payload(64, 1));
    broadcast[..6].fill(0xff);
    packets.push(Packet::ethernet(START + 1_100 * MS, broadcast));
    let scene = Scene::new(THREE, &packets);
    assert_eq!(scene.end(&["--flows", "store"]), quiet());
    let edges = rows(&scene.path("store"), "vtap_packet_edge.1m");
    let told = |row: &Row| {
        (number(row, "tag_type"), text(row, "tag_value").to_owned(), number(row, "packet_tx"), number(row, "packet_rx"))
    };
    let tagged = |kind, value: &str, tx, rx| (kind, value.to_owned(), tx, rx);
    let expected = [
        tagged(2, "2", 1, 0),
        tagged(2, "18", 0, 1),
        tagged(2, "16", 2, 1),
        tagged(2, "24", 1, 2),
        tagged(2, "17", 1, 1),
        tagged(3, "broadcast", 1, 0),
    ];
    assert_eq!(edges.iter().map(told).collect::<Vec<_>>(), expected);
    let singles = rows(&scene.path("store"), "vtap_packet.1m");
    let of = |name| singles.iter().filter(|row| text(row, "pod_id") == name).map(told).collect::<Vec<_>>();
    assert_eq!(of("fast")[..2], [tagged(2, "2", 0, 1), tagged(2, "18", 1, 0)], "it is the server");
    assert_eq!((singles.len(), sum(&singles, "packet"), sum(&singles, "byte")), (6, 11, sum(&edges, "byte")));
}

#[test]
fn what_is_not_ip_is_counted_too() {
    let arp = |operation: u8, from: [u8; 4], to: [u8; 4], asked: bool| {
        let head = [&[if asked { 0xff } else { 2 }; 6][..], &[4; 6], &[8, 6]].concat();
        let packet = [&[0, 1, 8, 0, 6, 4, 0, operation], &[4; 6][..], &from, &[0; 6], &to].concat();
        Packet::ethernet(START, [head, packet, vec![0; 18]].concat())
    };
    let (one, other) = ([10, 0, 0, 7], [10, 0, 0, 1]);
    let lldp = [&[1, 0x80, 0xc2, 0, 0, 0xe][..], &[4; 6], &[0x88, 0xcc], &[0; 46]].concat();
    let packets = [arp(1, one, other, true), arp(2, other, one, false), Packet::ethernet(START, lldp)];
    let scene = Scene::new(THREE, &packets);
    assert_eq!(scene.end(&["--flows", "store"]), quiet());
    let table = |name: &str| rows(&scene.path("store"), name);
    let told = |row: &Row| {
        let ends = (text(row, "ip_0").to_owned(), text(row, "ip_1").to_owned(), number(row, "protocol"));
        (ends, number(row, "packet_tx"), number(row, "packet_rx"), number(row, "byte"))
    };
    let ends = |client: &str, server: &str| (client.to_owned(), server.to_owned(), 0);
    let expected = [(ends("0.0.0.0", "0.0.0.0"), 1, 0, 60), (ends("10.0.0.7", "10.0.0.1"), 1, 1, 120)];
    assert_eq!(
        table("vtap_flow_edge_port.1s").iter().filter(|row| number(row, "packet") > 0).map(told).collect::<Vec<_>>(),
        expected
    );
    assert_eq!(sum(&table("vtap_flow_edge.1m"), "packet"), scene.outputs().stats.totals.received);
    let casts = table("vtap_packet_edge.1m");
    assert_eq!(casts.iter().map(|row| text(row, "tag_value")).collect::<Vec<_>>(), ["multicast", "broadcast"]);
}

#[test]
fn a_store_takes_more_and_the_same_again() {
    let scene = Scene::new(THREE, &conversation());
    let files = || {
        let folder = fs::read_dir(scene.path("store/vtap_flow_edge.1s")).unwrap();
        folder.map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(scene.end(&["--flows", "store"]), quiet());
    let first = files();
    assert_eq!(scene.end(&["--flows", "store"]), quiet());
    assert_eq!(files(), first, "a replay is a pure function of its input");
    assert_eq!(first.len(), 1);
}

#[test]
fn without_flows_there_is_no_store() {
    let cut = vec![0xff; 12];
    let scene = Scene::new(THREE, &[Packet::ethernet(START, cut)]);
    assert_eq!(scene.end(&["--flows", "store"]), quiet());
    assert_eq!(scene.files(), ["config.toml", "in.pcapng", "out.json", "out.pcapng"]);
}

#[test]
fn what_cannot_be_a_store_is_refused() {
    let scene = Scene::new(THREE, &conversation());
    let ending = scene.end(&["--flows", "config.toml"]);
    assert_eq!((ending.code, ending.stdout.as_str()), (Some(2), ""));
    assert!(ending.stderr.starts_with("error: config.toml/vtap_flow.1s cannot be written: "), "{}", ending.stderr);
    assert_eq!(scene.files(), ["config.toml", "in.pcapng"]);
    // Nothing is left where another output is refused.
    let ending = scene.run(&["in.pcapng", "--config", "config.toml", "--flows", "store", "--write", "in.pcapng"]);
    assert_eq!(ending.code, Some(2));
    assert_eq!(scene.files(), ["config.toml", "in.pcapng"]);
}
