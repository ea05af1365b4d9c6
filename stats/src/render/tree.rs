//! A snapshot as the tree of qdiscs and classes that would do the same in the kernel.
//!
//! Each direction is a tree on the interface that sends it:
//!
//! ```text
//! 1:  htb, the root
//!   1:1  class of the link, if the link has a limit; the others are below it
//!     1:10   class of the first container, 1:11 of the second, and so on
//!       10:    its queue; or, for a token bucket filter:
//!       10:    tbf
//!         8010:  its queue
//!     1:2    class of what no container owns, the htb's default
//!       2:     its queue
//! ```
//!
//! Numbers are hexadecimal. A leaf's handle is its class's minor number, as is usual, and containers begin at 10 so that no
//! leaf takes the root's `1:`. They are unique, and within the kernel's 16 bits, up to 32,752 containers.
//!
//! Where the kernel counts differently at different levels, so does this: the root has all drops
//! (`qdisc_tree_reduce_backlog`), a class only those it was told of when it enqueued (`htb_enqueue`), and the link's class,
//! an inner one, neither drops nor backlog (`htb_dump_class_stats`).

use std::fmt;

use crate::counters::{DropReason, Volume};
use crate::lane::{CodelReport, HtbReport, LaneReport, LimitReport, QueueReport, TbfReport, TrafficControl};
use crate::snapshot::{LinkReport, Snapshot};

const ROOT: Handle = Handle { major: 1, minor: 0 };
const LINK: u64 = 1;
pub(super) const UNMATCHED: u64 = 2;
const FIRST_CONTAINER: u64 = 0x10;
const BELOW_TBF: u64 = 0x8000;

/// A root qdisc's references, as on a device with one queue.
pub(super) const REFCNT: u32 = 2;

/// `r2q` and `direct_qlen` of an htb that was given none. Nothing here depends on them; parsers expect the keys.
pub(super) const R2Q: u32 = 10;
pub(super) const DIRECT_QLEN: u32 = 1000;

/// What tc calls `handle` or `classid`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Handle {
    major: u64,
    minor: u64,
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}:", self.major)?;
        if self.minor > 0 {
            write!(f, "{:x}", self.minor)?;
        }
        Ok(())
    }
}

/// One object of `tc qdisc show`.
pub(super) struct Qdisc<'a> {
    pub(super) dev: &'a str,
    pub(super) handle: Handle,
    /// `None` for the root.
    pub(super) parent: Option<Handle>,
    pub(super) kind: Kind<'a>,
    pub(super) stats: Stats,
}

/// A qdisc's kind, with its settings and the state that only this kind has.
pub(super) enum Kind<'a> {
    Htb,
    Tbf(&'a TbfReport),
    Pfifo { limit_packets: u64 },
    Codel { codel: &'a CodelReport, ecn_marks: u64, drop_overlimit: u64 },
}

impl Kind<'_> {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Htb => "htb",
            Self::Tbf(_) => "tbf",
            Self::Pfifo { .. } => "pfifo",
            Self::Codel { .. } => "codel",
        }
    }
}

/// One object of `tc class show`.
pub(super) struct Class<'a> {
    pub(super) dev: &'a str,
    pub(super) handle: Handle,
    /// `None` for one directly under the root.
    pub(super) parent: Option<Handle>,
    pub(super) leaf: Option<Handle>,
    pub(super) kind: ClassKind<'a>,
}

pub(super) enum ClassKind<'a> {
    /// `shape` is `None` for a lane without a limit of its own: the kernel has no such class.
    Htb { shape: Option<&'a HtbReport>, stats: Stats, lended: u64, borrowed: u64 },
    /// The one class of a token bucket filter; it has no figures.
    Tbf,
}

/// The line `Sent …` and the line `backlog …`.
#[derive(Default)]
pub(super) struct Stats {
    pub(super) bytes: u64,
    pub(super) packets: u64,
    pub(super) drops: u64,
    pub(super) overlimits: u64,
    pub(super) requeues: u64,
    pub(super) backlog: u64,
    pub(super) qlen: u64,
}

impl From<&TrafficControl> for Stats {
    fn from(element: &TrafficControl) -> Self {
        Self {
            bytes: element.bytes,
            packets: element.packets,
            drops: element.drops,
            overlimits: element.overlimits,
            requeues: element.requeues,
            backlog: element.backlog,
            qlen: element.qlen,
        }
    }
}

