//! From a plan to attached interfaces.

use std::collections::BTreeMap;
use std::io;

use core_affinity::CoreId;
use portlane_classify::{Arriving, Direction, Found};
use portlane_rings::{
    self as rings, Bound, Gate, GateCounters, Interface, Options, Owners, Pairs, Part, Pool, Rules, Side, Socket,
    Steering, Verdict, VerdictCounters,
};
use portlane_stats::live::{AttachedReport, InterfaceReport};
use portlane_stats::snapshot::{Directions, Mode};

use super::attached;
use super::duties::{self, Duty};
use super::interfaces::Table;
use super::numbers::mode;
use crate::attach::names;
use crate::config::{Io, Plan};
use crate::failure::Failure;
use crate::line::Port;
use crate::neighbours::Neighbours;
use crate::workers;

/// Everything that lines need of their interfaces.
#[derive(Debug)]
pub(super) struct Attached {
    /// Of a network interface that the host uses, too. First, so that it is let go of first: then no frame is steered to a
    /// socket that is no more.
    pub(super) steered: Option<Steered>,
    /// One for each worker.
    pub(super) stations: Vec<Station>,
    /// The network's, and the containers'.
    pub(super) interfaces: Vec<Interface>,
    /// The interface that a direction leaves by.
    pub(super) devices: Directions<String>,
    pub(super) modes: BTreeMap<String, Mode>,
}

/// What one worker has.
#[derive(Debug)]
pub(super) struct Station {
    pub(super) core: Option<CoreId>,
    /// Of the frames.
    pub(super) part: Part<Found<u32>>,
    /// Its queues of the network's interface, then of the containers'.
    pub(super) ports: Vec<Port<Socket>>,
    /// The port that a direction leaves by, by [`Direction::index`]: the first of its queues there.
    pub(super) leaves_by: [usize; 2],
    /// The port of what stays on the host.
    pub(super) within: Option<usize>,
    /// Whether it has queues of either interface. Who has not owns no lane, and sends nothing.
    pub(super) serves_both: bool,
}

/// The kernel's part in choosing what is ours.
#[derive(Debug)]
pub(super) struct Steered {
    program: Steering,
    /// Until they are taken.
    rules: Option<Rules>,
    /// Until it is taken, if there is one.
    gate: Option<Gate>,
    at_gate: Option<AtGate>,
    _neighbours: Neighbours,
    /// By [`Side`].
    interfaces: [String; 2],
}

impl Steered {
    /// The kernel has its packets back. What the program has decided can still be read.
    pub(super) fn stop_taking(&mut self) {
        self.program.stop_taking();
    }

    pub(super) fn take_rules(&mut self) -> Option<Rules> {
        self.rules.take()
    }

    pub(super) fn take_gate(&mut self) -> Option<Gate> {
        self.gate.take()
    }

    /// What the program has decided.
    pub(super) fn verdicts(&self) -> Verdicts {
        let (interfaces, at_gate) = (self.interfaces.clone(), self.at_gate.clone());
        Verdicts { counters: self.program.counters(), interfaces, at_gate }
    }
}

/// What is counted at the gate.
#[derive(Debug, Clone)]
struct AtGate {
    counters: GateCounters,
    /// The interface by which frames for containers leave.
    delivery: String,
    /// The interfaces of what stays on the host: the line's, and the host's.
    within: [String; 2],
    /// What the kernel counts at containers' own.
    interfaces: Table,
}

/// What the kernel has decided about frames.
#[derive(Debug, Clone)]
pub(super) struct Verdicts {
    counters: VerdictCounters,
    /// By [`Side`].
    interfaces: [String; 2],
    at_gate: Option<AtGate>,
}

impl Verdicts {
    /// Frames by verdict, for each interface.
    pub(super) fn read(&self) -> io::Result<BTreeMap<String, BTreeMap<String, u64>>> {
        let of = |(side, interface): (Side, &String)| {
            let from = match side {
                Side::Container => Origin::Containers,
                _ if self.at_gate.is_some() => Origin::SharedWire,
                _ => Origin::Elsewhere,
            };
            Ok((interface.clone(), named(self.counters.read(side)?, from)))
        };
        let sides = Side::ALL.into_iter().zip(&self.interfaces).map(of);
        let mut read = sides.collect::<io::Result<BTreeMap<_, _>>>()?;
        if let Some(AtGate { counters, delivery, within, .. }) = &self.at_gate {
            read.insert(delivery.clone(), named(counters.delivery()?, Origin::Elsewhere));
            let within = within.iter().cloned().zip(counters.within()?);
            read.extend(within.map(|(name, counted)| (name, named(counted, Origin::Elsewhere))));
            let attached = counters.attached()?.into_iter();
            read.extend(attached.map(|(name, counted)| (name, named(counted, Origin::Attached))));
        }
        Ok(read)
    }

