//! CoDel against an independent model: the pseudocode of RFC 8289 section 5, written down once more and driven with the
//! same random arrivals. Same packets dropped, same marked, same departure times.

#[path = "support/rfc8289.rs"]
mod rfc8289;
mod support;

use std::collections::VecDeque;

use portlane_shaper::codel::{self, ControlLaw, Mark, Source};
use portlane_shaper::{
    Aqm, Arrival, DropReason, Fate, LaneId, LaneParams, Limiter, Nanos, QueueParams, Rate, Shape, Shaper, Size,
    TreeParams, Wake,
};
use rfc8289::{Codel, Packet, Queue};
use support::{Rng, arrival};

impl codel::Packet for Packet {
    fn enqueued(&self) -> Nanos {
        Nanos(self.enqueued)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Sent,
    Marked,
    Dropped,
    Refused,
}

/// What happened to which packet, and when.
type Log = Vec<(u64, u32, What)>;

/// One queue under the RFC's CoDel.
struct Model {
    params: codel::Params,
    codel: Codel,
    packets: Packets,
}

#[derive(Default)]
struct Packets {
    queue: VecDeque<Packet>,
    bytes: u64,
    log: Log,
}

impl Queue for Packets {
    fn dequeue(&mut self) -> Option<Packet> {
        let packet = self.queue.pop_front()?;
        self.bytes -= u64::from(packet.len);
        Some(packet)
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn drop(&mut self, now: u64, packet: Packet) {
        self.log.push((now, packet.id, What::Dropped));
    }

    fn mark(&mut self, now: u64, packet: Packet) {
        self.log.push((now, packet.id, What::Marked));
    }
}

impl Model {
    fn new(params: codel::Params) -> Self {
        Self { params, codel: Codel::default(), packets: Packets::default() }
    }

    fn enqueue(&mut self, packet: Packet) {
        self.packets.bytes += u64::from(packet.len);
        self.packets.queue.push_back(packet);
    }

