//! Books that are shown whole, and then have to balance.

use std::fmt::Display;

/// What was counted, and by whom.
pub(crate) struct Ledger {
    lines: Vec<String>,
    slips: Vec<String>,
}

impl Ledger {
    pub(crate) fn new(title: impl Display) -> Self {
        Self { lines: vec![title.to_string()], slips: Vec::new() }
    }

    /// Begins a part of the table.
    pub(crate) fn part(&mut self, title: impl Display) {
        self.lines.push(format!("  {title}"));
    }

    /// Enters a count.
    pub(crate) fn entry(&mut self, what: impl Display, count: u64) {
        self.lines.push(format!("    {:<48}{:>20}", what.to_string(), grouped(count)));
    }

    /// Enters a law: two counts that have to be the same.
    pub(crate) fn same(&mut self, law: impl Display, one: u64, other: u64) {
        let relation = if one == other { "=" } else { "is not" };
        let line = format!("{law}: {} {relation} {}", grouped(one), grouped(other));
        if one != other {
            self.slips.push(line.clone());
        }
        self.lines.push(format!("    {line}"));
    }

    /// Enters counts of somebody that two have to agree about.
    pub(crate) fn row(&mut self, name: &str, some: &[u64], others: &[u64]) {
        let mut line = format!("    {name:<12}");
        for (&one, &other) in some.iter().zip(others) {
            line += &format!("{:>18}", grouped(one));
            if one != other {
                line += &format!(" is not {}", grouped(other));
            }
        }
        if some != others {
            self.slips.push(line.clone());
        }
        self.lines.push(line);
    }

    /// Shows the books.
    ///
    /// # Panics
    ///
    /// If they do not balance.
    pub(crate) fn close(self) {
        println!("{}\n", self.lines.join("\n"));
        assert!(self.slips.is_empty(), "the books do not balance:\n{}", self.slips.join("\n"));
    }
}

/// `1234567` as `1,234,567`.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Whether the long soak was asked for (`make soak`); otherwise the same in short is enough.
pub(crate) fn is_long() -> bool {
    std::env::var_os("PORTLANE_SOAK").is_some_and(|value| value == "long")
}
