//! What the steering program knows of attached interfaces: see `bpf/attached.h`.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use aya::Ebpf;
use aya::maps::{HashMap, MapData};

use super::solicitations::address;
use super::steering::{Verdict, key, map, system};

/// `struct member` of `bpf/attached.h`.
type Member = [u64; 3];

/// `struct source` of `bpf/attached.h`: an interface, and an address.
type Source = [u8; 24];

/// `struct offender` of `bpf/attached.h`.
type LastOffender = [u8; 32];

/// A packet that an attached container should not have sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offender {
    /// Why: [`Verdict::ForeignPort`] or [`Verdict::ForeignAddress`].
    pub verdict: Verdict,
    /// The number of its protocol (IANA, "Assigned Internet Protocol Numbers").
    pub protocol: u8,
    /// Where it says that it comes from.
    pub address: IpAddr,
    /// The port that it comes from; of a ping the one that it would have left as.
    pub port: u16,
}

/// The last offender of each attached interface.
pub(super) struct Offenders(HashMap<MapData, u32, LastOffender>);

impl Offenders {
    pub(super) fn take(program: &mut Ebpf) -> io::Result<Self> {
        map(program, "offenders").map(Self)
    }

    /// From now on the last one is kept.
    pub(super) fn watch(&mut self, interface: u32) -> io::Result<()> {
        self.0.insert(interface, [0; 32], 0).map_err(system)
    }

    pub(super) fn forget(&mut self, interface: u32) {
        // It is there, or has never been.
        let _ = self.0.remove(&interface);
    }

    /// `None` if there has been none.
    pub(super) fn last(&self, interface: u32) -> io::Result<Option<Offender>> {
        self.0.get(&interface, 0).map(|bytes| Offender::read(&bytes)).map_err(system)
    }
}

impl Offender {
    fn read(bytes: &LastOffender) -> Option<Self> {
        let (address, rest) = address(bytes)?;
        let mut words = rest.chunks_exact(4).map(|word| u32::from_ne_bytes(word.try_into().unwrap_or_default()));
        let (port, protocol, verdict) = (words.next()?, words.next()?, words.next()?);
        let verdict = *Verdict::ALL.get(usize::try_from(verdict).ok()?)?;
        Some(Self { verdict, protocol: u8::try_from(protocol).ok()?, address, port: u16::try_from(port).ok()? })
    }
}

/// Attached interfaces, by their indices.
pub(super) struct Members {
    members: HashMap<MapData, u32, Member>,
    /// What that has: the first of the ports that pings leave as, and how many there are.
    ping_ids: BTreeMap<u32, [u32; 2]>,
    sources: HashMap<MapData, Source, u32>,
    /// What that has.
    addresses: BTreeMap<u32, Vec<IpAddr>>,
}

impl Members {
    pub(super) fn take(program: &mut Ebpf) -> io::Result<Self> {
        let (members, sources) = (map(program, "members")?, map(program, "sources")?);
        Ok(Self { members, ping_ids: BTreeMap::new(), sources, addresses: BTreeMap::new() })
    }

    /// Another one, without addresses, and without ports for its pings.
    pub(super) fn remember(&mut self, interface: u32) -> io::Result<()> {
        self.members.insert(interface, member([0; 2]), 0).map_err(system)
    }

    /// Has the pings of an interface leave with identifiers out of these ports.
    pub(super) fn set_ping_ids(&mut self, interface: u32, ports: &RangeInclusive<u16>) -> io::Result<()> {
        let [first, last] = [ports.start(), ports.end()].map(|&port| u32::from(port));
        let ports = [first, last + 1 - first];
        if self.ping_ids.get(&interface) != Some(&ports) {
            self.members.insert(interface, member(ports), 0).map_err(system)?;
            self.ping_ids.insert(interface, ports);
        }
        Ok(())
    }

    /// Lets packets from these addresses leave an interface, and no others.
    pub(super) fn set_addresses(&mut self, interface: u32, addresses: &[IpAddr]) -> io::Result<()> {
        let former = self.addresses.get(&interface).map(Vec::as_slice).unwrap_or_default();
        let is_of = |addresses: &[IpAddr], address: &IpAddr| addresses.contains(address);
        for &address in addresses.iter().filter(|&address| !is_of(former, address)) {
            self.sources.insert(source(interface, address), 1, 0).map_err(system)?;
        }
        for &address in former.iter().filter(|&address| !is_of(addresses, address)) {
            self.sources.remove(&source(interface, address)).map_err(system)?;
        }
        self.addresses.insert(interface, addresses.to_vec());
        Ok(())
    }

    pub(super) fn forget(&mut self, interface: u32) {
        self.ping_ids.remove(&interface);
        // They are there, or have never been.
        let _ = self.members.remove(&interface);
        for address in self.addresses.remove(&interface).unwrap_or_default() {
            let _ = self.sources.remove(&source(interface, address));
        }
    }
}

/// Of one that has these ports, and full buckets.
fn member([first, count]: [u32; 2]) -> Member {
    let ([a, b, c, d], [e, f, g, h]) = (first.to_ne_bytes(), count.to_ne_bytes());
    [u64::from_ne_bytes([a, b, c, d, e, f, g, h]), 0, 0]
}

fn source(interface: u32, address: IpAddr) -> Source {
    let mut source = [0; 24];
    source[..4].copy_from_slice(&interface.to_ne_bytes());
    source[4..].copy_from_slice(&key(Some(address)));
    source
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_offender_is_read() {
        let words = |words: [u32; 3]| words.map(u32::to_ne_bytes).concat();
        let bytes = |version: u32, rest: [u32; 3]| -> LastOffender {
            let address = [&version.to_ne_bytes()[..], &[10, 0, 0, 1], &[0; 12]].concat();
            [address, words(rest)].concat().try_into().unwrap()
        };
        let place = Verdict::ForeignPort as u32;
        let (verdict, address) = (Verdict::ForeignPort, IpAddr::from([10, 0, 0, 1]));
        let expected = Offender { verdict, protocol: 17, address, port: 6_999 };
        assert_eq!(Offender::read(&bytes(4, [6_999, 17, place])), Some(expected));
        assert_eq!(Offender::read(&[0; 32]), None, "there was none");
        assert_eq!(Offender::read(&bytes(4, [6_999, 17, 99])), None);
    }
}
