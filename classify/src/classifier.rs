//! From headers to a direction and an owner.

use std::fmt;
use std::net::IpAddr;

use crate::address_map::AddressMap;
use crate::{Addresses, Fragments, Headers, Ports, Table};

#[cfg(test)]
mod tests;

/// Where a packet goes, seen from its container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// To the container: the destination port is the container's.
    Ingress,
    /// From the container: the source port is the container's.
    Egress,
}

impl Direction {
    /// Both directions, in the order of [`index`](Self::index).
    pub const ALL: [Self; 2] = [Self::Ingress, Self::Egress];

    /// The direction's place in [`ALL`](Self::ALL), for arrays by direction.
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// `ingress` or `egress`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is known of a packet's direction from where it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arriving {
    /// It goes to the containers.
    Ingress,
    /// It comes from the containers.
    Egress,
    /// Not known: one wire or capture carries both.
    Either,
}

/// Finds the direction and the owner of packets, one after the other.
///
/// `V` is whatever names an owner. Packets that nobody owns (not IP, no ports, foreign ports) get
/// the table's [`unmatched`](Table::unmatched) value.
#[derive(Clone, Debug)]
pub struct Classifier<V> {
    table: Table<V>,
    fragments: Fragments,
    host_addresses: AddressMap<()>,
}

impl<V: Copy + PartialEq> Classifier<V> {
    /// `host_addresses` are those of the containers' host, to tell directions apart where a packet
    /// may go [either](Arriving::Either) way; they may be empty.
    #[must_use]
    pub fn new(table: Table<V>, fragments: Fragments, host_addresses: &[IpAddr]) -> Self {
        let host_addresses: Vec<_> = host_addresses.iter().map(|&address| (address, ())).collect();
        Self { table, fragments, host_addresses: AddressMap::new(&host_addresses) }
    }

    /// The direction and the owner of a packet that arrives at `now_ns`, in nanoseconds of any
    /// clock that does not run backwards.
    ///
    /// Ingress packets belong to the owner of their destination port on their destination address,
    /// egress packets to that of their source port on their source address. With
    /// [`Arriving::Either`]:
    /// - with host addresses, a packet to one of them is ingress, else one from one of them is
    ///   egress, else it is ingress and unmatched;
    /// - without, it is ingress if somebody owns the destination port, else egress if somebody
    ///   owns the source port, else ingress and unmatched.
    ///
    /// First fragments are remembered and later fragments get the ports of their first one.
    #[inline]
    pub fn classify(&mut self, headers: &Headers, arriving: Arriving, now_ns: u64) -> (Direction, V) {
        let ports = match headers.fragment {
            None => headers.ports,
            Some(_) => self.ports_of_fragment(headers, now_ns),
        };
        match arriving {
            Arriving::Ingress => (Direction::Ingress, self.receiver(headers, ports)),
            Arriving::Egress => (Direction::Egress, self.sender(headers, ports)),
            Arriving::Either => self.either(headers, ports),
        }
    }

    /// Puts a new table in place and returns the one before. Remembered fragments stay: they
    /// remember ports, not owners.
    pub fn replace_table(&mut self, table: Table<V>) -> Table<V> {
        std::mem::replace(&mut self.table, table)
    }

    /// The table that is asked now.
    #[must_use]
    pub fn table(&self) -> &Table<V> {
        &self.table
    }

    #[cold]
    fn ports_of_fragment(&mut self, headers: &Headers, now_ns: u64) -> Option<Ports> {
        self.fragments.remember(headers, now_ns);
        headers.ports.or_else(|| self.fragments.recall(headers, now_ns))
    }

    #[inline]
    fn receiver(&self, headers: &Headers, ports: Option<Ports>) -> V {
        match (headers.addresses, ports) {
            (Some(addresses), Some(ports)) => self.table.lookup(addresses.destination(), ports.destination()),
            _ => self.table.unmatched(),
        }
    }

    #[inline]
    fn sender(&self, headers: &Headers, ports: Option<Ports>) -> V {
        match (headers.addresses, ports) {
            (Some(addresses), Some(ports)) => self.table.lookup(addresses.source(), ports.source()),
            _ => self.table.unmatched(),
        }
    }

    fn either(&self, headers: &Headers, ports: Option<Ports>) -> (Direction, V) {
        let by_address = !self.host_addresses.is_empty();
        match headers.addresses {
            Some(addresses) if by_address => self.by_host_address(headers, &addresses, ports),
            _ => self.by_owned_port(headers, ports),
        }
    }

    fn by_host_address(&self, headers: &Headers, addresses: &Addresses, ports: Option<Ports>) -> (Direction, V) {
        if self.host_addresses.get(addresses.destination()).is_some() {
            (Direction::Ingress, self.receiver(headers, ports))
        } else if self.host_addresses.get(addresses.source()).is_some() {
            (Direction::Egress, self.sender(headers, ports))
        } else {
            (Direction::Ingress, self.table.unmatched())
        }
    }

    fn by_owned_port(&self, headers: &Headers, ports: Option<Ports>) -> (Direction, V) {
        let unmatched = self.table.unmatched();
        let receiver = self.receiver(headers, ports);
        if receiver != unmatched {
            return (Direction::Ingress, receiver);
        }
        let sender = self.sender(headers, ports);
        let direction = if sender == unmatched { Direction::Ingress } else { Direction::Egress };
        (direction, sender)
    }
}
