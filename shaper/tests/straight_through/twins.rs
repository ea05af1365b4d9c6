//! Two shapers of the same tree: packets are offered to one, and queued and dequeued by the other.

use portlane_shaper::{Arrival, Departure, GroupId, GroupParams, LaneId, LaneParams, Nanos, NodeId, TreeParams, Wake};

use crate::scene::{Change, Coming, Op};
use crate::seen::Seen;
use crate::twin::{Packet, Twin};

/// A packet that left both, and that only the device can tell apart.
struct Left {
    straight: Departure<Packet>,
    queued: Departure<Packet>,
}

pub(crate) struct Twins<'a> {
    /// Packets go straight through this one.
    straight: Twin,
    /// And wait in this one, if only for the time that two calls take.
    queued: Twin,
    lanes: Vec<LaneId>,
    groups: Vec<GroupId>,
    /// Groups that there were at one time.
    most_groups: u32,
    now: Nanos,
    /// Promises about time may be broken since.
    stepped_back: bool,
    made: u32,
    /// Both said that nothing may leave now, and only packets that were offered came since.
    quiet: bool,
    /// Packets that went straight through, by lane.
    passed: Vec<u64>,
    seen: &'a Seen,
}

impl<'a> Twins<'a> {
    pub(crate) fn new(tree: &TreeParams, now: Nanos, seen: &'a Seen) -> Self {
        let groups = u32::try_from(tree.groups.len()).expect("few groups");
        Self {
            straight: Twin::new(tree, now),
            queued: Twin::new(tree, now),
            lanes: (0..).map(LaneId).take(tree.lanes.len()).collect(),
            groups: (0..groups).map(GroupId).collect(),
            most_groups: groups,
            now,
            stepped_back: false,
            made: 0,
            quiet: false,
            passed: vec![0; tree.lanes.len()],
            seen,
        }
    }

    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::Turn { arrivals, room } => self.turn(arrivals, *room),
            Op::Queue { packet, count } => (0..*count).for_each(|_| self.queue(packet)),
            Op::Flood { packet, count, leave } => {
                (0..*count).for_each(|_| self.queue(packet));
                self.follow_up(*leave);
            }
            Op::Busy { queued, offered } => self.offer_while_busy(queued, offered),
            Op::Send(most) => {
                let _ = (0..*most).find(|_| self.dequeue().is_none());
            }
            Op::Bounce { times, meanwhile } => self.bounce(*times, meanwhile.as_ref()),
            Op::Follow(most) => self.follow_up(*most),
            Op::Shed(count) => {
                let straight = self.straight.shaper.shed(*count, &mut self.straight.log);
                let queued = self.queued.shaper.shed(*count, &mut self.queued.log);
                assert_eq!(straight, queued, "packets shed");
            }
            Op::Wait(time) => self.at(self.now + Nanos(*time)),
            Op::StepBack(time) => {
                self.at(self.now - Nanos(*time));
                self.stepped_back |= *time > 0;
            }
            Op::Change(change) => self.change(change),
        }
        self.compare();
    }

    /// Sends all that is left.
    pub(crate) fn drain(&mut self) {
        self.follow_up(usize::MAX);
        self.compare();
    }

    fn at(&mut self, now: Nanos) {
        (self.now, self.quiet) = (now, false);
    }

    fn lane(&self, number: usize) -> LaneId {
        self.lanes[number % self.lanes.len()]
    }

    /// The same packet, for each of the two.
    fn arrivals(&mut self, coming: &Coming) -> (LaneId, [Arrival<Packet>; 2]) {
        let &Coming { lane, len, memory, flow, ect } = coming;
        self.made += 1;
        let arrival = || Arrival { packet: Packet { id: self.made, ect }, len, memory, flow, ect };
        (self.lane(lane), [arrival(), arrival()])
    }

    /// What may leave does, then packets arrive; the device takes `room` of them.
    fn turn(&mut self, arrivals: &[Coming], mut room: usize) {
        self.send_all(&mut room);
        for packet in arrivals {
            // A node that pays earns first. If its wait ends later than it should, others may leave by that.
            if self.stepped_back {
                self.send_all(&mut room);
            }
            if let Some(left) = self.offer(packet) {
                self.send(left, &mut room);
            }
            self.compare_readings();
        }
    }

    /// All that may leave the one does at once, and leaves the other one by one.
    fn send_all(&mut self, room: &mut usize) {
        let (taken, refused) = self.straight.dequeue_all(self.now, *room);
        *room -= taken.len();
        for straight in taken {
            assert!(!straight.passed, "what waited did not go straight through");
            same(Some(straight), self.queued.dequeue(self.now));
        }
        let next = self.queued.dequeue(self.now);
        assert_eq!(next.is_some(), refused, "more leaves than did at once");
        self.quiet = !refused;
        if let Some(next) = next {
            self.seen.put_back(false);
            self.queued.shaper.put_back(next);
        }
    }

    /// A packet leaves if the device has room, and else is put back.
    fn send(&mut self, left: Left, room: &mut usize) -> bool {
        let sent = *room > 0;
        match room.checked_sub(1) {
            Some(less) => *room = less,
            None => self.put_back(left),
        }
        sent
    }

    /// One shaper is offered a packet. The other has it queued, and is asked for a packet if nothing could leave before.
    fn offer(&mut self, packet: &Coming) -> Option<Left> {
        let (lane, [straight, queued]) = self.arrivals(packet);
        let before = self.straight.read(lane, self.now);
        let straight = self.straight.shaper.offer(lane, straight, self.now, &mut self.straight.log);
        self.queued.shaper.enqueue(lane, queued, self.now, &mut self.queued.log);
        let queued = if self.quiet { self.queued.dequeue(self.now) } else { None };
        let passed = straight.as_ref().is_some_and(|departure| departure.passed);
        let left = same(straight, queued);
        if let Some(left) = &left {
            self.seen.left(&before, &self.straight.read(lane, self.now), passed);
            assert!(!passed || (left.straight.lane, left.straight.enqueued) == (lane, self.now));
            self.passed[left.straight.lane.0 as usize] += u64::from(passed);
        }
        left
    }

    fn queue(&mut self, packet: &Coming) {
        let (lane, [straight, queued]) = self.arrivals(packet);
        self.straight.shaper.enqueue(lane, straight, self.now, &mut self.straight.log);
        self.queued.shaper.enqueue(lane, queued, self.now, &mut self.queued.log);
        self.quiet = false;
    }

    /// Where more may leave after a packet did, an offer is no more than a packet queued.
    fn offer_while_busy(&mut self, queued: &Coming, offered: &Coming) {
        self.queue(queued);
        let busy = self.dequeue().is_some() && self.compare_wakes() == Wake::Now;
        if !busy || self.stepped_back {
            return self.queue(offered);
        }
        let left = self.offer(offered);
        assert!(left.is_none(), "left before what may leave");
    }

    fn dequeue(&mut self) -> Option<Left> {
        let left = same(self.straight.dequeue(self.now), self.queued.dequeue(self.now));
        assert!(left.as_ref().is_none_or(|left| !left.straight.passed), "what waited did not go straight through");
        self.quiet = left.is_none();
        left
    }

    fn put_back(&mut self, left: Left) {
        let Left { straight, queued } = left;
        self.passed[straight.lane.0 as usize] -= u64::from(straight.passed);
        self.seen.put_back(straight.passed);
        self.straight.shaper.put_back(straight);
        self.queued.shaper.put_back(queued);
        self.quiet = false;
    }

    fn bounce(&mut self, times: usize, meanwhile: Option<&Coming>) {
        for time in 0..times {
            let Some(left) = self.dequeue() else { return };
            if let Some(packet) = meanwhile.filter(|_| time == 0) {
                self.queue(packet);
            }
            self.put_back(left);
            self.compare_readings();
        }
    }

    fn follow_up(&mut self, most: usize) {
        let _ = (0..most).find(|_| !self.follow());
    }

    /// Sends a packet at the time announced; false if none is left.
    fn follow(&mut self) -> bool {
        match self.compare_wakes() {
            Wake::Never => return false,
            Wake::Now => {}
            Wake::At(at) => self.at(at),
        }
        if self.dequeue().is_none() {
            // What would leave after the end of time never does.
            assert!(self.stepped_back || self.now == Nanos::MAX, "none left at {}, as was announced", self.now);
            self.at(self.now + Nanos::from_millis(1));
            return self.now < Nanos::MAX;
        }
        true
    }

    fn under(&self, number: usize) -> Option<GroupId> {
        (number % (self.groups.len() + 1)).checked_sub(1).map(|number| self.groups[number])
    }

    fn change(&mut self, change: &Change) {
        self.quiet = false;
        match change {
            Change::Link(params) => {
                self.both(|twin, now| twin.shaper.set_link(*params, now)).expect("valid parameters");
            }
            Change::Queue { lane, queue } => {
                let lane = self.lane(*lane);
                self.both(|twin, now| twin.shaper.set_queue(lane, queue, now)).expect("valid parameters");
            }
            Change::Lane { lane, params, under } => {
                let (lane, params) = (self.lane(*lane), LaneParams { group: self.under(*under), ..params.clone() });
                let set = |twin: &mut Twin, now| twin.shaper.set_lane(lane, &params, now, &mut twin.log);
                self.both(set).expect("valid parameters");
            }
            Change::NewLane { params, under } => {
                let params = LaneParams { group: self.under(*under), ..params.clone() };
                let lane = self.both(|twin, now| twin.shaper.add_lane(&params, now)).expect("valid parameters");
                self.lanes.push(lane);
                self.passed.resize(self.straight.shaper.lanes(), 0);
                self.passed[lane.0 as usize] = 0;
            }
            Change::NoLane(lane) if self.lanes.len() > 1 => {
                let lane = self.lane(*lane);
                if self.both(|twin, now| twin.shaper.remove_lane(lane, now)).is_ok() {
                    self.lanes.retain(|&other| other != lane);
                }
            }
            Change::NoLane(_) => {}
            Change::Group { .. } | Change::NewGroup { .. } | Change::NoGroup(_) => self.change_groups(change),
        }
    }

    /// Groups do not end up in themselves or too deep, and go when they are empty: such changes are refused by both.
    fn change_groups(&mut self, change: &Change) {
        match change {
            Change::NewGroup { params, under } => {
                let params = GroupParams { group: self.under(*under), ..*params };
                let added = self.both(|twin, now| twin.shaper.add_group(params, now));
                self.groups.extend(added);
                self.most_groups = self.most_groups.max(self.groups.iter().map(|group| group.0 + 1).max().unwrap_or(0));
            }
            Change::Group { group, params, under } if !self.groups.is_empty() => {
                let group = self.groups[group % self.groups.len()];
                let params = GroupParams { group: self.under(*under), ..*params };
                let _ = self.both(|twin, now| twin.shaper.set_group(group, params, now));
            }
            Change::NoGroup(group) if !self.groups.is_empty() => {
                let group = self.groups[group % self.groups.len()];
                if self.both(|twin, now| twin.shaper.remove_group(group, now)).is_ok() {
                    self.groups.retain(|&other| other != group);
                }
            }
            _ => {}
        }
    }

    fn both<T: PartialEq + std::fmt::Debug>(&mut self, mut change: impl FnMut(&mut Twin, Nanos) -> T) -> T {
        let (straight, queued) = (change(&mut self.straight, self.now), change(&mut self.queued, self.now));
        assert_eq!(straight, queued);
        straight
    }

    fn compare(&mut self) {
        self.compare_readings();
        let wake = self.compare_wakes();
        assert!(!self.quiet || wake != Wake::Now || self.stepped_back, "something may leave after all");
    }

    fn compare_wakes(&mut self) -> Wake {
        self.both(|twin, now| twin.shaper.next_wake(now))
    }

    /// All that can be read of the two, and all that they told, is the same.
    fn compare_readings(&mut self) {
        let Self { straight, queued, now, .. } = self;
        assert_eq!(straight.log.0, queued.log.0, "told by the one through which packets go, and by the other");
        straight.log.0.clear();
        queued.log.0.clear();
        assert_eq!(straight.shaper.queued(), queued.shaper.queued());
        let lanes = (0..).map(LaneId).zip(&self.passed);
        for (lane, &passed) in lanes {
            assert_eq!(straight.read(lane, *now), queued.read(lane, *now), "{lane:?}");
            assert_eq!((straight.shaper.passed(lane), queued.shaper.passed(lane)), (passed, 0), "{lane:?}");
        }
        for node in std::iter::once(NodeId::Link).chain((0..self.most_groups).map(|id| NodeId::Group(GroupId(id)))) {
            assert_eq!(straight.shaper.node(node, *now), queued.shaper.node(node, *now), "{node:?}");
        }
    }
}

/// What left both is the same but for how it went.
fn same(straight: Option<Departure<Packet>>, queued: Option<Departure<Packet>>) -> Option<Left> {
    let same = match (&straight, &queued) {
        (Some(straight), Some(queued)) => {
            let told = |left: &Departure<Packet>| (left.lane, left.packet.id, left.packet.ect, left.len, left.enqueued);
            told(straight) == told(queued) && !queued.passed
        }
        (None, None) => true,
        _ => false,
    };
    assert!(same, "left the one through which packets go: {straight:?}, and the other: {queued:?}");
    straight.zip(queued).map(|(straight, queued)| Left { straight, queued })
}
