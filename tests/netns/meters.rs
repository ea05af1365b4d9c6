//! Meters beside nftables with the same rules, and their commands.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use nix::sys::signal::Signal;
use portlane::netns::Namespace;
use portlane_classify::Direction;
use portlane_stats::snapshot::Snapshot;
use serde_json::Value;

use crate::bench::{Bench, FREE, FREE_CONTAINER, NOBODYS, SERVER};
use crate::control::get;
use crate::portlane::{PROGRAM, eventually};
use crate::traffic::{payload, transfer, udp};

/// Of the client, besides its own.
const FAR: [IpAddr; 6] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 5)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 200)),
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)),
    IpAddr::V6(Ipv6Addr::new(0xfd77, 1, 0, 0, 0, 0, 0, 5)),
    IpAddr::V6(Ipv6Addr::new(0xfd77, 1, 0, 0, 0x8000, 0, 0, 5)),
    IpAddr::V6(Ipv6Addr::new(0xfd77, 2, 0, 0, 0, 0, 0, 7)),
];

/// The server's and the client's own.
const SIX: [&str; 2] = ["fd77::1", "fd77::2"];

const PATIENCE: Duration = Duration::from_secs(20);

/// Some labels of the file, with all kinds of rules.
const LABELS: &str = r#"
[meters]
measure_interval = "1s"
report_interval = "2s"
granular = true
OUTPUT

[[meters.label]]
name = "near"
project_id = "web"
[[meters.label.rule]]
remote_ip_prefix = "192.0.2.0/24"
[[meters.label.rule]]
remote_ip_prefix = "192.0.2.128/25"
excluded = true

[[meters.label]]
name = "answers"
[[meters.label.rule]]
direction = "egress"
source_ip_prefix = "10.77.0.1"
destination_ip_prefix = "192.0.2.0/24"
[[meters.label.rule]]
direction = "egress"
remote_ip_prefix = "198.51.100.0/24"

[[meters.label]]
name = "six"
[[meters.label.rule]]
remote_ip_prefix = "fd77:1::/64"
[[meters.label.rule]]
remote_ip_prefix = "fd77:1:0:0:8000::/65"
excluded = true
[[meters.label.rule]]
direction = "egress"
source_ip_prefix = "fd77::1"
destination_ip_prefix = "fd77:1::/32"

[[meters.label]]
name = "all"
[[meters.label.rule]]
remote_ip_prefix = "::/0"
[[meters.label.rule]]
direction = "egress"
remote_ip_prefix = "::/0"
[[meters.label.rule]]
remote_ip_prefix = "0.0.0.0/0"
[[meters.label.rule]]
direction = "egress"
remote_ip_prefix = "0.0.0.0/0"
"#;

/// The same rules, where packets arrive: they have the lengths there that they have on the wire.
const AT_CONTAINER: &str = r#"
table inet meters {
    counter near {}
    counter all_in {}
    counter late {}
    counter six_in {}
    chain arrive {
        type filter hook prerouting priority 0;
        meta l4proto { tcp, udp } th dport 7000-7099 jump container
    }
    chain container {
        counter name all_in
        ip saddr 198.51.100.0/24 counter name late
        ip saddr 192.0.2.128/25 return
        ip saddr 192.0.2.0/24 counter name near
        ip6 saddr fd77:1:0:0:8000::/65 return
        ip6 saddr fd77:1::/64 counter name six_in
    }
}
"#;

const AT_CLIENT: &str = r#"
table inet meters {
    counter answers {}
    counter all_out {}
    counter six_out {}
    chain arrive {
        type filter hook prerouting priority 0;
        meta l4proto { tcp, udp } th sport 7000-7099 jump container
    }
    chain container {
        counter name all_out
        ip saddr 10.77.0.1 ip daddr 192.0.2.0/24 counter name answers
        ip daddr 198.51.100.0/24 counter name answers
        ip6 saddr fd77::1 ip6 daddr fd77:1::/32 counter name six_out
    }
}
"#;

fn prepared(bench: Bench) -> Bench {
    for (namespace, address) in [&bench.server, &bench.client].into_iter().zip(SIX) {
        namespace.set("ipv6/conf/eth0/disable_ipv6", "0").unwrap();
        add_address(namespace, &format!("{address}/64"));
    }
    for address in FAR.map(|address| address.to_string()) {
        add_address(&bench.client, &address);
        bench.server.command("ip", &["route", "add", &address, "dev", "eth0"]).unwrap();
    }
    for (namespace, rules) in [(&bench.server, AT_CONTAINER), (&bench.client, AT_CLIENT)] {
        let rules = bench.write("rules.nft", rules);
        namespace.command("nft", &["-f", rules.to_str().unwrap()]).unwrap();
    }
    bench
}

