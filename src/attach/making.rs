//! Making a container's interface, step by step, and unmaking it.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo, LinkMessage};
use nix::libc::EEXIST;
use portlane_rings::Features;

use super::error::AttachError;
use super::namespace;
use super::netlink::{Link, Netlink, Present};
use super::paths::{self, Rules, Way};
use super::uplink::{Uplink, has_loopback};
use super::{Joined, Wanted, names};
use crate::netns::Namespace;

/// What a container's interface is called there.
pub(super) const INSIDE: &str = "eth0";

const LOCAL_PORTS: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// What would leave the container unfinished, since no card comes behind it: checksums, segments, tags of VLANs. Their names begin
/// with `tx-`, and there are more of them with each kernel.
pub(super) const LEFT_TO_A_CARD: [&str; 4] = ["checksum", "csum", "segmentation", "vlan"];

/// With it an end of a pair takes frames that a program redirects to the other end.
pub(super) const TAKES_FRAMES: [&str; 1] = ["rx-gro"];

/// An interface that is being made: each [`step`](Self::step) may be the last one that there is time for, and [`undo`](Self::undo)
/// takes back all that were taken.
///
/// Begun again, it goes on with what is there of it, whatever was left: by a failure, by a crash, or when all was done.
pub struct Making {
    wanted: Wanted,
    uplink: Uplink,
    host: Netlink,
    namespace: Namespace,
    inside: Netlink,
    /// The host's end, and the container's: once there are.
    ends: Option<[u32; 2]>,
    former: Former,
    next: usize,
}

type Step = fn(&mut Making) -> Result<(), AttachError>;

impl fmt::Debug for Making {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wanted, ends, next, .. } = self;
        f.debug_struct("Making").field("wanted", wanted).field("ends", ends).field("next", next).finish_non_exhaustive()
    }
}

/// How things were in the namespace.
#[derive(Default)]
struct Former {
    /// The index of a loopback that was down.
    loopback: Option<u32>,
    local_ports: Option<String>,
    /// Whether there are rules by ports that were not there.
    has_rules: bool,
}

impl Making {
    /// How many steps there are.
    pub const STEPS: usize = Self::ALL.len();

    const ALL: [Step; 10] = [
        Self::join,
        Self::mark,
        Self::resemble_the_uplink,
        Self::finish_frames,
        Self::give_addresses,
        Self::set_up,
        Self::give_routes,
        Self::set_loopback_up,
        Self::lead_to_others,
        Self::give_local_ports,
    ];

    /// Looks at everything that it takes, and touches nothing. The host is the network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// [`AttachError`]: what it takes is not there.
    pub fn begin(wanted: Wanted) -> Result<Self, AttachError> {
        let failed = |cause| AttachError::of_kernel("talk to the kernel by netlink", cause);
        let mut host = Netlink::open().map_err(failed)?;
        let uplink = Uplink::of(&mut host, &wanted.uplink)?;
        let namespace = namespace::open(&wanted.namespace)?;
        let inside = namespace.within(Netlink::open).and_then(|opened| opened).map_err(failed)?;
        Ok(Self { wanted, uplink, host, namespace, inside, ends: None, former: Former::default(), next: 0 })
    }

    /// Takes the next step: false if there was none left.
    ///
    /// # Errors
    ///
    /// [`AttachError`]: it cannot be taken.
    pub fn step(&mut self) -> Result<bool, AttachError> {
        let Some(step) = Self::ALL.get(self.next) else { return Ok(false) };
        self.next += 1;
        step(self).map(|()| true)
    }

    /// Takes all steps, or none.
    ///
    /// # Errors
    ///
    /// [`AttachError`]; all is as it was.
    pub fn finish(mut self) -> Result<Joined, AttachError> {
        loop {
            match self.step() {
                Ok(true) => {}
                Ok(false) => break,
                Err(why) => {
                    self.undo();
                    return Err(why);
                }
            }
        }
        let [index, _] = self.ends.unwrap_or_default();
        let mut addresses = self.uplink.sources();
        addresses.extend(self.wanted.loopback.then_some(paths::LOOPBACK));
        Ok(Joined { name: self.name(), index, addresses })
    }

    /// Takes back what was done: the namespace is as it was before this was begun, and the interface is gone.
    pub fn undo(mut self) {
        // What cannot be put back is in a namespace that is gone, or going.
        if let Some(former) = self.former.local_ports.take() {
            let _ = self.namespace.within(|| fs::write(LOCAL_PORTS, former));
        }
        if self.former.has_rules {
            let _ = Rules::default().settle(&mut self.inside);
        }
        if let Some(loopback) = self.former.loopback {
            let _ = self.inside.set_up(loopback, false);
        }
        if let Some([index, _]) = self.ends {
            let _ = self.host.delete_link(index);
        }
    }

    fn name(&self) -> String {
        names::container(&self.wanted.id)
    }

