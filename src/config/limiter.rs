//! Limiters: which keys go together, and what is meant where one is left out.

use portlane_shaper::bucket::MAX_BURST;
use portlane_shaper::{Framing, Limiter, LinkParams, Nanos, OwnFraming, Peak, Rate, Shape, Share, Size};
use toml::Spanned;

use super::advice;
use super::bounded::FULL_PACKET;
use super::error::Problem;
use super::node::{Direction, HTB_KEYS, LimiterKind, TBF_KEYS, Value};
use super::values::{OrNone, Text};

/// The link, in both directions the same.
pub(crate) fn link(written: &Direction, warnings: &mut Vec<String>) -> Result<LinkParams, Problem> {
    if let Some((key, place)) = written.sharing().next() {
        let problem = Problem::at(place, format!("{key} of the link: there is nothing beside it to share with"));
        return Err(problem.help("give it to groups and containers"));
    }
    let shape = inner(written, "link", warnings)?;
    if let Some(Shape { rate, ceil, .. }) = shape.filter(|shape| shape.ceil > shape.rate) {
        let ceil = advice::ceil(ceil);
        warnings.push(format!("link: ceil {ceil} is above rate {rate}, but there is nothing above it to borrow from"));
    }
    Ok(LinkParams { shape, framing: framing(written).under(Framing::default()) })
}

/// The rates of a link or a group.
pub(crate) fn inner(written: &Direction, who: &str, warnings: &mut Vec<String>) -> Result<Option<Shape>, Problem> {
    if let Some((key, place)) = written.limiting().find(|(key, _)| TBF_KEYS.contains(key) || *key == "kind \"tbf\"") {
        let problem = Problem::at(place, format!("{key} is for containers: what shares out is of kind \"htb\""));
        return Err(problem.help("leave it out"));
    }
    let Some(rate) = rate(&written.rate) else {
        refuse_without_rate(written, who)?;
        return Ok(None);
    };
    shape(written, rate, who, warnings).map(Some)
}

/// A limiter, and the limit in bytes that a TBF puts on its queue.
#[derive(Debug, Default)]
pub(crate) struct Limited {
    pub(crate) limiter: Limiter,
    pub(crate) limit_bytes: Option<Size>,
}

/// The limiter of a lane: its `own` keys over those of `[defaults]`; errors and warnings call it `who`.
pub(crate) fn lane(
    own: &Direction,
    default: &Direction,
    who: &str,
    warnings: &mut Vec<String>,
) -> Result<Limited, Problem> {
    let written = own.over(default);
    let Some(rate) = rate(&written.rate) else {
        refuse_without_rate(own, who)?;
        refuse_default_ceil(&written, who)?;
        return Ok(Limited::default());
    };
    match written.limiter_kind() {
        LimiterKind::Htb => {
            refuse_keys(&written, &TBF_KEYS, "tbf", "htb")?;
            let shape = shape(&written, rate, who, warnings)?;
            Ok(Limited { limiter: Limiter::Htb(shape), limit_bytes: None })
        }
        LimiterKind::Tbf => {
            refuse_keys(&written, &HTB_KEYS, "htb", "tbf")?;
            tbf(&written, rate, who, warnings)
        }
    }
}

/// What a packet takes on the wire.
pub(crate) fn framing(written: &Direction) -> OwnFraming {
    // The bounds of both keys are those of 16 bits.
    let bytes = |size: u64| u16::try_from(size).unwrap_or(u16::MAX);
    OwnFraming {
        overhead: written.overhead.as_ref().map(|value| bytes(value.get_ref().0.0.0)),
        mpu: written.mpu.as_ref().map(|value| bytes(value.get_ref().0.0.0)),
    }
}

/// How a lane shares what others leave.
pub(crate) fn share(written: &Direction) -> Share {
    let quantum = written.quantum.as_ref().map(|value| value.get_ref().0.0.0);
    Share {
        priority: priority(written),
        weight: weight(written),
        quantum: quantum.map(|bytes| u32::try_from(bytes).unwrap_or(u32::MAX)),
    }
}

