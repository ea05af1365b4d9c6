//! The gate: a pair of interfaces that frames of all containers come by. So a container takes no socket.

use std::io;

use netlink_packet_route::link::LinkAttribute;
use portlane_rings::{Features, Interface};

use super::error::AttachError;
use super::making::{TAKES_FRAMES, create_pair, is_of, silence};
use super::names;
use super::netlink::Netlink;

/// Makes the gate of an uplink, both ends in the network namespace of the calling thread. One that a crash has left is replaced.
///
/// # Errors
///
/// [`AttachError`]; nothing is left behind.
pub fn make_gate(uplink: &str) -> Result<(), AttachError> {
    let failed = |cause| AttachError::of_kernel(format!("make the gate of {uplink}"), cause);
    let mtu = Interface::query(uplink).map_err(|_| AttachError::NoUplink { uplink: uplink.to_owned() })?.mtu;
    remove_gate(uplink)?;
    let mut host = Netlink::open().map_err(failed)?;
    let ends = [names::gate(uplink), names::delivery(uplink)];
    let peer = vec![LinkAttribute::IfName(ends[1].clone()), LinkAttribute::Mtu(mtu)];
    create_pair(&mut host, &ends[0], mtu, peer).map_err(failed)?;
    ends.iter().try_for_each(|end| prepare(&mut host, end, &mark(uplink))).map_err(|cause| {
        // What cannot be removed now the next run finds.
        let _ = remove_gate(uplink);
        failed(cause)
    })
}

fn prepare(host: &mut Netlink, name: &str, mark: &str) -> io::Result<()> {
    let end = host.link(name)?.ok_or(io::ErrorKind::NotFound)?;
    host.set_link(end.index, vec![LinkAttribute::IfAlias(mark.to_owned())])?;
    silence(name)?;
    Features::of(name)?.switch(&TAKES_FRAMES, true)?;
    host.set_up(end.index, true)
}

/// Removes the gate of an uplink, if there is one.
///
/// # Errors
///
/// [`AttachError::NameTaken`] if an interface of this name is somebody else's.
pub fn remove_gate(uplink: &str) -> Result<(), AttachError> {
    let failed = |cause| AttachError::of_kernel(format!("remove the gate of {uplink}"), cause);
    let mut host = Netlink::open().map_err(failed)?;
    for name in [names::gate(uplink), names::delivery(uplink)] {
        if let Some(found) = host.link(&name).map_err(failed)? {
            if !is_of(&found, &mark(uplink)) {
                return Err(AttachError::NameTaken { name });
            }
            host.delete_link(found.index).map_err(failed)?;
        }
    }
    Ok(())
}

fn mark(uplink: &str) -> String {
    format!("portlane gate of {uplink}")
}
