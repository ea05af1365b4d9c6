//! What is refused changes nothing.

use super::scene::{group, lane, link, rates, shape};
use crate::params::{GroupParams, LaneParams, Limiter, NodeId, Peak, Share, TreeParams};
use crate::tree::{Rule, Tree, TreeError};
use crate::units::{Nanos, Size};
use crate::{GroupId, LaneId};

const NOW: Nanos = Nanos::ZERO;

fn tree() -> Tree {
    let params = TreeParams {
        link: link(rates(10_000, 10_000)),
        groups: vec![group(None, None), group(Some(0), None), group(Some(1), Some(rates(1_000, 2_000)))],
        lanes: vec![lane(Some(2), None), lane(None, Some(rates(1_000, 1_000)))],
    };
    Tree::new(&params, NOW).unwrap()
}

/// The change is refused by the rule, and the tree is as it was.
#[track_caller]
fn refuses<T: std::fmt::Debug>(node: NodeId, rule: Rule, change: impl FnOnce(&mut Tree) -> Result<T, TreeError>) {
    let mut tree = tree();
    let before = format!("{tree:?}");
    assert_eq!(change(&mut tree).unwrap_err(), TreeError { node, rule });
    assert_eq!(format!("{tree:?}"), before);
}

#[test]
fn lanes_that_make_no_sense() {
    let share =
        |priority, weight, quantum| LaneParams { share: Share { priority, weight, quantum }, ..lane(None, None) };
    let tbf = |burst, peak: Option<u64>| {
        let peak = peak.map(|mtu| Peak { rate: super::scene::rate(9), mtu: Size(mtu) });
        LaneParams {
            limiter: Limiter::Tbf { rate: super::scene::rate(1), burst: Size(burst), peak },
            ..lane(None, None)
        }
    };
    let (rate, ceil) = (super::scene::rate(2), super::scene::rate(1));
    let bad = [
        (lane(None, Some(shape(2, 1, 1, 1))), Rule::CeilBelowRate { rate, ceil }),
        (lane(None, Some(shape(1, 1, 0, 1))), Rule::NoBurst),
        (lane(None, Some(shape(1, 1, 1, 0))), Rule::NoCburst),
        (tbf(0, None), Rule::NoBurst),
        (tbf(1, Some(0)), Rule::NoMtu),
        (share(None, 0, None), Rule::Weight(0)),
        (share(None, 10_001, None), Rule::Weight(10_001)),
        (share(Some(8), 1, None), Rule::Priority(8)),
        (share(None, 1, Some(0)), Rule::NoQuantum),
        (lane(Some(3), None), Rule::UnknownGroup(GroupId(3))),
    ];
    for (params, rule) in bad {
        refuses(NodeId::Lane(LaneId(2)), rule, |tree| tree.add_lane(&params, NOW));
        refuses(NodeId::Lane(LaneId(0)), rule, |tree| tree.set_lane(LaneId(0), &params, NOW));
        let params = TreeParams { lanes: vec![lane(None, None), params], ..TreeParams::default() };
        assert_eq!(Tree::new(&params, NOW).unwrap_err(), rule.at(NodeId::Lane(LaneId(1))));
    }
    refuses(NodeId::Lane(LaneId(2)), Rule::Unknown, |tree| tree.set_lane(LaneId(2), &lane(None, None), NOW));
    refuses(NodeId::Lane(LaneId(2)), Rule::Unknown, |tree| tree.remove_lane(LaneId(2), NOW));
}