fn add_address(namespace: &Namespace, address: &str) {
    let without_probe = if address.contains(':') { &["nodad"][..] } else { &[] };
    namespace.command("ip", &[&["address", "add", address, "dev", "eth0"], without_probe].concat()).unwrap();
}

/// Packets and bytes of each of nftables' counters.
fn counters(bench: &Bench) -> BTreeMap<String, [u64; 2]> {
    let mut counters = BTreeMap::new();
    for namespace in [&bench.server, &bench.client] {
        let text = namespace.command("nft", &["-j", "list", "counters"]).unwrap();
        let all: Value = serde_json::from_str(&text).unwrap();
        for of in all["nftables"].as_array().unwrap().iter().filter_map(|one| one.get("counter")) {
            let number = |key: &str| of[key].as_u64().unwrap();
            counters.insert(of["name"].as_str().unwrap().to_owned(), [number("packets"), number("bytes")]);
        }
    }
    counters
}

/// What was counted for a label, of all containers together.
fn counted(snapshot: &Snapshot, label: &str) -> [u64; 2] {
    let found = snapshot.meters.iter().find(|meter| meter.label == label && meter.container.is_none());
    found.map_or([0; 2], |meter| [meter.packets, meter.bytes])
}

/// Questions and answers of all sizes from each of the client's addresses, to the container and to a port that is nobody's.
fn talk(bench: &Bench) {
    let six: IpAddr = SIX[0].parse().unwrap();
    let mut buffer = [0; 2_048];
    for (number, address) in FAR.into_iter().enumerate() {
        let to = if address.is_ipv6() { six } else { SERVER.into() };
        let servers = [FREE, NOBODYS].map(|port| udp(&bench.server, to, port, PATIENCE));
        let client = bench.client.within(|| UdpSocket::bind((address, 0))).unwrap().unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        for (server, port) in servers.iter().zip([FREE, NOBODYS]) {
            for size in (1..=10 * (number + 1)).map(|step| step * 23) {
                client.send_to(&payload(size), (to, port)).unwrap();
                let (len, from) = server.recv_from(&mut buffer).unwrap();
                server.send_to(&buffer[..len / 2], from).unwrap();
                assert_eq!(client.recv(&mut buffer).unwrap(), len / 2);
            }
        }
    }
}

fn run(bench: &Bench, words: &[&str]) -> Output {
    Command::new(PROGRAM).args(words).arg("--socket").arg(bench.socket()).output().unwrap()
}

