//! `netns` of `[[container]]`: where a container is, for an interface of its own, or for what its kernel counts.

use std::collections::HashMap;
use std::sync::Arc;

use super::error::Problem;
use super::file;
use super::interfaces::Nic;
use super::plan::Container;

/// What is wrong with one of some containers.
pub(super) struct Wrong {
    place: usize,
    title: String,
    help: &'static str,
}

impl Wrong {
    /// The problem of a container that was written there.
    pub(super) fn at(self, written: &[file::Container]) -> Problem {
        let container = &written[self.place];
        let span = container.netns.as_ref().map_or_else(|| container.id.span(), toml::Spanned::span);
        Problem::at(span, self.title).help(self.help)
    }

    /// That of one that was added.
    pub(super) fn of_added(self) -> Problem {
        Problem::of_the_whole(self.title).help(self.help)
    }
}

/// What it is for to say where containers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Places {
    /// Nothing.
    Unused,
    /// What is counted there is read.
    Read,
    /// They get their interfaces there.
    Attached,
}

impl Places {
    pub(super) fn of(nic: Option<&Nic>, reads: bool) -> Self {
        match nic {
            Some(nic) if nic.attached => Self::Attached,
            _ if reads => Self::Read,
            _ => Self::Unused,
        }
    }
}

/// Of containers that are attached each says where it is; of others, those that are to be read. The file's own come first, so many of
/// them, and then those that were added.
pub(super) fn check(containers: &[Arc<Container>], own: usize, places: Places) -> Result<(), Wrong> {
    let mut seen = HashMap::new();
    for (place, container) in containers.iter().enumerate() {
        if let Some((title, help)) = wrong(container, places, place < own) {
            return Err(Wrong { place, title, help });
        }
        let Some(netns) = &container.netns else { continue };
        if let Some(other) = seen.insert(netns, &container.id) {
            let title = format!("containers {other:?} and {:?} have the same network namespace", container.id);
            let help = match places {
                Places::Attached => "each has an eth0 there: give each a namespace of its own",
                _ => "what is counted there is the one's or the other's: leave netns out of one of them",
            };
            return Err(Wrong { place, title, help });
        }
    }
    Ok(())
}

/// What is wrong with a container, and what would be right.
fn wrong(container: &Container, places: Places, is_of_file: bool) -> Option<(String, &'static str)> {
    let id = &container.id;
    let (title, help) = match &container.netns {
        None if places == Places::Attached => (
            format!("container {id:?} has no network namespace"),
            "[nic] says that all are attached: add netns = \"/run/netns/web\"",
        ),
        Some(_) if places == Places::Unused => (
            format!("container {id:?} has a network namespace, and is not attached"),
            "add [nic] with interface and containers = \"attached\"; or [netstat] with proc = true, to read what is counted there; or \
             leave netns out",
        ),
        Some(netns) if !netns.is_absolute() => (
            format!("netns of container {id:?} is no absolute path"),
            "give the whole path, as in netns = \"/run/netns/web\"",
        ),
        Some(netns) if is_of_file && netns.starts_with("/proc") => (
            format!("netns of container {id:?} is that of a process, which does not last as long as a file"),
            "give the namespace a name (`ip netns attach web PID`), or add the container by `portlane container add --pid`",
        ),
        Some(_) if places == Places::Attached && !container.addresses.is_empty() => (
            format!("container {id:?} has addresses, and is attached"),
            "an attached container has those of the host's interface: leave addresses out",
        ),
        _ => return None,
    };
    Some((title, help))
}
