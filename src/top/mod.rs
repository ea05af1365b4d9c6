//! `portlane top`: a terminal view of a running portlane, or of numbers that were recorded.
//!
//! - [`model`]: snapshots in, lanes with their rates out; knows no terminal
//! - [`view`]: what is shown of them, and what keys do; knows no terminal either
//! - [`screen`]: both on a frame of characters
//! - `source` and `terminal`: where snapshots come from and where frames go; the only I/O

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::TryRecvError;
use std::thread;
use std::time::Duration;
use std::{io, process};

use ratatui::crossterm::event;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::args::Top;
use crate::failure::Failure;

use self::model::Model;
use self::source::{Answer, Source};
use self::terminal::Screen;
use self::view::{Step, View};

mod allowed;
mod cells;
mod columns;
mod detail;
pub mod model;
pub mod screen;
mod source;
mod terminal;
pub mod view;

#[cfg(test)]
mod tests;

/// How long a key, a signal or a snapshot may wait for the screen.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long the view may take to end after a signal.
const GRACE: Duration = Duration::from_secs(1);

/// Runs the command, until the person who looks at it has seen enough.
///
/// # Errors
///
/// Refused if standard output is no terminal, nobody listens on the socket, or the file has no numbers; failed if the
/// terminal is lost.
pub fn run(arguments: &Top) -> Result<(), Failure> {
    terminal::check()?;
    let mut model = Model::default();
    let source = Source::open(arguments, &mut model)?;
    let ended = Arc::new(AtomicBool::new(false));
    end_on_signals(&ended).map_err(Failure::failed)?;
    let mut screen = Screen::open().map_err(lost)?;
    watch(&mut screen, &mut model, &source, &ended)
}

/// A signal ends the view; where it does not within [`GRACE`], the process: reading keys of a terminal that is gone never returns
/// (crossterm takes the end of its input for nothing yet).
fn end_on_signals(ended: &Arc<AtomicBool>) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let ended = Arc::clone(ended);
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if signals.forever().next().is_some() {
            ended.store(true, Ordering::Relaxed);
            thread::sleep(GRACE);
            terminal::restore();
            process::exit(1);
        }
    })?;
    Ok(())
}

fn watch(screen: &mut Screen, model: &mut Model, source: &Source, ended: &AtomicBool) -> Result<(), Failure> {
    let mut view = View::default();
    view.arrange(model);
    let mut is_stale = true;
    while !ended.load(Ordering::Relaxed) {
        if is_stale {
            screen.draw(model, &mut view).map_err(lost)?;
        }
        is_stale = false;
        if event::poll(PATIENCE).map_err(lost)? {
            if view.take(&event::read().map_err(lost)?, model) == Step::Leave {
                return Ok(());
            }
            is_stale = true;
        }
        match source.next() {
            Ok(Answer::Snapshot(snapshot)) => {
                view.complaint = None;
                if !view.frozen {
                    model.observe(*snapshot);
                    view.arrange(model);
                }
            }
            Ok(Answer::Silence(why)) => view.complaint = Some(why),
            Err(TryRecvError::Empty) => continue,
            Err(TryRecvError::Disconnected) => return Err(Failure::failed("nobody asks for numbers any more")),
        }
        is_stale = true;
    }
    Ok(())
}

fn lost(cause: io::Error) -> Failure {
    Failure::failed(format!("the terminal cannot be used: {cause}"))
}
