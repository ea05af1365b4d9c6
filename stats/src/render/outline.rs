//! Groups and containers as an outline: each group followed by what is in it.

use std::collections::{HashMap, HashSet};

use crate::snapshot::{ContainerReport, GroupReport, Snapshot};

/// A line of the outline.
pub(super) struct Entry<'a> {
    /// Groups that it is in.
    pub(super) depth: usize,
    pub(super) item: Item<'a>,
}

#[derive(Clone, Copy)]
pub(super) enum Item<'a> {
    Group(&'a GroupReport),
    Container(&'a ContainerReport),
}

impl<'a> Item<'a> {
    fn parent(self) -> Option<&'a str> {
        match self {
            Self::Group(group) => group.group.as_deref(),
            Self::Container(container) => container.group.as_deref(),
        }
    }
}

/// All groups and containers, those that are leaving too; on each level groups come first. What names a group that does not exist is in none, and groups
/// in a circle, which no tree has, are left out with what is in them.
pub(super) fn outline<'a>(snapshot: &'a Snapshot) -> Vec<Entry<'a>> {
    let known: HashSet<&str> = snapshot.groups.iter().map(|group| group.id.as_str()).collect();
    let mut below: HashMap<Option<&str>, Vec<Item<'a>>> = HashMap::new();
    let items = snapshot.groups.iter().map(Item::Group).chain(snapshot.with_leaving().map(Item::Container));
    for item in items {
        below.entry(item.parent().filter(|id| known.contains(id))).or_default().push(item);
    }
    let mut at = |parent: Option<&'a str>, depth| {
        let items = below.remove(&parent).unwrap_or_default();
        items.into_iter().rev().map(move |item| Entry { depth, item })
    };
    let mut entries = Vec::new();
    let mut next: Vec<_> = at(None, 0).collect();
    while let Some(entry) = next.pop() {
        if let Item::Group(group) = entry.item {
            next.extend(at(Some(&group.id), entry.depth + 1));
        }
        entries.push(entry);
    }
    entries
}
