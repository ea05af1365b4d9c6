//! The interfaces: `[wire]`, which takes everything, or `[nic]`, which takes what belongs to containers.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Unexpected, Visitor};
use toml::Spanned;

use super::error::Problem;
use super::file;
use crate::attach::names;

/// The longest name of a network interface (`IFNAMSIZ` with its final zero).
const MAX_INTERFACE_NAME: usize = 15;

/// More than any interface has.
const MAX_QUEUE: u32 = 0xffff;

/// Two interfaces to join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wire {
    /// The side that the world is on.
    pub network: String,
    /// The side that the containers are on.
    pub container: String,
}

/// An interface that the host and its containers share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    /// Its name.
    pub interface: String,
    /// Its queues that are served.
    pub queues: Queues,
    /// The interface that the containers are behind.
    pub container: String,
    /// Whether containers have interfaces of their own. Then portlane makes these, and that one ([`names::gate`]).
    pub attached: bool,
    /// Whether attached containers and their host share 127.0.0.1 as they do the card's addresses.
    pub loopback: bool,
}

/// Where containers are that have no interface in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Containers {
    /// In network namespaces, with interfaces that portlane makes.
    Attached,
}

/// Receive queues of an interface.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Queues {
    /// All that it has.
    #[default]
    All,
    /// These, each once.
    These(Vec<u32>),
}

impl Queues {
    /// Whether a queue is one of them, if there is such a queue.
    #[must_use]
    pub fn contains(&self, queue: u32) -> bool {
        match self {
            Self::All => true,
            Self::These(queues) => queues.contains(&queue),
        }
    }
}

impl fmt::Display for Queues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all queues"),
            Self::These(queues) => {
                let numbers: Vec<_> = queues.iter().map(u32::to_string).collect();
                write!(f, "{} {}", if queues.len() == 1 { "queue" } else { "queues" }, numbers.join(", "))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Queues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct QueuesVisitor;

        impl<'de> Visitor<'de> for QueuesVisitor {
            type Value = Queues;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"all\", or a list of numbers of queues from 0 on, as in [0, 1]")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Queues, E> {
                if text == "all" { Ok(Queues::All) } else { Err(E::invalid_value(Unexpected::Str(text), &self)) }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Queues, A::Error> {
                let mut queues = Vec::new();
                while let Some(number) = items.next_element::<i64>()? {
                    let queue = u32::try_from(number).ok().filter(|&queue| queue <= MAX_QUEUE);
                    queues.push(queue.ok_or_else(|| A::Error::invalid_value(Unexpected::Signed(number), &self))?);
                }
                Ok(Queues::These(queues))
            }
        }

        deserializer.deserialize_any(QueuesVisitor)
    }
}

pub(super) fn wire(written: file::Wire) -> Result<Wire, Problem> {
    check_names(&written.network, &written.container, "wire")?;
    Ok(Wire { network: written.network.into_inner(), container: written.container.into_inner() })
}

/// `beside` is `[wire]`, which excludes it.
pub(super) fn nic(written: file::Nic, beside: Option<&Wire>) -> Result<Nic, Problem> {
    let file::Nic { interface, queues, container, containers, loopback } = written;
    if beside.is_some() {
        let problem = Problem::at(interface.span(), "[wire] and [nic] exclude each other");
        return Err(problem.help("[wire] takes everything, [nic] what belongs to containers: leave one of them out"));
    }
    let attached = containers.is_some();
    if let Some(loopback) = loopback.as_ref().filter(|_| !attached) {
        let problem = Problem::at(loopback.span(), "loopback is of containers that are attached");
        return Err(problem.help("add containers = \"attached\" in place of container, or leave loopback out"));
    }
    let container = match (container, containers) {
        (Some(container), None) => container,
        (None, Some(word)) => Spanned::new(word.span(), names::gate(interface.get_ref())),
        (Some(_), Some(word)) => {
            let problem = Problem::at(word.span(), "container and containers exclude each other");
            return Err(problem.help("containers are behind the one interface, or portlane gives each its own"));
        }
        (None, None) => {
            let problem = Problem::at(interface.span(), "[nic] does not say where containers are");
            return Err(problem.help(
                "add container = \"veth-web\", the interface that they are behind; or containers = \"attached\", and netns to \
                 each of them",
            ));
        }
    };
    check_names(&interface, &container, "NIC")?;
    let queues = queues.map_or(Ok(Queues::All), check_queues)?;
    let loopback = attached && loopback.is_none_or(Spanned::into_inner);
    Ok(Nic { interface: interface.into_inner(), queues, container: container.into_inner(), attached, loopback })
}

fn check_names(network: &Spanned<String>, container: &Spanned<String>, what: &str) -> Result<(), Problem> {
    for side in [network, container] {
        let name = side.get_ref();
        if name.is_empty() || name.len() > MAX_INTERFACE_NAME || name.contains(['/', '\0', ' ']) {
            let problem = Problem::at(side.span(), format!("{name:?} is no name of an interface"));
            return Err(problem.help("`ip link` lists them"));
        }
    }
    if network.get_ref() == container.get_ref() {
        let problem = Problem::at(container.span(), format!("both sides of the {what} are the same interface"));
        return Err(problem.help("name the interface that the containers are behind"));
    }
    Ok(())
}

fn check_queues(written: Spanned<Queues>) -> Result<Queues, Problem> {
    if let Queues::These(queues) = written.get_ref() {
        if queues.is_empty() {
            let problem = Problem::at(written.span(), "no queue is served");
            return Err(problem.help("name one, as in queues = [0], or all: queues = \"all\""));
        }
        let mut seen = HashSet::new();
        if let Some(twice) = queues.iter().find(|&queue| !seen.insert(queue)) {
            return Err(Problem::at(written.span(), format!("queue {twice} is listed twice")));
        }
    }
    Ok(written.into_inner())
}
