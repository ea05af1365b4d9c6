//! Containers as numbers that stay the same while configurations come and go.

use std::collections::HashMap;
use std::sync::Arc;

use portlane_classify::Table;

use crate::config::Plan;

/// Nobody's number.
const NOBODY: u32 = u32::MAX;

/// How long the number of a container that has gone is not given to another, in nanoseconds: all that was counted for it has been told by
/// then.
const REST_NS: u64 = 600 * 1_000_000_000;

/// The names of containers, by their numbers.
pub(crate) type List = Arc<[Arc<str>]>;

/// A container that there is, or was a while ago.
#[derive(Debug)]
struct Known {
    name: Arc<str>,
    /// When it went, in nanoseconds since 1970.
    gone_ns: Option<u64>,
}

/// Who has which number. There are as many as containers, and those that have gone in the last ten minutes.
#[derive(Debug, Default)]
pub(crate) struct Names {
    known: Vec<Known>,
    numbers: HashMap<Arc<str>, u32>,
}

impl Names {
    /// Another plan is followed: the owners of ports, by their numbers.
    pub(crate) fn follow(&mut self, plan: &Plan, now_ns: u64) -> Table<u32> {
        for known in &mut self.known {
            known.gone_ns = known.gone_ns.or(Some(now_ns));
        }
        for container in &plan.containers {
            if let Some(&number) = self.numbers.get(container.id.as_str()) {
                self.known[number as usize].gone_ns = None;
            }
        }
        let rested = |known: &Known| known.gone_ns.is_some_and(|gone_ns| now_ns.saturating_sub(gone_ns) >= REST_NS);
        let mut free: Vec<_> = (0..).zip(&self.known).filter(|(_, known)| rested(known)).map(|(at, _)| at).collect();
        let numbers: Vec<_> = plan.containers.iter().map(|container| self.number(&container.id, &mut free)).collect();
        plan.owners.map(|position| numbers.get(position as usize).copied().unwrap_or(NOBODY))
    }

    fn number(&mut self, name: &str, free: &mut Vec<u32>) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let known = Known { name: name.into(), gone_ns: None };
        let name = Arc::clone(&known.name);
        let number = match free.pop() {
            Some(number) => {
                let former = std::mem::replace(&mut self.known[number as usize], known);
                self.numbers.remove(&former.name);
                number
            }
            None => {
                self.known.push(known);
                u32::try_from(self.known.len() - 1).unwrap_or(NOBODY)
            }
        };
        self.numbers.insert(name, number);
        number
    }

    /// All names, by their numbers.
    #[cfg(any(test, feature = "af-xdp"))]
    pub(crate) fn list(&self) -> List {
        self.known.iter().map(|known| Arc::clone(&known.name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn plan(names: &[&str]) -> Plan {
        let container =
            |(port, name): (usize, &&str)| format!("[[container]]\nid = \"{name}\"\nports = [\"{port}\"]\n");
        config::parse(&names.iter().enumerate().map(|(at, name)| container((at + 1, name))).collect::<String>(), "test")
            .unwrap()
    }

    #[test]
    fn numbers_stay_and_are_used_again_after_a_rest() {
        let (mut names, anywhere) = (Names::default(), "10.0.0.1".parse().unwrap());
        let mut follow = |list: &[&str], now_ns| {
            let table = names.follow(&plan(list), now_ns);
            let of = (1..=list.len()).map(|port| table.lookup(anywhere, u16::try_from(port).unwrap()));
            assert_eq!(table.lookup(anywhere, 9), table.unmatched());
            (of.collect::<Vec<_>>(), names.list().iter().map(|name| name.to_string()).collect::<Vec<_>>())
        };
        assert_eq!(follow(&["a", "b"], 0).0, [0, 1]);
        assert_eq!(follow(&["b", "c"], 1).0, [1, 2], "a may still be told of");
        assert_eq!(follow(&["c", "b", "a"], 2).0, [2, 1, 0], "it came back");
        assert_eq!(follow(&["b"], 3).0, [1]);
        assert_eq!(follow(&["b", "d"], REST_NS + 2).0, [1, 3]);
        let (numbers, list) = follow(&["b", "d", "e"], REST_NS + 3);
        assert_eq!((numbers[..2].to_vec(), list.len()), (vec![1, 3], 4));
        assert_eq!(list[numbers[2] as usize], "e");
    }
}
