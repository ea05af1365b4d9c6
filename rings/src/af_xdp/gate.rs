//! The way between containers with interfaces of their own and the line: see `bpf/steer.bpf.c`.
//!
//! ```text
//! container A ── interface ─┐ redirected                ┌─ socket
//! container B ── interface ─┴──────────── delivery ─────┴─ gate
//! ```
//!
//! The gate is a pair of interfaces. One end is the container side of [`bind_nic`](super::bind_nic), whose socket gets all frames
//! of all containers; so a container takes no socket. What is sent there arrives at the other end, and is redirected to the
//! interface of the container that has the port.
//!
//! What a container sends to an address of its own stays on the host: it goes another way, by a second pair.
//!
//! ```text
//! container ── interface ── redirected ──┐           ┌─ socket
//! the host's kernel ─────────────────── host ────────┴─ within
//! ```
//!
//! What is sent there is the host's, or turns round at its end, if it is for a port of a container's.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aya::Ebpf;
use aya::maps::{Array, HashMap, MapData};
use aya::programs::ProgramFd;

use super::members::{Members, Offender, Offenders};
use super::program::{Hook, Link};
use super::steering::{Side, Verdict, VerdictCounters, Verdicts, map, system};

/// `struct judged` of `bpf/steer.bpf.c`: an interface, and the place of a verdict.
type Judged = [u32; 2];

/// Containers' interfaces, and whose port is whose. Dropped, no frame comes from them or gets to them.
pub struct Gate {
    links: BTreeMap<u32, Link>,
    /// At the ends where frames of containers are put in.
    _ends: [Link; 2],
    gather: ProgramFd,
    interfaces: Array<MapData, u32>,
    members: Members,
    counters: GateCounters,
}

/// What is counted at the gate: apart from it, since any thread may want to know.
#[derive(Clone)]
pub struct GateCounters {
    attached: Arc<Mutex<Attached>>,
    ends: VerdictCounters,
}

struct Attached {
    counts: HashMap<MapData, Judged, u64>,
    offenders: Offenders,
    /// Indices by name.
    interfaces: BTreeMap<String, u32>,
}

impl Gate {
    pub(super) fn new(
        gather: ProgramFd,
        ends: [Link; 2],
        program: &mut Ebpf,
        counters: VerdictCounters,
    ) -> io::Result<Self> {
        let (counts, offenders) = (map(program, "attached")?, Offenders::take(program)?);
        let attached = Attached { counts, offenders, interfaces: BTreeMap::new() };
        let counters = GateCounters { attached: Arc::new(Mutex::new(attached)), ends: counters };
        let (interfaces, members) = (map(program, "interfaces")?, Members::take(program)?);
        Ok(Self { links: BTreeMap::new(), _ends: ends, gather, interfaces, members, counters })
    }

    /// Lets frames of a container in, by the index of the host's end of its interface; `name` is what it is counted under. None of its
    /// ports are its own yet.
    ///
    /// # Errors
    ///
    /// What bpf(2) says: of an interface that is gone `ENODEV`, of one with another XDP program `EBUSY`.
    pub fn attach(&mut self, name: &str, interface: u32) -> io::Result<()> {
        let link = Link::new(self.gather.as_fd().as_fd(), interface, Hook::Native)?;
        let mut attached = self.counters.lock();
        for verdict in verdicts() {
            attached.counts.insert([interface, verdict], 0, 0).map_err(system)?;
        }
        attached.offenders.watch(interface)?;
        self.members.remember(interface)?;
        attached.interfaces.insert(name.to_owned(), interface);
        self.links.insert(interface, link);
        Ok(())
    }

    /// Lets no more frames in from an interface, and forgets what was counted there. Its ports are to be [taken](Self::give) before.
    pub fn detach(&mut self, interface: u32) {
        self.links.remove(&interface);
        self.members.forget(interface);
        let mut attached = self.counters.lock();
        attached.interfaces.retain(|_, &mut index| index != interface);
        attached.offenders.forget(interface);
        for verdict in verdicts() {
            // It is there, or has never been.
            let _ = attached.counts.remove(&[interface, verdict]);
        }
    }

    /// Has ports be those of an interface; of 0: of none.
    ///
    /// # Errors
    ///
    /// What bpf(2) says; nothing is to be expected.
    pub fn give(&mut self, ports: RangeInclusive<u16>, interface: u32) -> io::Result<()> {
        ports.into_iter().try_for_each(|port| self.interfaces.set(port.into(), interface, 0).map_err(system))
    }

    /// Has packets from these addresses pass, and no others from this interface. At first there are none.
    ///
    /// # Errors
    ///
    /// What bpf(2) says: `E2BIG` for more than 2^18 of all interfaces.
    pub fn set_addresses(&mut self, interface: u32, addresses: &[IpAddr]) -> io::Result<()> {
        self.members.set_addresses(interface, addresses)
    }

    /// Has pings of an interface leave with identifiers out of these ports, which are to be its own: until then none leave. Those that
    /// are under way are answered still.
    ///
    /// # Errors
    ///
    /// What bpf(2) says; nothing is to be expected.
    pub fn set_ping_ids(&mut self, interface: u32, ports: &RangeInclusive<u16>) -> io::Result<()> {
        self.members.set_ping_ids(interface, ports)
    }

    /// What is counted.
    #[must_use]
    pub fn counters(&self) -> GateCounters {
        self.counters.clone()
    }
}

impl GateCounters {
    /// Frames for containers by verdict: [`Verdict::Owned`] were handed to an interface, [`Verdict::ForeignPort`] found none.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn delivery(&self) -> io::Result<Verdicts> {
        self.ends.delivery()
    }

    /// Frames that stay on the host by verdict, at the line's end and at the host's: here [`Verdict::Owned`] have gone to the line, there
    /// they have turned round, since they are for containers.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn within(&self) -> io::Result<[Verdicts; 2]> {
        Ok([self.ends.read(Side::Within)?, self.ends.at_host()?])
    }

    /// Frames from each attached interface by verdict, by its name.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn attached(&self) -> io::Result<Vec<(String, Verdicts)>> {
        let attached = self.lock();
        let of = |(name, &interface): (&String, &u32)| {
            let mut counted = [0; Verdict::ALL.len()];
            for (count, verdict) in counted.iter_mut().zip(verdicts()) {
                *count = attached.counts.get(&[interface, verdict], 0).map_err(system)?;
            }
            Ok((name.clone(), counted))
        };
        attached.interfaces.iter().map(of).collect()
    }

    /// The names of the attached interfaces.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.lock().interfaces.keys().cloned().collect()
    }

    /// The last packet of each attached interface that should not have been sent, by its name; of those that sent one.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn offenders(&self) -> io::Result<Vec<(String, Offender)>> {
        let attached = self.lock();
        let of = |(name, &interface): (&String, &u32)| {
            attached.offenders.last(interface).map(|last| last.map(|last| (name.clone(), last))).transpose()
        };
        attached.interfaces.iter().filter_map(of).collect()
    }

    /// Nothing in there is half-made when a thread panics.
    fn lock(&self) -> MutexGuard<'_, Attached> {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The places of all verdicts.
fn verdicts() -> impl Iterator<Item = u32> {
    (0..).take(Verdict::ALL.len())
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("links", &self.links).finish_non_exhaustive()
    }
}

impl fmt::Debug for GateCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GateCounters").finish_non_exhaustive()
    }
}
