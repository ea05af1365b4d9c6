//! Round trip: a question and its answer through a lane that is otherwise idle, while another lane keeps portlane busy.
//!
//! Client, server and load are ordinary programs of their own network namespaces, on whichever core the kernel likes.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::command::{Running, line, run};
use crate::live::forwarder::{FIRST_PORT, Forwarder, PORTS_EACH, Wire};
use crate::live::{self, BRIDGE, FORWARD, PORTLANE, TESTPMD};
use crate::peer::{Peer, Sample, alternate};
use crate::report::{Chapter, Comparison, Wanted};
use crate::{Failure, Programs};

const ROUNDS: usize = 7;
const SECONDS: &str = "2";

const WIRE: Wire = Wire { network: "trip0", container: "trip1" };
const CLIENT: &str = "10.77.0.2/24";
const SERVER: &str = "10.77.0.1";

/// A packet of 64 bytes.
const PAYLOAD: [u8; 22] = [0xff; 22];

/// Between two packets of the load. A worker that has nothing to do for 200 us goes to sleep.
const LOAD_EVERY: Duration = Duration::from_micros(50);

/// How long an answer may take, and the first one: until the forwarder forwards.
const PATIENCE: Duration = Duration::from_millis(200);
const START: Duration = Duration::from_secs(20);

/// Trips that are not counted.
const WARM_UP: usize = 200;

pub(crate) fn chapter(programs: &Programs, scratch: &Path) -> Result<Chapter, Failure> {
    end("client", WIRE.network, CLIENT)?;
    end("server", WIRE.container, &format!("{SERVER}/24"))?;
    let mut peers: Vec<Box<dyn Peer + '_>> = Vec::new();
    for forwarder in [PORTLANE, BRIDGE, FORWARD, TESTPMD] {
        peers.push(Box::new(Trip { programs, scratch, forwarder }));
    }
    let compare =
        |mine: Forwarder, peer: Forwarder, wanted| Comparison { mine: mine.name(), peer: peer.name(), wanted };
    Ok(Chapter {
        title: "Round trip of a UDP datagram of 64 bytes, over veth".to_owned(),
        about: ABOUT,
        measured: alternate(ROUNDS, &mut peers)?,
        comparisons: vec![
            compare(PORTLANE, BRIDGE, Some(Wanted::TimesAsLong(1.1))),
            compare(FORWARD, BRIDGE, None),
            compare(PORTLANE, TESTPMD, None),
        ],
        limits: Vec::new(),
        findings: Vec::new(),
    })
}

const ABOUT: &str = "The median of all trips of a round, each asked after the one before was answered, through a lane \
without other traffic; another lane has some 10,000 packets a second, so that portlane does not sleep. Client, server and \
load are not pinned; portlane's worker is, to core 1, and so are testpmd's and the floor's, a loop that passes on what it \
receives and never sleeps.";

/// An end host in a namespace of its own, with frames as they would be on a cable.
fn end(namespace: &str, here: &str, address: &str) -> Result<(), Failure> {
    line(&format!("ip netns add {namespace}"))?;
    live::link("eth0", here)?;
    line(&format!("ip link set eth0 netns {namespace}"))?;
    for command in [
        "ip link set lo up".to_owned(),
        "ip link set eth0 up".to_owned(),
        format!("ip address add {address} dev eth0"),
        "ethtool -K eth0 tx off tso off gso off gro off".to_owned(),
    ] {
        line(&format!("ip netns exec {namespace} {command}"))?;
    }
    Ok(())
}

/// Trips through a forwarder.
struct Trip<'a> {
    programs: &'a Programs,
    scratch: &'a Path,
    forwarder: Forwarder,
}

impl Peer for Trip<'_> {
    fn name(&self) -> String {
        self.forwarder.name()
    }

    fn measure(&mut self) -> Result<Sample, Failure> {
        let started = self.forwarder.start(self.programs, self.scratch, WIRE)?;
        let itself = std::env::current_exe()?;
        let itself = itself.to_str().ok_or("a path that is not text")?;
        let role = |name: &str, namespace: &str, role: &[&str]| {
            let arguments = [&["netns", "exec", namespace, itself][..], role].concat();
            Running::start("ip", &arguments, &self.scratch.join(format!("{name}.log")))
        };
        let [asked, loaded] = [FIRST_PORT, FIRST_PORT + PORTS_EACH].map(|port| format!("{SERVER}:{port}"));
        let _server = role("echo", "server", &["echo", &asked])?;
        let _sink = role("sink", "server", &["sink", &loaded])?;
        let _load = role("load", "client", &["load", &loaded])?;
        let asked = run("ip", &["netns", "exec", "client", itself, "ask", &asked, SECONDS]);
        started.note()?;
        let said = asked?;
        let (median, note) = said.split_once(' ').ok_or("no figure")?;
        Ok(Sample { ns: median.parse()?, note: note.trim().to_owned() })
    }
}

/// Answers every datagram with itself.
pub(crate) fn echo(address: &str) -> Result<(), Failure> {
    let socket = UdpSocket::bind(address)?;
    let mut datagram = PAYLOAD;
    loop {
        let (bytes, from) = socket.recv_from(&mut datagram)?;
        socket.send_to(&datagram[..bytes], from)?;
    }
}

/// Has the kernel drop what arrives: nobody reads it.
pub(crate) fn sink(address: &str) -> Result<(), Failure> {
    let _socket = UdpSocket::bind(address)?;
    loop {
        thread::park();
    }
}

/// Sends a datagram every now and then.
pub(crate) fn load(address: &str) -> Result<(), Failure> {
    let socket = connected(address)?;
    loop {
        // Nobody listens yet, or portlane has not begun: the next one may arrive.
        let _ = socket.send(&PAYLOAD);
        thread::sleep(LOAD_EVERY);
    }
}

/// Asks again and again; prints the median trip in nanoseconds, and what else there is to tell.
pub(crate) fn ask(address: &str, seconds: &str) -> Result<(), Failure> {
    let socket = connected(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let begun = Instant::now();
    let mut numbers = 0_u64..;
    let mut trip = || trip(&socket, numbers.next()?);
    while trip().is_none() {
        if begun.elapsed() > START {
            return Err("no answer".into());
        }
    }
    for _ in 0..WARM_UP {
        trip();
    }
    let end = Instant::now() + Duration::from_secs(seconds.parse()?);
    let (mut trips, mut lost) = (Vec::new(), 0);
    while Instant::now() < end {
        match trip() {
            Some(duration) => trips.push(duration),
            None => lost += 1,
        }
    }
    trips.sort_unstable();
    let at = |percent: usize| trips.get(trips.len() * percent / 100).ok_or("no more answers");
    println!("{} {} trips, 99 % within {:.1?}, {lost} lost", at(50)?.as_nanos(), trips.len(), at(99)?);
    Ok(())
}

/// How long until the answer to this question came, if it did.
fn trip(socket: &UdpSocket, number: u64) -> Option<Duration> {
    let (mut question, mut answer) = (PAYLOAD, PAYLOAD);
    question[..8].copy_from_slice(&number.to_be_bytes());
    let asked = Instant::now();
    socket.send(&question).ok()?;
    // Those before it may come too late.
    while answer != question {
        socket.recv(&mut answer).ok()?;
    }
    Some(asked.elapsed())
}

fn connected(address: &str) -> Result<UdpSocket, Failure> {
    let socket = UdpSocket::bind(SocketAddr::from(([0; 4], 0)))?;
    socket.connect(address)?;
    Ok(socket)
}