pub(crate) fn priority(written: &Direction) -> Option<u8> {
    written.priority.as_ref().and_then(|priority| u8::try_from(priority.get_ref().0).ok())
}

pub(crate) fn weight(written: &Direction) -> u32 {
    written.weight.as_ref().map_or(1, |weight| weight.get_ref().0)
}

/// What is said of `[defaults]` must hold by itself, so that an error shows there and not at some container.
pub(crate) fn check_default(default: &Direction) -> Result<(), Problem> {
    match rate(&default.rate) {
        Some(_) => lane(default, &Direction::default(), "[defaults]", &mut Vec::new()).map(|_| ()),
        None => Ok(()),
    }
}

fn rate(value: &Value<OrNone<Rate>>) -> Option<Rate> {
    value.as_ref()?.get_ref().0.0
}

/// What says how to limit, says to what; `rate = "none"` lifts a default together with all that comes with it.
fn refuse_without_rate(own: &Direction, who: &str) -> Result<(), Problem> {
    match own.limiting().next() {
        Some((key, place)) => {
            Err(Problem::at(place, format!("{who}: {key} without a rate")).help("add a rate, as in rate = \"50mbit\""))
        }
        None => Ok(()),
    }
}

/// A ceil that would hold nobody back must not be read as one that does.
fn refuse_default_ceil(written: &Direction, who: &str) -> Result<(), Problem> {
    match &written.ceil {
        Some(ceil) if written.rate.is_none() && ceil.get_ref().0.0.is_some() => {
            let problem = Problem::at(ceil.span(), format!("{who}: a ceil from [defaults], and no rate"));
            Err(problem.help("give a rate, here or there, or rate = \"none\" where nothing is to be limited"))
        }
        _ => Ok(()),
    }
}

/// Keys of another `kind` than that of the limiter, which `is` of this one.
fn refuse_keys(written: &Direction, keys: &[&str], kind: &str, is: &str) -> Result<(), Problem> {
    match written.limiting().find(|(key, _)| keys.contains(key)) {
        Some((key, place)) => {
            let problem =
                Problem::at(place, format!("{key} is a key of kind \"{kind}\", and this is of kind \"{is}\""));
            Err(problem.help(format!("use kind = \"{kind}\", or leave {key} out")))
        }
        None => Ok(()),
    }
}

/// Rate and ceil of an HTB class. Without a ceil there is one limit with one burst; the burst of a limit that is given
/// without one is tc's.
fn shape(written: &Direction, rate: Rate, who: &str, warnings: &mut Vec<String>) -> Result<Shape, Problem> {
    let burst = written.burst.as_ref().map_or_else(|| default_burst(rate), |burst| burst.get_ref().0.0);
    advice::of_short_burst(who, ["burst", "rate"], burst, rate, warnings);
    let cburst = written.cburst.as_ref().map(|cburst| cburst.get_ref().0.0);
    let Some(written_ceil) = &written.ceil else {
        return Ok(Shape { rate, ceil: rate, burst, cburst: cburst.unwrap_or(burst) });
    };
    let Some(ceil) = written_ceil.get_ref().0.0 else {
        return match &written.cburst {
            None => Ok(Shape { rate, ceil: Rate::MAX, burst, cburst: default_burst(Rate::MAX) }),
            Some(cburst) => Err(Problem::at(cburst.span(), format!("{who}: cburst without a ceil"))
                .help("leave it out: without a ceil there is no limit to burst over")),
        };
    };
    if ceil < rate {
        return Err(ceil_below_rate(written_ceil, ceil, written.rate.as_ref(), rate, who));
    }
    let cburst = cburst.unwrap_or_else(|| default_burst(ceil));
    advice::of_short_burst(who, ["cburst", "ceil"], cburst, ceil, warnings);
    Ok(Shape { rate, ceil, burst, cburst })
}