    /// Makes the pair, with the container's end in its place from the start. One that is there already is kept if it joins the same
    /// two, and made anew if it does not.
    fn join(&mut self) -> Result<(), AttachError> {
        let name = self.name();
        let asked = |cause| AttachError::of_kernel(format!("look for interface {name}"), cause);
        if let Some(found) = self.host.link(&name).map_err(asked)? {
            if !is_of(&found, &self.wanted.mark()) {
                return Err(AttachError::NameTaken { name });
            }
            self.ends = self.joined_ends(&found).map_err(asked)?;
            if self.ends.is_some() {
                return Ok(());
            }
            self.host.delete_link(found.index).map_err(asked)?;
        }
        if !self.wanted.may_be_new {
            return Err(AttachError::NotThere { path: self.wanted.namespace.clone() });
        }
        let has_one = self.inside.link(INSIDE).map_err(asked)?.is_some();
        if has_one {
            return Err(AttachError::HasInterface { path: self.wanted.namespace.clone() });
        }
        self.create(&name)?;
        let made = self.host.link(&name).map_err(asked)?;
        // Until both ends are known the host's is enough to take it back.
        self.ends = made.as_ref().map(|made| [made.index, 0]);
        self.ends = made.map(|made| self.joined_ends(&made)).transpose().map_err(asked)?.flatten();
        self.ends
            .map(drop)
            .ok_or_else(|| AttachError::of_kernel(format!("find {name} again"), io::ErrorKind::NotFound.into()))
    }

    fn create(&mut self, name: &str) -> Result<(), AttachError> {
        let peer = vec![
            LinkAttribute::IfName(INSIDE.to_owned()),
            LinkAttribute::Address(self.uplink.hardware.to_vec()),
            LinkAttribute::Mtu(self.uplink.mtu),
            LinkAttribute::NetNsFd(self.namespace.descriptor()),
        ];
        let created = create_pair(&mut self.host, name, self.uplink.mtu, peer);
        created.map_err(|cause| match cause.raw_os_error() {
            // Somebody was faster, here or there.
            Some(EEXIST) => AttachError::HasInterface { path: self.wanted.namespace.clone() },
            _ => AttachError::of_kernel(format!("make interface {name} and its other end"), cause),
        })
    }

    /// Both ends, if the other end of `found` is the container's interface.
    fn joined_ends(&mut self, found: &Link) -> io::Result<Option<[u32; 2]>> {
        let Some(inside) = self.inside.link(INSIDE)? else { return Ok(None) };
        let number = self.host.number_of(self.namespace.file())?;
        let is_joined = number.is_some() && number == found.peer_namespace && found.peer == Some(inside.index);
        Ok(is_joined.then_some([found.index, inside.index]))
    }

    /// Whose it is can be seen (`ip link`), also by a later run. The host has nothing to say there, and hears nothing.
    fn mark(&mut self) -> Result<(), AttachError> {
        let ([index, _], name) = (self.ends.unwrap_or_default(), self.name());
        let attributes = vec![LinkAttribute::IfAlias(self.wanted.mark()), LinkAttribute::Mtu(self.uplink.mtu)];
        let marked = self.host.set_link(index, attributes).and_then(|()| silence(&name));
        marked.map_err(|cause| AttachError::of_kernel(format!("set up interface {name}"), cause))
    }

    fn resemble_the_uplink(&mut self) -> Result<(), AttachError> {
        let [_, inside] = self.ends.unwrap_or_default();
        let hardware = LinkAttribute::Address(self.uplink.hardware.to_vec());
        let resembles = self.inside.set_link(inside, vec![hardware, LinkAttribute::Mtu(self.uplink.mtu)]);
        resembles.map_err(|cause| self.failed("give eth0 the host's Ethernet address and MTU", cause))
    }

    /// What leaves the container is as on a wire.
    fn finish_frames(&mut self) -> Result<(), AttachError> {
        let switch = || {
            let features = Features::of(INSIDE)?;
            let is_left = |kind: &str| LEFT_TO_A_CARD.iter().any(|word| kind.contains(word));
            let left = features.active()?.into_iter().filter(|name| name.strip_prefix("tx-").is_some_and(is_left));
            features.switch(&left.collect::<Vec<_>>(), false)?;
            features.switch(&TAKES_FRAMES, true)
        };
        let switched = self.namespace.within(switch).and_then(|switched| switched);
        switched.map_err(|cause| self.failed("switch offloads of eth0", cause))
    }

    fn give_addresses(&mut self) -> Result<(), AttachError> {
        let [_, inside] = self.ends.unwrap_or_default();
        let has_ipv6 = self.has_ipv6();
        // First those that the host has no more: with an IPv4 address go others of its subnet that came later.
        let taken = self
            .uplink
            .superfluous(&mut self.inside, inside)
            .and_then(|superfluous| superfluous.into_iter().try_for_each(|address| self.inside.change(address, 0)));
        taken.map_err(|cause| self.failed("take addresses from eth0 that the host has no more", cause))?;
        for address in self.uplink.addresses.iter().filter(|address| address.address.is_ipv4() || has_ipv6) {
            let given = self.inside.create(address.given(inside), Present::Replace);
            given.map_err(|cause| self.failed(&format!("give eth0 the address {}", address.address), cause))?;
        }
        Ok(())
    }

