//! What shapes: one description, from which both tc's commands and portlane's configuration are made.

use std::fmt::Write;

/// The interface that shapes.
pub(crate) const DEVICE: &str = "eth0";

/// The first leaf's port; the others' follow.
const FIRST_PORT: u16 = 31_000;

/// The class above all others; in portlane it is the link.
pub(crate) const LINK: &str = "link";

/// A class of `sch_htb`; in portlane the link, a group, or a container.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Class {
    pub(crate) id: &'static str,
    /// The class above; none above the link, and none above a class that stands alone.
    pub(crate) parent: Option<&'static str>,
    pub(crate) rate: &'static str,
    pub(crate) ceil: &'static str,
    /// Of both buckets.
    pub(crate) burst: &'static str,
    pub(crate) priority: u8,
    /// Bytes; tc's default without.
    pub(crate) quantum: Option<u32>,
    /// Packets that the leaf's queue holds; none of an inner class.
    pub(crate) limit: Option<u32>,
}

impl Class {
    /// The link; its bucket holds 12 ms at 10 mbit.
    pub(crate) fn link(rate: &'static str) -> Self {
        let (id, ceil, burst) = (LINK, rate, "15kb");
        Self { id, parent: None, rate, ceil, burst, priority: 0, quantum: None, limit: None }
    }

    /// A class between the link and the leaves.
    pub(crate) fn inner(id: &'static str, parent: &'static str, rate: &'static str, ceil: &'static str) -> Self {
        Self { id, parent: Some(parent), ceil, ..Self::link(rate) }
    }

    /// A leaf under the link.
    pub(crate) fn leaf(id: &'static str, rate: &'static str, ceil: &'static str) -> Self {
        Self { limit: Some(100), ..Self::inner(id, LINK, rate, ceil) }
    }

    /// Its settings, as one more argument of tc.
    pub(crate) fn for_tc(&self) -> String {
        let Self { rate, ceil, burst, priority, .. } = self;
        let quantum = self.quantum.map_or(String::new(), |quantum| format!(" quantum {quantum}"));
        format!("htb rate {rate} ceil {ceil} burst {burst} cburst {burst} prio {priority}{quantum}")
    }

    fn for_portlane(&self) -> String {
        let Self { rate, ceil, burst, .. } = self;
        let mut keys = format!("rate = \"{rate}\", ceil = \"{ceil}\", burst = \"{burst}\", cburst = \"{burst}\"");
        if self.limit.is_some() {
            write!(keys, ", priority = {}", self.priority).unwrap();
        }
        if let Some(quantum) = self.quantum {
            write!(keys, ", quantum = \"{quantum}b\"").unwrap();
        }
        keys
    }
}

/// A token bucket filter: its settings for tc, and the same as keys of portlane.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tbf {
    /// Pairs of a name and a value, which both know.
    pub(crate) settings: &'static [(&'static str, &'static str)],
}

/// What shapes in a scenario.
#[derive(Debug, Clone)]
pub(crate) enum Shaping {
    /// A tree; parents come before their children.
    Htb(Vec<Class>),
    Tbf(Tbf),
}

impl Shaping {
    /// The names of the leaves: containers, in the order of their ports.
    pub(crate) fn leaves(&self) -> Vec<&'static str> {
        match self {
            Self::Htb(classes) => classes.iter().filter(|class| class.limit.is_some()).map(|class| class.id).collect(),
            Self::Tbf(_) => vec!["tbf"],
        }
    }

    /// What is given to tc, command by command.
    pub(crate) fn commands(&self) -> Vec<String> {
        let qdisc = format!("qdisc add dev {DEVICE}");
        let classes = match self {
            Self::Tbf(tbf) => {
                let settings: Vec<_> = tbf.settings.iter().map(|(name, value)| format!("{name} {value}")).collect();
                return vec![format!("{qdisc} root handle 1: tbf {}", settings.join(" "))];
            }
            Self::Htb(classes) => classes,
        };
        let mut commands = vec![format!("{qdisc} root handle 1: htb")];
        for class in classes {
            let parent = class.parent.map_or("1:".to_owned(), |parent| self.handle(parent));
            let (handle, settings) = (self.handle(class.id), class.for_tc());
            commands.push(format!("class add dev {DEVICE} parent {parent} classid {handle} {settings}"));
            if let Some(limit) = class.limit {
                commands.push(format!("{qdisc} parent {handle} pfifo limit {limit}"));
            }
        }
        commands
    }

    /// The handle of a class: `1:` and its place in the list, from 1.
    pub(crate) fn handle(&self, id: &str) -> String {
        format!("1:{:x}", self.minor(id))
    }

    /// What a socket's priority is to choose this class: its handle as a number (`htb_classify`).
    pub(crate) fn socket_priority(&self, id: &str) -> i32 {
        1 << 16 | i32::try_from(self.minor(id)).unwrap()
    }

    fn minor(&self, id: &str) -> usize {
        match self {
            Self::Htb(classes) => classes.iter().position(|class| class.id == id).unwrap() + 1,
            Self::Tbf(_) => 1,
        }
    }

    /// The same as a configuration of portlane.
    pub(crate) fn config(&self) -> String {
        match self {
            Self::Htb(classes) => classes.iter().map(|class| self.table(class)).collect(),
            Self::Tbf(tbf) => {
                let keys: Vec<_> = tbf.settings.iter().map(|(name, value)| format!("{name} = \"{value}\"")).collect();
                let keys = format!("kind = \"tbf\", {}", keys.join(", "));
                // The queue is bounded in bytes, by the filter's own limit.
                container("tbf", FIRST_PORT, "", &keys, 100_000)
            }
        }
    }

    fn table(&self, class: &Class) -> String {
        let keys = class.for_portlane();
        let group =
            class.parent.filter(|parent| *parent != LINK).map_or(String::new(), |id| format!("group = {id:?}\n"));
        match class.limit {
            Some(limit) => container(class.id, self.port(class.id), &group, &keys, limit),
            None if class.id == LINK => format!("link = {{ {keys} }}\n"),
            None => format!("[[group]]\nid = {:?}\n{group}egress = {{ {keys} }}\n", class.id),
        }
    }

    /// The port of a leaf.
    pub(crate) fn port(&self, id: &str) -> u16 {
        let place = self.leaves().iter().position(|leaf| *leaf == id).unwrap();
        FIRST_PORT + u16::try_from(place).unwrap()
    }
}

fn container(id: &str, port: u16, group: &str, keys: &str, limit: u32) -> String {
    format!(
        "[[container]]\nid = {id:?}\n{group}ports = [\"{port}\"]\negress = {{ {keys} }}\n\
         queue = {{ kind = \"fifo\", limit = {limit} }}\n"
    )
}
