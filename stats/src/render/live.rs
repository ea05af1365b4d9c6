//! Sockets and workers, a line or two for each.

use super::text::printable;
use super::units::time;
use crate::live::{AttachedReport, FrameReport, MemoryReport, OffenderReport, Rings, SocketReport, WorkerReport};
use crate::snapshot::Snapshot;

/// The lines; none where nothing is live.
pub(super) fn render(snapshot: &Snapshot) -> String {
    let memory = snapshot.memory.iter().map(memory);
    let workers = snapshot.workers.iter().map(worker);
    let offloads = snapshot.offloads.iter().map(|(name, off)| offloads(name, off));
    memory
        .chain(workers)
        .chain(offloads)
        .chain(snapshot.sockets.iter().map(|(name, of)| socket(&printable(name), of)))
        .collect()
}

/// What follows the verdicts of an attached container's interface.
pub(super) fn attached(AttachedReport { undelivered, last_offender }: &AttachedReport) -> String {
    let undelivered = if *undelivered > 0 { format!("; {undelivered} undelivered") } else { String::new() };
    let last = last_offender.as_ref().map(|OffenderReport { verdict, protocol, address, port }| {
        let protocol = match protocol {
            1 => "icmp".to_owned(),
            6 => "tcp".to_owned(),
            17 => "udp".to_owned(),
            58 => "icmpv6".to_owned(),
            132 => "sctp".to_owned(),
            other => format!("protocol {other}"),
        };
        format!("; the last {} was {protocol} from {address}, port {port}", printable(verdict))
    });
    undelivered + &last.unwrap_or_default()
}

fn memory(&MemoryReport { frames, frame_bytes, huge_pages }: &MemoryReport) -> String {
    let pages = if huge_pages { "huge pages" } else { "small pages" };
    format!("memory: {frames} frames of {frame_bytes} bytes, in {pages}\n")
}

fn worker(worker: &WorkerReport) -> String {
    let WorkerReport { core, queues, idle, turns, busy_turns, sleeps, woken_by_packet, slept_ns, .. } = worker;
    let core = core.map_or_else(|| "no core of its own".to_owned(), |core| format!("core {core}"));
    let (idle, slept) = (printable(idle), time(slept_ns / 1000));
    let queues: Vec<_> = queues.iter().map(|queue| printable(queue)).collect();
    let mut line = format!(
        "worker on {core}, {idle}, {}: {turns} turns, {busy_turns} with packets; slept {sleeps} times for {slept}, woken by \
         a packet {woken_by_packet} times",
        queues.join(" ")
    );
    let others = [
        ("by a worker", worker.woken_by_worker),
        ("handed over", worker.handed_over),
        ("taken over", worker.taken_over),
        ("handoff", worker.handoff),
    ];
    for (name, count) in others.into_iter().filter(|&(_, count)| count > 0) {
        line += &format!("; {name} {count}");
    }
    let FrameReport { total, free, filling, sending, queued } = worker.frames;
    line += &format!("; frames: {free} free + {filling} filling + {sending} sending + {queued} queued of {total}");
    line + "\n"
}

fn offloads(name: &str, off: &[String]) -> String {
    format!("{} has {} off until the end\n", printable(name), printable(&off.join(", ")))
}

fn socket(name: &str, socket: &SocketReport) -> String {
    let Rings { size, rx, fill, tx, completion } = socket.rings;
    let mode = socket.mode.map_or_else(String::new, |mode| format!("{}; ", mode.as_str()));
    let mut line = format!(
        "socket {name}: {mode}rx {rx}, fill {fill}, tx {tx}, completion {completion} of {size}; batches {}",
        batches(socket)
    );
    for (name, count) in counters(socket).into_iter().filter(|&(_, count)| count > 0) {
        line += &format!("; {name} {count}");
    }
    line + "\n"
}

/// Counters by the kernel's names, and ours.
fn counters(socket: &SocketReport) -> [(&'static str, u64); 12] {
    [
        ("rx_dropped", socket.rx_dropped),
        ("rx_invalid_descs", socket.rx_invalid_descs),
        ("rx_ring_full", socket.rx_ring_full),
        ("rx_fill_ring_empty_descs", socket.rx_fill_ring_empty_descs),
        ("tx_invalid_descs", socket.tx_invalid_descs),
        ("tx_ring_empty_descs", socket.tx_ring_empty_descs),
        ("kicks", socket.kicks),
        ("stalls_again", socket.stalls_again),
        ("stalls_busy", socket.stalls_busy),
        ("stalls_no_buffers", socket.stalls_no_buffers),
        ("strays", socket.strays),
        ("unfinished_checksums", socket.unfinished_checksums),
    ]
}

/// How often each size was received: `7x1 2x4-7`.
fn batches(socket: &SocketReport) -> String {
    let sizes = ["1", "2-3", "4-7", "8-15", "16-31", "32-63", "64"];
    let used = socket.batches.iter().zip(sizes).filter(|&(&count, _)| count > 0);
    let words: Vec<_> = used.map(|(count, size)| format!("{count}x{size}")).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    use crate::samples;

    #[test]
    fn sockets_and_workers_are_told_of() {
        assert_eq!(
            super::render(&samples::live()),
            "memory: 16384 frames of 2048 bytes, in huge pages\n\
             worker on core 1, adaptive, eth0:0 veth0:0: 1000 turns, 10 with packets; slept 20 times for 1.9s, woken by a \
             packet 9 times; by a worker 2; handed over 40; taken over 30; handoff 1; frames: 12280 free + \
             4093 filling + 1 sending + 10 queued of 16384\n\
             eth0 has rx-gro, rx-vlan-hw-parse off until the end\n\
             socket eth0:0: copy; rx 5, fill 2040, tx 0, completion 1 of 2048; batches 7x1 2x4-7 1x64; rx_ring_full 3; kicks 12\n"
        );
    }
}
