//! Who gets what in the long run, when all have packets.

use super::scene::{group, lane, link, rates};
use crate::params::{Framing, GroupParams, LaneParams, Limiter, LinkParams, NodeId, Share, TreeParams};
use crate::tree::{Limit, Tree};
use crate::units::{NANOS_PER_SECOND, Nanos, Size};
use crate::{GroupId, LaneId};

const MBIT: u64 = 1_000_000;

/// For how long lanes send.
const SECONDS: u64 = 10;

/// Lets the lanes send packets of the given lengths (0: none) for ten seconds, after one in which bursts are spent;
/// returns their rates in bits a second.
fn rates_of(params: &TreeParams, lens: &[u32]) -> Vec<u64> {
    let mut tree = Tree::new(params, Nanos::ZERO).unwrap();
    let mut bytes = vec![0_u64; params.lanes.len()];
    for (lane, &len) in (0..).zip(lens) {
        if len > 0 {
            tree.activate(LaneId(lane));
        }
    }
    let mut now = Nanos::ZERO;
    while now < Nanos::from_secs(SECONDS + 1) {
        tree.expire(now, |_| (), |_| ());
        let Some(chosen) = tree.choose(now) else {
            let wake = tree.next_wake(now);
            assert!(wake > now, "woken for nothing");
            now = wake;
            continue;
        };
        let len = lens[chosen.lane.index()];
        if now.0 >= NANOS_PER_SECOND {
            bytes[chosen.lane.index()] += u64::from(len);
        }
        tree.sent(chosen, len, true, now);
    }
    bytes.into_iter().map(|bytes| bytes * 8 / SECONDS).collect()
}

/// Rates in mbit, within 1 % and a packet.
#[track_caller]
fn assert_rates(params: &TreeParams, lens: &[u32], expected: &[f64]) {
    let rates = rates_of(params, lens);
    #[expect(clippy::cast_precision_loss, reason = "rates of some megabits are exact")]
    let ok = rates.iter().zip(expected).zip(lens).all(|((&rate, mbit), &len)| {
        let (expected, packet) = (mbit * MBIT as f64, f64::from(len) * 8.0 / SECONDS as f64);
        (rate as f64 - expected).abs() <= expected / 100.0 + packet
    });
    assert!(ok, "{rates:?}, expected {expected:?} mbit");
}

fn weighted(lane: LaneParams, weight: u32) -> LaneParams {
    LaneParams { share: Share { weight, ..lane.share }, ..lane }
}

fn prioritised(lane: LaneParams, priority: u8) -> LaneParams {
    LaneParams { share: Share { priority: Some(priority), ..lane.share }, ..lane }
}

fn under(link_mbit: u64, lanes: Vec<LaneParams>) -> TreeParams {
    TreeParams { link: link(rates(link_mbit * MBIT, link_mbit * MBIT)), groups: Vec::new(), lanes }
}

#[test]
fn lanes_without_a_rate_share_by_weight() {
    let lanes = [1, 2, 4].map(|weight| weighted(lane(None, None), weight)).to_vec();
    assert_rates(&under(70, lanes.clone()), &[1_500, 1_500, 1_500], &[10.0, 20.0, 40.0]);
    assert_rates(&under(70, lanes.clone()), &[64, 9_000, 576], &[10.0, 20.0, 40.0]);
    assert_rates(&under(70, lanes), &[0, 1_500, 1_500], &[0.0, 70.0 / 3.0, 140.0 / 3.0]);
}

#[test]
fn what_rates_leave_is_lent_by_weight() {
    let of = |weight| weighted(lane(None, Some(rates(MBIT, 50 * MBIT))), weight);
    assert_rates(&under(10, vec![of(1), of(2), of(4)]), &[1_500, 200, 9_000], &[2.0, 3.0, 5.0]);
    // With small rates, nearly all is lent.
    let of = |weight| weighted(lane(None, Some(rates(MBIT / 100, 50 * MBIT))), weight);
    assert_rates(&under(7, vec![of(1), of(2), of(4)]), &[1_500, 200, 1_000], &[1.0058, 2.0014, 3.9928]);
}

