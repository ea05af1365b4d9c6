//! Random parameters and random traffic.

use portlane_shaper::codel::{ControlLaw, Params as CodelParams};
use portlane_shaper::{FqParams, Limiter, Nanos, Rate, Shape, Size};

use crate::rfc8289::Packet;
use crate::support::Rng;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Arrive(Packet),
    /// The lane is asked for packets, this many times.
    Ask(u32),
    /// Another limit and other parameters, but as many flows and the same interval.
    Change(u32, FqParams),
}

/// One lane and what is done to it.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) limit: u32,
    pub(crate) params: FqParams,
    pub(crate) limiter: Limiter,
    /// Between the steps the lane is asked whenever it has something to send; otherwise only where a step says so.
    pub(crate) eager: bool,
    pub(crate) steps: Vec<(u64, Step)>,
}

impl Scenario {
    pub(crate) fn random(seed: u64, packets: u32) -> Self {
        let mut rng = Rng::new(seed);
        let interval = spread(&mut rng, 1_000, 200_000_000);
        // Some count time in coarse ticks, so that delays are exactly the target and drops are due exactly now.
        let tick = rng.one_of(&[1, 1, interval / 50]);
        let codel = codel_params(&mut rng, interval, tick);
        let per_interval = rng.one_of(&[1, 10, 100, 1_000]);
        let rate = 8_000 * per_interval * 1_000_000_000 / interval;
        let eager = rng.one_of(&[true, false]);
        let limiter = limiter(&mut rng, rate, eager);
        let params = fq_params(&mut rng, codel);
        let limit = limit(&mut rng);
        let mut traffic = Traffic::new(rng, rate, params, eager);
        while traffic.arrived < packets {
            traffic.spell();
        }
        let on_tick = |(at, step): (u64, Step)| {
            let at = at.next_multiple_of(tick);
            let step =
                if let Step::Arrive(packet) = step { Step::Arrive(Packet { enqueued: at, ..packet }) } else { step };
            (at, step)
        };
        let steps = traffic.steps.into_iter().map(on_tick).collect();
        Self { limit, params, limiter, eager, steps }
    }
}

fn limiter(rng: &mut Rng, bits_per_second: u64, eager: bool) -> Limiter {
    let rate = Rate::from_bits_per_second(bits_per_second).expect("a rate");
    let htb = Limiter::Htb(Shape::flat(rate, Size(rng.between(1, 60_000))));
    let tbf = Limiter::Tbf { rate, burst: Size(rng.between(9_000, 60_000)), peak: None };
    rng.one_of(&[htb, htb, tbf, if eager { htb } else { Limiter::None }])
}

fn limit(rng: &mut Rng) -> u32 {
    rng.one_of(&[1, 10, 100, 1_000, 10_240])
}

/// A number from `low` to `high`, about as often below their geometric mean as above.
fn spread(rng: &mut Rng, low: u64, high: u64) -> u64 {
    let doublings = rng.between(0, u64::from((high / low).ilog2()));
    (low << doublings).saturating_add(rng.between(0, low << doublings)).min(high)
}

fn codel_params(rng: &mut Rng, interval: u64, tick: u64) -> CodelParams {
    let anything = spread(rng, 1_000, 200_000_000);
    let part = rng.between(2, 40);
    let target = rng.one_of(&[interval / 20, interval / part, interval / part, anything]);
    let ce_threshold = rng.one_of(&[None, None, Some(target), Some(target / 2), Some(anything)]);
    CodelParams {
        target: Nanos(target.next_multiple_of(tick)),
        interval: Nanos(interval.next_multiple_of(tick)),
        ecn: rng.one_of(&[true, false]),
        ce_threshold: ce_threshold.map(|threshold| Nanos(threshold.next_multiple_of(tick))),
        mtu: rng.one_of(&[0, 64, 1_514, 1_514, 9_000]),
        law: rng.one_of(&[ControlLaw::Newton, ControlLaw::Exact]),
    }
}

fn fq_params(rng: &mut Rng, codel: CodelParams) -> FqParams {
    let few = rng.between(1, 64);
    let flows = rng.one_of(&[1, few, few, 1_024]);
    let quantum = rng.between(300, 9_000);
    let memory = spread(rng, 1_000, 8 << 20);
    let batch = rng.between(1, 64);
    FqParams {
        codel,
        flows: narrow(flows),
        quantum: narrow(quantum),
        memory_limit: Size(rng.one_of(&[32 << 20, 32 << 20, memory])),
        drop_batch: narrow(rng.one_of(&[1, 64, batch])),
    }
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).expect("a number of 32 bits")
}

