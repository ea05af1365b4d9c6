//! `portlane check`: what a configuration says, as it was understood.

use std::fmt::{self, Write as _};
use std::iter;

use portlane_classify::Direction;
use portlane_flows::{Acl, Inventory, Place};
use portlane_meters::IpNet;
use portlane_shaper::{
    Aqm, FqParams, Framing, GroupId, LaneId, LaneParams, Limiter, LinkParams, Nanos, NodeId, NodeReading, QueueParams,
    Rate, Shape, Shaper, Size, codel,
};

use super::outputs;
use crate::args::Check;
use crate::build::shaper;
use crate::config::{self, Added, Mode, Nic, Plan, Running};
use crate::failure::Failure;
use crate::flows::{Settings as FlowSettings, StoreSettings};
use crate::meters::Settings;

/// Runs the command.
///
/// # Errors
///
/// Refused if the configuration cannot be used.
pub fn run(arguments: &Check) -> Result<(), Failure> {
    let plan = config::load(&arguments.config).map_err(Failure::refused)?;
    outputs::print(&explain(&plan))
}

/// The explanation of a plan: the tree with every value and its conversions, then the warnings.
#[must_use]
pub fn explain(plan: &Plan) -> String {
    let mut text = String::new();
    write_plan(&mut text, plan).expect("writing to a string does not fail");
    text
}

fn write_plan(out: &mut String, plan: &Plan) -> fmt::Result {
    writeln!(out, "link            {}, each direction on its own", link(&plan.link.params[0]))?;
    writeln!(out, "queue           {}", queue(&plan.unmatched.queue))?;
    write_modes(out, plan)?;
    if plan.host_addresses.is_empty() {
        writeln!(out, "host addresses  none: a packet's direction is told by the ports that containers own")?;
    } else {
        writeln!(out, "host addresses  {}", list(&plan.host_addresses))?;
    }
    let tree = Tree::of(plan);
    tree.write_under(out, None, 0)?;
    writeln!(out, "\nunmatched")?;
    tree.write_lanes(out, tree.unmatched(), [&plan.unmatched; 2], 0)?;
    writeln!(out)?;
    write_interfaces(out, plan)?;
    writeln!(out, "http            {}", plan.listen)?;
    write_rates(out, plan)?;
    writeln!(out, "control         {}", plan.socket.display())?;
    write_pool(out, &plan.added)?;
    write_meters(out, &plan.meters)?;
    write_inventory(out, &plan.inventory)?;
    write_flows(out, plan.flows.as_deref())?;
    if plan.reads_namespaces {
        writeln!(out, "netstat         read in the namespaces of containers that have netns")?;
    }
    if let Some(connections) = plan.netstat {
        writeln!(out, "netstat         told from frames, too: up to {connections} connections at a time")?;
    }
    for warning in &plan.warnings {
        writeln!(out, "\nwarning: {warning}")?;
    }
    Ok(())
}

/// Whose limits are only watched.
fn write_modes(out: &mut impl fmt::Write, plan: &Plan) -> fmt::Result {
    let others = plan.containers.iter().filter(|container| container.mode != plan.mode);
    let others: Vec<_> = others.map(|container| container.id.as_str()).collect();
    match (plan.mode, others.is_empty()) {
        (Mode::Enforce, true) => Ok(()),
        (mode, true) => writeln!(out, "mode            {mode}"),
        (mode, false) => writeln!(out, "mode            {mode}, but not of {}", list(&others)),
    }
}

/// The ports that containers which are added at run time may get.
fn write_pool(out: &mut impl fmt::Write, added: &Added) -> fmt::Result {
    let Some(pool) = added.pool else { return Ok(()) };
    let rest = added.rest;
    writeln!(out, "ephemeral ports {pool}: blocks for containers that are added; those given back rest for {rest}")
}

/// Labels with their rules, and how what they count is told.
fn write_meters(out: &mut impl fmt::Write, meters: &Settings) -> fmt::Result {
    if meters.book.is_empty() {
        return Ok(());
    }
    let (measure, report) = (meters.measure.as_secs(), meters.report.as_secs());
    let apart = if meters.granular { ", containers apart" } else { "" };
    let output = meters.sinks.output.as_ref().map(|path| path.display().to_string());
    let post = meters.sinks.post.as_ref().map(ToString::to_string);
    let to = output.into_iter().chain(post).collect::<Vec<_>>().join(" and ");
    let to = if to.is_empty() { "nowhere" } else { &to };
    writeln!(
        out,
        "meters          measured every {measure} s, told every {report} s by {} to {to}{apart}",
        meters.host
    )?;
    for label in meters.book.labels() {
        writeln!(out, "  label {:?} {}", label.name, label.id)?;
        for rule in meters.book.rules().iter().filter(|rule| rule.label_id == label.id) {
            let (source, destination) = rule.prefixes.ends(rule.direction);
            let end =
                |name: &str, prefix: Option<IpNet>| prefix.map(|net| format!(" {name} {net}")).unwrap_or_default();
            let but = if rule.excluded { "but not" } else { "counts" };
            writeln!(out, "    {but} {}{}{}", rule.direction, end("from", source), end("to", destination))?;
        }
    }
    Ok(())
}

