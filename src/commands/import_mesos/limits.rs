//! What a container's rate comes to, by the rules of Mesos' isolator.

use portlane_shaper::bucket::MAX_BURST;
use portlane_shaper::{Rate, Size};

use super::flags::ImportMesos;
use super::values::{Bytes, per_second};
use crate::commands::check::grouped;

/// The least limit where none is given: a megabit a second, for both directions.
const LEAST_LIMIT: u64 = 125_000;

/// The shortest burst that portlane takes: a full packet.
const LEAST_BURST: u64 = 1_514;

/// A direction's flags, as they were read.
#[derive(Debug)]
pub(super) struct Limits {
    /// `egress` or `ingress`.
    pub(super) direction: &'static str,
    base: Base,
    minimum: u64,
    maximum: Option<u64>,
    ceil: Option<u64>,
    burst: Option<u64>,
    /// Each flag that was given, and how it was read.
    pub(super) notes: Vec<Note>,
}

/// A flag as it was given, and what it means.
#[derive(Debug)]
pub(super) struct Note {
    pub(super) flag: String,
    pub(super) meaning: String,
}

/// Where a limit comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    None,
    /// Bytes a second for each container.
    Each(u64),
    /// Bytes a second for each whole cpu.
    PerCpu(u64),
}

/// A container's limit in one direction, bytes and bytes a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) rate: u64,
    pub(super) ceil: Option<u64>,
    pub(super) burst: Option<u64>,
}

/// The flags of one direction.
struct Given<'a> {
    fixed: &'a Option<Bytes>,
    per_cpu: &'a Option<String>,
    minimum: &'a Option<Bytes>,
    maximum: &'a Option<Bytes>,
    ceil: &'a Option<Bytes>,
    burst: &'a Option<Bytes>,
}

/// Both directions, egress first as Mesos checks them.
///
/// # Errors
///
/// In the words of Mesos' isolator.
pub(super) fn both(flags: &ImportMesos) -> Result<[Limits; 2], String> {
    let egress = Given {
        fixed: &flags.egress_rate_limit_per_container,
        per_cpu: &flags.egress_rate_per_cpu,
        minimum: &flags.minimum_egress_rate_limit,
        maximum: &flags.maximum_egress_rate_limit,
        ceil: &flags.egress_ceil_limit,
        burst: &flags.egress_burst,
    };
    let ingress = Given {
        fixed: &flags.ingress_rate_limit_per_container,
        per_cpu: &flags.ingress_rate_per_cpu,
        minimum: &flags.minimum_ingress_rate_limit,
        maximum: &flags.maximum_ingress_rate_limit,
        ceil: &flags.ingress_ceil_limit,
        burst: &flags.ingress_burst,
    };
    Ok([Limits::read("egress", &egress, flags)?, Limits::read("ingress", &ingress, flags)?])
}

impl Limits {
    fn read(direction: &'static str, given: &Given<'_>, flags: &ImportMesos) -> Result<Self, String> {
        if given.fixed.is_some() && given.per_cpu.is_some() {
            // Mesos has a full stop after the first of these only.
            let stop = if direction == "egress" { "." } else { "" };
            return Err(format!(
                "Cannot specify both {direction}_rate_limit_per_container and {direction}_rate_per_cpu{stop}"
            ));
        }
        let count = |bytes: &Option<Bytes>| bytes.as_ref().map(|bytes| bytes.count);
        let maximum = count(given.maximum);
        if count(given.minimum).zip(maximum).is_some_and(|(minimum, maximum)| minimum > maximum) {
            return Err(format!(
                "Minimum {direction} rate limit cannot be greater than maximum {direction} rate: {} and {}.",
                per_second(count(given.minimum).unwrap_or(0)),
                per_second(maximum.unwrap_or(0)),
            ));
        }
        let base = match (given.fixed, given.per_cpu) {
            (Some(fixed), _) if fixed.count == 0 => Base::None,
            (Some(fixed), _) => Base::Each(fixed.count),
            (None, Some(text)) => Base::PerCpu(per_cpu(direction, text, flags)?),
            (None, None) => Base::None,
        };
        let mut limits = Self {
            direction,
            base,
            minimum: count(given.minimum).unwrap_or(LEAST_LIMIT),
            maximum,
            ceil: count(given.ceil),
            burst: count(given.burst),
            notes: Vec::new(),
        };
        limits.check_link(direction, given, flags)?;
        limits.notes = limits.explain(given);
        Ok(limits)
    }

    fn check_link(&self, direction: &str, given: &Given<'_>, flags: &ImportMesos) -> Result<(), String> {
        let Some(link) = flags.network_link_speed.as_ref().map(|speed| speed.count) else { return Ok(()) };
        let above = |what: &str, limit: u64| {
            if limit <= link {
                return Ok(());
            }
            Err(format!(
                "The given {what} traffic limit for containers {limit} Bytes/s is greater than the host link speed {link} \
                 Bytes/s"
            ))
        };
        if let Base::Each(limit) = self.base {
            above(direction, limit)?;
        }
        given.minimum.as_ref().map_or(Ok(()), |minimum| above(&format!("minimum {direction}"), minimum.count))
    }

