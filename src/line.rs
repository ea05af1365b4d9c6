//! The packet line: what happens to a frame, from the device that it came from to the device that it leaves by.

mod arrive;
mod beside;
mod exit;
mod handover;
mod observe;
mod seen;
mod virtual_time;
mod watch;
mod within;

use std::io;
use std::sync::Arc;

use portlane_classify::{Arriving, Classifier, Direction, FlowKey, Found, Link, Malformed};
use portlane_rings::{Device, Frame, Pool};
use portlane_shaper::{LaneId, Nanos, Shaper, Wake, shed};
use portlane_stats::histogram::{Histograms, LaneHistogram};

pub mod change;
pub mod places;

use beside::Beside;
use exit::{Exit, Home};
pub use handover::Neighbours;
use observe::Observed;
use places::Places;
use seen::Seen;
pub use watch::{End, Stage, Watch};

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

/// Whose a frame is.
type Owner = Result<Found<u32>, Malformed>;

/// What the line itself counts, in packets. What lanes count is with their shapers.
#[derive(Debug, Clone, Copy, Default)]
pub struct LineCounters {
    /// Received from devices.
    pub received: u64,
    /// Given to devices to send.
    pub sent: u64,
    /// Dropped by lanes, for whatever reason.
    pub dropped: u64,
    /// Dropped for a malformed header, by [`Malformed`]'s position in [`Malformed::ALL`].
    pub malformed: [u64; Malformed::ALL.len()],
    /// Handed over to other workers, who own their lanes.
    pub handed_over: u64,
    /// Taken over from other workers.
    pub taken_over: u64,
    /// Dropped because their worker had no room for more: it was late.
    pub handoff: u64,
    /// Of lanes that are only watched, dropped because a device took nothing for long.
    pub unsent: u64,
}