/// Where addresses are, and which flows are counted together.
fn write_inventory(out: &mut impl fmt::Write, inventory: &Inventory) -> fmt::Result {
    for (prefix, Place { region, az, epc, subnet, host }) in inventory.networks.iter() {
        let numbers = [("region", region), ("az", az), ("subnet", subnet), ("host", host)];
        let known =
            numbers.into_iter().filter(|(_, number)| *number > 0).map(|(key, number)| format!("{key} {number}"));
        let known = known.chain((epc > 0).then(|| format!("epc {epc}"))).collect::<Vec<_>>();
        let known = if known.is_empty() { "nothing more is known".to_owned() } else { list(&known) };
        writeln!(out, "network         {prefix}: {known}")?;
    }
    for Acl { group, protocol, clients, servers, server_ports } in &inventory.acls {
        let any = |items: String| if items.is_empty() { "any".to_owned() } else { items };
        let protocol = protocol.map_or_else(|| "any".to_owned(), |protocol| protocol.to_string());
        let (clients, servers, ports) = (any(list(clients)), any(list(servers)), any(list(server_ports)));
        writeln!(
            out,
            "acl             group {group}: clients {clients}; servers {servers}; ports {ports}; protocol {protocol}"
        )?;
    }
    Ok(())
}

/// How flows are observed, and where rows are kept.
fn write_flows(out: &mut impl fmt::Write, flows: Option<&FlowSettings>) -> fmt::Result {
    let Some(FlowSettings { core, max_flows, agent, store }) = flows else { return Ok(()) };
    let core = core.map_or_else(|| "any core but those of workers".to_owned(), |core| format!("core {core}"));
    let agent = if *agent > 0 { format!(", agent {agent}") } else { String::new() };
    writeln!(out, "flows           observed on {core}, {max_flows} at a time{agent}")?;
    let Some(StoreSettings { folder, every, age, limit }) = store else { return Ok(()) };
    let age = age.map(|age| format!(" or {} s old", age.as_secs())).unwrap_or_default();
    let (folder, every) = (folder.display(), every.as_secs());
    writeln!(
        out,
        "  kept in {folder}, a file a table every {every} s, the oldest until there are {}{age}",
        bytes(*limit)
    )
}

/// The window of rates, with the memory that all lanes' take.
fn write_rates(out: &mut impl fmt::Write, plan: &Plan) -> fmt::Result {
    let Some(sampling) = plan.rates else { return Ok(()) };
    let (window, interval) = (Nanos(sampling.window_ns()), Nanos(sampling.interval_ns()));
    let lanes = 2 * (plan.containers.len() as u64 + 1);
    let (samples, memory) = (grouped(sampling.samples()), grouped(lanes.saturating_mul(sampling.window_bytes())));
    writeln!(out, "rates           window {window}, interval {interval}: {samples} samples a lane, {memory} B in all")
}

/// The interfaces, and how a run on them behaves.
fn write_interfaces(out: &mut impl fmt::Write, plan: &Plan) -> fmt::Result {
    match (&plan.wire, &plan.nic) {
        (Some(wire), _) => writeln!(out, "wire            network {}, containers {}", wire.network, wire.container)?,
        (None, Some(Nic { interface, queues, container, attached, loopback })) => {
            let behind = if *attached { "attached, by " } else { "" };
            writeln!(
                out,
                "nic             {interface}, {queues}, shared with the host; containers {behind}{container}"
            )?;
            if *attached {
                let whose =
                    if *loopback { "127.0.0.1 shared by port, as is the host's address" } else { "each one's own" };
                writeln!(out, "loopback        {whose}")?;
            }
        }
        (None, None) => return writeln!(out, "wire            none: for replay only"),
    }
    write_workers(out, plan)?;
    let Running { io, idle, interface_down, drain, offloads, checksums } = plan.running;
    writeln!(out, "running         io {io}, idle {idle}, interface_down {interface_down}, drain {drain}")?;
    writeln!(out, "frames          offloads {offloads}, checksums {checksums}")
}