    /// The limit of a container with these cpus; without any, as for one. `None`: not limited.
    ///
    /// # Errors
    ///
    /// A limit that portlane does not take.
    pub(super) fn of(&self, millicpus: Option<u64>) -> Result<Option<Limit>, String> {
        let wanted = match self.base {
            Base::None => return Ok(None),
            Base::Each(bytes) => bytes,
            Base::PerCpu(bytes) => bytes.saturating_mul(millicpus.unwrap_or(1_000) / 1_000),
        };
        let rate = wanted.max(self.minimum).min(self.maximum.unwrap_or(u64::MAX));
        let ceil = self.ceil.filter(|&ceil| ceil > rate);
        let burst = self.burst.filter(|_| ceil.is_some());
        for bytes in [Some(rate), ceil].into_iter().flatten() {
            if to_rate(bytes).is_none() {
                let why = if bytes == 0 { "lets nothing pass" } else { "is more than a rate can be" };
                return Err(format!("an {} limit of {bytes} Bytes/s {why}", self.direction));
            }
        }
        if let Some(burst) = burst.filter(|burst| !(LEAST_BURST..=MAX_BURST.0).contains(burst)) {
            let most = grouped(MAX_BURST.0);
            return Err(format!("{}_burst {burst}B: portlane takes {LEAST_BURST} to {most} bytes", self.direction));
        }
        Ok(Some(Limit { rate, ceil, burst }))
    }

    /// Whether containers of different cpus have different limits.
    pub(super) fn depends_on_cpus(&self) -> bool {
        matches!(self.base, Base::PerCpu(_))
    }

    fn explain(&self, given: &Given<'_>) -> Vec<Note> {
        let direction = self.direction;
        let mut notes = Vec::new();
        let mut note = |flag: String, meaning: String| notes.push(Note { flag, meaning });
        if let Some(fixed) = given.fixed {
            let flag = format!("{direction}_rate_limit_per_container={fixed}");
            if fixed.count == 0 {
                note(flag, "no limit (Mesos 1.11; later ones raise it to the minimum)".to_owned());
            } else {
                note(flag, format!("{fixed}/s = {}", per_second(fixed.count)));
            }
        }
        if let (Some(text), Base::PerCpu(bytes)) = (given.per_cpu, self.base) {
            let flag = format!("{direction}_rate_per_cpu={text}");
            note(flag, format!("{} for each whole cpu", per_second(bytes)));
        }
        let is_limited = self.base != Base::None;
        match given.minimum {
            Some(minimum) => {
                let effect = if is_limited { "no limit is below it" } else { "nothing is limited" };
                let flag = format!("minimum_{direction}_rate_limit={minimum}");
                note(flag, format!("{minimum}/s = {}; {effect}", per_second(minimum.count)));
            }
            None if is_limited => {
                let flag = format!("minimum_{direction}_rate_limit");
                note(flag, format!("not given: {} (Mesos 1.11 has no minimum)", per_second(LEAST_LIMIT)));
            }
            None => {}
        }
        if let Some(maximum) = given.maximum {
            let effect = if is_limited { "no limit is above it" } else { "nothing is limited" };
            let flag = format!("maximum_{direction}_rate_limit={maximum}");
            note(flag, format!("{maximum}/s = {}; {effect}", per_second(maximum.count)));
        }
        if let Some(ceil) = given.ceil {
            let flag = format!("{direction}_ceil_limit={ceil}");
            note(flag, format!("{ceil}/s = {}; counts where it is above the limit", per_second(ceil.count)));
        }
        if let Some(burst) = given.burst {
            let flag = format!("{direction}_burst={burst}");
            note(flag, format!("{} bytes; counts where the ceil does", grouped(burst.count)));
        }
        notes
    }
}

/// What each cpu is worth, bytes a second.
fn per_cpu(direction: &str, text: &str, flags: &ImportMesos) -> Result<u64, String> {
    if text != "auto" {
        let bytes: Result<Bytes, _> = text.parse();
        return bytes
            .map(|bytes| bytes.count)
            .map_err(|why| format!("Bad option for '{direction}_rate_per_cpu' flag: {why}"));
    }
    let millicpus = flags.resources.as_ref().and_then(|resources| resources.millicpus).filter(|&cpus| cpus > 0);
    let millicpus = millicpus.ok_or_else(|| {
        format!(
            "CPUs resource has to be specified to determine per CPU {direction} rate limit: add cpus:N to --resources"
        )
    })?;
    let Some(speed) = &flags.network_link_speed else {
        let interface = flags.eth0_name.as_deref().unwrap_or("the public interface");
        return Err(format!(
            "Failed to determine per CPU {direction} rate limit: Failed to determine link speed of {interface}: give it as \
             --network_link_speed, in bytes per second"
        ));
    };
    let each = u128::from(speed.count) * 1_000 / u128::from(millicpus);
    Ok(u64::try_from(each).unwrap_or(u64::MAX))
}

fn to_rate(bytes_per_s: u64) -> Option<Rate> {
    Rate::from_bits_per_second(bytes_per_s.checked_mul(8)?)
}

impl Limit {
    /// As a direction of the configuration.
    pub(super) fn to_toml(self) -> String {
        let rate = |bytes: u64| to_rate(bytes).map_or_else(String::new, |rate| rate.to_string());
        let ceil = self.ceil.map_or_else(String::new, |ceil| format!(", ceil = \"{}\"", rate(ceil)));
        let burst = self.burst.map_or_else(String::new, |burst| format!(", burst = \"{}\"", Size(burst)));
        format!("{{ rate = \"{}\"{ceil}{burst} }}", rate(self.rate))
    }
}
