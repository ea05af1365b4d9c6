//! What was added, in a file: as a configuration has containers, and which ports rest.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use toml::Table;

use super::ports::Resting;
use crate::config::Fragment;

const HEAD: &str = "# Containers that were added to a running portlane. It writes this file anew with each change.\n";

/// Containers that were added, in the order in which they came, and ports that rest.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub(super) containers: Vec<Arc<Fragment>>,
    pub(super) resting: Vec<Resting>,
}

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    container: Vec<Table>,
    #[serde(default)]
    resting: Vec<WrittenResting>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenResting {
    ports: String,
    /// Seconds since the epoch.
    until: u64,
}

impl State {
    /// What a file says; nothing if there is none. What cannot be read is left out, and said so: a file that is none of ours is put
    /// aside.
    pub(super) fn read(path: &Path) -> (Self, Vec<String>) {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return (Self::default(), Vec::new()),
            Err(cause) => return (Self::default(), vec![put_aside(path, &cause.to_string())]),
        };
        match Self::parse(&text) {
            Ok((state, warnings)) => (state, warnings),
            Err(why) => (Self::default(), vec![put_aside(path, &why)]),
        }
    }

    /// What a text says, and what of it is left out.
    ///
    /// # Errors
    ///
    /// Why it is none of ours.
    pub fn parse(text: &str) -> Result<(Self, Vec<String>), String> {
        let written: Written = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        let (mut state, mut warnings) = (Self::default(), Vec::new());
        for table in written.container {
            let id = table.get("id").and_then(|id| id.as_str()).unwrap_or_default().to_owned();
            match Fragment::new(&id, &table) {
                Ok(fragment) => state.containers.push(Arc::new(fragment)),
                Err(why) => warnings.push(format!("container {id:?}, added at run time, is left out: {why}")),
            }
        }
        for WrittenResting { ports, until } in written.resting {
            match ports.parse() {
                Ok(ports) => state.resting.push(Resting { ports, until: Duration::from_secs(until) }),
                Err(why) => warnings.push(format!("ports {ports:?}, which are to rest, are left out: {why}")),
            }
        }
        Ok((state, warnings))
    }

    /// Puts it in place of what the file says, in one step.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let beside = named(path, "new");
        let written = File::create(&beside).and_then(|mut file| {
            file.write_all(self.text().as_bytes())?;
            file.sync_data()
        });
        written.and_then(|()| fs::rename(&beside, path)).inspect_err(|_| {
            // What was begun is no use to anybody.
            let _ = fs::remove_file(&beside);
        })
    }

    /// The text that says it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = HEAD.to_owned();
        for resting in &self.resting {
            // Rounded up: none is given too early.
            let until = resting.until.as_secs() + u64::from(resting.until.subsec_nanos() > 0);
            let _ = write!(text, "\n[[resting]]\nports = \"{}\"\nuntil = {until}\n", resting.ports);
        }
        for container in &self.containers {
            text.push('\n');
            text.push_str(container.text());
        }
        text
    }

    /// Forgets what has rested by `now`.
    pub(super) fn forget_rested(&mut self, now: Duration) {
        self.resting.retain(|resting| resting.until > now);
    }
}

fn named(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

/// A file that cannot be read is no reason not to start, nor to be written over.
fn put_aside(path: &Path, why: &str) -> String {
    let aside = named(path, "unreadable");
    let (path, moved) = (path.display(), fs::rename(path, &aside));
    match moved {
        Ok(()) => format!("{path}: {why}: it is {} now, and what it had added is not there", aside.display()),
        Err(cause) => format!("{path}: {why}: what it had added is not there (nor can it be renamed: {cause})"),
    }
}
