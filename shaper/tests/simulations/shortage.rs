//! What happens when the frame pool runs short: the lane that holds the most gives up the most.

use portlane_shaper::{DropReason, LaneId, Limiter, Nanos, Shaper};

use crate::support::Rng;
use crate::{Bin, fifo, link, next_departure, rate, size};

const POOL: usize = 4_096;
const OTHERS: u32 = 8;
const LANES: usize = OTHERS as usize + 1;
const FLOODED: LaneId = LaneId(OTHERS);
const FLOOD: u32 = 10_240;
/// Frames asked for at a time when the pool is empty.
const BATCH: u32 = 32;

/// A shaper whose packets are the frames of a pool.
struct Pooled {
    shaper: Shaper<()>,
    now: Nanos,
    most_held: [u64; LANES],
}

impl Pooled {
    fn new(limiter: Limiter) -> Self {
        let shaper = Shaper::new(link(None), vec![fifo(limiter); LANES], POOL, Nanos::ZERO);
        Self { shaper, now: Nanos::ZERO, most_held: [0; LANES] }
    }

    fn receive(&mut self, lane: LaneId) {
        if self.shaper.queued() == POOL {
            assert_eq!(self.shaper.shed(BATCH, &mut Bin), BATCH);
        }
        self.shaper.enqueue(lane, (), 1_000, self.now, &mut Bin);
        let most = &mut self.most_held[lane.0 as usize];
        *most = (*most).max(self.shaper.backlog(lane).packets);
    }

    /// Sends what may leave before `until`.
    fn send(&mut self, until: Nanos) {
        while let Some(at) = next_departure(&self.shaper, self.now).filter(|&at| at < until) {
            self.now = at;
            self.shaper.dequeue(at, &mut Bin).expect("it is time");
        }
        self.now = until;
    }

    fn report(&self, title: &str) {
        println!("\n{title}");
        println!(
            "{:>8} {:>10} {:>10} {:>10} {:>10} {:>10}",
            "lane", "offered", "most held", "no_frame", "sent", "held"
        );
        for lane in (0..=OTHERS).map(LaneId) {
            let (counters, held) = (self.shaper.counters(lane), self.shaper.backlog(lane));
            let no_frame = counters.dropped_for(DropReason::NoFrame).packets;
            let (offered, sent, most) =
                (counters.offered.packets, counters.sent.packets, self.most_held[lane.0 as usize]);
            println!("{:>8} {offered:>10} {most:>10} {no_frame:>10} {sent:>10} {:>10}", lane.0, held.packets);
            assert!(counters.accounts_for(held));
            assert_eq!(counters.dropped_total().packets, no_frame);
            assert!(lane == FLOODED || no_frame == 0, "lane {} paid for the flood", lane.0);
        }
    }
}

/// Eight lanes hold a little less than their share of the pool, when the ninth is flooded at once.
#[test]
fn lanes_below_their_share_lose_nothing_to_a_flood() {
    let mut pooled = Pooled::new(Limiter::Htb { rate: rate("1kbit"), burst: size("1b") });
    let share = u32::try_from(POOL).expect("a small pool") / (OTHERS + 1) - BATCH;
    for lane in (0..OTHERS).map(LaneId) {
        (0..share).for_each(|_| pooled.receive(lane));
    }
    (0..FLOOD).for_each(|_| pooled.receive(FLOODED));
    pooled.report("a flood of 10,240 packets on a pool of 4,096 frames, the others with 423 each");
    let given_up = pooled.shaper.counters(FLOODED).dropped_for(DropReason::NoFrame).packets;
    assert!(given_up >= u64::from(FLOOD + OTHERS * share) - POOL as u64);
    assert!(given_up < u64::from(FLOOD + OTHERS * share) - POOL as u64 + u64::from(BATCH));
}

/// Eight lanes send at 80 % of their rate in bursts, while the ninth is flooded for as long.
#[test]
fn lanes_that_send_lose_nothing_to_a_flood() {
    let mut pooled = Pooled::new(Limiter::Htb { rate: rate("10mbit"), burst: size("1600b") });
    let mut rng = Rng::new(1);
    let (bursts, burst, every) = (40, 100, 100_000_000);
    let mut arrivals: Vec<(u64, LaneId)> = Vec::new();
    for lane in (0..OTHERS).map(LaneId) {
        for number in 0..bursts {
            let at = number * every + rng.between(0, every / 10);
            arrivals.extend((0..burst).map(|_| (at, lane)));
        }
    }
    arrivals.extend((0..FLOOD).map(|_| (rng.between(0, bursts * every / 2), FLOODED)));
    arrivals.sort_unstable();
    for (at, lane) in arrivals {
        pooled.send(Nanos(at));
        pooled.receive(lane);
    }
    pooled.send(Nanos(bursts * every * 10));
    pooled.report("the same flood over two seconds, the others sending 8 mbit in bursts of 100 packets");
    assert!(pooled.shaper.counters(FLOODED).dropped_for(DropReason::NoFrame).packets > 0);
}
