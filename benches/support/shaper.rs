//! The shaper alone: packets in and what may leave out, at the pace at which packets come.
//!
//! Packets are numbers, so no memory but the shaper's own is touched.

use portlane_shaper::{
    Aqm, Arrival, DropReason, Fate, FqParams, LaneId, LaneParams, Limiter, Nanos, QueueParams, Rate, Shape, Shaper,
    Size, TreeParams, codel,
};

use super::Element;
use super::packets::Random;

const LANES: u32 = 64;
const LEN: u32 = 64;
const BATCH: u32 = 64;
const LIMIT_MBIT: u64 = 10;

/// Nobody is limited; all are queued, and leave at once.
pub(super) fn fifo() -> Box<dyn Element> {
    warmed_up(Limiter::None, QueueParams::fifo(1_000), 10, Load::queue)
}

pub(super) fn codel() -> Box<dyn Element> {
    warmed_up(Limiter::None, QueueParams::codel(codel::Params::default()), 10, Load::queue)
}

pub(super) fn fq_codel() -> Box<dyn Element> {
    warmed_up(Limiter::None, QueueParams::default(), 10, Load::queue)
}

/// Nobody is limited; all go straight through.
pub(super) fn idle() -> Box<dyn Element> {
    warmed_up(Limiter::None, QueueParams::default(), 10, Load::offer)
}

/// Each lane may send 10 mbit, two packets at once, and is offered 9: some wait for tokens, none are dropped.
pub(super) fn limited() -> Box<dyn Element> {
    warmed_up(limit(), QueueParams::default(), 9, Load::offer)
}

/// Each lane is offered 15 of 10 mbit: all have a backlog, and CoDel drops. With tc's target and interval it would take
/// minutes to drop as fast as it has to.
pub(super) fn overloaded() -> Box<dyn Element> {
    let codel = codel::Params {
        target: Nanos::from_micros(100),
        interval: Nanos::from_micros(2_000),
        ..codel::Params::default()
    };
    let aqm = Aqm::FqCodel(FqParams { codel, ..FqParams::default() });
    warmed_up(limit(), QueueParams { aqm, ..QueueParams::default() }, 15, Load::offer)
}

fn limit() -> Limiter {
    let rate = Rate::from_bits_per_second(LIMIT_MBIT * 1_000_000).expect("not zero");
    Limiter::Htb(Shape::flat(rate, Size(128)))
}

struct Load {
    shaper: Shaper<u32>,
    round: fn(&mut Load),
    dropped: Dropped,
    random: Random,
    now: Nanos,
    /// From one batch to the next.
    pace: Nanos,
}

fn warmed_up(limiter: Limiter, queue: QueueParams, offered_mbit: u64, round: fn(&mut Load)) -> Box<dyn Element> {
    let lanes = vec![LaneParams { limiter, queue, ..LaneParams::default() }; LANES as usize];
    let shaper =
        Shaper::new(&TreeParams { lanes, ..TreeParams::default() }, 65_536, Nanos::ZERO).expect("a valid tree");
    let bits = u64::from(BATCH * LEN) * 8;
    let pace = Nanos(bits * 1_000 / (offered_mbit * u64::from(LANES)));
    let (dropped, random) = (Dropped::default(), Random::default());
    let mut load = Load { shaper, round, dropped, random, now: Nanos::ZERO, pace };
    // Half a second: CoDel has its pace.
    for _ in 0..500_000_000 / pace.0 {
        load.round();
    }
    Box::new(load)
}

impl Load {
    /// All packets of a batch join their lanes, and then leave.
    fn queue(&mut self) {
        for number in 0..BATCH {
            let (lane, arrival) = self.arrival(number);
            self.shaper.enqueue(lane, arrival, self.now, &mut self.dropped);
        }
        while self.shaper.dequeue(self.now, &mut self.dropped).is_some() {}
    }

    /// As in the line: what has waited leaves, and then each packet that arrives, if it may.
    fn offer(&mut self) {
        while self.shaper.dequeue(self.now, &mut self.dropped).is_some() {}
        for number in 0..BATCH {
            let (lane, arrival) = self.arrival(number);
            self.shaper.offer(lane, arrival, self.now, &mut self.dropped);
        }
    }

    /// Of any lane, and of one of its four flows.
    fn arrival(&mut self, number: u32) -> (LaneId, Arrival<u32>) {
        let random = self.random.next();
        (
            LaneId(random % LANES),
            Arrival { packet: number, len: LEN, memory: 2_048, flow: random & 3 << 30, ect: false },
        )
    }
}

impl Element for Load {
    fn packets(&self) -> u64 {
        BATCH.into()
    }

    fn round(&mut self) {
        self.now = self.now + self.pace;
        (self.round)(self);
    }
}

/// Counts what is dropped.
#[derive(Default)]
struct Dropped(u64);

impl Fate<u32> for Dropped {
    fn dropped(&mut self, _lane: LaneId, _packet: u32, _reason: DropReason) {
        self.0 += 1;
    }

    fn mark(&mut self, _packet: &mut u32) -> bool {
        false
    }
}
