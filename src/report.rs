//! From a line's counters to a [`Snapshot`] that can be printed.

use std::collections::BTreeMap;

use portlane_classify::{Direction, Malformed};
use portlane_rings::{Device, Losses};
use portlane_shaper::{LaneId, LaneParams, Limiter, Nanos, QueueParams, Rate, Shaper, Size};
use portlane_stats::lane::{
    CodelReport, HtbReport, LaneReading, LaneReport, LimitReport, PeakReport, QueueReport, Rate as Average, TbfReport,
};
use portlane_stats::snapshot::{ContainerReport, Directions, LinkReport, Mode, Snapshot, Totals};

use crate::config::Plan;
use crate::line::{Line, Packet};

/// What a report says besides the counters.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// When counting began.
    pub started: Nanos,
    /// The interface that each direction leaves by.
    pub devices: Directions<String>,
    /// How each interface is attached.
    pub modes: BTreeMap<String, Mode>,
    /// Packets that the devices lost.
    pub losses: Losses,
    /// Timestamps held because they ran backwards.
    pub backwards_timestamps: u64,
}

/// Reads everything that `line` has counted, as of `now`.
#[must_use]
pub fn snapshot<D: Device>(line: &Line<D>, plan: &Plan, context: &Context, now: Nanos) -> Snapshot {
    let reader = Reader { line, context, now };
    let containers = plan.containers.iter().zip(0..).map(|(container, lane)| ContainerReport {
        id: container.id.clone(),
        ingress: reader.lane(Direction::Ingress, lane, &container.lanes[Direction::Ingress.index()]),
        egress: reader.lane(Direction::Egress, lane, &container.lanes[Direction::Egress.index()]),
    });
    let containers: Vec<_> = containers.collect();
    let nobody = plan.owners.unmatched();
    Snapshot {
        time_ns: now.0,
        duration_ns: (now - context.started).0,
        devices: context.devices.clone(),
        mode: context.modes.clone(),
        totals: reader.totals(),
        link: both(|direction| plan.link.limit.map(|(rate, burst)| reader.link(direction, rate, burst))),
        containers,
        unmatched: both(|direction| reader.lane(direction, nobody, &plan.unmatched)),
    }
}

fn both<T>(of: impl Fn(Direction) -> T) -> Directions<T> {
    Directions { ingress: of(Direction::Ingress), egress: of(Direction::Egress) }
}

struct Reader<'a, D> {
    line: &'a Line<D>,
    context: &'a Context,
    now: Nanos,
}

impl<D: Device> Reader<'_, D> {
    fn totals(&self) -> Totals {
        let counters = &self.line.counters;
        let lanes = || {
            self.line
                .shapers
                .iter()
                .flat_map(|shaper| (0..).map(LaneId).take(shaper.lanes()).map(|id| shaper.counters(id)))
        };
        let malformed = Malformed::ALL.iter().zip(counters.malformed).filter(|&(_, count)| count > 0);
        let dropped: u64 = lanes().map(|lane| lane.dropped_total().packets).sum();
        let sent: u64 = lanes().map(|lane| lane.sent.packets).sum();
        let losses = self.context.losses;
        Totals {
            received: counters.received + losses.missed,
            sent: sent.saturating_sub(losses.unsent),
            dropped: dropped + counters.malformed.iter().sum::<u64>() + losses.missed + losses.unsent,
            queued: self.line.queued() as u64,
            unmatched: counters.unmatched,
            malformed: malformed.map(|(reason, count)| (reason.as_str().to_owned(), count)).collect(),
            missed: losses.missed,
            unsent: losses.unsent,
            backwards_timestamps: self.context.backwards_timestamps,
        }
    }

    fn shaper(&self, direction: Direction) -> &Shaper<Packet> {
        &self.line.shapers[direction.index()]
    }

    fn lane(&self, direction: Direction, lane: u32, params: &LaneParams) -> LaneReport {
        let (id, shaper) = (LaneId(lane), self.shaper(direction));
        let counters = shaper.counters(id);
        let elapsed = (self.now - self.context.started).0;
        LaneReport::new(LaneReading {
            counters,
            queued: shaper.backlog(id),
            sent_rate: Average::average(counters.sent, elapsed),
            dequeued_rate: Average::average(counters.dequeued, elapsed),
            sojourn: &self.line.histograms.lane(self.line.histogram(direction, id)),
            limit: limit(params, shaper.credit_ns(id, self.now)),
            queue: self.queue(shaper, id, &params.queue),
        })
    }

    fn link(&self, direction: Direction, rate: Rate, burst: Size) -> LinkReport {
        let shaper = self.shaper(direction);
        LinkReport { limit: htb(rate, burst, shaper.link_credit_ns(self.now)), overlimits: shaper.link_overlimits() }
    }

    fn queue(&self, shaper: &Shaper<Packet>, id: LaneId, params: &QueueParams) -> QueueReport {
        let limit_packets = u64::from(params.limit);
        let (Some(codel), Some(state)) = (&params.codel, shaper.codel(id)) else {
            return QueueReport::Fifo { limit_packets };
        };
        let until_drop = i128::from(state.drop_next.0) - i128::from(self.now.0);
        QueueReport::Codel(CodelReport {
            limit_packets,
            target_ns: codel.target.0,
            interval_ns: codel.interval.0,
            ecn: codel.ecn,
            count: state.count,
            lastcount: state.lastcount,
            ldelay_ns: state.ldelay.0,
            dropping: state.dropping,
            drop_next_ns: if state.dropping { i64::try_from(until_drop).unwrap_or(0) } else { 0 },
            maxpacket: shaper.longest_seen(id),
        })
    }
}

fn limit(params: &LaneParams, credit_ns: i64) -> LimitReport {
    match params.limiter {
        Limiter::None => LimitReport::None,
        Limiter::Htb { rate, burst } => LimitReport::Htb(htb(rate, burst, credit_ns)),
        Limiter::Tbf { rate, burst, peak } => LimitReport::Tbf(TbfReport {
            rate_bits_per_s: rate.bits_per_second(),
            burst_bytes: burst.0,
            limit_bytes: params.queue.limit_bytes.map_or(u64::MAX, |limit| limit.0),
            peak: peak.map(|peak| PeakReport { rate_bits_per_s: peak.rate.bits_per_second(), mtu_bytes: peak.mtu.0 }),
        }),
    }
}

/// Nothing can be borrowed in this version: the ceil is the rate, and its bucket the same.
fn htb(rate: Rate, burst: Size, credit_ns: i64) -> HtbReport {
    HtbReport {
        rate_bits_per_s: rate.bits_per_second(),
        ceil_bits_per_s: rate.bits_per_second(),
        burst_bytes: burst.0,
        cburst_bytes: burst.0,
        priority: 0,
        tokens_ns: credit_ns,
        ctokens_ns: credit_ns,
    }
}
