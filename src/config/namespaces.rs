//! `netns` of `[[container]]`: where a container is that has an interface of its own.

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

/// Each container says where it is, or none does. The file's own come first, so many of them, and then those that were added.
pub(super) fn check(containers: &[Arc<Container>], own: usize, nic: Option<&Nic>) -> Result<(), Wrong> {
    let attached = nic.is_some_and(|nic| nic.attached);
    let mut seen = HashMap::new();
    for (place, container) in containers.iter().enumerate() {
        if let Some((title, help)) = wrong(container, attached, place < own) {
            return Err(Wrong { place, title, help });
        }
        let Some(netns) = &container.netns else { continue };
        if let Some(other) = seen.insert(netns, &container.id) {
            let title = format!("containers {other:?} and {:?} have the same network namespace", container.id);
            return Err(Wrong { place, title, help: "each has an eth0 there: give each a namespace of its own" });
        }
    }
    Ok(())
}

/// What is wrong with a container, and what would be right.
fn wrong(container: &Container, attached: bool, is_of_file: bool) -> Option<(String, &'static str)> {
    let id = &container.id;
    let (title, help) = match &container.netns {
        None if attached => (
            format!("container {id:?} has no network namespace"),
            "[nic] says that all are attached: add netns = \"/run/netns/web\"",
        ),
        Some(_) if !attached => (
            format!("container {id:?} has a network namespace, and is not attached"),
            "add [nic] with interface and containers = \"attached\", or leave netns out",
        ),
        Some(netns) if !netns.is_absolute() => (
            format!("netns of container {id:?} is no absolute path"),
            "give the whole path, as in netns = \"/run/netns/web\"",
        ),
        Some(netns) if is_of_file && netns.starts_with("/proc") => (
            format!("netns of container {id:?} is that of a process, which does not last as long as a file"),
            "give the namespace a name (`ip netns attach web PID`), or add the container by `portlane container add --pid`",
        ),
        Some(_) if !container.addresses.is_empty() => (
            format!("container {id:?} has addresses, and is attached"),
            "an attached container has those of the host's interface: leave addresses out",
        ),
        _ => return None,
    };
    Some((title, help))
}
