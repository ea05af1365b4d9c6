//! Later fragments follow their first one, however datagrams are interleaved.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;

use portlane_classify::{Addresses, Arriving, Classifier, Direction, Fragment, Fragments, Headers, Ports, Rule, Table};
use proptest::prelude::*;

const LIFETIME_NS: u64 = 1_000;

/// One fragment of one of a few datagrams, some time after the fragment before.
#[derive(Clone, Debug)]
struct Arrival {
    datagram: u16,
    later: bool,
    after_ns: u64,
}

fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
    let arrival = (0..40_u16, any::<bool>(), 0..60_u64).prop_map(|(datagram, later, after_ns)| Arrival {
        datagram,
        later,
        after_ns,
    });
    prop::collection::vec(arrival, 0..400)
}

/// Datagrams that differ in id, address, protocol or IP version; each has its own port.
fn fragment(Arrival { datagram, later, .. }: &Arrival) -> Headers {
    let host = u8::try_from(datagram % 3).unwrap();
    let addresses = if datagram % 2 == 0 {
        Addresses::V4 { source: [10, 0, 0, host].into(), destination: [10, 0, 1, 1].into() }
    } else {
        let source = [0xfd00, 0, 0, 0, 0, 0, 0, u16::from(host)].into();
        Addresses::V6 { source, destination: [0xfd00, 0, 0, 0, 0, 0, 1, 1].into() }
    };
    Headers {
        addresses: Some(addresses),
        protocol: if datagram % 4 < 2 { 17 } else { 136 },
        ports: (!later).then(|| Ports::new(9, 1000 + datagram)),
        echo: None,
        fragment: Some(Fragment { id: u32::from(datagram / 4), later: *later }),
        quoted: false,
        network_offset: 14,
    }
}

proptest! {
    #[test]
    fn later_fragments_go_where_their_first_went(arrivals in arrivals(), key in any::<[u64; 2]>()) {
        let rules: Vec<Rule<u16>> = (0..40)
            .map(|datagram| Rule {
                name: datagram.to_string(),
                addresses: vec![],
                ports: vec![(1000 + datagram).to_string().parse().unwrap()],
                owner: datagram,
            })
            .collect();
        // So many sets that five of forty datagrams do not meet in one.
        let fragments = Fragments::new(1 << 16, LIFETIME_NS, key);
        let mut classifier =
            Classifier::new(Table::build(u16::MAX, &rules).unwrap(), fragments, &[]);

        let mut first_seen = HashMap::new();
        let mut now_ns = 0;
        for arrival in &arrivals {
            now_ns += arrival.after_ns;
            if !arrival.later {
                first_seen.insert(arrival.datagram, now_ns);
            }
            let known = first_seen
                .get(&arrival.datagram)
                .is_some_and(|first_ns| now_ns - first_ns < LIFETIME_NS);
            let owner = if known { arrival.datagram } else { u16::MAX };
            let headers = fragment(arrival);
            prop_assert_eq!(
                classifier.classify(&headers, Arriving::Ingress, now_ns),
                (Direction::Ingress, owner)
            );
        }
    }

    /// However small the table: an answer is the right one or none, never a stranger's.
    #[test]
    fn a_crowded_table_forgets_but_does_not_confuse(arrivals in arrivals()) {
        let mut fragments = Fragments::new(8, LIFETIME_NS, [1, 2]);
        let mut now_ns = 0;
        for arrival in &arrivals {
            now_ns += arrival.after_ns;
            let headers = fragment(arrival);
            fragments.remember(&headers, now_ns);
            if let Some(ports) = fragments.recall(&headers, now_ns) {
                prop_assert_eq!(ports.destination(), 1000 + arrival.datagram);
            }
        }
        let remembered = (0..40)
            .map(|datagram| fragment(&Arrival { datagram, later: true, after_ns: 0 }))
            .filter(|headers| fragments.recall(headers, now_ns).is_some())
            .count();
        prop_assert!(remembered <= fragments.capacity());
    }
}
