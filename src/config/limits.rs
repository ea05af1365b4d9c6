//! Limiters and queues: which keys go together, and what is meant where one is left out.

use std::ops::Range;

use portlane_shaper::bucket::MAX_BURST;
use portlane_shaper::{Limiter, Nanos, Peak, QueueParams, Rate, Size, codel};
use toml::Spanned;

use super::error::Problem;
use super::file::{self, LimiterKind, QueueKind, Value};
use super::plan::LinkPlan;
use super::values::{Limit, Text};

/// Ethernet's MTU of 1500 bytes and its header: the longest packet that a burst should pay for.
const FULL_PACKET: u64 = 1_514;

/// A burst that is spent in less than this makes a limit hard to reach.
const SHORT_BURST: Nanos = Nanos::from_millis(1);

pub(crate) fn link(
    written: Option<&Spanned<file::Direction>>,
    warnings: &mut Vec<String>,
) -> Result<LinkPlan, Problem> {
    let Some(written) = written else { return Ok(LinkPlan::default()) };
    let limited = limiter(written.get_ref(), &file::Direction::default(), "link", warnings)?;
    match limited.limiter {
        Limiter::None => Ok(LinkPlan::default()),
        Limiter::Htb { rate, burst } => Ok(LinkPlan { limit: Some((rate, burst)) }),
        Limiter::Tbf { .. } => Err(Problem::at(written.span(), "a link of kind \"tbf\" is not in this version")
            .help("leave kind out: a link is of kind \"htb\"")),
    }
}

/// A limiter, and the limit in bytes that a TBF puts on its queue.
pub(crate) struct Limited {
    pub(crate) limiter: Limiter,
    pub(crate) limit_bytes: Option<Size>,
}

/// The limiter of a node's `own` keys over those of `[defaults]`; warnings name it `who`.
pub(crate) fn limiter(
    own: &file::Direction,
    default: &file::Direction,
    who: &str,
    warnings: &mut Vec<String>,
) -> Result<Limited, Problem> {
    let written = own.over(default);
    let Some(rate) = rate(&written.rate) else {
        refuse_without_rate(own)?;
        return Ok(Limited { limiter: Limiter::None, limit_bytes: None });
    };
    let limited = match written.limiter_kind() {
        LimiterKind::Htb => htb(&written, rate)?,
        LimiterKind::Tbf => tbf(&written, rate)?,
    };
    if let Limiter::Htb { burst, .. } | Limiter::Tbf { burst, .. } = limited.limiter {
        warn_of_short_burst(&written, rate, burst, who, warnings);
    }
    if let Some(limit) = limited.limit_bytes.filter(|limit| limit.0 < FULL_PACKET) {
        warnings.push(format!("{who}: limit {limit} is less than a full packet of {FULL_PACKET}b, so each is dropped"));
    }
    Ok(limited)
}

fn rate(value: &Value<Limit>) -> Option<Rate> {
    match value.as_ref()?.get_ref().0 {
        Limit::None => None,
        Limit::Rate(rate) => Some(rate),
    }
}

/// What says how to limit, says to what; `rate = "none"` lifts a default together with all that comes with it.
fn refuse_without_rate(own: &file::Direction) -> Result<(), Problem> {
    let tbf = own.kind.as_ref().filter(|kind| *kind.get_ref() == LimiterKind::Tbf);
    let kind = [("kind \"tbf\"", tbf.map(Spanned::span)), ("burst", own.burst.as_ref().map(Spanned::span))];
    match kind.into_iter().chain(tbf_places(own)).find_map(|(key, place)| Some((key, place?))) {
        Some((key, place)) if own.rate.is_none() => {
            Err(Problem::at(place, format!("{key} without a rate")).help("add a rate, as in rate = \"50mbit\""))
        }
        _ => Ok(()),
    }
}

