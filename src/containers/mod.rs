//! Containers that come, change and go while portlane runs, beside those of the configuration file.
//!
//! Each change makes a plan of the file and of all that were added, which is checked as a file is; then it is written down; then
//! the workers follow it. What is refused on the way leaves everything as it was.

mod orders;
mod ports;
mod state;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portlane_classify::PortRange;
use serde_json::json;
use toml::{Table, Value};

use crate::config::{Added, ConfigError, Configuration, Container, Fragment, Plan, share};
pub use orders::{Order, Orders, Refusal, Wanted};
pub use ports::Resting;
use ports::{Ports, block};
pub use state::State;

/// The containers that were added, and the file that they are beside.
#[derive(Debug, Clone)]
pub struct Registry {
    configuration: Arc<Configuration>,
    settings: Added,
    state: State,
    /// What the configuration makes of each container of the state.
    made: Vec<Arc<Container>>,
}

/// What there would be after a change.
#[derive(Debug)]
pub struct Draft {
    /// What is to be followed.
    pub plan: Plan,
    /// The registry then.
    pub registry: Registry,
    /// The container that comes or changes.
    pub container: Option<Arc<Fragment>>,
}

impl Registry {
    /// Reads a configuration file, and what was added before. What of that cannot be any more is left out, and said so.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or says something that cannot be. What was added never keeps it from being read.
    pub fn open(config: &Path) -> Result<(Self, Plan), ConfigError> {
        let (configuration, plan) = Configuration::load(config)?;
        let (state, warnings) = State::read(&plan.added.state);
        let (registry, mut plan) = Self::reconcile(configuration, plan, state, &[]);
        plan.warnings.splice(0..0, warnings);
        Ok((registry, plan))
    }

    /// Reads the configuration file again. Who was added stays, unless the file has it now.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn reopen(&self, config: &Path) -> Result<(Self, Plan), ConfigError> {
        let (mut configuration, plan) = Configuration::load(config)?;
        configuration.share(&self.configuration);
        Ok(Self::reconcile(configuration, plan, self.state.clone(), &self.made))
    }

    fn reconcile(
        configuration: Configuration,
        own: Plan,
        mut state: State,
        earlier: &[Arc<Container>],
    ) -> (Self, Plan) {
        let (added, mut warnings) = (std::mem::take(&mut state.containers), Vec::new());
        let own_ids = configuration.ids();
        let (in_file, added): (Vec<_>, Vec<_>) =
            added.into_iter().partition(|fragment| own_ids.contains(fragment.id()));
        let taken = in_file.iter().map(|fragment| {
            format!("container {:?} was added at run time, and is in the file now: the file's counts", fragment.id())
        });
        warnings.extend(taken);
        let (containers, mut made): (_, Vec<_>) = accept(&configuration, added, &mut warnings).into_iter().unzip();
        state.containers = containers;
        share(&mut made, earlier);
        let mut plan = configuration.with(&made).unwrap_or(own);
        plan.warnings.extend(warnings);
        (Self { configuration: Arc::new(configuration), settings: plan.added.clone(), state, made }, plan)
    }

    /// What a container that comes, or takes the place of another that was added, makes of it; `now` is the time since the epoch.
    ///
    /// # Errors
    ///
    /// It cannot be.
    pub fn put(&self, id: &str, mut keys: Table, now: Duration) -> Result<Draft, Refusal> {
        if self.configuration.has(id) {
            let why = format!("container {id:?} is in the configuration file: change it there, and reload");
            return Err(Refusal::Conflict(why));
        }
        let mut next = self.clone();
        next.state.forget_rested(now);
        let position = next.state.containers.iter().position(|one| one.id() == id);
        let before = position.map(|position| next.take(position));
        next.give_ports(before.as_deref(), &mut keys)?;
        let fragment = Arc::new(Fragment::new(id, &keys).map_err(Refusal::Invalid)?);
        if let Some(before) = before
            && fragment.table().get("ports") != before.table().get("ports")
        {
            next.rest(&before, now);
        }
        let (made, _) = next.configuration.check(&fragment).map_err(Refusal::Invalid)?;
        let position = position.unwrap_or(next.made.len());
        next.state.containers.insert(position, Arc::clone(&fragment));
        next.made.insert(position, made);
        next.draft(Some(fragment))
    }

    /// What other keys of a container that was added make of it. Tables among them (`ingress`, for one) replace those that are.
    ///
    /// # Errors
    ///
    /// There is no such container, or it cannot be.
    pub fn set(&self, id: &str, keys: Table, now: Duration) -> Result<Draft, Refusal> {
        let before = &self.state.containers[self.find(id)?];
        let mut all = before.table().clone();
        all.extend(keys);
        self.put(id, all, now)
    }

    /// What is left without a container that was added.
    ///
    /// # Errors
    ///
    /// There is no such container.
    pub fn remove(&self, id: &str, now: Duration) -> Result<Draft, Refusal> {
        let position = self.find(id)?;
        let mut next = self.clone();
        next.state.forget_rested(now);
        let gone = next.take(position);
        next.rest(&gone, now);
        next.draft(None)
    }

    /// Writes down what was added.
    ///
    /// # Errors
    ///
    /// What the system says; the file is as it was.
    pub fn save(&self) -> Result<(), Refusal> {
        let path = &self.settings.state;
        self.state.write(path).map_err(|cause| {
            Refusal::Failed(format!(
                "{}: {cause}: nothing has changed, for it could not be written down",
                path.display()
            ))
        })
    }

    /// All containers: those of the file, then those that were added.
    #[must_use]
    pub fn list(&self) -> serde_json::Value {
        let texts = |ports: Vec<PortRange>| ports.iter().map(ToString::to_string).collect::<Vec<_>>();
        let of_file = self
            .configuration
            .containers()
            .map(|(id, ports)| json!({ "id": id, "ports": texts(ports), "added": false }));
        let added = self
            .state
            .containers
            .iter()
            .map(|one| json!({ "id": one.id(), "ports": texts(ports::of(one.table()).collect()), "added": true }));
        of_file.chain(added).collect()
    }

    /// Its position among those that were added.
    fn find(&self, id: &str) -> Result<usize, Refusal> {
        let found = self.state.containers.iter().position(|one| one.id() == id);
        found.ok_or_else(|| {
            if self.configuration.has(id) {
                let why = format!("container {id:?} is in the configuration file: change it there, and reload");
                return Refusal::Conflict(why);
            }
            Refusal::Unknown(format!("there is no container {id:?}: `portlane container list` shows which there are"))
        })
    }

    fn take(&mut self, position: usize) -> Arc<Fragment> {
        self.made.remove(position);
        self.state.containers.remove(position)
    }

    fn draft(self, container: Option<Arc<Fragment>>) -> Result<Draft, Refusal> {
        let plan = self.configuration.with(&self.made).map_err(Refusal::Invalid)?;
        Ok(Draft { plan, registry: self, container })
    }

    /// Ports that are asked for by number (`auto:1024`) become a block of the pool. Those named are not to be of the pool, unless the
    /// container has them.
    fn give_ports(&self, before: Option<&Fragment>, keys: &mut Table) -> Result<(), Refusal> {
        let Some(written) = keys.get("ports") else { return Ok(()) };
        if before.is_some_and(|before| before.table().get("ports") == Some(written)) {
            return Ok(());
        }
        match Ports::of(written).map_err(Refusal::Invalid)? {
            Ports::Block(size) => {
                let pool = self.settings.pool.ok_or_else(|| {
                    let why = "there is no pool to take ports from: add [control] ephemeral_ports = \"32768-57343\"";
                    Refusal::Conflict(why.to_owned())
                })?;
                let resting = self.state.resting.iter().map(|resting| resting.ports);
                let taken = self.made.iter().flat_map(|one| &one.ports).copied().chain(resting);
                let block = block(pool, size, taken.collect()).ok_or_else(|| {
                    let why = format!("the pool {pool} has no {size} ports together that are free and have rested");
                    Refusal::Conflict(why)
                })?;
                keys.insert("ports".to_owned(), Value::Array(vec![block.to_string().into()]));
            }
            Ports::Named(ranges) => {
                let pooled = |range: &PortRange| self.settings.pool.and_then(|pool| pool.shared_with(*range));
                if let Some(shared) = ranges.iter().find_map(pooled) {
                    let why = format!("ports {shared} are of the pool: ask for them by number, as in \"auto:16\"");
                    return Err(Refusal::Conflict(why));
                }
            }
        }
        Ok(())
    }

    /// Ports of the pool that are given back rest.
    fn rest(&mut self, gone: &Fragment, now: Duration) {
        let Some(pool) = self.settings.pool else { return };
        let until = now + Duration::from_nanos(self.settings.rest.0);
        let pooled = ports::of(gone.table()).filter(|range| range.shared_with(pool).is_some());
        self.state.resting.extend(pooled.map(|ports| Resting { ports, until }));
    }
}

