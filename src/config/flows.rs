//! `[flows]`: how connections fare, observed while they pass.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use portlane_shaper::Size;
use serde::Deserialize;
use toml::Spanned;

use super::bounded::{Core, Id, LiveFlows, Number};
use super::error::Problem;
use super::values::{Text, Written as OfText};
use super::workers::Worker;
use crate::flows::{Settings, StoreSettings};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    core: Option<Spanned<Number<Core>>>,
    max_flows: Option<Number<LiveFlows>>,
    agent: Option<Number<Id>>,
    store: Option<PathBuf>,
    store_every: Option<Spanned<Text<Age>>>,
    store_age: Option<Spanned<Text<Age>>>,
    store_limit: Option<Spanned<Text<Size>>>,
}

/// A time of a second to a hundred years, written as a number with `s`, `m`, `h` or `d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age(pub Duration);

impl FromStr for Age {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit: u64 = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return Err(format!("{text:?} is no time of seconds, minutes, hours or days")),
        };
        let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
        let seconds = seconds.filter(|seconds| (1..=LONGEST).contains(seconds));
        seconds
            .map(|seconds| Self(Duration::from_secs(seconds)))
            .ok_or_else(|| format!("{text:?} is not from one second to 36500 days"))
    }
}

/// A hundred years, in seconds.
const LONGEST: u64 = 36_500 * 86_400;

impl OfText for Age {
    const EXPECTED: &'static str = "a time with its unit, as in \"90s\", \"30m\", \"24h\" or \"7d\"";
}

/// Checks what was written.
pub(super) fn flows(written: Option<Written>, workers: &[Worker]) -> Result<Option<Settings>, Problem> {
    let Some(written) = written else { return Ok(None) };
    let core = written.core.as_ref().map(|core| core.get_ref().0 as usize);
    if let Some(place) = written.core.as_ref().filter(|_| workers.iter().any(|worker| Some(worker.core) == core)) {
        let problem = Problem::at(place.span(), format!("core {} is a worker's", place.get_ref().0));
        return Err(problem.help("flows are observed on a core of their own: name another, or leave it out"));
    }
    let of_store = [
        ("store_every", written.store_every.as_ref().map(Spanned::span)),
        ("store_age", written.store_age.as_ref().map(Spanned::span)),
        ("store_limit", written.store_limit.as_ref().map(Spanned::span)),
    ];
    if let (None, Some((key, Some(place)))) = (&written.store, of_store.into_iter().find(|(_, place)| place.is_some()))
    {
        let problem = Problem::at(place, format!("{key} without store"));
        return Err(problem.help("name a folder, too, as in store = \"/var/lib/portlane/flows\""));
    }
    let age = |written: Option<Spanned<Text<Age>>>| written.map(|written| written.into_inner().0.0);
    let every = written.store_every.clone();
    let store = written.store.map(|folder| StoreSettings {
        folder,
        every: age(every).unwrap_or(StoreSettings::EVERY),
        age: age(written.store_age),
        limit: written.store_limit.map_or(StoreSettings::LIMIT, |limit| limit.into_inner().0),
    });
    let max_flows = written.max_flows.map_or(Settings::MAX_FLOWS, |flows| flows.0);
    let agent = written.agent.map_or(0, |agent| agent.0);
    Ok(Some(Settings { core, max_flows: max_flows as usize, agent, store }))
}
