//! What it costs that flows are observed: the worker, without and with somebody who observes, and the observer itself.
//!
//! Both are on cores of their own and take turns: a worker that shows packets as fast as it can would fill its ring within
//! milliseconds, and what is lost costs neither of them anything. So the worker shows as many as come in a nap of the observer's, and
//! waits until they have been seen. Who waits is not timed.
//!
//! Time is virtual, and the observer's rows are of its seconds: what it takes is measured from the end of one to that of the next,
//! so that the rows of a second are in each of them.

use std::thread;
use std::time::{Duration, Instant};

use core_affinity::CoreId;
use crossbeam::channel::{self, Receiver, Sender};
use portlane_flows::{Batch, Grain};
use portlane_shaper::Nanos;

use super::plan::plan;
use super::rounds::Times;
use super::scenario::KEY;
use super::{Options, Scenario};
use crate::failure::Failure;
use crate::flows::heads;
use crate::flows::observation::{Observation, Seen};
use crate::line::BATCH;

/// Slots of the worker's ring, as it is live.
const SLOTS: u32 = 1 << 17;

/// Turns from one look of the observer to the next: as many as a worker takes in a nap of the observer's, a millisecond, with 16
/// million packets a second.
const TURNS: u64 = 256;

/// Turns after a look that are not timed: who has slept finds other programs' memory in its caches, and a worker with packets never
/// sleeps.
const TURNS_TO_WAKE: u64 = 64;

/// Rounds of the worker without and with an observer: at least. The lowest counts.
const ROUNDS: usize = 25;

/// Virtual seconds that the observer is measured for, at least. The lowest counts.
const SECONDS: usize = 5;

/// Flows at a time, if there are no more: as live.
const LEAST_FLOWS: u32 = 65_536;

/// What came out. Times are nanoseconds a packet.
#[derive(Debug)]
pub struct Observed {
    /// What was measured.
    pub options: Options,
    /// Packets of a round.
    pub packets: u64,
    /// Rounds of each kind.
    pub rounds: usize,
    /// The line, nobody observing flows: of each round the median of its parts, as in the next.
    pub off: Times,
    /// The line, whose frames' beginnings are shown.
    pub on: Times,
    /// What the second took longer than the first, of each pair of rounds: of neighbours in time.
    pub cost: Times,
    /// The observer, until rows are handed to who keeps them: of each virtual second, with its rows.
    pub observer: Times,
    /// Rows of a second in `vtap_flow_edge_port`: of the last.
    pub edges: usize,
    /// Flows that lived in the end.
    pub live: usize,
    /// Packets that the worker showed in these rounds, those among them that were not timed.
    pub shown: u64,
    /// Those of them that the observer did not get, or could not count.
    pub missing: u64,
}

/// Measures rounds of at least so many packets.
///
/// # Errors
///
/// Refused as [`Scenario::new`] says, or if there are fewer than two cores.
pub fn measure_observed(options: &Options, packets: u64) -> Result<Observed, Failure> {
    let cores = cores()?;
    let (sender, receiver) = heads::way(SLOTS);
    let off = Scenario::new(options)?;
    let on = Scenario::observed(options, sender)?;
    let plan = plan(options.containers, on.setup())?;
    let flows = options.flows().max(LEAST_FLOWS) as usize;
    let (asks, asked) = channel::bounded(1);
    let (answers, answered) = channel::bounded(1);
    thread::scope(|scope| {
        let observe = move || {
            core_affinity::set_for_current(cores[1]);
            let observation = Observation::new(vec![receiver], &plan, flows, KEY, 0);
            Watcher::new(observation).until(&asked, &answers);
        };
        scope.spawn(observe);
        let work = move || {
            core_affinity::set_for_current(cores[0]);
            let turns = packets.div_ceil(BATCH as u64);
            Worker { off, on, turns, observer: Peer { asks, answered } }.measure(options)
        };
        scope.spawn(work).join().expect("a worker does not panic")
    })
}

/// The worker's core, and the observer's.
fn cores() -> Result<[CoreId; 2], Failure> {
    match core_affinity::get_core_ids().unwrap_or_default()[..] {
        [worker, observer, ..] => Ok([worker, observer]),
        _ => Err(Failure::refused("--flows-metrics: a worker and an observer are measured on two cores; there is one")),
    }
}

/// Who is asked to look.
struct Peer {
    /// At what time it is.
    asks: Sender<Nanos>,
    answered: Receiver<Looked>,
}

impl Peer {
    fn look(&self, now: Nanos) -> Looked {
        self.asks.send(now).expect("the observer goes on");
        self.answered.recv().expect("the observer answers")
    }
}

struct Worker {
    off: Scenario,
    on: Scenario,
    /// Of a round.
    turns: u64,
    observer: Peer,
}

impl Worker {
    fn measure(mut self, options: &Options) -> Result<Observed, Failure> {
        self.warm_up();
        let before = (self.look().seen, self.on.line().counters.received);
        let (mut off, mut on, mut cost) = (Vec::new(), Vec::new(), Vec::new());
        let mut looks = Looks::default();
        while on.len() < ROUNDS || looks.seconds.len() < SECONDS {
            let [without, with] = [self.round_off(), self.round_on(&mut looks)];
            off.push(without);
            on.push(with);
            cost.push(with - without);
        }
        let after = (self.look().seen, self.on.line().counters.received);
        let rounds = on.len();
        let [off, on, cost, observer] = [off, on, cost, looks.seconds].map(Times::sorted);
        let packets = self.turns * BATCH as u64;
        let counted = |seen: Seen| seen.counters.counted.packets;
        let shown = after.1 - before.1;
        let missing = shown - (counted(after.0) - counted(before.0)).min(shown);
        let (edges, live) = (looks.edges, after.0.live);
        Ok(Observed { options: *options, packets, rounds, off, on, cost, observer, edges, live, shown, missing })
    }

