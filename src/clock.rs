//! The clock of live traffic. Nothing but the worker's loop reads it.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use portlane_shaper::Nanos;

/// A clock that never runs backwards and starts at the time of day.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
    epoch: Nanos,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), epoch: nanos(since_epoch) }
    }

    /// Nanoseconds since 1970, as of the start and the time elapsed since.
    #[inline]
    #[must_use]
    pub fn now(&self) -> Nanos {
        self.epoch + nanos(self.started.elapsed())
    }
}

fn nanos(duration: std::time::Duration) -> Nanos {
    Nanos(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}