    /// What waited for longer than `ce_threshold` is marked, as the end of `codel_dequeue` has it.
    fn dequeue(&mut self, now: u64) -> Option<Packet> {
        let packet = self.codel.dequeue(&self.params, now, &mut self.packets)?;
        let threshold = self.params.ce_threshold.unwrap_or(Nanos::MAX);
        if now - packet.enqueued > threshold.0 && packet.ect {
            self.packets.mark(now, packet);
        }
        Some(packet)
    }
}

/// One lane and what arrives in it.
struct Scenario {
    rate: u64,
    burst: u64,
    limit: u32,
    codel: codel::Params,
    arrivals: Vec<Packet>,
}

impl Scenario {
    fn random(seed: u64, packets: usize) -> Self {
        let mut rng = Rng::new(seed);
        let interval = rng.one_of(&[1_000_000, 10_000_000, 30_000_000, 100_000_000, 99_999_989]);
        let target = interval / rng.between(2, 40);
        let mtu = rng.one_of(&[0, 64, 1_514, 1_514, 9_000]);
        let (target, interval, ecn) = (Nanos(target), Nanos(interval), seed.is_multiple_of(3));
        let ce_threshold = rng.one_of(&[None, None, Some(target), Some(Nanos(target.0 / 2))]);
        let law = rng.one_of(&[ControlLaw::Newton, ControlLaw::Exact]);
        let codel = codel::Params { target, interval, ecn, mtu, ce_threshold, law };
        let magnitude = rng.one_of(&[64_000, 1_000_000, 20_000_000, 300_000_000, 2_000_000_000]);
        let rate = rng.between(magnitude / 2, magnitude);
        Self {
            rate,
            burst: rng.between(1, 60_000),
            limit: rng.one_of(&[100, 1_000, 10_000]),
            codel,
            arrivals: arrivals(&mut rng, rate, packets),
        }
    }
}

/// Spells of traffic, each with its own load (30 % to 500 % of the rate), sizes, share of ECN-capable packets and trains
/// of packets that come at once; some spells are followed by silence.
fn arrivals(rng: &mut Rng, rate: u64, packets: usize) -> Vec<Packet> {
    let mut arrivals = Vec::with_capacity(packets);
    let mut now = rng.between(1, 1_000_000_000);
    while arrivals.len() < packets {
        let load = rng.one_of(&[30, 80, 100, 120, 200, 500]);
        let one_size = rng.packet_len();
        let same_size = rng.one_of(&[true, false]);
        let ect = rng.one_of(&[0, 50, 100]);
        let train = rng.one_of(&[1, 1, 4, 64]);
        for _ in 0..rng.between(20, 1_500) {
            let mut bits = 0;
            for _ in 0..rng.between(1, train) {
                let len = if same_size { one_size } else { rng.packet_len() };
                bits += u64::from(len) * 8;
                let id = u32::try_from(arrivals.len()).expect("few packets");
                let ect = rng.between(0, 99) < ect;
                arrivals.push(Packet { id, len, memory: len, flow: 0, ect, enqueued: now });
            }
            let pause = bits * 1_000_000_000 / rate * 100 / load;
            now += rng.between(pause / 2, pause * 3 / 2);
        }
        let silence = rng.one_of(&[0, 0, 3_000_000_000]);
        now += rng.between(0, silence);
    }
    arrivals.truncate(packets);
    arrivals
}

/// The model as the leaf of an HTB class: in credit it sends, and may owe up to one packet.
fn run_model(scenario: &Scenario) -> Model {
    let mut model = Model::new(scenario.codel);
    let rate = i128::from(scenario.rate);
    let full = i128::from(scenario.burst) * 8_000_000_000;
    let (mut tokens, mut counted) = (full, 0);
    let mut clock = 0;
    let ends = [None];
    for arrival in scenario.arrivals.iter().map(Some).chain(ends) {
        let until = arrival.map_or(u64::MAX, |packet| packet.enqueued);
        while !model.packets.queue.is_empty() {
            let wait = u64::try_from((-tokens).max(0).unsigned_abs().div_ceil(rate.unsigned_abs())).expect("a time");
            let at = clock.max(counted + wait);
            if at >= until {
                break;
            }
            clock = at;
            tokens = full.min(tokens + rate * i128::from(at - counted));
            counted = at;
            let packet = model.dequeue(at).expect("CoDel leaves the last packet");
            tokens -= i128::from(packet.len) * 8_000_000_000;
            model.packets.log.push((at, packet.id, What::Sent));
        }
        let Some(&packet) = arrival else { break };
        clock = packet.enqueued;
        if model.packets.queue.len() < scenario.limit as usize {
            model.enqueue(packet);
        } else {
            model.packets.log.push((clock, packet.id, What::Refused));
        }
    }
    model
}

/// Writes down what a shaper does.
struct Recorder {
    now: u64,
    log: Log,
}

impl Fate<Packet> for Recorder {
    fn dropped(&mut self, _lane: LaneId, packet: Packet, reason: DropReason) {
        let what = if reason == DropReason::Codel { What::Dropped } else { What::Refused };
        self.log.push((self.now, packet.id, what));
    }

