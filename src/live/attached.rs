//! What is known of the interfaces of attached containers, beside verdicts.

use std::collections::{BTreeMap, HashMap};
use std::io;

use portlane_rings::{GateCounters, Offender};
use portlane_stats::live::{AttachedReport, InterfaceReport, OffenderReport};

/// A report of each, by its name, where the kernel has `counted` this at containers' interfaces.
pub(super) fn reports(
    counters: &GateCounters,
    counted: &BTreeMap<String, InterfaceReport>,
) -> io::Result<BTreeMap<String, AttachedReport>> {
    let mut offenders: HashMap<_, _> = counters.offenders()?.into_iter().collect();
    let report = |name: String| {
        let last_offender = offenders.remove(&name).map(last);
        // Of a pair, one end drops what the other has no room for. One that has just gone has nothing to tell any more.
        let undelivered = counted.get(&name).map_or(0, |interface| interface.rx.dropped);
        (name, AttachedReport { undelivered, last_offender })
    };
    Ok(counters.names().into_iter().map(report).collect())
}

fn last(Offender { verdict, protocol, address, port }: Offender) -> OffenderReport {
    OffenderReport { verdict: verdict.as_str().to_owned(), protocol, address, port }
}