#[test]
fn what_rates_leave_is_lent_by_priority_first() {
    let of = |ceil: u64, priority| prioritised(lane(None, Some(rates(MBIT, ceil * MBIT))), priority);
    let params = under(10, vec![of(20, 2), of(6, 0), of(20, 1), of(20, 2)]);
    assert_rates(&params, &[1_500, 1_500, 1_500, 1_500], &[1.0, 6.0, 2.0, 1.0]);
    assert_rates(&params, &[1_500, 0, 0, 500], &[5.0, 0.0, 0.0, 5.0]);
}

#[test]
fn the_over_subscribed_get_less_in_proportion() {
    let of = |mbit: u64| lane(None, Some(rates(mbit * MBIT, 20 * MBIT)));
    assert_rates(&under(10, vec![of(10), of(5), of(5)]), &[1_500, 100, 9_000], &[5.0, 2.5, 2.5]);
    assert_rates(&under(10, vec![of(10), of(5), of(5)]), &[0, 100, 9_000], &[0.0, 5.0, 5.0]);
    assert_rates(&under(10, vec![of(20), of(4), lane(None, None)]), &[1_500; 3], &[8.325, 1.665, 0.009_766]);
}

/// Two groups of three, as examples have them.
fn two_groups() -> TreeParams {
    let of = |group, rate: u64, ceil: u64| lane(Some(group), Some(rates(rate * MBIT, ceil * MBIT)));
    TreeParams {
        link: link(rates(100 * MBIT, 100 * MBIT)),
        groups: vec![group(None, Some(rates(60 * MBIT, 80 * MBIT))), group(None, Some(rates(40 * MBIT, 100 * MBIT)))],
        lanes: vec![of(0, 30, 100), of(0, 20, 100), of(0, 10, 100), of(1, 10, 100), of(1, 10, 15), of(1, 10, 100)],
    }
}

