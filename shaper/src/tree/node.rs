//! A node: its buckets, its mode, and where it hangs.

use portlane_stats::counters::Volume;

use super::round::{Round, Set};
use super::{LEVELS, PRIORITIES};
use crate::bucket::{Bucket, Cost};
use crate::params::{Framing, GroupParams, LaneParams, Limiter, LinkParams, OwnFraming, Shape};
use crate::units::{Nanos, Rate, Size};

/// Burst of a node that was given none: tc's, at an MTU of 1,500.
const DEFAULT_BURST: Size = Size(1_600);

/// Where a node is kept: position in the leaves or in the inner nodes, the first of which is the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Leaf(u32),
    Inner(u32),
}

#[inline]
pub(super) fn node_at<'a>(leaves: &'a [Leaf], inner: &'a [Inner], slot: Slot) -> &'a Node {
    match slot {
        Slot::Leaf(leaf) => &leaves[leaf as usize].node,
        Slot::Inner(group) => &inner[group as usize].node,
    }
}

/// What a node may do (`enum htb_cmode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Not even borrow: it is above its ceil.
    CantSend,
    /// Above its guarantee: only if an ancestor lends.
    MayBorrow,
    CanSend,
}

/// The buckets of a node. Where guarantee and ceil are the same, so are the two at all times: such a node never borrows,
/// so it pays into both or into neither.
#[derive(Debug, Clone)]
pub(super) enum Limits {
    /// Not limited.
    Open,
    /// A guarantee, and no limit to what it borrows.
    Guarantee(Bucket),
    /// A ceil that is the guarantee.
    Flat(Bucket),
    Both {
        rate: Bucket,
        ceil: Bucket,
    },
}

impl Limits {
    /// The mode as of the last refill (`htb_class_mode` without hysteresis).
    #[inline]
    pub(super) fn mode(&self) -> Mode {
        match self {
            Self::Flat(ceil) | Self::Both { ceil, .. } if !ceil.in_credit() => Mode::CantSend,
            Self::Guarantee(rate) | Self::Both { rate, .. } if !rate.in_credit() => Mode::MayBorrow,
            _ => Mode::CanSend,
        }
    }

    #[inline]
    pub(super) fn refill(&mut self, now: Nanos) {
        match self {
            Self::Open => {}
            Self::Guarantee(bucket) | Self::Flat(bucket) => bucket.refill(now),
            Self::Both { rate, ceil } => {
                rate.refill(now);
                ceil.refill(now);
            }
        }
    }

    /// It never lends.
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    /// It can send or cannot, and never borrows.
    #[inline]
    pub(super) fn is_flat(&self) -> bool {
        matches!(self, Self::Flat(_))
    }

    /// The bucket of the guarantee.
    pub(super) fn rate(&self) -> Option<&Bucket> {
        match self {
            Self::Open => None,
            Self::Guarantee(rate) | Self::Flat(rate) | Self::Both { rate, .. } => Some(rate),
        }
    }

    /// The bucket of the ceil.
    pub(super) fn ceil(&self) -> Option<&Bucket> {
        match self {
            Self::Open | Self::Guarantee(_) => None,
            Self::Flat(ceil) | Self::Both { ceil, .. } => Some(ceil),
        }
    }

    /// When the node may change its mode for the better: the ceil's debt is paid, or the guarantee's.
    pub(super) fn mode_ends(&self) -> Option<Nanos> {
        match self.mode() {
            Mode::CanSend => None,
            Mode::MayBorrow => self.rate().map(Bucket::credit_at),
            Mode::CantSend => self.ceil().map(Bucket::credit_at),
        }
    }

    /// Takes on a guarantee and what the node was asked to be, keeping earned credit and debt; false if they were the
    /// same. A bucket that there was not before is full.
    pub(super) fn set(&mut self, guarantee: Option<Rate>, spec: &Spec, now: Nanos) -> bool {
        let shape = spec.shape();
        let Some(guarantee) = guarantee else {
            return !matches!(std::mem::replace(self, Self::Open), Self::Open);
        };
        let same = self.rate().is_some_and(|rate| rate.fills_at(guarantee, spec.burst()))
            && match (self.ceil(), shape) {
                (Some(ceil), Some(shape)) => ceil.fills_at(shape.ceil, shape.cburst),
                (ceil, shape) => ceil.is_none() && shape.is_none(),
            };
        if same {
            return false;
        }
        let set = |bucket: Option<&Bucket>, rate, burst| {
            let mut bucket = bucket.cloned().unwrap_or_else(|| Bucket::new(rate, burst, now));
            bucket.set(rate, burst, now);
            bucket
        };
        let rate = set(self.rate(), guarantee, spec.burst());
        let ceil = shape.map(|shape| set(self.ceil(), shape.ceil, shape.cburst));
        *self = match ceil {
            None => Self::Guarantee(rate),
            Some(ceil) if !ceil.fills_at(guarantee, spec.burst()) => Self::Both { rate, ceil },
            Some(ceil) => Self::Flat(if rate.holds_less_than(&ceil) { rate } else { ceil }),
        };
        true
    }
}

