//! Numbers as characters.

use portlane_stats::render::text::{limit, measured_rate, printable, sojourn_time};

use super::columns::Column;
use super::model::Lane;

/// Eighths of a character, from the left.
const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

/// Eighths of a character, from below.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What a lane has in a column.
pub(super) fn cell(lane: &Lane, column: Column) -> String {
    match column {
        Column::Container => lane.name.clone(),
        Column::Way => lane.key.direction.as_str().to_owned(),
        Column::Rate => measured_rate(lane.bits_per_s()),
        Column::Limit => limit(&lane.report.limit),
        Column::Use => lane.used_per_mille().map_or_else(|| "-".to_owned(), used),
        Column::Queue => lane.report.queued().packets.to_string(),
        Column::P50 => waited(lane, lane.report.sojourn_ns.p50),
        Column::P99 => waited(lane, lane.report.sojourn_ns.p99),
        Column::Drops => tenths(lane.drops_in_10_s),
        Column::Marks => tenths(lane.marks_in_10_s),
        Column::Trend => trend(lane.history.iter().copied(), usize::from(Column::Trend.width())),
        Column::LimitedBy => printable(&lane.report.limited_by.to_string()),
    }
}

/// A time in the lane; none if no packet has been through.
pub(super) fn waited(lane: &Lane, ns: u64) -> String {
    if lane.report.sojourn_ns.count > 0 { sojourn_time(ns) } else { "-".to_owned() }
}

/// Thousandths as a bar of ten characters and in percent.
pub(super) fn used(per_mille: u64) -> String {
    let eighths = usize::try_from((per_mille.min(1000) * 80 + 500) / 1000).unwrap_or(0);
    let mut bar = EIGHTHS[7].to_string().repeat(eighths / 8);
    bar.extend(eighths.checked_rem(8).filter(|&rest| rest > 0).map(|rest| EIGHTHS[rest - 1]));
    let percent = per_mille.saturating_add(5) / 10;
    let percent = if percent > 999 { ">999".to_owned() } else { percent.to_string() };
    format!("{bar:<10}{percent:>4}%")
}

/// A number of tenths, with the tenth where it matters.
pub(super) fn tenths(count: u64) -> String {
    if count < 100 { format!("{}.{}", count / 10, count % 10) } else { (count / 10).to_string() }
}

/// The last `width` of some numbers as bars, beside the highest of them.
pub(super) fn trend(numbers: impl DoubleEndedIterator<Item = u64>, width: usize) -> String {
    let mut shown: Vec<_> = numbers.rev().take(width).collect();
    shown.reverse();
    let highest = u128::from(shown.iter().copied().max().unwrap_or(0).max(1));
    let level = |number: u64| usize::try_from(u128::from(number) * 7 / highest).unwrap_or(0).min(7);
    shown.into_iter().map(|number| LEVELS[level(number)]).collect()
}
