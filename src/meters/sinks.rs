//! Where reports go: JSON lines in a file or on standard output, and an HTTP receiver.

mod post;
mod spool;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::delivery::Delivery;
use super::event::Event;
use super::settings::SinkConfig;
use crate::failure::{self, Failure};
use post::Post;

/// Where reports go.
#[derive(Debug)]
pub struct Sinks {
    output: Option<Output>,
    post: Option<Post>,
    delivery: Arc<Delivery>,
}

impl Sinks {
    /// Opens them.
    ///
    /// # Errors
    ///
    /// Refused if the file cannot be opened, or the folder of the spool not be had.
    pub fn open(config: &SinkConfig, delivery: &Arc<Delivery>) -> Result<Self, Failure> {
        let output = config.output.as_deref().map(Output::open).transpose()?;
        let (spool, limit) = (config.spool.as_deref(), config.spool_limit);
        let post = config.post.as_ref().map(|url| Post::open(url, spool, limit, delivery)).transpose()?;
        if output.is_some() || post.is_some() {
            delivery.is_wanted();
        }
        Ok(Self { output, post, delivery: Arc::clone(delivery) })
    }

    /// Begins to post, by a thread that has the cores and capabilities of the calling one.
    pub(super) fn begin(&mut self) {
        if let Some(Err(cause)) = self.post.as_mut().map(Post::begin) {
            failure::tell(format!("reports of meters are not posted: {cause}"));
            self.post = None;
        }
    }

    /// Tells of events. Nobody waits for a receiver.
    pub fn publish(&mut self, events: &[Event]) {
        if events.is_empty() {
            return;
        }
        if let Some(output) = &mut self.output {
            output.write(events, &self.delivery);
        }
        if let Some(post) = &self.post {
            post.publish(events);
        }
    }
}

/// A file that may be moved away and made anew, as logrotate does.
#[derive(Debug)]
struct Output {
    path: PathBuf,
    /// `None`: standard output.
    file: Option<File>,
}

impl Output {
    fn open(path: &Path) -> Result<Self, Failure> {
        let file = if path == Path::new("-") { None } else { Some(append(path)) };
        let file = file.transpose().map_err(|cause| {
            Failure::refused(format!("[meters] output {}: {cause}: name a file that can be written", path.display()))
        })?;
        Ok(Self { path: path.to_owned(), file })
    }

    fn write(&mut self, events: &[Event], delivery: &Delivery) {
        let lines: String =
            events.iter().filter_map(|event| serde_json::to_string(event).ok()).map(|line| line + "\n").collect();
        if let Err(cause) = self.try_write(lines.as_bytes()) {
            delivery.leave_unwritten();
            failure::tell(format!("{} events of meters are not in {}: {cause}", events.len(), self.path.display()));
        }
    }

    fn try_write(&mut self, lines: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else { return io::stdout().lock().write_all(lines) };
        let place = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        if fs::metadata(&self.path).map(place).ok() != Some(place(file.metadata()?)) {
            *file = append(&self.path)?;
        }
        file.write_all(lines)
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}