/// Traffic in the making.
struct Traffic {
    rng: Rng,
    rate: u64,
    params: FqParams,
    eager: bool,
    /// Hashes of the flows that there are.
    hashes: Vec<u32>,
    now: u64,
    arrived: u32,
    steps: Vec<(u64, Step)>,
}

/// What the packets of a spell have in common.
struct Kind {
    /// The greedy flows, and how many percent of the packets are theirs; the others are of any flow.
    greedy: Vec<u32>,
    greedy_percent: u64,
    len: Option<u32>,
    ect_percent: u64,
    /// Bytes of memory that a packet takes at least, and beside its length.
    least_memory: u32,
    more_memory: u32,
}

impl Traffic {
    fn new(mut rng: Rng, rate: u64, params: FqParams, eager: bool) -> Self {
        let flows = rng.one_of(&[1, 3, 20, 300, 3_000]);
        let mut hashes: Vec<u32> = (0..flows).map(|_| narrow(rng.between(0, u64::from(u32::MAX)))).collect();
        hashes[0] = rng.one_of(&[hashes[0], 0, u32::MAX]);
        let now = rng.one_of(&[0, params.codel.interval.0 * 3, 1_700_000_000_000_000_000]);
        Self { rng, rate, params, eager, hashes, now, arrived: 0, steps: Vec::new() }
    }

    fn kind(&mut self) -> Kind {
        let flows = self.rng.one_of(&[1, 2, 8]);
        let len = self.rng.packet_len();
        Kind {
            greedy: (0..flows).map(|_| self.rng.one_of(&self.hashes)).collect(),
            greedy_percent: self.rng.one_of(&[0, 50, 95, 100]),
            len: self.rng.one_of(&[None, Some(len)]),
            ect_percent: self.rng.one_of(&[0, 0, 50, 100]),
            least_memory: self.rng.one_of(&[0, 768, 4_096]),
            more_memory: self.rng.one_of(&[0, 256]),
        }
    }

    /// A spell with a load of its own (10 % to 1000 % of the rate), of trains of packets that come at once; some spells
    /// are followed by silence, of up to 40 intervals.
    fn spell(&mut self) {
        let kind = self.kind();
        let load = self.rng.one_of(&[10, 50, 100, 120, 200, 1_000]);
        let longest_train = self.rng.one_of(&[1, 1, 4, 64]);
        for _ in 0..self.rng.between(20, 600) {
            let train = self.rng.between(1, longest_train);
            let bits: u64 = (0..train).map(|_| self.arrive(&kind)).sum();
            let pause = bits * 1_000_000_000 / self.rate * 100 / load;
            let pause = self.rng.between(pause / 2, pause * 3 / 2);
            if !self.eager {
                self.ask(train, pause, load);
            }
            self.now += pause;
        }
        let asked_for = self.rng.one_of(&[0, 0, 20_000]);
        if !self.eager {
            self.steps.push((self.now, Step::Ask(asked_for)));
        }
        let longest_silence = self.rng.one_of(&[0, 0, 2, 40]) * self.params.codel.interval.0;
        self.now += self.rng.between(0, longest_silence);
        if self.rng.one_of(&[true, false, false, false]) {
            self.change();
        }
    }

    fn change(&mut self) {
        let CodelParams { interval, .. } = self.params.codel;
        let codel = CodelParams { interval, ..codel_params(&mut self.rng, interval.0, 1) };
        let params = FqParams { flows: self.params.flows, ..fq_params(&mut self.rng, codel) };
        self.steps.push((self.now, Step::Change(limit(&mut self.rng), params)));
    }

    /// A packet arrives; returns the bits in it.
    fn arrive(&mut self, kind: &Kind) -> u64 {
        let rng = &mut self.rng;
        let len = kind.len.unwrap_or_else(|| rng.packet_len());
        let flow = if rng.between(1, 100) <= kind.greedy_percent {
            rng.one_of(&kind.greedy)
        } else {
            rng.one_of(&self.hashes)
        };
        let memory = (len + kind.more_memory).max(kind.least_memory);
        let ect = rng.between(0, 99) < kind.ect_percent;
        let packet = Packet { id: self.arrived, len, memory, flow, ect, enqueued: self.now };
        self.steps.push((self.now, Step::Arrive(packet)));
        self.arrived += 1;
        u64::from(len) * 8
    }

    /// Asks for as many packets, on average, as would leave at the rate during a pause of which `arrived` are `load` percent.
    fn ask(&mut self, arrived: u64, pause: u64, load: u64) {
        let moments = self.rng.between(1, 3);
        for moment in 1..=moments {
            let at = self.now + pause * moment / (moments + 1);
            let most = 2 * arrived * 100 / load / moments;
            let count = self.rng.between(most.min(1), most.max(1));
            self.steps.push((at, Step::Ask(narrow(count))));
        }
    }
}
