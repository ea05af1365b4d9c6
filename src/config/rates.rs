//! `[http] rate_window` and `rate_interval`: percentiles of rate.

use portlane_shaper::Nanos;
use portlane_stats::window::{BadSampling, LEAST_INTERVAL_NS, MOST_SAMPLES, Sampling};
use toml::Spanned;

use super::error::Problem;
use super::file::Http;
use super::values::Text;

/// From one sample to the next, if the configuration does not say.
const DEFAULT_INTERVAL: Nanos = Nanos::from_secs(1);

/// The window that rates are followed in, if one is wanted.
pub(super) fn rates(http: &Http) -> Result<Option<Sampling>, Problem> {
    let Some(window) = &http.rate_window else {
        return http.rate_interval.as_ref().map_or(Ok(None), |interval| Err(without_window(interval)));
    };
    let Text(length) = *window.get_ref();
    let Text(interval) = http.rate_interval.as_ref().map_or(Text(DEFAULT_INTERVAL), |written| *written.get_ref());
    let sampling = Sampling::new(length.0, interval.0);
    sampling.map(Some).map_err(|bad| refusal(bad, http, window, [length, interval]))
}

fn without_window(interval: &Spanned<Text<Nanos>>) -> Problem {
    let problem = Problem::at(interval.span(), "rate_interval without rate_window");
    problem.help("say how far percentiles look back, too, as in rate_window = \"60s\"")
}

fn refusal(bad: BadSampling, http: &Http, window: &Spanned<Text<Nanos>>, [length, interval]: [Nanos; 2]) -> Problem {
    let least = Nanos(LEAST_INTERVAL_NS);
    let interval_span = http.rate_interval.as_ref().map_or(window.span(), Spanned::span);
    match bad {
        BadSampling::ShortInterval => {
            Problem::at(interval_span, format!("rate_interval is {interval}, and the least is {least}"))
                .help("each sample asks the workers what they have counted: give a time, as in rate_interval = \"1s\"")
        }
        BadSampling::ShortWindow => {
            let title = format!("rate_window is {length}, which is not above rate_interval, {interval}");
            let help = format!("a window has several samples in it, as in rate_window = \"{}\"", sixty(interval));
            Problem::at(window.span(), title).help(help)
        }
        BadSampling::TooManySamples => {
            let samples = length.0 / interval.0;
            let title =
                format!("rate_window has {samples} times rate_interval, {interval}, and the most is {MOST_SAMPLES}");
            Problem::at(window.span(), title).help("look back less far, or sample less often: each sample takes memory")
        }
    }
}

/// Sixty intervals.
fn sixty(interval: Nanos) -> Nanos {
    Nanos(interval.0.saturating_mul(60))
}
