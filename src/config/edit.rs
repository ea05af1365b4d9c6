//! A configuration file with containers beside it that were added at run time: one parser and one set of checks for both.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use portlane_classify::PortRange;
use toml::Table;

use super::error::Problem;
use super::file::{self, File};
use super::values::List;
use super::{ConfigError, Plan, plan, read};

/// What a configuration file says.
#[derive(Debug)]
pub struct Configuration {
    file: File,
}

/// A container as it was added: what a `[[container]]` of a file says.
#[derive(Debug)]
pub struct Fragment {
    id: String,
    table: Table,
    text: String,
    parsed: file::Container,
}

/// A document of containers alone.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Containers {
    container: List<file::Container>,
}

impl Configuration {
    /// Reads and checks a file; the plan is that of the file alone.
    ///
    /// # Errors
    ///
    /// As [`load`](super::load).
    pub fn load(path: &Path) -> Result<(Self, Plan), ConfigError> {
        let name = path.display().to_string();
        let text = read(path, &name)?;
        let checked = File::parse(&text).and_then(|file| plan::build(file.clone()).map(|plan| (Self { file }, plan)));
        checked.map_err(|problem| ConfigError::new(problem, &text, &name))
    }

    /// Whether the file itself has a container of this name.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.file.container.0.iter().any(|container| container.id.get_ref() == id)
    }

    /// Its containers, and their ports.
    pub fn containers(&self) -> impl Iterator<Item = (&str, Vec<PortRange>)> {
        self.file.container.0.iter().map(|container| {
            let ports = container.ports.get_ref().0.iter().map(|range| range.get_ref().0);
            (container.id.get_ref().as_str(), ports.collect())
        })
    }

    /// The names of its containers.
    #[must_use]
    pub fn ids(&self) -> HashSet<&str> {
        self.file.container.0.iter().map(|container| container.id.get_ref().as_str()).collect()
    }

    /// The plan of the file with these containers behind its own.
    ///
    /// # Errors
    ///
    /// What of them cannot be, and what would be right.
    pub fn with(&self, added: &[Arc<Fragment>]) -> Result<Plan, String> {
        let (mut file, own) = (self.file.clone(), self.file.container.0.len());
        file.container.0.extend(added.iter().map(|fragment| fragment.parsed.clone()));
        plan::build_with(file, own).map_err(words)
    }
}

impl Fragment {
    /// A container of this name with these keys.
    ///
    /// # Errors
    ///
    /// What is not a container's, and what would be right.
    pub fn new(id: &str, keys: &Table) -> Result<Self, String> {
        if let Some(other) = keys.get("id").filter(|other| other.as_str() != Some(id)) {
            return Err(format!("id is {other}, and the container is {id:?}: leave it out"));
        }
        let mut table = keys.clone();
        table.insert("id".to_owned(), id.into());
        let document = Table::from_iter([("container".to_owned(), vec![table.clone()].into())]);
        let text = toml::to_string(&document).map_err(|error| error.to_string())?;
        let parsed: Containers = toml::from_str(&text).map_err(|error| words(Problem::from(error)))?;
        let [parsed] = <[_; 1]>::try_from(parsed.container.0).map_err(|_| "one container was expected".to_owned())?;
        Ok(Self { id: id.to_owned(), table, text, parsed })
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its keys, `id` included.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// It as a configuration file has it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// A problem without the place: who asks has no file before them.
fn words(problem: Problem) -> String {
    match problem.help {
        Some(help) => format!("{}: {help}", problem.title),
        None => problem.title,
    }
}
