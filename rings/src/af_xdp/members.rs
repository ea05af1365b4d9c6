//! What the steering program knows of attached interfaces: see `bpf/attached.h`.

use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;

use aya::Ebpf;
use aya::maps::{HashMap, MapData};

use super::steering::{map, system};

/// `struct member` of `bpf/attached.h`.
type Member = [u32; 2];

/// Attached interfaces, by their indices.
pub(super) struct Members {
    members: HashMap<MapData, u32, Member>,
    /// What the map has, of those that have ports for their pings.
    known: BTreeMap<u32, Member>,
}

impl Members {
    pub(super) fn take(program: &mut Ebpf) -> io::Result<Self> {
        Ok(Self { members: map(program, "members")?, known: BTreeMap::new() })
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

    pub(super) fn forget(&mut self, interface: u32) {
        self.known.remove(&interface);
        // It is there, or has never been.
        let _ = self.members.remove(&interface);
    }
}