#[test]
fn groups_guarantee_lend_and_keep_their_ceils() {
    let params = two_groups();
    assert_rates(&params, &[1_500, 1_500, 1_500, 1_500, 0, 1_500], &[30.0, 20.0, 10.0, 20.0, 0.0, 20.0]);
    // The first group stops at its ceil; the second takes what is left.
    assert_rates(&params, &[1_500, 0, 0, 1_500, 0, 0], &[60.0, 0.0, 0.0, 40.0, 0.0, 0.0]);
    assert_rates(&params, &[1_500, 0, 0, 0, 0, 0], &[80.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    assert_rates(&params, &[1_500, 0, 0, 0, 1_500, 0], &[80.0, 0.0, 0.0, 0.0, 15.0, 0.0]);
}

#[test]
fn a_quantum_below_a_packet_shares_all_the_same() {
    let of = |quantum| {
        let lane = lane(None, Some(rates(MBIT / 100, 50 * MBIT)));
        LaneParams { share: Share { quantum: Some(quantum), ..lane.share }, ..lane }
    };
    assert_rates(&under(7, vec![of(100), of(200), of(400)]), &[1_500; 3], &[1.0058, 2.0014, 3.9928]);
}

#[test]
fn what_holds_a_lane_back_has_a_name() {
    let params = two_groups();
    let mut tree = Tree::new(&params, Nanos::ZERO).unwrap();
    let send = |tree: &mut Tree, lane: u32, packets: usize| {
        tree.activate(LaneId(lane));
        for _ in 0..packets {
            tree.sent(crate::tree::Chosen { lane: LaneId(lane), level: 0 }, 1_500, true, Nanos::ZERO);
        }
    };
    assert_eq!(tree.limited_by(LaneId(4), Nanos::ZERO), None, "it has no packet");
    send(&mut tree, 4, 1);
    assert_eq!(tree.limited_by(LaneId(4), Nanos::ZERO), None);
    send(&mut tree, 4, 1);
    assert_eq!(tree.limited_by(LaneId(4), Nanos::ZERO), Some(Limit::Ceil));
    assert_eq!(tree.limited_by(LaneId(4), Nanos::from_secs(1)), None);
    // Both groups owe their ceils now, and the link owes too.
    send(&mut tree, 0, 2);
    assert_eq!(tree.limited_by(LaneId(0), Nanos::ZERO), Some(Limit::Ceil));
    let group = NodeId::Group(crate::GroupId(0));
    // 1,400 bytes are owed: paid at the lane's ceil of 100 mbit after 112 us, at the group's of 80 mbit after 140 us.
    assert_eq!(tree.limited_by(LaneId(0), Nanos::from_micros(112)), Some(Limit::Node(group)));
    let flat = LaneParams { limiter: Limiter::Htb(rates(MBIT, MBIT)), ..params.lanes[0].clone() };
    tree.set_lane(LaneId(0), &flat, Nanos::ZERO).unwrap();
    assert_eq!(tree.limited_by(LaneId(0), Nanos::ZERO), Some(Limit::Rate));
    // Without packets of others, the link's own rate is what is left.
    let mut tree = Tree::new(&under(10, vec![lane(None, None)]), Nanos::ZERO).unwrap();
    send(&mut tree, 0, 2);
    assert_eq!(tree.limited_by(LaneId(0), Nanos::ZERO), Some(Limit::Node(NodeId::Link)));
}

#[test]
fn parked_lanes_are_woken_once() {
    let tbf = Limiter::Tbf { rate: super::scene::rate(MBIT), burst: Size(3_000), peak: None };
    let lanes = vec![LaneParams { limiter: tbf, ..LaneParams::default() }, lane(None, None)];
    let mut tree = Tree::new(&under(10, lanes), Nanos::ZERO).unwrap();
    assert_eq!(tree.next_wake(Nanos(5)), Nanos::MAX);
    let woken = |tree: &mut Tree, now| {
        let mut woken = Vec::new();
        tree.expire(Nanos(now), |lane| woken.push(lane), |_| {});
        woken
    };
    tree.park(LaneId(0), Nanos(500));
    tree.park(LaneId(0), Nanos(700));
    tree.park(LaneId(1), Nanos(600));
    tree.unpark(LaneId(1));
    assert_eq!(tree.next_wake(Nanos(5)), Nanos(700));
    assert_eq!(woken(&mut tree, 699), []);
    assert_eq!(woken(&mut tree, 700), [LaneId(0)]);
    assert_eq!(woken(&mut tree, 701), []);
    tree.park(LaneId(0), Nanos(800));
    tree.activate(LaneId(0));
    tree.activate(LaneId(1));
    assert_eq!(woken(&mut tree, 900), [], "it is active");
    let chosen = tree.choose(Nanos(900)).unwrap();
    assert_eq!((chosen.lane, chosen.level), (LaneId(0), 0));
    tree.skip(chosen);
    assert_eq!(tree.choose(Nanos(900)).map(|chosen| chosen.lane), Some(LaneId(1)));
}

#[test]
fn framing_comes_from_above_unless_there_is_one() {
    let on_the_wire = Framing { overhead: 24, mpu: 84 };
    let mut params = under(10, vec![lane(Some(0), None), lane(None, None), lane(None, None)]);
    params.groups = vec![GroupParams::default()];
    params.link.framing = on_the_wire;
    params.lanes[2].framing.overhead = Some(4);
    let mut tree = Tree::new(&params, Nanos::ZERO).unwrap();
    let framings = |tree: &Tree| [0, 1, 2].map(|lane| tree.framing(LaneId(lane)));
    assert_eq!(framings(&tree), [on_the_wire, on_the_wire, Framing { overhead: 4, mpu: 84 }]);
    let mut group = params.groups[0];
    group.framing.mpu = Some(64);
    tree.set_group(GroupId(0), group, Nanos::ZERO).unwrap();
    tree.set_link(LinkParams { framing: Framing { overhead: 8, mpu: 0 }, ..params.link }, Nanos::ZERO).unwrap();
    let expected = [(8, 64), (8, 0), (4, 0)].map(|(overhead, mpu)| Framing { overhead, mpu });
    assert_eq!(framings(&tree), expected);
}

#[test]
fn weights_without_rates_count_once() {
    let weighted = |weight| LaneParams { share: Share { weight, ..Share::default() }, ..lane(None, None) };
    let rates = rates_of(&under(10, vec![weighted(1), weighted(2), weighted(4)]), &[1_000; 3]);
    let whole: u64 = rates.iter().sum();
    for (rate, weight) in rates.iter().zip([1, 2, 4]) {
        assert!(rate.abs_diff(whole * weight / 7) * 100 <= whole * weight / 7, "{rates:?}");
    }
}
