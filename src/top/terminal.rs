//! The terminal, which is as it was before, however this ends.

use std::io::{self, IsTerminal, stdout};
use std::panic;

use ratatui::DefaultTerminal;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;

use super::model::Model;
use super::screen;
use super::view::View;
use crate::failure::Failure;

/// Whether there is a terminal to draw on.
pub(super) fn check() -> Result<(), Failure> {
    if stdout().is_terminal() {
        return Ok(());
    }
    Err(Failure::refused("standard output is no terminal: `portlane stats` prints the numbers once, to anywhere"))
}

/// The terminal in raw mode, on its alternate screen.
pub(super) struct Screen(Option<DefaultTerminal>);

impl Screen {
    pub(super) fn open() -> io::Result<Self> {
        // The hook of ratatui, which comes before this one, leaves the cursor hidden.
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let _ = execute!(stdout(), Show);
            hook(panic);
        }));
        let mut screen = Self(None);
        screen.0 = Some(ratatui::try_init()?);
        Ok(screen)
    }

    pub(super) fn draw(&mut self, model: &Model, view: &mut View) -> io::Result<()> {
        if let Some(terminal) = &mut self.0 {
            terminal.draw(|frame| screen::draw(frame, model, view))?;
        }
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Leaves the terminal as it was; one that is gone needs nothing any more.
pub(super) fn restore() {
    let _ = ratatui::try_restore();
    let _ = execute!(stdout(), Show);
}
