//! What is shown, in which order, and what keys do.

use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::columns::Column;
use super::model::{Direction, Key, Lane, Model};

/// The longest filter, in characters.
const MAX_FILTER: usize = 64;

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Go on.
    Stay,
    /// The person has seen enough.
    Leave,
}

/// What is shown.
#[derive(Debug)]
pub struct View {
    /// Why the numbers are not of now.
    pub complaint: Option<String>,
    /// Whether the numbers stay as they are.
    pub frozen: bool,
    /// The column that lanes are sorted by.
    pub(super) sort: Column,
    /// Whether the lowest comes first.
    pub(super) reversed: bool,
    /// Only lanes whose container or group has this in its name, whatever the case.
    pub(super) filter: String,
    /// Whether keys go to the filter.
    pub(super) editing: bool,
    /// Only this direction.
    pub(super) way: Option<Direction>,
    /// Whether the selected lane alone is shown.
    pub(super) detail: bool,
    /// Places in the model's lanes, in the order in which they are shown.
    pub(super) order: Vec<usize>,
    /// The selected one's place in that order.
    pub(super) selected: usize,
    /// The first that is on the screen.
    pub(super) first: usize,
    /// How many are.
    pub(super) page: usize,
    /// The selected lane, which stays selected wherever it goes.
    key: Option<Key>,
}

impl Default for View {
    fn default() -> Self {
        Self {
            complaint: None,
            frozen: false,
            sort: Column::Rate,
            reversed: false,
            filter: String::new(),
            editing: false,
            way: None,
            detail: false,
            order: Vec::new(),
            selected: 0,
            first: 0,
            page: 1,
            key: None,
        }
    }
}

impl View {
    /// Puts the model's lanes in order; to be called whenever they have changed.
    pub fn arrange(&mut self, model: &Model) {
        let wanted = self.filter.to_lowercase();
        let is_shown = |lane: &Lane| {
            let names = [Some(&lane.name), lane.group.as_ref()];
            let is_named = || names.into_iter().flatten().any(|name| name.to_lowercase().contains(&wanted));
            self.way.is_none_or(|way| lane.key.direction == way) && (wanted.is_empty() || is_named())
        };
        let mut order: Vec<_> = (0..model.lanes.len()).filter(|&place| is_shown(&model.lanes[place])).collect();
        order.sort_by(|&one, &other| {
            let ordering = self.sort.compare(&model.lanes[one], &model.lanes[other]);
            if self.reversed { ordering.reverse() } else { ordering }
        });
        self.order = order;
        let place = self.key.as_ref().and_then(|key| self.order.iter().position(|&at| model.lanes[at].key == *key));
        self.detail &= place.is_some();
        match place {
            Some(place) => self.selected = place,
            None => self.selected = self.selected.min(self.order.len().saturating_sub(1)),
        }
    }

    /// The selected lane.
    pub(super) fn lane<'a>(&self, model: &'a Model) -> Option<&'a Lane> {
        self.order.get(self.selected).and_then(|&place| model.lanes.get(place))
    }

    /// Does what a key says; other events only ask for the screen to be drawn anew.
    pub fn take(&mut self, event: &Event, model: &Model) -> Step {
        let Event::Key(key) = event else { return Step::Stay };
        if key.kind == KeyEventKind::Release {
            return Step::Stay;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if key.code == KeyCode::Char('c') { Step::Leave } else { Step::Stay };
        }
        if self.editing {
            self.edit(*key);
        } else if self.obey(key.code, model) == Step::Leave {
            return Step::Leave;
        }
        self.arrange(model);
        Step::Stay
    }

    fn edit(&mut self, key: KeyEvent) {
        match key.code {
            KeyCode::Enter => self.editing = false,
            KeyCode::Esc => {
                self.editing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(c) if !c.is_control() && self.filter.chars().count() < MAX_FILTER => self.filter.push(c),
            _ => {}
        }
    }

    fn obey(&mut self, key: KeyCode, model: &Model) -> Step {
        match key {
            KeyCode::Char('q') => return Step::Leave,
            KeyCode::Esc if self.detail => self.detail = false,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Enter if self.detail => self.detail = false,
            KeyCode::Enter => {
                self.select(self.selected, model);
                self.detail = self.key.is_some();
            }
            KeyCode::Char('f' | ' ') => self.frozen = !self.frozen,
            KeyCode::Char('/') if !self.detail => self.editing = true,
            KeyCode::Char('s') => self.sort_by_next(1),
            KeyCode::Char('S') => self.sort_by_next(Column::SORTS.len() - 1),
            KeyCode::Char('r') => self.reversed = !self.reversed,
            KeyCode::Char('d') if !self.detail => {
                self.way = match self.way {
                    None => Some(Direction::Egress),
                    Some(Direction::Egress) => Some(Direction::Ingress),
                    Some(Direction::Ingress) => None,
                }
            }
            _ => self.scroll(key, model),
        }
        Step::Stay
    }

    fn scroll(&mut self, key: KeyCode, model: &Model) {
        let to = match key {
            KeyCode::Up | KeyCode::Char('k') => self.selected.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.selected.saturating_add(1),
            KeyCode::PageUp => self.selected.saturating_sub(self.page),
            KeyCode::PageDown => self.selected.saturating_add(self.page),
            KeyCode::Home => 0,
            KeyCode::End => usize::MAX,
            _ => return,
        };
        self.select(to, model);
    }

    fn select(&mut self, place: usize, model: &Model) {
        self.selected = place.min(self.order.len().saturating_sub(1));
        self.key = self.lane(model).map(|lane| lane.key.clone());
    }

    fn sort_by_next(&mut self, steps: usize) {
        let at = Column::SORTS.iter().position(|column| *column == self.sort).unwrap_or(0);
        self.sort = Column::SORTS[(at + steps) % Column::SORTS.len()];
    }
}
