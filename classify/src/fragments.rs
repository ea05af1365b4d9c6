//! Later fragments follow their first one.

use std::fmt;
use std::hash::Hasher;
use std::ops::Range;

use siphasher::sip::SipHasher13;

use crate::{Addresses, Fragment, Headers, Ports};

#[cfg(test)]
mod tests;

/// How long the ports of a first fragment are remembered unless told otherwise: 30 seconds, the
/// time that Linux waits for the rest of a datagram (`IP_FRAG_TIME`, sysctl `ipfrag_time`).
pub const DEFAULT_FRAGMENT_LIFETIME_NS: u64 = 30_000_000_000;

/// Entries that fit one set; a set is searched from end to end.
const WAYS: usize = 4;
const MAX_CAPACITY: usize = 1 << 24;

/// The ports of first fragments, by the datagram they are of.
///
/// The memory is allocated once. The table is set-associative: a datagram can be in one of four
/// entries, and takes an expired one or the oldest if all are taken. Which four is decided by a
/// keyed hash (SipHash-1-3), so that a sender who does not know the key cannot aim at one set.
///
/// A datagram is known by its identification and addresses, and with IPv4 its protocol (RFC 791,
/// section 3.2; RFC 8200, section 4.5). A later fragment that overtakes its first one, or comes
/// after its entry was taken, is not recognised.
#[derive(Clone)]
pub struct Fragments {
    entries: Box<[Option<Entry>]>,
    lifetime_ns: u64,
    key: [u64; 2],
}

#[derive(Clone, Copy)]
struct Entry {
    datagram: Datagram,
    ports: Ports,
    remembered_ns: u64,
}

impl Fragments {
    /// A table for `capacity` datagrams (rounded up to a power of two, at least 4, at most 2^24),
    /// each remembered for `lifetime_ns` nanoseconds after its first fragment.
    ///
    /// `key` should be random where strangers send fragments, and fixed where two runs must agree.
    #[must_use]
    pub fn new(capacity: usize, lifetime_ns: u64, key: [u64; 2]) -> Self {
        let entries = capacity.clamp(WAYS, MAX_CAPACITY).next_power_of_two();
        Self { entries: vec![None; entries].into_boxed_slice(), lifetime_ns, key }
    }

    /// How many datagrams can be remembered at a time.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.entries.len()
    }

    /// Notes the ports of a first fragment; does nothing for any other packet.
    ///
    /// A first fragment that comes again counts from then on.
    pub fn remember(&mut self, headers: &Headers, now_ns: u64) {
        let Some((datagram, Fragment { later: false, .. })) = Datagram::of(headers) else { return };
        let Some(ports) = headers.ports else { return };
        let lifetime_ns = self.lifetime_ns;
        let set = self.set_of(&datagram);
        let set = &mut self.entries[set];
        let same = set.iter().position(|entry| entry.is_some_and(|e| e.datagram == datagram));
        let taken = same.unwrap_or_else(|| {
            // Free and expired entries first, then the oldest.
            let age = |entry: &Option<Entry>| entry.filter(|e| e.lives(now_ns, lifetime_ns)).map(|e| e.remembered_ns);
            (0..set.len()).min_by_key(|&way| age(&set[way])).unwrap_or_default()
        });
        set[taken] = Some(Entry { datagram, ports, remembered_ns: now_ns });
    }

    /// The ports of the datagram that a later fragment belongs to, if its first fragment is
    /// remembered; `None` for any other packet.
    #[must_use]
    pub fn recall(&self, headers: &Headers, now_ns: u64) -> Option<Ports> {
        let (datagram, Fragment { later: true, .. }) = Datagram::of(headers)? else {
            return None;
        };
        self.entries[self.set_of(&datagram)]
            .iter()
            .flatten()
            .find(|entry| entry.datagram == datagram && entry.lives(now_ns, self.lifetime_ns))
            .map(|entry| entry.ports)
    }

    /// The entries in which the datagram can be.
    fn set_of(&self, datagram: &Datagram) -> Range<usize> {
        let sets = self.entries.len() / WAYS;
        // The number of sets is a power of two, and 2^22 at most.
        let hash = usize::try_from(datagram.hash(self.key) >> 32).unwrap_or_default();
        let first = (hash & (sets - 1)) * WAYS;
        first..first + WAYS
    }
}

impl fmt::Debug for Fragments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the key: who knows it can aim.
        f.debug_struct("Fragments")
            .field("capacity", &self.capacity())
            .field("lifetime_ns", &self.lifetime_ns)
            .finish_non_exhaustive()
    }
}

impl Entry {
    fn lives(&self, now_ns: u64, lifetime_ns: u64) -> bool {
        now_ns.saturating_sub(self.remembered_ns) < lifetime_ns
    }
}

/// What all fragments of one datagram have in common, and no others in flight.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Datagram {
    addresses: Addresses,
    id: u32,
    /// Always 0 with IPv6, where fragments may be followed by different headers.
    protocol: u8,
}

impl Datagram {
    fn of(headers: &Headers) -> Option<(Self, Fragment)> {
        let fragment = headers.fragment?;
        let addresses = headers.addresses?;
        let protocol = match addresses {
            Addresses::V4 { .. } => headers.protocol,
            Addresses::V6 { .. } => 0,
        };
        Some((Self { addresses, id: fragment.id, protocol }, fragment))
    }

    fn hash(&self, [key0, key1]: [u64; 2]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(key0, key1);
        match self.addresses {
            Addresses::V4 { source, destination } => {
                hasher.write(&source.octets());
                hasher.write(&destination.octets());
            }
            Addresses::V6 { source, destination } => {
                hasher.write(&source.octets());
                hasher.write(&destination.octets());
            }
        }
        hasher.write(&self.id.to_be_bytes());
        hasher.write(&[self.protocol]);
        hasher.finish()
    }
}
