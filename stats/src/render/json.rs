//! The snapshot as indented JSON. The same snapshot gives the same bytes.

use crate::snapshot::Snapshot;

/// The report as JSON.
#[must_use]
pub fn render(snapshot: &Snapshot) -> String {
    let mut out = serde_json::to_string_pretty(snapshot)
        .expect("a snapshot has string keys and nothing that refuses to be serialized");
    out.push('\n');
    out
}
