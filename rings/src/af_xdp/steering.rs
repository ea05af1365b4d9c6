//! The steering program: loaded, told who owns what, asked what it has seen.
//!
//! Its source is `bpf/steer.bpf.c`, compiled when this crate is built. It runs in the kernel, for each frame that arrives at
//! an interface.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;

use aya::maps::{ArrayOfMaps, HashMap, Map, MapData, MapError, PerCpuArray};
use aya::programs::{ProgramFd, TestRun, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};

use super::gate::Gate;
use super::owners::{Owners, Ports};
use super::program::{Hook, Link, Sockets, undisturbed};

/// The program, as clang has left it.
const OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/steer.bpf.o"));

/// `struct address` of `bpf/headers.h`.
pub(super) type Address = [u8; 20];

/// `struct ports` of `bpf/steer.bpf.c`: a word, and a bit for each port.
type PortBits = [u8; 4 + (1 << 13)];

/// Which interface a frame arrives at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The network's: what no container owns goes to the host's kernel.
    Uplink,
    /// The containers': what no container owns goes nowhere.
    Container,
    /// Of what stays on the host: see [`Pairs`](super::Pairs).
    Within,
}

impl Side {
    /// Those that there always are, in the order of the program's counters.
    pub const ALL: [Self; 2] = [Self::Uplink, Self::Container];

    /// The names of the program and of its map of sockets.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Uplink => ("uplink", "uplink_queues"),
            Self::Container => ("container", "container_queues"),
            Self::Within => ("within", "within_queues"),
        }
    }
}

macro_rules! verdicts {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// What the steering program has decided about a frame. "Left alone" is: given to the host's kernel on the uplink,
        /// dropped on the container side.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Verdict {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Verdict {
            /// Every verdict, in the order of the program's counters.
            pub const ALL: [Self; [$(Self::$variant),+].len()] = [$(Self::$variant),+];

            /// The name under which it is counted.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

verdicts! {
    /// A container's: to the socket of its queue.
    Owned = "owned",
    /// A container's, by a queue that has no socket: left alone.
    OtherQueue = "other_queue",
    /// Its port is no container's: left alone.
    ForeignPort = "foreign_port",
    /// IP without ports (ping, for one): left alone.
    WithoutPorts = "without_ports",
    /// Not IP (ARP on the uplink, for one): left alone.
    OtherProtocol = "other_protocol",
    /// Its headers contradict themselves or its length: left alone.
    Malformed = "malformed",
    /// A later fragment, whose first has not been seen: left alone.
    LostFragment = "lost_fragment",
    /// A container asks for a neighbour's hardware address: see [`Solicitations`](super::Solicitations).
    Asked = "asked",
    /// The same, but too much was asked at once: dropped. It will be asked again.
    NotHeard = "not_heard",
    /// From a container's port, but not from an address of its own: dropped. Of attached containers alone. On the uplink to a
    /// container's port, but of an address of 127.0.0.0/8: left alone, for the host's kernel to refuse.
    ForeignAddress = "foreign_address",
    /// An attached container asks for more neighbours than 32 a second (128 at once), or begins more pings than 256 a second (1,024
    /// at once): dropped.
    OverLimit = "over_limit",
}

/// Frames by verdict, in the order of [`Verdict::ALL`].
pub type Verdicts = [u64; Verdict::ALL.len()];

/// The steering program.
///
/// Attached to interfaces by [`bind_nic`](super::bind_nic) only; until then it can be tried with [`judge`](Self::judge).
/// Dropped, or when the process dies in whatever way, it is detached, and the host's kernel has all frames again.
#[derive(Debug)]
pub struct Steering {
    links: Vec<Link>,
    program: Ebpf,
    counters: VerdictCounters,
}

/// What a steering program counts: apart from it, since any thread may want to know.
#[derive(Clone)]
pub struct VerdictCounters(Arc<PerCpuArray<MapData, u64>>);

impl fmt::Debug for VerdictCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VerdictCounters").finish_non_exhaustive()
    }
}

/// The places of the program's counters behind those of the sides that there always are: `enum side` of `bpf/steer.bpf.c`.
const DELIVERY: usize = 2;
const WITHIN: usize = 3;
const HOST: usize = 4;

