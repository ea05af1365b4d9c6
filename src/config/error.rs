//! What is wrong with a configuration, and where.

use std::fmt;
use std::io;
use std::ops::Range;
use std::slice;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use toml::de::DeTable;

/// Something wrong at a place in a configuration's text.
#[derive(Debug)]
pub(crate) struct Problem {
    /// What is wrong.
    pub(crate) title: String,
    /// Where, in bytes of the text; `None` for what is missing altogether.
    pub(crate) span: Option<Range<usize>>,
    /// What would be right, where the title does not say it.
    pub(crate) help: Option<String>,
}

impl Problem {
    pub(crate) fn at(span: Range<usize>, title: impl Into<String>) -> Self {
        Self { title: title.into(), span: Some(span), help: None }
    }

    pub(crate) fn of_the_whole(title: impl Into<String>) -> Self {
        Self { title: title.into(), span: None, help: None }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl From<toml::de::Error> for Problem {
    fn from(error: toml::de::Error) -> Self {
        Self { title: error.message().to_owned(), span: error.span(), help: None }
    }
}

/// Why a configuration was refused: one problem, shown with the line that it is in.
#[derive(Debug)]
pub struct ConfigError {
    rendered: String,
}

impl ConfigError {
    pub(crate) fn new(problem: Problem, text: &str, name: &str) -> Self {
        let mut group = Group::with_title(Level::ERROR.primary_title(problem.title.as_str()));
        if let Some(span) = problem.span {
            // A problem at the end of the text has an empty span; the marker needs a place to stand.
            let end = span.end.min(text.len());
            let span = span.start.min(end)..end;
            let annotation = AnnotationKind::Primary.span(span.clone()).label(node_at(text, &span));
            let snippet = Snippet::source(text).path(name).annotation(annotation);
            group = group.element(snippet);
        } else {
            group = group.element(annotate_snippets::Origin::path(name));
        }
        if let Some(help) = &problem.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        Self { rendered: Renderer::plain().render(&[group]) }
    }

    /// The byte at `place` is not UTF-8; all before it is.
    pub(crate) fn not_text(name: &str, bytes: &[u8], place: usize) -> Self {
        let before = String::from_utf8_lossy(&bytes[..place]);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |start| start.chars().count()) + 1;
        let byte = bytes[place];
        Self {
            rendered: format!(
                "error: {name}:{line}:{column}: byte 0x{byte:02x} is not UTF-8: save the file as UTF-8 text"
            ),
        }
    }

    pub(crate) fn unreadable(name: &str, cause: &io::Error) -> Self {
        Self { rendered: format!("error: {name} cannot be read: {cause}") }
    }
}

/// The container or the group that the place is in: of the tables that begin before it the last. `None` for a place in
/// another table, and for an id, which names itself.
fn node_at(text: &str, place: &Range<usize>) -> Option<String> {
    let document = DeTable::parse(text).ok()?;
    let tables = document.get_ref().iter().flat_map(|(key, value)| {
        let kind = key.get_ref().as_ref();
        let nodes = value.get_ref().as_array().filter(|_| ["container", "group"].contains(&kind));
        let tables = nodes.map_or(slice::from_ref(value), |nodes| &**nodes);
        tables.iter().map(move |table| (table.span().start, kind, nodes.and_then(|_| table.get_ref().get("id"))))
    });
    let (_, kind, id) = tables.filter(|&(start, ..)| start <= place.start).max_by_key(|&(start, ..)| start)?;
    let id = id.filter(|id| id.span() != *place)?;
    Some(format!("{kind} {:?}", id.get_ref().as_str()?))
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rendered)
    }
}

impl std::error::Error for ConfigError {}