    /// What else is known of attached interfaces, where the kernel has [`counted`](Self::interfaces) this.
    pub(super) fn attached(
        &self,
        counted: &BTreeMap<String, InterfaceReport>,
    ) -> io::Result<BTreeMap<String, AttachedReport>> {
        self.at_gate.as_ref().map_or(Ok(BTreeMap::new()), |at_gate| attached::reports(&at_gate.counters, counted))
    }

    /// What the kernel counts at the interfaces of attached containers, by their names.
    pub(super) fn interfaces(&self) -> io::Result<BTreeMap<String, InterfaceReport>> {
        self.at_gate.as_ref().map_or_else(|| Ok(BTreeMap::new()), |gate| gate.interfaces.of_containers())
    }
}

/// From where frames come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    Elsewhere,
    /// The network, where containers are attached.
    SharedWire,
    Containers,
    /// One container, by its interface.
    Attached,
}

/// Counts by verdict, of those that may occur there.
fn named(counted: rings::Verdicts, from: Origin) -> BTreeMap<String, u64> {
    let may_occur = |verdict| match verdict {
        Verdict::Asked | Verdict::NotHeard => from >= Origin::Containers,
        Verdict::ForeignAddress => matches!(from, Origin::SharedWire | Origin::Attached),
        Verdict::OverLimit => from == Origin::Attached,
        _ => true,
    };
    let counted = Verdict::ALL.into_iter().zip(counted).filter(|&(verdict, _)| may_occur(verdict));
    counted.map(|(verdict, count)| (verdict.as_str().to_owned(), count)).collect()
}

/// Attaches to the interfaces of the plan, in the network namespace of the calling thread.
pub(super) fn attach(plan: &Plan) -> Result<Attached, Failure> {
    let names = plan.sides().ok_or_else(|| {
        let remedy = "add [wire] with network = \"eth0\" and container = \"veth-web\", or [nic] with interface and \
                      container to leave the host its own";
        Failure::refused(format!("the configuration names no interfaces: {remedy}"))
    })?;
    let options = options(plan);
    let interfaces = rings::look_up(names).map_err(Failure::refused)?;
    let duties = duties::assign(plan, &interfaces)?;
    let is_attached = plan.nic.as_ref().is_some_and(|nic| nic.attached);
    let options = Options { frames: duties::frames(&duties, usize::from(is_attached), &options), ..options };
    let Opened { steered, pool, queues, within } =
        if plan.nic.is_some() { shared(&interfaces, plan, &duties, &options)? } else { whole(&interfaces, &options)? };
    let duties = duties::of_bound(duties, queues.each_ref().map(|side| side.iter().map(Bound::queue).collect()));
    let stations = stations(&duties, pool, queues, within)?;
    let [network, container] = names.map(str::to_owned);
    let ports = stations.iter().flat_map(|station| &station.ports);
    let modes = ports.map(|port| (port.device.interface().name.clone(), mode(&port.device))).collect();
    let devices = Directions { ingress: container, egress: network };
    Ok(Attached { steered, stations, interfaces: interfaces.into(), devices, modes })
}

/// What the plan asks of the sockets.
fn options(plan: &Plan) -> Options {
    let io = match plan.running.io {
        Io::Auto => rings::Io::Auto,
        Io::ZeroCopy => rings::Io::ZeroCopy,
        Io::Copy => rings::Io::Copy,
        Io::Generic => rings::Io::Generic,
        Io::Packet => rings::Io::Packet,
    };
    Options { io, ..Options::default() }
}

/// What is attached, before its queues are workers'.
struct Opened {
    steered: Option<Steered>,
    pool: Pool,
    /// The network's, and the containers'.
    queues: [Vec<Bound>; 2],
    /// Of what stays on the host.
    within: Option<Bound>,
}

fn whole(interfaces: &[Interface; 2], options: &Options) -> Result<Opened, Failure> {
    let open = rings::bind_wire(interfaces, options).map_err(Failure::refused)?;
    Ok(Opened { steered: None, pool: open.pool, queues: open.queues, within: None })
}

