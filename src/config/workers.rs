//! `[[worker]]`: cores, and the queues that each serves.

use std::collections::HashSet;
use std::str::FromStr;

use toml::Spanned;

use super::error::Problem;
use super::file;
use super::interfaces::{Nic, Queues, Wire};
use super::values::{Listed, Text, Written};
use crate::workers::MAX_WORKERS;

/// A worker, as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// The core that is its own.
    pub core: usize,
    /// The queues that it serves: of the network's interface, and of the containers'.
    pub queues: [Vec<u32>; 2],
}

/// A queue by its name: `eth0:0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueueName {
    interface: String,
    queue: u32,
}

impl FromStr for QueueName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.rsplit_once(':').filter(|(interface, _)| !interface.is_empty());
        let parts = parts.and_then(|(interface, queue)| Some((interface.to_owned(), queue.parse().ok()?)));
        let (interface, queue) = parts.ok_or_else(|| format!("{text:?} is no queue of an interface"))?;
        Ok(Self { interface, queue })
    }
}

impl Written for QueueName {
    const EXPECTED: &'static str = "an interface and a number from 0 on in quotes, as in \"eth0:0\"";
}

impl Listed for Spanned<Text<QueueName>> {
    const EXPECTED: &'static str = "a list of queues, as in [\"eth0:0\", \"veth-web:0\"]";
}

impl Listed for file::Worker {
    const EXPECTED: &'static str = "workers in double brackets: [[worker]]";
}

/// Checks the workers against each other and the interfaces. None: that is decided when interfaces are known.
pub(super) fn workers(
    written: &[file::Worker],
    wire: Option<&Wire>,
    nic: Option<&Nic>,
) -> Result<Vec<Worker>, Problem> {
    let Some(last) = written.last() else { return Ok(Vec::new()) };
    let names = match (wire, nic) {
        (Some(Wire { network, container }), _) => [network.as_str(), container],
        (None, Some(Nic { interface, container, .. })) => [interface.as_str(), container],
        (None, None) => {
            let problem =
                Problem::at(last.core.span(), "workers serve the queues of [wire] or [nic], and there is neither");
            return Err(problem.help("add one of them, or leave [[worker]] out"));
        }
    };
    if written.len() > MAX_WORKERS {
        let title = format!("{} workers, and the most are {MAX_WORKERS}", written.len());
        return Err(Problem::at(last.core.span(), title));
    }
    check_cores(written)?;
    let mut served = HashSet::new();
    let workers = written.iter().map(|worker| one(worker, names, nic, &mut served)).collect::<Result<Vec<_>, _>>()?;
    check_together(&workers, names, nic).map_err(|(title, help)| Problem::at(last.queues.span(), title).help(help))?;
    Ok(workers)
}

fn check_cores(written: &[file::Worker]) -> Result<(), Problem> {
    let mut seen = HashSet::new();
    match written.iter().find(|worker| !seen.insert(worker.core.get_ref().0)) {
        Some(twice) => {
            let problem = Problem::at(twice.core.span(), format!("core {} has two workers", twice.core.get_ref().0));
            Err(problem.help("give each worker a core of its own"))
        }
        None => Ok(()),
    }
}

fn one<'a>(
    written: &'a file::Worker,
    names: [&str; 2],
    nic: Option<&Nic>,
    served: &mut HashSet<(&'a str, u32)>,
) -> Result<Worker, Problem> {
    let mut queues = [Vec::new(), Vec::new()];
    let listed = &written.queues.get_ref().0;
    if listed.is_empty() {
        let problem = Problem::at(written.queues.span(), "the worker serves no queue");
        return Err(problem.help(format!("name some, as in queues = [\"{}:0\", \"{}:0\"]", names[0], names[1])));
    }
    for name in listed {
        let Text(QueueName { interface, queue }) = name.get_ref();
        let Some(side) = names.iter().position(|side| side == interface) else {
            let problem = Problem::at(name.span(), format!("{interface} is no interface of [wire] or [nic]"));
            return Err(problem.help(format!("those are {} and {}", names[0], names[1])));
        };
        if !served.insert((interface, *queue)) {
            let problem = Problem::at(name.span(), format!("queue {queue} of {interface} is served twice"));
            return Err(problem.help("a queue has one worker: name it once"));
        }
        if side == 0 && nic.is_some_and(|nic| !nic.queues.contains(*queue)) {
            let problem = Problem::at(name.span(), format!("queue {queue} of {interface} is not one of [nic] queues"));
            return Err(problem.help("add it there, or leave it out here"));
        }
        queues[side].push(*queue);
    }
    Ok(Worker { core: written.core.get_ref().0 as usize, queues })
}

/// What only all workers together can lack: what is wrong, and what would be right.
fn check_together(workers: &[Worker], names: [&str; 2], nic: Option<&Nic>) -> Result<(), (String, String)> {
    if !workers.iter().any(|worker| worker.queues.iter().all(|queues| !queues.is_empty())) {
        let title = format!("no worker serves queues of both {} and {}", names[0], names[1]);
        return Err((title, "packets leave by queues of the worker who owns their lane: give one worker both".into()));
    }
    let Some(Nic { queues: Queues::These(chosen), interface, .. }) = nic else { return Ok(()) };
    let is_served = |queue| workers.iter().any(|worker| worker.queues[0].contains(queue));
    match chosen.iter().find(|&queue| !is_served(queue)) {
        Some(queue) => Err((
            format!("queue {queue} of {interface} is served by no worker"),
            format!("add \"{interface}:{queue}\" to the queues of one, or take it out of [nic] queues"),
        )),
        None => Ok(()),
    }
}
