//! The standing queue that TCP makes, with and without CoDel.
//!
//! The senders are a plain model of Reno: slow start, then a packet more per round trip, and half as much after a loss
//! or a mark, once per window.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use portlane_shaper::{DropReason, Fate, LaneId, LaneParams, Limiter, Nanos, QueueParams, Shaper, Volume, codel};

use crate::{link, millis, next_departure, percentile, rate, size};

const LEN: u32 = 1_514;
/// Measured from the tenth second on, when slow start is over.
const WARM_UP: Nanos = Nanos::from_secs(10);
const END: Nanos = Nanos::from_secs(70);
/// The windows are counted in parts of a packet.
const PARTS: u64 = 1_024;

#[derive(Debug)]
struct Packet {
    flow: usize,
    number: u64,
    ect: bool,
    marked: bool,
}

/// What a sender learns of a packet a round trip after it was sent, dropped or marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum News {
    Acknowledged,
    Congestion,
}

#[derive(Debug)]
struct Sender {
    round_trip: Nanos,
    window: u64,
    threshold: u64,
    in_flight: u64,
    next: u64,
    /// Packets before this one have had their say: the window was halved after they were sent.
    recovers: u64,
}

impl Sender {
    fn learns(&mut self, number: u64, news: News) {
        self.in_flight -= 1;
        if news == News::Congestion {
            if number >= self.recovers {
                self.threshold = (self.window / 2).max(2 * PARTS);
                self.window = self.threshold;
                self.recovers = self.next;
            }
        } else if self.window < self.threshold {
            self.window += PARTS;
        } else {
            self.window += PARTS * PARTS / self.window;
        }
    }

    fn may_send(&self) -> bool {
        (self.in_flight + 1) * PARTS <= self.window
    }
}

/// Collects what is dropped.
struct Losses(Vec<Packet>);

impl Fate<Packet> for Losses {
    fn dropped(&mut self, _lane: LaneId, packet: Packet, _reason: DropReason) {
        self.0.push(packet);
    }

    fn mark(&mut self, packet: &mut Packet) -> bool {
        packet.marked |= packet.ect;
        packet.ect
    }
}

struct Outcome {
    p50: Nanos,
    p99: Nanos,
    mbit: u64,
    dropped: Volume,
    marks: u64,
}

struct Network {
    shaper: Shaper<Packet>,
    senders: Vec<Sender>,
    news: BinaryHeap<Reverse<(Nanos, usize, u64, News)>>,
    losses: Losses,
    ect: bool,
}

impl Network {
    fn new(codel: Option<codel::Params>, flows: u64) -> Self {
        let limiter = Limiter::Htb { rate: rate("20mbit"), burst: size("1600b") };
        let lane = LaneParams { limiter, queue: QueueParams { codel, ..QueueParams::default() } };
        let sender = |flow| Sender {
            round_trip: Nanos::from_millis(20 + 5 * flow),
            window: 10 * PARTS,
            threshold: u64::MAX,
            in_flight: 0,
            next: 0,
            recovers: 0,
        };
        Self {
            shaper: Shaper::new(link(None), vec![lane], 1_024, Nanos::ZERO),
            senders: (0..flows).map(sender).collect(),
            news: BinaryHeap::new(),
            losses: Losses(Vec::new()),
            ect: codel.is_some_and(|params| params.ecn),
        }
    }

    /// Every sender sends what its window allows.
    fn send(&mut self, now: Nanos) {
        for (flow, sender) in self.senders.iter_mut().enumerate() {
            while sender.may_send() {
                let packet = Packet { flow, number: sender.next, ect: self.ect, marked: false };
                sender.next += 1;
                sender.in_flight += 1;
                self.shaper.enqueue(LaneId(0), packet, LEN, now, &mut self.losses);
            }
        }
        self.report_losses(now);
    }

    fn report_losses(&mut self, now: Nanos) {
        for lost in std::mem::take(&mut self.losses.0) {
            let at = now + self.senders[lost.flow].round_trip;
            self.news.push(Reverse((at, lost.flow, lost.number, News::Congestion)));
        }
    }

    fn run(mut self) -> Outcome {
        let mut sojourns = Vec::new();
        let mut now = Nanos::ZERO;
        self.send(now);
        while now < END {
            let departs = next_departure(&self.shaper, now);
            let learns = self.news.peek().map(|&Reverse((at, ..))| at);
            now = departs.into_iter().chain(learns).min().expect("there is always something in flight");
            if let Some(departure) = self.shaper.dequeue(now, &mut self.losses) {
                let Packet { flow, number, marked, .. } = departure.packet;
                let news = if marked { News::Congestion } else { News::Acknowledged };
                self.news.push(Reverse((now + self.senders[flow].round_trip, flow, number, news)));
                if now >= WARM_UP {
                    sojourns.push((now - departure.enqueued).0);
                }
            }
            self.report_losses(now);
            while let Some(&Reverse((_, flow, number, news))) = self.news.peek().filter(|due| due.0.0 <= now) {
                self.news.pop();
                self.senders[flow].learns(number, news);
            }
            self.send(now);
        }
        sojourns.sort_unstable();
        let counters = self.shaper.counters(LaneId(0));
        Outcome {
            p50: percentile(&sojourns, 50),
            p99: percentile(&sojourns, 99),
            mbit: sojourns.len() as u64 * u64::from(LEN) * 8 * 1_000 / (END - WARM_UP).0,
            dropped: counters.dropped_total(),
            marks: counters.ecn_marks,
        }
    }
}

#[test]
fn codel_keeps_the_queue_near_its_target_and_the_link_busy() {
    println!("\nReno through a lane of 20 mbit, round trips of 20 ms and more");
    println!("{:>6} {:>10} {:>14} {:>14} {:>8} {:>8} {:>8}", "flows", "queue", "p50", "p99", "mbit", "drops", "marks");
    let codel = codel::Params::default();
    for flows in [1, 4, 8] {
        let run = |name: &str, params| {
            let outcome = Network::new(params, flows).run();
            let Outcome { p50, p99, mbit, dropped, marks } = &outcome;
            let (p50, p99) = (millis(*p50), millis(*p99));
            println!("{flows:>6} {name:>10} {p50:>14} {p99:>14} {mbit:>8} {:>8} {marks:>8}", dropped.packets);
            outcome
        };
        let fifo = run("fifo", None);
        let dropping = run("codel", Some(codel));
        let marking = run("codel+ecn", Some(codel::Params { ecn: true, ..codel }));
        for controlled in [&dropping, &marking] {
            assert!(controlled.p50 <= Nanos(3 * codel.target.0), "p50 {} is not near the target", controlled.p50);
            assert!(fifo.p50.0 >= 20 * controlled.p50.0 && fifo.p99.0 >= 10 * controlled.p99.0);
            assert!(controlled.mbit >= 17, "{} mbit of 20", controlled.mbit);
        }
        assert!(dropping.marks == 0 && marking.marks > 0);
    }
}
