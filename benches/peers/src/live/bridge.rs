//! The kernel's own way: a bridge, and HTB classes on the way out that u32 filters find by the port.

use std::fmt::Write as _;

use super::forwarder::{BURST, FIRST_PORT, PORTS_EACH, RATE, Wire};
use crate::Failure;
use crate::command::{feed, line};

/// Where the packets that are offered go to: see `offer.c`.
const DESTINATION: &str = "02:00:00:00:00:02";

/// What a bridge does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bridge {
    htb: Option<(u32, Filters)>,
    core: Core,
}

/// How the class of a packet is found.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Filters {
    /// One after the other, as everybody writes them.
    List,
    /// In a hash table of 256 places over the port, as tc-u32(8) tells for many of them.
    Hashed,
}

/// Which core forwards.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Core {
    /// That on which packets arrive: the sender's.
    Arrival,
    /// Core 1.
    Other,
}

impl Bridge {
    pub(crate) const fn plain(core: Core) -> Self {
        Self { htb: None, core }
    }

    pub(crate) const fn htb(classes: u32, filters: Filters) -> Self {
        Self { htb: Some((classes, filters)), core: Core::Arrival }
    }

    pub(crate) fn classes(self) -> Option<u32> {
        self.htb.map(|(classes, _)| classes)
    }

    pub(crate) fn name(self) -> String {
        let htb = match self.htb {
            None => "no qdisc".to_owned(),
            Some((classes, Filters::List)) => format!("HTB, {classes} classes"),
            Some((classes, Filters::Hashed)) => format!("HTB, {classes} classes, filters hashed"),
        };
        let core = match self.core {
            Core::Arrival => "",
            Core::Other => ", on core 1",
        };
        format!("kernel bridge, {htb}{core}")
    }

    pub(crate) fn start(self, wire: Wire) -> Result<Bridging, Failure> {
        let bridging = Bridging { bridge: self, wire };
        let Wire { network, container } = wire;
        line("ip link add bridge type bridge mcast_snooping 0")?;
        for interface in ["bridge", network, container] {
            line(&format!("ip link set {interface} up"))?;
        }
        for interface in [network, container] {
            line(&format!("ip link set {interface} master bridge"))?;
        }
        line(&format!("bridge fdb replace {DESTINATION} dev {container} master static"))?;
        bridging.set_core(self.core)?;
        if let Some((classes, filters)) = self.htb {
            feed("tc", &["-batch", "-"], &htb(container, classes, filters))?;
        }
        Ok(bridging)
    }
}

/// A bridge that is there until it is dropped.
#[derive(Debug)]
pub(crate) struct Bridging {
    bridge: Bridge,
    wire: Wire,
}

impl Bridging {
    fn set_core(&self, core: Core) -> Result<(), Failure> {
        let cores = match core {
            Core::Arrival => "0",
            Core::Other => "2",
        };
        Ok(std::fs::write(format!("/sys/class/net/{}/queues/rx-0/rps_cpus", self.wire.network), cores)?)
    }

    /// An error if packets went past their class, or were dropped there.
    pub(crate) fn note(self) -> Result<String, Failure> {
        if self.bridge.htb.is_none() {
            return Ok(String::new());
        }
        let said = line(&format!("tc -s qdisc show dev {}", self.wire.container))?;
        if !said.contains("direct_packets_stat 0 ") || !said.contains("(dropped 0,") {
            return Err(format!("HTB did not shape everything, or dropped: {said}").into());
        }
        Ok(", every packet through its class, none dropped".to_owned())
    }
}

impl Drop for Bridging {
    fn drop(&mut self) {
        // What is left goes with the namespace.
        let _ = self.set_core(Core::Arrival);
        let _ = line(&format!("tc qdisc del dev {} root", self.wire.container));
        let _ = line("ip link del bridge");
    }
}

/// What tc makes of it: a class for every container, and a filter that leads there.
fn htb(interface: &str, classes: u32, filters: Filters) -> String {
    let mut text = format!("qdisc add dev {interface} root handle 1: htb\n");
    if let Filters::Hashed = filters {
        // Bits 4 to 11 of the destination port, behind an IP header without options.
        let _ = write!(
            text,
            "filter add dev {interface} parent 1: prio 1 handle 2: protocol ip u32 divisor 256\n\
             filter add dev {interface} parent 1: prio 1 protocol ip u32 ht 800:: match ip protocol 17 0xff \
             hashkey mask 0x00000ff0 at 20 link 2:\n",
        );
    }
    for class in 1..=classes {
        let port = FIRST_PORT + (class - 1) * PORTS_EACH;
        let table = match filters {
            Filters::List => String::new(),
            Filters::Hashed => format!("ht 2:{:x}: ", port >> 4 & 0xff),
        };
        let _ = write!(
            text,
            "class add dev {interface} parent 1: classid 1:{class:x} htb rate {RATE} burst {BURST} quantum 1514\n\
             filter add dev {interface} parent 1: prio 1 protocol ip u32 {table}match ip protocol 17 0xff \
             match ip dport {port} 0xfff0 flowid 1:{class:x}\n",
        );
    }
    text
}
