//! Any sequence of calls on any lanes: every packet has one fate, and what is promised comes.

use std::collections::HashMap;

use bolero::{TypeGenerator, check};
use portlane_shaper::{
    Aqm, Arrival, DropReason, Fate, FqParams, LaneId, LaneParams, Limiter, LinkParams, Nanos, Peak, QueueParams, Rate,
    Shape, Shaper, Size, TreeParams, Wake, codel,
};

use crate::BUDGET;

#[derive(Debug, TypeGenerator)]
struct Setup {
    start: u32,
    link: Option<(u64, u64)>,
    #[generator(Vec::produce().with().len(1_usize..6))]
    lanes: Vec<Lane>,
    #[generator(Vec::produce().with().len(0_usize..100))]
    calls: Vec<Call>,
}

#[derive(Debug, TypeGenerator)]
struct Lane {
    limiter: Kind,
    rate: (u64, u8),
    burst: (u64, u8),
    queue: Queue,
}

#[derive(Debug, TypeGenerator)]
struct Queue {
    #[generator(0..40)]
    limit: u32,
    limit_bytes: Option<u32>,
    codel: Option<Codel>,
    fq: Option<Fq>,
}

#[derive(Debug, TypeGenerator)]
struct Codel {
    target: u32,
    interval: u32,
    ecn: bool,
    mtu: u16,
    ce_threshold: Option<u32>,
}

#[derive(Debug, TypeGenerator)]
struct Fq {
    flows: u16,
    quantum: u16,
    memory_limit: u16,
    drop_batch: u8,
}

#[derive(Debug, TypeGenerator)]
enum Kind {
    None,
    Htb,
    Tbf,
    TbfWithPeak { rate: (u64, u8), mtu: u16 },
}

#[derive(Debug, TypeGenerator)]
enum Call {
    Enqueue { lane: usize, len: u16, ect: bool, flow: u32 },
    EnqueueMany { lane: usize, len: u16, ect: bool, count: u8 },
    EnqueueAny { lane: usize, len: u32 },
    SetQueue { lane: usize, queue: Queue },
    Dequeue(u8),
    PutBack,
    Shed(u8),
    Wait(u32),
    WaitLong(u64),
    Follow(u8),
}

/// Every magnitude as likely as any other, below 2^63.
fn spread((value, shift): (u64, u8)) -> u64 {
    value >> (1 + shift % 63)
}

/// From a kbit a second on: below that, a hundred packets of 16 MiB would take until the end of time.
fn rate(value: (u64, u8)) -> Rate {
    Rate::from_bits_per_second(spread(value).max(1_000)).expect("below 2^63")
}

impl Lane {
    fn params(&self) -> LaneParams {
        let (rate_of_lane, burst) = (rate(self.rate), Size(spread(self.burst).max(1)));
        let limiter = match &self.limiter {
            Kind::None => Limiter::None,
            Kind::Htb => Limiter::Htb(Shape::flat(rate_of_lane, burst)),
            Kind::Tbf => Limiter::Tbf { rate: rate_of_lane, burst, peak: None },
            Kind::TbfWithPeak { rate: peak, mtu } => {
                let peak = Peak { rate: rate(*peak), mtu: Size(u64::from(*mtu) + 1) };
                Limiter::Tbf { rate: rate_of_lane, burst, peak: Some(peak) }
            }
        };
        LaneParams { limiter, queue: self.queue.params(), ..LaneParams::default() }
    }
}

impl Queue {
    fn params(&self) -> QueueParams {
        let aqm = match (&self.codel, &self.fq) {
            (None, _) => Aqm::Fifo,
            (Some(codel), None) => Aqm::Codel(codel.params()),
            (Some(codel), Some(fq)) => Aqm::FqCodel(FqParams {
                codel: codel.params(),
                flows: u32::from(fq.flows) + 1,
                quantum: u32::from(fq.quantum) + 1,
                memory_limit: Size(fq.memory_limit.into()),
                drop_batch: fq.drop_batch.into(),
            }),
        };
        QueueParams { limit: self.limit, limit_bytes: self.limit_bytes.map(|bytes| Size(bytes.into())), aqm }
    }
}

impl Codel {
    fn params(&self) -> codel::Params {
        codel::Params {
            target: Nanos(self.target.into()),
            interval: Nanos(u64::from(self.interval) + 1),
            ecn: self.ecn,
            mtu: self.mtu.into(),
            ce_threshold: self.ce_threshold.map(|threshold| Nanos(threshold.into())),
            law: codel::ControlLaw::Newton,
        }
    }
}

/// A packet: neither `Copy` nor `Clone`, so that it cannot be in two places.
#[derive(Debug)]
struct Packet {
    id: u64,
    ect: bool,
}

/// The packets that have no fate yet, with their lanes.
#[derive(Debug, Default)]
struct Alive(HashMap<u64, LaneId>);

impl Alive {
    fn ends(&mut self, lane: LaneId, packet: &Packet) {
        assert_eq!(self.0.remove(&packet.id), Some(lane), "packet {} has a second fate, or another's lane", packet.id);
    }
}

