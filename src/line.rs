//! The packet line: what happens to a frame, from the device that it came from to the device that it leaves by.

use std::io;

use portlane_classify::{Arriving, Classifier, Direction, FlowKey, Link, Malformed, ecn, parse};
use portlane_rings::{Device, Frame, Pool};
use portlane_shaper::{Arrival, Departure, DropReason, Fate, LaneId, Nanos, Shaper, Wake, shed};
use portlane_stats::histogram::Histograms;

/// Frames received from a device in one turn, at most.
pub const BATCH: usize = 64;

/// A device, and what is known of the frames that arrive from it.
#[derive(Debug)]
pub struct Port<D> {
    /// The device.
    pub device: D,
    /// The direction of what arrives.
    pub arriving: Arriving,
}

/// A frame in a lane, and what it starts with: the device that it leaves by need not know that.
#[derive(Debug, PartialEq, Eq)]
pub struct Packet {
    /// The packet's bytes.
    pub frame: Frame,
    /// What they start with.
    pub link: Link,
}

/// What the line itself counts, in packets. What lanes count is with their shapers.
#[derive(Debug, Clone, Copy, Default)]
pub struct LineCounters {
    /// Received from devices.
    pub received: u64,
    /// Received, and owned by no container.
    pub unmatched: u64,
    /// Dropped for a malformed header, by [`Malformed`]'s position in [`Malformed::ALL`].
    pub malformed: [u64; Malformed::ALL.len()],
}

/// One worker's packet line: its devices, its pool, and the lanes of both directions.
///
/// Containers are numbered as in the configuration; lane *n* of a direction is container *n*'s, and the last lane is for
/// traffic that no container owns.
#[derive(Debug)]
pub struct Line<D> {
    /// The memory of all frames.
    pub pool: Pool,
    /// Where frames come from and go to.
    pub ports: Vec<Port<D>>,
    /// The port that a direction leaves by, by [`Direction::index`].
    pub leaves_by: [usize; 2],
    /// Who owns a packet.
    pub classifier: Classifier<u32>,
    /// Which flow a packet is of.
    pub flows: FlowKey,
    /// The lanes, by [`Direction::index`].
    pub shapers: [Shaper<Packet>; 2],
    /// Sojourn times; see [`Line::histogram`] for whose is where.
    pub histograms: Histograms,
    /// What the line itself counts.
    pub counters: LineCounters,
    /// The frames of one receive call; empty between turns.
    batch: Vec<Frame>,
}

impl<D: Device> Line<D> {
    /// A line of the given parts.
    #[must_use]
    pub fn new(
        pool: Pool,
        ports: Vec<Port<D>>,
        leaves_by: [usize; 2],
        classifier: Classifier<u32>,
        flows: FlowKey,
        shapers: [Shaper<Packet>; 2],
    ) -> Self {
        let histograms = empty_histograms(&shapers);
        let batch = Vec::with_capacity(BATCH);
        Self {
            pool,
            ports,
            leaves_by,
            classifier,
            flows,
            shapers,
            histograms,
            counters: LineCounters::default(),
            batch,
        }
    }

    /// One turn: everything that arrived goes to its lane, and everything that may leave at `now` leaves. Returns how
    /// many frames were received and sent.
    ///
    /// # Errors
    ///
    /// A device failed. Every frame is accounted for all the same.
    pub fn turn(&mut self, now: Nanos) -> io::Result<usize> {
        let mut moved = 0;
        for port in 0..self.ports.len() {
            self.ports[port].device.reclaim(&mut self.pool)?;
            self.make_room();
            moved += self.receive(port, now)?;
        }
        for direction in Direction::ALL {
            moved += self.send(direction, now)?;
        }
        debug_assert!(self.balances(), "a frame was lost or made");
        Ok(moved)
    }

