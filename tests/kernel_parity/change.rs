//! A rate that changes while packets wait: `tc class change` in the kernel, [`Shaper::set_lane`] in portlane, whose replay
//! keeps one configuration from beginning to end.

use std::thread;
use std::time::{Duration, Instant};

use portlane_shaper::{
    Arrival, DropReason, Fate, LaneId, LaneParams, Limiter, LinkParams, Nanos, NodeId, QueueParams, Shape, Shaper,
    TreeParams, Wake,
};

use crate::compare::Ours;
use crate::kernel::{Bench, Counts, Observed, now_ns};
use crate::load::{self, Load};
use crate::scenarios::{SECONDS, Scenario};
use crate::shaping::{Class, DEVICE, Shaping};
use crate::virtual_time::Packet;

/// When the rate changes, from the beginning: not where a second ends.
const AFTER: Duration = Duration::from_millis(1_300);

fn link() -> Class {
    Class::link("10mbit")
}

/// The class whose rate changes, and what it changes to; and one that takes what is left.
fn changing() -> [Class; 2] {
    ["2mbit", "6mbit"].map(|rate| Class::leaf("changing", rate, rate))
}

fn other() -> Class {
    Class::leaf("other", "3mbit", "10mbit")
}

/// The scenario as it begins.
pub(crate) fn scenario() -> Scenario {
    let [before, _] = changing();
    let loads = vec![Load::steady(0, 1_000, 8_000), Load::steady(1, 1_000, 9_000)];
    Scenario { name: "change_of_rate", shaping: Shaping::Htb(vec![link(), before, other()]), loads }
}

/// The scenario in the kernel, and the same packets and the same change in portlane.
pub(crate) fn run(Scenario { shaping, loads, .. }: &Scenario) -> (Observed, Ours) {
    let [before, after] = changing();
    let bench = Bench::new(shaping);
    let (parent, handle) = (shaping.handle(link().id), shaping.handle(after.id));
    let command = format!("class change dev {DEVICE} parent {parent} classid {handle} {}", after.for_tc());
    let change = |begin: Instant| {
        thread::sleep((begin + AFTER).saturating_duration_since(Instant::now()));
        bench.tc(&command);
        // Most of a command's time goes by before it asks the kernel.
        now_ns()
    };
    let (observed, changed_ns) = bench.run(&load::plan(loads, SECONDS), change);
    let link = LinkParams { shape: Some(shape(link())), ..LinkParams::default() };
    let tree = TreeParams { link, lanes: vec![lane(before), lane(other())], ..TreeParams::default() };
    let ours = shape_all(&observed.arrivals, &tree, Nanos(changed_ns), &lane(after));
    (observed, ours)
}

fn shape(class: Class) -> Shape {
    let burst = class.burst.parse().unwrap();
    Shape { rate: class.rate.parse().unwrap(), ceil: class.ceil.parse().unwrap(), burst, cburst: burst }
}

fn lane(class: Class) -> LaneParams {
    let queue = QueueParams::fifo(class.limit.unwrap());
    LaneParams { limiter: Limiter::Htb(shape(class)), queue, ..LaneParams::default() }
}

/// Dropped packets are counted by the shaper; none is marked.
struct Bin;

impl Fate<Packet> for Bin {
    fn dropped(&mut self, _lane: LaneId, _packet: Packet, _reason: DropReason) {}

    fn mark(&mut self, _packet: &mut Packet) -> bool {
        false
    }
}

/// The arrivals through a tree whose first lane becomes `after` at `changed`.
fn shape_all(arrivals: &[Packet], tree: &TreeParams, changed: Nanos, after: &LaneParams) -> Ours {
    let mut now = Nanos(arrivals[0].time_ns);
    let mut shaper = Shaper::new(tree, arrivals.len(), now).unwrap();
    let mut change = Some(changed);
    let mut ahead = arrivals.iter().peekable();
    let mut departures = Vec::new();
    while let Some(next) = next_event([ahead.peek().map(|packet| Nanos(packet.time_ns)), change], shaper.next_wake(now))
    {
        now = now.max(next);
        if change.take_if(|at| *at <= now).is_some() {
            shaper.set_lane(LaneId(0), after, now, &mut Bin).unwrap();
        }
        while let Some(&packet) = ahead.next_if(|packet| packet.time_ns <= now.0) {
            let arrival = Arrival { packet, len: packet.len, memory: packet.len, flow: 0, ect: true };
            shaper.enqueue(LaneId(packet.tag.flow.into()), arrival, now, &mut Bin);
        }
        while let Some(leaving) = shaper.dequeue(now, &mut Bin) {
            departures.push(Packet { time_ns: now.0, ..leaving.packet });
        }
    }
    Ours { departures, counts: [LaneId(0), LaneId(1)].map(|lane| counts(&shaper, lane, now)).to_vec() }
}

/// The first of these times and the shaper's; none if nothing will happen.
fn next_event(times: [Option<Nanos>; 2], wake: Wake) -> Option<Nanos> {
    let wake = match wake {
        Wake::Now => Some(Nanos::ZERO),
        Wake::At(at) => Some(at),
        Wake::Never => None,
    };
    times.into_iter().chain([wake]).flatten().min()
}

fn counts(shaper: &Shaper<Packet>, lane: LaneId, now: Nanos) -> Counts {
    let (counters, class) = (shaper.counters(lane), shaper.node(NodeId::Lane(lane), now));
    let (sent, drops) = (counters.sent.packets, counters.dropped_total().packets);
    Counts { sent, drops, lended: Some([class.lended, class.borrowed]) }
}
