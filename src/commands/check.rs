//! `portlane check`: what a configuration says, as it was understood.

use std::fmt::Write as _;

use portlane_classify::Direction;
use portlane_shaper::{LaneParams, Limiter, QueueParams, Rate, Size};

use super::outputs;
use crate::args::Check;
use crate::config::{self, Plan};
use crate::failure::Failure;

/// Runs the command.
///
/// # Errors
///
/// Refused if the configuration cannot be used.
pub fn run(arguments: &Check) -> Result<(), Failure> {
    let plan = config::load(&arguments.config).map_err(Failure::refused)?;
    outputs::print(&explain(&plan))
}

/// The explanation of a plan: every value with its conversions, then the warnings.
#[must_use]
pub fn explain(plan: &Plan) -> String {
    let mut text = String::new();
    write_plan(&mut text, plan).expect("writing to a string does not fail");
    text
}

fn write_plan(out: &mut String, plan: &Plan) -> std::fmt::Result {
    let link = plan.link.limit.map_or_else(|| "not limited".to_owned(), |(rate, burst)| limit(rate, burst));
    writeln!(out, "link            {link}, each direction on its own")?;
    if plan.host_addresses.is_empty() {
        writeln!(out, "host addresses  none: a packet's direction is told by the ports that containers own")?;
    } else {
        writeln!(out, "host addresses  {}", list(&plan.host_addresses))?;
    }
    for container in &plan.containers {
        let ports: u32 = container.ports.iter().map(|range| u32::from(range.last() - range.first()) + 1).sum();
        writeln!(out, "\ncontainer {}", container.id)?;
        writeln!(out, "  ports         {} ({ports} in all)", list(&container.ports))?;
        if !container.addresses.is_empty() {
            writeln!(out, "  addresses     {}", list(&container.addresses))?;
        }
        for direction in Direction::ALL {
            writeln!(out, "  {direction:<13} {}", lane(&container.lanes[direction.index()]))?;
        }
        writeln!(out, "  queue         {}", queue(&container.lanes[0].queue))?;
    }
    writeln!(out, "\nunmatched       {}; {}", lane(&plan.unmatched), queue(&plan.unmatched.queue))?;
    match &plan.wire {
        Some(wire) => writeln!(out, "wire            network {}, containers {}", wire.network, wire.container)?,
        None => writeln!(out, "wire            none: for replay only")?,
    }
    writeln!(out, "http            {}", plan.listen)?;
    writeln!(out, "control         {}", plan.socket.display())?;
    for warning in &plan.warnings {
        writeln!(out, "\nwarning: {warning}")?;
    }
    Ok(())
}

fn lane(lane: &LaneParams) -> String {
    match lane.limiter {
        Limiter::None => "not limited".to_owned(),
        Limiter::Htb { rate, burst } => format!("htb {}", limit(rate, burst)),
        Limiter::Tbf { rate, burst, peak } => {
            let peak = peak.map(|peak| format!(", peak rate {}, mtu {}", convert(peak.rate), bytes(peak.mtu)));
            let queued = lane.queue.limit_bytes.map(|limit| format!(", limit {}", bytes(limit)));
            format!("tbf {}{}{}", limit(rate, burst), peak.unwrap_or_default(), queued.unwrap_or_default())
        }
    }
}

fn limit(rate: Rate, burst: Size) -> String {
    format!("rate {}, burst {}", convert(rate), bytes(burst))
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
    match &queue.codel {
        None => format!("fifo, limit {} packets", grouped(u64::from(queue.limit))),
        Some(codel) => format!(
            "codel, limit {} packets, target {}, interval {}, ecn {}",
            grouped(u64::from(queue.limit)),
            codel.target,
            codel.interval,
            if codel.ecn { "on" } else { "off" },
        ),
    }
}

fn list<T: std::fmt::Display>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

/// A number with its digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}
