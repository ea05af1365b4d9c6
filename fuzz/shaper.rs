//! Any sequence of calls on any lanes: every packet has one fate, and what is promised comes.

use std::collections::HashMap;

use bolero::{TypeGenerator, check};
use portlane_shaper::{
    Aqm, Arrival, DropReason, Fate, FqParams, Framing, GroupId, GroupParams, LaneId, LaneParams, Limiter, LinkParams,
    Nanos, OwnFraming, Peak, QueueParams, Rate, Shape, Shaper, Share, Size, TreeParams, Wake, codel,
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
    /// Of the groups that there are when it is added or changed.
    group: Option<u8>,
    limiter: Kind,
    rate: (u64, u8),
    burst: (u64, u8),
    /// The ceil is the rate times this and one.
    above: u8,
    overhead: Option<u16>,
    share: Weighted,
    queue: Queue,
}

#[derive(Debug, TypeGenerator)]
struct Group {
    group: Option<u8>,
    shape: Option<((u64, u8), (u64, u8))>,
    overhead: Option<u16>,
    share: Weighted,
}

#[derive(Debug, TypeGenerator)]
struct Weighted {
    #[generator(0..8)]
    priority: u8,
    #[generator(1..100)]
    weight: u32,
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
    SetLink { limit: Option<(u64, u64)>, overhead: u16 },
    AddGroup(Group),
    SetGroup { group: u8, params: Group },
    RemoveGroup(u8),
    AddLane(Lane),
    SetLane { lane: usize, params: Lane },
    RemoveLane(usize),
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

fn link(limit: Option<(u64, u64)>, overhead: u16) -> LinkParams {
    let shape = limit.map(|(bits, burst)| Shape::flat(rate((bits, 0)), Size(burst.max(1))));
    LinkParams { shape, framing: Framing { overhead, mpu: 0 } }
}

fn ceil(rate: Rate, above: u8) -> Rate {
    let bits = rate.bits_per_second().saturating_mul(u64::from(above) + 1);
    Rate::from_bits_per_second(bits).unwrap_or(Rate::MAX)
}

impl Group {
    fn params(&self, group: Option<GroupId>) -> GroupParams {
        let shape = self.shape.map(|(bits, burst)| Shape::flat(rate(bits), Size(spread(burst).max(1))));
        let Weighted { priority, weight } = self.share;
        let framing = OwnFraming { overhead: self.overhead, mpu: None };
        GroupParams { group, shape, framing, priority: Some(priority), weight }
    }
}

impl Lane {
    fn params(&self, group: Option<GroupId>) -> LaneParams {
        let (rate_of_lane, burst) = (rate(self.rate), Size(spread(self.burst).max(1)));
        let limiter = match &self.limiter {
            Kind::None => Limiter::None,
            Kind::Htb => {
                Limiter::Htb(Shape { ceil: ceil(rate_of_lane, self.above), ..Shape::flat(rate_of_lane, burst) })
            }
            Kind::Tbf => Limiter::Tbf { rate: rate_of_lane, burst, peak: None },
            Kind::TbfWithPeak { rate: peak, mtu } => {
                let peak = Peak { rate: rate(*peak), mtu: Size(u64::from(*mtu) + 1) };
                Limiter::Tbf { rate: rate_of_lane, burst, peak: Some(peak) }
            }
        };
        let share = Share { priority: Some(self.share.priority), weight: self.share.weight, quantum: None };
        let framing = OwnFraming { overhead: self.overhead, mpu: None };
        LaneParams { group, limiter, framing, share, queue: self.queue.params() }
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
    /// Those that there are.
    lanes: Vec<LaneId>,
    groups: Vec<GroupId>,
    alive: Alive,
    made: u64,
    now: Nanos,
    /// What was put back, and has to come first.
    returned: Option<u64>,
}

impl World {
    fn new(setup: &Setup) -> Self {
        let lanes: Vec<_> = setup.lanes.iter().map(|lane| lane.params(None)).collect();
        let now = Nanos(setup.start.into());
        let tree = TreeParams { link: link(setup.link, 0), lanes, groups: vec![] };
        let shaper = Shaper::new(&tree, 16, now).expect("a valid tree");
        let lanes = (0..).map(LaneId).take(tree.lanes.len()).collect();
        Self { shaper, lanes, groups: vec![], alive: Alive::default(), made: 0, now, returned: None }
    }

    fn group(&self, number: Option<u8>) -> Option<GroupId> {
        let number = usize::from(number?);
        self.groups.get(number % self.groups.len().max(1)).copied()
    }

    fn lane(&self, number: usize) -> LaneId {
        self.lanes[number % self.lanes.len()]
    }

    fn enqueue(&mut self, lane: usize, len: u32, ect: bool, flow: u32) {
        let lane = self.lane(lane);
        self.made += 1;
        self.alive.0.insert(self.made, lane);
        let arrival = Arrival { packet: Packet { id: self.made, ect }, len, memory: len / 2 + 512, flow, ect };
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

    /// Changes the tree. What is asked for keeps all rules but these: groups do not end up in themselves or too deep, and
    /// what is removed is empty.
    fn change(&mut self, call: &Call) {
        let now = self.now;
        match call {
            Call::SetLink { limit, overhead } => {
                self.shaper.set_link(link(*limit, *overhead), now).expect("valid parameters");
            }
            Call::AddGroup(group) => {
                let added = self.shaper.add_group(group.params(self.group(group.group)), now);
                self.groups.extend(added);
            }
            Call::SetGroup { group, params } => {
                if let Some(group) = self.group(Some(*group)) {
                    let _ = self.shaper.set_group(group, params.params(self.group(params.group)), now);
                }
            }
            Call::RemoveGroup(group) => {
                if let Some(group) = self.group(Some(*group))
                    && self.shaper.remove_group(group, now).is_ok()
                {
                    self.groups.retain(|&other| other != group);
                }
            }
            Call::AddLane(lane) => {
                let added = self.shaper.add_lane(&lane.params(self.group(lane.group)), now).expect("valid parameters");
                assert!(!self.lanes.contains(&added), "the number of a lane that there is");
                self.lanes.push(added);
            }
            Call::SetLane { lane, params } => {
                let params = params.params(self.group(params.group));
                self.shaper.set_lane(self.lane(*lane), &params, now, &mut self.alive).expect("valid parameters");
            }
            Call::RemoveLane(lane) => {
                let lane = self.lane(*lane);
                let empty = self.shaper.backlog(lane).packets == 0;
                if self.lanes.len() > 1 {
                    assert_eq!(self.shaper.remove_lane(lane, now).is_ok(), empty);
                    self.lanes.retain(|&other| other != lane || !empty);
                }
            }
            _ => {}
        }
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
            Call::SetLink { .. }
            | Call::AddGroup(_)
            | Call::SetGroup { .. }
            | Call::RemoveGroup(_)
            | Call::AddLane(_)
            | Call::SetLane { .. }
            | Call::RemoveLane(_) => self.change(call),
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
        let backlog: u64 = self
            .lanes
            .iter()
            .map(|&lane| {
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
