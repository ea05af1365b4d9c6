//! What is allowed but probably not meant.

use std::cmp::Reverse;
use std::iter;
use std::net::IpAddr;

use portlane_classify::Direction;
use portlane_shaper::{Aqm, GroupId, Limiter, Nanos, Rate, Shape, Size};

use super::bounded::FULL_PACKET;
use super::plan::{Group, Plan};
use super::values::{List, Text};

/// A burst that is spent in less than this makes a limit hard to reach.
const SHORT_BURST: Nanos = Nanos::from_millis(1);

/// Packets that can wait live whatever the rings hold: of 16,384 frames half may be in the rings of both interfaces.
const LIVE_PACKETS: u64 = 8_192;

/// A burst that a late thread outlasts; `keys` are those of the burst and of its rate.
pub(crate) fn of_short_burst(who: &str, keys: [&str; 2], burst: Size, rate: Rate, warnings: &mut Vec<String>) {
    let [key, limit] = keys;
    let spent_in = time_to_send(burst, rate);
    if spent_in < SHORT_BURST {
        let better = Size((rate.bytes_per_second() / 1_000).max(FULL_PACKET.0));
        warnings.push(format!(
            "{who}: {key} {burst} is spent in {} us at {limit} {rate}; a thread that wakes later than that loses rate: \
             at least {key} = \"{}b\" is a millisecond",
            spent_in.0 / 1_000,
            better.0,
        ));
    }
}

fn time_to_send(size: Size, rate: Rate) -> Nanos {
    let nanos = u128::from(size.0) * 8_000_000_000 / u128::from(rate.bits_per_second());
    Nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// A ceil as it is written.
pub(crate) fn ceil(ceil: Rate) -> String {
    if ceil == Rate::MAX { "none".to_owned() } else { ceil.to_string() }
}

/// Nodes that promise more than they have.
pub(crate) fn of_over_subscription(plan: &Plan, warnings: &mut Vec<String>) {
    for direction in Direction::ALL {
        let index = direction.index();
        let link = ("link".to_owned(), plan.link.params[index].shape);
        let groups = plan.groups.iter().map(|group| (format!("group {}", group.id), group.params[index].shape));
        for ((who, shape), promised) in iter::once(link).chain(groups).zip(promised(plan, index)) {
            let Some(rate) = shape.map(|shape| shape.rate) else { continue };
            let bits = u128::from(rate.bits_per_second());
            if promised > bits {
                let all = u64::try_from(promised).ok().and_then(Rate::from_bits_per_second).unwrap_or(Rate::MAX);
                let kept = match bits * 100 / promised {
                    0 => "less than 1".to_owned(),
                    percent => percent.to_string(),
                };
                warnings.push(format!(
                    "{direction}: {who} {rate} is over-subscribed: its children are promised {all} together, so each \
                     gets {kept} % of its rate when all want theirs"
                ));
            }
        }
    }
}

/// Bits a second that the children of each inner node are promised: of the link, then of each group. A group without a
/// rate of its own hands its children's promises on.
fn promised(plan: &Plan, direction: usize) -> Vec<u128> {
    let mut promised = vec![0; 1 + plan.groups.len()];
    let slot = |group: Option<GroupId>| group.map_or(0, |group| 1 + group.0 as usize);
    let bits = |rate: Rate| u128::from(rate.bits_per_second());
    for lane in plan.containers.iter().map(|container| &container.lanes[direction]) {
        promised[slot(lane.group)] += match lane.limiter {
            Limiter::None => 0,
            Limiter::Htb(Shape { rate, .. }) | Limiter::Tbf { rate, .. } => bits(rate),
        };
    }
    let depth = |&(_, group): &(usize, &Group)| {
        iter::successors(group.group, |above| plan.groups[above.0 as usize].group).count()
    };
    let mut deepest_first: Vec<_> = (1..).zip(&*plan.groups).collect();
    deepest_first.sort_by_key(|group| Reverse(depth(group)));
    for (place, group) in deepest_first {
        let shape = group.params[direction].shape;
        promised[slot(group.group)] += shape.map_or(promised[place], |shape| bits(shape.rate));
    }
    promised
}

/// Where the host's addresses tell directions apart, no packet to or from another address is a container's.
pub(crate) fn of_foreign_addresses(
    host: &[Text<IpAddr>],
    who: &str,
    addresses: Option<&List<Text<IpAddr>>>,
    warnings: &mut Vec<String>,
) {
    let is_foreign = |address: &&Text<IpAddr>| !host.is_empty() && !host.contains(address);
    let foreign = addresses.into_iter().flat_map(|list| &list.0).filter(is_foreign);
    warnings.extend(foreign.map(|Text(address)| {
        format!(
            "{who}: {address} is not one of [host] addresses; where those tell the direction, as in a replay, \
             its traffic is unmatched"
        )
    }));
}

/// What may wait live is bounded by the frames that there are. An FQ-CoDel queue gives up from the head of its longest
/// flow then, which is what it does at its own limit too; other queues lose what their limits promise to hold.
pub(crate) fn of_long_queues(plan: &Plan, warnings: &mut Vec<String>) {
    let lanes = plan.containers.iter().flat_map(|container| &container.lanes);
    let lanes = lanes.chain([&plan.unmatched; Direction::ALL.len()]);
    let promising = lanes.filter(|lane| !matches!(lane.queue.aqm, Aqm::FqCodel(_)));
    let limits: u64 = promising.map(|lane| u64::from(lane.queue.limit)).sum();
    if limits > LIVE_PACKETS {
        warnings.push(format!(
            "the limits of all queues without fq_codel add up to {limits} packets, and live at least {LIVE_PACKETS} can \
             wait; when more do, the longest queue may lose its oldest (no_frame): lower the limits of queues"
        ));
    }
}
