//! The counters of a lane: plain integers with a single writer, cheap enough for every packet.
//!
//! | counter | counts | in the kernel |
//! |---|---|---|
//! | `offered` | frames handed to the lane, before any decision | no counter; `packets + drops + qlen` |
//! | `dequeued` | frames that left the queue and its AQM | leaf `bytes`/`packets` (`qdisc_bstats_update` in `codel_qdisc_dequeue`) |
//! | `sent` | frames that left the lane for the device | `bytes`/`packets` of `sch_htb`, `sch_tbf` (counted in `htb_dequeue_tree`, `tbf_dequeue`) |
//! | `dropped[limit]` | queue full on arrival: the arriving frame, or under FQ-CoDel the oldest of the longest flow | leaf `drops`, `drop_overlimit` (`qdisc_drop` in `codel_qdisc_enqueue`, `fq_codel_drop`) |
//! | `dropped[codel]` | dropped by CoDel on leaving | leaf `drops` (`drop_func`, `sch_codel.c`) |
//! | `dropped[no_frame]` | given up from the head when the pool ran short | nearest: fq_codel's `drop_overlimit` under memory pressure (`fq_codel_drop`) |
//! | `dropped[oversize]` | longer than the bucket could ever pay for | `drops` of `tbf_enqueue` (`qdisc_pkt_len > max_size`) |
//! | `dropped[memory]` | the oldest of the longest flow, when the frames of an FQ-CoDel queue held more memory than they may | leaf `drops`, both `drop_overlimit` and `drop_overmemory` (`fq_codel_drop`) |
//! | `ecn_marks` | marked instead of dropped | `ecn_mark`; not a drop there either |
//! | `ce_marks` | marked because it waited longer than `ce_threshold` | `ce_mark`; a frame marked for both reasons is in both, as in `codel_dequeue` |
//! | `refused` | arrivals by which the lane did not get longer: the arriving frame was dropped, or another of its own flow | `drops` of the `sch_htb` class (`htb_enqueue`: the leaf returned `NET_XMIT_DROP` or `NET_XMIT_CN`) |
//! | `overlimits` | waits for tokens | `overlimits`; see below |
//! | `requeues` | device ring full, frame put back; once, however long it waits | `requeues` (`dev_requeue_skb`; a stopped queue is not tried again) |
//!
//! The kernel counts a child's drops at its parents too (`qdisc_tree_reduce_backlog`); a lane counts each drop once, and
//! [`LaneReport`](crate::lane::LaneReport) shows it at both elements.
//!
//! `overlimits` is the one meaning that differs by design. `tbf_dequeue` counts every attempt that finds too few tokens,
//! `htb_change_class_mode` every change to "cannot send". A dequeuer that polls would count attempts without bound, so a
//! lane counts once per wait: when it begins to wait for tokens, and not again until it has sent.
//!
//! Bytes are L2 lengths, with the Ethernet header and without the FCS, as qdiscs see them.

use std::iter::Sum;

use serde::{Deserialize, Serialize};

/// A number of packets and the bytes in them. Never wraps in practice: 2^64 bytes are 46 years at 100 Gbit/s.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Packets.
    pub packets: u64,
    /// Bytes, L2 length.
    pub bytes: u64,
}

impl Volume {
    /// Counts one packet of `len` bytes.
    #[inline]
    pub fn add(&mut self, len: u32) {
        self.packets += 1;
        self.bytes += u64::from(len);
    }

    /// Takes back one packet of `len` bytes that [`Volume::add`] counted: a frame put back, or one that left a queue.
    #[inline]
    pub fn sub(&mut self, len: u32) {
        self.packets -= 1;
        self.bytes -= u64::from(len);
    }

    /// Both volumes together; saturates, so that figures from elsewhere cannot overflow.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { packets: self.packets.saturating_add(other.packets), bytes: self.bytes.saturating_add(other.bytes) }
    }
}

impl Sum for Volume {
    fn sum<I: Iterator<Item = Self>>(volumes: I) -> Self {
        volumes.fold(Self::default(), Self::plus)
    }
}

/// Why a lane dropped a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// The lane's queue was full: the arriving frame was refused, or the longest flow lost its oldest.
    Limit,
    /// CoDel dropped the frame on its way out.
    Codel,
    /// The frame pool ran short, and the longest lane gave up frames from its head.
    NoFrame,
    /// Longer than a TBF lane's burst (or its mtu, under a peak rate): it could never be sent.
    Oversize,
    /// The frames of an FQ-CoDel queue held more memory than they may, and the longest flow lost its oldest.
    Memory,
}

