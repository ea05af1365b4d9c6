//! The view on a frame of characters: a heading, the list of lanes or one of them, and what keys do.

use portlane_stats::render::text;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Cell, Paragraph, Row, Table};

use super::cells::cell;
use super::columns::Column;
use super::detail;
use super::model::{Lane, Model};
use super::view::View;

const LIST_KEYS: &str = "q quit  Enter detail  s S sort  r reverse  / filter  d direction  f freeze";
const DETAIL_KEYS: &str = "q quit  Esc back  up, down the next lane  f freeze";

/// Draws all of it. The view is told which part of the list that is.
pub fn draw(frame: &mut Frame<'_>, model: &Model, view: &mut View) {
    let [heading, body, footer] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(0), Constraint::Length(1)]).areas(frame.area());
    frame.render_widget(Paragraph::new(vec![told(model, view), chosen(model, view)]), heading);
    match view.lane(model).filter(|_| view.detail) {
        Some(lane) => frame.render_widget(Paragraph::new(detail::page(lane, body.width)), body),
        None => list(frame, body, model, view),
    }
    frame.render_widget(keys(view), footer);
}

/// All packets, and how old the numbers are.
fn told(model: &Model, view: &View) -> Line<'static> {
    let containers = model.containers();
    let mut line = format!("portlane  {containers} container{}", if containers == 1 { "" } else { "s" });
    if let Some(last) = &model.last {
        let (totals, counted) = (&last.totals, text::sojourn_time(last.duration_ns));
        line += &format!(
            ", {counted} counted  received {} = sent {} + dropped {} + queued {}",
            totals.received, totals.sent, totals.dropped, totals.queued
        );
    }
    let mut spans = vec![Span::from(line)];
    if view.frozen {
        spans.push(Span::styled("  FROZEN", Style::new().fg(Color::Cyan).add_modifier(Modifier::BOLD)));
    }
    Line::from(spans)
}

/// What was chosen to be shown.
fn chosen(model: &Model, view: &View) -> Line<'static> {
    let way = view.way.map_or("both directions", |way| way.as_str());
    let order = if view.reversed { ", lowest first" } else { "" };
    let (lanes, elapsed) = (view.order.len(), text::sojourn_time(model.elapsed_ns));
    let mut line = format!("rates of {elapsed}  {lanes} lanes, {way}, by {}{order}", view.sort.heading());
    if !view.filter.is_empty() {
        line += &format!(", with \"{}\"", text::printable(&view.filter));
    }
    Line::styled(line, Style::new().add_modifier(Modifier::DIM))
}

fn keys(view: &View) -> Paragraph<'static> {
    if let Some(complaint) = &view.complaint {
        return Paragraph::new(text::printable(complaint)).style(Style::new().fg(Color::Red));
    }
    if view.editing {
        return Paragraph::new(format!("filter: {}_   Enter keep  Esc drop", text::printable(&view.filter)));
    }
    Paragraph::new(if view.detail { DETAIL_KEYS } else { LIST_KEYS }).style(Style::new().add_modifier(Modifier::DIM))
}

fn list(frame: &mut Frame<'_>, area: Rect, model: &Model, view: &mut View) {
    view.page = usize::from(area.height.saturating_sub(1)).max(1);
    view.first = view.first.min(view.selected).max((view.selected + 1).saturating_sub(view.page));
    let columns = Column::fitting(area.width);
    let shown = view.order.iter().enumerate().skip(view.first).take(view.page);
    let rows = shown.filter_map(|(place, &at)| {
        let row = Row::new(columns.iter().map(|&column| in_color(model.lanes.get(at), column)));
        let style =
            Style::new().add_modifier(if place == view.selected { Modifier::REVERSED } else { Modifier::empty() });
        model.lanes.get(at).map(|_| row.style(style))
    });
    // The first column has the room that is left.
    let widths = columns.iter().map(|column| match column {
        Column::Container => Constraint::Min(column.width()),
        _ => Constraint::Length(column.width()),
    });
    let headings = columns.iter().map(|&column| {
        let mark = if column == view.sort { Modifier::UNDERLINED } else { Modifier::empty() };
        aligned(column.heading().to_owned(), column).style(Style::new().add_modifier(Modifier::BOLD | mark))
    });
    frame.render_widget(Table::new(rows, widths).header(Row::new(headings)).column_spacing(1), area);
}

fn in_color(lane: Option<&Lane>, column: Column) -> Cell<'static> {
    let Some(lane) = lane else { return Cell::default() };
    let color = match column {
        Column::Drops if lane.drops_in_10_s > 0 => Color::Red,
        Column::Marks if lane.marks_in_10_s > 0 => Color::Yellow,
        Column::Use | Column::Trend => Color::Green,
        _ => return aligned(cell(lane, column), column),
    };
    aligned(cell(lane, column), column).style(Style::new().fg(color))
}

fn aligned(text: String, column: Column) -> Cell<'static> {
    let alignment = if column.is_number() { Alignment::Right } else { Alignment::Left };
    Cell::new(Text::from(text).alignment(alignment))
}