fn said(bench: &Bench, words: &[&str]) -> String {
    let output = run(bench, words);
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(bench: &Bench, words: &[&str]) -> String {
    let output = run(bench, words);
    assert_eq!(output.status.code(), Some(2), "{words:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// The second column of a table of fields.
fn field(table: &str, name: &str) -> String {
    let line = table.lines().find(|line| line.split('|').nth(1).is_some_and(|field| field.trim() == name));
    line.unwrap().split('|').nth(2).unwrap().trim().to_owned()
}

/// What the events of a type say, added up by what they are of.
fn told(output: &Path, event_type: &str, of: &str) -> BTreeMap<String, [u64; 2]> {
    let mut sums = BTreeMap::<_, [u64; 2]>::new();
    for line in fs::read_to_string(output).unwrap().lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        if event["event_type"] == event_type {
            let payload = &event["payload"];
            let [packets, bytes] = sums.entry(payload[of].as_str().unwrap().to_owned()).or_default();
            *packets += payload["pkts"].as_u64().unwrap();
            *bytes += payload["bytes"].as_u64().unwrap();
        }
    }
    sums
}

/// Packets and bytes are those of nftables, in reports too; a label that comes and goes is counted while it is there.
pub(crate) fn as_nftables() {
    count(&prepared(Bench::new()));
}

/// The same where two workers count.
pub(crate) fn by_two_workers() {
    count(&prepared(Bench::with_queues(2)));
}

fn count(bench: &Bench) {
    let output = bench.path("meters.jsonl");
    let labels = LABELS.replace("OUTPUT", &format!("output = {output:?}"));
    let portlane = bench.start(&format!("{FREE_CONTAINER}{labels}"));
    talk(bench);
    transfer(bench, FREE, Direction::Ingress, &payload(400_000));
    transfer(bench, FREE, Direction::Egress, &payload(300_000));

    let before = counters(bench)["late"];
    said(bench, &["meter-label-create", "late", "--tenant-id", "guest"]);
    said(bench, &["meter-label-rule-create", "late", "198.51.100.0/24"]);
    talk(bench);
    let (snapshot, _) = bench.settled_books();
    let kernels = counters(bench);
    let during = [0, 1].map(|figure| kernels["late"][figure] - before[figure]);
    println!("{:>10} {:>22} {:>22}", "", "nftables", "portlane");
    let both = |to: &str, from: &str| [0, 1].map(|figure| kernels[to][figure] + kernels[from][figure]);
    let (all, six) = (both("all_in", "all_out"), both("six_in", "six_out"));
    let expected =
        [("all", all), ("answers", kernels["answers"]), ("late", during), ("near", kernels["near"]), ("six", six)];
    for (label, kernel) in expected {
        let ours = counted(&snapshot, label);
        println!("{label:>10} {:>10} {:>11} {:>10} {:>11}", kernel[0], kernel[1], ours[0], ours[1]);
        assert_eq!(ours, kernel, "{label}");
        assert!(kernel[0] >= 20, "{label}");
    }
    let of_container: Vec<_> = snapshot.meters.iter().filter(|meter| meter.container.is_some()).collect();
    assert!(of_container.iter().all(|meter| meter.container.as_deref() == Some("free")), "{of_container:?}");
    assert_eq!(
        of_container.iter().map(|meter| meter.packets).sum::<u64>(),
        expected.iter().map(|(_, volume)| volume[0]).sum::<u64>()
    );
    let metrics = said(bench, &["stats", "--format", "prometheus"]);
    let series = format!(
        "portlane_meter_bytes_total{{label_id=\"{}\",label=\"late\",project_id=\"guest\"}} {}",
        id(&snapshot, "late"),
        during[1]
    );
    assert!(metrics.contains(&series), "{series}");

    // A last measurement is made when a label goes, a container goes, and at the end.
    let rules = said(bench, &["meter-label-rule-list"]);
    let late = rules.lines().find(|line| line.contains("198.51.100.0/24") && line.contains("ingress")).unwrap();
    said(bench, &["meter-label-rule-delete", late.split('|').nth(1).unwrap().trim()]);
    said(bench, &["meter-label-delete", "late"]);
    bench.config(&format!("[[container]]\nid = \"other\"\nports = [\"7900\"]\n{labels}"));
    portlane.signal(Signal::SIGHUP);
    let of_containers = || bench.stats().meters.into_iter().filter(|meter| meter.container.is_some()).count();
    eventually(|| of_containers() == 0, || format!("{}\n{}", of_containers(), portlane.stderr()));
    let metrics = said(bench, &["stats", "--format", "prometheus"]);
    assert!(metrics.contains("\nportlane_meter_unwritten_reports_total 0\n"), "{metrics}");
    portlane.signal(Signal::SIGTERM);
    assert_eq!(portlane.ended().code, Some(0));
    let by_label = told(&output, "l3.meter.label", "label_name");
    assert_eq!(by_label, expected.map(|(label, volume)| (label.to_owned(), volume)).into());
    let by_container = told(&output, "l3.meter.container", "container_id");
    assert_eq!(by_container["free"][0], by_label.values().map(|volume| volume[0]).sum::<u64>());
    assert_eq!(told(&output, "l3.meter.project", "tenant_id")["guest"], during);
}

fn id<'a>(snapshot: &'a Snapshot, label: &str) -> &'a str {
    &snapshot.meters.iter().find(|meter| meter.label == label).unwrap().label_id
}

