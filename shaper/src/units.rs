//! Quantities as types: rates, sizes and times, with tc's suffixes.
//!
//! A bare number is never a quantity here, though tc takes one (and means bits a second, bytes, or microseconds by
//! turns). All arithmetic is in integers; a decimal point in the text is allowed where the value comes out whole.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;

/// Nanoseconds in a second.
pub const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A point in time, or a span of it, in nanoseconds. Arithmetic saturates: no sum of times can wrap around.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub u64);

impl Nanos {
    /// Time zero.
    pub const ZERO: Self = Self(0);

    /// The end of time: year 2554 in Unix time. What saturates here happens later than can be told, or never.
    pub const MAX: Self = Self(u64::MAX);

    /// `n` microseconds.
    #[must_use]
    pub const fn from_micros(n: u64) -> Self {
        Self(n.saturating_mul(1_000))
    }

    /// `n` milliseconds.
    #[must_use]
    pub const fn from_millis(n: u64) -> Self {
        Self(n.saturating_mul(1_000_000))
    }

    /// `n` seconds.
    #[must_use]
    pub const fn from_secs(n: u64) -> Self {
        Self(n.saturating_mul(NANOS_PER_SECOND))
    }
}

impl Add for Nanos {
    type Output = Self;

    #[inline]
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Nanos {
    type Output = Self;

    /// Zero when `other` is later.
    #[inline]
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// A rate in bits a second, never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u64);

impl Rate {
    /// The highest rate: 2^63 - 1 bits a second.
    pub const MAX: Self = Self(i64::MAX.unsigned_abs());

    /// `bits` a second; `None` if that is 0 or above [`MAX`](Self::MAX).
    #[must_use]
    pub const fn from_bits_per_second(bits: u64) -> Option<Self> {
        if bits == 0 || bits > Self::MAX.0 { None } else { Some(Self(bits)) }
    }

    /// Bits a second.
    #[inline]
    #[must_use]
    pub const fn bits_per_second(self) -> u64 {
        self.0
    }

    /// Whole bytes a second.
    #[must_use]
    pub const fn bytes_per_second(self) -> u64 {
        self.0 / 8
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

/// A text that is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A number without a unit.
    #[error("{text:?} has no unit: write {example}")]
    NoUnit {
        /// What was written.
        text: String,
        /// What would be right.
        example: String,
    },
    /// No number, or an unknown unit.
    #[error("{text:?} is not a {what}: write {example}")]
    Unknown {
        /// What was written.
        text: String,
        /// What was expected.
        what: &'static str,
        /// What would be right.
        example: &'static str,
    },
    /// A fraction of the smallest unit.
    #[error("{text:?} is not a whole number of {unit}")]
    Fraction {
        /// What was written.
        text: String,
        /// The smallest unit.
        unit: &'static str,
    },
    /// Zero, or more than can be represented.
    #[error("{text:?} is out of range: a {what} is {range}")]
    Range {
        /// What was written.
        text: String,
        /// What was expected.
        what: &'static str,
        /// What is allowed.
        range: &'static str,
    },
}

/// What a kind of quantity is called and which suffixes it has.
struct Grammar {
    what: &'static str,
    smallest: &'static str,
    example: &'static str,
    range: &'static str,
    /// The suffix that a bare number most probably wanted.
    usual: &'static str,
    /// Lower-case suffixes with the number of smallest units in one.
    suffixes: &'static [(&'static str, u64)],
}

/// tc's `get_rate64`: SI prefixes are powers of 1000, `i` ones of 1024; `bps` is bytes a second.
const RATE: Grammar = Grammar {
    what: "rate",
    smallest: "bits a second",
    example: "\"300mbit\" (bits) or \"37500kbps\" (bytes)",
    range: "at least 1bit and below 2^63 bits a second",
    usual: "mbit",
    suffixes: &[
        ("bit", 1),
        ("kbit", 1_000),
        ("kibit", 1 << 10),
        ("mbit", 1_000_000),
        ("mibit", 1 << 20),
        ("gbit", 1_000_000_000),
        ("gibit", 1 << 30),
        ("tbit", 1_000_000_000_000),
        ("tibit", 1 << 40),
        ("bps", 8),
        ("kbps", 8_000),
        ("kibps", 8 << 10),
        ("mbps", 8_000_000),
        ("mibps", 8 << 20),
        ("gbps", 8_000_000_000),
        ("gibps", 8 << 30),
        ("tbps", 8_000_000_000_000),
        ("tibps", 8 << 40),
    ],
};

/// tc's `get_size64`, counted in bits so that its `kbit` sizes stay whole: prefixes are powers of 1024.
const SIZE: Grammar = Grammar {
    what: "size",
    smallest: "bytes",
    example: "\"1600b\" or \"64kb\"",
    range: "below 2^61 bytes",
    usual: "b",
    suffixes: &[
        ("b", 8),
        ("k", 8 << 10),
        ("kb", 8 << 10),
        ("m", 8 << 20),
        ("mb", 8 << 20),
        ("g", 8 << 30),
        ("gb", 8 << 30),
        ("kbit", 1 << 10),
        ("mbit", 1 << 20),
        ("gbit", 1 << 30),
    ],
};

/// tc's `get_time64`.
const TIME: Grammar = Grammar {
    what: "time",
    smallest: "nanoseconds",
    example: "\"5ms\" or \"100us\"",
    range: "below 2^64 nanoseconds",
    usual: "ms",
    suffixes: &[
        ("ns", 1),
        ("nsec", 1),
        ("nsecs", 1),
        ("us", 1_000),
        ("usec", 1_000),
        ("usecs", 1_000),
        ("ms", 1_000_000),
        ("msec", 1_000_000),
        ("msecs", 1_000_000),
        ("s", NANOS_PER_SECOND),
        ("sec", NANOS_PER_SECOND),
        ("secs", NANOS_PER_SECOND),
    ],
};

impl Grammar {
    /// The value of `text` in smallest units.
    fn parse(&self, text: &str) -> Result<u64, ParseError> {
        let unknown = || ParseError::Unknown { text: text.to_owned(), what: self.what, example: self.example };
        let digits = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let (number, suffix) = text.split_at(text.len() - digits.len());
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() || fraction.contains('.') || (number.contains('.') && fraction.is_empty()) {
            return Err(unknown());
        }
        if suffix.is_empty() {
            let example = format!("\"{text}{}\"", self.usual);
            return Err(ParseError::NoUnit { text: text.to_owned(), example });
        }
        let lower = suffix.to_ascii_lowercase();
        let &(_, factor) = self.suffixes.iter().find(|(name, _)| *name == lower).ok_or_else(unknown)?;
        let out_of_range = || ParseError::Range { text: text.to_owned(), what: self.what, range: self.range };
        let places = u32::try_from(fraction.len()).map_err(|_| out_of_range())?;
        let scale = 10_u128.checked_pow(places).ok_or_else(out_of_range)?;
        let digits: u128 = format!("{whole}{fraction}").parse().map_err(|_| out_of_range())?;
        let scaled = digits.checked_mul(u128::from(factor)).ok_or_else(out_of_range)?;
        if !scaled.is_multiple_of(scale) {
            return Err(ParseError::Fraction { text: text.to_owned(), unit: self.smallest });
        }
        u64::try_from(scaled / scale).map_err(|_| out_of_range())
    }
}

impl FromStr for Rate {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let bits = RATE.parse(text)?;
        Self::from_bits_per_second(bits).ok_or_else(|| ParseError::Range {
            text: text.to_owned(),
            what: RATE.what,
            range: RATE.range,
        })
    }
}

