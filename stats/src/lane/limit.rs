//! The settings of a rate limiter.

use serde::{Deserialize, Serialize};

/// A lane's rate limiter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LimitReport {
    /// No rate of its own; the lane sends what the nodes above it leave.
    None,
    /// A class of `sch_htb`.
    Htb(HtbReport),
    /// A token bucket filter.
    Tbf(TbfReport),
}

/// The rates of a class of `sch_htb`, as configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HtbReport {
    /// Assured rate, bits per second.
    pub rate_bits_per_s: u64,
    /// Highest rate, bits per second; the same as the rate where nothing can be borrowed, [`HtbReport::NO_CEIL`] where
    /// all may be that the nodes above can lend.
    pub ceil_bits_per_s: u64,
    /// Bucket of the rate, bytes.
    pub burst_bytes: u64,
    /// Bucket of the ceil, bytes.
    pub cburst_bytes: u64,
}

impl HtbReport {
    /// The ceil of a class that has none: the highest rate that there is.
    pub const NO_CEIL: u64 = i64::MAX.unsigned_abs();
}

/// A token bucket filter: settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TbfReport {
    /// Rate, bits per second.
    pub rate_bits_per_s: u64,
    /// Bucket, bytes.
    pub burst_bytes: u64,
    /// Bytes that may wait.
    pub limit_bytes: u64,
    /// The second bucket, if there is one.
    pub peak: Option<PeakReport>,
}

/// The second, faster and smaller bucket of a token bucket filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeakReport {
    /// Peak rate, bits per second.
    pub rate_bits_per_s: u64,
    /// Bucket of the peak rate (tc's `mtu` or `minburst`), bytes.
    pub mtu_bytes: u64,
}
