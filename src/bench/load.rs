//! How much is offered, and the figures that follow from it.

use clap::ValueEnum;
use portlane_shaper::Nanos;
use portlane_shaper::units::NANOS_PER_SECOND;

use super::Options;
use crate::line::BATCH;

/// The link, in bits a second. With fewer than 64 containers it is slower, for then CoDel would have to drop more packets of
/// a flow in an interval than it can (as the kernel's, it counts time in microseconds).
const LINK: u64 = 10_000_000_000;
const LINK_OF_A_FEW: u64 = LINK / 64;

/// What a burst lasts, at the rate that it belongs to.
const BURST: Nanos = Nanos::from_millis(10);

/// The least burst of a lane: tc's own, in bytes, and so many packets.
const MIN_BURST_BYTES: u64 = 1_600;
const MIN_BURST_PACKETS: u64 = 16;

/// CoDel's parameters.
pub(super) const TARGET: Nanos = Nanos::from_micros(10);
pub(super) const INTERVAL: Nanos = Nanos::from_micros(200);

/// Packets that few lanes may have at times, above what they have on average.
const AT_TIMES: u64 = 1_024;

/// CoDel leaves a full packet standing, in bytes.
const STANDING: u64 = 1_514;

/// How much is offered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Load {
    /// Every lane is offered a fifth of its rate: all pay, nobody waits
    Idle,
    /// A quarter of the lanes is offered 1.5 times their rate, the others 0.8: that quarter waits, and CoDel drops
    #[default]
    Default,
    /// Every lane is offered twice its rate, all of them together twice the link: all wait, and CoDel drops half
    Overload,
}

impl Load {
    /// Its name on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Default => "default",
            Self::Overload => "overload",
        }
    }

    /// What a lane is offered, in tenths of its rate.
    #[must_use]
    pub fn tenths(self, lane: u32) -> u8 {
        match self {
            Self::Idle => 2,
            Self::Default if lane.is_multiple_of(4) => 15,
            Self::Default => 8,
            Self::Overload => 20,
        }
    }
}

/// The figures of a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// The link's rate, in bits a second.
    pub link: u64,
    /// The link's burst, in bytes.
    pub link_burst: u64,
    /// A lane's rate, in bits a second.
    pub rate: u64,
    /// A lane's burst, in bytes.
    pub burst: u64,
    /// Virtual time from one turn to the next.
    pub pace: Nanos,
    /// Virtual time until queues stand as they will.
    pub settled: Nanos,
    /// Frames for the packets in all queues.
    pub queued: u64,
}

impl Setup {
    /// What `options` come to.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        let Options { containers, size, load, .. } = *options;
        let bits = 8 * u64::from(size);
        let link = LINK.min(LINK_OF_A_FEW * u64::from(containers));
        let rate = link / 1_024 * 1_023 / u64::from(containers);
        let burst = earned(rate).max(MIN_BURST_BYTES).max(MIN_BURST_PACKETS * u64::from(size));
        let tenths: u64 = (0..containers).map(|lane| u64::from(load.tenths(lane))).sum();
        let pace = Nanos(BATCH as u64 * bits * NANOS_PER_SECOND * 10 / (rate * tenths));
        let mut setup = Self { link, link_burst: earned(link), rate, burst, pace, settled: Nanos::ZERO, queued: 0 };
        let (backlogged, excess) = match load {
            Load::Idle => return setup,
            Load::Default => (containers.div_ceil(4), rate / 2),
            Load::Overload => (containers, rate),
        };
        setup.settled = settled(burst, excess, bits);
        setup.queued = u64::from(backlogged) * standing(excess, bits) + AT_TIMES;
        setup
    }
}

/// What a rate earns in the time of a burst, in bytes.
fn earned(rate: u64) -> u64 {
    rate / 8 * BURST.0 / NANOS_PER_SECOND
}

/// When a lane that is offered so many bits a second too much has come to rest. First it spends its burst. Then CoDel has to
/// drop as fast as the excess comes; with `interval / sqrt(count)` from drop to drop it takes `2 * rate of drops *
/// interval^2` to get there. Twice both.
fn settled(burst: u64, excess: u64, bits: u64) -> Nanos {
    let spent = burst * 8 * NANOS_PER_SECOND / excess;
    let paced = 2 * (excess / bits) * INTERVAL.0 / (NANOS_PER_SECOND / INTERVAL.0);
    Nanos(2 * (spent + paced))
}

/// The packets of such a lane, on average at most: CoDel leaves a full packet's bytes standing and drops nothing during an
/// interval, each flow in its own time. The one, twelve times the other, and some.
fn standing(excess: u64, bits: u64) -> u64 {
    let unchallenged = (excess / bits * INTERVAL.0).div_ceil(NANOS_PER_SECOND);
    STANDING * 8 / bits + 12 * unchallenged + 6
}
