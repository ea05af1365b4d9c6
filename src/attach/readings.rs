//! Reading what kernels count in containers' network namespaces: a few at a time, in turn.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use super::helper::{Helper, Reading};
use super::namespace::Identity;
use crate::config::{Container, Plan};
use crate::failure::Failure;
use crate::netstat::Latest;

/// Where a container is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The path of its namespace.
    pub(super) namespace: PathBuf,
    /// Which one that has to be; `None`: whichever is there.
    pub(super) identity: Option<Identity>,
}

/// Containers that are read in turn, by their names.
pub(super) type Places = BTreeMap<String, Place>;

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// Who was read last; `None`: it begins anew.
    last: Option<String>,
}

impl Round {
    /// Reads at most so many, the next in turn. Who cannot be read keeps what was read last, until he is gone.
    pub(super) fn read<T>(
        &mut self,
        helper: &mut Helper,
        containers: &BTreeMap<String, T>,
        place: impl Fn(&T) -> Place,
        most: usize,
        latest: &Latest,
    ) {
        let behind = |last: &String| (Bound::Excluded(last.clone()), Bound::Unbounded);
        let range = self.last.as_ref().map_or((Bound::Unbounded, Bound::Unbounded), behind);
        let next: Vec<_> = containers.range(range).take(most).collect();
        for (id, container) in &next {
            if let Ok(Reading { files, .. }) = helper.read(&place(container)) {
                latest.put(id, files.values());
            }
        }
        self.last = if next.len() < most { None } else { next.last().map(|(id, _)| (*id).clone()) };
        if self.last.is_none() {
            latest.keep(|id| containers.contains_key(id));
        }
    }

    /// Whether all have been read since it was begun anew.
    pub(super) fn is_over(&self) -> bool {
        self.last.is_none()
    }
}

/// Whether a path is that of a process's namespace: when it has ended, another one may get its number.
pub(super) fn is_of_process(namespace: &Path) -> bool {
    namespace.starts_with("/proc")
}

/// The containers that are not attached, and say where they are.
#[derive(Debug)]
pub struct Readings {
    helper: Helper,
    places: Places,
    round: Round,
}

impl Readings {
    /// Starts the process that reads, while privileges are there. `None` if the plan does not have containers read. Also returns what to
    /// tell of those that cannot be: they are tried again and again.
    ///
    /// # Errors
    ///
    /// Refused without the capabilities that it takes; failed if there is no process to be had.
    pub fn start(plan: &Plan) -> Result<Option<(Self, Vec<String>)>, Failure> {
        if !plan.reads_namespaces || plan.nic.as_ref().is_some_and(|nic| nic.attached) {
            return Ok(None);
        }
        let (mut helper, mut places, mut told) = (Helper::start()?, Places::new(), Vec::new());
        for (id, namespace) in named(plan) {
            // Of what was added to an earlier run: a process that has the number now may be another.
            let identity = is_of_process(namespace).then_some(Identity::NOBODYS);
            let place = Place { namespace: namespace.to_owned(), identity };
            told.extend(helper.read(&place).err().map(|why| format!("container {id:?} is not read: {why}")));
            places.insert(id.to_owned(), place);
        }
        Ok(Some((Self { helper, places, round: Round::default() }, told)))
    }

    /// Who would be read by another plan.
    ///
    /// # Errors
    ///
    /// Who is new, or elsewhere, and cannot be read.
    pub fn prepare(&mut self, plan: &Plan) -> Result<NewPlaces, String> {
        let mut places = Places::new();
        for (id, namespace) in named(plan) {
            let known = self.places.get(id).filter(|known| known.namespace == namespace);
            let place = match known {
                Some(known) => known.clone(),
                None => {
                    let anybodys = Place { namespace: namespace.to_owned(), identity: None };
                    let read = self.helper.read(&anybodys);
                    let Reading { identity, .. } =
                        read.map_err(|why| format!("container {id:?} cannot be read: {why}"))?;
                    Place { identity: is_of_process(namespace).then_some(identity), ..anybodys }
                }
            };
            places.insert(id.to_owned(), place);
        }
        Ok(NewPlaces(places))
    }

    /// Reads those of another plan from now on, as [prepared](Self::prepare).
    pub fn follow(&mut self, NewPlaces(places): NewPlaces) {
        self.places = places;
    }

    /// Reads what the kernel counts in the namespaces of some containers, the next in turn.
    pub fn read_counters(&mut self, most: usize, latest: &Latest) {
        let Self { helper, places, round } = self;
        round.read(helper, places, Place::clone, most, latest);
    }

    /// Whether all containers have been read since it was begun anew.
    #[must_use]
    pub fn have_read_all(&self) -> bool {
        self.round.is_over()
    }
}

/// Who is read from now on, if all else is done.
#[derive(Debug)]
pub struct NewPlaces(Places);

/// The containers of a plan that say where they are.
fn named(plan: &Plan) -> impl Iterator<Item = (&str, &Path)> {
    plan.containers.iter().filter_map(|container| {
        let Container { id, netns, .. } = &**container;
        Some((id.as_str(), netns.as_deref()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_do_not_last() {
        assert!(is_of_process(Path::new("/proc/1234/ns/net")));
        assert!(!is_of_process(Path::new("/run/netns/proc")));
    }
}
