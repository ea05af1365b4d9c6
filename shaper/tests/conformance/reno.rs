//! The standing queue that TCP makes, under each kind of queue.
//!
//! The senders are a plain model of Reno: slow start, then a packet more per round trip, and half as much after a loss
//! or a mark, once per window.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use portlane_shaper::{
    Aqm, Arrival, DropReason, Fate, FqParams, LaneId, LaneParams, Limiter, Nanos, QueueParams, Shape, Shaper,
    TreeParams, codel,
};

use crate::load::hash_of;
use crate::support::arrival;
use crate::table::{Millis, Table};
use crate::{next_departure, rate, size};

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
    kbit: u64,
    dropped: u64,
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
    fn new(queue: QueueParams, ect: bool, flows: u32) -> Self {
        let limiter = Limiter::Htb(Shape::flat(rate("20mbit"), size("1600b")));
        let lane = LaneParams { limiter, queue, ..LaneParams::default() };
        let tree = TreeParams { lanes: vec![lane], ..TreeParams::default() };
        let sender = |flow| Sender {
            round_trip: Nanos::from_millis(20 + 5 * u64::from(flow)),
            window: 10 * PARTS,
            threshold: u64::MAX,
            in_flight: 0,
            next: 0,
            recovers: 0,
        };
        Self {
            shaper: Shaper::new(&tree, 1_024, Nanos::ZERO).expect("a valid tree"),
            senders: (0..flows).map(sender).collect(),
            news: BinaryHeap::new(),
            losses: Losses(Vec::new()),
            ect,
        }
    }

    /// Every sender sends what its window allows.
    fn send(&mut self, now: Nanos) {
        for (flow, sender) in self.senders.iter_mut().enumerate() {
            while sender.may_send() {
                let packet = Packet { flow, number: sender.next, ect: self.ect, marked: false };
                sender.next += 1;
                sender.in_flight += 1;
                let hash = hash_of(u32::try_from(flow).expect("few senders"), FqParams::default().flows);
                let arrival = Arrival { flow: hash, ..arrival(packet, LEN) };
                self.shaper.enqueue(LaneId(0), arrival, now, &mut self.losses);
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
            let departs = next_departure(&mut self.shaper, now);
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
            kbit: sojourns.len() as u64 * u64::from(LEN) * 8 * 1_000_000 / (END - WARM_UP).0,
            dropped: counters.dropped_total().packets,
            marks: counters.ecn_marks,
        }
    }
}

/// The value that `percent` of the sample are at most.
fn percentile(sorted: &[u64], percent: usize) -> Nanos {
    Nanos(sorted[(sorted.len() - 1) * percent / 100])
}

pub(crate) fn table() -> Table {
    let mut table =
        Table::new("Reno senders in a lane of 20 mbit, with round trips of 20 ms and more: wait in the queue");
    let codel = codel::Params::default();
    let ecn = codel::Params { ecn: true, ..codel };
    let fq_codel = |codel| {
        let aqm = Aqm::FqCodel(FqParams { codel, ..FqParams::default() });
        QueueParams { aqm, ..QueueParams::default() }
    };
    for flows in [1, 4, 8] {
        let fifo = Network::new(QueueParams::fifo(10_240), false, flows).run();
        let (p50, p99) = (Millis(fifo.p50), Millis(fifo.p99));
        table.row(format!("{flows} in fifo: median, p99"), "bloat", format!("{p50}, {p99}"), "", true);
        for (name, queue, ect) in [
            ("codel", QueueParams::codel(codel), false),
            ("codel, ecn", QueueParams::codel(ecn), true),
            ("fq_codel", fq_codel(codel), false),
            ("fq_codel, ecn", fq_codel(ecn), true),
        ] {
            let outcome = Network::new(queue, ect, flows).run();
            controlled(&mut table, &format!("{flows} in {name}"), ect, &outcome, &fifo);
        }
    }
    table
}

/// The queue is near its target and a small part of what it would be; the lane is busy; marks are in the place of drops.
fn controlled(table: &mut Table, what: &str, ect: bool, outcome: &Outcome, fifo: &Outcome) {
    let Outcome { p50, p99, kbit, dropped, marks } = *outcome;
    let target = codel::Params::default().target;
    table.at_most(format!("{what}: median"), &Millis(target).to_string(), Millis(p50), Millis(Nanos(3 * target.0)));
    let small = fifo.p50.0 >= 20 * p50.0 && fifo.p99.0 >= 10 * p99.0;
    table.row(format!("{what}: p99"), "", Millis(p99), "a tenth of the fifo's", small);
    table.at_least(format!("{what}: kbit"), "20000", kbit, 17_000);
    let (expected, ok) = if ect { ("only marks", marks > 0) } else { ("only drops", marks == 0 && dropped > 0) };
    table.row(format!("{what}: drops, marks"), expected, format!("{dropped}, {marks}"), expected, ok);
}
