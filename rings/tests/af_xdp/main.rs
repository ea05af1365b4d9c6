//! AF_XDP and packet sockets on veth pairs in throw-away network namespaces. Needs root; reported as ignored otherwise.
#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod namespace;
mod packet;
mod wake_up;
mod wire;

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use portlane_rings::{Device, Io, Mode, OpenError, Options, open_wire, wait};

use namespace::Bench;
use wire::{SIDES, Wire};

/// Tells a child of this program to open a wire by this rung, say how that went, and hold it.
const CHILD: &str = "PORTLANE_TEST_HOLD_WIRE";

fn main() -> ExitCode {
    if let Ok(rung) = std::env::var(CHILD) {
        return hold_wire(if rung == "packet" { Io::Packet } else { Io::Auto });
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let root = nix::unistd::geteuid().is_root();
    let trial = |name: &str, test: fn()| {
        let run = move || -> Result<(), Failed> {
            test();
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(!root)
    };
    let trials = vec![
        trial("packets_cross_complete_and_intact", || packets_cross(Io::Auto, Mode::Copy)),
        trial("packets_cross_in_generic_mode", || packets_cross(Io::Generic, Mode::Generic)),
        trial("jumbo_packets_cross", || jumbo_packets_cross(Io::Copy, 3_800)),
        trial("jumbo_packets_of_several_buffers_cross", || jumbo_packets_cross(Io::Copy, 9_000)),
        trial("jumbo_packets_cross_in_generic_mode", || jumbo_packets_cross(Io::Generic, 3_800)),
        trial("jumbo_packets_of_several_buffers_cross_in_generic_mode", || jumbo_packets_cross(Io::Generic, 12_010)),
        trial("packets_cross_through_packet_sockets", || packets_cross(Io::Packet, Mode::Packet)),
        trial("jumbo_packets_cross_through_packet_sockets", || jumbo_packets_cross(Io::Packet, 9_000)),
        trial("a_rung_asked_for_by_name_is_that_rung_or_nothing", named_rungs),
        trial("the_best_rung_says_what_refused_a_better_one", refusals),
        trial("packet_sockets_serve_where_af_xdp_is_not_permitted", packet::without_bpf),
        trial("a_packet_socket_does_not_hear_itself", packet::own_frames),
        trial("what_another_packet_socket_serves_is_refused", packet::taken),
        trial("a_packet_socket_puts_tags_back", packet::tags),
        trial("what_is_longer_than_a_frame_is_counted", packet::too_long),
        trial("what_a_packet_socket_cannot_send_is_counted", packet::unsent),
        trial("a_packet_socket_that_is_not_read_counts_what_it_misses", packet::missed),
        trial("a_killed_process_leaves_nothing_behind", killed_process),
        trial("dropping_a_wire_restores_its_interfaces", || dropped_wire(Io::Auto)),
        trial("dropping_a_wire_restores_its_interfaces_by_packet_sockets", || dropped_wire(Io::Packet)),
        trial("interfaces_that_cannot_serve_are_refused", refused_interfaces),
        trial("an_owned_interface_is_refused", owned_interface),
        trial("a_failure_on_the_second_interface_undoes_the_first", undone),
        trial("a_small_locked_memory_limit_is_explained", locked_memory),
        trial("missing_privileges_are_explained", missing_privileges),
        trial("an_interface_that_vanishes_is_an_error", || vanished_interface(Io::Auto)),
        trial("an_interface_that_vanishes_is_an_error_by_packet_sockets", || vanished_interface(Io::Packet)),
        trial("an_interface_that_goes_down_goes_on_when_it_is_up", || downed_interface(Io::Auto)),
        trial("an_interface_that_goes_down_goes_on_when_it_is_up_by_packet_sockets", || downed_interface(Io::Packet)),
        trial("what_was_taken_is_served_after_taking_has_stopped", || stopped(Io::Auto)),
        trial("what_was_taken_is_served_after_taking_has_stopped_by_packet_sockets", || stopped(Io::Packet)),
        trial("waiting_ends_with_the_first_packet", || waiting(Io::Auto)),
        trial("waiting_ends_with_the_first_packet_by_packet_sockets", || waiting(Io::Packet)),
        trial("a_packet_wakes_as_fast_as_an_event", wake_up::by_packet),
        trial("an_exhausted_pool_drops_and_recovers", exhausted_pool),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn small() -> Options {
    small_by(Io::Auto)
}

fn small_by(io: Io) -> Options {
    Options { frames: 2_048, ring_size: 512, io, ..Options::default() }
}

/// A wire that could not be opened, in words.
fn refusal(bench: &Bench, options: &Options) -> String {
    match Wire::open(bench, options) {
        Ok(_) => panic!("opened"),
        Err(error) => error.to_string(),
    }
}

/// Bytes that a host's socket surely holds until they are read.
const SOCKET_BUFFER: u32 = 96 << 10;

/// The sockets of two hosts that send to each other.
fn talkers(bench: &Bench) -> [UdpSocket; 2] {
    let [near, far] = [(&bench.near, "10.77.0.1:7000"), (&bench.far, "10.77.0.2:7000")]
        .map(|(host, address)| host.run(|| UdpSocket::bind(address).unwrap()));
    near.connect("10.77.0.2:7000").unwrap();
    far.connect("10.77.0.1:7000").unwrap();
    near.set_nonblocking(true).unwrap();
    far.set_nonblocking(true).unwrap();
    [near, far]
}

/// Packet number `count`: of a length and content that no neighbour has.
fn packet(count: u32, longest: u32) -> Vec<u8> {
    let len = 4 + count.wrapping_mul(7_919) % (longest - 4);
    let pattern = (0..len).map(|at| (count ^ at.wrapping_mul(31)).to_le_bytes()[0]);
    count.to_le_bytes().into_iter().chain(pattern).take(len as usize).collect()
}

/// Greets each way until both have heard each other: who resolves an address keeps few packets meanwhile, and not for long.
fn greet(wire: &mut Wire, talkers: &[UdpSocket; 2]) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let (mut heard, mut greeted) = ([false; 2], None);
    while heard != [true; 2] {
        assert!(Instant::now() < deadline, "of two that greet each other, {heard:?} have heard it");
        if greeted.is_none_or(|at: Instant| at.elapsed() > Duration::from_millis(300)) {
            talkers.iter().for_each(|talker| assert!(talker.send(&[]).is_ok()));
            greeted = Some(Instant::now());
        }
        wire.turn().unwrap();
        for (talker, heard) in talkers.iter().zip(&mut heard) {
            *heard |= talker.recv(&mut []).is_ok();
        }
    }
}

/// Sends `count` packets each way, and checks that they arrive in order and as sent.
fn converse(wire: &mut Wire, talkers: &[UdpSocket; 2], count: u32, longest: u32) {
    greet(wire, talkers);
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut sent = 0;
    let mut arrived = [0, 0];
    let mut buffer = [0; 16_384];
    while arrived != [count, count] {
        assert!(Instant::now() < deadline, "sent {sent} of {count} each way, {arrived:?} arrived");
        while sent < count && sent < arrived[0].min(arrived[1]) + SOCKET_BUFFER / longest {
            talkers.iter().for_each(|talker| assert!(talker.send(&packet(sent, longest)).is_ok()));
            sent += 1;
        }
        wire.turn().unwrap();
        for (talker, arrived) in talkers.iter().zip(&mut arrived) {
            while let Ok(len) = talker.recv(&mut buffer) {
                if len == 0 {
                    // A greeting that came late.
                    continue;
                }
                assert!(buffer[..len] == packet(*arrived, longest), "packet {arrived} is not what was sent");
                *arrived += 1;
            }
        }
    }
}

fn packets_cross(io: Io, mode: Mode) {
    let bench = Bench::new();
    let mut wire = Wire::open(&bench, &Options { io, ..Options::default() }).unwrap();
    assert_eq!([&wire.ends[0], &wire.ends[1]].map(|end| end.mode()), [mode; 2]);
    assert!(bench.is_promiscuous());
    converse(&mut wire, &talkers(&bench), 10_000, 1_472);
    for end in &wire.ends {
        let counted = end.statistics().unwrap();
        let lost = counted.rx_dropped + counted.rx_invalid_descs + counted.tx_invalid_descs + counted.rx_ring_full;
        assert_eq!((lost, counted.strays), (0, 0), "{counted:?}");
        assert!(counted.kicks > 0);
        assert_eq!(end.held().filling, if io == Io::Packet { 64 } else { 2_048 }, "frames for packets to come");
    }
}

/// Up to the largest MTU that there is, and what is longer than that (by a VLAN tag that no MTU counts, say).
fn jumbo_packets_cross(io: Io, mtu: u32) {
    let bench = Bench::new();
    for side in SIDES {
        bench.line.shell(&format!("ip link set {side} mtu {mtu}"));
    }
    for host in [&bench.near, &bench.far] {
        host.shell(&format!("ip link set eth0 mtu {mtu}"));
    }
    let mut wire = Wire::open(&bench, &Options { io, ..small() }).unwrap();
    converse(&mut wire, &talkers(&bench), 1_000, mtu - 28);
    for end in &wire.ends {
        let counted = end.statistics().unwrap();
        let lost = counted.rx_dropped + counted.rx_invalid_descs + counted.tx_invalid_descs + counted.rx_ring_full;
        assert_eq!((lost, counted.strays), (0, 0), "{counted:?}");
        if io != Io::Packet {
            assert_eq!(end.held().filling, 512, "the fill ring is full at rest");
        }
    }
}

fn named_rungs() {
    let bench = Bench::new();
    let refused = refusal(&bench, &Options { io: Io::ZeroCopy, ..small() });
    let expected = "interface left cannot do zero-copy (Operation not supported (os error 95)): \
                    use `auto` to take the best that it can do";
    assert_eq!(refused, expected);
    assert!(!bench.has_programs());
    for (io, mode) in [(Io::Copy, Mode::Copy), (Io::Generic, Mode::Generic), (Io::Auto, Mode::Copy)] {
        let wire = Wire::open(&bench, &Options { io, ..small() }).unwrap();
        assert_eq!(wire.ends[1].mode(), mode);
    }
    // A bridge knows nothing of native XDP.
    bench.line.shell("ip link delete right && ip link add right type bridge && ip link set right up");
    let refused = refusal(&bench, &Options { io: Io::Copy, ..small() });
    assert!(refused.starts_with("interface right cannot do copy (Operation not supported"), "{refused}");
    let wire = Wire::open(&bench, &small()).unwrap();
    assert_eq!([wire.ends[0].mode(), wire.ends[1].mode()], [Mode::Copy, Mode::Generic]);
    assert_eq!(wire.ends.map(|end| end.mode().to_string()), ["copy", "generic"]);
}

fn refusals() {
    let bench = Bench::new();
    let of = |io| Wire::open(&bench, &small_by(io)).unwrap().ends.map(|end| end.refusal().map(str::to_owned));
    let not_zero_copy =
        "not zero-copy: cannot bind a socket to queue 0 of left: Operation not supported (os error 95)".to_owned();
    assert_eq!(of(Io::Auto), [Some(not_zero_copy.clone()), Some(not_zero_copy)]);
    for named in [Io::Copy, Io::Generic, Io::Packet] {
        assert_eq!(of(named), [None, None]);
    }
    bench.line.shell("ip link delete right && ip link add right type bridge && ip link set right up");
    let [veth, bridge] = of(Io::Auto).map(Option::unwrap);
    assert_eq!(veth, "not zero-copy: an interface beside it has no native XDP");
    assert_eq!(bridge, "not native: Operation not supported (os error 95)");
}

/// What a child does: opens a wire in the namespace that it was started in, and holds it until it is killed.
fn hold_wire(io: Io) -> ExitCode {
    match open_wire(SIDES, &small_by(io)) {
        Ok((_pool, ends)) => {
            println!("{}{}", ends[0].mode(), ends[1].refusal().map(|why| format!(" ({why})")).unwrap_or_default());
            loop {
                std::thread::park();
            }
        }
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Starts this program again as a child in the box between the hosts, behind `wrapper`, and returns its first line.
fn child(bench: &Bench, wrapper: &[&str]) -> (Child, String) {
    child_by("auto", bench, wrapper)
}

fn child_by(rung: &str, bench: &Bench, wrapper: &[&str]) -> (Child, String) {
    let itself = std::env::current_exe().unwrap();
    let mut words = wrapper.iter().copied().chain(itself.to_str());
    let mut child = bench.line.run(|| {
        let mut command = Command::new(words.next().unwrap());
        command.args(words).env(CHILD, rung).stdout(Stdio::piped());
        command.spawn().unwrap()
    });
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, line.trim_end().to_owned())
}

fn killed_process() {
    let bench = Bench::new();
    let (mut holder, line) = child(&bench, &[]);
    assert!(line.starts_with("copy (not zero-copy: "), "{line}");
    assert!(bench.has_programs() && bench.is_promiscuous());
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(!bench.has_programs() && !bench.is_promiscuous());
    let mut wire = Wire::open(&bench, &small()).unwrap();
    converse(&mut wire, &talkers(&bench), 10, 100);
}

fn dropped_wire(io: Io) {
    let bench = Bench::new();
    for pool_first in [true, false] {
        let (pool, ends) = bench.line.run(|| open_wire(SIDES, &small_by(io))).unwrap();
        assert!(bench.has_programs() == (io == Io::Auto) && bench.is_promiscuous());
        if pool_first {
            drop(pool);
            drop(ends);
            assert!(!bench.has_programs() && !bench.is_promiscuous());
        } else {
            drop(ends);
            assert!(!bench.has_programs() && !bench.is_promiscuous());
            assert!(pool.free() < pool.total(), "frames that the kernel held are lost");
        }
    }
}

fn refused_interfaces() {
    let bench = Bench::new();
    bench.line.shell("ip link set right mtu 12011");
    assert_eq!(
        refusal(&bench, &small()),
        "interface right has an MTU of 12011, and frames hold packets for an MTU of at most 12010: \
         `ip link set right mtu 12010`"
    );
    bench.line.shell("ip link set right mtu 1500 && ip link set right down");
    assert_eq!(refusal(&bench, &small()), "interface right is down: bring it up with `ip link set right up`");
    bench.line.shell("ip link delete right && ip tuntap add right mode tun && ip link set right up");
    assert_eq!(
        refusal(&bench, &small()),
        "interface right is not Ethernet (hardware type 65534): a wire needs Ethernet at both ends"
    );
    bench.line.shell("ip link delete right");
    assert_eq!(refusal(&bench, &small()), "there is no interface right in this network namespace: see `ip link`");
    bench.line.shell("ip link add right numrxqueues 2 numtxqueues 2 type veth peer name other && ip link set right up");
    bench.line.shell("ethtool -L right rx 2 tx 2");
    assert_eq!(
        refusal(&bench, &small()),
        "interface right receives on 2 queues, and only queue 0 is served: `ethtool -L right rx 1` leaves it one"
    );
    assert!(!bench.has_programs(), "nothing was touched");
}

fn owned_interface() {
    let bench = Bench::new();
    let _owner = Wire::open(&bench, &Options { io: Io::Generic, ..small() }).unwrap();
    for io in [Io::Auto, Io::Copy, Io::Generic] {
        let refused = Wire::open(&bench, &Options { io, ..small() }).err().unwrap();
        assert!(matches!(&refused, OpenError::AlreadyOwned { interface } if interface == "left"), "{refused}");
    }
}

/// The first interface is fine, the second one already has a program: an owned one in the middle of opening.
fn undone() {
    let bench = Bench::new();
    bench.line.shell("ip link add other type veth peer name peer && ip link set other up && ip link set peer up");
    let _owner = bench.line.run(|| open_wire(["right", "other"], &small())).unwrap();
    let refused = refusal(&bench, &small());
    assert!(refused.starts_with("interface right already runs an XDP program: `bpftool net` shows whose"), "{refused}");
    assert!(!bench.line.shell("ip -details link show left").contains("xdp"));
}

fn locked_memory() {
    let bench = Bench::new();
    let limited = ["prlimit", "--memlock=1048576", "setpriv", "--bounding-set=-ipc_lock"];
    let (mut refused, line) = child(&bench, &limited);
    assert!(!refused.wait().unwrap().success());
    let expected = "the frames need 4194304 bytes of locked memory, and this process may have 1048576 bytes: \
                    `ulimit -l unlimited` (in a systemd unit LimitMEMLOCK=infinity) raises the limit, CAP_IPC_LOCK \
                    lifts it, fewer frames need less";
    assert_eq!(line, expected);
    assert!(!bench.has_programs());
}

fn missing_privileges() {
    let bench = Bench::new();
    for lacking in ["-all", "-net_raw"] {
        let (mut refused, line) = child(&bench, &["setpriv", &format!("--bounding-set={lacking}")]);
        assert!(!refused.wait().unwrap().success());
        assert!(line.starts_with("no permission to "), "{line}");
        assert!(line.ends_with(": be root, or have CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF"), "{line}");
    }
    assert!(!bench.has_programs());
}

fn vanished_interface(io: Io) {
    let bench = Bench::new();
    let mut wire = Wire::open(&bench, &small_by(io)).unwrap();
    bench.line.shell("ip link delete right");
    assert_eq!(wire.first_error().to_string(), "interface right is gone: start again when it is back");
    drop(wire);
    assert!(!bench.has_programs());
}

fn downed_interface(io: Io) {
    let bench = Bench::new();
    let mut wire = Wire::open(&bench, &small_by(io)).unwrap();
    let talkers = talkers(&bench);
    converse(&mut wire, &talkers, 10, 100);
    bench.line.shell("ip link set right down");
    talkers[0].send(b"wait").unwrap();
    wire.turn_until(|wire| wire.ends[1].is_down());
    assert!(!wire.ends[0].is_down() && !wire.ends[1].has_unsent());
    bench.line.shell("ip link set right up");
    wire.turn_until(|wire| !wire.ends[1].is_down());
    assert_eq!(next_heard(&mut wire, &talkers[1]), b"wait");
    converse(&mut wire, &talkers, 10, 100);
}

/// The kernel has the interface's packets again; those taken before still pass.
fn stopped(io: Io) {
    let bench = Bench::new();
    let mut wire = Wire::open(&bench, &small_by(io)).unwrap();
    let talkers = talkers(&bench);
    converse(&mut wire, &talkers, 10, 100);
    talkers[0].send(b"taken").unwrap();
    assert!(wait(wire.ends.each_mut(), None, Duration::from_secs(10)).unwrap());
    wire.ends.iter_mut().for_each(|end| end.stop_taking().unwrap());
    assert!(!bench.has_programs());
    talkers[0].send(b"not taken").unwrap();
    assert_eq!(next_heard(&mut wire, &talkers[1]), b"taken");
    (0..100).for_each(|_| wire.turn().unwrap());
    assert!(talkers[1].recv(&mut [0; 64]).is_err());
}

/// What a host hears next.
fn next_heard(wire: &mut Wire, host: &UdpSocket) -> Vec<u8> {
    let mut heard = vec![0; 64];
    let mut len = None;
    wire.turn_until(|_| {
        len = host.recv(&mut heard).ok();
        len.is_some()
    });
    heard.truncate(len.unwrap());
    heard
}

/// A wire on which nothing comes but what is sent by name: hosts' own chatter would end a wait too.
fn quiet_wire(bench: &Bench, io: Io) -> Wire {
    for host in [&bench.near, &bench.far] {
        host.shell("ip link set eth0 arp off");
    }
    let mut wire = Wire::open(bench, &small_by(io)).unwrap();
    // What they had said before may still be on its way.
    for _ in 0..50 {
        if !wait(wire.ends.each_mut(), None, Duration::from_millis(20)).unwrap() {
            return wire;
        }
        wire.turn().unwrap();
    }
    panic!("hosts do not fall silent");
}

fn waiting(io: Io) {
    let bench = Bench::new();
    let mut wire = quiet_wire(&bench, io);
    let talkers = talkers(&bench);
    talkers[1].send(b"wake up").unwrap();
    let start = Instant::now();
    assert!(wait(wire.ends.each_mut(), None, Duration::from_secs(10)).unwrap());
    assert!(start.elapsed() < Duration::from_secs(5));
    wire.turn().unwrap();
}

/// While the program holds all free frames the fill ring runs dry; packets are dropped, counted, and flow again after.
fn exhausted_pool() {
    let bench = Bench::new();
    let mut wire = Wire::open(&bench, &small()).unwrap();
    let talkers = talkers(&bench);
    converse(&mut wire, &talkers, 10, 100);
    let mut hoard: Vec<_> = std::iter::from_fn(|| wire.pool.take()).collect();
    for _ in 0..4 {
        (0..200).for_each(|_| assert!(talkers[0].send(b"flood").is_ok()));
        let [near, _] = &mut wire.ends;
        near.receive(&mut wire.pool, &mut hoard, 4_096).unwrap();
        near.reclaim(&mut wire.pool).unwrap();
    }
    assert_eq!((wire.ends[0].held().filling, wire.pool.free()), (0, 0));
    let counted = wire.ends[0].statistics().unwrap();
    assert!(counted.rx_fill_ring_empty_descs >= 200, "{counted:?}");
    hoard.into_iter().for_each(|frame| wire.pool.put(frame));
    wire.turn().unwrap();
    converse(&mut wire, &talkers, 10, 100);
}
