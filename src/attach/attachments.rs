//! The containers that are attached, and following the plan with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use nix::net::if_::{if_indextoname, if_nametoindex};
use portlane_classify::PortRange;
use portlane_rings::Gate;

use super::helper::Helper;
use super::listeners;
use super::local_ports::LocalPorts;
use super::names;
use super::paths::Range;
use super::readings::{Place, Round, is_of_process};
use super::uplink::{Seen, Watched};
use super::wanted::{Joined, Wanted};
use crate::config::{Container, Plan};
use crate::failure::Failure;
use crate::netstat::Latest;

/// All ports of all protocols.
const PORTS: usize = 1 << 16;

/// So many interfaces are removed in one go: it takes part of a second.
const AT_ONCE: usize = 128;

/// The gate's interfaces, and who makes those of containers. Dropped, all of them are removed; but of a run that never began only
/// what it has made.
#[derive(Debug)]
pub struct Attachments {
    helper: Helper,
    uplink: String,
    /// Whether 127.0.0.1 is shared, too.
    loopback: bool,
    /// Where frames go; once it is open.
    gate: Option<Gate>,
    /// What was asked for last. Those of it that could not be had are not in `joined`.
    asked: Members,
    /// The ports that `auto:N` takes blocks of, as asked for last.
    pool: Option<PortRange>,
    joined: BTreeMap<String, (Wanted, Joined)>,
    /// Those of them that were not there before: until the run has begun.
    made: Vec<String>,
    /// The host's addresses, as containers have them.
    addresses: Watched,
    /// The interface that each port is given to; 0: none.
    given: Vec<u32>,
    /// The ranges of them that the host is led to.
    led: Vec<Range>,
    /// Whose counters are read next.
    round: Round,
}

/// Containers that are to be attached, by their names.
type Members = BTreeMap<String, Member>;

/// A container that is to be attached.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    wanted: Wanted,
    ports: Vec<PortRange>,
}

impl Attachments {
    /// Starts the process that does it, makes the gate, and those of the plan's interfaces that are not there yet, in the network
    /// namespace of the calling thread: what takes its time is over before frames are taken from the card. `going_on` hears of it
    /// time and again. `None` if the plan does not attach containers.
    ///
    /// # Errors
    ///
    /// Refused if the gate cannot be made, or the host's own programs may get ports of the containers, or of the pool.
    pub fn start(plan: &Plan, going_on: &mut dyn FnMut()) -> Result<Option<Self>, Failure> {
        let Some(nic) = plan.nic.as_ref().filter(|nic| nic.attached) else { return Ok(None) };
        let asked = members(plan);
        check_apart(plan.added.pool, &asked).map_err(Failure::refused)?;
        let (mut helper, uplink) = (Helper::start()?, nic.interface.clone());
        helper.make_gate(&uplink).map_err(Failure::refused)?;
        let addresses = Watched::begin(&uplink).map_err(|cause| {
            // What cannot be removed now the next run finds.
            let _ = helper.remove_gate(&uplink);
            Failure::refused(format!("the addresses of {uplink} cannot be asked for: {cause}"))
        })?;
        let (pool, given) = (plan.added.pool, vec![0; PORTS]);
        let (joined, made) = (BTreeMap::new(), Vec::new());
        let mut starting = Self {
            helper,
            uplink,
            loopback: nic.loopback,
            gate: None,
            asked,
            pool,
            joined,
            made,
            addresses,
            given,
            led: Vec::new(),
            round: Round::default(),
        };
        for member in starting.asked.clone().into_values() {
            going_on();
            let wanted = once_asked(member.wanted);
            // What a killed run has left has connections, which the host's kernel ends if it hears of them: it is not waited for. Who
            // cannot be is tried again, and told of, when all else is open.
            let is_there = if_nametoindex(&*names::container(&wanted.id)).is_ok();
            if !is_there && starting.join(&wanted).is_ok() {
                starting.made.push(wanted.id);
            }
        }
        Ok(Some(starting))
    }

    /// Lets the containers' frames in, by a gate that is open. What is left of earlier runs is gone on with, or removed. Who cannot be
    /// attached is told of, and left out: it is tried again with each change.
    pub fn open(&mut self, gate: Gate, going_on: &mut dyn FnMut()) -> Vec<String> {
        self.gate = Some(gate);
        self.made.clear();
        let kept = self.asked.keys().cloned().collect();
        let mut told: Vec<_> = self.helper.sweep(&self.uplink, kept).err().into_iter().collect();
        for member in self.asked.clone().into_values() {
            going_on();
            let wanted = once_asked(member.wanted);
            let opened = match self.joined.remove(&wanted.id) {
                Some((_, joined)) => self.let_in(&wanted, joined, None),
                None => self.join(&wanted),
            };
            if let Err(why) = opened {
                told.push(format!("container {:?} is not attached: {why}", wanted.id));
            }
        }
        told.extend(self.give_ports(&[&self.asked.clone()]).err());
        told.extend(heard_by_others(&self.asked));
        told
    }

