//! A line in front of a [`Source`], and the virtual time that it runs in.

use std::sync::Arc;

use portlane_classify::Arriving;
use portlane_rings::{Device, Layout, Pool};
use portlane_shaper::{DropReason, LaneId, Nanos};

use super::load::Setup;
use super::plan::plan;
use super::source::Source;
use super::traffic::Traffic;
use super::{MAX_CONTAINERS, Options};
use crate::build;
use crate::failure::Failure;
use crate::flows::heads;
use crate::line::{BATCH, Line, Port, Watch};
use crate::meters::{Meter, Meters};

/// Bytes of a frame, from one to the next; see `replay`.
pub(super) const FRAME_SIZE: u32 = 2_112;

/// Frames that a line keeps free or has on their way.
pub(super) const SPARE: u64 = 4 * BATCH as u64;

/// The same flows go to the same queues in every run.
pub(super) const KEY: [u64; 2] = [1, 2];

/// The sizes of packets that Ethernet has, without the checksum at their end.
const SIZES: std::ops::RangeInclusive<u16> = 60..=1_514;

/// A line with endless traffic.
#[derive(Debug)]
pub struct Scenario {
    line: Line<Source>,
    setup: Setup,
    now: Nanos,
    /// When all was warm, and what had been counted.
    warm: (Nanos, Totals),
}

/// What a scenario has counted, in packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Arrived.
    pub offered: u64,
    /// Left.
    pub sent: u64,
    /// Dropped, by [`DropReason::index`].
    pub dropped: [u64; DropReason::COUNT],
    /// Waiting in lanes.
    pub queued: u64,
}

impl Scenario {
    /// A line of these options, nothing in its lanes.
    ///
    /// # Errors
    ///
    /// Refused if an option is out of its range, or there is not enough memory.
    pub fn new(options: &Options) -> Result<Self, Failure> {
        let Options { containers, size, .. } = *options;
        if !(1..=MAX_CONTAINERS).contains(&containers) {
            return Err(Failure::refused(format!("{containers} containers: must be 1 to {MAX_CONTAINERS}")));
        }
        if !SIZES.contains(&size) {
            let (min, max) = (SIZES.start(), SIZES.end());
            return Err(Failure::refused(format!("packets of {size} bytes: must be {min} to {max}")));
        }
        let setup = Setup::new(options);
        let traffic = Traffic::new(options)?;
        let mut pool = pool(options.frames() as u64 + setup.queued + SPARE)?;
        let device = Source::new(traffic, options.batches(), &mut pool);
        let port = Port { device, arriving: Arriving::Egress };
        let line = build::line(&plan(containers, &setup)?, pool, vec![port], [0, 0], KEY, Nanos::ZERO);
        Ok(Self::of(line, setup))
    }

    /// The same, whose packets are all counted for labels of meters.
    ///
    /// # Errors
    ///
    /// As of [`new`](Self::new).
    pub fn metered(options: &Options, meters: &Arc<Meters>) -> Result<Self, Failure> {
        let mut scenario = Self::new(options)?;
        let plan = plan(options.containers, &scenario.setup)?;
        let meter = Meter::new(Arc::clone(meters), &plan, &scenario.line.places);
        scenario.line.count_by(meter);
        Ok(scenario)
    }

    /// The same as [`new`](Self::new), the beginnings of whose frames are shown to who observes flows.
    ///
    /// # Errors
    ///
    /// As of [`new`](Self::new).
    pub fn observed(options: &Options, heads: heads::Sender) -> Result<Self, Failure> {
        let mut scenario = Self::new(options)?;
        scenario.line.show_heads(heads);
        Ok(scenario)
    }

    /// A scenario of a line whose devices are sources.
    pub(super) fn of(line: Line<Source>, setup: Setup) -> Self {
        Self { line, setup, now: Nanos::ZERO, warm: (Nanos::ZERO, Totals::default()) }
    }

    /// Lets the queues come to rest. All that is counted and recorded begins here, and then everybody sends once, so that no
    /// memory is touched for the first time later.
    pub fn warm_up(&mut self) {
        self.run(self.turns_to_settle());
        self.line.restart_histograms();
        self.warm = (self.now, self.counted());
        self.run(self.turns_of_everybody());
    }