#[test]
fn groups_that_make_no_sense() {
    let weight = GroupParams { weight: 0, ..group(None, None) };
    let priority = GroupParams { priority: Some(9), ..group(None, None) };
    let bad = [
        (group(None, Some(shape(1, 1, 0, 1))), Rule::NoBurst),
        (weight, Rule::Weight(0)),
        (priority, Rule::Priority(9)),
        (group(Some(7), None), Rule::UnknownGroup(GroupId(7))),
    ];
    for (params, rule) in bad {
        refuses(NodeId::Group(GroupId(3)), rule, |tree| tree.add_group(params, NOW));
        refuses(NodeId::Group(GroupId(1)), rule, |tree| tree.set_group(GroupId(1), params, NOW));
        let params = TreeParams { groups: vec![params], ..TreeParams::default() };
        assert_eq!(Tree::new(&params, NOW).unwrap_err(), rule.at(NodeId::Group(GroupId(0))));
    }
    for into in [0, 1, 2] {
        refuses(NodeId::Group(GroupId(0)), Rule::Circle, |tree| {
            tree.set_group(GroupId(0), group(Some(into), None), NOW)
        });
    }
    let missing = NodeId::Group(GroupId(3));
    refuses(missing, Rule::Unknown, |tree| tree.set_group(GroupId(3), group(None, None), NOW));
    refuses(missing, Rule::Unknown, |tree| tree.remove_group(GroupId(3), NOW));
    refuses(NodeId::Group(GroupId(u32::MAX)), Rule::Unknown, |tree| tree.remove_group(GroupId(u32::MAX), NOW));
    refuses(NodeId::Group(GroupId(2)), Rule::NotEmpty, |tree| tree.remove_group(GroupId(2), NOW));
    refuses(NodeId::Link, Rule::NoCburst, |tree| tree.set_link(link(shape(1, 1, 1, 0)), NOW));
}

#[test]
fn groups_above_end_at_the_link_soon_enough() {
    let nested = |depth: u32| (0..depth).map(|group_| group(group_.checked_sub(1), None)).collect();
    let of = |groups| TreeParams { groups, ..TreeParams::default() };
    let mut tree = Tree::new(&of(nested(8)), NOW).unwrap();
    let error = Tree::new(&of(nested(9)), NOW).unwrap_err();
    assert_eq!(error, Rule::TooDeep.at(NodeId::Group(GroupId(8))));
    assert_eq!(tree.add_group(group(Some(7), None), NOW), Err(Rule::TooDeep.at(NodeId::Group(GroupId(8)))));
    // One that has a group in it may not go where one without may.
    let other = tree.add_group(group(Some(5), None), NOW).unwrap();
    tree.set_group(other, group(Some(6), None), NOW).unwrap();
    tree.set_group(other, group(None, None), NOW).unwrap();
    let inner = tree.add_group(group(Some(other.0), None), NOW).unwrap();
    assert_eq!(tree.set_group(other, group(Some(6), None), NOW), Err(Rule::TooDeep.at(NodeId::Group(other))));
    tree.set_group(other, group(Some(5), None), NOW).unwrap();
    assert_eq!(tree.node(NodeId::Group(inner), NOW).level, 1);

    let circle = vec![group(Some(1), None), group(Some(2), None), group(Some(1), None), group(None, None)];
    assert_eq!(Tree::new(&of(circle), NOW).unwrap_err(), Rule::Circle.at(NodeId::Group(GroupId(0))));
    let itself = vec![group(None, None), group(Some(1), None)];
    assert_eq!(Tree::new(&of(itself), NOW).unwrap_err(), Rule::Circle.at(NodeId::Group(GroupId(1))));
}

#[test]
fn messages_name_the_node_and_what_would_be_right() {
    let rate = |bits: u64| super::scene::rate(bits);
    let rule = Rule::CeilBelowRate { rate: rate(2_000_000), ceil: rate(1_000_000) };
    let message = rule.at(NodeId::Lane(LaneId(7))).to_string();
    assert_eq!(message, "lane 7: ceil 1mbit is below rate 2mbit: it must be the rate or more");
    let message = Rule::UnknownGroup(GroupId(3)).at(NodeId::Group(GroupId(4))).to_string();
    assert_eq!(message, "group 4: it is in group 3, which does not exist");
    assert_eq!(Rule::Weight(0).at(NodeId::Link).to_string(), "link: weight is 0: it must be 1 to 10000");
}
