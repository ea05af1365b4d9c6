//! A shaper with all that it says and all that can be read of it.

use portlane_shaper::{
    Departure, DropReason, Fate, FlowStats, LaneCounters, LaneId, Limited, Nanos, NodeId, NodeReading, QueueStats,
    Shaper, TreeParams, Volume, Way, codel,
};

/// A packet: neither `Copy` nor `Clone`, so that it cannot be in two places.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) id: u32,
    pub(crate) ect: bool,
}

/// What a shaper said of packets that it did not let go, or not as they were.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Dropped(LaneId, Packet, DropReason),
    Marked { id: u32, ect: bool },
}

#[derive(Debug, Default)]
pub(crate) struct Log(pub(crate) Vec<Told>);

impl Fate<Packet> for Log {
    fn dropped(&mut self, lane: LaneId, packet: Packet, reason: DropReason) {
        self.0.push(Told::Dropped(lane, packet, reason));
    }

    fn mark(&mut self, packet: &mut Packet) -> bool {
        self.0.push(Told::Marked { id: packet.id, ect: packet.ect });
        packet.ect
    }
}

/// A device with room for so many packets, and what it took.
pub(crate) struct Device<'a> {
    pub(crate) log: &'a mut Log,
    pub(crate) room: usize,
    pub(crate) taken: Vec<Departure<Packet>>,
    /// One came for which there was no room.
    pub(crate) refused: bool,
}

impl Fate<Packet> for Device<'_> {
    fn dropped(&mut self, lane: LaneId, packet: Packet, reason: DropReason) {
        self.log.dropped(lane, packet, reason);
    }

    fn mark(&mut self, packet: &mut Packet) -> bool {
        self.log.mark(packet)
    }
}

impl Way<Packet> for Device<'_> {
    fn send(&mut self, departure: Departure<Packet>) -> Result<(), Departure<Packet>> {
        assert!(!self.refused, "sent after there was no room");
        self.refused = self.taken.len() == self.room;
        if self.refused {
            return Err(departure);
        }
        self.taken.push(departure);
        Ok(())
    }
}

/// All that can be read of a lane.
#[derive(Debug, PartialEq)]
pub(crate) struct LaneReading {
    pub(crate) counters: LaneCounters,
    pub(crate) backlog: Volume,
    pub(crate) node: NodeReading,
    pub(crate) stats: QueueStats,
    pub(crate) flows: Vec<FlowStats>,
    pub(crate) codel: Option<codel::State>,
    pub(crate) limited: Limited,
}

/// A shaper, and what it told.
pub(crate) struct Twin {
    pub(crate) shaper: Shaper<Packet>,
    pub(crate) log: Log,
}

impl Twin {
    pub(crate) fn new(tree: &TreeParams, now: Nanos) -> Self {
        Self { shaper: Shaper::new(tree, 16, now).expect("a valid tree"), log: Log::default() }
    }

    pub(crate) fn dequeue(&mut self, now: Nanos) -> Option<Departure<Packet>> {
        self.shaper.dequeue(now, &mut self.log)
    }

    /// All that may leave does, as far as the device has room. Returns what has left, and whether one more would have.
    pub(crate) fn dequeue_all(&mut self, now: Nanos, room: usize) -> (Vec<Departure<Packet>>, bool) {
        let mut device = Device { log: &mut self.log, room, taken: Vec::new(), refused: false };
        let sent = self.shaper.dequeue_all(now, &mut device);
        assert_eq!(sent, device.taken.len());
        (device.taken, device.refused)
    }

    pub(crate) fn read(&self, lane: LaneId, now: Nanos) -> LaneReading {
        LaneReading {
            counters: self.shaper.counters(lane),
            backlog: self.shaper.backlog(lane),
            node: self.shaper.node(NodeId::Lane(lane), now),
            stats: self.shaper.queue_stats(lane),
            flows: self.shaper.flows(lane).collect(),
            codel: self.shaper.codel(lane).copied(),
            limited: self.shaper.limited_by(lane, now),
        }
    }
}