/// The qdiscs of both directions, each parent before its children.
pub(super) fn qdiscs(snapshot: &Snapshot) -> Vec<Qdisc<'_>> {
    sides(snapshot).iter().flat_map(Side::qdiscs).collect()
}

/// The classes of both directions, each parent before its children.
pub(super) fn classes(snapshot: &Snapshot) -> Vec<Class<'_>> {
    sides(snapshot).iter().flat_map(Side::classes).collect()
}

/// One direction: the tree on one interface.
struct Side<'a> {
    dev: &'a str,
    link: Option<&'a LinkReport>,
    lanes: Vec<Lane<'a>>,
}

#[derive(Clone, Copy)]
struct Lane<'a> {
    /// Of its class.
    minor: u64,
    report: &'a LaneReport,
}

fn sides(snapshot: &Snapshot) -> [Side<'_>; 2] {
    [
        Side {
            dev: &snapshot.devices.ingress,
            link: snapshot.link.ingress.as_ref(),
            lanes: numbered(snapshot.ingress()),
        },
        Side { dev: &snapshot.devices.egress, link: snapshot.link.egress.as_ref(), lanes: numbered(snapshot.egress()) },
    ]
}

/// Numbers the containers; the last lane is the unmatched one.
fn numbered<'a>(lanes: impl Iterator<Item = (&'a str, &'a LaneReport)>) -> Vec<Lane<'a>> {
    let mut lanes: Vec<_> = (FIRST_CONTAINER..).zip(lanes).map(|(minor, (_, report))| Lane { minor, report }).collect();
    if let Some(last) = lanes.last_mut() {
        last.minor = UNMATCHED;
    }
    lanes
}

