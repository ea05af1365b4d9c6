//! Frames as they really come: long ones, tagged ones, with checksums left to a card; and offloads that must be off.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use etherparse::{PacketBuilder, VlanId};
use nix::sys::signal::Signal;
use portlane::netns::Namespace;
use portlane_classify::Direction;
use portlane_rings::{Device, Features, Options, Pool, Socket, open_wire, wait};
use portlane_stats::snapshot::Snapshot;

use crate::bench::{Bench, CLIENT, FREE, FREE_CONTAINER, SERVER, SIDES};
use crate::portlane::{Portlane, eventually};
use crate::traffic::{payload, transfer, udp};

const MTU: u32 = 9_000;

/// Merges packets, after a program in the driver has seen them.
const GRO: &str = "rx-gro";

/// Takes tags off; veth says that it has it.
const TAGS: [&str; 2] = ["rx-vlan-hw-parse", "rx-vlan-stag-hw-parse"];

/// A bench whose far ends have left everything on, with interfaces for long packets.
fn as_it_comes() -> Bench {
    let bench = Bench::new();
    for host in [&bench.client, &bench.server] {
        host.command("ethtool", &["-K", "eth0", "tx", "on", "tso", "on", "gso", "on", "gro", "on"]).unwrap();
        host.command("ip", &["link", "set", "eth0", "mtu", &MTU.to_string()]).unwrap();
    }
    for side in SIDES {
        bench.line.command("ip", &["link", "set", side, "mtu", &MTU.to_string()]).unwrap();
    }
    bench
}

fn unfinished(snapshot: &Snapshot) -> u64 {
    snapshot.sockets.values().map(|socket| socket.unfinished_checksums).sum()
}

pub(crate) fn long_packets() {
    const BYTES: usize = 20 << 20;
    let bench = as_it_comes();
    let before = bench.kernel_count();
    let _portlane = bench.start(&format!("checksums = \"complete\"\n{FREE_CONTAINER}"));
    let payload = payload(BYTES);
    for direction in Direction::ALL {
        transfer(&bench, FREE, direction, &payload);
    }
    let (snapshot, after) = bench.settled_books();
    let totals = &snapshot.totals;
    assert_eq!(totals.received, after.received - before.received, "what the kernel received: {totals:?}");
    assert_eq!(totals.sent, after.sent - before.sent, "what the kernel sent: {totals:?}");
    assert!(unfinished(&snapshot) > 2 * BYTES as u64 / u64::from(MTU), "{:?}", snapshot.sockets);
    let free = &snapshot.containers[0];
    for lane in [&free.ingress, &free.egress] {
        // Acknowledgements of the other transfer are among them.
        assert!(lane.sent_bytes / lane.sent_packets > 3_000, "{lane:?}");
    }
}

/// The same through a card that the host uses, too.
pub(crate) fn long_packets_of_a_shared_card() {
    const BYTES: usize = 4 << 20;
    let bench = Bench::shared();
    for (namespace, interface) in
        [(&bench.client, "eth0"), (&bench.server, "eth0"), (&bench.line, SIDES[0]), (&bench.line, SIDES[1])]
    {
        namespace.command("ip", &["link", "set", interface, "mtu", &MTU.to_string()]).unwrap();
    }
    let _portlane = bench.start_shared(FREE_CONTAINER, "\"all\"");
    let payload = payload(BYTES);
    for direction in Direction::ALL {
        transfer(&bench, FREE, direction, &payload);
    }
    let free = &bench.stats().containers[0];
    assert!([&free.ingress, &free.egress].iter().all(|lane| lane.sent_bytes / lane.sent_packets > 3_000), "{free:?}");
}

/// What leaves its checksum to a card is counted; it arrives when the configuration says so.
pub(crate) fn checksums() {
    let bench = as_it_comes();
    let portlane = bench.start(FREE_CONTAINER);
    let server = udp(&bench.server, SERVER, FREE, Duration::from_millis(300));
    let client = udp(&bench.client, CLIENT, 0, Duration::from_millis(300));
    let mut buffer = [0; 64];
    client.send_to(b"unfinished", (SERVER, FREE)).unwrap();
    assert!(server.recv_from(&mut buffer).is_err(), "its checksum is wrong");
    assert_eq!(unfinished(&bench.stats()), 1);

    bench.config(&format!("checksums = \"complete\"\n{FREE_CONTAINER}"));
    portlane.signal(Signal::SIGHUP);
    eventually(|| portlane.stderr().contains("configuration reloaded"), || portlane.stderr());
    client.send_to(b"finished", (SERVER, FREE)).unwrap();
    let (len, _) = server.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..len], b"finished");
    assert_eq!(unfinished(&bench.stats()), 2);
    let said = portlane.stderr();
    portlane.signal(Signal::SIGTERM);
    let ended = portlane.ended();
    assert!(ended.stdout.contains("unfinished_checksums 2"), "{said}{}", ended.stdout);
}