    /// Received frames find their owners and join their lanes.
    fn receive(&mut self, port: usize, now: Nanos) -> io::Result<usize> {
        let Port { device, arriving } = &mut self.ports[port];
        let received = device.receive(&mut self.pool, &mut self.batch, BATCH);
        let count = self.batch.len();
        let memory = self.pool.capacity();
        self.counters.received += count as u64;
        for frame in self.batch.drain(..) {
            let link = link_of(device, &self.pool, &frame);
            match parse(link, self.pool.bytes(&frame), frame.wire_len()) {
                Err(reason) => {
                    self.counters.malformed[reason as usize] += 1;
                    self.pool.put(frame);
                }
                Ok(headers) => {
                    let (direction, lane) = self.classifier.classify(&headers, *arriving, now.0);
                    let shaper = &mut self.shapers[direction.index()];
                    self.counters.unmatched += u64::from(lane as usize + 1 == shaper.lanes());
                    let len = frame.wire_len();
                    let packet = Packet { frame, link };
                    let arrival = Arrival { packet, len, memory, flow: self.flows.hash(&headers) };
                    shaper.enqueue(LaneId(lane), arrival, now, &mut Home(&mut self.pool));
                }
            }
        }
        received.map(|()| count)
    }

    /// Packets whose time has come leave, until the device's ring is full.
    fn send(&mut self, direction: Direction, now: Nanos) -> io::Result<usize> {
        let shaper = &mut self.shapers[direction.index()];
        let first_histogram = direction.index() * shaper.lanes();
        let device = &mut self.ports[self.leaves_by[direction.index()]].device;
        let mut sent = 0;
        while let Some(leaving) = shaper.dequeue(now, &mut Home(&mut self.pool)) {
            let Departure { lane, packet: Packet { frame, link }, len, enqueued } = leaving;
            if let Err(frame) = device.send(frame) {
                shaper.put_back(Departure { lane, packet: Packet { frame, link }, len, enqueued });
                break;
            }
            self.histograms.record(first_histogram + lane.0 as usize, (now - enqueued).0);
            sent += 1;
        }
        device.flush()?;
        Ok(sent)
    }

    /// Keeps frames free for what arrives next: a lane that hoards, in whichever direction, gives up its oldest.
    fn make_room(&mut self) {
        let wanted = u32::try_from((self.ports.len() + 1) * BATCH).expect("a line has a few ports");
        let wanted = wanted.min(self.pool.total() / 4);
        let missing = wanted.saturating_sub(self.pool.free());
        shed(&mut self.shapers, missing, &mut Home(&mut self.pool));
    }

    /// When to take the next turn, if nothing arrives before.
    #[must_use]
    pub fn next_wake(&mut self, now: Nanos) -> Wake {
        let [ingress, egress] = &mut self.shapers;
        match (ingress.next_wake(now), egress.next_wake(now)) {
            (Wake::Now, _) | (_, Wake::Now) => Wake::Now,
            (Wake::Never, wake) | (wake, Wake::Never) => wake,
            (Wake::At(one), Wake::At(other)) => Wake::At(one.min(other)),
        }
    }

    /// Packets in all lanes.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.shapers.iter().map(Shaper::queued).sum()
    }

    /// The position of a lane's histogram in [`histograms`](Self::histograms).
    #[must_use]
    pub fn histogram(&self, direction: Direction, lane: LaneId) -> usize {
        direction.index() * self.shapers[direction.index()].lanes() + lane.0 as usize
    }

    /// Forgets all sojourn times: those of a new measurement are to be recorded.
    pub fn restart_histograms(&mut self) {
        self.histograms = empty_histograms(&self.shapers);
    }

    /// The law of the pool: free + filling + sending + queued = total.
    #[must_use]
    pub fn balances(&self) -> bool {
        let held = self.ports.iter().map(|port| port.device.held());
        let held: u32 = held.map(|held| held.filling + held.sending).sum();
        (self.pool.free() + held) as usize + self.queued() + self.batch.len() == self.pool.total() as usize
    }
}

fn empty_histograms(shapers: &[Shaper<Packet>; 2]) -> Histograms {
    Histograms::new(shapers.iter().map(Shaper::lanes).sum())
}

/// What a frame starts with. Devices only deliver what they can name.
#[inline]
fn link_of<D: Device>(device: &D, pool: &Pool, frame: &Frame) -> Link {
    Link::from_linktype(device.link_type(pool, frame)).expect("devices refuse link types that cannot be parsed")
}

/// Frames that do not leave go home.
struct Home<'a>(&'a mut Pool);

impl Fate<Packet> for Home<'_> {
    #[inline]
    fn dropped(&mut self, _lane: LaneId, packet: Packet, _reason: DropReason) {
        self.0.put(packet.frame);
    }

    fn mark(&mut self, packet: &mut Packet) -> bool {
        ecn::mark_ce(packet.link, self.0.bytes_mut(&mut packet.frame))
    }
}