/// One worker's packet line: its devices, its pool, and the lanes of both directions.
///
/// A container has a lane of the same number in both directions, and so has the traffic that no container owns.
#[derive(Debug)]
pub struct Line<D> {
    /// The memory of all frames.
    pub pool: Pool,
    /// Where frames come from and go to.
    pub ports: Vec<Port<D>>,
    /// The port that a direction leaves by, by [`Direction::index`].
    pub leaves_by: [usize; 2],
    /// The port by which comes and goes what stays on the host.
    within: Option<usize>,
    /// Who owns a packet.
    pub classifier: Classifier<u32>,
    /// Which flow a packet is of.
    pub flows: FlowKey,
    /// The lanes, by [`Direction::index`].
    pub shapers: [Shaper<Frame>; 2],
    /// Which lane is whose. Shared with reports that are being made.
    pub places: Arc<Places>,
    /// Sojourn times of those that waited, of each lane, by [`Direction::index`].
    histograms: [Histograms; 2],
    /// What the line itself counts.
    pub counters: LineCounters,
    /// The other workers, if there are.
    neighbours: Option<Box<Neighbours>>,
    /// Which lanes are only watched, if some are.
    observed: Option<Box<Observed>>,
    /// Who sees the frames, while a capture runs.
    seen: Seen,
    /// Free frames that the line tries to have when it receives.
    reserve: u32,
    /// The frames of one receive call, and whose they are; empty between turns.
    batch: Vec<Frame>,
    owners: Vec<Owner>,
    /// Frames that go straight through; empty between turns.
    leaving: Vec<Frame>,
    /// Who wants to know of packets, if somebody does.
    beside: Option<Box<Beside>>,
    /// As the histograms: packets that had gone straight through when sojourn times were forgotten.
    forgotten: [Vec<u64>; 2],
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
        shapers: [Shaper<Frame>; 2],
        places: Places,
    ) -> Self {
        let lanes = shapers[0].lanes();
        let reserve = u32::try_from((ports.len() + 1) * BATCH).expect("a line has a few ports").min(pool.total() / 4);
        Self {
            pool,
            ports,
            leaves_by,
            within: None,
            classifier,
            flows,
            shapers,
            places: Arc::new(places),
            histograms: Direction::ALL.map(|_| Histograms::new(lanes)),
            counters: LineCounters::default(),
            neighbours: None,
            observed: None,
            seen: Seen::default(),
            reserve,
            batch: Vec::with_capacity(BATCH),
            owners: Vec::with_capacity(BATCH),
            leaving: Vec::with_capacity(BATCH),
            beside: None,
            forgotten: Direction::ALL.map(|_| vec![0; lanes]),
        }
    }

    /// One turn: everything that may leave at `now` leaves, and everything that arrived goes to its lane, or straight
    /// through. Returns how many frames were received and sent.
    ///
    /// A device whose time is virtual may hand over frames [ahead of their time](Device::arrival). The turn then lasts until
    /// the last of them has arrived: each is handled at its arrival, and what may leave before that leaves at its time. All is
    /// as if each had had a turn of its own.
    ///
    /// # Errors
    ///
    /// A device failed. Every frame is accounted for all the same.
    #[inline]
    pub fn turn(&mut self, now: Nanos) -> io::Result<usize> {
        self.turn_watched(now, ())
    }

    /// A [`turn`](Self::turn), each stage of which is told to `watch`.
    ///
    /// # Errors
    ///
    /// As of [`turn`](Self::turn).
    pub fn turn_watched(&mut self, now: Nanos, mut watch: impl Watch) -> io::Result<usize> {
        let mut moved = self.depart(now, watch.lend())?;
        moved += self.take_over(now, watch.lend())?;
        for port in 0..self.ports.len() {
            let received = self.receive(port);
            watch.passed(Stage::Receive);
            let is_within = self.within == Some(port);
            if is_within {
                self.classify_within(now);
            } else {
                self.classify(port, now);
            }
            if self.beside.is_some() {
                self.look_beside(port, now);
            }
            if is_within {
                within::runs(&self.batch).for_each(|(run, arriving)| watch.arrived(&self.pool, run, arriving));
            } else {
                watch.arrived(&self.pool, &self.batch, self.ports[port].arriving);
            }
            watch.passed(Stage::Classify);
            moved += self.batch.len();
            watch.turns_to_port(port);
            self.hand_over(watch.lend());
            moved +=
                if is_within { self.enqueue_within(now, watch.lend()) } else { self.enqueue(port, now, watch.lend())? };
            watch.passed(Stage::Enqueue);
            received?;
        }
        for port in &mut self.ports {
            port.device.flush()?;
        }
        watch.passed(Stage::Flush);
        debug_assert!(self.balances(), "a frame was lost or made");
        Ok(moved)
    }

    /// The first half of a turn: frames come home, and packets that wait leave.
    #[inline]
    fn depart(&mut self, now: Nanos, mut watch: impl Watch) -> io::Result<usize> {
        for port in &mut self.ports {
            port.device.reclaim(&mut self.pool)?;
        }
        self.pool.exchange();
        self.make_room(watch.lend());
        watch.passed(Stage::Reclaim);
        let mut sent = if self.observed.is_some() { self.let_go_held_up(watch.lend()) } else { 0 };
        for direction in Direction::ALL {
            sent += self.dequeue(direction, now, watch.lend());
        }
        watch.passed(Stage::Dequeue);
        Ok(sent)
    }

    /// Packets whose time has come leave, until the device's ring is full.
    #[inline]
    fn dequeue(&mut self, direction: Direction, now: Nanos, mut watch: impl Watch) -> usize {
        watch.turns_to(direction);
        let (shaper, mut exit) = self.exit(direction, now, watch);
        shaper.dequeue_all(now, &mut exit)
    }

    /// The lanes of a direction, and where their packets go.
    #[inline(always)]
    fn exit<W>(&mut self, direction: Direction, now: Nanos, watch: W) -> (&mut Shaper<Frame>, Exit<'_, D, W>) {
        let Self { ports, leaves_by, within, pool, counters, histograms, shapers, .. } = self;
        let home = Home { pool, dropped: &mut counters.dropped, watch };
        let (leaves_by, stays_by) = within::ways(*leaves_by, *within, direction);
        let (histograms, sent) = (&mut histograms[direction.index()], &mut counters.sent);
        (&mut shapers[direction.index()], Exit { home, ports, leaves_by, stays_by, histograms, sent, now })
    }

    /// Frames that have arrived at a port fill the batch.
    #[inline]
    fn receive(&mut self, port: usize) -> io::Result<()> {
        let received = self.ports[port].device.receive(&mut self.pool, &mut self.batch, BATCH);
        self.counters.received += self.batch.len() as u64;
        received
    }

    /// Finds out whose the frames of the batch are.
    // On its own, so that all registers are for the loop.
    #[inline(never)]
    fn classify(&mut self, port: usize, now: Nanos) {
        let Self { ports, pool, classifier, flows, shapers, batch, owners, .. } = self;
        let arriving = ports[port].arriving;
        let far = shapers.iter().any(Shaper::outgrows_cache);
        let device = &ports[port].device;
        owners.extend(batch.iter().enumerate().map(|(position, frame)| {
            let now = device.arrival(position).map_or(now, Nanos);
            let bytes = pool.bytes(frame);
            let found = classifier.find(flows, link_of(frame), bytes, frame.wire_len(), arriving, now.0)?;
            if far {
                shapers[found.direction.index()].prefetch(LaneId(found.owner));
            }
            Ok(found)
        }));
    }

    /// Keeps frames free for what arrives next: a lane that hoards, in whichever direction, gives up its oldest. Phantoms count as the
    /// frames that they stand for: so there are no more of them than frames.
    #[inline]
    fn make_room(&mut self, watch: impl Watch) {
        let free = self.pool.free().saturating_sub(self.pool.phantoms());
        if let Some(missing) = self.reserve.checked_sub(free).filter(|&missing| missing > 0) {
            let mut home = Home { pool: &mut self.pool, dropped: &mut self.counters.dropped, watch };
            shed(&mut self.shapers, missing, &mut home);
        }
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

    /// Packets in all lanes, and those of observed ones that wait for a device.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.waiting() - self.pool.phantoms() as usize + self.all_held_up()
    }

    /// Packets in all lanes, phantoms included.
    fn waiting(&self) -> usize {
        self.shapers.iter().map(Shaper::queued).sum()
    }

    /// The sojourn times of a lane.
    #[must_use]
    pub fn sojourns(&self, direction: Direction, lane: LaneId) -> LaneHistogram {
        self.histograms[direction.index()].lane(lane.index()).with_zeros(self.passed(direction, lane))
    }

    /// Appends the sojourn times of a lane's packets that waited: see [`Histograms::copy`]. Returns the longest, and how many
    /// packets did not wait.
    pub(crate) fn copy_sojourns(&self, direction: Direction, lane: LaneId, to: &mut Vec<(u16, u64)>) -> (u64, u64) {
        (self.histograms[direction.index()].copy(lane.index(), to), self.passed(direction, lane))
    }

    /// Has copies of sojourn times be quick.
    pub(crate) fn settle_histograms(&mut self) {
        self.histograms.iter_mut().for_each(Histograms::settle);
    }

    /// Packets that went straight through a lane since sojourn times were forgotten.
    fn passed(&self, direction: Direction, lane: LaneId) -> u64 {
        self.shapers[direction.index()].passed(lane) - self.forgotten[direction.index()][lane.index()]
    }

    /// Forgets all sojourn times: those of a new measurement are to be recorded.
    pub fn restart_histograms(&mut self) {
        for (forgotten, shaper) in self.forgotten.iter_mut().zip(&self.shapers) {
            forgotten.fill(0);
            self.places.lanes().for_each(|lane| forgotten[lane.index()] = shaper.passed(lane));
        }
        self.histograms = self.forgotten.each_ref().map(|forgotten| Histograms::new(forgotten.len()));
    }

    /// Room for the sojourn times of a lane that was added, which has none yet.
    fn begin_histograms(&mut self, lane: LaneId) {
        let room = self.shapers[0].lanes();
        for (histograms, forgotten) in self.histograms.iter_mut().zip(&mut self.forgotten) {
            if room > forgotten.len() {
                // Every lane there is moves; so there is room for as many more.
                forgotten.resize(2 * room, 0);
                *histograms = histograms.grown(2 * room);
            }
            forgotten[lane.index()] = 0;
            histograms.clear(lane.index());
        }
    }

    /// The law of the pool: free + filling + sending + queued = total; of several workers, [what each has](Pool::here).
    #[must_use]
    pub fn balances(&self) -> bool {
        let held = self.ports.iter().map(|port| port.device.held());
        let held: u32 = held.map(|held| held.filling + held.sending).sum();
        (self.pool.free() + held) as usize + self.queued() + self.batch.len() == self.pool.here() as usize
    }
}

/// What a frame starts with. Devices only deliver what they can name.
#[inline]
fn link_of(frame: &Frame) -> Link {
    Link::from_linktype(frame.link_type()).expect("devices refuse link types that cannot be parsed")
}