/// Raw access to the far end of the line, and another interface that it takes for that.
pub(crate) struct Raw {
    pool: Pool,
    ends: [Socket; 2],
}

impl Raw {
    pub(crate) fn open(namespace: &Namespace) -> Self {
        let options = Options { frames: 2_048, ring_size: 512, ..Options::default() };
        let (mut pool, mut ends) = namespace.within(|| open_wire(["eth0", "spare"], &options)).unwrap().unwrap();
        // The kernel is given frames for what arrives before anybody asks for it.
        ends[0].receive(&mut pool, &mut Vec::new(), 64).unwrap();
        Self { pool, ends }
    }

    pub(crate) fn send(&mut self, packet: &[u8]) {
        let mut frame = self.pool.take().unwrap();
        self.pool.write(&mut frame, packet).unwrap();
        self.ends[0].send(frame).unwrap();
        self.ends[0].flush().unwrap();
    }

    pub(crate) fn receives(&mut self, packet: &[u8]) -> bool {
        let (deadline, mut batch) = (Instant::now() + Duration::from_secs(5), Vec::new());
        while Instant::now() < deadline {
            wait(self.ends.each_mut(), None, Duration::from_millis(10)).unwrap();
            self.ends[0].receive(&mut self.pool, &mut batch, 64).unwrap();
            for frame in batch.drain(..) {
                let is_it = self.pool.bytes(&frame) == packet;
                self.pool.put(frame);
                if is_it {
                    return true;
                }
            }
        }
        false
    }
}

/// Frames with one tag and two, the longest that there are: their owner is found, and they arrive as they were sent.
pub(crate) fn tagged() {
    let bench = as_it_comes();
    bench.client.join("spare", &bench.server, "spare").unwrap();
    let _portlane = bench.start(FREE_CONTAINER);
    let [mut client, mut server] = [&bench.client, &bench.server].map(Raw::open);
    let id = |id| VlanId::try_new(id).unwrap();
    let (mut count, mut bytes) = (0, 0);
    for len in [10, 1_472, MTU as usize - 28] {
        for tags in 0..=1 {
            let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
            let tagged = if tags == 0 { ethernet.single_vlan(id(7)) } else { ethernet.double_vlan(id(7), id(8)) };
            // No interface takes two tags beyond its MTU.
            let payload = payload(len - 4 * tags);
            let mut frame = Vec::new();
            let packet = tagged.ipv4(CLIENT.octets(), SERVER.octets(), 64).udp(1_000, FREE);
            packet.write(&mut frame, &payload).unwrap();
            client.send(&frame);
            assert!(server.receives(&frame), "{len} bytes with {} tags", tags + 1);
            (count, bytes) = (count + 1, bytes + frame.len() as u64);
        }
    }
    let ingress = &bench.stats().containers[0].ingress;
    assert_eq!((ingress.sent_packets, ingress.sent_bytes), (count, bytes));
}

/// Which of the features are on.
fn on(bench: &Bench, interface: &str, features: &[&str]) -> Vec<String> {
    let active = || {
        let of = Features::of(interface).unwrap();
        of.active().unwrap().into_iter().filter(|name| features.contains(name)).map(str::to_owned).collect::<Vec<_>>()
    };
    bench.line.within(active).unwrap()
}

fn record(bench: &Bench) -> PathBuf {
    bench.socket().with_extension("offloads")
}

fn end(portlane: Portlane) -> String {
    portlane.signal(Signal::SIGTERM);
    let ended = portlane.ended();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.stderr
}