/// What leaves and inner nodes have in common; all that a packet touches. What every packet touches comes first, and if the
/// node never borrows that is all in one cache line.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Node {
    /// Inner node above; `None` for the link, and for what has been removed.
    pub(super) parent: Option<u32>,
    pub(super) framing: Framing,
    /// 0 for a leaf; the link's is the highest.
    pub(super) level: u8,
    pub(super) mode: Mode,
    /// Priorities in which it has packets to send, a bit each (`prio_activity`).
    pub(super) active: u8,
    /// A leaf that has a bucket, never borrows, and is right under a link that nobody borrows from, where a packet takes as much
    /// as here.
    pub(super) direct: bool,
    pub(super) limits: Limits,
    /// Number of the wait that ends when the mode may change; 0 if there is none.
    pub(super) wait: u64,
    /// Packets sent. They are kept apart from their bytes: side by side the two would be added as a vector, which takes thrice
    /// as many instructions to make.
    pub(super) sent_packets: u64,
    /// Packets sent from its own guarantee, by itself or by a borrower.
    pub(super) lended: u64,
    pub(super) sent_bytes: u64,
    /// Packets sent on loan.
    pub(super) borrowed: u64,
    /// Times that it went above its ceil.
    pub(super) overlimits: u64,
    /// Position among the parent's children.
    pub(super) position: u32,
}

impl Node {
    pub(super) fn new(level: u8) -> Self {
        Self {
            limits: Limits::Open,
            framing: Framing::default(),
            parent: None,
            position: 0,
            level,
            mode: Mode::CanSend,
            active: 0,
            direct: false,
            wait: 0,
            sent_packets: 0,
            lended: 0,
            sent_bytes: 0,
            borrowed: 0,
            overlimits: 0,
        }
    }

    /// What it sent.
    pub(super) fn sent(&self) -> Volume {
        Volume { packets: self.sent_packets, bytes: self.sent_bytes }
    }

    /// It sent `len` bytes.
    #[inline]
    pub(super) fn count(&mut self, len: u32) {
        self.sent_packets += 1;
        self.sent_bytes += u64::from(len);
    }

    /// It did not send `len` bytes that were counted.
    pub(super) fn uncount(&mut self, len: u32) {
        self.sent_packets -= 1;
        self.sent_bytes -= u64::from(len);
    }

    /// Pays for a packet that was sent at `level`, and counts it (`htb_charge_class`). True if the node's mode is another now.
    #[inline(always)]
    pub(super) fn charge(&mut self, bill: &Bill, level: u8, now: Nanos) -> bool {
        if self.level == level {
            self.lended += 1;
        } else if self.level < level {
            self.borrowed += 1;
        }
        self.count(bill.len);
        self.pay(bill, level, now)
    }

    /// Pays for a packet that was sent at `level`: from the ceil, and from the guarantee unless the packet was borrowed. True
    /// if the node's mode is another now.
    #[inline(always)]
    pub(super) fn pay(&mut self, bill: &Bill, level: u8, now: Nanos) -> bool {
        let mode = match &mut self.limits {
            Limits::Flat(ceil) => {
                ceil.refill_once(now);
                let could = ceil.in_credit();
                if ceil.pay(bill.cost) {
                    Mode::CanSend
                } else {
                    self.overlimits += u64::from(could);
                    Mode::CantSend
                }
            }
            Limits::Open => Mode::CanSend,
            Limits::Guarantee(_) | Limits::Both { .. } => self.pay_from_two(bill, level, now),
        };
        mode != self.mode
    }

    /// The node's wait is over: if it never borrows, and is in credit as it should be, it can send. Else false, and nothing
    /// happened but that it earned.
    #[inline]
    pub(super) fn ends_wait(&mut self, now: Nanos) -> bool {
        let Limits::Flat(bucket) = &mut self.limits else { return false };
        bucket.refill(now);
        let credit = self.mode == Mode::CantSend && bucket.in_credit();
        if credit {
            (self.mode, self.wait) = (Mode::CanSend, 0);
        }
        credit
    }

    /// What [`pay`](Self::pay) does where ceil and guarantee are not the same.
    #[inline(never)]
    fn pay_from_two(&mut self, bill: &Bill, level: u8, now: Nanos) -> Mode {
        let lends = self.level >= level;
        let (rate, ceil) = match &mut self.limits {
            Limits::Open => return Mode::CanSend,
            Limits::Flat(ceil) => (None, Some(ceil)),
            Limits::Guarantee(rate) => (Some(rate), None),
            Limits::Both { rate, ceil } => (Some(rate), Some(ceil)),
        };
        let guaranteed = rate.is_none_or(|rate| {
            rate.refill(now);
            if lends { rate.pay(bill.cost) } else { rate.in_credit() }
        });
        if let Some(ceil) = ceil {
            ceil.refill(now);
            let could = ceil.in_credit();
            if !ceil.pay(bill.cost) {
                self.overlimits += u64::from(could);
                return Mode::CantSend;
            }
        }
        if guaranteed { Mode::CanSend } else { Mode::MayBorrow }
    }
}

