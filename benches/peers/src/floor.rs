//! The least that AF_XDP costs on these links: what no forwarder over it can go below, whatever it does with the packets.
//!
//! Both loops use rings and nothing else of portlane: no header is read, nothing is counted. They end when they are killed.

use portlane_rings::{Device, Frame, Options, Pool, Socket, open_wire};

use crate::Failure;

/// Packets at a time.
const BATCH: usize = 64;

/// The core of every forwarder here.
const CORE: &str = "1";

/// What is sent when nothing is received: a frame of Ethernet, of an experimental type that nobody wants.
const PACKET: [u8; 60] = {
    let mut packet = [0; 60];
    [packet[0], packet[5], packet[6], packet[11]] = [2, 2, 2, 1];
    [packet[12], packet[13]] = [0x88, 0xb5];
    packet
};

/// Sends the same 64 frames to the second interface again and again. Nothing is received: half of a forwarder's work, and
/// that with memory that is always in the nearest cache.
pub(crate) fn flood(interfaces: [&str; 2]) -> Result<(), Failure> {
    // Fill rings take two rings' frames; the pool lends those that came home last.
    let ring_size = 64;
    let (mut pool, [_network, mut container]) =
        open(interfaces, &Options { frames: 3 * ring_size, ring_size, ..Options::default() })?;
    loop {
        while let Some(mut frame) = pool.take() {
            pool.write(&mut frame, &PACKET).map_err(|_| "the packet does not fit into a frame")?;
            send(&mut container, frame, &mut pool);
        }
        container.flush()?;
        container.reclaim(&mut pool)?;
    }
}

/// Sends what one interface receives to the other, in both directions: all that a forwarder has to do.
pub(crate) fn forward(interfaces: [&str; 2]) -> Result<(), Failure> {
    let (mut pool, mut ends) = open(interfaces, &Options::default())?;
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        for (from, to) in [(0, 1), (1, 0)] {
            ends[from].receive(&mut pool, &mut batch, BATCH)?;
            for frame in batch.drain(..) {
                send(&mut ends[to], frame, &mut pool);
            }
            ends[to].flush()?;
            ends[to].reclaim(&mut pool)?;
        }
    }
}

/// Moves to the core of all forwarders, and says how the interfaces are attached.
fn open(interfaces: [&str; 2], options: &Options) -> Result<(Pool, [Socket; 2]), Failure> {
    crate::command::run("taskset", &["--pid", "--cpu-list", CORE, &std::process::id().to_string()])?;
    let (pool, ends) = open_wire(interfaces, options)?;
    for end in &ends {
        println!("{}: {}", end.interface().name, end.mode());
    }
    Ok((pool, ends))
}

/// A frame for which the ring has no room goes back.
fn send(end: &mut Socket, frame: Frame, pool: &mut Pool) {
    if let Err(frame) = end.send(frame) {
        pool.put(frame);
    }
}
