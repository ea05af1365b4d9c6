//! What the steering program knows of attached interfaces: see `bpf/attached.h`.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use aya::Ebpf;
use aya::maps::{HashMap, MapData};

use super::steering::{key, map, system};

/// `struct member` of `bpf/attached.h`.
type Member = [u32; 2];

/// `struct source` of `bpf/attached.h`: an interface, and an address.
type Source = [u8; 24];

/// Attached interfaces, by their indices.
pub(super) struct Members {
    members: HashMap<MapData, u32, Member>,
    /// What the map has, of those that have ports for their pings.
    known: BTreeMap<u32, Member>,
    sources: HashMap<MapData, Source, u32>,
    /// What that has.
    addresses: BTreeMap<u32, Vec<IpAddr>>,
}

impl Members {
    pub(super) fn take(program: &mut Ebpf) -> io::Result<Self> {
        let (members, sources) = (map(program, "members")?, map(program, "sources")?);
        Ok(Self { members, known: BTreeMap::new(), sources, addresses: BTreeMap::new() })
    }

    /// Has the pings of an interface leave with identifiers out of these ports.
    pub(super) fn set_ping_ids(&mut self, interface: u32, ports: &RangeInclusive<u16>) -> io::Result<()> {
        let [first, last] = [ports.start(), ports.end()].map(|&port| u32::from(port));
        let member = [first, last + 1 - first];
        if self.known.get(&interface) != Some(&member) {
            self.members.insert(interface, member, 0).map_err(system)?;
            self.known.insert(interface, member);
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
        self.known.remove(&interface);
        // They are there, or have never been.
        let _ = self.members.remove(&interface);
        for address in self.addresses.remove(&interface).unwrap_or_default() {
            let _ = self.sources.remove(&source(interface, address));
        }
    }
}

fn source(interface: u32, address: IpAddr) -> Source {
    let mut source = [0; 24];
    source[..4].copy_from_slice(&interface.to_ne_bytes());
    source[4..].copy_from_slice(&key(Some(address)));
    source
}
