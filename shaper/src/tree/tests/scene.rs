//! Trees for tests: by hand, at random, and what they promise.

use proptest::prelude::*;

use crate::params::{Framing, GroupParams, LaneParams, Limiter, LinkParams, Shape, Share, TreeParams};
use crate::units::{Rate, Size};
use crate::{GroupId, LaneId, NodeId};

pub(super) fn rate(bits: u64) -> Rate {
    Rate::from_bits_per_second(bits).unwrap()
}

pub(super) fn shape(bits: u64, ceil: u64, burst: u64, cburst: u64) -> Shape {
    Shape { rate: rate(bits), ceil: rate(ceil), burst: Size(burst), cburst: Size(cburst) }
}

/// A rate and a ceil with tc's bursts.
pub(super) fn rates(bits: u64, ceil: u64) -> Shape {
    shape(bits, ceil, 1_600, 1_600)
}

pub(super) fn link(shape: Shape) -> LinkParams {
    LinkParams { shape: Some(shape), framing: Framing::default() }
}

pub(super) fn group(parent: Option<u32>, shape: Option<Shape>) -> GroupParams {
    GroupParams { group: parent.map(GroupId), shape, ..GroupParams::default() }
}

pub(super) fn lane(parent: Option<u32>, shape: Option<Shape>) -> LaneParams {
    let limiter = shape.map_or(Limiter::None, Limiter::Htb);
    LaneParams { group: parent.map(GroupId), limiter, ..LaneParams::default() }
}

pub(super) fn nodes(params: &TreeParams) -> impl Iterator<Item = NodeId> + use<> {
    let groups = (0..u32::try_from(params.groups.len()).unwrap()).map(|id| NodeId::Group(GroupId(id)));
    let lanes = (0..u32::try_from(params.lanes.len()).unwrap()).map(|id| NodeId::Lane(LaneId(id)));
    std::iter::once(NodeId::Link).chain(groups).chain(lanes)
}

/// What every node should be guaranteed.
#[derive(Debug)]
pub(super) struct Promised {
    pub(super) link: Option<Rate>,
    pub(super) groups: Vec<Option<Rate>>,
    pub(super) lanes: Vec<Option<Rate>>,
}

/// Where a child is: a group or a lane, by number.
#[derive(Debug, Clone, Copy)]
enum Child {
    Group(usize),
    Lane(usize),
}

fn children(params: &TreeParams, of: Option<usize>) -> Vec<Child> {
    let of = of.map(|id| GroupId(u32::try_from(id).unwrap()));
    let groups =
        params.groups.iter().enumerate().filter(|(_, group)| group.group == of).map(|(id, _)| Child::Group(id));
    let lanes = params.lanes.iter().enumerate().filter(|(_, lane)| lane.group == of).map(|(id, _)| Child::Lane(id));
    groups.chain(lanes).collect()
}

fn own(params: &TreeParams, child: Child) -> (Option<u128>, u128) {
    match child {
        Child::Group(id) => {
            let group = &params.groups[id];
            (group.shape.map(|shape| shape.rate.bits_per_second().into()), group.weight.into())
        }
        Child::Lane(id) => {
            let lane = &params.lanes[id];
            let rate = match lane.limiter {
                Limiter::None => None,
                Limiter::Htb(Shape { rate, .. }) | Limiter::Tbf { rate, .. } => Some(rate.bits_per_second().into()),
            };
            (rate, lane.share.weight.into())
        }
    }
}

fn wants(params: &TreeParams, child: Child) -> u128 {
    match (own(params, child).0, child) {
        (Some(rate), _) => rate,
        (None, Child::Lane(_)) => 0,
        (None, Child::Group(id)) => children(params, Some(id)).into_iter().map(|child| wants(params, child)).sum(),
    }
}

/// Guarantees as the documentation has them, worked out from the top.
pub(super) fn promised(params: &TreeParams) -> Promised {
    let mut promised = Promised {
        link: params.link.shape.map(|shape| shape.rate),
        groups: vec![None; params.groups.len()],
        lanes: vec![None; params.lanes.len()],
    };
    promise(params, None, promised.link, &mut promised);
    promised
}

