//! What goes in comes out: owned or not, and both books say so.

use std::net::UdpSocket;

use portlane_classify::Direction;

use crate::bench::{Bench, CLIENT, FREE, FREE_CONTAINER, NOBODYS, SERVER, ping};
use crate::portlane::eventually;
use crate::traffic::{Echo, payload, transfer};

const MANY: usize = 20 << 20;
const FEW: usize = 1 << 20;

pub(crate) fn tcp_arrives_intact() {
    let bench = Bench::new();
    let before = bench.kernel_count();
    let _portlane = bench.start(FREE_CONTAINER);
    let payload = payload(MANY);
    for direction in Direction::ALL {
        transfer(&bench, FREE, direction, &payload);
    }
    let (snapshot, after) = bench.settled_books();
    let totals = &snapshot.totals;
    assert_eq!(totals.received, totals.sent + totals.dropped + totals.queued);
    assert_eq!(totals.received, after.received - before.received, "what the kernel received: {totals:?}");
    assert_eq!(totals.sent, after.sent - before.sent, "what the kernel sent: {totals:?}");
    let free = &snapshot.containers[0];
    for (direction, lane) in [("ingress", &free.ingress), ("egress", &free.egress)] {
        assert!(lane.sent_bytes > MANY as u64, "{direction}: {lane:?}");
    }
    let shaped = free.ingress.offered_packets + free.egress.offered_packets;
    assert_eq!(totals.received, shaped + totals.unmatched + totals.missed, "ARP is nobody's: {totals:?}");
    assert!(totals.malformed.is_empty(), "{totals:?}");
}

/// What an interface cannot send is counted as dropped, and the books agree with the kernel's.
pub(crate) fn what_cannot_be_sent_is_counted() {
    const PACKETS: u64 = 500;
    let bench = Bench::new();
    let before = bench.kernel_count();
    let _portlane = bench.start(FREE_CONTAINER);
    bench.server.command("ip", &["link", "set", "eth0", "down"]).unwrap();
    let neighbour = ["neighbour", "replace", &SERVER.to_string(), "lladdr", "02:00:00:00:00:01", "dev", "eth0"];
    bench.client.command("ip", &neighbour).unwrap();
    let flood = || {
        let socket = UdpSocket::bind((CLIENT, 0)).unwrap();
        for _ in 0..PACKETS {
            socket.send_to(&[0; 100], (SERVER, FREE)).unwrap();
        }
    };
    bench.client.within(flood).unwrap();
    eventually(|| bench.stats().totals.unsent >= PACKETS, || format!("{:?}", bench.stats().totals));
    let (snapshot, after) = bench.settled_books();
    let totals = &snapshot.totals;
    assert_eq!(totals.received, totals.sent + totals.dropped + totals.queued);
    assert_eq!(totals.sent, after.sent - before.sent, "what the kernel sent: {totals:?}");
}

pub(crate) fn unmatched_traffic_passes() {
    let bench = Bench::new();
    let _portlane = bench.start(FREE_CONTAINER);
    bench.ping();
    let (pinged, _) = bench.settled_books();
    assert!(pinged.totals.unmatched >= 8, "three pings and ARP, there and back: {:?}", pinged.totals);
    let (near, far) = (CLIENT.to_string(), SERVER.to_string());
    for (host, other, address) in [(&bench.client, &bench.server, &far), (&bench.server, &bench.client, &near)] {
        let neighbour = host.command("ip", &["neighbour", "show", address]).unwrap();
        let links = other.command("ip", &["-brief", "link", "show", "eth0"]).unwrap();
        let hardware = links.split_ascii_whitespace().nth(2).unwrap();
        assert!(neighbour.contains(hardware), "{neighbour} is not {hardware}");
    }
    let payload = payload(FEW);
    for direction in Direction::ALL {
        transfer(&bench, NOBODYS, direction, &payload);
    }
    let echo = Echo::new(&bench, NOBODYS);
    (1..=100).for_each(|len| echo.ask(&payload[..len * 10]));
    let (snapshot, _) = bench.settled_books();
    let totals = &snapshot.totals;
    assert_eq!(totals.unmatched + totals.missed, totals.received, "{totals:?}");
    let lanes = [&snapshot.unmatched.ingress, &snapshot.unmatched.egress];
    assert_eq!(lanes.map(|lane| lane.offered_packets).iter().sum::<u64>(), totals.unmatched);
    assert!(lanes.iter().all(|lane| lane.sent_bytes > FEW as u64), "{lanes:?}");
}

pub(crate) fn ipv6_passes() {
    let bench = Bench::new();
    let _portlane = bench.start(FREE_CONTAINER);
    for (host, address) in [(&bench.client, "fd77::2/64"), (&bench.server, "fd77::1/64")] {
        host.set("ipv6/conf/eth0/disable_ipv6", "0").unwrap();
        // Without the second in which a duplicate would be looked for.
        host.command("ip", &["-6", "address", "add", address, "dev", "eth0", "nodad"]).unwrap();
    }
    ping(&bench.client, "fd77::1");
    assert!(bench.stats().totals.unmatched >= 8, "three pings and neighbour discovery, there and back");
}
