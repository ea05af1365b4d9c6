//! No node sends more than its ceil and its bursts allow, in any interval.

use proptest::prelude::*;

use super::scene::{lane, link, rates, trees};
use crate::bucket::{Bucket, Cost};
use crate::params::{Limiter, NodeId, TreeParams};
use crate::tree::node::{Leaf, Limits, Slot, Spec};
use crate::tree::{Chosen, Tree, slot_of};
use crate::units::{NANOS_PER_SECOND, Nanos, Rate, Size};
use crate::{GroupId, LaneId};

/// The rule "no more than `allowance` + rate × time in any interval", as a bucket that holds the allowance. In nanobits.
#[derive(Debug)]
struct Rule {
    node: NodeId,
    rate: i128,
    allowance: i128,
    left: i128,
    at: u64,
}

impl Rule {
    fn new(node: NodeId, rate: Rate, bytes: u64) -> Self {
        let allowance = i128::from(bytes) * 8 * i128::from(NANOS_PER_SECOND);
        Self { node, rate: rate.bits_per_second().into(), allowance, left: allowance, at: 0 }
    }

    fn sent(&mut self, now: u64, wire: u32) {
        self.left = (self.left + i128::from(now - self.at) * self.rate).min(self.allowance);
        self.at = now;
        self.left -= i128::from(wire) * 8 * i128::from(NANOS_PER_SECOND);
        assert!(self.left >= 0, "{self:?}");
    }
}

const LONGEST: u32 = 9_000;

/// A node's bursts and a packet each for it and for all below, as bytes on the wire; the bit a second that each is
/// guaranteed at least, for as long as the test runs, is far less than a packet.
fn below(tree: &Tree, slot: Slot, longest: u64) -> u64 {
    let Slot::Inner(inner) = slot else { return 0 };
    let inner = &tree.inner[inner as usize];
    let children = inner.children.iter().flatten();
    children.map(|&child| tree.spec(child).burst().0 + longest + below(tree, child, longest)).sum()
}

/// The rules that the nodes keep: leaves to their ceils, inner nodes too, but for what those below send on guarantees that
/// they have saved up; and the link to its rate, for there is nobody to borrow from.
fn rules(tree: &Tree, params: &TreeParams, longest: u64) -> Vec<Rule> {
    let mut rules = Vec::new();
    for node in super::scene::nodes(params) {
        if let Some(shape) = tree.spec(slot_of(node)).shape() {
            let extra = longest + below(tree, slot_of(node), longest);
            rules.push(Rule::new(node, shape.ceil, shape.cburst.0 + extra));
            if node == NodeId::Link {
                rules.push(Rule::new(node, shape.rate, shape.burst.0 + extra));
            }
        }
    }
    rules
}

fn is_above(tree: &Tree, node: NodeId, lane: LaneId) -> bool {
    let leaf = Slot::Leaf(lane.0);
    slot_of(node) == leaf || tree.ancestors(leaf).any(|inner| Slot::Inner(inner) == slot_of(node))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// All are backlogged, or stop for a while and save up their bursts; the device is fast, slow, or late.
    #[test]
    fn ceils_are_kept(
        mut params in trees(),
        // Which lane may not send meanwhile, how long the device sleeps, packets that it takes then, and their length.
        rounds in prop::collection::vec((any::<prop::sample::Index>(), 0..50_000_000_u64, 1..40_u32, 60..=LONGEST), 1..60),
    ) {
        // What a packet takes on the wire of a node must not exceed what it takes on the wires below.
        let framing = params.link.framing;
        params.groups.iter_mut().for_each(|group| group.framing = framing.into());
        params.lanes.iter_mut().for_each(|lane| lane.framing = framing.into());
        let mut tree = Tree::new(&params, Nanos::ZERO).unwrap();
        let mut rules = rules(&tree, &params, framing.on_wire(LONGEST).into());
        let lanes: Vec<_> = (0..u32::try_from(params.lanes.len()).unwrap()).map(LaneId).collect();
        let mut now = 0;
        for (absent, sleep, packets, len) in rounds {
            now += sleep;
            lanes.iter().for_each(|&lane| tree.activate(lane));
            tree.deactivate(*absent.get(&lanes));
            for _ in 0..packets {
                tree.expire(Nanos(now), |_| (), |_| ());
                let Some(chosen) = tree.choose(Nanos(now)) else {
                    let wake = tree.next_wake(Nanos(now));
                    if wake > Nanos(now + NANOS_PER_SECOND) {
                        break;
                    }
                    now = wake.0;
                    continue;
                };
                tree.sent(chosen, len, true, Nanos(now));
                for rule in &mut rules {
                    if is_above(&tree, rule.node, chosen.lane) {
                        rule.sent(now, framing.on_wire(len));
                    }
                }
            }
        }
    }
}

