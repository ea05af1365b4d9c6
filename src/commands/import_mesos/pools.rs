//! The agent's port pools: what Mesos checks at its start, and how it hands out ephemeral blocks.

use std::collections::BTreeSet;

use portlane_classify::PortRange;

use super::flags::ImportMesos;
use super::resources::{Ports, Task};

/// The fewest ports that a container may send from.
const LEAST_BLOCK: u16 = 16;

/// Ports of the agent.
#[derive(Debug)]
pub(super) struct Pools {
    /// Those offered to frameworks.
    pub(super) ports: Ports,
    /// Those that containers send from, in blocks.
    pub(super) ephemeral: Ports,
    /// Ports of a block.
    pub(super) block: u16,
}

/// A container and the ports it owns.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) id: String,
    pub(super) millicpus: Option<u64>,
    pub(super) ports: Vec<PortRange>,
}

impl Pools {
    /// The pools that the flags give.
    ///
    /// # Errors
    ///
    /// In the order and the words of Mesos' isolator.
    pub(super) fn check(flags: &ImportMesos) -> Result<Self, String> {
        let resources = flags.resources.clone().unwrap_or_default();
        let ports = resources.ports.unwrap_or_default();
        let ephemeral = resources
            .ephemeral_ports
            .filter(|pool| pool.count() > 0)
            .ok_or("Ephemeral ports are not specified: add them to --resources, as in ephemeral_ports:[32768-57344]")?;
        let block = flags.ephemeral_ports_per_container;
        let apart = |others: &Ports, which: &str| {
            if ephemeral.intersects(others) {
                return Err(format!("The specified ephemeral ports {ephemeral} intersect with {which} {others}"));
            }
            Ok(())
        };
        apart(&ports, "the specified non-ephemeral ports")?;
        apart(&Ports::new(PortRange::new(1, 1_023).into_iter().collect()), "well known ports")?;
        if let Some(text) = &flags.ip_local_port_range {
            apart(&hosts_own(text)?, "the ephemeral ports used by the host")?;
        }
        if !block.is_power_of_two() {
            return Err(format!("The number of ephemeral ports for each container ({block}) is not a power of 2"));
        }
        if ephemeral.count() < u32::from(block) {
            return Err(format!(
                "Network Isolator is given ephemeral ports of size: {}, but asked to allocate {block} ephemeral ports for \
                 a container",
                ephemeral.count()
            ));
        }
        if block < LEAST_BLOCK {
            return Err(format!(
                "Each container has only {block} ephemeral ports. The minimum required is: {LEAST_BLOCK}"
            ));
        }
        Ok(Self { ports, ephemeral, block })
    }

    /// The blocks, in the order in which they are handed out: lowest first, each aligned to its size.
    pub(super) fn blocks(&self) -> impl Iterator<Item = PortRange> {
        let size = u32::from(self.block);
        self.ephemeral.ranges().iter().flat_map(move |range| {
            let first = u32::from(range.first()).next_multiple_of(size);
            let last = u32::from(range.last());
            (first..=last).step_by(usize::from(self.block)).filter_map(move |begin| {
                let end = begin + size - 1;
                let port = |number: u32| u16::try_from(number).ok();
                if end > last { None } else { PortRange::new(port(begin)?, port(end)?).ok() }
            })
        })
    }

    /// The containers: `tasks` with a block each, or without any one for each block.
    ///
    /// # Errors
    ///
    /// Mesos' for a container that it cannot start; and, what it does not see, that two have a name or ports in common.
    pub(super) fn owners(&self, tasks: &[Task]) -> Result<Vec<Owner>, String> {
        let mut blocks = self.blocks();
        if tasks.is_empty() {
            let numbered = (1..).zip(blocks);
            let owners: Vec<_> = numbered
                .map(|(n, block)| Owner { id: format!("container-{n}"), millicpus: None, ports: vec![block] })
                .collect();
            return if owners.is_empty() { Err(no_block("the first container")) } else { Ok(owners) };
        }
        let mut owners = Vec::new();
        for task in tasks {
            let own = task.resources.ports.clone().unwrap_or_default();
            if !self.ports.contains(&own) {
                return Err(format!(
                    "container {}: Some non-ephemeral ports specified in {own} are not managed by the agent",
                    task.id
                ));
            }
            let block = blocks.next().ok_or_else(|| no_block(&format!("container {}", task.id)))?;
            let ports = own.ranges().iter().copied().chain([block]).collect();
            owners.push(Owner { id: task.id.clone(), millicpus: task.resources.millicpus, ports });
        }
        names_differ(tasks)?;
        Ok(owners)
    }
}

fn no_block(whose: &str) -> String {
    format!("{whose}: Failed to allocate ephemeral ports: no block is left that begins at a multiple of its size")
}

fn names_differ(tasks: &[Task]) -> Result<(), String> {
    let mut names = BTreeSet::new();
    match tasks.iter().find(|task| !names.insert(&task.id)) {
        Some(twice) => Err(format!("container {} is given twice", twice.id)),
        None => Ok(()),
    }
}

/// The two numbers of `net.ipv4.ip_local_port_range`.
fn hosts_own(text: &str) -> Result<Ports, String> {
    let numbers: Vec<_> = text.split_whitespace().collect();
    let &[begin, end] = numbers.as_slice() else {
        return Err(format!("Unexpected format from host ip_local_port_range: {text}"));
    };
    let port = |which: &str, digits: &str| -> Result<u16, String> {
        digits.parse().map_err(|_| format!("Failed to parse the {which} of host ip_local_port_range: {digits}"))
    };
    let range = PortRange::new(port("begin", begin)?, port("end", end)?);
    range.map(|range| Ports::new(vec![range])).map_err(|why| format!("host ip_local_port_range: {why}"))
}
