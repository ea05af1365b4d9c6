//! Labels and rules that were added at run time, in a file.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use portlane_meters::{Label, Rule};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

/// What was added, in the order in which it came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    #[serde(skip)]
    path: PathBuf,
    #[serde(default, rename = "metering_labels")]
    pub(super) labels: Vec<Label>,
    #[serde(default, rename = "metering_label_rules")]
    pub(super) rules: Vec<Rule>,
}

impl State {
    /// What a file says; nothing if there is none. One that cannot be read is put aside, and said so.
    pub(super) fn read(path: &Path) -> (Self, Vec<String>) {
        let none = Self { path: path.to_owned(), ..Self::default() };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return (none, Vec::new()),
            Err(cause) => return (none, vec![put_aside(path, &cause.to_string())]),
        };
        match serde_json::from_str::<Self>(&text) {
            Ok(state) => (Self { path: path.to_owned(), ..state }, Vec::new()),
            Err(why) => (none, vec![put_aside(path, &why.to_string())]),
        }
    }

    /// The same file, with nothing in it.
    pub(super) fn emptied(&self) -> Self {
        Self { path: self.path.clone(), ..Self::default() }
    }

    /// Writes it anew, whole or not at all.
    pub(super) fn write(&self) -> Result<(), String> {
        let write = || -> Result<(), Box<dyn std::error::Error>> {
            let folder = self.path.parent().unwrap_or(Path::new("."));
            fs::create_dir_all(folder)?;
            let mut file = NamedTempFile::new_in(folder)?;
            serde_json::to_writer_pretty(&mut file, self)?;
            file.write_all(b"\n")?;
            file.as_file().sync_all()?;
            file.persist(&self.path)?;
            Ok(())
        };
        write().map_err(|cause| format!("{}: {cause}", self.path.display()))
    }
}

fn put_aside(path: &Path, why: &str) -> String {
    let aside = path.with_extension("unreadable");
    let path = path.display();
    match fs::rename(path.to_string(), &aside) {
        Ok(()) => format!("meters added at run time are lost: {path}: {why}: it is {} now", aside.display()),
        Err(cause) => format!("meters added at run time are lost: {path}: {why}; it could not be put aside: {cause}"),
    }
}
