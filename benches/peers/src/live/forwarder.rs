//! Who forwards between two interfaces.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::bridge::{Bridge, Bridging};
use crate::command::{Running, line, run};
use crate::{Failure, Programs};

/// Ports of the first container begin here; all have as many. The filters of a bridge rely on powers of two.
pub(crate) const FIRST_PORT: u32 = 1_024;
pub(crate) const PORTS_EACH: u32 = 16;

/// Containers where their number makes no difference.
const ORDINARY: u32 = 128;

/// How long a program may take until it has XDP programs at its interfaces, and what it gets from then on until it is to
/// forward.
const PATIENCE: Duration = Duration::from_secs(10);
const AFTER_ATTACHING: Duration = Duration::from_millis(300);

/// How often it is started at most, and the pause between.
const TRIES: usize = 5;
const BETWEEN_TRIES: Duration = Duration::from_millis(300);

/// What every container may send; nobody offers as much.
pub(crate) const RATE: &str = "100mbit";
pub(crate) const BURST: &str = "64kb";

/// The interfaces of a forwarder.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wire {
    pub(crate) network: &'static str,
    pub(crate) container: &'static str,
}

/// How testpmd has packets received.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Polling {
    /// By whoever sends them: the fastest here.
    Sender,
    /// By itself, in system calls: the default of net_af_xdp.
    Busy,
}

/// A loop of `floor`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Floor {
    /// Sends without having received.
    Flood,
    /// Sends what it receives.
    Forward,
}

/// Who forwards.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Forwarder {
    Portlane {
        containers: u32,
    },
    /// DPDK's, without a look at the packets.
    Testpmd(Polling),
    /// As few instructions as AF_XDP lets a program have.
    Floor(Floor),
    Bridge(Bridge),
}

impl Forwarder {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Portlane { containers } => format!("portlane run, {containers} containers"),
            Self::Testpmd(Polling::Sender) => "DPDK testpmd, io over net_af_xdp, busy_budget=0".to_owned(),
            Self::Testpmd(Polling::Busy) => "DPDK testpmd, io over net_af_xdp".to_owned(),
            Self::Floor(Floor::Flood) => "floor: AF_XDP sends, nobody receives".to_owned(),
            Self::Floor(Floor::Forward) => "floor: AF_XDP receives and sends".to_owned(),
            Self::Bridge(bridge) => bridge.name(),
        }
    }

    /// For how many containers packets are offered to it.
    pub(crate) fn containers(self) -> u32 {
        match self {
            Self::Portlane { containers } => containers,
            Self::Testpmd(_) | Self::Floor(_) => ORDINARY,
            Self::Bridge(bridge) => bridge.classes().unwrap_or(ORDINARY),
        }
    }

    /// Whether it needs somebody to offer packets.
    pub(crate) fn receives(self) -> bool {
        !matches!(self, Self::Floor(Floor::Flood))
    }

    /// Starts to forward. The kernel may still be closing the sockets of who was there before: then once more.
    pub(crate) fn start(self, programs: &Programs, scratch: &Path, wire: Wire) -> Result<Started, Failure> {
        for _ in 1..TRIES {
            if let Ok(started) = self.try_start(programs, scratch, wire) {
                return Ok(started);
            }
            thread::sleep(BETWEEN_TRIES);
        }
        self.try_start(programs, scratch, wire)
    }

    fn try_start(self, programs: &Programs, scratch: &Path, wire: Wire) -> Result<Started, Failure> {
        let log = scratch.join("forwarder.log");
        match self {
            Self::Portlane { containers } => {
                let config = scratch.join("live.toml");
                std::fs::write(&config, configuration(containers, Some(wire)))?;
                let arguments = ["run", "--config", &config.to_string_lossy()];
                Started::program(Running::start(&programs.portlane, &arguments, &log)?, wire, log)
            }
            Self::Testpmd(polling) => {
                let running = Running::start("dpdk-testpmd", &testpmd(polling, wire), &log)?;
                Started::program(running, wire, log)
            }
            Self::Floor(floor) => {
                let role = match floor {
                    Floor::Flood => "flood",
                    Floor::Forward => "forward",
                };
                let arguments = [role, wire.network, wire.container];
                Started::program(Running::start(std::env::current_exe()?, &arguments, &log)?, wire, log)
            }
            Self::Bridge(bridge) => Ok(Started::Bridge(bridge.start(wire)?)),
        }
    }
}

