//! What a container's interface is to be, and getting it.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::AttachError;
use super::making::{Making, is_of};
use super::names;
use super::netlink::{Link, Netlink};
use super::uplink::Uplink;

/// What is wanted: that a container shares an interface of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The container.
    pub id: String,
    /// The interface whose addresses it has.
    pub uplink: String,
    /// Its network namespace.
    pub namespace: PathBuf,
    /// The first and the last of the ports that its programs get that do not ask for one (`ip_local_port_range`).
    pub local_ports: Option<(u16, u16)>,
    /// Its ports, from the first to the last of each range: those of the address that it shares which are within.
    pub ports: Vec<(u16, u16)>,
    /// Whether what it sends to the other ports of 127.0.0.1 is for others on the host, as on the address that it shares.
    pub loopback: bool,
    /// Whether it may be made. Otherwise it has to be there already, from an earlier run.
    pub may_be_new: bool,
}

/// The host's end of a container's interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// The addresses that the container sends from.
    pub addresses: Vec<IpAddr>,
}

impl Wanted {
    /// What the host's end says that it is for (`ip link` calls it alias).
    pub(super) fn mark(&self) -> String {
        mark(&self.uplink, &self.id)
    }
}

fn mark(uplink: &str, id: &str) -> String {
    /// As many bytes as the kernel takes (`IFALIASZ`), less one.
    const LONGEST: usize = 255;
    let mut mark = mark_of_all(uplink) + id;
    mark.truncate(mark.floor_char_boundary(LONGEST));
    mark
}

/// What the marks of all containers on an uplink begin with.
fn mark_of_all(uplink: &str) -> String {
    format!("portlane container on {uplink}: ")
}

/// Whether there is something to share: an interface with an address.
///
/// # Errors
///
/// [`AttachError::NoUplink`], [`AttachError::NoAddress`].
pub(super) fn sharable(uplink: &str) -> Result<(), AttachError> {
    let failed = |cause| AttachError::of_kernel(format!("ask for the addresses of {uplink}"), cause);
    Uplink::of(&mut Netlink::open().map_err(failed)?, uplink).map(drop)
}

/// Has a container share an interface of the host, which is the network namespace of the calling thread. One that does already is
/// left as it is, but for what is not as it should be.
///
/// # Errors
///
/// [`AttachError`]; nothing has changed.
pub fn join(wanted: Wanted) -> Result<Joined, AttachError> {
    Making::begin(wanted)?.finish()
}

/// Takes a container's interface away, if it has one. What stays in its namespace means nothing without: `lo` is up, and programs
/// get ports as they did.
///
/// # Errors
///
/// [`AttachError::NameTaken`] if an interface of its name is somebody else's.
pub fn part(uplink: &str, id: &str) -> Result<(), AttachError> {
    let name = names::container(id);
    let failed = |cause| AttachError::of_kernel(format!("remove interface {name}"), cause);
    let mut host = Netlink::open().map_err(failed)?;
    match host.link(&name).map_err(failed)? {
        Some(found) if !is_of(&found, &mark(uplink, id)) => Err(AttachError::NameTaken { name }),
        Some(found) => host.delete_link(found.index).map_err(failed),
        None => Ok(()),
    }
}

/// Takes the interfaces away that containers on an uplink have had, but for those of `kept`; returns the names of those that went.
///
/// # Errors
///
/// [`AttachError::Kernel`].
pub fn sweep(uplink: &str, kept: &[String]) -> Result<Vec<String>, AttachError> {
    let failed = |cause| AttachError::of_kernel(format!("remove what was left of containers on {uplink}"), cause);
    let kept: HashSet<String> = kept.iter().map(|id| names::container(id)).collect();
    let mut host = Netlink::open().map_err(failed)?;
    let links = host.links().map_err(failed)?;
    let is_unwanted = |link: &&Link| {
        let is_ours = link.alias.as_ref().is_none_or(|alias| alias.starts_with(&mark_of_all(uplink)));
        names::is_containers(&link.name) && link.peer.is_some() && is_ours && !kept.contains(&link.name)
    };
    let unwanted: Vec<_> = links.iter().filter(is_unwanted).collect();
    let indices: Vec<_> = unwanted.iter().map(|link| link.index).collect();
    host.delete_links(&indices, &links).map_err(failed)?;
    Ok(unwanted.into_iter().map(|link| link.name.clone()).collect())
}
