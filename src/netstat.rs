//! TCP's counters of containers: the kernel's own, of `/proc/net/snmp`, `snmp6` and `netstat` of a network namespace, by the names that these
//! files give; and those that frames tell.

#[cfg(feature = "af-xdp")]
pub mod wired;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// Where the kernel tells its counters itself.
pub const PROC: &str = "proc";

/// Where they are told from frames.
pub const WIRE: &str = "wire";

/// Counters by protocol and field: `Tcp_InSegs`.
pub type Values = BTreeMap<String, i64>;

/// The files, as they were read. One that the kernel does not have is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// Of IPv4, and of protocols on it.
    pub snmp: String,
    /// Of IPv6.
    pub snmp6: String,
    /// What Linux counts beside.
    pub netstat: String,
}

impl Files {
    /// All values. Fields are found by their names: those of other kernels may be more, fewer, and in another order. What cannot be read is
    /// left out.
    #[must_use]
    pub fn values(&self) -> Values {
        let mut values = Values::new();
        for text in [&self.snmp, &self.netstat] {
            let lines: Vec<_> = text.lines().collect();
            // A line of names, and one of values: both begin with the protocol.
            for pair in lines.windows(2) {
                let (Some((names_of, names)), Some((values_of, numbers))) =
                    (pair[0].split_once(':'), pair[1].split_once(':'))
                else {
                    continue;
                };
                if names_of != values_of {
                    continue;
                }
                let names = names.split_ascii_whitespace();
                for (name, number) in names.zip(numbers.split_ascii_whitespace()) {
                    if let Ok(number) = number.parse() {
                        values.insert(format!("{names_of}_{name}"), number);
                    }
                }
            }
        }
        for line in self.snmp6.lines() {
            let mut words = line.split_ascii_whitespace();
            let (Some(name), Some(Ok(number))) = (words.next(), words.next().map(str::parse)) else { continue };
            // `Ip6InReceives`, `Icmp6InMsgs`, `UdpLite6InErrors`.
            if let Some((protocol, field)) = name.split_once('6') {
                values.insert(format!("{protocol}6_{field}"), number);
            }
        }
        values
    }
}

/// What is known of each container: by name, then by where it is from.
pub type Known = BTreeMap<String, BTreeMap<String, Values>>;

/// What was told last of each container, for who asks.
#[derive(Debug, Clone, Default)]
pub struct Latest(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    /// By where it is from, then by name.
    sources: BTreeMap<&'static str, BTreeMap<String, Values>>,
    /// Packets that were not seen.
    lost: u64,
}

impl Latest {
    /// Of all containers, and how many packets were not seen by who tells of them.
    #[must_use]
    pub fn get(&self) -> (Known, u64) {
        let told = self.lock();
        let mut known = Known::new();
        for (&source, containers) in &told.sources {
            for (id, values) in containers {
                known.entry(id.clone()).or_default().insert(source.to_owned(), values.clone());
            }
        }
        (known, told.lost)
    }

    pub(crate) fn put(&self, id: &str, values: Values) {
        self.lock().sources.entry(PROC).or_default().insert(id.to_owned(), values);
    }

    pub(crate) fn keep(&self, is_there: impl Fn(&str) -> bool) {
        self.lock().sources.entry(PROC).or_default().retain(|id, _| is_there(id));
    }

    /// All that a source knows.
    #[cfg(feature = "af-xdp")]
    fn replace(&self, source: &'static str, containers: BTreeMap<&str, Values>, lost: u64) {
        let mut told = self.lock();
        let containers = containers.into_iter().map(|(id, values)| (id.to_owned(), values)).collect();
        told.sources.insert(source, containers);
        told.lost = lost;
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        // Whoever panicked has left all of it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_are_found_by_their_names() {
        let files = Files {
            snmp: "Ip: Forwarding DefaultTTL\nIp: 2 64\nTcp: RtoMin MaxConn InSegs\nTcp: 200 -1 12345678901\n"
                .to_owned(),
            netstat:
                "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 0 7 9 11\nIpExt: InOctets\nIpExt: 5\n"
                    .to_owned(),
            snmp6: "Ip6InReceives                   \t42\nIcmp6InMsgs 3\nUdpLite6InErrors 1\nIcmp6OutType135 2\nodd\n"
                .to_owned(),
        };
        let expected = [
            ("Icmp6_InMsgs", 3),
            ("Icmp6_OutType135", 2),
            ("IpExt_InOctets", 5),
            ("Ip6_InReceives", 42),
            ("Ip_DefaultTTL", 64),
            ("Ip_Forwarding", 2),
            ("TcpExt_ListenDrops", 9),
            ("TcpExt_ListenOverflows", 7),
            ("TcpExt_SyncookiesSent", 0),
            ("Tcp_InSegs", 12_345_678_901),
            ("Tcp_MaxConn", -1),
            ("Tcp_RtoMin", 200),
            ("UdpLite6_InErrors", 1),
        ];
        assert_eq!(files.values(), expected.map(|(name, value)| (name.to_owned(), value)).into());
        assert_eq!(Files::default().values(), Values::new());
    }

    proptest! {
        #[test]
        fn whatever_files_say_is_read(text in "(Tcp|Ip6|:| |\n|-|[0-9]{1,22}|[A-Za-z]{1,3}){0,60}") {
            let _ = Files { snmp: text.clone(), snmp6: text.clone(), netstat: text }.values();
        }
    }
}
