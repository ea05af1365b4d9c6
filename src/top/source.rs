//! Where snapshots come from: a thread that asks a running portlane, or a file.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

use portlane_stats::snapshot::Snapshot;

use super::model::Model;
use crate::args::Top;
use crate::control::client;
use crate::failure::Failure;

/// The longest file that is read.
const MAX_FILE: u64 = 1 << 32;

/// What came of asking.
pub(super) enum Answer {
    /// The numbers of now.
    Snapshot(Box<Snapshot>),
    /// Why there are none; the next question may have an answer.
    Silence(String),
}

/// Snapshots as they come.
pub(super) enum Source {
    /// From a running portlane.
    Socket(Receiver<Answer>),
    /// All that were in a file are in the model already.
    File,
}

impl Source {
    /// Opens what is asked for. The model has at least one snapshot then.
    pub(super) fn open(arguments: &Top, model: &mut Model) -> Result<Self, Failure> {
        if let Some(path) = &arguments.stats {
            read(path, model)?;
            return Ok(Self::File);
        }
        let socket = arguments.socket.clone();
        model.observe(client::snapshot(&socket).map_err(Failure::refused)?);
        // One answer at most waits to be looked at, so that none is old.
        let (answers, source) = sync_channel(0);
        let interval = Duration::from_secs(arguments.interval);
        thread::Builder::new()
            .name("numbers".to_owned())
            .spawn(move || ask(&socket, interval, &answers))
            .map_err(Failure::failed)?;
        Ok(Self::Socket(source))
    }

    /// What has come since.
    pub(super) fn next(&self) -> Result<Answer, TryRecvError> {
        match self {
            Self::Socket(answers) => answers.try_recv(),
            Self::File => Err(TryRecvError::Empty),
        }
    }
}

fn ask(socket: &Path, interval: Duration, answers: &SyncSender<Answer>) {
    loop {
        thread::sleep(interval);
        let answer = match client::snapshot(socket) {
            Ok(snapshot) => Answer::Snapshot(Box::new(snapshot)),
            Err(error) => Answer::Silence(error.to_string()),
        };
        if answers.send(answer).is_err() {
            return;
        }
    }
}

/// Reads a file of snapshots, one after the other.
fn read(path: &Path, model: &mut Model) -> Result<(), Failure> {
    let refused = |why: String| Failure::refused(format!("{}: {why}", path.display()));
    let file = File::open(path).map_err(|cause| refused(format!("cannot be read: {cause}")))?;
    if file.metadata().is_ok_and(|of| of.is_dir()) {
        return Err(refused("is a folder: give a file that `portlane stats --format json` wrote".to_owned()));
    }
    let snapshots = serde_json::Deserializer::from_reader(BufReader::new(file.take(MAX_FILE))).into_iter::<Snapshot>();
    let mut count = 0_u64;
    for snapshot in snapshots {
        let snapshot = snapshot.map_err(|error| {
            refused(format!("snapshot {}: {error} (expected the JSON of `--format json`)", count + 1))
        })?;
        model.observe(snapshot);
        count += 1;
    }
    if count == 0 {
        return Err(refused("is empty: expected the JSON of `--format json`".to_owned()));
    }
    Ok(())
}
