//! What stays on the host: it comes and goes by a port of its own, has the lanes of its containers, and never gets to the network.

use portlane::build;
use portlane::config;
use portlane::line::{Line, Port};
use portlane_classify::{Arriving, Direction};
use portlane_rings::{Layout, Memory, Pool};
use portlane_shaper::{LaneId, Nanos};

use crate::rig::{Kind, Rig, packet};

/// The ports: the network's, the containers', and that of what stays on the host.
const NETWORK: usize = 0;
const CONTAINERS: usize = 1;
const WITHIN: usize = 2;

/// In the first byte of the sender's address.
const IS_LEAVING: u8 = 1;
const SENDER: usize = 6;

/// With room to send `ring` frames by each port.
fn line(keys: &str, ring: usize) -> Line<Memory> {
    let plan = config::parse(&Rig::containers(2, |_| keys.to_owned()), "test").unwrap();
    let pool = Pool::new(Layout { frames: 1_024, frame_size: 2_048 }).unwrap();
    let port = |arriving| Port { device: Memory::new(ring), arriving };
    let ports = [Arriving::Ingress, Arriving::Egress, Arriving::Either].map(port).into();
    build::line(&plan, pool, ports, [1, 0], [1, 2], Nanos::ZERO).with_host(WITHIN)
}

fn arrive(line: &mut Line<Memory>, port: usize, packet: &[u8]) {
    let mut frame = line.pool.take().unwrap();
    line.pool.write(&mut frame, packet).unwrap();
    line.ports[port].device.arrive(frame);
}

/// What the container in the first place sends to the host's address, as the kernel marks it.
fn leaving(len: usize) -> Vec<u8> {
    let mut packet = packet(Direction::Egress, Kind::Container(0), len, 0);
    packet[SENDER] |= IS_LEAVING;
    packet
}

/// What was sent by each port.
fn taken(line: &mut Line<Memory>) -> [Vec<Vec<u8>>; 3] {
    [NETWORK, CONTAINERS, WITHIN].map(|port| {
        let mut taken = Vec::new();
        while let Some(frame) = line.ports[port].device.take_sent() {
            taken.push(line.pool.bytes(&frame).to_vec());
            line.pool.put(frame);
        }
        taken
    })
}

#[test]
fn what_stays_leaves_as_it_came_and_what_turns_round_is_the_containers() {
    for keys in ["", "mode = \"observe\"\negress = { rate = \"1gbit\" }\n", "egress = { rate = \"1gbit\" }\n"] {
        let mut line = line(keys, 64);
        let within = packet(Direction::Egress, Kind::Container(0), 500, 0);
        let inwards = packet(Direction::Ingress, Kind::Container(1), 500, 0);
        // Of one batch, and beside what does not stay.
        arrive(&mut line, WITHIN, &leaving(500));
        arrive(&mut line, WITHIN, &inwards);
        arrive(&mut line, WITHIN, &leaving(500));
        arrive(&mut line, CONTAINERS, &within);
        for ms in 0..10 {
            line.turn(Nanos::from_millis(ms)).unwrap();
        }
        let [network, containers, host] = taken(&mut line);
        assert_eq!(network, std::slice::from_ref(&within), "{keys}");
        assert_eq!(containers, [inwards], "{keys}");
        assert_eq!(host, [within.clone(), within], "the mark is taken away: {keys}");
        let sent = |direction: Direction, lane| line.shapers[direction.index()].counters(LaneId(lane)).sent.packets;
        assert_eq!((sent(Direction::Egress, 0), sent(Direction::Ingress, 1)), (3, 1), "{keys}");
        assert!(line.balances());
    }
}

#[test]
fn a_limit_is_one_for_what_leaves_and_what_stays() {
    // A packet each 10.1 ms.
    let keys = "queue = { kind = \"fifo\", limit = 100 }\negress = { rate = \"1200kbit\", burst = \"1514b\" }\n";
    let mut line = line(keys, 2);
    for _ in 0..10 {
        arrive(&mut line, WITHIN, &leaving(1_514));
        arrive(&mut line, CONTAINERS, &packet(Direction::Egress, Kind::Container(0), 1_514, 0));
    }
    let mut sums = [0; 3];
    for ms in 0..=100 {
        line.turn(Nanos::from_millis(ms)).unwrap();
        for (sum, taken) in sums.iter_mut().zip(taken(&mut line)) {
            *sum += taken.len();
        }
    }
    assert!((10..=12).contains(&sums.iter().sum::<usize>()), "{sums:?}");
    assert_eq!(sums[CONTAINERS], 0);
    (101..300).for_each(|ms| {
        line.turn(Nanos::from_millis(ms)).unwrap();
        taken(&mut line);
    });
    assert_eq!(line.queued(), 0);
    assert!(line.balances());
}

#[test]
fn what_is_no_ethernet_is_malformed() {
    let mut line = line("", 64);
    for len in [1, SENDER, SENDER + 1, 13] {
        arrive(&mut line, WITHIN, &vec![0xff; len]);
    }
    line.turn(Nanos::ZERO).unwrap();
    assert_eq!(line.counters.malformed.iter().sum::<u64>(), 4);
    assert!(line.balances());
}
