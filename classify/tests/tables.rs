//! A table says what a walk through the rules says, and refuses what comparing all pairs refuses.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::IpAddr;

use portlane_classify::{PortRange, Rule, RuleError, Table};
use proptest::prelude::*;

const UNMATCHED: u32 = 0;

/// Few ports and addresses, so that rules meet; sometimes all of them.
fn rules(addresses: usize) -> impl Strategy<Value = Vec<Rule<u32>>> {
    let range = prop_oneof![
        8 => (1_u16..200, 0_u16..12),
        1 => (1_u16..=u16::MAX, 0_u16..40_000),
        1 => (65_500_u16..=u16::MAX, 0_u16..100),
    ]
    .prop_map(|(first, more)| PortRange::new(first, first.saturating_add(more)).unwrap());
    let address = (0..4_u8, any::<bool>()).prop_map(|(host, v6)| address(host, v6));
    let rule = (prop::collection::vec(address, 0..=addresses), prop::collection::vec(range, 1..4));
    prop::collection::vec(rule, 0..8).prop_map(|rules| {
        let named = |(index, (addresses, ports))| {
            let owner = u32::try_from(index).unwrap() + 1;
            Rule { name: format!("container {owner}"), addresses, ports, owner }
        };
        rules.into_iter().enumerate().map(named).collect()
    })
}

fn address(host: u8, v6: bool) -> IpAddr {
    if v6 { [0xfd00, 0, 0, 0, 0, 0, 0, host.into()].into() } else { [10, 0, 0, host].into() }
}

fn meet(one: &Rule<u32>, other: &Rule<u32>) -> bool {
    one.addresses.is_empty()
        || other.addresses.is_empty()
        || one.addresses.iter().any(|address| other.addresses.contains(address))
}

fn share(one: PortRange, other: PortRange) -> bool {
    one.first() <= other.last() && other.first() <= one.last()
}

/// Every pair of ranges that may not both be there.
fn conflicts(rules: &[Rule<u32>]) -> Vec<(String, PortRange, String, PortRange)> {
    let claims: Vec<_> = rules.iter().flat_map(|rule| rule.ports.iter().map(move |&range| (rule, range))).collect();
    let mut found = Vec::new();
    for (index, &(one, range)) in claims.iter().enumerate() {
        for &(other, other_range) in &claims[index + 1..] {
            if meet(one, other) && share(range, other_range) {
                found.push((one.name.clone(), range, other.name.clone(), other_range));
            }
        }
    }
    found
}

/// The first rules that do not conflict with those kept before.
fn without_conflicts(rules: Vec<Rule<u32>>) -> Vec<Rule<u32>> {
    let mut kept: Vec<Rule<u32>> = Vec::new();
    for rule in rules {
        kept.push(rule);
        if !conflicts(&kept).is_empty() {
            kept.pop();
        }
    }
    kept
}

fn linear_search(rules: &[Rule<u32>], address: IpAddr, port: u16) -> u32 {
    rules
        .iter()
        .filter(|rule| rule.addresses.is_empty() || rule.addresses.contains(&address))
        .find(|rule| rule.ports.iter().any(|range| range.contains(port)))
        .map_or(UNMATCHED, |rule| rule.owner)
}

proptest! {
    #[test]
    fn lookup_is_a_linear_search(
        rules in prop_oneof![rules(0), rules(3)].prop_map(without_conflicts),
        ports in prop::collection::vec(any::<u16>(), 64),
    ) {
        let table = Table::build(UNMATCHED, &rules).unwrap();
        let renamed = table.map(|owner| u64::from(owner) + 7);
        let edges = rules.iter().flat_map(|rule| &rule.ports).flat_map(|range| {
            [range.first() - 1, range.first(), range.last(), range.last().wrapping_add(1)]
        });
        let ports: Vec<u16> = ports.into_iter().chain(edges).chain(0..300).collect();
        for address in (0..5).flat_map(|host| [address(host, false), address(host, true)]) {
            for &port in &ports {
                let owner = linear_search(&rules, address, port);
                prop_assert_eq!(table.lookup(address, port), owner, "{} port {}", address, port);
                prop_assert_eq!(renamed.lookup(address, port), u64::from(owner) + 7, "{} port {}", address, port);
            }
        }
    }

    #[test]
    fn overlaps_are_refused_and_nothing_else(rules in prop_oneof![rules(0), rules(3)]) {
        let conflicts = conflicts(&rules);
        let named = match Table::build(UNMATCHED, &rules) {
            Ok(_) => {
                prop_assert!(conflicts.is_empty(), "accepted {:?}", conflicts);
                return Ok(());
            }
            Err(RuleError::Overlap { first, first_range, second, second_range, shared, .. }) => {
                prop_assert_eq!(first_range.shared_with(second_range), Some(shared));
                (first, first_range, second, second_range)
            }
            Err(RuleError::OverlapWithin { name, first, second, shared }) => {
                prop_assert_eq!(first.shared_with(second), Some(shared));
                (name.clone(), first, name, second)
            }
            Err(other) => panic!("{other}"),
        };
        prop_assert!(conflicts.contains(&named), "{:?} is not among {:?}", named, conflicts);
    }
}
