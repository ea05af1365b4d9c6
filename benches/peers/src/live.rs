//! Live: 64-byte packets for many containers over veth, through portlane, DPDK's testpmd and the kernel's own bridge.
//!
//! ```text
//! sender -- s1 | forwarder | r1 -- receiver
//! ```
//!
//! The sender (`offer.c`) has core 0, and the kernel's work on what arrives runs there too; portlane and testpmd have
//! core 1. A bridge does all its work where the packet arrives, on core 0, unless it is told to do it on core 1. The sender
//! offers more than anybody takes; counted is what the receiver's interface counts. It has no use for the packets, and
//! drops them.

mod bridge;
pub(crate) mod forwarder;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::command::{Running, line};
use crate::peer::{Peer, Sample, alternate};
use crate::report::{Chapter, Comparison, Wanted};
use crate::{Failure, Programs};
use bridge::{Bridge, Core, Filters};
use forwarder::{FIRST_PORT, Floor, Forwarder, PORTS_EACH, Polling, Wire};

const ROUNDS: usize = 5;

const SENDER: &str = "sender";
const RECEIVER: &str = "receiver";
const WIRE: Wire = Wire { network: "s1", container: "r1" };

/// How long packets are offered at most: a start, and a round.
const OFFERED_SECONDS: &str = "15";

/// How long a forwarder may take until it forwards.
const PATIENCE: Duration = Duration::from_secs(10);

/// From the first packet until counting begins, and how long it goes on.
const SETTLE: Duration = Duration::from_millis(300);
const COUNTED: Duration = Duration::from_millis(1_500);

pub(crate) const PORTLANE: Forwarder = Forwarder::Portlane { containers: 128 };
const PORTLANE_1024: Forwarder = Forwarder::Portlane { containers: 1_024 };
pub(crate) const TESTPMD: Forwarder = Forwarder::Testpmd(Polling::Sender);
const TESTPMD_BUSY: Forwarder = Forwarder::Testpmd(Polling::Busy);
const FLOOD: Forwarder = Forwarder::Floor(Floor::Flood);
pub(crate) const FORWARD: Forwarder = Forwarder::Floor(Floor::Forward);
pub(crate) const BRIDGE: Forwarder = Forwarder::Bridge(Bridge::plain(Core::Arrival));
const BRIDGE_ON_CORE_1: Forwarder = Forwarder::Bridge(Bridge::plain(Core::Other));
const HTB_16: Forwarder = Forwarder::Bridge(Bridge::htb(16, Filters::List));
const HTB_128: Forwarder = Forwarder::Bridge(Bridge::htb(128, Filters::List));
const HTB_1024: Forwarder = Forwarder::Bridge(Bridge::htb(1_024, Filters::List));
const HTB_1024_HASHED: Forwarder = Forwarder::Bridge(Bridge::htb(1_024, Filters::Hashed));

pub(crate) fn chapter(programs: &Programs, scratch: &Path) -> Result<Chapter, Failure> {
    link(SENDER, WIRE.network)?;
    link(RECEIVER, WIRE.container)?;
    // With NAPI, a veth takes frames that are no sk_buff yet also where no XDP program is.
    line(&format!("ethtool -K {} gro on", WIRE.network))?;
    let kernel = [BRIDGE, BRIDGE_ON_CORE_1, HTB_16, HTB_128, HTB_1024, HTB_1024_HASHED];
    let mut peers: Vec<Box<dyn Peer + '_>> = Vec::new();
    let af_xdp = [PORTLANE, TESTPMD, FLOOD, FORWARD, TESTPMD_BUSY, PORTLANE_1024];
    for forwarder in af_xdp.into_iter().chain(kernel) {
        peers.push(Box::new(Live { programs, scratch, forwarder }));
    }
    let measured = alternate(ROUNDS, &mut peers)?;
    let compare = |mine: Forwarder, peer: Forwarder, times: Option<f64>| Comparison {
        mine: mine.name(),
        peer: peer.name(),
        wanted: times.map(Wanted::TimesAsFast),
    };
    Ok(Chapter {
        title: "Live on veth, 60-byte frames (64 on a cable)".to_owned(),
        about: ABOUT,
        measured,
        comparisons: vec![
            compare(PORTLANE, TESTPMD, Some(1.15)),
            compare(PORTLANE, TESTPMD_BUSY, Some(1.15)),
            compare(FLOOD, TESTPMD, None),
            compare(FORWARD, TESTPMD, None),
            compare(PORTLANE, HTB_16, None),
            compare(PORTLANE, HTB_128, Some(1.5)),
            compare(PORTLANE_1024, HTB_1024, Some(3.0)),
            compare(PORTLANE_1024, HTB_1024_HASHED, None),
            compare(PORTLANE, BRIDGE, None),
        ],
        limits: Vec::new(),
        findings: Vec::new(),
    })
}