fn promise(params: &TreeParams, of: Option<usize>, guarantee: Option<Rate>, promised: &mut Promised) {
    let children = children(params, of);
    let total: u128 = children.iter().map(|&child| wants(params, child)).sum();
    let weights: u128 =
        children.iter().map(|&child| own(params, child)).filter(|own| own.0.is_none()).map(|own| own.1).sum();
    for child in children {
        let (rate_of_its_own, weight) = own(params, child);
        let bits = guarantee.map_or(rate_of_its_own, |guarantee| {
            let guarantee = u128::from(guarantee.bits_per_second());
            let kept = if weights == 0 { 0 } else { guarantee / 1_024 };
            let fits = total <= guarantee - kept;
            let part = wants(params, child);
            let part = if fits || total == 0 { part } else { part * (guarantee - kept) / total };
            let left = if fits { guarantee - total } else { kept };
            Some(if rate_of_its_own.is_some() { part } else { part + left * weight / weights })
        });
        let bits = bits.map(|bits| rate(u64::try_from(bits).unwrap().max(1)));
        match child {
            Child::Lane(id) => promised.lanes[id] = bits,
            Child::Group(id) => {
                promised.groups[id] = bits;
                promise(params, Some(id), bits, promised);
            }
        }
    }
}

fn shapes() -> impl Strategy<Value = Option<Shape>> {
    // Few rates and bursts, so that many nodes are due at the same time; and primes, so that others never are.
    let bits = prop::sample::select(vec![64_000_u64, 1_000_000, 2_000_000, 3_000_017, 10_000_000, 99_999_989]);
    let burst = prop::sample::select(vec![1_u64, 1_600, 1_600, 15_000, 100_000]);
    let factor = prop::sample::select(vec![1_u64, 1, 2, 5, 1_000]);
    let shape = (bits, factor, burst.clone(), burst)
        .prop_map(|(bits, factor, burst, cburst)| shape(bits, bits * factor, burst, cburst));
    prop::option::weighted(0.8, shape)
}

fn framings() -> impl Strategy<Value = Framing> {
    prop_oneof![
        3 => Just(Framing::default()),
        1 => (0..60_u16, 0..100_u16).prop_map(|(overhead, mpu)| Framing { overhead, mpu }),
    ]
}

pub(super) fn priorities() -> impl Strategy<Value = Option<u8>> {
    prop::option::weighted(0.3, 0..3_u8)
}

pub(super) fn groups() -> impl Strategy<Value = GroupParams> {
    (shapes(), framings(), priorities(), 1..4_u32).prop_map(|(shape, framing, priority, weight)| GroupParams {
        group: None,
        shape,
        framing: framing.into(),
        priority,
        weight,
    })
}

pub(super) fn lanes() -> impl Strategy<Value = LaneParams> {
    let quantum = prop::option::weighted(0.3, prop_oneof![200..3_000_u32, 1_514..20_000_u32]);
    (shapes(), framings(), priorities(), 1..5_u32, quantum).prop_map(|(shape, framing, priority, weight, quantum)| {
        LaneParams { framing: framing.into(), share: Share { priority, weight, quantum }, ..lane(None, shape) }
    })
}

/// Trees of every form: flat, bushy, and eight groups deep; with room to lend, and over-subscribed many times.
pub(super) fn trees() -> impl Strategy<Value = TreeParams> {
    let nested = prop::collection::vec((groups(), any::<bool>(), any::<prop::sample::Index>()), 0..12);
    let leaves = prop::collection::vec((lanes(), any::<prop::sample::Index>()), 1..14);
    (shapes(), framings(), nested, leaves).prop_map(|(shape, framing, nested, leaves)| {
        let mut tree = TreeParams { link: LinkParams { shape, framing }, ..TreeParams::default() };
        let mut depths = Vec::new();
        for (mut group, deep, at) in nested {
            let parent = if deep { depths.len() } else { at.index(depths.len() + 1) };
            let parent = parent.checked_sub(1).filter(|&parent| depths[parent] < 8);
            group.group = parent.map(|parent| GroupId(u32::try_from(parent).unwrap()));
            depths.push(parent.map_or(1, |parent| depths[parent] + 1));
            tree.groups.push(group);
        }
        for (mut lane, at) in leaves {
            let parent = at.index(depths.len() + 1).checked_sub(1);
            lane.group = parent.map(|parent| GroupId(u32::try_from(parent).unwrap()));
            tree.lanes.push(lane);
        }
        tree
    })
}
