//! The keys of a node, as written: those of a direction and those of a queue, and how they merge with `[defaults]`.

use std::ops::Range;

use portlane_shaper::{Nanos, Rate};
use serde::Deserialize;
use toml::Spanned;

use super::bounded::{
    Bucket, Burst, Bytes, FlowQuantum, Flows, Framing, Memory, Number, Packets, Priority, Quantum, Weight,
};
use super::values::{OrNone, Text};

/// A value that is written as text, and where it stands.
pub(crate) type Value<T> = Option<Spanned<Text<T>>>;

/// A key that is given, and where its value stands.
pub(crate) type Given = (&'static str, Range<usize>);

/// The keys of a direction.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Direction {
    pub(crate) kind: Option<Spanned<LimiterKind>>,
    pub(crate) rate: Value<OrNone<Rate>>,
    pub(crate) ceil: Value<OrNone<Rate>>,
    pub(crate) burst: Value<Bytes<Burst>>,
    pub(crate) cburst: Value<Bytes<Burst>>,
    pub(crate) peakrate: Value<OrNone<Rate>>,
    pub(crate) mtu: Value<Bytes<Bucket>>,
    pub(crate) limit: Value<Bytes<Bucket>>,
    pub(crate) latency: Value<Nanos>,
    pub(crate) priority: Option<Spanned<Number<Priority>>>,
    pub(crate) weight: Option<Spanned<Number<Weight>>>,
    pub(crate) quantum: Value<Bytes<Quantum>>,
    pub(crate) overhead: Value<Bytes<Framing>>,
    pub(crate) mpu: Value<Bytes<Framing>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LimiterKind {
    Htb,
    Tbf,
}

/// Keys that only an HTB has.
pub(crate) const HTB_KEYS: [&str; 2] = ["ceil", "cburst"];

/// Keys that only a TBF has.
pub(crate) const TBF_KEYS: [&str; 4] = ["peakrate", "mtu", "limit", "latency"];

impl Direction {
    /// The kind as written, or HTB.
    pub(crate) fn limiter_kind(&self) -> LimiterKind {
        self.kind.as_ref().map_or(LimiterKind::Htb, |kind| *kind.get_ref())
    }

    /// The keys of its limiter that are given, but for its rate.
    pub(crate) fn limiting(&self) -> impl Iterator<Item = Given> {
        let tbf = self.kind.as_ref().filter(|kind| *kind.get_ref() == LimiterKind::Tbf);
        let places = [
            ("kind \"tbf\"", tbf.map(Spanned::span)),
            ("ceil", place(&self.ceil)),
            ("burst", place(&self.burst)),
            ("cburst", place(&self.cburst)),
            ("peakrate", place(&self.peakrate)),
            ("mtu", place(&self.mtu)),
            ("limit", place(&self.limit)),
            ("latency", place(&self.latency)),
        ];
        given(places)
    }

    /// The keys of its share among its siblings that are given.
    pub(crate) fn sharing(&self) -> impl Iterator<Item = Given> {
        let places =
            [("priority", place(&self.priority)), ("weight", place(&self.weight)), ("quantum", place(&self.quantum))];
        given(places)
    }

    /// These keys, and the default's where one is not given: a limiter inherits neither keys that another kind of
    /// limiter has, nor a second bound of its queue, nor the burst of a ceil that it lifts.
    pub(crate) fn over(&self, default: &Self) -> Self {
        let mut merged = Self {
            kind: or(&self.kind, &default.kind),
            rate: or(&self.rate, &default.rate),
            burst: or(&self.burst, &default.burst),
            priority: or(&self.priority, &default.priority),
            weight: or(&self.weight, &default.weight),
            quantum: or(&self.quantum, &default.quantum),
            overhead: or(&self.overhead, &default.overhead),
            mpu: or(&self.mpu, &default.mpu),
            ..self.clone()
        };
        match merged.limiter_kind() {
            LimiterKind::Htb => {
                merged.ceil = or(&self.ceil, &default.ceil);
                if !is_none(&self.ceil) {
                    merged.cburst = or(&self.cburst, &default.cburst);
                }
            }
            LimiterKind::Tbf => {
                merged.peakrate = or(&self.peakrate, &default.peakrate);
                merged.mtu = or(&self.mtu, &default.mtu);
                if self.limit.is_none() && self.latency.is_none() {
                    merged.limit.clone_from(&default.limit);
                    merged.latency.clone_from(&default.latency);
                }
            }
        }
        merged
    }
}

/// The keys of a queue.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Queue {
    pub(crate) kind: Option<Spanned<QueueKind>>,
    pub(crate) limit: Option<Spanned<Number<Packets>>>,
    pub(crate) flows: Option<Spanned<Number<Flows>>>,
    pub(crate) quantum: Value<Bytes<FlowQuantum>>,
    pub(crate) target: Value<Nanos>,
    pub(crate) interval: Value<Nanos>,
    pub(crate) memory_limit: Value<Bytes<Memory>>,
    pub(crate) drop_batch: Option<Spanned<Number<Packets>>>,
    pub(crate) ecn: Option<Spanned<bool>>,
    pub(crate) ce_threshold: Value<OrNone<Nanos>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum QueueKind {
    Fifo,
    Codel,
    FqCodel,
}

impl Queue {
    /// The kind as written, or FQ-CoDel.
    pub(crate) fn queue_kind(&self) -> QueueKind {
        self.kind.as_ref().map_or(QueueKind::FqCodel, |kind| *kind.get_ref())
    }

    /// The keys of CoDel that are given.
    pub(crate) fn of_codel(&self) -> impl Iterator<Item = Given> {
        let places = [
            ("target", place(&self.target)),
            ("interval", place(&self.interval)),
            ("ecn", place(&self.ecn)),
            ("ce_threshold", place(&self.ce_threshold)),
        ];
        given(places)
    }

    /// The keys of FQ-CoDel alone that are given.
    pub(crate) fn of_fq_codel(&self) -> impl Iterator<Item = Given> {
        let places = [
            ("flows", place(&self.flows)),
            ("quantum", place(&self.quantum)),
            ("memory_limit", place(&self.memory_limit)),
            ("drop_batch", place(&self.drop_batch)),
        ];
        given(places)
    }

    /// These keys, and the default's where one is not given.
    pub(crate) fn over(&self, default: &Self) -> Self {
        Self {
            kind: or(&self.kind, &default.kind),
            limit: or(&self.limit, &default.limit),
            flows: or(&self.flows, &default.flows),
            quantum: or(&self.quantum, &default.quantum),
            target: or(&self.target, &default.target),
            interval: or(&self.interval, &default.interval),
            memory_limit: or(&self.memory_limit, &default.memory_limit),
            drop_batch: or(&self.drop_batch, &default.drop_batch),
            ecn: or(&self.ecn, &default.ecn),
            ce_threshold: or(&self.ce_threshold, &default.ce_threshold),
        }
    }
}

/// True if `none` is written, which lifts a default.
pub(crate) fn is_none<T>(value: &Value<OrNone<T>>) -> bool {
    value.as_ref().is_some_and(|value| value.get_ref().0.0.is_none())
}

fn or<T: Clone>(own: &Option<T>, default: &Option<T>) -> Option<T> {
    own.as_ref().or(default.as_ref()).cloned()
}

fn place<T>(value: &Option<Spanned<T>>) -> Option<Range<usize>> {
    value.as_ref().map(Spanned::span)
}

fn given<const N: usize>(places: [(&'static str, Option<Range<usize>>); N]) -> impl Iterator<Item = Given> {
    places.into_iter().filter_map(|(key, place)| Some((key, place?)))
}