fn shared(interfaces: &[Interface; 2], plan: &Plan, duties: &[Duty], options: &Options) -> Result<Opened, Failure> {
    let [uplink, container] = interfaces;
    let queues: Vec<_> = duties.iter().flat_map(|duty| duty.queues[0].iter().copied()).collect();
    let pairs = plan.nic.as_ref().filter(|nic| nic.attached).map(|nic| pairs(&nic.interface)).transpose()?;
    let nic = rings::Nic { interfaces, queues: &queues, owners: &owners(plan), pairs: pairs.as_ref() };
    let open = rings::bind_nic(&nic, options).map_err(Failure::refused)?;
    let cores = duties.iter().map(|duty| duty.core.map(|core| core.id)).collect();
    let neighbours = Neighbours::answer(open.solicitations, uplink.index, cores).map_err(|cause| {
        let name = &uplink.name;
        Failure::refused(format!("the neighbours of {name} cannot be asked for: {cause}: netlink is needed"))
    })?;
    let interfaces = [uplink, container].map(|interface| interface.name.clone());
    let at_gate = open.gate.as_ref().map(|gate| at_gate(gate, &uplink.name)).transpose()?;
    let (program, rules, gate) = (open.steering, Some(open.rules), open.gate);
    let steered = Steered { program, rules, gate, at_gate, _neighbours: neighbours, interfaces };
    Ok(Opened { steered: Some(steered), pool: open.pool, queues: open.queues, within: open.within })
}

/// The interfaces that attached containers are behind.
fn pairs(uplink: &str) -> Result<Pairs, Failure> {
    let query =
        |name: String| Interface::query(&name).map_err(|cause| Failure::refused(format!("interface {name}: {cause}")));
    let [delivery, within, host] = [names::delivery(uplink), names::within(uplink), names::host(uplink)].map(query);
    Ok(Pairs { delivery: delivery?.index, within: within?, host: host?.index })
}

fn at_gate(gate: &Gate, uplink: &str) -> Result<AtGate, Failure> {
    let interfaces = Table::open().map_err(Failure::failed)?;
    let within = [names::within(uplink), names::host(uplink)];
    Ok(AtGate { counters: gate.counters(), delivery: names::delivery(uplink), within, interfaces })
}

/// Gives each worker its part of the pool and its queues, which are open from then on. What stays on the host is of the first that owns
/// lanes: with attached containers there is no other.
fn stations(
    duties: &[Duty],
    pool: Pool,
    queues: [Vec<Bound>; 2],
    mut within: Option<Bound>,
) -> Result<Vec<Station>, Failure> {
    let mut queues = queues.map(|of_side| of_side.into_iter().map(|queue| (queue.queue(), queue)).collect());
    let workers = u32::try_from(duties.len()).map_err(Failure::failed)?;
    let parts = workers::parts(pool, workers).map_err(Failure::refused)?;
    let mut station = |(duty, part): (&Duty, _)| {
        let mut station = station(duty, part, &mut queues)?;
        if let Some(within) = within.take_if(|_| duty.serves_both()) {
            station.within = Some(station.ports.len());
            let device = within.start(&mut station.part.pool).map_err(Failure::refused)?;
            // Its frames say themselves.
            station.ports.push(Port { device, arriving: Arriving::Either });
        }
        Ok(station)
    };
    duties.iter().zip(parts).map(&mut station).collect()
}

fn station(
    duty: &Duty,
    mut part: Part<Found<u32>>,
    queues: &mut [BTreeMap<u32, Bound>; 2],
) -> Result<Station, Failure> {
    let mut ports = Vec::new();
    for (side, arriving) in [Arriving::Ingress, Arriving::Egress].into_iter().enumerate() {
        for queue in duty.queues[side].iter().filter_map(|queue| queues[side].remove(queue)) {
            let device = queue.start(&mut part.pool).map_err(Failure::refused)?;
            ports.push(Port { device, arriving });
        }
    }
    let serves_both = duty.serves_both();
    let leaves_by = Direction::ALL.map(|direction| match direction {
        Direction::Ingress if serves_both => duty.queues[0].len(),
        Direction::Ingress | Direction::Egress => 0,
    });
    Ok(Station { core: duty.core, part, ports, leaves_by, within: None, serves_both })
}

/// Whose ports are whose, as the kernel is told of them.
#[must_use]
pub fn owners(plan: &Plan) -> Owners {
    let mut owners = Owners::default();
    for container in &plan.containers {
        container.ports.iter().for_each(|range| owners.own(&container.addresses, range.first()..=range.last()));
    }
    owners
}
