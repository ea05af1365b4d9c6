//! What is known of the interfaces of attached containers, beside verdicts.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;

use portlane_rings::{GateCounters, Offender};
use portlane_stats::live::{AttachedReport, OffenderReport};

/// What all interfaces of the calling thread's network namespace have counted (proc(5)).
const INTERFACES: &str = "/proc/thread-self/net/dev";

/// A report of each, by its name.
pub(super) fn reports(counters: &GateCounters) -> io::Result<BTreeMap<String, AttachedReport>> {
    let mut offenders: HashMap<_, _> = counters.offenders()?.into_iter().collect();
    let dropped = fs::read_to_string(INTERFACES)?;
    let dropped: HashMap<_, _> = dropped.lines().filter_map(sent_in_vain).collect();
    let report = |name: String| {
        let last_offender = offenders.remove(&name).map(last);
        // One that has just gone has nothing to tell any more.
        let undelivered = dropped.get(&*name).copied().unwrap_or_default();
        (name, AttachedReport { undelivered, last_offender })
    };
    Ok(counters.names().into_iter().map(report).collect())
}

/// The name of an interface, and how many frames it has dropped that were to be sent by it: of a pair, those for which the other end
/// has had no room.
fn sent_in_vain(line: &str) -> Option<(&str, u64)> {
    /// Of the numbers: eight are of what was received; then come bytes, packets and errors.
    const DROPPED: usize = 8 + 3;
    let (name, numbers) = line.split_once(':')?;
    let dropped = numbers.split_ascii_whitespace().nth(DROPPED)?;
    Some((name.trim_start(), dropped.parse().ok()?))
}

fn last(Offender { verdict, protocol, address, port }: Offender) -> OffenderReport {
    OffenderReport { verdict: verdict.as_str().to_owned(), protocol, address, port }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_in_vain_is_read() {
        let heading =
            " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls";
        assert_eq!(sent_in_vain(heading), None);
        let line = "  plc-web: 1 2 3 4 5 6 7 8 90 10 11 12 13 14 15 16";
        assert_eq!(sent_in_vain(line), Some(("plc-web", 12)));
        assert_eq!(sent_in_vain("plc-web:1 2 3 4 5 6 7 8 90 10 11"), None);
        assert!(fs::read_to_string(INTERFACES).unwrap().lines().filter_map(sent_in_vain).any(|(name, _)| name == "lo"));
    }
}
