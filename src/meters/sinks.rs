//! Where reports go: JSON lines in a file or on standard output.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::event::Event;
use crate::failure::{self, Failure};

/// Where reports are to go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SinkConfig {
    /// A file, to which a line is added for each event; `-` is standard output.
    pub output: Option<PathBuf>,
}

/// Where reports go.
#[derive(Debug)]
pub struct Sinks {
    output: Option<(PathBuf, Option<File>)>,
}

impl Sinks {
    /// Opens them.
    ///
    /// # Errors
    ///
    /// Refused if the file cannot be opened.
    pub fn open(config: &SinkConfig) -> Result<Self, Failure> {
        let output = config.output.as_ref().map(|path| match path.to_str() {
            Some("-") => Ok((path.clone(), None)),
            _ => append(path).map(|file| (path.clone(), Some(file))).map_err(|cause| {
                Failure::refused(format!(
                    "[meters] output {}: {cause}: name a file that can be written",
                    path.display()
                ))
            }),
        });
        Ok(Self { output: output.transpose()? })
    }

    /// Tells of events.
    pub fn publish(&mut self, events: &[Event]) {
        let Some((path, file)) = &mut self.output else { return };
        let lines: String =
            events.iter().filter_map(|event| serde_json::to_string(event).ok()).map(|line| line + "\n").collect();
        let written = match file {
            Some(file) => file.write_all(lines.as_bytes()),
            None => io::stdout().lock().write_all(lines.as_bytes()),
        };
        if let Err(cause) = written {
            failure::tell(format!("{} events of meters are lost: {}: {cause}", events.len(), path.display()));
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}