const ABOUT: &str = "Packets for all containers in turn, made in the kernel (BPF_PROG_TEST_RUN) on core 0, which also does \
the kernel's part of receiving; who uses AF_XDP is on core 1, testpmd in copy mode too. A bridge runs where the packet arrives, \
or on core 1 where that is said (RPS). The floors are loops without a look at the packets, on rings like portlane's: the \
first only sends, the same 64 frames again and again, which is half of a forwarder's work; where it is less than asked for, no \
program over AF_XDP can reach that on this kernel. Counted by the receiver's interface. Every container may send 100 mbit: nobody \
reaches that. portlane keeps FQ-CoDel queues, counters and histograms for each; testpmd forwards without looking.";

/// A forwarder between the two links.
struct Live<'a> {
    programs: &'a Programs,
    scratch: &'a Path,
    forwarder: Forwarder,
}

impl Peer for Live<'_> {
    fn name(&self) -> String {
        self.forwarder.name()
    }

    fn measure(&mut self) -> Result<Sample, Failure> {
        let mut started = self.forwarder.start(self.programs, self.scratch, WIRE)?;
        let sender = self.forwarder.receives().then(|| self.offer()).transpose()?;
        let measured = count_once_it_forwards(|| started.still_running());
        drop(sender);
        let note = started.note()?;
        let Rates { offered, forwarded } = measured?;
        Ok(Sample { ns: 1e9 / forwarded, note: format!("{:.0} thousand a second offered{note}", offered / 1e3) })
    }
}

impl Live<'_> {
    fn offer(&self) -> Result<Running, Failure> {
        let built = &self.programs.built;
        let (offer, in_kernel) = (built.join("offer"), built.join("offer.bpf.o"));
        let [offer, in_kernel] = [&offer, &in_kernel].map(|path| path.to_string_lossy());
        let numbers = [self.forwarder.containers(), FIRST_PORT, PORTS_EACH].map(|number| number.to_string());
        let [containers, first, each] = &numbers;
        let arguments = ["-c", "0", &offer, &in_kernel, SENDER, OFFERED_SECONDS, containers, first, each];
        Running::start("taskset", &arguments, &self.scratch.join("offer.log"))
    }
}

/// Packets a second.
struct Rates {
    offered: f64,
    forwarded: f64,
}

/// Waits until packets come through, and then counts them for a while.
fn count_once_it_forwards(mut check: impl FnMut() -> Result<(), Failure>) -> Result<Rates, Failure> {
    let (before, begun) = (received(RECEIVER)?, Instant::now());
    while received(RECEIVER)? == before {
        check()?;
        if begun.elapsed() > PATIENCE {
            return Err("nothing came through".into());
        }
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(SETTLE);
    let counters = || Ok::<_, Failure>([received(WIRE.network)?, received(RECEIVER)?]);
    let (before, begun) = (counters()?, Instant::now());
    thread::sleep(COUNTED);
    let (after, elapsed) = (counters()?, begun.elapsed());
    #[expect(clippy::cast_precision_loss, reason = "a few seconds' packets are far below 2^52")]
    let rate = |interface: usize| (after[interface] - before[interface]) as f64 / elapsed.as_secs_f64();
    Ok(Rates { offered: rate(0), forwarded: rate(1) })
}

/// Packets that an interface has received, those included that nobody wanted.
fn received(interface: &str) -> Result<u64, Failure> {
    let table = std::fs::read_to_string("/proc/net/dev")?;
    let line = table.lines().find_map(|line| line.trim_start().strip_prefix(interface)?.strip_prefix(':'));
    let packets = line.and_then(|line| line.split_ascii_whitespace().nth(1)).ok_or("no such interface")?;
    Ok(packets.parse()?)
}

/// A veth pair, both ends up.
pub(crate) fn link(outer: &str, inner: &str) -> Result<(), Failure> {
    line(&format!("ip link add {outer} type veth peer name {inner}"))?;
    line(&format!("ip link set {outer} up"))?;
    line(&format!("ip link set {inner} up"))?;
    Ok(())
}