/// The keys that only a TBF has, and where they stand.
fn tbf_places(written: &file::Direction) -> [(&'static str, Option<Range<usize>>); 4] {
    [
        ("peakrate", written.peakrate.as_ref().map(Spanned::span)),
        ("mtu", written.mtu.as_ref().map(Spanned::span)),
        ("limit", written.limit.as_ref().map(Spanned::span)),
        ("latency", written.latency.as_ref().map(Spanned::span)),
    ]
}

fn htb(written: &file::Direction, rate: Rate) -> Result<Limited, Problem> {
    if let Some((key, place)) = tbf_places(written).into_iter().find_map(|(key, place)| Some((key, place?))) {
        let problem = Problem::at(place, format!("{key} is a key of kind \"tbf\", and this is of kind \"htb\""));
        return Err(problem.help(format!("add kind = \"tbf\", or leave {key} out")));
    }
    let burst = size(&written.burst, "burst")?.unwrap_or_else(|| default_burst(rate));
    Ok(Limited { limiter: Limiter::Htb { rate, burst }, limit_bytes: None })
}

/// tc's burst for a class that gives none: what the rate earns in a timer tick (1 ns), and 1600 bytes.
fn default_burst(rate: Rate) -> Size {
    Size(1_600 + rate.bytes_per_second() / 1_000_000_000)
}

fn tbf(written: &file::Direction, rate: Rate) -> Result<Limited, Problem> {
    let here = written.kind.as_ref().map_or(0..0, Spanned::span);
    let Some(burst) = size(&written.burst, "burst")? else {
        return Err(Problem::at(here, "kind \"tbf\" without a burst").help("add burst = \"32kb\""));
    };
    let peak = peak(written, rate)?;
    let limit_bytes = match (&written.limit, &written.latency) {
        (Some(_), None) => size(&written.limit, "limit")?,
        (None, Some(latency)) => Some(bytes_within(latency.get_ref().0, rate, burst, peak)),
        (Some(limit), Some(_)) => {
            return Err(Problem::at(limit.span(), "limit and latency together").help("give one of them"));
        }
        (None, None) => {
            let problem = Problem::at(here, "kind \"tbf\" without limit and latency");
            return Err(problem.help("add one: limit = \"128kb\" or latency = \"50ms\""));
        }
    };
    Ok(Limited { limiter: Limiter::Tbf { rate, burst, peak }, limit_bytes })
}

fn peak(written: &file::Direction, rate: Rate) -> Result<Option<Peak>, Problem> {
    let mtu = size(&written.mtu, "mtu")?;
    match (&written.peakrate, mtu) {
        (None, None) => Ok(None),
        (None, Some(_)) => {
            let place = written.mtu.as_ref().map_or(0..0, Spanned::span);
            Err(Problem::at(place, "mtu without peakrate").help("add peakrate, or leave mtu out"))
        }
        (Some(peak), mtu) => {
            match (peak.get_ref().0, mtu) {
                (Limit::None, _) => Ok(None),
                (Limit::Rate(above), _) if above <= rate => {
                    let problem =
                        Problem::at(peak.span(), format!("a peakrate of {above} is not above the rate of {rate}"));
                    Err(problem.help("raise peakrate, or leave it out"))
                }
                (Limit::Rate(_), None) => Err(Problem::at(peak.span(), "peakrate without mtu")
                    .help("add mtu = \"1600b\", at least a full packet")),
                (Limit::Rate(rate), Some(mtu)) => Ok(Some(Peak { rate, mtu })),
            }
        }
    }
}

/// The `limit` of a TBF that gives a latency, as tc's `tbf_parse_opt` takes it: what the rate sends in that time and the
/// burst, or what the peak rate sends and its mtu, if that is less.
fn bytes_within(latency: Nanos, rate: Rate, burst: Size, peak: Option<Peak>) -> Size {
    let under = |rate: Rate, bucket: Size| {
        let bytes = u128::from(rate.bits_per_second()) * u128::from(latency.0) / 8_000_000_000;
        Size(u64::try_from(bytes).unwrap_or(u64::MAX).saturating_add(bucket.0))
    };
    let by_rate = under(rate, burst);
    peak.map_or(by_rate, |peak| by_rate.min(under(peak.rate, peak.mtu)))
}

/// A size that a bucket can have.
fn size(value: &Value<Size>, key: &str) -> Result<Option<Size>, Problem> {
    let Some(value) = value else { return Ok(None) };
    let Text(size) = *value.get_ref();
    if size.0 == 0 || size > MAX_BURST {
        let problem = Problem::at(value.span(), format!("{key} of {size} is out of range"));
        return Err(problem.help(format!("give 1b to {MAX_BURST}")));
    }
    Ok(Some(size))
}

fn warn_of_short_burst(written: &file::Direction, rate: Rate, burst: Size, who: &str, warnings: &mut Vec<String>) {
    let spent_in = time_to_send(burst, rate);
    if written.burst.is_some() && burst.0 < FULL_PACKET {
        warnings.push(format!("{who}: burst {burst} is less than a full packet of {FULL_PACKET}b"));
    } else if spent_in < SHORT_BURST {
        let better = Size((rate.bytes_per_second() / 1_000).max(FULL_PACKET));
        warnings.push(format!(
            "{who}: burst {burst} is spent in {} us at {rate}; a thread that wakes later than that loses rate: \
             at least burst = \"{}b\" is a millisecond",
            spent_in.0 / 1_000,
            better.0,
        ));
    }
}

fn time_to_send(size: Size, rate: Rate) -> Nanos {
    let nanos = u128::from(size.0) * 8_000_000_000 / u128::from(rate.bits_per_second());
    Nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// What `[defaults]` says must hold by itself, so that an error shows there and not at some container.
pub(crate) fn check_shape_alone(shape: &file::Shape) -> Result<(), Problem> {
    let nothing = file::Direction::default();
    for direction in [&shape.ingress, &shape.egress] {
        size(&direction.burst, "burst")?;
        if direction.rate.is_some() {
            limiter(direction, &nothing, "defaults", &mut Vec::new())?;
        }
    }
    Ok(())
}

/// The queue of a node's `own` keys over those of `[defaults]`; warnings name it `who`.
pub(crate) fn queue(
    own: &file::Queue,
    default: &file::Queue,
    who: &str,
    warnings: &mut Vec<String>,
) -> Result<QueueParams, Problem> {
    let merged = own.over(default);
    let fifo = match &merged.kind {
        Some(kind) if *kind.get_ref() == QueueKind::FqCodel => {
            let problem = Problem::at(kind.span(), "queue kind \"fq_codel\" is not in this version of portlane");
            return Err(problem.help("use \"codel\" or \"fifo\""));
        }
        kind => kind.as_ref().is_some_and(|kind| *kind.get_ref() == QueueKind::Fifo),
    };
    if fifo {
        refuse_codel_keys(own)?;
    }
    let params = queue_params(&merged, fifo)?;
    // What a container inherits has been warned of where it stands.
    if own.target.is_some() || own.interval.is_some() {
        warn_of_slow_codel(&params, who, warnings);
    }
    Ok(params)
}

/// CoDel needs an interval in which a queue that is well behaved gets below its target.
fn warn_of_slow_codel(params: &QueueParams, who: &str, warnings: &mut Vec<String>) {
    if let Some(codel) = params.codel.as_ref().filter(|codel| codel.target >= codel.interval) {
        let (target, interval) = (codel.target, codel.interval);
        warnings.push(format!(
            "{who}: target {target} is not below interval {interval}; a target is about a twentieth of the interval"
        ));
    }
}

/// A FIFO has no CoDel to configure.
fn refuse_codel_keys(written: &file::Queue) -> Result<(), Problem> {
    let codel_keys = [
        ("target", written.target.as_ref().map(Spanned::span)),
        ("interval", written.interval.as_ref().map(Spanned::span)),
        ("ecn", written.ecn.as_ref().map(Spanned::span)),
    ];
    match codel_keys.into_iter().find_map(|(key, place)| Some((key, place?))) {
        Some((key, place)) => {
            let problem = Problem::at(place, format!("{key} is a key of kind \"codel\", and this is of kind \"fifo\""));
            Err(problem.help(format!("use kind = \"codel\", or leave {key} out")))
        }
        None => Ok(()),
    }
}

fn queue_params(written: &file::Queue, fifo: bool) -> Result<QueueParams, Problem> {
    let default = codel::Params::default();
    let limit = written.limit.as_ref().map_or(QueueParams::default().limit, |limit| limit.get_ref().0);
    let codel = codel::Params {
        target: positive(&written.target, "target", default.target)?,
        interval: positive(&written.interval, "interval", default.interval)?,
        ecn: written.ecn.as_ref().is_some_and(|ecn| *ecn.get_ref()),
        ..default
    };
    Ok(QueueParams { limit, limit_bytes: None, codel: (!fifo).then_some(codel) })
}

fn positive(value: &Value<Nanos>, key: &str, default: Nanos) -> Result<Nanos, Problem> {
    match value {
        None => Ok(default),
        Some(value) if value.get_ref().0 == Nanos::ZERO => {
            let problem = Problem::at(value.span(), format!("{key} is 0, and CoDel would drop whatever waits"));
            Err(problem.help(format!("give a time, as in {key} = \"{default}\"")))
        }
        Some(value) => Ok(value.get_ref().0),
    }
}