    fn mark(&mut self, packet: &mut Packet) -> bool {
        if packet.ect {
            self.log.push((self.now, packet.id, What::Marked));
        }
        packet.ect
    }
}

fn run_shaper(scenario: &Scenario) -> Log {
    let rate = Rate::from_bits_per_second(scenario.rate).expect("a rate");
    let limiter = Limiter::Htb(Shape::flat(rate, Size(scenario.burst)));
    let queue = QueueParams { limit: scenario.limit, limit_bytes: None, aqm: Aqm::Codel(scenario.codel) };
    let lanes = vec![LaneParams { limiter, queue, ..LaneParams::default() }];
    let mut shaper =
        Shaper::new(&TreeParams { lanes, ..TreeParams::default() }, 64, Nanos::ZERO).expect("a valid tree");
    let mut recorder = Recorder { now: 0, log: Log::new() };
    for next in scenario.arrivals.iter().map(Some).chain([None]) {
        let until = next.map_or(u64::MAX, |packet| packet.enqueued);
        loop {
            let at = match shaper.next_wake(Nanos(recorder.now)) {
                Wake::Now => recorder.now,
                Wake::At(at) => at.0,
                Wake::Never => break,
            };
            if at >= until {
                break;
            }
            recorder.now = at;
            let departure = shaper.dequeue(Nanos(at), &mut recorder).expect("it said that it had one");
            recorder.log.push((at, departure.packet.id, What::Sent));
        }
        let Some(&packet) = next else { break };
        recorder.now = packet.enqueued;
        let Packet { len, memory, flow, enqueued, .. } = packet;
        let arrival = Arrival { memory, flow, ..arrival(packet, len) };
        shaper.enqueue(LaneId(0), arrival, Nanos(enqueued), &mut recorder);
    }
    recorder.log
}

#[test]
fn a_lane_does_what_the_model_of_the_rfc_does() {
    let (seeds, packets) = (1_000, 3_000);
    let mut totals = [0; 4];
    let mut resumed = 0;
    for seed in 0..seeds {
        let scenario = Scenario::random(seed, packets);
        let expected = run_model(&scenario);
        let log = run_shaper(&scenario);
        let difference = log.iter().zip(&expected.packets.log).find(|(ours, models)| ours != models);
        assert_eq!(difference, None, "seed {seed}: ours, the model's");
        assert_eq!(log.len(), expected.packets.log.len(), "seed {seed}");
        for &(_, _, what) in &log {
            totals[what as usize] += 1;
        }
        resumed += expected.codel.resumed;
    }
    let [sent, marked, dropped, refused] = totals;
    println!("{sent} sent ({marked} of them marked), {dropped} dropped, {refused} refused; {resumed} spells resumed");
    assert_eq!(sent + dropped + refused, seeds * packets as u64);
    // The arrivals do lead everywhere that CoDel can go.
    assert!(marked > 5_000 && dropped > 50_000 && refused > 5_000 && resumed > 500);
}

/// A queue for CoDel alone.
struct Bare {
    queue: VecDeque<Packet>,
    now: u64,
    log: Log,
}

impl Source for Bare {
    type Packet = Packet;

    fn pop(&mut self) -> Option<Packet> {
        self.queue.pop_front()
    }

    fn backlog(&self) -> u64 {
        self.queue.iter().map(|packet| u64::from(packet.len)).sum()
    }

    fn drop(&mut self, packet: Packet) {
        self.log.push((self.now, packet.id, What::Dropped));
    }

    fn mark(&mut self, packet: &mut Packet, _why: Mark) -> bool {
        if packet.ect {
            self.log.push((self.now, packet.id, What::Marked));
        }
        packet.ect
    }
}

/// Asked at any time, of an empty queue too, CoDel stands where the model stands after every packet. Every other seed
/// counts time in coarse ticks, so that delays are exactly the target and drops are due exactly now.
#[test]
fn the_state_is_the_models_at_every_step() {
    for seed in 1_000..1_400 {
        let Scenario { codel: mut params, mut arrivals, .. } = Scenario::random(seed, 500);
        let mut rng = Rng::new(seed);
        let mean_gap = (arrivals[499].enqueued - arrivals[0].enqueued) / 500;
        let tick = if seed % 2 == 0 { 1 } else { 1 + mean_gap / 2 };
        if tick > 1 {
            (params.target, params.interval) = (Nanos(tick * 4), Nanos(tick * 20));
        }
        arrivals.iter_mut().for_each(|packet| packet.enqueued = packet.enqueued.next_multiple_of(tick));
        let mut model = Model::new(params);
        let mut state = codel::State::default();
        let mut bare = Bare { queue: VecDeque::new(), now: 0, log: Log::new() };
        for packet in arrivals {
            bare.queue.push_back(packet);
            model.enqueue(packet);
            bare.now = bare.now.max(packet.enqueued);
            for _ in 0..rng.one_of(&[0, 0, 1, 1, 1, 2, 5]) {
                bare.now += rng.between(0, mean_gap / tick) * tick;
                let taken = state.dequeue(&params, Nanos(bare.now), &mut bare).map(|packet| packet.id);
                assert_eq!(taken, model.dequeue(bare.now).map(|packet| packet.id), "seed {seed}");
                let above = state.first_above_time().map_or(0, |time| time.0);
                let ours = (above, state.drop_next.0, u64::from(state.count), u64::from(state.lastcount));
                let Codel { first_above_time, drop_next, count, lastcount, dropping, .. } = model.codel;
                let models = (first_above_time, drop_next, count, lastcount);
                assert_eq!((ours, state.dropping), (models, dropping), "seed {seed}");
            }
        }
        assert_eq!(bare.log, model.packets.log, "seed {seed}");
    }
}