impl Fate<Packet> for Alive {
    fn dropped(&mut self, lane: LaneId, packet: Packet, _reason: DropReason) {
        self.ends(lane, &packet);
    }

    fn mark(&mut self, packet: &mut Packet) -> bool {
        packet.ect
    }
}

struct World {
    shaper: Shaper<Packet>,
    alive: Alive,
    made: u64,
    now: Nanos,
    /// What was put back, and has to come first.
    returned: Option<u64>,
}

impl World {
    fn new(setup: &Setup) -> Self {
        let shape = setup.link.map(|(bits, burst)| Shape::flat(rate((bits, 0)), Size(burst.max(1))));
        let link = LinkParams { shape, ..LinkParams::default() };
        let lanes = setup.lanes.iter().map(Lane::params).collect();
        let now = Nanos(setup.start.into());
        let shaper = Shaper::new(&TreeParams { link, lanes, groups: vec![] }, 16, now).expect("a valid tree");
        Self { shaper, alive: Alive::default(), made: 0, now, returned: None }
    }

    fn lane(&self, number: usize) -> LaneId {
        LaneId(u32::try_from(number % self.shaper.lanes()).expect("few lanes"))
    }

    fn enqueue(&mut self, lane: usize, len: u32, ect: bool, flow: u32) {
        let lane = self.lane(lane);
        self.made += 1;
        self.alive.0.insert(self.made, lane);
        let arrival = Arrival { packet: Packet { id: self.made, ect }, len, memory: len / 2 + 512, flow };
        self.shaper.enqueue(lane, arrival, self.now, &mut self.alive);
    }

    /// True if a packet left, as it must if one was announced.
    fn dequeue(&mut self) -> bool {
        let announced = self.shaper.next_wake(self.now) == Wake::Now;
        let departure = self.shaper.dequeue(self.now, &mut self.alive);
        assert_eq!(departure.is_some(), announced);
        let Some(leaving) = departure else { return false };
        assert!(self.returned.take().is_none_or(|id| id == leaving.packet.id));
        self.alive.ends(leaving.lane, &leaving.packet);
        true
    }

    fn put_back(&mut self) {
        if let Some(departure) = self.shaper.dequeue(self.now, &mut self.alive) {
            self.returned = Some(departure.packet.id);
            self.shaper.put_back(departure);
        }
    }

    /// Sends a packet at the time announced; false if none is left.
    fn follow(&mut self) -> bool {
        match self.shaper.next_wake(self.now) {
            Wake::Never => return false,
            Wake::Now => {}
            Wake::At(at) => self.now = at,
        }
        assert!(self.dequeue(), "none left at {}, as was announced", self.now);
        true
    }

    fn set_queue(&mut self, lane: usize, queue: &Queue) {
        self.shaper.set_queue(self.lane(lane), &queue.params(), self.now).expect("valid parameters");
    }

    fn call(&mut self, call: &Call) {
        match *call {
            Call::Enqueue { lane, len, ect, flow } => self.enqueue(lane, len.into(), ect, flow),
            Call::EnqueueMany { lane, len, ect, count } => {
                (0..count).for_each(|number| self.enqueue(lane, len.into(), ect, u32::from(number) << 28));
            }
            Call::EnqueueAny { lane, len } => self.enqueue(lane, len, true, len),
            Call::SetQueue { lane, ref queue } => self.set_queue(lane, queue),
            Call::Dequeue(count) => {
                let _ = (0..count).find(|_| !self.dequeue());
            }
            Call::PutBack => self.put_back(),
            Call::Shed(count) => {
                let (before, dropped) = (self.shaper.queued(), self.shaper.shed(count.into(), &mut self.alive));
                assert_eq!(before - self.shaper.queued(), dropped as usize);
            }
            Call::Wait(ns) => self.now = self.now + Nanos(ns.into()),
            // Half an hour at most: a hundred of them stay far from the end of time.
            Call::WaitLong(ns) => self.now = self.now + Nanos(ns >> 23),
            Call::Follow(count) => {
                let _ = (0..count).find(|_| !self.follow());
            }
        }
        self.check();
    }

    fn check(&self) {
        assert_eq!(self.shaper.queued(), self.alive.0.len());
        let lanes = (0..).map(LaneId).take(self.shaper.lanes());
        let backlog: u64 = lanes
            .map(|lane| {
                let backlog = self.shaper.backlog(lane);
                assert!(self.shaper.counters(lane).accounts_for(backlog), "lane {lane:?} lost or made a packet");
                backlog.packets
            })
            .sum();
        assert_eq!(backlog, self.alive.0.len() as u64);
    }
}

#[test]
fn any_calls() {
    check!(name = "shaper").with_test_time(BUDGET).with_type::<Setup>().for_each(|setup| {
        let mut world = World::new(setup);
        setup.calls.iter().for_each(|call| world.call(call));
        while world.follow() {}
        world.check();
        assert!(world.alive.0.is_empty());
    });
}
