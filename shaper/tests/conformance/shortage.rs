//! What happens when the frame pool runs short: the lane that holds the most gives up the most.

use portlane_shaper::{DropReason, LaneId, Limiter, Nanos, Shape, Shaper, TreeParams};

use crate::support::{Rng, arrival};
use crate::table::Table;
use crate::{Bin, fifo, next_departure, rate, size};

const POOL: usize = 4_096;
const OTHERS: u32 = 8;
const FLOODED: LaneId = LaneId(OTHERS);
const FLOOD: u32 = 10_240;
/// Frames asked for at a time when the pool is empty.
const BATCH: u32 = 32;

/// A shaper whose packets are the frames of a pool.
struct Pooled {
    shaper: Shaper<()>,
    now: Nanos,
}

impl Pooled {
    fn new(rate_text: &str, burst: &str) -> Self {
        let limiter = Limiter::Htb(Shape::flat(rate(rate_text), size(burst)));
        let tree = TreeParams { lanes: vec![fifo(limiter); OTHERS as usize + 1], ..TreeParams::default() };
        Self { shaper: Shaper::new(&tree, POOL, Nanos::ZERO).expect("a valid tree"), now: Nanos::ZERO }
    }

    fn receive(&mut self, lane: LaneId) {
        if self.shaper.queued() == POOL {
            assert_eq!(self.shaper.shed(BATCH, &mut Bin), BATCH);
        }
        self.shaper.enqueue(lane, arrival((), 1_000), self.now, &mut Bin);
    }

    /// Sends what may leave before `until`.
    fn send(&mut self, until: Nanos) {
        while let Some(at) = next_departure(&mut self.shaper, self.now).filter(|&at| at < until) {
            self.now = at;
            self.shaper.dequeue(at, &mut Bin).expect("it is time");
        }
        self.now = until;
    }

    fn given_up(&self, lane: LaneId) -> u64 {
        self.shaper.counters(lane).dropped_for(DropReason::NoFrame).packets
    }

    fn rows(&self, table: &mut Table, what: &str) {
        let lanes = || (0..=OTHERS).map(LaneId);
        let balanced = lanes().all(|lane| self.shaper.counters(lane).accounts_for(self.shaper.backlog(lane)));
        table.row(format!("{what}: offered = sent + dropped + held"), "all lanes", balanced, "all lanes", balanced);
        let paid: u64 = lanes().filter(|&lane| lane != FLOODED).map(|lane| self.given_up(lane)).sum();
        table.at_most(format!("{what}: given up by the other lanes"), "0", paid, 0);
    }
}

pub(crate) fn table() -> Table {
    let mut table = Table::new("Shortage: 10,240 packets into one of nine lanes that have a pool of 4,096 frames");
    waiting(&mut table);
    sending(&mut table);
    table
}

/// Eight lanes hold a little less than their share of the pool, when the ninth is flooded at once.
fn waiting(table: &mut Table) {
    let mut pooled = Pooled::new("1kbit", "1b");
    let share = u32::try_from(POOL).expect("a small pool") / (OTHERS + 1) - BATCH;
    for lane in (0..OTHERS).map(LaneId) {
        (0..share).for_each(|_| pooled.receive(lane));
    }
    (0..FLOOD).for_each(|_| pooled.receive(FLOODED));
    pooled.rows(table, "eight lanes hold 423 frames each");
    let too_many = u64::from(FLOOD + OTHERS * share) - POOL as u64;
    let given_up = pooled.given_up(FLOODED);
    let ok = (too_many..too_many + u64::from(BATCH)).contains(&given_up);
    table.row(
        "eight lanes hold 423 frames each: given up by the flooded lane",
        too_many,
        given_up,
        format!("less than {BATCH} more"),
        ok,
    );
}

/// Eight lanes send at 80 % of their rate in bursts, while the ninth is flooded for as long.
fn sending(table: &mut Table) {
    let mut pooled = Pooled::new("10mbit", "1600b");
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
    pooled.rows(table, "eight lanes send 8 mbit in bursts");
    table.at_least(
        "eight lanes send 8 mbit in bursts: given up by the flooded lane",
        "some",
        pooled.given_up(FLOODED),
        1,
    );
}
