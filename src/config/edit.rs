//! A configuration file with containers beside it that were added at run time: one parser and one set of checks for both.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use portlane_classify::PortRange;
use toml::Table;

use super::error::Problem;
use super::file::{self, File};
use super::values::List;
use super::{ConfigError, Container, Plan, plan, read};

/// What a configuration file says, and what is true of it by itself.
#[derive(Debug)]
pub struct Configuration {
    file: File,
    own: Plan,
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
        let checked = File::parse(&text).and_then(|file| {
            let own = plan::build(file.clone())?;
            let plan = plan::with(&own, &[])?;
            Ok((Self { file, own }, plan))
        });
        checked.map_err(|problem| ConfigError::new(problem, &text, &name))
    }

    /// Takes from an earlier one what is the same there: plans made of both share it.
    pub fn share(&mut self, earlier: &Self) {
        self.own.share(&earlier.own);
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

    /// What a container would be behind those of the file, and what of it is probably not meant.
    ///
    /// # Errors
    ///
    /// What of it cannot be, and what would be right.
    pub fn check(&self, added: &Fragment) -> Result<(Arc<Container>, Vec<String>), String> {
        let mut warnings = Vec::new();
        let container = plan::added_container(&self.file, &added.parsed, &mut warnings).map_err(words)?;
        Ok((Arc::new(container), warnings))
    }

    /// The plan of the file with these containers, all [checked](Self::check), behind its own.
    ///
    /// # Errors
    ///
    /// What of them cannot be together, and what would be right.
    pub fn with(&self, added: &[Arc<Container>]) -> Result<Plan, String> {
        plan::with(&self.own, added).map_err(words)
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
