//! What packet sockets do that AF_XDP does not.

use std::io::Write;
use std::time::{Duration, Instant};

use portlane_rings::{Device, Io, Mode, Options, Pool, Socket, open_wire};

use crate::namespace::{Bench, Namespace};
use crate::wire::Wire;
use crate::{child, child_by, quiet_wire, refusal, small_by, talkers};

/// IEEE's type for local experiments: no kernel has an answer to it.
const EXPERIMENT: [u8; 2] = [0x88, 0xb5];

/// A host's interface, to send and hear whole frames by.
struct Raw {
    pool: Pool,
    ends: [Socket; 2],
}

impl Raw {
    fn open(host: &Namespace) -> Self {
        host.shell("ip link set lo mtu 1500");
        let (pool, ends) = host.run(|| open_wire(["eth0", "lo"], &small_by(Io::Packet))).unwrap();
        Self { pool, ends }
    }

    fn send(&mut self, bytes: &[u8]) {
        let mut frame = self.pool.take().unwrap();
        self.pool.write(&mut frame, bytes).unwrap();
        self.ends[0].send(frame).unwrap();
        self.ends[0].flush().unwrap();
        self.ends[0].reclaim(&mut self.pool).unwrap();
        assert_eq!(self.ends[0].held().sending, 0, "it was sent");
    }

    /// The frames of the experiment that have come.
    fn heard(&mut self) -> Vec<Vec<u8>> {
        let mut batch = Vec::new();
        self.ends[0].receive(&mut self.pool, &mut batch, 64).unwrap();
        let heard = batch.iter().map(|frame| self.pool.bytes(frame).to_vec()).collect::<Vec<_>>();
        batch.into_iter().for_each(|frame| self.pool.put(frame));
        self.ends[0].reclaim(&mut self.pool).unwrap();
        heard.into_iter().filter(|bytes| bytes.windows(2).any(|two| two == EXPERIMENT)).collect()
    }
}

/// A frame to everybody, with these bytes between the addresses and the type.
fn frame(tags: &[u8], len: usize) -> Vec<u8> {
    let mut bytes = [[0xff; 6], [2, 0, 0, 0, 0, 9]].concat();
    bytes.write_all(tags).unwrap();
    bytes.write_all(&EXPERIMENT).unwrap();
    bytes.extend((0..len).map(|at| at.to_le_bytes()[0]));
    bytes
}

pub(crate) fn own_frames() {
    let bench = Bench::new();
    let (mut near, mut far) = (Raw::open(&bench.near), Raw::open(&bench.far));
    let mut wire = Wire::open(&bench, &small_by(Io::Packet)).unwrap();
    let sent: Vec<_> = (1..40).map(|len| frame(&[], 46 + len)).collect();
    sent.iter().for_each(|bytes| near.send(bytes));
    wire.turn_until(|_| far.heard().last() == sent.last());
    assert!(near.heard().is_empty(), "neither its own, nor what the wire sent back");
}

/// Two lines on an interface would forward every frame twice.
pub(crate) fn taken() {
    let bench = Bench::new();
    let first = Wire::open(&bench, &small_by(Io::Packet)).unwrap();
    assert_eq!(
        refusal(&bench, &small_by(Io::Packet)),
        "interface left is served by packet sockets of another portlane: stop that one, or every frame would be forwarded twice"
    );
    drop(first);
    // Another network namespace has interfaces of its own.
    let _here = Wire::open(&bench, &small_by(Io::Packet)).unwrap();
    let other = Bench::new();
    let _there = Wire::open(&other, &small_by(Io::Packet)).unwrap();
}

/// One tag, and two: only the outer one is the kernel's to take. (Packet sockets send one of 802.1Q beyond the MTU, and no
/// others.)
pub(crate) fn tags() {
    let bench = Bench::new();
    let (mut near, mut far) = (Raw::open(&bench.near), Raw::open(&bench.far));
    let mut wire = Wire::open(&bench, &small_by(Io::Packet)).unwrap();
    let tags: [&[u8]; 4] =
        [&[0x81, 0, 0x60, 7], &[0x88, 0xa8, 0, 9], &[0x88, 0xa8, 0xb0, 9, 0x81, 0, 0, 7], &[0x81, 0, 0, 0]];
    for tags in tags {
        for len in [46, 1_492] {
            let sent = frame(tags, len);
            near.send(&sent);
            let mut heard = Vec::new();
            wire.turn_until(|_| {
                heard.append(&mut far.heard());
                !heard.is_empty()
            });
            assert_eq!(heard, [sent]);
        }
    }
}