    /// Attaches what is new in a plan, and gives it its ports; what is no more stays until [`shrink`](Self::shrink). Returns what is
    /// probably not meant.
    ///
    /// # Errors
    ///
    /// What of it cannot be attached, or may not have its ports; all is as it was.
    pub fn extend(&mut self, plan: &Plan, going_on: &mut dyn FnMut()) -> Result<Vec<String>, String> {
        let members = members(plan);
        let new = members.iter().filter(|(id, member)| self.asked.get(*id).is_none_or(|had| had.ports != member.ports));
        let new: Members = new.map(|(id, member)| (id.clone(), member.clone())).collect();
        check_apart(plan.added.pool.filter(|pool| self.pool != Some(*pool)), &new)?;
        for (id, member) in &members {
            going_on();
            let is_known = self.asked.get(id) == Some(member);
            let moved =
                self.joined.get(id).filter(|(had, _)| had.namespace != member.wanted.namespace && self.is_there(id));
            let is_same = self.asked.get(id).is_some_and(|had| had.wanted.namespace == member.wanted.namespace);
            let wanted = if is_same { once_asked(member.wanted.clone()) } else { member.wanted.clone() };
            let joined = match moved {
                Some((had, _)) => Err(format!("container {id:?} is in {}: remove it first", had.namespace.display())),
                None if is_known && self.is_there(id) => Ok(()),
                None => self.join(&wanted),
            };
            if let Err(why) = joined.or_else(|why| if is_known { Ok(()) } else { Err(why) }) {
                self.restore(going_on);
                return Err(why);
            }
        }
        self.give_ports(&[&self.asked.clone(), &members]).inspect_err(|_| self.restore(going_on))?;
        Ok(heard_by_others(&new))
    }

    /// Detaches what is not in a plan that was [extended](Self::extend) to.
    pub fn shrink(&mut self, plan: &Plan, going_on: &mut dyn FnMut()) {
        (self.asked, self.pool) = (members(plan), plan.added.pool);
        self.restore(going_on);
    }

    /// Takes an [extension](Self::extend) back.
    pub fn restore(&mut self, going_on: &mut dyn FnMut()) {
        let asked = self.asked.clone();
        // The map has a place for each port: nothing is refused.
        let _ = self.give_ports(&[&asked]);
        let ids: Vec<_> = self.joined.keys().cloned().collect();
        let mut gone = Vec::new();
        for id in ids {
            going_on();
            match asked.get(&id).map(|member| &member.wanted) {
                None => gone.push(id),
                // Its programs get the ports again that they got before. If its namespace is gone, there are none.
                Some(wanted)
                    if self.joined.get(&id).is_some_and(|(had, _)| {
                        (&had.local_ports, &had.ports) != (&wanted.local_ports, &wanted.ports)
                    }) =>
                {
                    let _ = self.join(&once_asked(wanted.clone()));
                }
                Some(_) => {}
            }
        }
        self.part(&gone, going_on);
    }

    /// Gives the containers the addresses that the host has now, if those are others than at the last look; what to tell of it.
    pub fn follow_addresses(&mut self, going_on: &mut dyn FnMut()) -> Vec<String> {
        let uplink = &self.uplink;
        match self.addresses.look() {
            Seen::Same => return Vec::new(),
            Seen::None => {
                return vec![format!(
                    "interface {uplink} has no address any more: containers keep theirs until it has one"
                )];
            }
            Seen::Others => {}
        }
        let mut told = vec![format!("interface {uplink} has other addresses now: containers get them")];
        let mut failed = 0;
        for member in self.asked.clone().into_values() {
            going_on();
            let wanted = once_asked(member.wanted);
            // Who was not attached is not now.
            if !self.is_there(&wanted.id) {
                continue;
            }
            if let Err(why) = self.join(&wanted) {
                failed += 1;
                // What is wrong with one is mostly wrong with all.
                if failed == 1 {
                    told.push(format!("container {:?} did not get them: {why}", wanted.id));
                }
            }
        }
        told.extend(self.lead_host(true).err());
        if failed > 1 {
            told.push(format!("nor did {} others", failed - 1));
        }
        told
    }

    /// Reads what the kernel counts in the namespaces of some containers, the next in turn.
    pub fn read_counters(&mut self, most: usize, latest: &Latest) {
        let Self { helper, joined, round, .. } = self;
        let place = |(wanted, _): &(Wanted, Joined)| Place { namespace: wanted.namespace.clone(), identity: None };
        round.read(helper, joined, place, most, latest);
    }

