//! A snapshot as the tree of qdiscs and classes that would do the same in the kernel.
//!
//! Each direction is a tree on the interface that sends it:
//!
//! ```text
//! 1:  htb, the root
//!   1:1  class of the link, if the link has a limit; the others are below it
//!     1:fffd   class of the first group
//!       1:2   class of the first container, 1:3 of the second, and so on
//!         2:    its queue, and its flows if it is an fq_codel: 2:1 to 2:400; or, for a token bucket filter:
//!         2:    tbf
//!           8002:  its queue
//!     1:fffe   class of what no container owns, the htb's default
//!       fffe:    its queue
//! ```
//!
//! [`handles`](super::handles) says which numbers nodes have.
//!
//! Where the kernel counts differently at different levels, so does this: the root has all drops
//! (`qdisc_tree_reduce_backlog`), a class only those it was told of when it enqueued (`htb_enqueue`), and an inner class, the
//! link's or a group's, neither drops nor backlog (`htb_dump_class_stats`).

use side::Side;

use super::handles::Handle;
use crate::lane::{ClassReport, CodelReport, FlowReport, FqCodelReport, HtbReport, TbfReport, TrafficControl};
use crate::snapshot::Snapshot;

mod side;

/// A root qdisc's references, as on a device with one queue.
pub(super) const REFCNT: u32 = 2;

/// `r2q` and `direct_qlen` of an htb that was given none. Nothing here depends on them; parsers expect the keys.
pub(super) const R2Q: u32 = 10;
pub(super) const DIRECT_QLEN: u32 = 1000;

/// `PSCHED_TICKS`: the kernel shows token counts in units of 64 ns.
const NS_PER_TICK: i64 = 64;

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
    Htb {
        /// The minor number of the class of what belongs nowhere else; 0 if that is under another root.
        default: u64,
    },
    Tbf(&'a TbfReport),
    Pfifo {
        limit_packets: u64,
    },
    Codel {
        codel: &'a CodelReport,
        ecn_marks: u64,
        drop_overlimit: u64,
    },
    FqCodel(&'a FqCodelReport),
}

impl Kind<'_> {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Htb { .. } => "htb",
            Self::Tbf(_) => "tbf",
            Self::Pfifo { .. } => "pfifo",
            Self::Codel { .. } => "codel",
            Self::FqCodel(_) => "fq_codel",
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

/// A class's kind, with its settings and figures.
pub(super) enum ClassKind<'a> {
    Htb(HtbClass<'a>),
    /// The one class of a token bucket filter; it has no figures.
    Tbf,
    /// A flow of an fq_codel; it has no bytes and packets.
    FqCodel {
        flow: &'a FlowReport,
        stats: Stats,
    },
}

impl ClassKind<'_> {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Htb(_) => "htb",
            Self::Tbf => "tbf",
            Self::FqCodel { .. } => "fq_codel",
        }
    }
}

pub(super) struct HtbClass<'a> {
    /// `None` for a node without a limit of its own: the kernel has no such class.
    pub(super) limit: Option<&'a HtbReport>,
    pub(super) class: &'a ClassReport,
    pub(super) stats: Stats,
}

impl HtbClass<'_> {
    /// `tokens` and `ctokens`. `PSCHED_NS2TICKS` shifts, and so rounds down.
    pub(super) fn credit_ticks(&self) -> [i64; 2] {
        [self.class.tokens_ns, self.class.ctokens_ns].map(|ns| ns.div_euclid(NS_PER_TICK))
    }
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
    Side::both(snapshot).iter().flat_map(Side::qdiscs).collect()
}

/// The classes of both directions: the link's, the groups', then each lane's followed by those below it.
pub(super) fn classes(snapshot: &Snapshot) -> Vec<Class<'_>> {
    Side::both(snapshot).iter().flat_map(Side::classes).collect()
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