    fn set_up(&mut self) -> Result<(), AttachError> {
        let [index, inside] = self.ends.unwrap_or_default();
        let up = self.inside.set_up(inside, true).and_then(|()| self.host.set_up(index, true));
        up.map_err(|cause| self.failed("set eth0 up", cause))
    }

    fn give_routes(&mut self) -> Result<(), AttachError> {
        let [_, inside] = self.ends.unwrap_or_default();
        let has_ipv6 = self.has_ipv6();
        for route in self.uplink.routes.iter().filter(|route| route.is_ipv4 || has_ipv6) {
            let given = self.inside.create(route.message(inside), Present::Replace);
            given.map_err(|cause| self.failed("give eth0 the host's default route", cause))?;
        }
        Ok(())
    }

    /// The ports of its address that are not the container's are elsewhere on the host.
    fn lead_to_others(&mut self) -> Result<(), AttachError> {
        let [_, inside] = self.ends.unwrap_or_default();
        let has_ipv6 = self.has_ipv6();
        let shared = self.uplink.addresses.iter().map(|address| address.address);
        let mut shared: Vec<_> = shared.filter(|address| address.is_ipv4() || has_ipv6).collect();
        let has_loopback = if self.wanted.loopback { has_loopback(&mut self.inside) } else { Ok(false) };
        shared.extend(has_loopback.as_ref().is_ok_and(|&has| has).then_some(paths::LOOPBACK));
        let rules = paths::container_rules(&self.wanted.ports, &shared);
        let shares_loopback = shared.contains(&paths::LOOPBACK);
        let ways = if shares_loopback { &[Way::There, Way::Back][..] } else { &[Way::There] };
        let take = || paths::take_own_addresses(INSIDE, shares_loopback);
        let led = has_loopback
            .and_then(|_| self.namespace.within(take)?)
            .and_then(|()| paths::lead(&mut self.inside, inside, self.uplink.hardware, &shared, ways))
            .and_then(|()| {
                self.former.has_rules = !paths::are_made(&mut self.inside)?;
                rules.settle(&mut self.inside)
            });
        led.map_err(|cause| self.failed("lead to the other ports of the host's address", cause))
    }

    fn set_loopback_up(&mut self) -> Result<(), AttachError> {
        let loopback = self.inside.link("lo").map(|found| found.filter(|loopback| !loopback.is_up));
        let up = loopback.and_then(|loopback| {
            self.former.loopback = loopback.map(|loopback| loopback.index);
            self.former.loopback.map_or(Ok(()), |index| self.inside.set_up(index, true))
        });
        up.map_err(|cause| self.failed("set lo up", cause))
    }

    /// Programs that let the system choose a port get one of the container's.
    fn give_local_ports(&mut self) -> Result<(), AttachError> {
        let Some((first, last)) = self.wanted.local_ports else { return Ok(()) };
        let set = || {
            let former = fs::read_to_string(LOCAL_PORTS)?;
            fs::write(LOCAL_PORTS, format!("{first} {last}"))?;
            Ok(former)
        };
        let set = self.namespace.within(set).and_then(|set| set);
        let former = set.map_err(|cause| self.failed(&format!("set {LOCAL_PORTS} to {first} {last}"), cause))?;
        self.former.local_ports = Some(former);
        Ok(())
    }

    /// Whether the container wants IPv6.
    fn has_ipv6(&self) -> bool {
        let off = format!("/proc/sys/net/ipv6/conf/{INSIDE}/disable_ipv6");
        let read = self.namespace.within(|| fs::read_to_string(off)).and_then(|read| read);
        read.is_ok_and(|off| off.trim() == "0")
    }

    fn failed(&self, what: &str, cause: io::Error) -> AttachError {
        AttachError::of_kernel(format!("{what} in {}", self.wanted.namespace.display()), cause)
    }
}

/// Whether an interface was made for this, or is one that a crash left before it had been said what it is for.
pub(super) fn is_of(found: &Link, mark: &str) -> bool {
    found.peer.is_some() && found.alias.as_deref().is_none_or(|alias| alias == mark)
}

/// Makes a pair: one end here, and the other as `peer` says.
pub(super) fn create_pair(host: &mut Netlink, name: &str, mtu: u32, peer: Vec<LinkAttribute>) -> io::Result<()> {
    let mut other = LinkMessage::default();
    other.attributes = peer;
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::Mtu(mtu),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(other))),
        ]),
    ];
    host.create(RouteNetlinkMessage::NewLink(message), Present::Refuse)
}

/// The kernel sends nothing there of its own accord, and forwards nothing that comes from there while no program takes it.
pub(super) fn silence(name: &str) -> io::Result<()> {
    fs::write(Path::new("/proc/sys/net/ipv4/conf").join(name).join("forwarding"), "0")?;
    match fs::write(Path::new("/proc/sys/net/ipv6/conf").join(name).join("disable_ipv6"), "1") {
        // A kernel without IPv6.
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        written => written,
    }
}
