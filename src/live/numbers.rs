//! What sockets and workers count, as reported.

use std::io;

use portlane_rings::{self as rings, Device, Layout, Pool, Socket};
use portlane_stats::live::{FrameReport, MemoryReport, Rings, SocketReport, WorkerReport};
use portlane_stats::snapshot::Mode;

use super::worker::Worker;
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
    Ok((name(device), report))
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

/// The frames that all workers share.
pub(super) fn memory(pool: &Pool) -> MemoryReport {
    let Layout { frames, frame_size } = pool.layout();
    MemoryReport { frames, frame_bytes: frame_size, huge_pages: pool.has_huge_pages() }
}

/// Of a socket, in reports: `eth0:0`.
fn name(device: &Socket) -> String {
    format!("{}:{}", device.interface().name, device.queue())
}

/// A worker, but for its containers.
pub(super) fn worker(worker: &Worker) -> WorkerReport {
    let (rest, line) = (&worker.rest.counters, &worker.line);
    WorkerReport {
        core: worker.core.filter(|_| worker.is_pinned).map(|core| core.id),
        queues: line.ports.iter().map(|port| name(&port.device)).collect(),
        containers: 0,
        idle: worker.running.idle.to_string(),
        turns: rest.turns,
        busy_turns: rest.busy_turns,
        sleeps: rest.sleeps,
        woken_by_packet: rest.woken_by_packet,
        woken_by_worker: rest.woken_by_worker,
        slept_ns: rest.slept.0,
        handed_over: line.counters.handed_over,
        taken_over: line.counters.taken_over,
        handoff: line.counters.handoff,
        frames: frames(line),
    }
}
