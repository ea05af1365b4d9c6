//! What became of reports: told by who delivers them, for who asks.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use portlane_stats::snapshot::MeterDelivery;

/// Counts of reports since the start. Each has one writer.
#[derive(Debug, Default)]
pub struct Delivery {
    /// Somebody wants reports.
    is_wanted: AtomicBool,
    waiting: AtomicU64,
    lost: AtomicU64,
    unwritten: AtomicU64,
}

impl Delivery {
    /// What there is to tell; `None` if nobody wants reports.
    #[must_use]
    pub fn report(&self) -> Option<MeterDelivery> {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        self.is_wanted.load(Ordering::Relaxed).then(|| MeterDelivery {
            waiting: count(&self.waiting),
            lost: count(&self.lost),
            unwritten: count(&self.unwritten),
        })
    }
}

#[cfg(feature = "af-xdp")]
impl Delivery {
    /// Reports go somewhere.
    pub(super) fn is_wanted(&self) {
        self.is_wanted.store(true, Ordering::Relaxed);
    }

    /// So many wait for their receiver.
    pub(super) fn wait(&self, reports: usize) {
        self.waiting.store(reports as u64, Ordering::Relaxed);
    }

    /// So many will not reach their receiver.
    pub(super) fn lose(&self, reports: u64) {
        self.lost.fetch_add(reports, Ordering::Relaxed);
    }

    /// One is not in the file, or on standard output.
    pub(super) fn leave_unwritten(&self) {
        self.unwritten.fetch_add(1, Ordering::Relaxed);
    }
}
