//! Bad neighbours once more, in virtual time: the same packets of one container each time, and exactly what its neighbours change for it.

use std::io::{self, Cursor};
use std::net::Ipv4Addr;

use etherparse::PacketBuilder;
use portlane_classify::Arriving;
use portlane_pcap::{LinkType, Reader, Writer};
use portlane_stats::snapshot::Snapshot;
use serde::Serialize;

use crate::commands::replay;
use crate::config;
use crate::failure::Failure;

/// The containers of the demo, on a link that has room for what they are limited to, but not for a flood beside.
const CONFIG: &str = concat!(include_str!("../../examples/demo-host.toml"), "\n[link]\nrate = \"75mbit\"\n");

const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

/// Container `fast`, who is looked at.
const LOOKED_AT: usize = 0;
const FAST: u16 = 31_744;
/// Container `slow`, who fills its queue.
const SLOW: u16 = 32_768;
/// Nobody's.
const FOREIGN: u16 = 40_000;

/// Packets are sent at multiples of this, nanoseconds.
const STEP: u64 = 10_000;
const STEPS: u64 = 3_000_000_000 / STEP;

/// Bytes of a packet, from its Ethernet header on: of containers, and of the flood.
const LONG: usize = 1_250;
const SHORT: usize = 60;

/// What `fast` got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Got {
    /// Bytes that it sent.
    pub(super) sent_bytes: u64,
    /// How long all but one in a hundred of its packets waited at most, nanoseconds.
    pub(super) p99_ns: u64,
}

/// What `fast` got, without bad neighbours, and with one of either kind.
#[derive(Debug, Serialize)]
pub(super) struct InVirtualTime {
    pub(super) alone: Got,
    pub(super) with_flood: Got,
    pub(super) with_full_queue: Got,
}

/// Packets of a neighbour.
#[derive(Clone, Copy)]
struct Neighbour {
    port: u16,
    /// Bytes of each, from its Ethernet header on.
    len: usize,
    /// Whether there is one at a step.
    sends_at: fn(u64) -> bool,
}

/// 100,000 packets a second of nobody's port.
const FLOOD: Neighbour = Neighbour { port: FOREIGN, len: SHORT, sends_at: |_| true };

/// 16 packets a millisecond, 160 mbit: eight times what `slow` may.
const FULL_QUEUE: Neighbour =
    Neighbour { port: SLOW, len: LONG, sends_at: |step| matches!(step % 25, 0 | 6 | 12 | 18) };

/// Three seconds each: `fast` sends 45 mbit in bursts, and beside it there is no neighbour, or either kind.
///
/// # Errors
///
/// Refused without memory for the packets.
pub(super) fn run() -> Result<InVirtualTime, Failure> {
    Ok(InVirtualTime {
        alone: got(&beside(None)?),
        with_flood: got(&beside(Some(FLOOD))?),
        with_full_queue: got(&beside(Some(FULL_QUEUE))?),
    })
}

fn got(snapshot: &Snapshot) -> Got {
    let lane = &snapshot.containers[LOOKED_AT].egress;
    Got { sent_bytes: lane.sent_bytes, p99_ns: lane.sojourn_ns.p99 }
}

/// What became of everybody's packets.
fn beside(neighbour: Option<Neighbour>) -> Result<Snapshot, Failure> {
    let plan = config::parse(CONFIG, "examples/demo-host.toml").map_err(Failure::refused)?;
    let capture = capture(neighbour).map_err(Failure::failed)?;
    let reader = Reader::new(Cursor::new(capture)).map_err(Failure::failed)?;
    replay::shaped(&plan, reader, Arriving::Egress)
}

fn capture(neighbour: Option<Neighbour>) -> io::Result<Vec<u8>> {
    let own = packet(FAST, LONG)?;
    let other = neighbour.map(|neighbour| packet(neighbour.port, neighbour.len)).transpose()?;
    let mut writer = Writer::new(Vec::new())?;
    for step in 0..STEPS {
        let mut write = |packet: &[u8]| {
            let len = u32::try_from(packet.len()).map_err(io::Error::other)?;
            writer.write(LinkType::ETHERNET, step * STEP, packet, len)
        };
        // 90 packets each 20 ms, which is more than its bucket holds.
        if step % 2_000 == 0 {
            (0..90).try_for_each(|_| write(&own))?;
        }
        if neighbour.is_some_and(|neighbour| (neighbour.sends_at)(step)) {
            other.iter().try_for_each(|packet| write(packet))?;
        }
    }
    writer.finish()
}

/// A packet to the client, `len` bytes long.
fn packet(port: u16, len: usize) -> io::Result<Vec<u8>> {
    let headers = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 7])
        .ipv4(HOST.octets(), CLIENT.octets(), 64)
        .udp(port, 9);
    let payload = vec![0; len - headers.size(0)];
    let mut packet = Vec::with_capacity(len);
    headers.write(&mut packet, &payload).map_err(io::Error::other)?;
    Ok(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_does_not_feel_its_neighbours() {
        let InVirtualTime { alone, with_flood, with_full_queue } = run().unwrap();
        assert!(alone.sent_bytes == 3 * 45_000_000 / 8 && alone.p99_ns > 1_000_000, "{alone:?}");
        for got in [with_flood, with_full_queue] {
            let alike = |one: u64, other: u64| one.abs_diff(other) * 20 < one;
            assert!(
                alike(alone.sent_bytes, got.sent_bytes) && alike(alone.p99_ns, got.p99_ns),
                "{alone:?}, beside a neighbour {got:?}"
            );
        }
    }

    #[test]
    fn neighbours_want_more_than_there_is() {
        let flood = beside(Some(FLOOD)).unwrap().unmatched.egress;
        assert!(flood.dropped().packets > 1_000, "the link is too narrow: {flood:?}");
        let slow = beside(Some(FULL_QUEUE)).unwrap().containers[1].egress.clone();
        assert!(slow.dropped().packets > 1_000, "its queue is full: {slow:?}");
    }
}