    /// Queues come to rest, and all flows come to be known.
    fn warm_up(&mut self) {
        self.off.warm_up();
        // What finds no room then is not missed: all flows are shown again.
        self.on.warm_up();
        self.look();
        let mut turns = self.on.turns_of_everybody();
        while turns > 0 {
            self.on.turns(turns.min(TURNS));
            self.look();
            turns -= turns.min(TURNS);
        }
    }

    fn look(&self) -> Looked {
        self.observer.look(self.on.now())
    }

    /// Nanoseconds a packet, with the same pauses as with an observer: who sleeps now and then is disturbed by other programs in
    /// another way than who does not.
    fn round_off(&mut self) -> f64 {
        let Self { off, on, turns, observer } = self;
        round(*turns, off, |_| _ = observer.look(on.now()))
    }

    fn round_on(&mut self, looks: &mut Looks) -> f64 {
        let Self { on, turns, observer, .. } = self;
        round(*turns, on, |now| looks.add(observer.look(now)))
    }
}

/// So many turns, after some of which somebody looks. Nanoseconds a packet from one look to the next, without what looking takes: the
/// median, for what disturbs this short a time at all disturbs it a lot.
fn round(turns: u64, scenario: &mut Scenario, mut look: impl FnMut(Nanos)) -> f64 {
    let (mut left, mut times) = (turns, Vec::new());
    while left > 0 {
        let some = left.min(TURNS);
        scenario.turns(TURNS_TO_WAKE);
        let started = Instant::now();
        scenario.turns(some);
        times.push(ns_per_packet(started.elapsed(), some * BATCH as u64));
        look(scenario.now());
        left -= some;
    }
    Times::sorted(times).median()
}

fn ns_per_packet(spent: Duration, packets: u64) -> f64 {
    spent.as_secs_f64() * 1e9 / packets as f64
}

/// What the observer did at a time.
#[derive(Debug, Clone, Copy)]
struct Looked {
    spent: Duration,
    packets: u64,
    /// Rows of the second that was over by then.
    edges: Option<usize>,
    seen: Seen,
}

/// What it did in the second that goes on, and nanoseconds a packet in those before.
#[derive(Debug, Default)]
struct Looks {
    spent: Duration,
    packets: u64,
    /// Whether a second has ended: the first one was not all measured.
    begun: bool,
    seconds: Vec<f64>,
    edges: usize,
}

impl Looks {
    fn add(&mut self, looked: Looked) {
        self.spent += looked.spent;
        self.packets += looked.packets;
        let Some(edges) = looked.edges else { return };
        self.edges = edges;
        let whole = std::mem::replace(&mut self.begun, true);
        let (spent, packets) = (std::mem::take(&mut self.spent), std::mem::take(&mut self.packets));
        if whole && packets > 0 {
            self.seconds.push(ns_per_packet(spent, packets));
        }
    }
}

/// The observer at work.
struct Watcher {
    observation: Observation,
}

impl Watcher {
    fn new(observation: Observation) -> Self {
        Self { observation }
    }

    fn until(mut self, asked: &Receiver<Nanos>, answers: &Sender<Looked>) {
        while let Ok(now) = asked.recv() {
            let mut edges = None;
            let mut take = |batch: Batch| {
                if batch.grain == Grain::Second {
                    edges = Some(batch.flow_edge_port.len());
                }
            };
            let started = Instant::now();
            let packets = self.observation.look(now.0, &mut take) as u64;
            let spent = started.elapsed();
            let looked = Looked { spent, packets, edges, seen: self.observation.seen() };
            if answers.send(looked).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Load;

    #[test]
    fn every_packet_is_observed_and_seconds_are_whole() {
        if cores().is_err() {
            // A refusal is what there is to see on one core: tests/bench.rs.
            return;
        }
        let options =
            Options { containers: 4, size: 1_500, flows: Some(1_000), load: Load::Idle, ..Options::default() };
        let observed = measure_observed(&options, 1_000).unwrap();
        assert_eq!((observed.missing, observed.live, observed.edges), (0, 1_000, 4), "{observed:?}");
        assert!(observed.rounds >= ROUNDS && observed.packets == 1_024, "{observed:?}");
        let each = observed.packets + 64 * TURNS_TO_WAKE;
        assert_eq!(observed.shown, each * observed.rounds as u64);
    }

    #[test]
    fn the_second_in_which_measuring_begins_does_not_count() {
        let looked = |micros, packets, edges| Looked {
            spent: Duration::from_micros(micros),
            packets,
            edges,
            seen: Seen::default(),
        };
        let mut looks = Looks::default();
        for (micros, packets, edges) in
            [(9_000, 1, Some(7)), (1, 10, None), (1, 10, None), (2, 20, Some(3)), (5, 10, None), (5, 0, Some(2))]
        {
            looks.add(looked(micros, packets, edges));
        }
        assert_eq!((looks.seconds, looks.edges), (vec![100.0, 1_000.0], 2));
    }
}
