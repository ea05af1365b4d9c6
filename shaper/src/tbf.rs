//! A token bucket filter: a packet leaves when it can be paid for at once (`sch_tbf`).

use crate::bucket::{Bucket, Cost, MAX_PACKET};
use crate::params::{Framing, Peak};
use crate::units::{Nanos, Rate, Size};

/// The buckets of a lane of kind TBF.
#[derive(Debug)]
pub(crate) struct Tbf {
    rate: Bucket,
    peak: Option<Bucket>,
    pub(crate) framing: Framing,
    longest: u32,
}

impl Tbf {
    pub(crate) fn new(rate: Rate, burst: Size, peak: Option<Peak>, framing: Framing, now: Nanos) -> Self {
        Self {
            rate: Bucket::new(rate, burst, now),
            peak: peak.map(|peak| Bucket::new(peak.rate, peak.mtu, now)),
            framing,
            longest: longest_packet(burst).min(peak.map_or(u32::MAX, |peak| longest_packet(peak.mtu))),
        }
    }

    /// Takes on new parameters. Credit stays as far as the new bursts permit, debt stays debt, and a new peak rate begins
    /// with a full bucket.
    pub(crate) fn set(&mut self, rate: Rate, burst: Size, peak: Option<Peak>, framing: Framing, now: Nanos) {
        let before = std::mem::replace(self, Self::new(rate, burst, peak, framing, now));
        self.rate = before.rate;
        self.rate.set(rate, burst, now);
        if let (Some(bucket), Some(peak)) = (before.peak, peak) {
            let bucket = self.peak.insert(bucket);
            bucket.set(peak.rate, peak.mtu, now);
        }
    }

    /// Whether a packet of `len` bytes can ever be paid for.
    #[inline]
    pub(crate) fn carries(&self, len: u32) -> bool {
        self.framing.on_wire(len) <= self.longest
    }

    /// When a packet of `len` bytes can be paid for; `None`: now. One that came before the burst became smaller than it
    /// waits until the bucket is full.
    pub(crate) fn affordable_at(&mut self, len: u32, now: Nanos) -> Option<Nanos> {
        let cost = Cost::of(self.framing.on_wire(len).min(self.longest));
        let mut at = None;
        for bucket in [Some(&mut self.rate), self.peak.as_mut()].into_iter().flatten() {
            bucket.refill(now);
            if !bucket.affords(cost) {
                at = at.max(bucket.affordable_at(cost));
            }
        }
        at
    }

    /// Pays for a packet that leaves now. Earning comes first: a lane may have stood ready for long, and what it earned
    /// meanwhile ends at the burst, before this packet is paid for and not after.
    #[inline]
    pub(crate) fn pay(&mut self, len: u32, now: Nanos) {
        let cost = Cost::of(self.framing.on_wire(len));
        for bucket in [Some(&mut self.rate), self.peak.as_mut()].into_iter().flatten() {
            bucket.refill(now);
            bucket.pay(cost);
        }
    }
}

fn longest_packet(burst: Size) -> u32 {
    u32::try_from(burst.0).unwrap_or(MAX_PACKET).min(MAX_PACKET)
}