/// A container's keys as JSON, named as the configuration names them.
///
/// # Errors
///
/// What it is instead, and what was expected.
pub fn keys(body: &[u8]) -> Result<Table, String> {
    const EXPECTED: &str = "expected a JSON object as {\"ports\": [\"8000-8099\"], \"egress\": {\"rate\": \"10mbit\"}}";
    let value: serde_json::Value = serde_json::from_slice(body).map_err(|error| format!("{error}: {EXPECTED}"))?;
    if !value.is_object() {
        return Err(EXPECTED.to_owned());
    }
    Table::try_from(value).map_err(|error| format!("{error}: {EXPECTED}"))
}

/// A container that was added, and what the configuration makes of it.
type Made = (Arc<Fragment>, Arc<Container>);

/// Those that can be, together with the file and each other; of the others it is said why not.
fn accept(configuration: &Configuration, added: Vec<Arc<Fragment>>, warnings: &mut Vec<String>) -> Vec<Made> {
    let mut possible = Vec::new();
    for fragment in added {
        match configuration.check(&fragment) {
            Ok((made, meant)) => {
                warnings.extend(meant);
                possible.push((fragment, made));
            }
            Err(why) => warnings.push(left_out(&fragment, &why)),
        }
    }
    together(configuration, possible, warnings)
}

/// Those that can be together. Halves are tried as a whole, for mostly all can.
fn together(configuration: &Configuration, possible: Vec<Made>, warnings: &mut Vec<String>) -> Vec<Made> {
    let mut accepted: Vec<Made> = Vec::new();
    let mut left = vec![possible];
    while let Some(mut some) = left.pop() {
        let tried: Vec<_> = accepted.iter().chain(&some).map(|(_, made)| Arc::clone(made)).collect();
        match configuration.with(&tried) {
            Ok(_) => accepted.append(&mut some),
            Err(why) if some.len() == 1 => warnings.push(left_out(&some[0].0, &why)),
            Err(_) => {
                let second = some.split_off(some.len() / 2);
                left.extend([second, some]);
            }
        }
    }
    accepted
}

fn left_out(fragment: &Fragment, why: &str) -> String {
    format!("container {:?}, added at run time, is left out: {why}", fragment.id())
}

#[cfg(test)]
mod tests;
