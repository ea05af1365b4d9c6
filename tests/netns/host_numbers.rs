//! What Mesos' form says of attached containers, beside what the kernel says in their namespaces.

use std::time::Duration;

use portlane::netns::Namespace;
use serde_json::Value;

use crate::bench::{CLIENT, NOBODYS, SERVER};
use crate::host::Host;
use crate::portlane::{ask, eventually};
use crate::traffic::{Echo, payload, transfer_between, udp};

/// Datagrams from a port of another's.
const FOREIGN: u64 = 5;

pub(crate) fn mesos() {
    let host = Host::new();
    let web = host.both("").split("[[container]]\nid = \"db\"").next().unwrap().to_owned();
    let portlane = host.start(&web);
    let add = ["container", "add", "job", "--ports", "auto:256", "--egress-rate", "20mbit", "--netns"];
    host.said(&[add.as_slice(), &[&host.db.path()]].concat());
    transfer_between(&host.db, &host.client, (CLIENT, NOBODYS), &payload(1 << 18));
    Echo::between(&host.client, &host.web, (SERVER, 7_000)).ask(b"and you?");
    let foreign = udp(&host.db, SERVER, 7_000, Duration::from_millis(1));
    for _ in 0..FOREIGN {
        foreign.send_to(b"not mine", (CLIENT, NOBODYS)).unwrap();
    }

    // What is on its way is counted at one end and not yet at the other.
    let agrees = |container: usize, inside: &Namespace| {
        let (said, kernel) = (statistics(&host, container), inside.counters("eth0").unwrap());
        let counted =
            ["net_rx_packets", "net_rx_bytes", "net_tx_packets", "net_tx_bytes"].map(|key| said[key].as_u64());
        counted == [kernel.rx_packets, kernel.rx_bytes, kernel.tx_packets, kernel.tx_bytes].map(Some)
    };
    for (container, inside) in [(0, &host.web), (1, &host.db)] {
        eventually(
            || agrees(container, inside),
            || format!("{}, and inside {:?}", statistics(&host, container), inside.counters("eth0")),
        );
    }
    let (web, job) = (statistics(&host, 0), statistics(&host, 1));
    let drops = |element: usize| job["net_traffic_control_statistics"][element]["drops"].as_u64().unwrap();
    assert_eq!(job["net_tx_dropped"].as_u64(), Some(FOREIGN + drops(1)), "{job}");
    assert_eq!((web["net_tx_dropped"].as_u64(), web["net_tx_errors"].as_u64()), (Some(0), Some(0)), "{web}");
    assert_eq!(job["net_tx_rate_limit"], 2_500_000, "bytes per second");
    let range = [&job["net_ephemeral_ports"]["begin"], &job["net_ephemeral_ports"]["end"]];
    let sysctl = host.db.command("sysctl", &["-n", "net.ipv4.ip_local_port_range"]).unwrap();
    assert_eq!(range.map(ToString::to_string).join("\t"), sysctl.trim());
    for absent in ["net_ephemeral_ports", "net_tx_rate_limit", "net_tx_burst_size", "net_rx_rate_limit"] {
        assert!(web.get(absent).is_none(), "{absent} is absent: {web}");
    }
    host.end(portlane);
}

fn statistics(host: &Host, container: usize) -> Value {
    let output = ask(&host.path("control.sock"), "mesos");
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    all[container]["statistics"].clone()
}
