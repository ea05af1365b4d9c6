//! What sockets and the worker count, as reported.

use std::io;

use portlane_rings::{self as rings, Device, Socket};
use portlane_stats::live::{FrameReport, Rings, SocketReport, WorkerReport};
use portlane_stats::snapshot::Mode;

use super::rest::RestCounters;
use crate::config::Idle;
use crate::line::Line;

/// A socket, by the name of its interface and its queue.
pub(super) fn socket(device: &Socket) -> io::Result<(String, SocketReport)> {
    let (counted, rings) = (device.statistics()?, device.occupancy());
    let report = SocketReport {
        mode: Some(mode(device)),
        rx_dropped: counted.rx_dropped,
        rx_invalid_descs: counted.rx_invalid_descs,
        rx_ring_full: counted.rx_ring_full,
        rx_fill_ring_empty_descs: counted.rx_fill_ring_empty_descs,
        tx_invalid_descs: counted.tx_invalid_descs,
        tx_ring_empty_descs: counted.tx_ring_empty_descs,
        kicks: counted.kicks,
        stalls_again: counted.stalls_again,
        stalls_busy: counted.stalls_busy,
        stalls_no_buffers: counted.stalls_no_buffers,
        strays: counted.strays,
        unfinished_checksums: counted.unfinished_checksums,
        rings: Rings { size: rings.size, rx: rings.rx, fill: rings.fill, tx: rings.tx, completion: rings.completion },
        batches: counted.batches,
    };
    Ok((format!("{}:{}", device.interface().name, device.queue()), report))
}

pub(super) fn mode(device: &Socket) -> Mode {
    match device.mode() {
        rings::Mode::ZeroCopy => Mode::ZeroCopy,
        rings::Mode::Copy => Mode::Copy,
        rings::Mode::Generic => Mode::Generic,
        rings::Mode::Packet => Mode::Packet,
    }
}

/// Where the frames of a line are, between two turns.
pub(super) fn frames<D: Device>(line: &Line<D>) -> FrameReport {
    let held = || line.ports.iter().map(|port| port.device.held());
    FrameReport {
        total: line.pool.here(),
        free: line.pool.free(),
        filling: held().map(|held| held.filling).sum(),
        sending: held().map(|held| held.sending).sum(),
        queued: u32::try_from(line.queued()).unwrap_or(u32::MAX),
    }
}

pub(super) fn worker(core: Option<usize>, idle: Idle, counters: &RestCounters) -> WorkerReport {
    WorkerReport {
        core,
        idle: idle.to_string(),
        turns: counters.turns,
        busy_turns: counters.busy_turns,
        sleeps: counters.sleeps,
        woken_by_packet: counters.woken_by_packet,
        slept_ns: counters.slept.0,
        ..WorkerReport::default()
    }
}
