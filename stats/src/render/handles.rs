//! What tc calls the nodes of a tree: handles, as `1:a` and `a:` of the container with the number 8.
//!
//! | node | class | qdisc under it |
//! |---|---|---|
//! | root | | `1:`, an htb |
//! | link | `1:1` | |
//! | container of number *k*, *n* = *k* + 2 | `1:n` | `n:` |
//! | its queue, if `n:` is a token bucket filter | `n:1` | `8000 + n:` |
//! | what no container owns, the htb's default | `1:fffe` | `fffe:` |
//! | group of number *g* | `1:fffd - g` | |
//!
//! Numbers are hexadecimal and have 16 bits in the kernel, where a handle is given once on an interface: the root has `1:`, so
//! containers begin at 2. A tree has room for 65,534 of them. The next begin a second root `10001:` with classes `10001:n` and
//! leaves `1000n:`, and so on. What is no container's moves out of the way to a root of its own when containers come to take its
//! place, which with *G* groups is the 65,533 - *G*th; the queues of token bucket filters when the 32,765th comes. Such handles are
//! unique, too, but longer than any kernel's.

use std::fmt;

use crate::snapshot::Snapshot;

/// Containers of a root: the numbers that are neither the unspecified one nor the root's.
const PER_ROOT: u64 = 0xfffe;

/// Groups of a root, where they have one of their own.
const GROUPS_PER_ROOT: u64 = 0x8000;

const ROOT: u64 = 1;
const LINK: u64 = 1;
const FIRST_CONTAINER: u64 = 2;
const UNMATCHED: u64 = 0xfffe;
const BELOW_TBF: u64 = 0x8000;

/// From the numbers of one root to those of the next.
const NEXT_ROOT: u64 = 1 << 16;

/// What tc calls `handle` or `classid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Handle {
    pub(super) major: u64,
    pub(super) minor: u64,
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}:", self.major)?;
        if self.minor > 0 {
            write!(f, "{:x}", self.minor)?;
        }
        Ok(())
    }
}

impl Handle {
    const fn qdisc(major: u64) -> Self {
        Self { major, minor: 0 }
    }
}

/// Where a lane is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LaneHandles {
    pub(super) class: Handle,
    /// The qdisc right below the class.
    pub(super) leaf: Handle,
}

impl LaneHandles {
    fn of(root: u64, number: u64) -> Self {
        Self { class: Handle { major: root + ROOT, minor: number }, leaf: Handle::qdisc(root + number) }
    }

    /// The root that it is under.
    pub(super) fn root(self) -> Handle {
        Handle::qdisc(self.class.major)
    }
}

/// The first root.
pub(super) const fn root() -> Handle {
    Handle::qdisc(ROOT)
}

/// The link's class.
pub(super) const fn link() -> Handle {
    Handle { major: ROOT, minor: LINK }
}

/// A container's class and leaf.
pub(super) fn container(number: u32) -> LaneHandles {
    let number = u64::from(number);
    LaneHandles::of(number / PER_ROOT * NEXT_ROOT, number % PER_ROOT + FIRST_CONTAINER)
}

/// Where nodes are that are no containers: where these leave room.
#[derive(Debug, Clone, Copy)]
pub(super) struct Others {
    /// Added to handles of groups and of what no container owns.
    root: u64,
    /// Added to the handle of a token bucket filter for that of its queue.
    below_tbf: u64,
}

impl Others {
    pub(super) fn beside_containers_of(snapshot: &Snapshot) -> Self {
        let last = snapshot.with_leaving().map(|one| container(one.number).leaf.major).max().unwrap_or(0);
        let groups = snapshot.groups.iter().map(|group| u64::from(group.number) + 1).max().unwrap_or(0);
        let after_all = (last / NEXT_ROOT + 1) * NEXT_ROOT;
        let roots_of_groups = groups / GROUPS_PER_ROOT + 1;
        let has_room = groups <= GROUPS_PER_ROOT && last + groups < UNMATCHED;
        let has_room_below = last + BELOW_TBF < UNMATCHED;
        Self {
            root: if has_room { 0 } else { after_all },
            below_tbf: if has_room_below { BELOW_TBF } else { after_all + roots_of_groups * NEXT_ROOT },
        }
    }

    /// What no container owns.
    pub(super) fn unmatched(self) -> LaneHandles {
        LaneHandles::of(self.root, UNMATCHED)
    }

    /// A group's class.
    pub(super) fn group(self, number: u32) -> Handle {
        let number = u64::from(number);
        let root = self.root + number / GROUPS_PER_ROOT * NEXT_ROOT;
        Handle { major: root + ROOT, minor: UNMATCHED - 1 - number % GROUPS_PER_ROOT }
    }

    /// The queue of a token bucket filter that is a lane's leaf.
    pub(super) fn below_tbf(self, leaf: Handle) -> Handle {
        Handle::qdisc(leaf.major + self.below_tbf)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::samples;

    fn shown(LaneHandles { class, leaf }: LaneHandles) -> String {
        format!("{class} {leaf}")
    }

    #[test]
    fn a_containers_class_and_leaf_have_its_number() {
        assert_eq!(shown(container(0)), "1:2 2:");
        assert_eq!(shown(container(8)), "1:a a:");
        assert_eq!(shown(container(65_533)), "1:ffff ffff:");
        assert_eq!(shown(container(65_534)), "10001:2 10002:");
        assert_eq!(container(65_534).root().to_string(), "10001:");
        assert_eq!(shown(container(131_068)), "20001:2 20002:");
    }

    /// A snapshot with as many containers and groups as these, of which the last alone is told.
    fn others(containers: u32, groups: u32) -> Others {
        let mut snapshot = samples::grouped();
        snapshot.containers[0].number = containers - 1;
        snapshot.groups[0].number = groups - 1;
        Others::beside_containers_of(&snapshot)
    }

    #[test]
    fn others_are_beside_containers_or_after_them() {
        let few = others(3, 2);
        assert_eq!(shown(few.unmatched()), "1:fffe fffe:");
        assert_eq!([0, 1].map(|group| few.group(group).to_string()), ["1:fffd", "1:fffc"]);
        assert_eq!(few.below_tbf(container(0).leaf).to_string(), "8002:");
        assert_eq!(shown(others(65_530, 2).unmatched()), "1:fffe fffe:");
        let many = others(65_531, 2);
        assert_eq!(shown(many.unmatched()), "10001:fffe 1fffe:");
        assert_eq!(many.group(1).to_string(), "10001:fffc");
        assert_eq!(others(3, 40_000).group(39_999).to_string(), "20001:e3be");
    }

    #[test]
    fn no_handle_is_given_twice() {
        for (containers, groups) in [(1, 1), (32_764, 3), (32_765, 3), (65_533, 1), (70_000, 40_000), (140_000, 5)] {
            let others = others(containers, groups);
            let lanes = || (0..containers).map(container).chain([others.unmatched()]);
            let classes =
                lanes().map(|lane| lane.class).chain((0..groups).map(|group| others.group(group))).chain([link()]);
            let filters = (0..containers).map(|number| others.below_tbf(container(number).leaf));
            let roots: BTreeSet<_> = classes.clone().map(|class| class.major).collect();
            let qdiscs = lanes().map(|lane| lane.leaf).chain(filters).chain(roots.into_iter().map(Handle::qdisc));
            for (what, all) in [("classes", classes.collect::<Vec<_>>()), ("qdiscs", qdiscs.collect())] {
                let count = all.len();
                let unique: BTreeSet<_> = all.into_iter().collect();
                assert_eq!(unique.len(), count, "{what} of {containers} containers and {groups} groups");
            }
        }
    }
}
