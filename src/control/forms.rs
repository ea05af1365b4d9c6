//! A snapshot in the forms in which it is served, each made once, when it is first asked for.

use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use portlane_stats::render::prometheus::{Exposition, Options};
use portlane_stats::render::{containers, mesos, prometheus, tc_json};
use portlane_stats::snapshot::Snapshot;

/// What a snapshot is served as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Itself, as JSON.
    Stats,
    /// As Mesos serves it.
    Mesos,
    /// As `tc -s -j qdisc`.
    Qdiscs,
    /// As `tc -s -j class`.
    Classes,
    /// The containers' handles.
    Containers,
    /// As metrics.
    Metrics(Options),
}

const FORMS: usize = 9;

impl Form {
    fn index(self) -> usize {
        match self {
            Self::Stats => 0,
            Self::Mesos => 1,
            Self::Qdiscs => 2,
            Self::Classes => 3,
            Self::Containers => 4,
            Self::Metrics(options) => {
                5 + 2 * usize::from(options.exposition == Exposition::OpenMetrics) + usize::from(options.cadvisor)
            }
        }
    }

    /// The media type.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Metrics(options) => options.exposition.content_type(),
            _ => "application/json",
        }
    }

    fn render(self, snapshot: &Snapshot) -> String {
        match self {
            Self::Stats => serde_json::to_string(snapshot).unwrap_or_default(),
            Self::Mesos => mesos::render(snapshot),
            Self::Qdiscs => tc_json::qdiscs(snapshot),
            Self::Classes => tc_json::classes(snapshot),
            Self::Containers => containers::render(snapshot),
            Self::Metrics(options) => prometheus::render(snapshot, options),
        }
    }
}

/// A snapshot, and the forms that have been asked for.
#[derive(Debug)]
pub(super) struct Forms {
    snapshot: Snapshot,
    made: [OnceLock<String>; FORMS],
}

impl Forms {
    pub(super) fn new(snapshot: Snapshot) -> Self {
        Self { snapshot, made: Default::default() }
    }

    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    fn get(&self, form: Form) -> &str {
        self.made[form.index()].get_or_init(|| form.render(&self.snapshot))
    }

    /// One form. As long as the bytes are there, the whole is.
    pub(super) fn bytes(self: Arc<Self>, form: Form) -> Bytes {
        Bytes::from_owner(Held { forms: self, form })
    }
}

struct Held {
    forms: Arc<Forms>,
    form: Form,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.forms.get(self.form).as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_form_has_a_place_of_its_own() {
        let metrics = [Exposition::Text, Exposition::OpenMetrics]
            .into_iter()
            .flat_map(|exposition| [false, true].map(|cadvisor| Form::Metrics(Options { exposition, cadvisor })));
        let all = [Form::Stats, Form::Mesos, Form::Qdiscs, Form::Classes, Form::Containers].into_iter().chain(metrics);
        let places: BTreeSet<_> = all.map(Form::index).collect();
        assert!(places.into_iter().eq(0..FORMS));
    }
}
