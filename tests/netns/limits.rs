//! Limits hold: against a transfer that heeds them, and against a flood that does not.

use std::thread;
use std::time::{Duration, Instant};

use portlane_classify::Direction;
use portlane_stats::counters::DropReason;

use crate::bench::{Bench, FREE, FREE_CONTAINER, SERVER, SLOW};
use crate::busy::assert_in_time;
use crate::traffic::{Echo, Flood, payload, transfer, udp};

/// Bytes of the limited container's bucket, in both trials.
const BURST: u64 = 16 << 10;

/// A datagram's Ethernet, IP and UDP headers, which the limit counts.
const HEADERS: u64 = 14 + 20 + 8;

/// The largest packet: how much an HTB lane may owe.
const PACKET: u64 = 1_514;

fn slow(rate: &str, queue: &str) -> String {
    let lane = format!("{{ rate = \"{rate}\", burst = \"16kb\" }}");
    format!(
        "{FREE_CONTAINER}[[container]]\nid = \"slow\"\nports = [\"8000-8099\"]\n\
         ingress = {lane}\negress = {lane}\nqueue = {queue}\n"
    )
}

pub(crate) fn limited_transfer(io: &str) {
    const BYTES_PER_S: u64 = 1_000_000;
    let bench = Bench::new();
    let slow = slow("8mbit", "{ kind = \"codel\", target = \"5ms\", interval = \"100ms\" }");
    let _portlane = bench.start(&format!("io = {io:?}\n{slow}"));
    let payload = payload(3_000_000);
    // What the bucket holds at first, and the packet that it may go into debt for, cost no time.
    let paid = payload.len() as u64 - BURST - PACKET;
    let shortest = Duration::from_nanos(paid * 1_000_000_000 / BYTES_PER_S);
    for direction in Direction::ALL {
        let took = transfer(&bench, SLOW, direction, &payload);
        assert!(took >= shortest, "{direction}: {took:?} is faster than {shortest:?}");
        assert_in_time(took <= shortest * 3, || format!("{direction}: {took:?} is much slower than {shortest:?}"));
    }
    let slow = &bench.stats().containers[1];
    for (direction, lane) in [("ingress", &slow.ingress), ("egress", &slow.egress)] {
        assert_in_time(lane.sojourn_ns.p50 < 30_000_000, || format!("{direction}: {:?}", lane.sojourn_ns));
        assert!(lane.bw_limit().overlimits > 0, "{direction}: it never waited for tokens");
    }
}

/// Twelve times as much as a container may have, for two seconds.
pub(crate) fn flood() {
    const BYTES_PER_S: u64 = 250_000;
    const LEN: usize = 1_000;
    let bench = Bench::new();
    let _portlane = bench.start(&slow("2mbit", "{ kind = \"codel\", limit = 50 }"));
    let sink = udp(&bench.server, SERVER, SLOW, Duration::from_secs(3));
    let echo = Echo::new(&bench, FREE);
    // The hosts know each other before it begins.
    echo.ask(b"are you there?");
    let started = Instant::now();
    let flood = Flood::start(&bench.client, (SERVER, SLOW), LEN, 3);
    let counting = thread::spawn(move || {
        let (mut delivered, mut last) = (0_u64, started);
        while let Ok(len) = sink.recv(&mut [0; 2_048]) {
            assert_eq!(len, LEN);
            (delivered, last) = (delivered + 1, Instant::now());
        }
        (delivered, last - started)
    });
    while started.elapsed() < Duration::from_secs(2) {
        echo.ask(&[7; 100]);
        thread::sleep(Duration::from_millis(10));
    }
    let offered = flood.stop();
    let (delivered, took) = counting.join().unwrap();

    let earned = u64::try_from(took.as_nanos()).unwrap() * BYTES_PER_S / 1_000_000_000;
    let bytes = delivered * (LEN as u64 + HEADERS);
    assert!(bytes <= BURST + earned + PACKET, "{bytes} bytes in {took:?}");
    assert_in_time(bytes >= earned / 2, || format!("{bytes} bytes in {took:?}"));

    let (snapshot, _) = bench.settled_books();
    let [free, slow] = &snapshot.containers[..] else { panic!("two containers: {snapshot:?}") };
    let lane = &slow.ingress;
    assert_eq!(lane.sent_packets, delivered);
    assert!(lane.offered_packets + snapshot.totals.missed >= offered, "{lane:?} of {offered}");
    let [limit, codel] = [DropReason::Limit, DropReason::Codel].map(|reason| lane.dropped_for(reason));
    assert!(limit > 0 && codel > 0, "{lane:?}");
    assert_eq!(limit + codel + delivered, lane.offered_packets, "{lane:?}");

    for lane in [&free.ingress, &free.egress] {
        assert_eq!(lane.dropped().packets, 0, "{lane:?}");
        assert_in_time(lane.sojourn_ns.p50 < 5_000_000, || format!("{:?}", lane.sojourn_ns));
    }
}