/// What a packet costs a node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bill {
    /// Bytes of the packet.
    len: u32,
    /// What makes them the bytes that it takes on the node's wire.
    framing: Framing,
    pub(super) cost: Cost,
}

impl Bill {
    #[inline]
    pub(super) fn new(framing: Framing, len: u32) -> Self {
        Self { len, framing, cost: Cost::on_wire(framing, len) }
    }

    /// The bill of the same packet where the framing may be another.
    #[inline]
    pub(super) fn under(self, framing: Framing) -> Self {
        if framing == self.framing { self } else { Self::new(framing, self.len) }
    }
}

/// A lane. What a packet touches that goes straight through is in its first 88 bytes, and so in two cache lines.
#[derive(Debug)]
#[repr(C, align(32))]
pub(super) struct Leaf {
    /// Packets that [passed](super::Tree::pass), and are not in the node's counters. Apart from their bytes, likewise.
    pub(super) passed_packets: u64,
    /// Bytes left of the turn at its own level.
    pub(super) deficit: i32,
    pub(super) quantum: i32,
    /// Bytes of what passed.
    pub(super) passed_bytes: u64,
    pub(super) node: Node,
    /// Bytes left of the turn at the levels above.
    pub(super) deficits_above: [i32; LEVELS - 1],
    pub(super) priority: u8,
}

/// The link or a group.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) node: Node,
    /// Children that may borrow, for each priority.
    pub(super) feeds: [Round; PRIORITIES],
    pub(super) children: Vec<Option<Slot>>,
    /// Positions among the children that are free.
    pub(super) vacant: Set,
    pub(super) spec: Spec,
    /// Bits a second that it wants as a guarantee: its own rate, or else what its children want together.
    pub(super) demand: u64,
}

impl Leaf {
    /// A leaf that is nowhere yet.
    pub(super) fn new() -> Self {
        Self {
            passed_packets: 0,
            deficit: 0,
            quantum: 0,
            passed_bytes: 0,
            node: Node::new(0),
            deficits_above: [0; LEVELS - 1],
            priority: 0,
        }
    }

    /// Bytes left of the turn at a level that it may send at.
    #[inline]
    pub(super) fn deficit_at(&mut self, level: usize) -> &mut i32 {
        match level.checked_sub(1) {
            None => &mut self.deficit,
            Some(above) => &mut self.deficits_above[above],
        }
    }

    /// What [passed](super::Tree::pass), and is not in the node's counters.
    pub(super) fn passed(&self) -> Volume {
        Volume { packets: self.passed_packets, bytes: self.passed_bytes }
    }

    /// The leaf is alone at its own level, and sends `len` bytes when it is not in deficit.
    #[inline]
    pub(super) fn take_turn(&mut self, len: u32) {
        let deficit = &mut self.deficit;
        while *deficit < 0 {
            *deficit += self.quantum;
        }
        *deficit -= len.cast_signed();
        if *deficit < 0 {
            *deficit += self.quantum;
        }
    }
}

impl Inner {
    pub(super) fn new(level: u8, spec: Spec) -> Self {
        Self {
            node: Node::new(level),
            feeds: Default::default(),
            children: Vec::new(),
            vacant: Set::default(),
            spec,
            demand: 0,
        }
    }
}

/// What a node was asked to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spec {
    pub(super) limiter: Limiter,
    pub(super) priority: Option<u8>,
    pub(super) weight: u32,
    pub(super) quantum: Option<u32>,
    pub(super) framing: OwnFraming,
}

impl Spec {
    /// The rate that it wants to be guaranteed.
    pub(super) fn rate(&self) -> Option<Rate> {
        match self.limiter {
            Limiter::None => None,
            Limiter::Htb(Shape { rate, .. }) | Limiter::Tbf { rate, .. } => Some(rate),
        }
    }

    pub(super) fn burst(&self) -> Size {
        match self.limiter {
            Limiter::None => DEFAULT_BURST,
            Limiter::Htb(Shape { burst, .. }) | Limiter::Tbf { burst, .. } => burst,
        }
    }

    /// Its rates; `None` if it has none of its own, or a TBF that keeps to them.
    pub(super) fn shape(&self) -> Option<Shape> {
        match self.limiter {
            Limiter::Htb(shape) => Some(shape),
            Limiter::None | Limiter::Tbf { .. } => None,
        }
    }
}

impl From<&LinkParams> for Spec {
    fn from(params: &LinkParams) -> Self {
        let limiter = params.shape.map_or(Limiter::None, Limiter::Htb);
        Self { limiter, priority: None, weight: 1, quantum: None, framing: params.framing.into() }
    }
}

impl From<&GroupParams> for Spec {
    fn from(params: &GroupParams) -> Self {
        let limiter = params.shape.map_or(Limiter::None, Limiter::Htb);
        Self { limiter, priority: params.priority, weight: params.weight, quantum: None, framing: params.framing }
    }
}

impl From<&LaneParams> for Spec {
    fn from(params: &LaneParams) -> Self {
        let share = params.share;
        Self {
            limiter: params.limiter,
            priority: share.priority,
            weight: share.weight,
            quantum: share.quantum,
            framing: params.framing,
        }
    }
}
