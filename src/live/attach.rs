//! From a plan to attached interfaces.

use std::collections::BTreeMap;
use std::io;

use portlane_classify::{Arriving, Direction};
use portlane_rings::{self as rings, Options, Owners, Pool, QueueChoice, Rules, Side, Socket, Steering, Verdict};
use portlane_stats::snapshot::{Directions, Mode};

use super::numbers::mode;
use crate::config::{Io, Nic, Plan, Queues, Wire};
use crate::failure::Failure;
use crate::line::Port;
use crate::neighbours::Neighbours;

/// Everything that a line needs of its interfaces.
#[derive(Debug)]
pub(super) struct Attached {
    /// Of a network interface that the host uses, too. First, so that it is let go of first: then no frame is steered to a
    /// socket that is no more.
    pub(super) steered: Option<Steered>,
    pub(super) pool: Pool,
    pub(super) ports: Vec<Port<Socket>>,
    /// The port that a direction leaves by, by [`Direction::index`].
    pub(super) leaves_by: [usize; 2],
    /// The interface that a direction leaves by.
    pub(super) devices: Directions<String>,
    pub(super) modes: BTreeMap<String, Mode>,
}

/// The kernel's part in choosing what is ours.
#[derive(Debug)]
pub(super) struct Steered {
    program: Steering,
    /// Until they are taken.
    rules: Option<Rules>,
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

    /// Frames by verdict, for each interface.
    pub(super) fn verdicts(&self) -> io::Result<BTreeMap<String, BTreeMap<String, u64>>> {
        let of = |(side, interface): (Side, &String)| {
            let counted = Verdict::ALL.into_iter().zip(self.program.verdicts(side)?);
            let counted = counted.filter(|&(verdict, _)| may_occur(side, verdict));
            Ok((interface.clone(), counted.map(|(verdict, count)| (verdict.as_str().to_owned(), count)).collect()))
        };
        Side::ALL.into_iter().zip(&self.interfaces).map(of).collect()
    }
}

/// Only containers are answered.
fn may_occur(side: Side, verdict: Verdict) -> bool {
    side == Side::Container || !matches!(verdict, Verdict::Asked | Verdict::NotHeard)
}

/// Attaches to the interfaces of the plan, in the network namespace of the calling thread.
pub(super) fn attach(plan: &Plan) -> Result<Attached, Failure> {
    match (&plan.wire, &plan.nic) {
        (Some(wire), _) => whole(wire, plan),
        (None, Some(nic)) => shared(nic, plan),
        (None, None) => {
            let remedy = "add [wire] with network = \"eth0\" and container = \"veth-web\", or [nic] with interface and \
                          container to leave the host its own";
            Err(Failure::refused(format!("the configuration names no interfaces: {remedy}")))
        }
    }
}

fn whole(Wire { network, container }: &Wire, plan: &Plan) -> Result<Attached, Failure> {
    let (pool, [outer, inner]) = rings::open_wire([network, container], &options(plan)).map_err(Failure::refused)?;
    Ok(joined(None, pool, vec![outer], vec![inner]))
}

fn shared(Nic { interface, queues, container }: &Nic, plan: &Plan) -> Result<Attached, Failure> {
    let queues = match queues {
        Queues::All => QueueChoice::All,
        Queues::These(queues) => QueueChoice::These(queues.clone()),
    };
    let nic = rings::Nic { interface, queues: &queues, container, owners: &owners(plan) };
    let open = rings::open_nic(&nic, &options(plan)).map_err(Failure::refused)?;
    let uplink = open.uplink[0].interface().index;
    let neighbours = Neighbours::answer(open.solicitations, uplink).map_err(|cause| {
        Failure::refused(format!("the neighbours of {interface} cannot be asked for: {cause}: netlink is needed"))
    })?;
    let interfaces = [interface.clone(), container.clone()];
    let steered = Steered { program: open.steering, rules: Some(open.rules), _neighbours: neighbours, interfaces };
    let [uplink, container] = [open.uplink, open.container].map(|side| side.into_iter().map(Socket::from).collect());
    Ok(joined(Some(steered), open.pool, uplink, container))
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

/// The network's queues first, then the containers'. What leaves does so by the first of either.
fn joined(steered: Option<Steered>, pool: Pool, network: Vec<Socket>, container: Vec<Socket>) -> Attached {
    let name = |devices: &[Socket]| devices[0].interface().name.clone();
    let devices = Directions { ingress: name(&container), egress: name(&network) };
    let modes = [&network[0], &container[0]].map(|device| (device.interface().name.clone(), mode(device)));
    let leaves_by = Direction::ALL.map(|direction| match direction {
        Direction::Ingress => network.len(),
        Direction::Egress => 0,
    });
    let port = |arriving| move |device| Port { device, arriving };
    let outer = network.into_iter().map(port(Arriving::Ingress));
    let ports = outer.chain(container.into_iter().map(port(Arriving::Egress))).collect();
    Attached { steered, pool, ports, leaves_by, devices, modes: BTreeMap::from(modes) }
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
