//! What live traffic alone has: interfaces, AF_XDP sockets, workers, and what the kernel has decided.

use std::fmt;

use super::exposition::{Kind, Writer, labels, seconds};
use crate::live::{FrameReport, Rings, SocketReport, WorkerReport};
use crate::snapshot::Snapshot;

type Counter<T> = (&'static str, &'static str, fn(&T) -> u64);

const SOCKET: [Counter<SocketReport>; 12] = [
    ("rx_dropped", "Packets dropped by the kernel for other reasons than the following.", |of| of.rx_dropped),
    ("rx_invalid_descs", "Packets dropped because an entry of the fill ring was invalid.", |of| of.rx_invalid_descs),
    ("rx_ring_full", "Packets dropped because the receive ring was full.", |of| of.rx_ring_full),
    ("rx_fill_ring_empty_descs", "Times that the kernel found no frame to fill.", |of| of.rx_fill_ring_empty_descs),
    ("tx_invalid_descs", "Packets not sent because their entry was invalid.", |of| of.tx_invalid_descs),
    ("tx_ring_empty_descs", "Times that the kernel found no packet to send.", |of| of.tx_ring_empty_descs),
    ("kicks", "System calls made to have packets sent.", |of| of.kicks),
    ("stalls_again", "Of these, those that ended with EAGAIN.", |of| of.stalls_again),
    ("stalls_busy", "Of these, those that ended with EBUSY.", |of| of.stalls_busy),
    ("stalls_no_buffers", "Of these, those that ended with ENOBUFS.", |of| of.stalls_no_buffers),
    ("unfinished_checksums", "Packets whose checksum was left to a card that is not there.", |of| {
        of.unfinished_checksums
    }),
    ("strays", "Entries handed back that were no frames of ours.", |of| of.strays),
];

const WORKER: [Counter<WorkerReport>; 8] = [
    ("turns", "Turns taken.", |of| of.turns),
    ("busy_turns", "Turns in which something was received or sent.", |of| of.busy_turns),
    ("sleeps", "Times that it slept.", |of| of.sleeps),
    ("woken", "Times that a packet woke it.", |of| of.woken_by_packet),
    ("woken_by_worker", "Times that another worker woke it.", |of| of.woken_by_worker),
    ("handed_over_packets", "Packets handed over to the owners of their lanes.", |of| of.handed_over),
    ("taken_over_packets", "Packets taken over from other workers.", |of| of.taken_over),
    ("handoff_dropped_packets", "Packets dropped because the owner of their lane had no room for more.", |of| {
        of.handoff
    }),
];

pub(super) fn write(out: &mut Writer, snapshot: &Snapshot) -> fmt::Result {
    write_interfaces(out, snapshot)?;
    write_sockets(out, snapshot)?;
    write_workers(out, snapshot)
}

fn write_interfaces(out: &mut Writer, snapshot: &Snapshot) -> fmt::Result {
    let mut info = out.family(Kind::Gauge, "portlane_interface_info", "How an interface is attached.")?;
    for (interface, mode) in &snapshot.mode {
        info.sample(&labels(&[("interface", interface), ("mode", mode.as_str())]), 1)?;
    }
    let help = "Frames by what the steering program in the kernel decided about them.";
    let mut steered = out.family(Kind::Counter, "portlane_steered_frames", help)?;
    for (interface, verdicts) in &snapshot.steering {
        for (verdict, &count) in verdicts {
            steered.sample(&labels(&[("interface", interface), ("verdict", verdict)]), count)?;
        }
    }
    let help = "Frames for an attached container that its interface had no room for.";
    let mut undelivered = out.family(Kind::Counter, "portlane_undelivered_frames", help)?;
    for (interface, attached) in &snapshot.attached {
        undelivered.sample(&labels(&[("interface", interface)]), attached.undelivered)?;
    }
    Ok(())
}

fn write_sockets(out: &mut Writer, snapshot: &Snapshot) -> fmt::Result {
    for (name, help, count) in SOCKET {
        let mut family = out.family(Kind::Counter, &format!("portlane_socket_{name}"), help)?;
        for (socket, report) in &snapshot.sockets {
            family.sample(&labels(&[("socket", socket)]), count(report))?;
        }
    }
    let mut rings = out.family(Kind::Gauge, "portlane_socket_ring_entries", "Entries in the rings of a socket.")?;
    for (socket, report) in &snapshot.sockets {
        let Rings { rx, fill, tx, completion, size: _ } = report.rings;
        for (ring, entries) in [("rx", rx), ("fill", fill), ("tx", tx), ("completion", completion)] {
            rings.sample(&labels(&[("socket", socket), ("ring", ring)]), entries)?;
        }
    }
    Ok(())
}

fn write_workers(out: &mut Writer, snapshot: &Snapshot) -> fmt::Result {
    let workers: Vec<_> = (0..snapshot.workers.len()).map(|n| labels(&[("worker", &n.to_string())])).collect();
    for (name, help, count) in WORKER {
        let mut family = out.family(Kind::Counter, &format!("portlane_worker_{name}"), help)?;
        for (labels, report) in workers.iter().zip(&snapshot.workers) {
            family.sample(labels, count(report))?;
        }
    }
    let mut frames = out.family(Kind::Gauge, "portlane_worker_frames", "Where its frames are.")?;
    for (labels, report) in workers.iter().zip(&snapshot.workers) {
        let FrameReport { free, filling, sending, queued, total: _ } = report.frames;
        for (state, count) in [("free", free), ("filling", filling), ("sending", sending), ("queued", queued)] {
            frames.sample(&format!("{labels},state=\"{state}\""), count)?;
        }
    }
    let mut slept = out.family(Kind::Counter, "portlane_worker_slept_seconds", "How long it slept.")?;
    for (labels, report) in workers.iter().zip(&snapshot.workers) {
        slept.sample(labels, seconds(report.slept_ns))?;
    }
    Ok(())
}