    /// Turns of a [`warm_up`](Self::warm_up).
    pub(super) fn turns_to_warm_up(&self) -> u64 {
        self.turns_to_settle() + self.turns_of_everybody()
    }

    fn turns_to_settle(&self) -> u64 {
        self.setup.settled.0.div_ceil(self.setup.pace.0)
    }

    /// Turns in which every flow has a packet.
    pub(super) fn turns_of_everybody(&self) -> u64 {
        self.traffic().len().div_ceil(BATCH) as u64
    }

    /// Takes so many turns, each with [`BATCH`] packets that arrive.
    #[inline(never)]
    pub fn turns(&mut self, count: u64) {
        self.run(count);
    }

    /// Takes so many turns without the line: what arrives is sent at once.
    #[inline(never)]
    pub fn turns_of_device(&mut self, count: u64) {
        let mut batch = Vec::with_capacity(BATCH);
        let Line { pool, ports, .. } = &mut self.line;
        let device = &mut ports[0].device;
        for _ in 0..count {
            device.reclaim(pool).expect(NEVER_FAILS);
            device.receive(pool, &mut batch, BATCH).expect(NEVER_FAILS);
            for frame in batch.drain(..) {
                device.send(frame).expect("the ring holds a batch");
            }
            device.flush().expect(NEVER_FAILS);
        }
    }

    /// Takes so many turns, each stage of which is told to `watch`.
    #[inline(never)]
    pub fn turns_watched(&mut self, count: u64, mut watch: impl Watch) {
        for _ in 0..count {
            self.now = self.now + self.setup.pace;
            self.line.turn_watched(self.now, watch.lend()).expect(NEVER_FAILS);
        }
    }

    fn run(&mut self, turns: u64) {
        for _ in 0..turns {
            self.now = self.now + self.setup.pace;
            self.line.turn(self.now).expect(NEVER_FAILS);
        }
    }

    /// The figures that the scenario has.
    #[must_use]
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The line.
    #[must_use]
    pub fn line(&self) -> &Line<Source> {
        &self.line
    }

    /// The same, to be copied: as a worker has it for a report.
    pub fn settled_line(&mut self) -> &Line<Source> {
        self.line.settle_histograms();
        &self.line
    }

    /// Virtual time.
    #[must_use]
    pub fn now(&self) -> Nanos {
        self.now
    }

    /// Virtual time since all was warm, or since the scenario was made.
    #[must_use]
    pub fn elapsed(&self) -> Nanos {
        self.now - self.warm.0
    }

    /// What arrives.
    pub(super) fn traffic(&self) -> &Traffic {
        self.line.ports[0].device.traffic()
    }

    /// What was counted since all was warm, or since the scenario was made.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let Totals { offered, sent, dropped, queued } = self.counted();
        let (_, before) = &self.warm;
        let dropped = std::array::from_fn(|reason| dropped[reason] - before.dropped[reason]);
        Totals { offered: offered - before.offered, sent: sent - before.sent, dropped, queued }
    }

    fn counted(&self) -> Totals {
        let queued = self.line.queued() as u64;
        let mut totals = Totals { offered: self.line.counters.received, queued, ..Totals::default() };
        for shaper in &self.line.shapers {
            for counters in (0..).map(LaneId).take(shaper.lanes()).map(|lane| shaper.counters(lane)) {
                totals.sent += counters.sent.packets;
                for (total, dropped) in totals.dropped.iter_mut().zip(counters.dropped) {
                    *total += dropped.packets;
                }
            }
        }
        totals
    }
}

const NEVER_FAILS: &str = "a device of memory does not fail";

/// As many frames as are wanted, or as a pool can have.
pub(super) fn pool(wanted: u64) -> Result<Pool, Failure> {
    let frames = u32::try_from(wanted).unwrap_or(u32::MAX).min(u32::MAX / FRAME_SIZE);
    let layout = Layout { frames, frame_size: FRAME_SIZE };
    Pool::new(layout).map_err(|cause| {
        let needed = layout.bytes().div_ceil(1_000_000);
        Failure::refused(format!(
            "{needed} MB of memory for {frames} packets: {cause}: ask for fewer containers or frames"
        ))
    })
}