/// The commands of a deployment of Neutron, one after the other, and what is refused.
pub(crate) fn commands() {
    let bench = Bench::new();
    let file = "[[meters.label]]\nname = \"of-file\"\n[[meters.label.rule]]\nremote_ip_prefix = \"10.0.0.0/8\"\n";
    let portlane = bench.start(&format!("{FREE_CONTAINER}{file}"));
    let label = |name: &str| {
        let made = said(&bench, &["meter-label-create", name, "--tenant-id=0bdd890d46c94ced8f35bd2af125b7a6"]);
        assert!(made.starts_with("Created a new metering_label:\n+-"), "{made}");
        assert_eq!((field(&made, "name").as_str(), field(&made, "shared").as_str()), (name, "False"));
        assert_eq!(field(&made, "tenant_id"), "0bdd890d46c94ced8f35bd2af125b7a6");
        field(&made, "id")
    };
    let (incoming, outgoing) = (label("fabian-in"), label("fabian-out"));
    let rule = |label: &str, direction: &str| {
        let made = said(&bench, &["meter-label-rule-create", label, "7.7.7.0/24", "--direction", direction]);
        assert!(made.starts_with("Created a new metering_label_rule:\n+-"), "{made}");
        assert_eq!((field(&made, "direction").as_str(), field(&made, "excluded").as_str()), (direction, "False"));
        assert_eq!(field(&made, "remote_ip_prefix"), "7.7.7.0/24");
        (field(&made, "id"), field(&made, "metering_label_id"))
    };
    let ((of_incoming, in_label), (of_outgoing, out_label)) = (rule("fabian-in", "ingress"), rule(&outgoing, "egress"));
    assert_eq!((in_label, out_label), (incoming.clone(), outgoing.clone()));

    let listed = said(&bench, &["meter-label-list"]);
    assert!(listed.lines().nth(1).unwrap().starts_with("| id  "), "{listed}");
    assert!([&incoming, &outgoing, "of-file"].iter().all(|one| listed.contains(*one)), "{listed}");
    let rules = said(&bench, &["meter-label-rule-list"]);
    let columns: Vec<_> =
        rules.lines().nth(1).unwrap().split('|').map(str::trim).filter(|one| !one.is_empty()).collect();
    assert_eq!(columns, ["id", "excluded", "direction", "remote_ip_prefix"]);
    assert_eq!(field(&said(&bench, &["meter-label-show", "fabian-in"]), "id"), incoming);
    assert_eq!(field(&said(&bench, &["meter-label-rule-show", &of_outgoing]), "direction"), "egress");
    let asked = |path: &str| -> Value { serde_json::from_str(&get(&bench.line, path).1).unwrap() };
    assert_eq!(asked("/meters/labels/fabian-in")["metering_label"]["id"], incoming.as_str());
    assert_eq!(asked("/meters/labels")["metering_labels"].as_array().unwrap().len(), 3);
    assert_eq!(asked("/meters/rules")["metering_label_rules"].as_array().unwrap().len(), 3);
    let shown = asked(&format!("/meters/rules/{of_outgoing}"));
    assert_eq!(shown["metering_label_rule"]["remote_ip_prefix"], "7.7.7.0/24");

    let refusals: [(&[&str], &str); 10] = [
        (&["meter-label-rule-create", "fabian-in", "7.7.7.128/25"], "overlaps another"),
        (&["meter-label-rule-create", "nobody", "7.7.7.0/24"], "metering label nobody does not exist"),
        (&["meter-label-rule-create", "fabian-in", "7.7.7.0/33"], "remote_ip_prefix \"7.7.7.0/33\" is no prefix"),
        (&["meter-label-rule-create", "fabian-in"], "needs remote_ip_prefix"),
        (
            &["meter-label-rule-create", "fabian-in", "8.0.0.0/8", "--source-ip-prefix", "9.0.0.0/8"],
            "leave out one kind",
        ),
        (&["meter-label-rule-create", "fabian-in", "8.0.0.0/8", "--direction", "up"], "ingress"),
        (&["meter-label-rule-create", "fabian-in", "--remote-ip-prefix", "7.7.0.0/16"], "overlaps another"),
        (&["meter-label-delete", "fabian-in"], "metering label \"fabian-in\""),
        (&["meter-label-delete", "of-file"], "is in the configuration file"),
        (&["meter-label-rule-delete", "0"], "metering label rule 0 does not exist"),
    ];
    for (words, why) in refusals {
        let told = refused(&bench, words);
        assert!(told.contains(why), "{words:?}: {told}");
    }

    // What was added is there after a restart.
    portlane.signal(Signal::SIGTERM);
    assert_eq!(portlane.ended().code, Some(0));
    let portlane = bench.start(&format!("{FREE_CONTAINER}{file}"));
    assert_eq!((said(&bench, &["meter-label-list"]), said(&bench, &["meter-label-rule-list"])), (listed, rules));
    let gone = said(&bench, &["meter-label-rule-delete", &of_incoming]);
    assert_eq!(gone, format!("Deleted metering_label_rule: {of_incoming}\n"));
    let gone = said(&bench, &["meter-label-delete", &incoming]);
    assert_eq!(gone, format!("Deleted metering_label: {incoming}\n"));
    assert!(!said(&bench, &["meter-label-list"]).contains("fabian-in"));

    // Labels of the file change with it.
    bench.config(FREE_CONTAINER);
    portlane.signal(Signal::SIGHUP);
    eventually(|| portlane.stderr().contains("configuration reloaded"), || portlane.stderr());
    let listed = said(&bench, &["meter-label-list"]);
    assert!(!listed.contains("of-file") && listed.contains("fabian-out"), "{listed}");
}
