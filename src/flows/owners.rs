//! Whose the ends of packets are.

use std::net::IpAddr;

use portlane_classify::{Arriving, DEFAULT_FRAGMENT_LIFETIME_NS, Fragments, Headers, Link, Table, parse};

use crate::config::Plan;

/// First fragments remembered at a time.
const FRAGMENTS: usize = 4_096;

/// Finds the owners of both ends of a packet.
///
/// Both are looked for in the same way, whichever way a packet goes, so that a flow has the same owners in both directions.
pub(super) struct Owners<'a> {
    table: &'a Table<u32>,
    host_addresses: &'a [IpAddr],
    arriving: Arriving,
    fragments: Fragments,
}

impl<'a> Owners<'a> {
    pub(super) fn new(plan: &'a Plan, arriving: Arriving, key: [u64; 2]) -> Self {
        let fragments = Fragments::new(FRAGMENTS, DEFAULT_FRAGMENT_LIFETIME_NS, key);
        Self { table: &plan.owners, host_addresses: &plan.host_addresses, arriving, fragments }
    }

    /// The positions of the containers that own source and destination.
    ///
    /// An ICMP error is from and to the owners of the packet that it quotes, and a later fragment is its first one's.
    pub(super) fn of(&mut self, link: Link, frame: &[u8], wire_len: u32, now_ns: u64) -> (Option<u32>, Option<u32>) {
        // What a digest can be made of has headers, be they believed or not.
        let headers = parse(link, frame, wire_len).or_else(|_| parse(link, frame, u32::MAX));
        let Ok(headers) = headers else { return (None, None) };
        self.fragments.remember(&headers, now_ns);
        self.of_ends(&headers, now_ns).unwrap_or_default()
    }

    fn of_ends(&self, headers: &Headers, now_ns: u64) -> Option<(Option<u32>, Option<u32>)> {
        let addresses = headers.addresses?;
        let ports = headers.ports.or_else(|| self.fragments.recall(headers, now_ns))?;
        let source = (self.arriving != Arriving::Ingress).then(|| self.at(addresses.source(), ports.source()));
        let destination =
            (self.arriving != Arriving::Egress).then(|| self.at(addresses.destination(), ports.destination()));
        Some((source.flatten(), destination.flatten()))
    }

    fn at(&self, address: IpAddr, port: u16) -> Option<u32> {
        if !self.host_addresses.is_empty() && !self.host_addresses.contains(&address) {
            return None;
        }
        Some(self.table.lookup(address, port)).filter(|&owner| owner != self.table.unmatched())
    }
}