pub(crate) fn too_long() {
    let bench = Bench::new();
    let mut wire = quiet_wire(&bench, Io::Packet);
    let capacity = usize::try_from(wire.pool.capacity()).unwrap();
    bench.line.shell("ip link set left mtu 3800");
    bench.near.shell("ip link set lo mtu 1500 && ip link set eth0 mtu 3800");
    let options = Options { frame_size: 4_096, ..small_by(Io::Packet) };
    let (mut near_pool, [mut near, _]) = bench.near.run(|| open_wire(["eth0", "lo"], &options)).unwrap();
    let before = wire.ends[0].losses().unwrap();
    for len in [capacity, capacity + 1, 3_000, capacity] {
        let mut sent = near_pool.take().unwrap();
        near_pool.write(&mut sent, &frame(&[], len - 14)).unwrap();
        near.send(sent).unwrap();
    }
    near.flush().unwrap();
    let mut lengths = Vec::new();
    for _ in 0..100 {
        lengths.extend(wire.receive_and_drop(0).into_iter().filter(|&len| len >= capacity));
    }
    assert_eq!(lengths, [capacity; 2]);
    let after = wire.ends[0].losses().unwrap();
    assert_eq!((after.too_long - before.too_long, after.missed), (2, 0));
    assert_eq!(wire.ends[0].statistics().unwrap().rx_dropped, 2);
}

/// The far end is down: the interface drops what it is given. What is longer than its MTU it does not take.
pub(crate) fn unsent() {
    let bench = Bench::new();
    let mut near = Raw::open(&bench.near);
    near.send(&frame(&[], 100));
    let long = frame(&[], 1_600);
    near.send(&long);
    assert_eq!(near.ends[0].losses().unwrap().unsent, 1);
    bench.line.shell("ip link set left down");
    // A veth whose far end is down has no carrier, and no queueing discipline to send by.
    (0..100).for_each(|_| near.send(&frame(&[], 100)));
    assert_eq!(near.ends[0].losses().unwrap().unsent, 101);
}

/// While nobody receives, the socket's buffer holds what it can.
pub(crate) fn missed() {
    const PACKETS: u64 = 20_000;
    const PATIENCE: Duration = Duration::from_secs(10);
    let bench = Bench::new();
    let mut wire = quiet_wire(&bench, Io::Packet);
    let [near, _] = talkers(&bench);
    let mut missed_of = |packets: u64| {
        let before = wire.ends[0].losses().unwrap().missed;
        (0..packets).for_each(|_| assert!(near.send(b"flood").is_ok()));
        let (started, mut received, mut missed) = (Instant::now(), 0, 0);
        // What the kernel has taken over it delivers in its own time.
        while received + missed < packets && started.elapsed() < PATIENCE {
            received += wire.receive_and_drop(0).len() as u64;
            missed = wire.ends[0].losses().unwrap().missed - before;
        }
        assert_eq!(received + missed, packets);
        missed
    };
    assert!((1..PACKETS).contains(&missed_of(PACKETS)));
    assert_eq!(missed_of(100), 0, "there is room again");
}

/// A container that may open packet sockets, and load no program.
pub(crate) fn without_bpf() {
    let bench = Bench::new();
    let only = |capabilities: &str| ["setpriv".to_owned(), format!("--bounding-set=-all{capabilities}")];
    let start = |rung, capabilities| {
        let wrapper = only(capabilities);
        let (mut holder, line) = child_by(rung, &bench, &wrapper.each_ref().map(String::as_str));
        let _ = holder.kill();
        holder.wait().unwrap();
        line
    };
    assert_eq!(
        start("auto", ",+net_raw"),
        "packet (not AF_XDP: no permission to attach an XDP program to left: be root, or have CAP_NET_RAW, \
         CAP_NET_ADMIN and CAP_BPF)"
    );
    assert_eq!(start("packet", ",+net_raw"), Mode::Packet.to_string());
    assert_eq!(start("packet", ""), "no permission to open a packet socket on left: be root, or have CAP_NET_RAW");
    let (mut holder, line) = child(&bench, &[]);
    assert!(line.starts_with("copy "), "{line}");
    holder.kill().unwrap();
    holder.wait().unwrap();
}
