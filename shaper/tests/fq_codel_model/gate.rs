//! What a packet has to pass after its queue.

use portlane_shaper::{Limiter, Rate, Size};

use crate::rfc8289::Packet;

/// Nanobits in a byte.
const PER_BYTE: i128 = 8_000_000_000;

pub(crate) enum Gate {
    /// Always open.
    None,
    /// A class of HTB: in credit it sends, and may owe up to one packet.
    Htb(Bucket),
    /// TBF: a packet leaves its queue, and waits here until it can be paid for at once.
    Tbf(Bucket, Option<Packet>),
}

impl Gate {
    pub(crate) fn new(limiter: Limiter) -> Self {
        match limiter {
            Limiter::None => Self::None,
            Limiter::Htb(shape) => Self::Htb(Bucket::new(shape.rate, shape.burst)),
            Limiter::Tbf { rate, burst, .. } => Self::Tbf(Bucket::new(rate, burst), None),
        }
    }

    pub(crate) fn held(&self) -> Option<Packet> {
        if let Self::Tbf(_, held) = self { *held } else { None }
    }

    /// The first time at which something may pass; 0 is always.
    pub(crate) fn opens_at(&self) -> u64 {
        match self {
            Self::None | Self::Tbf(_, None) => 0,
            Self::Htb(bucket) => bucket.reaches(0),
            Self::Tbf(bucket, Some(held)) => bucket.reaches(cost(*held)),
        }
    }

    pub(crate) fn pay(&mut self, packet: Packet, now: u64) {
        if let Self::Htb(bucket) | Self::Tbf(bucket, _) = self {
            bucket.earn(now);
            bucket.tokens -= cost(packet);
        }
    }
}

fn cost(packet: Packet) -> i128 {
    i128::from(packet.len) * PER_BYTE
}

pub(crate) struct Bucket {
    /// Nanobits in a nanosecond.
    rate: i128,
    full: i128,
    tokens: i128,
    counted: u64,
}

impl Bucket {
    fn new(rate: Rate, burst: Size) -> Self {
        let full = i128::from(burst.0) * PER_BYTE;
        Self { rate: rate.bits_per_second().into(), full, tokens: full, counted: 0 }
    }

    fn earn(&mut self, now: u64) {
        self.tokens = self.full.min(self.tokens + self.rate * i128::from(now - self.counted));
        self.counted = now;
    }

    fn reaches(&self, tokens: i128) -> u64 {
        let missing = (tokens - self.tokens).max(0).unsigned_abs();
        self.counted + u64::try_from(missing.div_ceil(self.rate.unsigned_abs())).expect("a time")
    }
}
