//! `network_enable_rate_statistics` and what belongs to it.

use portlane_stats::window::LEAST_INTERVAL_NS;

use super::flags::ImportMesos;
use super::limits::Note;
use super::values::Duration;

/// Percentiles of rate, as they were asked for.
#[derive(Debug)]
pub(super) struct RateStatistics<'a> {
    window: &'a Duration,
    interval: &'a Duration,
}

/// Reads the flags, with Mesos' refusals.
pub(super) fn rate_statistics(flags: &ImportMesos) -> Result<Option<RateStatistics<'_>>, String> {
    if flags.network_enable_rate_statistics != Some(true) {
        return Ok(None);
    }
    let (window, interval) = (&flags.network_rate_statistics_window, &flags.network_rate_statistics_interval);
    let (Some(window), Some(interval)) = (window, interval) else {
        return Err("Window size and sampling interval for rate statistics are required".to_owned());
    };
    if window.ns <= interval.ns {
        return Err(format!(
            "Rate statistics window size should be bigger than the sampling interval: {window} and {interval}"
        ));
    }
    if interval.ns < LEAST_INTERVAL_NS as f64 {
        return Err(format!("Rate statistics interval should not be smaller than 20ms: {interval}"));
    }
    Ok(Some(RateStatistics { window, interval }))
}

impl RateStatistics<'_> {
    /// How the flags were read.
    pub(super) fn note(&self) -> Note {
        let Self { window, interval } = self;
        Note {
            flag: "network_enable_rate_statistics=true".to_owned(),
            meaning: format!(
                "percentiles of rates over {window}, sampled every {interval}: rate_window and rate_interval of [http]"
            ),
        }
    }

    /// The table that says the same.
    pub(super) fn to_toml(&self) -> String {
        let [window, interval] = [self.window, self.interval].map(|of| portlane_shaper::Nanos(of.whole_ns()));
        format!("\n[http]\nrate_window = \"{window}\"\nrate_interval = \"{interval}\"\n")
    }
}
