//! Guarantees, quanta and priorities, worked out by hand.

use proptest::prelude::*;

use super::scene::{group, lane, link, nodes, promised, rate, rates, trees};
use crate::params::{GroupParams, LaneParams, Limiter, NodeId, Share, TreeParams};
use crate::tree::Tree;
use crate::units::{Nanos, Rate, Size};
use crate::{GroupId, LaneId};

const MBIT: u64 = 1_000_000;

fn guarantees(params: &TreeParams) -> Vec<Option<u64>> {
    let tree = Tree::new(params, Nanos::ZERO).unwrap();
    nodes(params).map(|id| tree.node(id, Nanos::ZERO).guarantee.map(Rate::bits_per_second)).collect()
}

fn flat(parent: Option<u32>, bits: u64) -> LaneParams {
    lane(parent, Some(rates(bits, bits)))
}

#[test]
fn rates_that_fit_are_kept_and_the_rest_is_shared() {
    let tbf = Limiter::Tbf { rate: rate(20 * MBIT), burst: Size(10_000), peak: None };
    let free = |weight| LaneParams { share: Share { weight, ..Share::default() }, ..lane(Some(0), None) };
    let params = TreeParams {
        link: link(rates(100 * MBIT, 100 * MBIT)),
        groups: vec![group(None, None)],
        lanes: vec![
            flat(None, 10 * MBIT),
            LaneParams { limiter: tbf, ..LaneParams::default() },
            flat(Some(0), 30 * MBIT),
            free(1),
            free(3),
        ],
    };
    // The group wants the 30 of its member, and gets the 40 that are left on top.
    let mbit = [100, 70, 10, 20, 30, 10, 30].map(|mbit| Some(mbit * MBIT));
    assert_eq!(guarantees(&params), mbit);
}

#[test]
fn rates_that_do_not_fit_are_scaled_and_a_reserve_is_kept() {
    let params = TreeParams {
        link: link(rates(1_024_000, 1_024_000)),
        groups: vec![group(None, Some(rates(2 * MBIT, 2 * MBIT)))],
        lanes: vec![flat(None, 2 * MBIT), lane(None, None), flat(Some(0), 3 * MBIT), flat(Some(0), MBIT)],
    };
    let half = (1_024_000 - 1_000) / 2;
    let expected = [1_024_000, half, half, 1_000, half * 3 / 4, half / 4].map(Some);
    assert_eq!(guarantees(&params), expected);
}

#[test]
fn under_a_link_without_limit_all_have_their_rates() {
    let params = TreeParams {
        groups: vec![group(None, None), group(None, Some(rates(MBIT, MBIT)))],
        lanes: vec![flat(Some(0), MBIT), lane(Some(0), None), lane(Some(1), None)],
        ..TreeParams::default()
    };
    assert_eq!(guarantees(&params), [None, None, Some(MBIT), Some(MBIT), None, Some(MBIT)]);
}

#[test]
fn a_guarantee_is_never_nothing() {
    let params = TreeParams { link: link(rates(2, 2)), lanes: vec![flat(None, MBIT); 4], groups: Vec::new() };
    assert_eq!(guarantees(&params), [2, 1, 1, 1, 1].map(Some));
    let highest = Rate::MAX.bits_per_second();
    let lanes = vec![flat(Some(0), highest), flat(Some(0), highest)];
    let params = TreeParams { link: link(rates(highest, highest)), groups: vec![group(None, None)], lanes };
    assert_eq!(guarantees(&params), [highest, highest, highest / 2, highest / 2].map(Some));
}

#[test]
fn quanta_and_priorities_come_from_above() {
    let share = |priority, weight, quantum| Share { priority, weight, quantum };
    let of =
        |parent, bits: Option<u64>, share| LaneParams { share, ..lane(parent, bits.map(|bits| rates(bits, bits))) };
    let params = TreeParams {
        link: link(rates(1_000 * MBIT, 1_000 * MBIT)),
        groups: vec![
            GroupParams { priority: Some(3), weight: 2, ..group(None, None) },
            GroupParams { priority: None, weight: 3, ..group(Some(0), None) },
        ],
        lanes: vec![
            of(Some(1), Some(8 * MBIT), share(None, 5, None)),
            of(Some(1), Some(8 * MBIT), share(Some(1), 1, Some(10))),
            of(None, Some(8_000), share(None, 1, None)),
            of(None, Some(100 * MBIT), share(None, 1, None)),
            of(None, None, share(None, 7, None)),
            of(None, Some(8 * MBIT), share(None, 10_000, Some(u32::MAX))),
        ],
    };
    let tree = Tree::new(&params, Nanos::ZERO).unwrap();
    let read = |id| {
        let node = tree.node(NodeId::Lane(LaneId(id)), Nanos::ZERO);
        (node.priority, node.quantum)
    };
    assert_eq!(read(0), (3, 100_000 * 5 * 3 * 2));
    assert_eq!(read(1), (1, 10 * 3 * 2));
    assert_eq!(read(2), (0, 1_000));
    assert_eq!(read(3), (0, 200_000));
    assert_eq!(read(4), (0, 200_000 * 7), "from what it is guaranteed");
    assert_eq!(read(5), (0, u32::MAX / 2));
    let unlimited = TreeParams { lanes: vec![lane(None, None)], ..TreeParams::default() };
    let tree = Tree::new(&unlimited, Nanos::ZERO).unwrap();
    assert_eq!(tree.node(NodeId::Lane(LaneId(0)), Nanos::ZERO).quantum, 1_514);
}

#[test]
fn levels_count_from_the_link() {
    let groups = (0..8).map(|depth: u32| group(depth.checked_sub(1), None)).collect();
    let params = TreeParams { groups, lanes: vec![lane(None, None), lane(Some(7), None)], ..TreeParams::default() };
    let tree = Tree::new(&params, Nanos::ZERO).unwrap();
    let level = |id| tree.node(id, Nanos::ZERO).level;
    assert_eq!(level(NodeId::Link), 9);
    assert_eq!([0, 3, 7].map(|group| level(NodeId::Group(GroupId(group)))), [8, 5, 1]);
    assert_eq!([0, 1].map(|lane| level(NodeId::Lane(LaneId(lane)))), [0, 0]);
}

proptest! {
    #[test]
    fn guarantees_are_as_documented(params in trees()) {
        let promised = promised(&params);
        let all = std::iter::once(promised.link).chain(promised.groups).chain(promised.lanes);
        let all: Vec<_> = all.map(|rate| rate.map(Rate::bits_per_second)).collect();
        prop_assert_eq!(guarantees(&params), all);
    }
}
