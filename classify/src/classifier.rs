//! From headers to a direction and an owner.

use std::fmt;
use std::net::IpAddr;

use crate::address_map::AddressMap;
use crate::parse::{careful, common};
use crate::{Addresses, FlowKey, Fragments, Headers, Link, Malformed, Ports, Table, ecn};

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

/// What a packet line needs to know of a packet.
///
/// In the order of its fields, with the direction first: an error in its place lies beside the other two then, rather than
/// over them, and a line that keeps results moves each field on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Found<V> {
    /// Where it goes.
    pub direction: Direction,
    /// It is ECN-capable: [can carry a mark](crate::ecn::can_mark) of congestion.
    pub ect: bool,
    /// Who owns it.
    pub owner: V,
    /// The hash of its flow.
    pub flow: u32,
}

/// Finds the direction and the owner of packets, one after the other.
///
/// `V` is whatever names an owner. Packets that nobody owns (not IP, no ports, foreign ports) get
/// the table's [`unmatched`](Table::unmatched) value.
#[derive(Clone, Debug)]
pub struct Classifier<V> {
    table: Table<V>,
    fragments: Fragments,
    host_addresses: AddressMap,
    echoes_have_owners: bool,
}

impl<V: Copy + PartialEq> Classifier<V> {
    /// `host_addresses` are those of the containers' host, to tell directions apart where a packet
    /// may go [either](Arriving::Either) way; they may be empty.
    #[must_use]
    pub fn new(table: Table<V>, fragments: Fragments, host_addresses: &[IpAddr]) -> Self {
        Self { table, fragments, host_addresses: address_set(host_addresses), echoes_have_owners: false }
    }

    /// Takes the identifiers of ICMP echoes that are [found](Self::find) for ports, of both sides: for where whoever gives them out
    /// sees to it that they are the ports of who asks, as a translator of addresses does.
    #[must_use]
    pub fn with_echoes(self, echoes_have_owners: bool) -> Self {
        Self { echoes_have_owners, ..self }
    }

    /// Everything about a frame at once: what [`parse`](crate::parse()), [`classify`](Self::classify),
    /// [`FlowKey::hash`] and [`can_mark`](ecn::can_mark) say one after the other, for less. Untagged Ethernet frames with TCP or UDP, whole and without IPv4
    /// options or IPv6 extension headers, take a short way. Echoes have ports if this is [asked for](Self::with_echoes).
    ///
    /// # Errors
    ///
    /// Those of [`parse`](crate::parse()).
    #[inline(always)]
    pub fn find(
        &mut self,
        flows: &FlowKey,
        link: Link,
        frame: &[u8],
        wire_len: u32,
        arriving: Arriving,
        now_ns: u64,
    ) -> Result<Found<V>, Malformed> {
        if link == Link::Ethernet {
            if let Some((headers, ect)) = common::ipv4(frame, wire_len) {
                return Ok(self.find_common(flows, &headers, ect, arriving));
            }
            if let Some((headers, ect)) = common::ipv6(frame, wire_len) {
                return Ok(self.find_common(flows, &headers, ect, arriving));
            }
        }
        self.find_seldom(flows, link, frame, wire_len, arriving, now_ns)
    }

    #[cold]
    #[inline(never)]
    fn find_seldom(
        &mut self,
        flows: &FlowKey,
        link: Link,
        frame: &[u8],
        wire_len: u32,
        arriving: Arriving,
        now_ns: u64,
    ) -> Result<Found<V>, Malformed> {
        match &mut careful(link, frame, wire_len) {
            Ok(headers) => {
                if self.echoes_have_owners {
                    headers.ports = headers.ports.or(headers.echo.map(|id| Ports::new(id, id)));
                }
                let (direction, owner) = self.classify(headers, arriving, now_ns);
                let ect =
                    headers.addresses.is_some() && frame.get(headers.network_offset..).is_some_and(ecn::is_capable);
                Ok(Found { direction, ect, owner, flow: flows.hash(headers) })
            }
            Err(reason) => Err(*reason),
        }
    }