impl<'a> Side<'a> {
    fn qdiscs(&self) -> Vec<Qdisc<'a>> {
        let root = Qdisc { dev: self.dev, handle: ROOT, parent: None, kind: Kind::Htb, stats: self.root_stats() };
        let below = self.lanes.iter().flat_map(|lane| lane.qdiscs(self.dev));
        std::iter::once(root).chain(below).collect()
    }

    fn classes(&self) -> Vec<Class<'a>> {
        let link = self.link.map(|link| self.link_class(link));
        let below = self.lanes.iter().flat_map(|lane| self.lane_classes(*lane));
        link.into_iter().chain(below).collect()
    }

    /// Sums over the lanes; overlimits over the classes of the htb only, its link's included.
    fn root_stats(&self) -> Stats {
        let sum = |figure: fn(&TrafficControl) -> u64| self.sum(|lane| figure(lane.bw_limit()));
        let at_classes = self.sum(|lane| class_stats(lane).overlimits);
        let at_link = self.link.map_or(0, |link| link.overlimits);
        Stats {
            bytes: sum(|element| element.bytes),
            packets: sum(|element| element.packets),
            drops: sum(|element| element.drops),
            overlimits: at_classes.saturating_add(at_link),
            requeues: sum(|element| element.requeues),
            backlog: sum(|element| element.backlog),
            qlen: sum(|element| element.qlen),
        }
    }

    fn sum(&self, figure: impl Fn(&LaneReport) -> u64) -> u64 {
        let figures = self.lanes.iter().map(|lane| figure(lane.report));
        figures.fold(0, u64::saturating_add)
    }

    fn link_class(&self, link: &'a LinkReport) -> Class<'a> {
        let sent: Volume = self.lanes.iter().map(|lane| lane.report.sent()).sum();
        let lended = self.sum(|lane| match lane.limit {
            LimitReport::Htb(_) => 0,
            LimitReport::None | LimitReport::Tbf(_) => lane.sent_packets,
        });
        Class {
            dev: self.dev,
            handle: class_handle(LINK),
            parent: None,
            leaf: None,
            kind: ClassKind::Htb {
                shape: Some(&link.limit),
                stats: Stats {
                    bytes: sent.bytes,
                    packets: sent.packets,
                    overlimits: link.overlimits,
                    ..Stats::default()
                },
                lended,
                borrowed: 0,
            },
        }
    }

    /// The class of a lane, and that of its token bucket filter if it has one.
    fn lane_classes(&self, lane: Lane<'a>) -> Vec<Class<'a>> {
        let sent = lane.report.sent_packets;
        let (shape, lended, borrowed) = match &lane.report.limit {
            LimitReport::Htb(shape) => (Some(shape), sent, 0),
            LimitReport::None | LimitReport::Tbf(_) if self.link.is_some() => (None, 0, sent),
            LimitReport::None | LimitReport::Tbf(_) => (None, 0, 0),
        };
        let mut classes = vec![Class {
            dev: self.dev,
            handle: class_handle(lane.minor),
            parent: self.link.map(|_| class_handle(LINK)),
            leaf: Some(lane.leaf()),
            kind: ClassKind::Htb { shape, stats: class_stats(lane.report), lended, borrowed },
        }];
        if matches!(lane.report.limit, LimitReport::Tbf(_)) {
            classes.push(Class {
                dev: self.dev,
                handle: lane.below_tbf(),
                parent: Some(lane.leaf()),
                leaf: Some(lane.queue()),
                kind: ClassKind::Tbf,
            });
        }
        classes
    }
}

impl<'a> Lane<'a> {
    /// The qdisc right below the lane's class.
    fn leaf(self) -> Handle {
        Handle { major: self.minor, minor: 0 }
    }

    /// The class of the lane's token bucket filter.
    fn below_tbf(self) -> Handle {
        Handle { major: self.minor, minor: 1 }
    }

    /// The qdisc that is the lane's queue.
    fn queue(self) -> Handle {
        match self.report.limit {
            LimitReport::Tbf(_) => Handle { major: BELOW_TBF | self.minor, minor: 0 },
            LimitReport::None | LimitReport::Htb(_) => self.leaf(),
        }
    }

    fn qdiscs(self, dev: &'a str) -> Vec<Qdisc<'a>> {
        let queue = |parent| Qdisc {
            dev,
            handle: self.queue(),
            parent: Some(parent),
            kind: queue_kind(self.report),
            stats: Stats::from(self.report.bloat_reduction()),
        };
        let LimitReport::Tbf(tbf) = &self.report.limit else {
            return vec![queue(class_handle(self.minor))];
        };
        let filter = Qdisc {
            dev,
            handle: self.leaf(),
            parent: Some(class_handle(self.minor)),
            kind: Kind::Tbf(tbf),
            // Only a root is given back what a device refuses.
            stats: Stats { requeues: 0, ..Stats::from(self.report.bw_limit()) },
        };
        vec![filter, queue(self.below_tbf())]
    }
}

fn class_handle(minor: u64) -> Handle {
    Handle { major: ROOT.major, minor }
}

/// What a lane's htb class counts: of the drops those at enqueue, of the overlimits its own and not a filter's below it.
fn class_stats(lane: &LaneReport) -> Stats {
    let refused = [DropReason::Limit, DropReason::Oversize].map(|reason| lane.dropped_for(reason));
    let overlimits = match lane.limit {
        LimitReport::Htb(_) => lane.bw_limit().overlimits,
        LimitReport::None | LimitReport::Tbf(_) => 0,
    };
    Stats {
        drops: refused.into_iter().fold(0, u64::saturating_add),
        overlimits,
        requeues: 0,
        ..Stats::from(lane.bw_limit())
    }
}

fn queue_kind(lane: &LaneReport) -> Kind<'_> {
    match &lane.queue {
        QueueReport::Fifo { limit_packets } => Kind::Pfifo { limit_packets: *limit_packets },
        QueueReport::Codel(codel) => {
            Kind::Codel { codel, ecn_marks: lane.ecn_marks, drop_overlimit: lane.dropped_for(DropReason::Limit) }
        }
    }
}

/// How long a token bucket filter's backlog may take, in microseconds, as `tbf_print_opt` derives it from `limit`: under the
/// slower of the two buckets. `None` where it would be negative, and tc shows the limit itself.
pub(super) fn latency_us(tbf: &TbfReport) -> Option<u64> {
    let under = |bits_per_s: u64, bucket: u64| {
        let bytes = i128::from(tbf.limit_bytes) - i128::from(bucket);
        (bytes * 8_000_000).checked_div_euclid(i128::from(bits_per_s))
    };
    let peak = tbf.peak.as_ref().and_then(|peak| under(peak.rate_bits_per_s, peak.mtu_bytes));
    let latency = under(tbf.rate_bits_per_s, tbf.burst_bytes).max(peak)?;
    u64::try_from(latency).ok()
}