fn write_workers(out: &mut impl fmt::Write, plan: &Plan) -> fmt::Result {
    let Some(sides) = plan.sides() else { return Ok(()) };
    if plan.workers.is_empty() {
        return writeln!(out, "workers         automatic: one for each queue, as far as there are cores");
    }
    for (worker, key) in plan.workers.iter().zip(iter::once("workers").chain(iter::repeat(""))) {
        let named = sides.iter().zip(&worker.queues);
        let named = named.flat_map(|(side, queues)| queues.iter().map(move |queue| format!("{side}:{queue}")));
        writeln!(out, "{key:<16}core {}: {}", worker.core, list(&named.collect::<Vec<_>>()))?;
    }
    Ok(())
}

/// Where each group and container stands.
struct Tree<'a> {
    plan: &'a Plan,
    /// What follows from the plan, by [`Direction::index`].
    shapers: [Shaper<()>; 2],
    /// What is directly under the link, then what is directly in each group.
    members: Vec<Members>,
}

#[derive(Default, Clone)]
struct Members {
    groups: Vec<GroupId>,
    containers: Vec<LaneId>,
}

impl<'a> Tree<'a> {
    fn of(plan: &'a Plan) -> Self {
        let mut members = vec![Members::default(); 1 + plan.groups.len()];
        for (id, group) in (0..).map(GroupId).zip(&*plan.groups) {
            members[slot(group.group)].groups.push(id);
        }
        for (id, container) in (0..).map(LaneId).zip(&plan.containers) {
            members[slot(container.group)].containers.push(id);
        }
        let shapers = Direction::ALL.map(|direction| shaper(plan, direction, 0, Nanos::ZERO));
        Self { plan, shapers, members }
    }

    fn unmatched(&self) -> LaneId {
        LaneId(self.plan.owners.unmatched())
    }

    /// Each node under the parent, with what is under it in turn.
    fn write_under(&self, out: &mut String, parent: Option<GroupId>, depth: usize) -> fmt::Result {
        let members = &self.members[slot(parent)];
        for &id in &members.groups {
            self.write_group(out, id, depth)?;
            self.write_under(out, Some(id), depth + 1)?;
        }
        members.containers.iter().try_for_each(|&id| self.write_container(out, id, depth))
    }

    fn write_group(&self, out: &mut String, id: GroupId, depth: usize) -> fmt::Result {
        let group = &self.plan.groups[id.0 as usize];
        writeln!(out, "\n{:indent$}group {}", "", group.id, indent = 2 * depth)?;
        for direction in Direction::ALL {
            let params = &group.params[direction.index()];
            let priority = params.priority.map_or_else(String::new, |priority| format!("priority {priority}, "));
            let reading = self.reading(direction, NodeId::Group(id));
            let (guarantee, framing) = (guarantee(&reading), framing(reading.framing));
            let share = format!("{guarantee}{priority}weight {}{framing}", params.weight);
            write_direction(out, direction, &rates(params.shape), &share, depth)?;
        }
        Ok(())
    }

    fn write_container(&self, out: &mut String, id: LaneId, depth: usize) -> fmt::Result {
        let container = &self.plan.containers[id.0 as usize];
        let indent = 2 * depth;
        let ports: u32 = container.ports.iter().map(|range| u32::from(range.last() - range.first()) + 1).sum();
        writeln!(out, "\n{:indent$}container {}", "", container.id)?;
        writeln!(out, "{:indent$}  ports         {} ({ports} in all)", "", list(&container.ports))?;
        if !container.addresses.is_empty() {
            writeln!(out, "{:indent$}  addresses     {}", "", list(&container.addresses))?;
        }
        if let Some(netns) = &container.netns {
            writeln!(out, "{:indent$}  netns         {}", "", netns.display())?;
        }
        self.write_lanes(out, id, container.lanes.each_ref(), depth)?;
        // A TBF's limit in bytes is of its lane alone.
        let params = QueueParams { limit_bytes: None, ..container.lanes[0].queue.clone() };
        if params != self.plan.unmatched.queue {
            writeln!(out, "{:indent$}  queue         {}", "", queue(&params))?;
        }
        Ok(())
    }

    fn write_lanes(&self, out: &mut String, id: LaneId, lanes: [&LaneParams; 2], depth: usize) -> fmt::Result {
        for (direction, lane) in Direction::ALL.into_iter().zip(lanes) {
            let reading = self.reading(direction, NodeId::Lane(id));
            let NodeReading { priority, quantum, .. } = reading;
            let (guarantee, quantum) = (guarantee(&reading), bytes(Size(quantum.into())));
            let (weight, framing) = (lane.share.weight, framing(reading.framing));
            let share = format!("{guarantee}priority {priority}, weight {weight}, quantum {quantum}{framing}");
            write_direction(out, direction, &limiter(lane), &share, depth)?;
        }
        Ok(())
    }

