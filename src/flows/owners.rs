//! Whose the ends of packets are.

use std::net::IpAddr;
use std::sync::Arc;

use portlane_classify::{Arriving, DEFAULT_FRAGMENT_LIFETIME_NS, Fragments, Headers, Table};

/// First fragments remembered at a time.
const FRAGMENTS: usize = 4_096;

/// The owners of source and destination, in numbers of the caller's.
pub(crate) type Ends = (Option<u32>, Option<u32>);

/// Finds the owners of both ends of a packet.
///
/// Both are looked for in the same way, whichever way a packet goes, so that a flow has the same owners in both directions.
#[derive(Debug)]
pub(crate) struct Owners {
    table: Arc<Table<u32>>,
    host_addresses: Vec<IpAddr>,
    fragments: Fragments,
}

impl Owners {
    pub(crate) fn new(table: Arc<Table<u32>>, host_addresses: Vec<IpAddr>, key: [u64; 2]) -> Self {
        let fragments = Fragments::new(FRAGMENTS, DEFAULT_FRAGMENT_LIFETIME_NS, key);
        Self { table, host_addresses, fragments }
    }

    /// Others own ports from now on. Fragments that are remembered stay.
    pub(crate) fn replace(&mut self, table: Arc<Table<u32>>, host_addresses: Vec<IpAddr>) {
        (self.table, self.host_addresses) = (table, host_addresses);
    }

    /// Whether the host's addresses are known: then it is known of both ends whether they are here, wherever a packet came from.
    pub(crate) fn knows_the_host(&self) -> bool {
        !self.host_addresses.is_empty()
    }

    /// The owners of source and destination. What comes from the network is theirs whose destination it is, and what
    /// comes from containers theirs whose source it is; both are looked for where packets may go either way.
    ///
    /// An ICMP error is from and to the owners of the packet that it quotes, and a later fragment is its first one's.
    pub(crate) fn of(&mut self, headers: &Headers, arriving: Arriving, now_ns: u64) -> Ends {
        self.fragments.remember(headers, now_ns);
        self.of_ends(headers, arriving, now_ns).unwrap_or_default()
    }

    fn of_ends(&self, headers: &Headers, arriving: Arriving, now_ns: u64) -> Option<Ends> {
        let addresses = headers.addresses?;
        let ports = headers.ports.or_else(|| self.fragments.recall(headers, now_ns))?;
        let source = (arriving != Arriving::Ingress).then(|| self.at(addresses.source(), ports.source()));
        let destination = (arriving != Arriving::Egress).then(|| self.at(addresses.destination(), ports.destination()));
        Some((source.flatten(), destination.flatten()))
    }

    fn at(&self, address: IpAddr, port: u16) -> Option<u32> {
        if !self.host_addresses.is_empty() && !self.host_addresses.contains(&address) {
            return None;
        }
        Some(self.table.lookup(address, port)).filter(|&owner| owner != self.table.unmatched())
    }
}