pub(crate) fn offloads() {
    let bench = Bench::new();
    let are = |expected: &[&str]| SIDES.iter().for_each(|side| assert_eq!(on(&bench, side, &TAGS), expected, "{side}"));
    are(&TAGS);
    let portlane = bench.start(FREE_CONTAINER);
    are(&[]);
    assert!(record(&bench).exists());
    let words = format!("container has {} off until the end\n", TAGS.join(", "));
    eventually(|| portlane.stdout().contains(&words), || portlane.stdout());
    assert_eq!(bench.stats().offloads["network"], TAGS);
    bench.ping();
    // It is put back under the name that the interface has then.
    bench.line.command("ip", &["link", "set", "network", "name", "world"]).unwrap();
    let said = end(portlane);
    assert!(!said.contains("cannot"), "{said}");
    assert_eq!(
        (on(&bench, "world", &TAGS), on(&bench, "container", &TAGS)),
        (TAGS.map(str::to_owned).to_vec(), TAGS.map(str::to_owned).to_vec())
    );
    assert!(!record(&bench).exists());
    bench.line.command("ip", &["link", "set", "world", "name", "network"]).unwrap();

    // What was off before is nobody's business.
    bench.line.command("ethtool", &["-K", "network", "rx-vlan-stag-hw-parse", "off"]).unwrap();
    assert_eq!(end(bench.start(FREE_CONTAINER)), "");
    assert_eq!(on(&bench, "network", &TAGS), [TAGS[0]]);
}

/// A run that is refused, or fails in the middle, leaves them as they were; so does one that is to keep them.
pub(crate) fn offloads_kept() {
    let bench = Bench::new();
    let first = bench.start(FREE_CONTAINER);
    let other = format!("[control]\nsocket = {:?}\n[http]\nlisten = \"127.0.0.1:9661\"\n", bench.path("other.sock"));
    let wire = "[wire]\nnetwork = \"network\"\ncontainer = \"container\"\n";
    let config = bench.write("other.toml", &[FREE_CONTAINER, wire, &other].concat());
    Portlane::launch(&bench.line, &[], &config).ended().assert_refused(&["already runs an XDP program"]);
    assert_eq!(on(&bench, "network", &TAGS), [""; 0], "the first run has switched them off");
    end(first);
    bench.line.command("ip", &["link", "set", "container", "down"]).unwrap();
    Portlane::launch(&bench.line, &[], &bench.config(FREE_CONTAINER)).ended().assert_refused(&["container is down"]);
    bench.line.command("ip", &["link", "set", "container", "up"]).unwrap();
    assert_eq!(on(&bench, "network", &TAGS), TAGS);

    let keeping = bench.start(&format!("offloads = \"keep\"\n{FREE_CONTAINER}"));
    assert_eq!(on(&bench, "network", &TAGS), TAGS);
    let said = end(keeping);
    assert!(said.contains("warning: interface network has rx-vlan-hw-parse, rx-vlan-stag-hw-parse on: "), "{said}");
    assert_eq!(on(&bench, "network", &TAGS), TAGS);
}

/// What a run that was killed has left off, the next one puts right.
pub(crate) fn offloads_after_a_kill() {
    let bench = Bench::new();
    let killed = bench.start(FREE_CONTAINER);
    killed.signal(Signal::SIGKILL);
    assert_eq!(killed.ended().code, None);
    assert_eq!(on(&bench, "network", &TAGS), [""; 0]);
    let said = end(bench.start(FREE_CONTAINER));
    assert!(said.contains("interface network has rx-vlan-hw-parse, rx-vlan-stag-hw-parse on again: "), "{said}");
    SIDES.iter().for_each(|side| assert_eq!(on(&bench, side, &TAGS), TAGS, "{side}"));
    assert!(!record(&bench).exists());
}

/// A bridge knows nothing of native XDP, so a program sees what GRO has made of packets.
pub(crate) fn offloads_in_generic_mode() {
    let bench = Bench::new();
    bench.line.command("ip", &["link", "add", "bridge", "type", "bridge"]).unwrap();
    bench.line.command("ip", &["link", "set", "network", "master", "bridge"]).unwrap();
    bench.line.command("ip", &["link", "set", "bridge", "up"]).unwrap();
    assert_eq!(on(&bench, "bridge", &[GRO]), [GRO]);
    let wire = "[wire]\nnetwork = \"bridge\"\ncontainer = \"container\"\n";
    let control = format!("[control]\nsocket = {:?}\n", bench.socket());
    let config = bench.write("bridge.toml", &[FREE_CONTAINER, wire, &control].concat());
    let portlane = Portlane::launch(&bench.line, &[], &config);
    portlane.wait_until_open();
    assert!(portlane.stdout().contains("bridge: generic"), "{}", portlane.stdout());
    assert_eq!(on(&bench, "bridge", &[GRO]), [""; 0]);
    assert_eq!(bench.stats().offloads["bridge"], [GRO]);
    end(portlane);
    assert_eq!(on(&bench, "bridge", &[GRO]), [GRO]);
}