    fn reading(&self, direction: Direction, id: NodeId) -> NodeReading {
        self.shapers[direction.index()].node(id, Nanos::ZERO)
    }
}

/// Two lines: the limits, and under them the share of what is above.
fn write_direction(out: &mut String, direction: Direction, limits: &str, share: &str, depth: usize) -> fmt::Result {
    let indent = 2 * depth;
    writeln!(out, "{:indent$}  {direction:<13} {limits}\n{:indent$}  {:<13} {share}", "", "", "")
}

/// What is sure to be there for a node when all want theirs; nothing is said where nothing limits it.
fn guarantee(reading: &NodeReading) -> String {
    let bits = reading.guarantee.map(|rate| grouped(rate.bits_per_second()));
    bits.map_or_else(String::new, |bits| format!("guaranteed {bits} bit/s, "))
}

/// The place of a parent's members.
fn slot(parent: Option<GroupId>) -> usize {
    parent.map_or(0, |group| 1 + group.0 as usize)
}

fn link(link: &LinkParams) -> String {
    format!("{}{}", link.shape.map_or_else(|| "not limited".to_owned(), shape), framing(link.framing))
}

fn rates(limits: Option<Shape>) -> String {
    limits.map_or_else(|| "not limited".to_owned(), |limits| format!("htb {}", shape(limits)))
}

fn limiter(lane: &LaneParams) -> String {
    match lane.limiter {
        Limiter::None => "not limited".to_owned(),
        Limiter::Htb(limits) => rates(Some(limits)),
        Limiter::Tbf { rate, burst, peak } => {
            let peak = peak.map(|peak| format!(", peak rate {}, mtu {}", convert(peak.rate), bytes(peak.mtu)));
            let queued = lane.queue.limit_bytes.map(|limit| format!(", limit {}", bytes(limit)));
            let (peak, queued) = (peak.unwrap_or_default(), queued.unwrap_or_default());
            format!("tbf rate {}, burst {}{peak}{queued}", convert(rate), bytes(burst))
        }
    }
}

fn shape(Shape { rate, ceil, burst, cburst }: Shape) -> String {
    let ceil = match ceil {
        Rate::MAX => ", ceil none".to_owned(),
        _ if (ceil, cburst) == (rate, burst) => ", ceil the same".to_owned(),
        _ => format!(", ceil {}, cburst {}", convert(ceil), bytes(cburst)),
    };
    format!("rate {}, burst {}{ceil}", convert(rate), bytes(burst))
}

fn framing(Framing { overhead, mpu }: Framing) -> String {
    let overhead = if overhead == 0 { String::new() } else { format!(", overhead {overhead}b") };
    let mpu = if mpu == 0 { String::new() } else { format!(", mpu {mpu}b") };
    overhead + &mpu
}

/// A rate as written, in bits and in bytes a second.
fn convert(rate: Rate) -> String {
    format!("{rate} ({} bit/s, {} B/s)", grouped(rate.bits_per_second()), grouped(rate.bytes_per_second()))
}

fn bytes(size: Size) -> String {
    let written = size.to_string();
    if written == format!("{}b", size.0) { written } else { format!("{written} ({} B)", grouped(size.0)) }
}

fn queue(queue: &QueueParams) -> String {
    let limit = format!("limit {} packets", grouped(u64::from(queue.limit)));
    match &queue.aqm {
        Aqm::Fifo => format!("fifo, {limit}"),
        Aqm::Codel(params) => format!("codel, {limit}, {}", codel(params)),
        Aqm::FqCodel(FqParams { codel: params, flows, quantum, memory_limit, drop_batch }) => format!(
            "fq_codel, {limit}, flows {}, quantum {}, {}, memory limit {}, drop batch {}",
            grouped(u64::from(*flows)),
            bytes(Size(u64::from(*quantum))),
            codel(params),
            bytes(*memory_limit),
            grouped(u64::from(*drop_batch)),
        ),
    }
}

fn codel(codel: &codel::Params) -> String {
    let threshold = codel.ce_threshold.map_or_else(String::new, |threshold| format!(", ce threshold {threshold}"));
    let ecn = if codel.ecn { "on" } else { "off" };
    format!("target {}, interval {}, ecn {ecn}{threshold}", codel.target, codel.interval)
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

/// A number with its digits in groups of three.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}
