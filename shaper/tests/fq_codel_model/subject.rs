//! What the model and the shaper have in common, and how both are driven.

use portlane_shaper::{
    Aqm, Arrival, DropReason, Fate, FlowStats, FqParams, LaneId, LaneParams, Nanos, QueueParams, Shaper, TreeParams,
    Wake, codel,
};

use crate::log::{Event, FlowState, Log, Memory, Stats};
use crate::rfc8289::Packet;
use crate::scenario::{Scenario, Step};
use crate::support::arrival;

const LANE: LaneId = LaneId(0);

/// A lane under FQ-CoDel. What happens to the packets, it writes down.
pub(crate) trait Subject {
    fn enqueue(&mut self, now: u64, packet: Packet);

    /// One packet may leave.
    fn dequeue(&mut self, now: u64);

    /// The next time at which one may; `None` if there is none.
    fn next_wake(&mut self, now: u64) -> Option<u64>;

    /// Other parameters from now on; what is queued stays.
    fn change(&mut self, now: u64, limit: u32, params: FqParams);

    fn stats(&self) -> Stats;

    fn flows(&self, now: u64) -> Vec<FlowState>;

    fn log(&mut self) -> &mut Log;
}

/// Does the scenario's steps, then sends what is left. Returns what happened.
pub(crate) fn drive(subject: &mut impl Subject, scenario: &Scenario) -> Log {
    let mut now = 0;
    for (number, &(at, step)) in scenario.steps.iter().enumerate() {
        if scenario.eager {
            send_until(subject, now, at);
        }
        now = at;
        match step {
            Step::Arrive(packet) => subject.enqueue(now, packet),
            Step::Ask(times) => (0..times).for_each(|_| subject.dequeue(now)),
            Step::Change(limit, params) => subject.change(now, limit, params),
        }
        if number % 16 == 0 {
            look(subject, now);
        }
    }
    send_until(subject, now, u64::MAX);
    look(subject, now);
    std::mem::take(subject.log())
}

fn send_until(subject: &mut impl Subject, mut now: u64, end: u64) {
    while let Some(at) = subject.next_wake(now).filter(|&at| at < end) {
        now = at;
        subject.dequeue(now);
    }
}

fn look(subject: &mut impl Subject, now: u64) {
    let (wake, stats, flows) = (subject.next_wake(now), subject.stats(), subject.flows(now));
    subject.log().extend([(now, Event::Wake(wake)), (now, Event::Stats(stats))]);
    subject.log().extend(flows.into_iter().map(|flow| (now, Event::Flow(flow))));
}

/// The shaper's lane.
pub(crate) struct Lane {
    shaper: Shaper<Packet>,
    interval: u64,
    recorder: Recorder,
}

impl Lane {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let lane = LaneParams {
            limiter: scenario.limiter,
            queue: queue(scenario.limit, scenario.params),
            ..LaneParams::default()
        };
        let tree = TreeParams { lanes: vec![lane], ..TreeParams::default() };
        let shaper = Shaper::new(&tree, 64, Nanos::ZERO).expect("a valid tree");
        let interval = scenario.params.codel.interval.0;
        Self { shaper, interval, recorder: Recorder { now: 0, log: Log::new() } }
    }
}

impl Subject for Lane {
    fn enqueue(&mut self, now: u64, packet: Packet) {
        self.recorder.now = now;
        let Packet { len, memory, flow, .. } = packet;
        self.shaper.enqueue(LANE, Arrival { memory, flow, ..arrival(packet, len) }, Nanos(now), &mut self.recorder);
    }

    fn dequeue(&mut self, now: u64) {
        self.recorder.now = now;
        if let Some(departure) = self.shaper.dequeue(Nanos(now), &mut self.recorder) {
            self.recorder.log.push((now, Event::Sent(departure.packet.id)));
        }
    }

    fn next_wake(&mut self, now: u64) -> Option<u64> {
        match self.shaper.next_wake(Nanos(now)) {
            Wake::Now => Some(now),
            Wake::At(at) => Some(at.0),
            Wake::Never => None,
        }
    }

    fn change(&mut self, now: u64, limit: u32, params: FqParams) {
        self.shaper.set_queue(LANE, &queue(limit, params), Nanos(now)).expect("valid parameters");
    }

    fn stats(&self) -> Stats {
        let (held, stats) = (self.shaper.backlog(LANE), self.shaper.queue_stats(LANE));
        Stats {
            packets: held.packets,
            bytes: held.bytes,
            memory_used: stats.memory_used,
            maxpacket: stats.maxpacket,
            drop_overlimit: stats.drop_overlimit,
            drop_overmemory: stats.drop_overmemory,
            refused: self.shaper.counters(LANE).refused,
            ecn_mark: stats.ecn_mark,
            ce_mark: stats.ce_mark,
            new_flow_count: stats.new_flow_count,
            new_flows_len: stats.new_flows_len.into(),
            old_flows_len: stats.old_flows_len.into(),
        }
    }

    fn flows(&self, now: u64) -> Vec<FlowState> {
        let state = |flow: FlowStats| {
            let codel::State { drop_next, count, lastcount, dropping, ldelay, .. } = flow.codel;
            let above = flow.codel.first_above_time();
            let dropping = dropping && above.is_some();
            let (count, lastcount) = (count.into(), lastcount.into());
            let memory = Memory { drop_next: drop_next.0, count, lastcount };
            FlowState {
                index: flow.index.into(),
                packets: flow.backlog.packets,
                bytes: flow.backlog.bytes,
                credits: flow.deficit.into(),
                first_above_time: above.map_or(0, |time| time.0),
                dropping,
                ldelay: above.map(|_| ldelay.0),
                memory: memory.if_of_use(dropping, self.interval, now),
            }
        };
        self.shaper.flows(LANE).map(state).collect()
    }

    fn log(&mut self) -> &mut Log {
        &mut self.recorder.log
    }
}

fn queue(limit: u32, params: FqParams) -> QueueParams {
    QueueParams { limit, limit_bytes: None, aqm: Aqm::FqCodel(params) }
}

/// Writes down what a shaper does.
struct Recorder {
    now: u64,
    log: Log,
}

impl Fate<Packet> for Recorder {
    fn dropped(&mut self, _lane: LaneId, packet: Packet, reason: DropReason) {
        self.log.push((self.now, Event::Dropped(packet.id, reason)));
    }

    fn mark(&mut self, packet: &mut Packet) -> bool {
        if packet.ect {
            self.log.push((self.now, Event::Marked(packet.id)));
        }
        packet.ect
    }
}