impl VerdictCounters {
    /// How many frames got which verdict, since the program was loaded.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn read(&self, side: Side) -> io::Result<Verdicts> {
        self.of_place(match side {
            Side::Uplink => 0,
            Side::Container => 1,
            Side::Within => WITHIN,
        })
    }

    /// Of frames that are to be delivered to containers.
    pub(super) fn delivery(&self) -> io::Result<Verdicts> {
        self.of_place(DELIVERY)
    }

    /// Of frames that stay on the host, at the host's end.
    pub(super) fn at_host(&self) -> io::Result<Verdicts> {
        self.of_place(HOST)
    }

    fn of_place(&self, place: usize) -> io::Result<Verdicts> {
        let first = place * Verdict::ALL.len();
        let mut verdicts = [0; Verdict::ALL.len()];
        for (place, verdict) in verdicts.iter_mut().enumerate() {
            let place = u32::try_from(first + place).map_err(io::Error::other)?;
            *verdict = self.0.get(&place, 0).map_err(system)?.iter().sum();
        }
        Ok(verdicts)
    }
}

/// The rules that a steering program goes by: apart from it, since they may be changed by another thread.
#[derive(Debug)]
pub struct Rules(ArrayOfMaps<MapData, RuleSet>);

/// The ports of each address that has its own, and of all others.
type RuleSet = HashMap<MapData, Address, PortBits>;

impl Rules {
    /// Puts other rules in place of those in force, all in one step: every frame is judged by the old ones or by the new
    /// ones, and once this returns none is judged by the old ones. Fragments keep following their first one.
    ///
    /// # Errors
    ///
    /// What the kernel says; the rules are as they were.
    pub fn replace(&mut self, owners: &Owners) -> io::Result<()> {
        self.put(NewRules::prepare(owners)?)
    }

    /// The second half of [`replace`](Self::replace).
    ///
    /// # Errors
    ///
    /// As for `replace`. Of rules that could be prepared, nothing is to be expected.
    pub fn put(&mut self, rules: NewRules) -> io::Result<()> {
        self.0.set(0, &rules.0, 0).map_err(system)
    }
}

/// Rules that are in the kernel, but not in force.
#[derive(Debug)]
pub struct NewRules(RuleSet);

impl NewRules {
    /// The first half of [`Rules::replace`], which is what can be refused: for want of memory, or of `CAP_BPF`.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn prepare(owners: &Owners) -> io::Result<Self> {
        let count = u32::try_from(owners.on.len() + 1).map_err(io::Error::other)?;
        let mut set = RuleSet::create(count, 0).map_err(system)?;
        for (&address, ports) in &owners.on {
            set.insert(key(Some(address)), value(ports, false), 0).map_err(system)?;
        }
        set.insert(key(None), value(&owners.everywhere, !owners.on.is_empty()), 0).map_err(system)?;
        Ok(Self(set))
    }
}

impl Steering {
    /// Loads the program with room for the sockets of `queues[0]` queues of the uplink and `queues[1]` of the container
    /// side, and these rules.
    ///
    /// # Errors
    ///
    /// What the kernel says: that a permission lacks, or that the program is not to its liking.
    pub fn load(owners: &Owners, queues: [u32; 2]) -> io::Result<(Self, Rules)> {
        Self::load_for(owners, queues, [0; 2])
    }

    /// The same with the programs of a gate, too: `ends` are those where frames of containers are put in, that of the gate and the
    /// host's. See [`Gate`].
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub(super) fn load_with_gate(owners: &Owners, queues: [u32; 2], ends: [u32; 2]) -> io::Result<(Self, Rules, Gate)> {
        let (mut steering, rules) = Self::load_for(owners, queues, ends)?;
        let mut load = |name| steering.load_part(name);
        let (gather, programs) = (load("gather")?, [load("deliver")?, load("host")?]);
        load(Side::Within.names().0)?;
        let [deliver, host] = programs;
        let attached = |program: ProgramFd, end| Link::new(program.as_fd(), end, Hook::Native);
        let ends = [attached(deliver, ends[0])?, attached(host, ends[1])?];
        let counters = steering.counters();
        let gate = Gate::new(gather, ends, &mut steering.program, counters)?;
        Ok((steering, rules, gate))
    }

    fn load_part(&mut self, name: &str) -> io::Result<ProgramFd> {
        let part: &mut Xdp = self.program.program_mut(name).ok_or_else(absent)?.try_into().map_err(system)?;
        undisturbed(|| part.load().map_err(system))?;
        part.fd().map_err(system)?.try_clone()
    }

