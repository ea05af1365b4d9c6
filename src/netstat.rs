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
    /// Sockets of IPv4.
    pub sockstat: String,
    /// Of IPv6.
    pub sockstat6: String,
    /// [Percentiles](percentiles) of the round-trip times of TCP connections, in microseconds; none where nothing was measured.
    pub round_trips: Option<[u32; 4]>,
}

/// Which percentiles of round-trip times are told: those that Mesos' agent tells.
const PERCENTS: [usize; 4] = [50, 90, 95, 99];

/// The 50th, 90th, 95th and 99th percentile of measurements, which are sorted on the way; `None` if there is none. Of n, percentile p is the
/// one with the index floor(n × p / 100) from 0, as Mesos' agent has it.
#[must_use]
pub fn percentiles(measured: &mut [u32]) -> Option<[u32; 4]> {
    measured.sort_unstable();
    (!measured.is_empty()).then(|| PERCENTS.map(|percent| measured[measured.len() * percent / 100]))
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
        for text in [&self.sockstat, &self.sockstat6] {
            for (protocol, field, number) in sockets(text) {
                values.insert(format!("sockstat_{protocol}_{field}"), number);
            }
        }
        for (percent, microseconds) in PERCENTS.iter().zip(self.round_trips.into_iter().flatten()) {
            values.insert(format!("rtt_p{percent}_microseconds"), microseconds.into());
        }
        values
    }

    /// Whether there are TCP sockets of IPv4 and of IPv6.
    #[must_use]
    pub fn has_tcp(&self) -> [bool; 2] {
        [&self.sockstat, &self.sockstat6].map(|text| {
            sockets(text)
                .into_iter()
                .any(|(protocol, field, number)| protocol.starts_with("TCP") && field == "inuse" && number > 0)
        })
    }
}

/// Of `TCP: inuse 4 orphan 0 tw 2 alloc 5 mem 1` what is counted in the namespace itself; the rest is of the whole host.
fn sockets(text: &str) -> Vec<(&str, &str, i64)> {
    let mut found = Vec::new();
    for (protocol, fields) in text.lines().filter_map(|line| line.split_once(':')) {
        let mut words = fields.split_ascii_whitespace();
        while let (Some(field), Some(number)) = (words.next(), words.next()) {
            if let ("inuse" | "tw", Ok(number)) = (field, number.parse()) {
                found.push((protocol, field, number));
            }
        }
    }
    found
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
            sockstat: "sockets: used 19\nTCP: inuse 4 orphan 9 tw 2 alloc 5 mem 1 inuse\nFRAG: inuse odd memory 0\n"
                .to_owned(),
            sockstat6: "TCP6: inuse 0\n".to_owned(),
            round_trips: percentiles(&mut [900, 100]),
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
            ("rtt_p50_microseconds", 900),
            ("rtt_p90_microseconds", 900),
            ("rtt_p95_microseconds", 900),
            ("rtt_p99_microseconds", 900),
            ("sockstat_TCP6_inuse", 0),
            ("sockstat_TCP_inuse", 4),
            ("sockstat_TCP_tw", 2),
        ];
        assert_eq!(files.values(), expected.map(|(name, value)| (name.to_owned(), value)).into());
        assert_eq!(files.has_tcp(), [true, false]);
        assert_eq!(Files::default().values(), Values::new());
    }

    #[test]
    fn indices_of_percentiles_are_rounded_down() {
        let of = |count: u32| percentiles(&mut (0..count).rev().collect::<Vec<_>>());
        assert_eq!([0, 1, 2].map(of), [None, Some([0; 4]), Some([1; 4])]);
        assert_eq!([99, 100, 101].map(of), [[49, 89, 94, 98], [50, 90, 95, 99], [50, 90, 95, 99]].map(Some));
    }

    proptest! {
        #[test]
        fn whatever_files_say_is_read(text in "(Tcp|Ip6|inuse|:| |\n|-|[0-9]{1,22}|[A-Za-z]{1,3}){0,60}") {
            let (snmp6, sockstat, sockstat6) = (text.clone(), text.clone(), text.clone());
            let _ = Files { snmp: text.clone(), netstat: text, snmp6, sockstat, sockstat6, round_trips: None }.values();
        }
    }
}
