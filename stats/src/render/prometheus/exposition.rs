//! Families, samples and labels as both formats write them.
//!
//! They differ in the name of a counter's family, which has its `_total` in one and not in the other, and in the last line.

use std::fmt::{self, Display, Write};

use super::Exposition;

/// What a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows. Its samples are named with `_total` at the end.
    Counter,
    Gauge,
    Histogram,
    /// Whatever the kernel takes it for.
    Untyped,
}

pub(super) struct Writer {
    out: String,
    exposition: Exposition,
}

impl Writer {
    pub(super) fn new(exposition: Exposition) -> Self {
        Self { out: String::new(), exposition }
    }

    /// Begins a family; a counter's name is given without `_total`.
    pub(super) fn family<'a>(&'a mut self, kind: Kind, name: &str, help: &str) -> Result<Family<'a>, fmt::Error> {
        let (word, suffix) = match kind {
            Kind::Counter => ("counter", "_total"),
            Kind::Gauge => ("gauge", ""),
            Kind::Histogram => ("histogram", ""),
            Kind::Untyped if self.exposition == Exposition::OpenMetrics => ("unknown", ""),
            Kind::Untyped => ("untyped", ""),
        };
        let of_family = if self.exposition == Exposition::Text { suffix } else { "" };
        writeln!(self.out, "# HELP {name}{of_family} {help}\n# TYPE {name}{of_family} {word}")?;
        Ok(Family { out: &mut self.out, name: format!("{name}{suffix}") })
    }

    pub(super) fn finish(mut self) -> String {
        if self.exposition == Exposition::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }
}

/// A family whose samples are being written.
pub(super) struct Family<'a> {
    out: &'a mut String,
    /// That of its samples.
    name: String,
}

impl Family<'_> {
    /// A sample with labels as [`labels`] makes them.
    pub(super) fn sample(&mut self, labels: &str, value: impl Display) -> fmt::Result {
        self.write("", labels, value)
    }

    /// One histogram: how many were not above each bound, in seconds, and above the last; how many there are, and their sum.
    pub(super) fn histogram(
        &mut self,
        labels: &str,
        bounds: &[String],
        cumulative: impl Iterator<Item = u64>,
        sum: impl Display,
    ) -> fmt::Result {
        let comma = if labels.is_empty() { "" } else { "," };
        let infinity = "+Inf".to_owned();
        let mut all = 0;
        for (bound, count) in bounds.iter().chain([&infinity]).zip(cumulative) {
            writeln!(self.out, "{}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}", self.name)?;
            all = count;
        }
        self.write("_sum", labels, sum)?;
        self.write("_count", labels, all)
    }

    fn write(&mut self, suffix: &str, labels: &str, value: impl Display) -> fmt::Result {
        let Self { out, name } = self;
        if labels.is_empty() {
            writeln!(out, "{name}{suffix} {value}")
        } else {
            writeln!(out, "{name}{suffix}{{{labels}}} {value}")
        }
    }
}

/// `name="value",…`, with what is not allowed in values escaped.
pub(super) fn labels(pairs: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(name);
        out.push_str("=\"");
        for character in value.chars() {
            match character {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                other => out.push(other),
            }
        }
        out.push('"');
    }
    out
}

/// Nanoseconds as seconds, exactly.
pub(super) fn seconds(ns: u64) -> String {
    decimal(ns, 1_000_000_000, 9)
}

/// Microseconds as seconds, exactly.
pub(super) fn seconds_of_micros(us: u64) -> String {
    decimal(us, 1_000_000, 6)
}

/// Bits as bytes, exactly.
pub(super) fn bytes(bits: u64) -> String {
    decimal(bits / 8 * 1_000 + bits % 8 * 125, 1_000, 3)
}

fn decimal(number: u64, unit: u64, digits: usize) -> String {
    let (whole, rest) = (number / unit, number % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let fraction = format!("{rest:0digits$}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact() {
        assert_eq!(seconds(1_024), "0.000001024");
        assert_eq!(seconds(3_000_000_000), "3");
        assert_eq!(seconds(u64::MAX), "18446744073.709551615");
        assert_eq!(seconds_of_micros(1_500_000), "1.5");
        assert_eq!((bytes(8), bytes(9), bytes(15)), ("1".to_owned(), "1.125".to_owned(), "1.875".to_owned()));
    }

    #[test]
    fn labels_are_escaped() {
        assert_eq!(labels(&[("a", "x\"y\\z\n"), ("b", "ü")]), r#"a="x\"y\\z\n",b="ü""#);
        assert_eq!(labels(&[]), "");
    }

    #[test]
    fn the_formats_differ_in_a_counters_family_and_the_end() {
        let written = |exposition| {
            let mut out = Writer::new(exposition);
            out.family(Kind::Counter, "a_packets", "Help.").unwrap().sample("b=\"c\"", 7).unwrap();
            out.finish()
        };
        let text = "# HELP a_packets_total Help.\n# TYPE a_packets_total counter\na_packets_total{b=\"c\"} 7\n";
        assert_eq!(written(Exposition::Text), text);
        let open = "# HELP a_packets Help.\n# TYPE a_packets counter\na_packets_total{b=\"c\"} 7\n# EOF\n";
        assert_eq!(written(Exposition::OpenMetrics), open);
    }

    #[test]
    fn a_histograms_last_bucket_is_its_count() {
        let mut out = Writer::new(Exposition::Text);
        let mut family = out.family(Kind::Histogram, "h_seconds", "H.").unwrap();
        family.histogram("", &["0.5".to_owned()], [3, 4].into_iter(), "1.25").unwrap();
        let samples =
            "h_seconds_bucket{le=\"0.5\"} 3\nh_seconds_bucket{le=\"+Inf\"} 4\nh_seconds_sum 1.25\nh_seconds_count 4\n";
        assert!(out.finish().ends_with(samples));
    }
}