#[test]
fn a_leaf_is_small() {
    let wheels = 2 * 24;
    let child = size_of::<Option<Slot>>();
    let leaf = size_of::<Leaf>() + size_of::<Spec>() + wheels + child;
    assert!(leaf <= 344, "{leaf} bytes: limits {}", size_of::<Limits>());
}

#[test]
fn credit_and_debt_outlive_a_change() {
    let params = TreeParams {
        lanes: vec![lane(None, Some(rates(8_000_000, 8_000_000)))],
        link: link(rates(80_000_000, 80_000_000)),
        ..TreeParams::default()
    };
    let mut tree = Tree::new(&params, Nanos::ZERO).unwrap();
    let chosen = Chosen { lane: LaneId(0), level: 0 };
    let tokens = |tree: &Tree, now| tree.node(NodeId::Lane(LaneId(0)), now).tokens_ns;
    tree.activate(LaneId(0));
    tree.sent(chosen, 1_000, true, Nanos::ZERO);
    assert_eq!(tokens(&tree, Nanos::ZERO), 600_000, "600 bytes at a byte a microsecond");

    // A greater burst is earned, not given; a smaller one cuts.
    let mut changed = params.lanes[0].clone();
    changed.limiter = Limiter::Htb(super::scene::shape(16_000_000, 16_000_000, 9_000, 9_000));
    tree.set_lane(LaneId(0), &changed, Nanos::ZERO).unwrap();
    assert_eq!(tokens(&tree, Nanos::ZERO), 300_000);
    changed.limiter = Limiter::Htb(super::scene::shape(16_000_000, 16_000_000, 200, 200));
    tree.set_lane(LaneId(0), &changed, Nanos::ZERO).unwrap();
    assert_eq!(tokens(&tree, Nanos::ZERO), 100_000);

    // Debt stays, and what was earned under the old rate.
    tree.sent(chosen, 1_000, true, Nanos::ZERO);
    assert_eq!(tokens(&tree, Nanos::ZERO), -400_000);
    tree.set_lane(LaneId(0), &params.lanes[0], Nanos(200_000)).unwrap();
    assert_eq!(tokens(&tree, Nanos(200_000)), -400_000, "400 bytes are owed yet");
    assert_eq!(tree.next_wake(Nanos(200_000)), Nanos(600_000));

    // In another group too.
    let group = tree.add_group(super::scene::group(None, Some(rates(16_000_000, 16_000_000))), Nanos(200_000)).unwrap();
    assert_eq!(group, GroupId(0));
    tree.set_lane(LaneId(0), &lane(Some(0), Some(rates(8_000_000, 8_000_000))), Nanos(200_000)).unwrap();
    assert_eq!(tree.next_wake(Nanos(200_000)), Nanos(600_000));
    tree.check_invariants();
}

#[test]
fn debts_are_bounded() {
    let mut bucket = Bucket::new(Rate::MAX, Size(u64::MAX), Nanos::ZERO);
    for _ in 0..1_000 {
        bucket.pay(Cost::of(u32::MAX));
    }
    bucket.refill(Nanos(1));
    bucket.refill(Nanos::MAX);
    assert!(bucket.in_credit());
}