    fn load_for(owners: &Owners, queues: [u32; 2], [delivery, host]: [u32; 2]) -> io::Result<(Self, Rules)> {
        let mut loader = EbpfLoader::new();
        loader.override_global("delivery", &delivery, true).override_global("host_end", &host, true);
        if delivery == 0 {
            // What is of containers behind a gate takes no memory.
            for name in ["attached", "members", "offenders", "pings", "sources"] {
                loader.map_max_entries(name, 1);
            }
        }
        for (side, queues) in Side::ALL.into_iter().zip(queues) {
            loader.map_max_entries(side.names().1, queues.max(1));
        }
        let mut program = loader.load(OBJECT).map_err(system)?;
        let mut rules = Rules(map(&mut program, "rules")?);
        rules.replace(owners)?;
        let counters = VerdictCounters(Arc::new(map(&mut program, "verdicts")?));
        let mut steering = Self { links: Vec::new(), program, counters };
        for side in Side::ALL {
            steering.load_part(side.names().0)?;
        }
        Ok((steering, rules))
    }

    /// Detaches the program: the host's kernel has all frames again. What it has decided can still be read.
    pub fn stop_taking(&mut self) {
        self.links.clear();
    }

    /// How many frames got which verdict, since the program was loaded.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn verdicts(&self, side: Side) -> io::Result<Verdicts> {
        self.counters.read(side)
    }

    /// Where that is counted, for others to read.
    #[must_use]
    pub fn counters(&self) -> VerdictCounters {
        self.counters.clone()
    }

    /// What the program would do with a frame of 14 bytes or more that arrives by queue 0. It is counted as if it had
    /// arrived. `None` if others arrive meanwhile.
    ///
    /// # Errors
    ///
    /// What the kernel says: of a frame that is too short or too long for it, for one.
    pub fn judge(&self, side: Side, frame: &[u8]) -> io::Result<Option<Verdict>> {
        let before = self.verdicts(side)?;
        let options = TestRunOptions { data_in: Some(frame), ..TestRunOptions::default() };
        self.program(side)?.test_run(options).map_err(system)?;
        let after = self.verdicts(side)?;
        let grown = |&(now, before): &(&u64, &u64)| now != before;
        let mut counted = Verdict::ALL.into_iter().zip(after.iter().zip(&before)).filter(|(_, pair)| grown(pair));
        Ok(counted.next().map(|(verdict, _)| verdict).filter(|_| counted.next().is_none()))
    }

    /// Attaches the program to an interface. It goes by what is in the map of sockets: nothing yet.
    pub(super) fn attach(&mut self, side: Side, interface: u32, hook: Hook) -> io::Result<Hook> {
        let program = self.program(side)?.fd().map_err(system)?;
        let link = Link::new(program.as_fd(), interface, hook)?;
        self.links.push(link);
        Ok(hook)
    }

    /// Where the program looks up which socket a queue of this side has.
    pub(super) fn sockets(&self, side: Side) -> io::Result<Sockets> {
        let sockets = self.program.map(side.names().1).ok_or_else(absent)?;
        let Map::XskMap(sockets) = sockets else { return Err(absent()) };
        Sockets::of(sockets.fd().as_fd())
    }

    /// Takes the ring of what containers ask.
    pub(super) fn take_solicitations(&mut self) -> io::Result<aya::maps::RingBuf<MapData>> {
        map(&mut self.program, "solicitations")
    }

    fn program(&self, side: Side) -> io::Result<&Xdp> {
        self.program.program(side.names().0).ok_or_else(absent)?.try_into().map_err(system)
    }
}

/// An address as the program's maps have it; version 0 stands for all others.
pub(super) fn key(address: Option<IpAddr>) -> Address {
    let mut key = [0; 20];
    let (version, bytes): (u32, &[u8]) = match &address {
        Some(IpAddr::V4(address)) => (4, &address.octets()),
        Some(IpAddr::V6(address)) => (6, &address.octets()),
        None => (0, &[]),
    };
    key[..4].copy_from_slice(&version.to_ne_bytes());
    key[4..][..bytes.len()].copy_from_slice(bytes);
    key
}

fn value(ports: &Ports, by_address: bool) -> PortBits {
    let mut value = [0; 4 + (1 << 13)];
    value[..4].copy_from_slice(&u32::from(by_address).to_ne_bytes());
    value[4..].copy_from_slice(ports.bits());
    value
}

/// Takes a map of the program.
pub(super) fn map<M: TryFrom<Map, Error = MapError>>(program: &mut Ebpf, name: &str) -> io::Result<M> {
    program.take_map(name).ok_or_else(absent)?.try_into().map_err(system)
}

/// The object that was compiled has all that is asked for here.
fn absent() -> io::Error {
    io::Error::other("the steering program lacks a part")
}

/// The system's error at the bottom of one of aya's, or that one's words if there is none.
pub(super) fn system(error: impl Error + 'static) -> io::Error {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        if let Some(number) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return io::Error::from_raw_os_error(number);
        }
        cause = error.source();
    }
    io::Error::other(error.to_string())
}
