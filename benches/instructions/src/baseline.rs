//! Recorded instruction counts, and what has become of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

/// Instructions a packet, by element.
pub(crate) type Counts = BTreeMap<String, f64>;

/// A count has changed if it is higher or lower than the recorded one by more than this part of it. Counts are exact, so this
/// is no allowance for noise: it lets small shifts of inlining pass, and little else. A load with its bounds check is some
/// five instructions a packet.
const TOLERANCE: f64 = 0.005;

/// What was recorded, and with what it was built.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Baseline {
    /// Another compiler makes other instructions.
    pub(crate) toolchain: String,
    pub(crate) instructions: Counts,
}

/// What has become of an element since its count was recorded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Change {
    /// By so many percent; less than 0 is fewer.
    Same(f64),
    Better(f64),
    Worse(f64),
    /// It was never recorded.
    New,
    /// It was recorded, and is no more.
    Gone,
}

impl Change {
    fn between(recorded: f64, counted: f64) -> Self {
        let percent = (counted / recorded - 1.0) * 100.0;
        if counted > recorded * (1.0 + TOLERANCE) {
            Self::Worse(percent)
        } else if counted < recorded * (1.0 - TOLERANCE) {
            Self::Better(percent)
        } else {
            Self::Same(percent)
        }
    }

    /// Whether CI must not let it pass. An element without a count is one that nobody guards.
    pub(crate) fn fails(self) -> bool {
        matches!(self, Self::Worse(_) | Self::New | Self::Gone)
    }

    /// Whether the baseline is out of date, for better or worse.
    pub(crate) fn is_stale(self) -> bool {
        !matches!(self, Self::Same(_))
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same(percent) => write!(f, "{percent:+.2} %"),
            Self::Better(percent) => write!(f, "{percent:+.2} %: better"),
            Self::Worse(percent) => write!(f, "{percent:+.2} %: worse"),
            Self::New => f.write_str("new, and not recorded"),
            Self::Gone => f.write_str("recorded, and gone"),
        }
    }
}

/// What has become of every element that was recorded or counted, by name.
pub(crate) fn compare(recorded: &Counts, counted: &Counts) -> BTreeMap<String, Change> {
    let names: BTreeSet<_> = recorded.keys().chain(counted.keys()).collect();
    let change = |name: &String| match (recorded.get(name), counted.get(name)) {
        (Some(&recorded), Some(&counted)) => Change::between(recorded, counted),
        (None, _) => Change::New,
        (_, None) => Change::Gone,
    };
    names.into_iter().map(|name| (name.clone(), change(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(of: &[(&str, f64)]) -> Counts {
        of.iter().map(|&(name, count)| (name.to_owned(), count)).collect()
    }

    fn change(recorded: f64, counted: f64) -> Change {
        compare(&counts(&[("parse", recorded)]), &counts(&[("parse", counted)]))["parse"]
    }

    #[test]
    fn within_half_a_percent_nothing_has_changed() {
        for counted in [99.6, 99.8, 100.0, 100.4] {
            let change = change(100.0, counted);
            assert!(matches!(change, Change::Same(_)), "{counted}: {change}");
            assert!(!change.fails() && !change.is_stale());
        }
    }

    #[test]
    fn more_instructions_fail_and_fewer_ask_to_record() {
        let (worse, better) = (change(200.0, 205.0), change(200.0, 190.0));
        assert_eq!((worse.to_string(), better.to_string()), ("+2.50 %: worse".into(), "-5.00 %: better".into()));
        assert!(worse.fails() && worse.is_stale());
        assert!(!better.fails() && better.is_stale());
    }

    #[test]
    fn more_than_one_instruction_in_two_hundred_is_too_many() {
        assert!(!change(200.0, 200.9).fails());
        assert!(change(200.0, 201.1).fails());
    }

    #[test]
    fn elements_are_recorded_all_or_it_fails() {
        let changes = compare(&counts(&[("gone", 1.0), ("kept", 1.0)]), &counts(&[("kept", 1.0), ("new", 1.0)]));
        let changes: Vec<_> = changes.iter().map(|(name, change)| (name.as_str(), *change)).collect();
        assert_eq!(changes, [("gone", Change::Gone), ("kept", Change::Same(0.0)), ("new", Change::New)]);
        assert!(Change::Gone.fails() && Change::New.fails());
    }

    #[test]
    fn a_baseline_is_read_as_it_was_written() {
        let baseline = Baseline {
            toolchain: "rustc 1.95.0".into(),
            instructions: counts(&[("parse/ipv4", 40.25), ("lookup", 12.0)]),
        };
        let text = toml::to_string(&baseline).unwrap();
        assert_eq!(toml::from_str::<Baseline>(&text).unwrap(), baseline, "{text}");
        assert!(text.contains("\"parse/ipv4\" = 40.25\n"), "{text}");
    }
}