impl DropReason {
    /// How many reasons there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Every reason, in the order of [`DropReason::index`].
    pub const ALL: [Self; 5] = [Self::Limit, Self::Codel, Self::NoFrame, Self::Oversize, Self::Memory];

    /// The reason's name in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Codel => "codel",
            Self::NoFrame => "no_frame",
            Self::Oversize => "oversize",
            Self::Memory => "memory",
        }
    }

    /// The reason's place in [`LaneCounters::dropped`].
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// Everything one lane counts, since it was made. See the [module](self) for what each counter means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LaneCounters {
    /// Frames handed to the lane.
    pub offered: Volume,
    /// Frames that left the queue and its AQM.
    pub dequeued: Volume,
    /// Frames that left the lane for the device.
    pub sent: Volume,
    /// Frames dropped, by [`DropReason::index`].
    pub dropped: [Volume; DropReason::COUNT],
    /// Frames marked CE instead of dropped.
    pub ecn_marks: u64,
    /// Frames marked CE because they waited longer than `ce_threshold`.
    pub ce_marks: u64,
    /// Arrivals after which the frame itself, or another of its flow, was dropped at once.
    pub refused: u64,
    /// Times the lane began to wait for tokens.
    pub overlimits: u64,
    /// Frames that found the device's ring full and were put back at the lane's head; each once, however often it is tried.
    pub requeues: u64,
}

impl LaneCounters {
    /// Counts frames that came and went at once.
    pub fn passed(&mut self, frames: Volume) {
        for volume in [&mut self.offered, &mut self.dequeued, &mut self.sent] {
            *volume = volume.plus(frames);
        }
    }

    /// What two lanes have counted together: one container's at two workers.
    #[must_use]
    pub fn plus(self, other: &Self) -> Self {
        let mut dropped = self.dropped;
        dropped.iter_mut().zip(&other.dropped).for_each(|(sum, &other)| *sum = sum.plus(other));
        Self {
            offered: self.offered.plus(other.offered),
            dequeued: self.dequeued.plus(other.dequeued),
            sent: self.sent.plus(other.sent),
            dropped,
            ecn_marks: self.ecn_marks + other.ecn_marks,
            ce_marks: self.ce_marks + other.ce_marks,
            refused: self.refused + other.refused,
            overlimits: self.overlimits + other.overlimits,
            requeues: self.requeues + other.requeues,
        }
    }

    /// Counts one frame of `len` bytes dropped for `reason`.
    #[inline]
    pub fn drop_frame(&mut self, reason: DropReason, len: u32) {
        self.dropped[reason.index()].add(len);
    }

    /// What was dropped for `reason`.
    #[must_use]
    pub fn dropped_for(&self, reason: DropReason) -> Volume {
        self.dropped[reason.index()]
    }

    /// What was dropped for any reason.
    #[must_use]
    pub fn dropped_total(&self) -> Volume {
        self.dropped.iter().copied().sum()
    }

    /// The law: offered = sent + dropped + `queued`, in packets and in bytes. `queued` is what the lane holds now, a frame
    /// waiting for tokens or for the device included.
    #[must_use]
    pub fn accounts_for(&self, queued: Volume) -> bool {
        self.offered == self.sent.plus(self.dropped_total()).plus(queued)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_indexed_in_order_and_named_as_serialized() {
        for (place, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), place);
            assert_eq!(serde_json::to_string(&reason).unwrap(), format!("{:?}", reason.as_str()));
        }
    }

    #[test]
    fn a_frame_put_back_is_uncounted() {
        let mut sent = Volume::default();
        sent.add(60);
        sent.add(1514);
        sent.sub(1514);
        assert_eq!(sent, Volume { packets: 1, bytes: 60 });
    }

    #[test]
    fn the_law_notices_a_lost_frame_and_a_lost_byte() {
        let mut lane = LaneCounters::default();
        lane.offered.add(100);
        lane.offered.add(200);
        lane.offered.add(300);
        lane.sent.add(100);
        lane.drop_frame(DropReason::Limit, 200);
        let queued = |packets, bytes| Volume { packets, bytes };
        assert!(lane.accounts_for(queued(1, 300)));
        assert!(!lane.accounts_for(queued(0, 300)));
        assert!(!lane.accounts_for(queued(1, 299)));
        assert_eq!(lane.dropped_for(DropReason::Limit), queued(1, 200));
        assert_eq!(lane.dropped_for(DropReason::Codel), queued(0, 0));
    }
}