    /// Whether all containers have been read since it was begun anew.
    #[must_use]
    pub fn have_read_all(&self) -> bool {
        self.round.is_over()
    }

    fn join(&mut self, wanted: &Wanted) -> Result<(), String> {
        let joined = self.helper.join(wanted)?;
        let had = self.joined.get(&wanted.id).map(|(_, had)| had.index);
        self.let_in(wanted, joined, had)
    }

    /// Lets in what comes by an interface, once there is a gate; `had` is the index of the one that the container had before.
    fn let_in(&mut self, wanted: &Wanted, joined: Joined, had: Option<u32>) -> Result<(), String> {
        let is_new = had != Some(joined.index);
        if let Some(gate) = &mut self.gate {
            had.filter(|_| is_new).into_iter().for_each(|index| gate.detach(index));
            if let Err(why) = let_in(gate, &joined, is_new) {
                if is_new {
                    gate.detach(joined.index);
                    let _ = self.helper.part(&self.uplink, &wanted.id);
                }
                return Err(why);
            }
        }
        self.joined.insert(wanted.id.clone(), (wanted.clone(), joined));
        Ok(())
    }

    /// Removes containers' interfaces: many at once, since the kernel waits for all of its cores each time.
    fn part(&mut self, ids: &[String], going_on: &mut dyn FnMut()) {
        for some in ids.chunks(AT_ONCE) {
            going_on();
            for id in some {
                if let Some((_, joined)) = self.joined.remove(id)
                    && let Some(gate) = &mut self.gate
                {
                    gate.detach(joined.index);
                }
            }
            // What is somebody else's now is not ours to remove.
            let _ = match some {
                [id] => self.helper.part(&self.uplink, id),
                _ => {
                    let kept = self.asked.keys().chain(self.joined.keys()).cloned().collect();
                    self.helper.sweep(&self.uplink, kept).map(drop)
                }
            };
        }
    }

    /// Whether a container's interface is there: it goes with its namespace.
    fn is_there(&self, id: &str) -> bool {
        self.joined.get(id).is_some_and(|(_, joined)| if_indextoname(joined.index).is_ok())
    }

    /// Gives the members' ports to their interfaces, those of later sets before those of earlier ones, and those of nobody to none.
    fn give_ports(&mut self, members: &[&Members]) -> Result<(), String> {
        let Some(gate) = &mut self.gate else { return Ok(()) };
        let mut wanted = vec![0; PORTS];
        for (id, Member { ports, .. }) in members.iter().copied().flatten() {
            let index = self.joined.get(id).map_or(0, |(_, joined)| joined.index);
            for range in ports {
                wanted[usize::from(range.first())..=usize::from(range.last())].fill(index);
            }
        }
        for (port, (given, wanted)) in (0..=u16::MAX).zip(self.given.iter_mut().zip(wanted)) {
            if *given != wanted {
                let set = gate.give(port..=port, wanted);
                set.map_err(|cause| format!("the kernel does not take the ports of containers: {cause}"))?;
                *given = wanted;
            }
        }
        self.give_ping_ids(members)?;
        self.lead_host(false)
    }

    /// Has what the host's own programs send to the ports of containers go there. `anew`: even if those are the same.
    fn lead_host(&mut self, anew: bool) -> Result<(), String> {
        let ranges = given(&self.given);
        if ranges != self.led || anew && !ranges.is_empty() {
            self.helper.lead(&self.uplink, ranges.clone(), self.loopback)?;
            self.led = ranges;
        }
        Ok(())
    }

    /// Pings leave as the longest of their container's ranges: so many can be told apart at a time.
    fn give_ping_ids(&mut self, members: &[&Members]) -> Result<(), String> {
        let Some(gate) = &mut self.gate else { return Ok(()) };
        for (id, Member { ports, .. }) in members.iter().copied().flatten() {
            let longest = ports.iter().max_by_key(|range| range.last() - range.first());
            if let Some((range, (_, joined))) = longest.zip(self.joined.get(id)) {
                let set = gate.set_ping_ids(joined.index, &(range.first()..=range.last()));
                set.map_err(|cause| format!("the kernel does not take what pings of {id:?} are to leave as: {cause}"))?;
            }
        }
        Ok(())
    }
}

impl Drop for Attachments {
    fn drop(&mut self) {
        // What cannot be removed now the next run finds.
        if self.gate.is_some() {
            // The interfaces go all at once, and programs with them.
            let _ = self.helper.sweep(&self.uplink, Vec::new());
        }
        for id in &self.made {
            let _ = self.helper.part(&self.uplink, id);
        }
        let _ = self.helper.remove_gate(&self.uplink);
    }
}

