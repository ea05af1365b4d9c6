//! What it costs the packets of a few attached containers that there are many others: rates of two hosts, in turns.
//!
//! `make attached` measures, `make test` only tries that everything is there to do so.

use std::fmt::Write as _;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use etherparse::PacketBuilder;
use nix::sys::signal::Signal;
use portlane::netns::Namespace;

use crate::bench::{CLIENT, NOBODYS, SERVER, hardware, quiet_namespace};
use crate::busy::assert_in_time;
use crate::host::{Host, link};
use crate::offer::Offer;
use crate::portlane::{Portlane, eventually};
use crate::traffic::Echo;

/// Containers with traffic.
const ACTIVE: usize = 10;

/// Ports of a container.
const FIRST: u16 = 5_000;
const EACH: u16 = 20;

/// What packets a second are at least, of those where nobody else is attached.
const LEAST: f64 = 0.8;

fn is_long() -> bool {
    std::env::var_os("PORTLANE_ATTACHED").is_some_and(|wanted| wanted == "long")
}

/// Containers that are attached, pairs of measurements, and how long each takes.
fn extent() -> (usize, usize, Duration) {
    if is_long() { (1_000, 11, Duration::from_secs(1)) } else { (40, 1, Duration::from_millis(200)) }
}

/// A host with containers, all of which are attached.
struct Crowd {
    host: Host,
    containers: Vec<Namespace>,
    portlane: Portlane,
}

/// Which way packets go.
#[derive(Debug, Clone, Copy)]
enum Way {
    In,
    Out,
}

impl Crowd {
    fn new(size: usize) -> Self {
        let host = Host::new();
        let containers: Vec<_> = (0..size).map(|_| quiet_namespace()).collect();
        let mut config = String::new();
        for (number, namespace) in containers.iter().enumerate() {
            let (first, path) = (port(number), link(&host, &format!("c{number}"), namespace));
            let last = first + EACH - 1;
            let _ =
                writeln!(config, "[[container]]\nid = \"c{number}\"\nports = [\"{first}-{last}\"]\nnetns = {path:?}");
        }
        let begun = Instant::now();
        let portlane = Portlane::launch(&host.host, &[], &host.config(&config));
        portlane.wait_until_open_for(Duration::from_secs(300));
        println!("{size} containers are attached within {:?}", begun.elapsed());
        Self { host, containers, portlane }
    }

    /// Packets a second that arrive, with the active containers' frames in turns and as many as one core makes.
    fn rate(&self, way: Way, time: Duration) -> f64 {
        let offers = self.offer(way);
        let begun = self.arrived(way);
        eventually(|| self.arrived(way) > begun + 10_000, || format!("nothing arrives: {}", self.portlane.stderr()));
        let (started, before) = (Instant::now(), self.arrived(way));
        std::thread::sleep(time);
        let (packets, elapsed) = (self.arrived(way) - before, started.elapsed());
        assert!(offers.into_iter().all(|offer| offer.stop() > 0));
        f64::from(u32::try_from(packets).unwrap()) / elapsed.as_secs_f64()
    }

    fn offer(&self, way: Way) -> Vec<Offer> {
        let [host, client] = [&self.host.host, &self.host.client].map(|namespace| hardware(namespace, "eth0"));
        let frame = |number: usize| match way {
            Way::In => frame([client, host], [CLIENT.octets(), SERVER.octets()], [NOBODYS, port(number)]),
            Way::Out => frame([host, client], [SERVER.octets(), CLIENT.octets()], [port(number), NOBODYS]),
        };
        match way {
            Way::In => vec![Offer::start(&self.host.client, "eth0", &(0..ACTIVE).map(frame).collect::<Vec<_>>())],
            Way::Out => {
                let offer = |number: usize| Offer::start(&self.containers[number], "eth0", &[frame(number)]);
                (0..ACTIVE).map(offer).collect()
            }
        }
    }