impl FromStr for Size {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let bits = SIZE.parse(text)?;
        if !bits.is_multiple_of(8) {
            return Err(ParseError::Fraction { text: text.to_owned(), unit: SIZE.smallest });
        }
        Ok(Self(bits / 8))
    }
}

impl FromStr for Nanos {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        TIME.parse(text).map(Self)
    }
}

/// Writes `value` in the largest unit in which it is whole.
fn write_whole(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    let fits = |&&(_, factor): &&(&str, u64)| value >= factor && value.is_multiple_of(factor);
    let &(suffix, factor) = units.iter().rev().find(fits).unwrap_or(&units[0]);
    write!(f, "{}{suffix}", value / factor)
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("bit", 1), ("kbit", 1_000), ("mbit", 1_000_000), ("gbit", 1_000_000_000)];
        write_whole(f, self.0, &units)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_whole(f, self.0, &[("b", 1), ("kb", 1 << 10), ("mb", 1 << 20), ("gb", 1 << 30)])
    }
}

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_whole(f, self.0, &[("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", NANOS_PER_SECOND)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bits(text: &str) -> u64 {
        text.parse::<Rate>().unwrap().bits_per_second()
    }

    #[test]
    fn rates_read_as_tc_reads_them() {
        assert_eq!(bits("300mbit"), 300_000_000);
        assert_eq!(bits("37500kbps"), 300_000_000);
        assert_eq!(bits("10MBit"), 10_000_000);
        assert_eq!(bits("1.5gbit"), 1_500_000_000);
        assert_eq!(bits("1Kibit"), 1_024);
        assert_eq!(bits("10mbps"), 80_000_000);
    }

    #[test]
    fn sizes_are_binary_and_times_decimal() {
        assert_eq!("64kb".parse(), Ok(Size(65_536)));
        assert_eq!("1600b".parse(), Ok(Size(1_600)));
        assert_eq!("2kbit".parse(), Ok(Size(256)));
        assert_eq!("5ms".parse(), Ok(Nanos(5_000_000)));
        assert_eq!("0.5us".parse(), Ok(Nanos(500)));
    }

    #[test]
    fn what_is_wrong_is_said_with_what_would_be_right() {
        let message = |error: ParseError| error.to_string();
        assert_eq!(message("300".parse::<Rate>().unwrap_err()), r#""300" has no unit: write "300mbit""#);
        assert_eq!(
            message("100MB".parse::<Rate>().unwrap_err()),
            r#""100MB" is not a rate: write "300mbit" (bits) or "37500kbps" (bytes)"#
        );
        assert_eq!(
            message("0mbit".parse::<Rate>().unwrap_err()),
            r#""0mbit" is out of range: a rate is at least 1bit and below 2^63 bits a second"#
        );
        assert_eq!(message("0.3ns".parse::<Nanos>().unwrap_err()), r#""0.3ns" is not a whole number of nanoseconds"#);
        assert_eq!(message("5".parse::<Nanos>().unwrap_err()), r#""5" has no unit: write "5ms""#);
    }

    #[test]
    fn hostile_numbers_are_refused_without_a_panic() {
        for text in ["", ".", "1.", ".5ms", "1..2ms", "-5ms", "99999999999999999999gbit", "1e9bit", "5 ms", "٣ms"] {
            assert!(text.parse::<Nanos>().is_err(), "{text}");
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(value in 1..u64::MAX / 16) {
            prop_assert_eq!(Size(value).to_string().parse(), Ok(Size(value)));
            prop_assert_eq!(Nanos(value).to_string().parse(), Ok(Nanos(value)));
            let rate = Rate::from_bits_per_second(value).unwrap();
            prop_assert_eq!(rate.to_string().parse(), Ok(rate));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,24}") {
            let _ = (text.parse::<Rate>(), text.parse::<Size>(), text.parse::<Nanos>());
        }
    }
}