/// What forwards until it is dropped.
#[derive(Debug)]
pub(crate) enum Started {
    /// With the file that has what it printed.
    Program(Running, Wire, PathBuf),
    Bridge(Bridging),
}

impl Started {
    /// A program, once it is ready: one that starts under full load may take very long.
    fn program(mut running: Running, wire: Wire, log: PathBuf) -> Result<Self, Failure> {
        let begun = Instant::now();
        for interface in [wire.network, wire.container] {
            while !line(&format!("ip link show {interface}"))?.contains("xdp") {
                running.still_running().map_err(|cause| {
                    let said = std::fs::read_to_string(&log).unwrap_or_default();
                    format!("{cause}, having said: {}", said.trim())
                })?;
                if begun.elapsed() > PATIENCE {
                    return Err(format!("nothing was attached to {interface}").into());
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        thread::sleep(AFTER_ATTACHING);
        Ok(Self::Program(running, wire, log))
    }

    /// An error if it no longer does.
    pub(crate) fn still_running(&mut self) -> Result<(), Failure> {
        match self {
            Self::Program(program, ..) => program.still_running(),
            Self::Bridge(_) => Ok(()),
        }
    }

    /// Stops, and tells what is worth telling.
    pub(crate) fn note(self) -> Result<String, Failure> {
        match self {
            Self::Program(program, wire, log) => {
                drop(program);
                // Should a program have left one behind.
                for interface in [wire.network, wire.container] {
                    line(&format!("ip link set {interface} xdp off"))?;
                }
                let modes = std::fs::read_to_string(log)?;
                let modes = modes.lines().filter(|line| {
                    [wire.network, wire.container].iter().any(|name| line.strip_prefix(name).is_some_and(is_a_mode))
                });
                Ok(modes.map(|mode| format!(", {mode}")).collect())
            }
            Self::Bridge(bridge) => bridge.note(),
        }
    }
}

/// What portlane prints after an interface's name.
fn is_a_mode(words: &str) -> bool {
    words.strip_prefix(": ").is_some_and(|mode| ["zero-copy", "copy", "generic"].contains(&mode))
}

/// The settings with which it is fastest here: one core, bursts of 64, rings of 2,048.
fn testpmd(polling: Polling, wire: Wire) -> Vec<String> {
    const EAL: &str = "--no-huge --no-pci --no-telemetry --no-shconf -m 512 -l 0,1";
    const OWN: &str = "--forward-mode=io --auto-start --nb-cores=1 --burst=64 --rxd=2048 --txd=2048 \
                       --total-num-mbufs=16384 --disable-link-check";
    let Wire { network, container } = wire;
    let budget = match polling {
        Polling::Sender => ",busy_budget=0",
        Polling::Busy => "",
    };
    let ports = format!("--vdev net_af_xdp0,iface={network}{budget} --vdev net_af_xdp1,iface={container}{budget}");
    format!("{EAL} {ports} -- {OWN}").split_whitespace().map(str::to_owned).collect()
}

/// portlane's configuration: every container with the same limit.
pub(crate) fn configuration(containers: u32, wire: Option<Wire>) -> String {
    let mut text = format!("[defaults]\ningress = {{ rate = \"{RATE}\", burst = \"{BURST}\" }}\n");
    if let Some(Wire { network, container }) = wire {
        let _ = write!(text, "[wire]\nnetwork = \"{network}\"\ncontainer = \"{container}\"\n");
        let _ = write!(text, "[control]\nsocket = \"{}/control.sock\"\n", crate::SCRATCH);
    }
    for container in 0..containers {
        let first = FIRST_PORT + container * PORTS_EACH;
        let last = first + PORTS_EACH - 1;
        let _ = write!(text, "[[container]]\nid = \"c{container}\"\nports = [\"{first}-{last}\"]\n");
    }
    text
}

/// The version of testpmd, as it says itself.
pub(crate) fn dpdk_version() -> Result<String, Failure> {
    Ok(run("pkg-config", &["--modversion", "libdpdk"])?.trim().to_owned())
}
