//! The gate: a pair of interfaces that frames of all containers come by. So a container takes no socket. Beside it is a second pair, of
//! what stays on the host: its other end is an interface of the host's like any other, by which it speaks with its containers.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use netlink_packet_route::link::LinkAttribute;
use portlane_rings::{Features, Interface};

use super::error::AttachError;
use super::making::{LEFT_TO_A_CARD, TAKES_FRAMES, create_pair, is_of, silence};
use super::names;
use super::netlink::Netlink;
use super::paths::{self, Range, Rules, Way};
use super::uplink::{Uplink, has_loopback};

/// Makes the gate of an uplink, all ends in the network namespace of the calling thread. One that a crash has left is replaced.
///
/// # Errors
///
/// [`AttachError`]; nothing is left behind.
pub fn make_gate(uplink: &str) -> Result<(), AttachError> {
    let failed = |cause| AttachError::of_kernel(format!("make the gate of {uplink}"), cause);
    let found = Interface::query(uplink).map_err(|_| AttachError::NoUplink { uplink: uplink.to_owned() })?;
    remove_gate(uplink)?;
    let mut host = Netlink::open().map_err(failed)?;
    let made = make_pairs(&mut host, uplink, &found);
    made.map_err(|cause| {
        // What cannot be removed now the next run finds.
        let _ = remove_gate(uplink);
        failed(cause)
    })
}

fn make_pairs(host: &mut Netlink, uplink: &str, of: &Interface) -> io::Result<()> {
    let mark = mark(uplink);
    let pairs = [[names::gate(uplink), names::delivery(uplink)], [names::within(uplink), names::host(uplink)]];
    for [one, other] in &pairs {
        let mut peer = vec![LinkAttribute::IfName(other.clone()), LinkAttribute::Mtu(of.mtu)];
        if *other == names::host(uplink) {
            // It takes what is for the host.
            peer.push(LinkAttribute::Address(of.address.to_vec()));
        }
        create_pair(host, one, of.mtu, peer)?;
        for end in [one, other] {
            let index = index_of(host, end)?;
            host.set_link(index, vec![LinkAttribute::IfAlias(mark.clone())])?;
            if *end == names::host(uplink) {
                be_the_hosts(end)?;
            } else {
                silence(end)?;
                Features::of(end)?.switch(&TAKES_FRAMES, true)?;
            }
            host.set_up(index, true)?;
        }
    }
    Ok(())
}

fn index_of(host: &mut Netlink, name: &str) -> io::Result<u32> {
    Ok(host.link(name)?.ok_or(io::ErrorKind::NotFound)?.index)
}

/// What the host sends there is as on a wire, and it has no address of its own there; what it gets comes from its own address.
fn be_the_hosts(name: &str) -> io::Result<()> {
    let features = Features::of(name)?;
    let is_left = |kind: &str| LEFT_TO_A_CARD.iter().any(|word| kind.contains(word));
    let left = features.active()?.into_iter().filter(|name| name.strip_prefix("tx-").is_some_and(is_left));
    features.switch(&left.collect::<Vec<_>>(), false)?;
    paths::take_own_addresses(name, false)?;
    fs::write(Path::new("/proc/sys/net/ipv4/conf").join(name).join("forwarding"), "0")?;
    let ipv6 = Path::new("/proc/sys/net/ipv6/conf").join(name);
    let set = |(what, value): (&str, &str)| match fs::write(ipv6.join(what), value) {
        // A kernel without IPv6.
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        written => written,
    };
    // `IN6_ADDR_GEN_MODE_NONE`: no address is made of that of Ethernet.
    [("addr_gen_mode", "1"), ("accept_ra", "0"), ("forwarding", "0")].into_iter().try_for_each(set)
}

/// Has what the host itself sends to these ports of the addresses that it shares go to portlane, and what it sends to others not;
/// `loopback`: 127.0.0.1 is one of them.
///
/// # Errors
///
/// [`AttachError`].
pub(super) fn lead_host(uplink: &str, ports: &[Range], loopback: bool) -> Result<(), AttachError> {
    let failed = |cause| AttachError::of_kernel("lead the host to its containers".to_owned(), cause);
    let mut host = Netlink::open().map_err(failed)?;
    let of = Uplink::of(&mut host, uplink)?;
    let name = names::host(uplink);
    let has_ipv6 = follow_ipv6(uplink, &name).map_err(failed)?;
    let shared = of.addresses.iter().map(|address| address.address);
    let mut shared: Vec<IpAddr> = shared.filter(|address| address.is_ipv4() || has_ipv6).collect();
    let loopback = loopback && has_loopback(&mut host).map_err(failed)?;
    shared.extend(loopback.then_some(paths::LOOPBACK));
    paths::take_own_addresses(&name, loopback).map_err(failed)?;
    let index = index_of(&mut host, &name).map_err(failed)?;
    let led = paths::lead(&mut host, index, of.hardware, &shared, &[Way::There, Way::Back]);
    led.and_then(|()| paths::host_rules(ports, &shared).settle(&mut host)).map_err(failed)
}

/// Has IPv6 be on there where it is on the uplink. Returns whether it is.
fn follow_ipv6(uplink: &str, name: &str) -> io::Result<bool> {
    let switch = |name: &str| Path::new("/proc/sys/net/ipv6/conf").join(name).join("disable_ipv6");
    let is_on = |name: &str| fs::read_to_string(switch(name)).is_ok_and(|off| off.trim() == "0");
    if is_on(uplink) && !is_on(name) {
        fs::write(switch(name), "0")?;
    }
    Ok(is_on(name))
}

/// Removes the gate of an uplink, if there is one, and what leads the host to it.
///
/// # Errors
///
/// [`AttachError::NameTaken`] if an interface of this name is somebody else's.
pub fn remove_gate(uplink: &str) -> Result<(), AttachError> {
    let failed = |cause| AttachError::of_kernel(format!("remove the gate of {uplink}"), cause);
    let mut host = Netlink::open().map_err(failed)?;
    Rules::default().settle(&mut host).map_err(failed)?;
    for name in [names::gate(uplink), names::delivery(uplink), names::within(uplink), names::host(uplink)] {
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
