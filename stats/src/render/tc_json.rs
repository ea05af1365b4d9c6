//! As `tc -s -j qdisc` of iproute2 6.1 prints it, then as `tc -s -j class` of 6.2 does, in one array on one line: keys in tc's
//! order, rates in bytes per second, times in microseconds.
//!
//! Qdiscs have the key `kind`, classes `class`; they are those of [`render::tc`](super::tc). `peakrate` is absent because
//! iproute2 leaves it out of its JSON too; the `json` format has it.

use serde::Serialize;

use super::tree;
use crate::snapshot::Snapshot;

mod class;
mod qdisc;

/// The report as JSON of `tc -s -j`.
#[must_use]
pub fn render(snapshot: &Snapshot) -> String {
    array(of_qdiscs(snapshot).chain(of_classes(snapshot)))
}

/// The qdiscs alone: `tc -s -j qdisc`.
#[must_use]
pub fn qdiscs(snapshot: &Snapshot) -> String {
    array(of_qdiscs(snapshot))
}

/// The classes alone: `tc -s -j class`.
#[must_use]
pub fn classes(snapshot: &Snapshot) -> String {
    array(of_classes(snapshot))
}

fn of_qdiscs(snapshot: &Snapshot) -> impl Iterator<Item = Object<'_>> {
    tree::qdiscs(snapshot).into_iter().map(|qdisc| Object::Qdisc(qdisc.into()))
}

fn of_classes(snapshot: &Snapshot) -> impl Iterator<Item = Object<'_>> {
    tree::classes(snapshot).into_iter().map(|class| Object::Class(class.into()))
}

fn array<'a>(objects: impl Iterator<Item = Object<'a>>) -> String {
    let objects: Vec<_> = objects.collect();
    let mut out =
        serde_json::to_string(&objects).expect("plain structs with string keys do not refuse to be serialized");
    out.push('\n');
    out
}

#[derive(Serialize)]
#[serde(untagged)]
enum Object<'a> {
    Qdisc(qdisc::Object<'a>),
    Class(class::Object<'a>),
}

/// What qdiscs and classes have alike.
#[derive(Serialize)]
struct Queue {
    drops: u64,
    overlimits: u64,
    requeues: u64,
    backlog: u64,
    qlen: u64,
}

#[derive(Serialize)]
struct Sent {
    bytes: u64,
    packets: u64,
}

impl From<&tree::Stats> for Queue {
    fn from(stats: &tree::Stats) -> Self {
        let &tree::Stats { drops, overlimits, requeues, backlog, qlen, .. } = stats;
        Self { drops, overlimits, requeues, backlog, qlen }
    }
}

impl From<&tree::Stats> for Sent {
    fn from(stats: &tree::Stats) -> Self {
        Self { bytes: stats.bytes, packets: stats.packets }
    }
}

/// What iproute2 leaves out where it is 0.
fn unless_zero(count: u64) -> Option<u64> {
    (count > 0).then_some(count)
}
