//! Frames that start differently: each is read, and marked, as what it says that it starts with.

use portlane::build;
use portlane::config;
use portlane::line::{Line, Port};
use portlane_classify::{Arriving, Direction};
use portlane_rings::{ETHERNET, Layout, Memory, Pool};
use portlane_shaper::{LaneId, Nanos};

use crate::rig::{Kind, Rig, packet};

/// `LINKTYPE_RAW`: IP without anything before it.
const RAW: u16 = 101;

/// A packet of container 0, ECN-capable (ECT(0)), with the header checksum that this takes.
fn capable() -> Vec<u8> {
    let mut packet = packet(Direction::Ingress, Kind::Container(0), 1_000, 0);
    packet[15] = 0b10;
    let words = packet[14..34].chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    let sum = u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    packet[24..26].copy_from_slice(&(!sum).to_be_bytes());
    packet
}

fn line() -> Line<Memory> {
    let keys = "ingress = { rate = \"80kbit\", burst = \"1514b\" }\nqueue = { kind = \"codel\", ecn = true }\n";
    let plan = config::parse(&Rig::containers(1, |_| keys.to_owned()), "test").unwrap();
    let pool = Pool::new(Layout { frames: 256, frame_size: 2_048 }).unwrap();
    let port = |arriving| Port { device: Memory::new(64), arriving };
    let ports = [Arriving::Ingress, Arriving::Egress].map(port).into();
    build::line(&plan, pool, ports, [1, 0], [1, 2], Nanos::ZERO)
}

#[test]
fn a_mark_is_set_where_the_link_has_it() {
    for (link_type, header) in [(ETHERNET, 14), (RAW, 0)] {
        let mut line = line();
        for _ in 0..10 {
            let mut frame = line.pool.take().unwrap();
            line.pool.write(&mut frame, &capable()[14 - header..]).unwrap();
            frame.set_link_type(link_type);
            line.ports[0].device.arrive(frame);
        }
        // Ten packets a second: CoDel has had enough of the queue long before it is empty.
        for tenth in 0..20 {
            line.turn(Nanos::from_millis(tenth * 100)).unwrap();
        }
        let counted = line.shapers[Direction::Ingress.index()].counters(LaneId(0)).ecn_marks;
        let mut marked = 0;
        while let Some(frame) = line.ports[1].device.take_sent() {
            marked += u64::from(line.pool.bytes(&frame)[header + 1] == 0b11);
            line.pool.put(frame);
        }
        assert!(counted > 0, "nothing was marked");
        assert_eq!(marked, counted, "frames of link type {link_type}");
    }
}
