//! What a shaper allocates: little for lanes that are idle, and nothing once it has what it needs.

use std::alloc::System;
use std::sync::Mutex;

use portlane_shaper::{
    Arrival, DropReason, Fate, LaneId, LaneParams, Limiter, Nanos, QueueParams, Shape, Shaper, Size, TreeParams, Wake,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The allocator counts for the whole process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

struct Bin;

impl Fate<()> for Bin {
    fn dropped(&mut self, _lane: LaneId, _packet: (), _reason: DropReason) {}

    fn mark(&mut self, _packet: &mut ()) -> bool {
        false
    }
}

/// Lanes of 10 mbit with tc's FQ-CoDel.
fn tree(lanes: usize) -> TreeParams {
    let limiter = Limiter::Htb(Shape::flat("10mbit".parse().expect("a rate"), Size(1_600)));
    let lane = LaneParams { limiter, queue: QueueParams::default(), ..LaneParams::default() };
    TreeParams { lanes: vec![lane; lanes], ..TreeParams::default() }
}

fn enqueue(shaper: &mut Shaper<()>, lane: LaneId, flow: u32, now: Nanos) {
    shaper.enqueue(lane, Arrival { packet: (), len: 1_000, memory: 2_048, flow, ect: true }, now, &mut Bin);
}

/// Sends all, at the times at which it may leave.
fn drain(shaper: &mut Shaper<()>, mut now: Nanos) -> Nanos {
    loop {
        match shaper.next_wake(now) {
            Wake::Never => return now,
            Wake::Now => {}
            Wake::At(at) => now = at,
        }
        while shaper.dequeue(now, &mut Bin).is_some() {}
    }
}

fn allocated(region: &Region<System>) -> i64 {
    let stats = region.change();
    let bytes = |count: usize| i64::try_from(count).expect("a size");
    bytes(stats.bytes_allocated) - bytes(stats.bytes_deallocated)
}

#[test]
fn idle_lanes_take_little() {
    const LANES: usize = 65_536;
    let _alone = ALONE.lock().expect("no test failed");
    let tree = tree(LANES);
    let region = Region::new(ALLOCATOR);
    let mut shaper = Shaper::new(&tree, 4_096, Nanos::ZERO).expect("a valid tree");
    let new = allocated(&region);
    let mut now = Nanos::ZERO;
    // A dozen packets of three flows, many lanes at a time.
    let lanes: Vec<LaneId> = (0..).map(LaneId).take(LANES).collect();
    for some in lanes.chunks(512) {
        for flow in (0..12_u32).map(|number| number % 3 * 0x5555_5555) {
            some.iter().for_each(|&lane| enqueue(&mut shaper, lane, flow, now));
        }
        now = drain(&mut shaper, now) + Nanos::from_millis(1);
    }
    let used = allocated(&region);
    println!("{LANES} idle lanes: {} kB when new, {} kB after use", new / 1_000, used / 1_000);
    println!("a lane: {} bytes when new, {} after use", new / 65_536, used / 65_536);
    assert!(new < 64_000_000 && used < 64_000_000);
}

/// Lanes that fill and empty, and lanes that are always too full, after they have done so for a while.
#[test]
fn nothing_is_allocated_in_the_long_run() {
    let _alone = ALONE.lock().expect("no test failed");
    let mut shaper = Shaper::new(&tree(9), 16_384, Nanos::ZERO).expect("a valid tree");
    let mut now = Nanos::ZERO;
    let mut second = |shaper: &mut Shaper<()>, number: u32| {
        for step in 0..100_u32 {
            // Of up to 256 flows at once, others every time.
            let flow = |packet: u32| (number * 100 + step + packet).wrapping_mul(0x9E37_79B9);
            for lane in (0..8).map(LaneId) {
                (0..1 << lane.0).for_each(|packet| enqueue(shaper, lane, flow(packet), now));
            }
            (0..200).for_each(|packet| enqueue(shaper, LaneId(8), flow(packet), now));
            now = now + Nanos::from_millis(150);
            while shaper.dequeue(now, &mut Bin).is_some() {}
        }
    };
    (0..40).for_each(|number| second(&mut shaper, number));
    let region = Region::new(ALLOCATOR);
    (40..80).for_each(|number| second(&mut shaper, number));
    let stats = region.change();
    let counters = shaper.counters(LaneId(8));
    let dropped = [DropReason::Codel, DropReason::Limit].map(|reason| counters.dropped_for(reason).packets);
    println!("{} allocations; CoDel dropped {}, the limit {}", stats.allocations, dropped[0], dropped[1]);
    assert_eq!((stats.allocations, stats.reallocations), (0, 0));
    assert!(dropped[0] > 0 && counters.sent.packets > 10_000, "{counters:?}");
}
