//! A table of promises: what was tried, what was expected, what was measured, and whether the bound was kept.

use std::fmt::Display;

const HEAD: [&str; 5] = ["what", "expected", "measured", "bound", "ok"];

pub(crate) struct Table {
    title: &'static str,
    rows: Vec<[String; 5]>,
    broken: usize,
}

impl Table {
    pub(crate) fn new(title: &'static str) -> Self {
        Self { title, rows: Vec::new(), broken: 0 }
    }

    pub(crate) fn row(
        &mut self,
        what: impl Display,
        expected: impl Display,
        measured: impl Display,
        bound: impl Display,
        ok: bool,
    ) {
        self.broken += usize::from(!ok);
        let ok = if ok { "ok" } else { "BROKEN" };
        self.rows.push([
            what.to_string(),
            expected.to_string(),
            measured.to_string(),
            bound.to_string(),
            ok.to_owned(),
        ]);
    }

    /// A row of a number that has to be `expected` within `percent`.
    pub(crate) fn within(&mut self, what: impl Display, expected: u64, measured: u64, percent: u64, unit: &str) {
        let ok = expected.abs_diff(measured) * 100 <= expected * percent;
        let (expected, measured) = (format!("{expected} {unit}"), format!("{measured} {unit}"));
        self.row(what, expected, measured, format!("within {percent} %"), ok);
    }

    /// A row of a number that may not be above `bound`.
    pub(crate) fn at_most<T: Display + PartialOrd>(
        &mut self,
        what: impl Display,
        expected: &str,
        measured: T,
        bound: T,
    ) {
        let ok = measured <= bound;
        self.row(what, expected, measured, format!("at most {bound}"), ok);
    }

    /// A row of a number that may not be below `bound`.
    pub(crate) fn at_least<T: Display + PartialOrd>(
        &mut self,
        what: impl Display,
        expected: &str,
        measured: T,
        bound: T,
    ) {
        let ok = measured >= bound;
        self.row(what, expected, measured, format!("at least {bound}"), ok);
    }

    /// Prints the table; returns the number of rows with a broken bound.
    pub(crate) fn print(&self) -> usize {
        let widest = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.chain([HEAD[column].len()]).max().unwrap_or(0)
        };
        let [what, expected, measured, bound, _] = [0, 1, 2, 3, 4].map(widest);
        println!("\n{}", self.title);
        for row in [HEAD.map(str::to_owned)].iter().chain(&self.rows) {
            let [a, b, c, d, e] = row;
            println!("  {a:<what$}  {b:>expected$}  {c:>measured$}  {d:>bound$}  {e}");
        }
        self.broken
    }
}

/// A time in milliseconds with three decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Millis(pub(crate) portlane_shaper::Nanos);

impl Display for Millis {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let micros = self.0.0.div_ceil(1_000);
        formatter.pad(&format!("{}.{:03} ms", micros / 1_000, micros % 1_000))
    }
}