/// Ranges of ports that are given to somebody.
fn given(ports: &[u32]) -> Vec<Range> {
    let is_given = |port: u16| ports.get(usize::from(port)).is_some_and(|&interface| interface != 0);
    let mut ranges: Vec<Range> = Vec::new();
    for port in (0..=u16::MAX).filter(|&port| is_given(port)) {
        match ranges.last_mut() {
            Some((_, last)) if port > 0 && *last == port - 1 => *last = port,
            _ => ranges.push((port, port)),
        }
    }
    ranges
}

/// Neither the pool nor these members have ports that the host's own programs may get.
fn check_apart(pool: Option<PortRange>, members: &Members) -> Result<(), String> {
    if pool.is_none() && members.is_empty() {
        return Ok(());
    }
    let of_host = LocalPorts::read()?;
    pool.map_or(Ok(()), |pool| of_host.check("ephemeral_ports", pool))?;
    members.iter().try_for_each(|(id, Member { ports, .. })| {
        ports.iter().try_for_each(|&range| of_host.check(&format!("ports of container {id:?}:"), range))
    })
}

/// Of whose ports programs of the host listen at.
fn heard_by_others(members: &Members) -> Vec<String> {
    if members.is_empty() {
        return Vec::new();
    }
    match listeners::all() {
        Ok(found) => members.iter().filter_map(|(id, member)| listeners::warning(id, &member.ports, &found)).collect(),
        Err(cause) => vec![format!("who listens at ports of containers on the host cannot be told: {cause}")],
    }
}

/// Lets frames in that come from a container's addresses.
fn let_in(gate: &mut Gate, joined: &Joined, is_new: bool) -> Result<(), String> {
    if is_new {
        let attached = gate.attach(&joined.name, joined.index);
        attached.map_err(|cause| format!("the kernel takes no XDP program on {}: {cause}", joined.name))?;
    }
    let set = gate.set_addresses(joined.index, &joined.addresses);
    set.map_err(|cause| format!("the kernel does not take the addresses of {}: {cause}", joined.name))
}

/// The plan's containers, as they are to be attached.
fn members(plan: &Plan) -> Members {
    let Some(nic) = plan.nic.as_ref().filter(|nic| nic.attached) else { return Members::new() };
    let member = |container: &Arc<Container>| {
        let wanted = Wanted {
            id: container.id.clone(),
            uplink: nic.interface.clone(),
            namespace: container.netns.clone()?,
            local_ports: local_ports(&container.ports, plan.added.pool),
            ports: container.ports.iter().map(|range| (range.first(), range.last())).collect(),
            loopback: nic.loopback,
            may_be_new: true,
        };
        Some((container.id.clone(), Member { wanted, ports: container.ports.clone() }))
    };
    plan.containers.iter().filter_map(member).collect()
}

/// The ports that a container's programs get that ask for none: its block of the pool; or else the longest of its ranges, since
/// with others they would reach nobody. The kernel gives none of those that only the privileged may have.
fn local_ports(ports: &[PortRange], pool: Option<PortRange>) -> Option<(u16, u16)> {
    /// `ip_unprivileged_port_start`, unless told otherwise.
    const FIRST: u16 = 1_024;
    let usable = || ports.iter().filter(|range| range.last() >= FIRST);
    let of_pool = usable().find(|range| pool.is_some_and(|pool| pool.shared_with(**range).is_some()));
    let chosen = of_pool.or_else(|| usable().max_by_key(|range| range.last() - range.first().max(FIRST)))?;
    Some((chosen.first().max(FIRST), chosen.last()))
}

/// Of what was asked for before: a process that has the number now may be another, so nothing is made there any more.
fn once_asked(wanted: Wanted) -> Wanted {
    Wanted { may_be_new: !is_of_process(&wanted.namespace), ..wanted }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(texts: &[&str]) -> Vec<PortRange> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn programs_get_ports_of_the_block() {
        let ports = ranges(&["31000-31499", "32768-32783", "80"]);
        assert_eq!(local_ports(&ports, Some("32768-33791".parse().unwrap())), Some((32_768, 32_783)));
        assert_eq!(local_ports(&ports, None), Some((31_000, 31_499)));
        assert_eq!(local_ports(&ranges(&["80", "8080"]), Some("32768-33791".parse().unwrap())), Some((8_080, 8_080)));
        assert_eq!(local_ports(&ranges(&["1000-1030"]), None), Some((1_024, 1_030)));
        assert_eq!(local_ports(&ranges(&["80", "443"]), None), None);
    }
}