/// Shown where the later of the two stands: the other may be the default's.
fn ceil_below_rate(
    written_ceil: &Spanned<Text<OrNone<Rate>>>,
    ceil: Rate,
    written_rate: Option<&Spanned<Text<OrNone<Rate>>>>,
    rate: Rate,
    who: &str,
) -> Problem {
    let places = [Some(written_ceil.span()), written_rate.map(Spanned::span)];
    let later = places.into_iter().flatten().max_by_key(|place| place.start).unwrap_or_default();
    let problem = Problem::at(later, format!("{who}: ceil {ceil} is below rate {rate}"));
    problem.help("a ceil is what may be reached by borrowing: at least the rate, or \"none\"")
}

/// tc's burst for a class that gives none: what the rate earns in a timer tick (1 ns), and 1600 bytes.
fn default_burst(rate: Rate) -> Size {
    Size(1_600 + rate.bytes_per_second() / 1_000_000_000).min(MAX_BURST)
}

fn tbf(written: &Direction, rate: Rate, who: &str, warnings: &mut Vec<String>) -> Result<Limited, Problem> {
    let here = written.kind.as_ref().map_or(0..0, Spanned::span);
    let Some(burst) = written.burst.as_ref().map(|burst| burst.get_ref().0.0) else {
        return Err(Problem::at(here, format!("{who}: kind \"tbf\" without a burst")).help("add burst = \"32kb\""));
    };
    let peak = peak(written, rate, who)?;
    let limit = match (&written.limit, &written.latency) {
        (Some(limit), None) => limit.get_ref().0.0,
        (None, Some(latency)) => bytes_within(latency.get_ref().0, rate, burst, peak),
        (Some(limit), Some(_)) => {
            return Err(
                Problem::at(limit.span(), format!("{who}: limit and latency together")).help("give one of them")
            );
        }
        (None, None) => {
            let problem = Problem::at(here, format!("{who}: kind \"tbf\" without limit and latency"));
            return Err(problem.help("add one: limit = \"128kb\" or latency = \"50ms\""));
        }
    };
    advice::of_short_burst(who, ["burst", "rate"], burst, rate, warnings);
    let bounds = [("limit", Some(limit)), ("mtu", peak.map(|peak| peak.mtu))];
    for (key, bound) in bounds.into_iter().filter_map(|(key, bound)| Some((key, bound.filter(|b| *b < FULL_PACKET)?))) {
        warnings.push(format!("{who}: {key} {bound} is less than a full packet of {FULL_PACKET}, so each is dropped"));
    }
    Ok(Limited { limiter: Limiter::Tbf { rate, burst, peak }, limit_bytes: Some(limit) })
}

fn peak(written: &Direction, rate: Rate, who: &str) -> Result<Option<Peak>, Problem> {
    let (peak, mtu) = match (&written.peakrate, &written.mtu) {
        (None, None) => return Ok(None),
        (None, Some(mtu)) => {
            let problem = Problem::at(mtu.span(), format!("{who}: mtu without peakrate"));
            return Err(problem.help("add peakrate, or leave mtu out"));
        }
        (Some(peak), mtu) => (peak, mtu),
    };
    match (peak.get_ref().0.0, mtu) {
        (None, _) => Ok(None),
        (Some(above), _) if above <= rate => {
            let problem = Problem::at(peak.span(), format!("{who}: peakrate {above} is not above rate {rate}"));
            Err(problem.help("raise peakrate, or leave it out"))
        }
        (Some(_), None) => {
            let problem = Problem::at(peak.span(), format!("{who}: peakrate without mtu"));
            Err(problem.help("add mtu = \"1600b\", at least a full packet"))
        }
        (Some(rate), Some(mtu)) => Ok(Some(Peak { rate, mtu: mtu.get_ref().0.0 })),
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