    /// For what [`common`] reads. All of it is compiled where it is used, once for each of its readers: so what is known of
    /// such headers need not be asked again, and nothing of them goes through memory.
    #[inline(always)]
    fn find_common(&self, flows: &FlowKey, headers: &Headers, ect: bool, arriving: Arriving) -> Found<V> {
        let (direction, owner) = self.owner(headers.addresses, headers.ports, arriving);
        Found { direction, ect, owner, flow: flows.hash(headers) }
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
    // Always, as for all on the way of a packet that is no fragment: then what was read of it stays in registers.
    #[inline(always)]
    pub fn classify(&mut self, headers: &Headers, arriving: Arriving, now_ns: u64) -> (Direction, V) {
        match headers.fragment {
            None => self.owner(headers.addresses, headers.ports, arriving),
            Some(_) => self.owner_of_fragment(*headers, arriving, now_ns),
        }
    }

    /// Puts a new table and new addresses of the host in place. Remembered fragments stay: they remember ports, not owners.
    pub fn replace(&mut self, table: Table<V>, host_addresses: &[IpAddr]) {
        self.table = table;
        self.host_addresses = address_set(host_addresses);
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
    #[inline(never)]
    fn owner_of_fragment(&mut self, headers: Headers, arriving: Arriving, now_ns: u64) -> (Direction, V) {
        self.fragments.remember(&headers, now_ns);
        let ports = headers.ports.or_else(|| self.fragments.recall(&headers, now_ns));
        self.owner(headers.addresses, ports, arriving)
    }

    #[inline(always)]
    fn owner(&self, addresses: Option<Addresses>, ports: Option<Ports>, arriving: Arriving) -> (Direction, V) {
        match addresses {
            Some(Addresses::V4 { source, destination }) => self.owner_among(source, destination, ports, arriving),
            Some(Addresses::V6 { source, destination }) => self.owner_among(source, destination, ports, arriving),
            None if arriving == Arriving::Egress => (Direction::Egress, self.table.unmatched()),
            None => (Direction::Ingress, self.table.unmatched()),
        }
    }

    /// Generic over the version, since an address of a known version is passed in registers.
    #[inline(always)]
    fn owner_among<A>(&self, source: A, destination: A, ports: Option<Ports>, arriving: Arriving) -> (Direction, V)
    where
        A: Copy + Into<IpAddr>,
    {
        let (direction, address, port) = match arriving {
            Arriving::Ingress => (Direction::Ingress, destination, ports.map(Ports::destination)),
            Arriving::Egress => (Direction::Egress, source, ports.map(Ports::source)),
            Arriving::Either => return self.either(source, destination, ports),
        };
        (direction, self.owner_at(address, port))
    }

    #[inline(never)]
    fn either<A>(&self, source: A, destination: A, ports: Option<Ports>) -> (Direction, V)
    where
        A: Copy + Into<IpAddr>,
    {
        let receiver = || (Direction::Ingress, self.owner_at(destination, ports.map(Ports::destination)));
        let sender = || (Direction::Egress, self.owner_at(source, ports.map(Ports::source)));
        let nobody = (Direction::Ingress, self.table.unmatched());
        if self.host_addresses.is_empty() {
            // Whose port it is tells the direction.
            let owned = |&(_, owner): &(Direction, V)| owner != self.table.unmatched();
            Some(receiver()).filter(owned).or_else(|| Some(sender()).filter(owned)).unwrap_or(nobody)
        } else if self.host_addresses.get(destination.into()) != 0 {
            receiver()
        } else if self.host_addresses.get(source.into()) != 0 {
            sender()
        } else {
            nobody
        }
    }

    #[inline(always)]
    fn owner_at(&self, address: impl Into<IpAddr>, port: Option<u16>) -> V {
        match port {
            Some(port) => self.table.lookup(address.into(), port),
            None => self.table.unmatched(),
        }
    }
}

/// A map in which these addresses have the value 1, and others 0.
fn address_set(addresses: &[IpAddr]) -> AddressMap {
    let addresses: Vec<_> = addresses.iter().map(|&address| (address, 1)).collect();
    AddressMap::new(&addresses)
}