    /// Packets that have reached the far ends.
    fn arrived(&self, way: Way) -> u64 {
        let of = |namespace: &Namespace| namespace.counters("eth0").unwrap().rx_packets;
        match way {
            Way::In => self.containers[..ACTIVE].iter().map(of).sum(),
            Way::Out => of(&self.host.client),
        }
    }
}

/// Each with its ports.
fn configured(host: &Host, containers: &[Namespace]) -> String {
    let mut config = String::new();
    for (number, namespace) in containers.iter().enumerate() {
        let (first, path) = (port(number), link(host, &format!("c{number}"), namespace));
        let last = first + EACH - 1;
        let _ = writeln!(config, "[[container]]\nid = \"c{number}\"\nports = [\"{first}-{last}\"]\nnetns = {path:?}");
    }
    config
}

fn port(number: usize) -> u16 {
    FIRST + EACH * u16::try_from(number).unwrap()
}

fn frame([from, to]: [[u8; 6]; 2], [source, destination]: [[u8; 4]; 2], [sender, receiver]: [u16; 2]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(from, to).ipv4(source, destination, 64).udp(sender, receiver);
    let mut frame = Vec::new();
    builder.write(&mut frame, &[7; 18]).unwrap();
    frame
}

pub(crate) fn many_beside_few() {
    let (many, count, time) = extent();
    let [few, crowd] = [ACTIVE, many].map(Crowd::new);
    for way in [Way::In, Way::Out] {
        let pair = |pair: usize| {
            let first = pair.is_multiple_of(2).then(|| few.rate(way, time));
            let then = crowd.rate(way, time);
            let alone = first.unwrap_or_else(|| few.rate(way, time));
            (then / alone, alone)
        };
        let mut pairs: Vec<_> = (0..count).map(pair).collect();
        pairs.sort_by(|one, other| one.0.total_cmp(&other.0));
        let (median, alone) = pairs[count / 2];
        // Of 11 values the third and the ninth enclose the median with a probability of 93 % (the sign test).
        let [low, high] = [count / 5, count - 1 - count / 5].map(|place| pairs[place].0);
        println!(
            "{way:?}: with {many} attached and {ACTIVE} active {median:.3} of the packets a second with {ACTIVE} attached \
             (median of {count}, {low:.3} to {high:.3}; {alone:.0} a second)"
        );
        assert!(!is_long() || median >= LEAST, "{pairs:?}");
    }
}

/// A reload that attaches many, and one that detaches them: the service manager hears all the while that all goes on.
pub(crate) fn many_at_once() {
    const MANY: usize = 200;
    let host = Host::new();
    let path = host.path("notify.sock");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let hear = || {
        let mut buffer = [0; 512];
        let len = manager.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    };
    let containers: Vec<_> = (0..MANY).map(|_| quiet_namespace()).collect();
    let config = |count: usize| host.config(&configured(&host, &containers[..count]));
    let socket = format!("NOTIFY_SOCKET={}", path.display());
    let before = host.state();
    let portlane = Portlane::launch(&host.host, &["env", &socket, "WATCHDOG_USEC=30000"], &config(1));
    while hear() != "READY=1\n" {}
    for count in [MANY, 1] {
        config(count);
        portlane.signal(Signal::SIGHUP);
        while !hear().starts_with("RELOADING=1\n") {}
        let mut fed = 0;
        // It takes the kernel more than ten times as long as the watchdog's third.
        while hear() == "WATCHDOG=1\n" {
            fed += 1;
        }
        println!("{count} containers: the watchdog was fed {fed} times");
        assert_in_time(count == 1 || fed >= 3, || format!("it was fed {fed} times"));
        Echo::between(&host.client, &containers[count - 1], (SERVER, port(count - 1))).ask(b"are you there?");
    }
    portlane.signal(Signal::SIGTERM);
    assert_eq!(portlane.ended().code, Some(0));
    assert_eq!(host.state(), before, "none is left");
}
