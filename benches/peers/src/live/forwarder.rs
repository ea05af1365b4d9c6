//! Who forwards between two interfaces.

use std::fmt::Write as _;
use std::path::Path;

use super::bridge::{Bridge, Bridging};
use crate::command::{Running, line, run};
use crate::{Failure, Programs};

/// Ports of the first container begin here; all have as many. The filters of a bridge rely on powers of two.
pub(crate) const FIRST_PORT: u32 = 1_024;
pub(crate) const PORTS_EACH: u32 = 16;

/// Containers where their number makes no difference.
const ORDINARY: u32 = 128;

/// What every container may send; nobody offers as much.
pub(crate) const RATE: &str = "100mbit";
pub(crate) const BURST: &str = "64kb";

/// The interfaces of a forwarder.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wire {
    pub(crate) network: &'static str,
    pub(crate) container: &'static str,
}

/// Who forwards.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Forwarder {
    Portlane {
        containers: u32,
    },
    /// DPDK's, without a look at the packets.
    Testpmd,
    Bridge(Bridge),
}

impl Forwarder {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Portlane { containers } => format!("portlane run, {containers} containers"),
            Self::Testpmd => "DPDK testpmd, io over net_af_xdp".to_owned(),
            Self::Bridge(bridge) => bridge.name(),
        }
    }

    /// For how many containers packets are offered to it.
    pub(crate) fn containers(self) -> u32 {
        match self {
            Self::Portlane { containers } => containers,
            Self::Testpmd => ORDINARY,
            Self::Bridge(bridge) => bridge.classes().unwrap_or(ORDINARY),
        }
    }

    /// Starts to forward.
    pub(crate) fn start(self, programs: &Programs, scratch: &Path, wire: Wire) -> Result<Started, Failure> {
        let log = scratch.join("forwarder.log");
        match self {
            Self::Portlane { containers } => {
                let config = scratch.join("live.toml");
                std::fs::write(&config, configuration(containers, Some(wire)))?;
                let arguments = ["run", "--config", &config.to_string_lossy()];
                Ok(Started::Program(Running::start(&programs.portlane, &arguments, &log)?, wire))
            }
            Self::Testpmd => Ok(Started::Program(Running::start("dpdk-testpmd", &testpmd(wire), &log)?, wire)),
            Self::Bridge(bridge) => Ok(Started::Bridge(bridge.start(wire)?)),
        }
    }
}

/// What forwards until it is dropped.
#[derive(Debug)]
pub(crate) enum Started {
    Program(Running, Wire),
    Bridge(Bridging),
}

impl Started {
    /// An error if it no longer does.
    pub(crate) fn still_running(&mut self) -> Result<(), Failure> {
        match self {
            Self::Program(program, _) => program.still_running(),
            Self::Bridge(_) => Ok(()),
        }
    }

    /// Stops, and tells what is worth telling.
    pub(crate) fn note(self) -> Result<String, Failure> {
        match self {
            Self::Program(program, wire) => {
                drop(program);
                // Should a program have left one behind.
                for interface in [wire.network, wire.container] {
                    line(&format!("ip link set {interface} xdp off"))?;
                }
                Ok(String::new())
            }
            Self::Bridge(bridge) => bridge.note(),
        }
    }
}

/// The settings with which it is fastest here: one core, bursts of 64, no busy polling (the sender's core receives for
/// it), rings of 2,048.
fn testpmd(wire: Wire) -> Vec<String> {
    const EAL: &str = "--no-huge --no-pci --no-telemetry --no-shconf -m 512 -l 0,1";
    const OWN: &str = "--forward-mode=io --auto-start --nb-cores=1 --burst=64 --rxd=2048 --txd=2048 \
                       --total-num-mbufs=16384 --disable-link-check";
    let Wire { network, container } = wire;
    let ports =
        format!("--vdev net_af_xdp0,iface={network},busy_budget=0 --vdev net_af_xdp1,iface={container},busy_budget=0");
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
