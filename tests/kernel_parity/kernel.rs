//! A scenario in the kernel: two namespaces, a veth pair between them, and tc on the one that sends.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::socket::{setsockopt, sockopt};
use portlane::netns::Namespace;
use serde_json::Value;

use crate::load::Planned;
use crate::shaping::{DEVICE, Shaping};
use crate::sink::Sink;
use crate::virtual_time::{HEADERS, PEER, Packet, Tag};

const SENDER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const RECEIVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

/// Room for all packets of a scenario in a socket.
const BUFFER: usize = 64 << 20;

/// How long queues may take to empty after the last packet.
const PATIENCE: Duration = Duration::from_secs(20);

/// What was seen of a scenario.
pub(crate) struct Observed {
    pub(crate) arrivals: Vec<Packet>,
    pub(crate) departures: Vec<Packet>,
    /// By leaf.
    pub(crate) counts: Vec<Counts>,
    /// How much later than planned a packet was sent, at most: how busy the machine was with other things.
    pub(crate) latest: Duration,
}

/// What the kernel counted of a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) drops: u64,
    /// Of an HTB class: packets sent within its own rate, and on that of a class above.
    pub(crate) lended: Option<[u64; 2]>,
}

/// Two joined namespaces.
pub(crate) struct Bench {
    sender: Namespace,
    receiver: Namespace,
    shaping: Shaping,
}

impl Bench {
    /// A bench that shapes.
    pub(crate) fn new(shaping: &Shaping) -> Self {
        let [sender, receiver] = [(); 2].map(|()| quiet_namespace());
        sender.join(DEVICE, &receiver, DEVICE).unwrap();
        let (near, far) = ((&sender, SENDER, "02:00:00:00:00:01"), (&receiver, RECEIVER, "02:00:00:00:00:02"));
        for ((namespace, own, own_mac), (_, other, other_mac)) in [(near, far), (far, near)] {
            let ip = |command: &str| namespace.command("ip", &words(command)).unwrap();
            ip(&format!("link set {DEVICE} address {own_mac}"));
            ip(&format!("address add {own}/24 dev {DEVICE}"));
            // Nothing but the scenario's packets is sent: no questions for addresses either.
            ip(&format!("neighbour replace {other} lladdr {other_mac} dev {DEVICE} nud permanent"));
        }
        let bench = Self { sender, receiver, shaping: shaping.clone() };
        shaping.commands().iter().for_each(|command| bench.tc(command));
        bench
    }

    /// Gives a command to tc.
    pub(crate) fn tc(&self, command: &str) {
        self.sender.command("tc", &words(command)).unwrap();
    }

    /// Sends what is planned, and waits until all of it has left or was dropped. Meanwhile, does `aside`, which is told
    /// when sending begins.
    pub(crate) fn run<T: Send>(&self, planned: &[Planned], aside: impl FnOnce(Instant) -> T + Send) -> (Observed, T) {
        let sockets: Vec<_> = self.shaping.leaves().into_iter().map(|leaf| self.socket(leaf)).collect();
        let sink = Sink::open(&self.receiver, (RECEIVER, PEER), BUFFER);
        let all_left = AtomicBool::new(false);
        thread::scope(|scope| {
            let receiving = scope.spawn(|| sink.receive(&all_left));
            let begin = Instant::now() + Duration::from_millis(20);
            let aside = scope.spawn(move || aside(begin));
            let (arrivals, latest) = send(&sockets, planned, begin);
            self.wait_until_empty();
            all_left.store(true, Ordering::Release);
            let departures = receiving.join().unwrap();
            let counts = self.shaping.leaves().into_iter().map(|leaf| self.counts(leaf)).collect();
            (Observed { arrivals, departures, counts, latest }, aside.join().unwrap())
        })
    }

    /// A socket whose packets go to this leaf.
    fn socket(&self, leaf: &str) -> UdpSocket {
        let open = || -> io::Result<UdpSocket> {
            let socket = UdpSocket::bind((SENDER, self.shaping.port(leaf)))?;
            socket.connect((RECEIVER, PEER))?;
            setsockopt(&socket, sockopt::SndBufForce, &BUFFER)?;
            setsockopt(&socket, sockopt::Priority, &self.shaping.socket_priority(leaf))?;
            Ok(socket)
        };
        self.sender.within(open).unwrap().unwrap()
    }

    /// All qdiscs, as tc's JSON has them.
    fn qdiscs(&self) -> Vec<Value> {
        let said = self.sender.command("tc", &words(&format!("-s -j qdisc show dev {DEVICE}"))).unwrap();
        serde_json::from_str(&said).unwrap()
    }

    fn wait_until_empty(&self) {
        let began = Instant::now();
        while self.qdiscs().iter().any(|qdisc| qdisc["qlen"] != 0) {
            assert!(began.elapsed() < PATIENCE, "queues do not empty: {:?}", self.qdiscs());
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn counts(&self, leaf: &str) -> Counts {
        let handle = self.shaping.handle(leaf);
        let qdiscs = self.qdiscs();
        let is_leaf = |qdisc: &&Value| match self.shaping {
            Shaping::Htb(_) => qdisc["parent"] == handle.as_str(),
            Shaping::Tbf(_) => qdisc["root"] == true,
        };
        let qdisc = qdiscs.iter().find(is_leaf).unwrap();
        let count = |key: &str| qdisc[key].as_u64().unwrap();
        let lended = matches!(self.shaping, Shaping::Htb(_)).then(|| self.lended(&handle));
        Counts { sent: count("packets"), drops: count("drops"), lended }
    }

    /// What a class has lent itself and borrowed. tc prints classes as text only.
    fn lended(&self, handle: &str) -> [u64; 2] {
        let said = self.sender.command("tc", &words(&format!("-s class show dev {DEVICE} classid {handle}"))).unwrap();
        let said = words(&said);
        ["lended:", "borrowed:"].map(|name| {
            let place = said.iter().position(|word| *word == name).unwrap();
            said[place + 1].parse().unwrap()
        })
    }
}

/// Sends each packet as soon as its time has come, and says when that was, and how late at most.
fn send(sockets: &[UdpSocket], planned: &[Planned], begin: Instant) -> (Vec<Packet>, Duration) {
    let mut numbers = vec![0..; sockets.len()];
    let mut latest = Duration::ZERO;
    let mut payload = [0; 1_500];
    let mut arrivals = Vec::with_capacity(planned.len());
    for packet in planned {
        let due = begin + packet.after;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        latest = latest.max(due.elapsed());
        let (socket, number) = (&sockets[packet.leaf], numbers[packet.leaf].next().unwrap());
        let tag = Tag { flow: u8::try_from(packet.leaf).unwrap(), number };
        payload[..Tag::LEN].copy_from_slice(&tag.to_bytes());
        let port = socket.local_addr().unwrap().port();
        arrivals.push(Packet { time_ns: now_ns(), len: packet.len, port, ecn: 0, tag });
        socket.send(&payload[..packet.len as usize - HEADERS]).unwrap();
    }
    (arrivals, latest)
}

/// The clock of the kernel's timestamps: nanoseconds since 1970.
pub(crate) fn now_ns() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

/// A namespace in which the kernel sends nothing of its own accord.
fn quiet_namespace() -> Namespace {
    let namespace = Namespace::new().unwrap();
    match namespace.set("ipv6/conf/default/disable_ipv6", "1") {
        // A kernel without IPv6 is as quiet.
        Err(error) if error.kind() != ErrorKind::NotFound => panic!("{error}"),
        _ => namespace,
    }
}
