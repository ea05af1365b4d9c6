//! Single values as Mesos' library stout reads them, with its refusals.

use std::fmt;
use std::str::FromStr;

use crate::commands::check::grouped;

/// A number of bytes: stout's `Bytes`. Units are powers of 1024, and one must be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bytes {
    text: String,
    /// How many.
    pub count: u64,
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        if unit.is_empty() {
            return Err(format!("Invalid bytes '{text}': give a unit, as in '37500KB'"));
        }
        if unit.starts_with('.') {
            return Err(format!("Fractional bytes '{text}': give a whole number of a smaller unit"));
        }
        let value: u64 = number.parse().map_err(|_| format!("Failed to convert '{number}' to number"))?;
        let unit = unit.to_ascii_uppercase();
        let power = match unit.as_str() {
            "B" => 0,
            "KB" => 1,
            "MB" => 2,
            "GB" => 3,
            "TB" => 4,
            _ => return Err(format!("Unknown bytes unit '{unit}': B, KB, MB, GB or TB")),
        };
        let count = value.checked_mul(1 << (10 * power)).ok_or_else(|| format!("Invalid bytes '{text}': too many"))?;
        Ok(Self { text: text.to_owned(), count })
    }
}

/// A span of time: stout's `Duration`.
#[derive(Debug, Clone, PartialEq)]
pub struct Duration {
    text: String,
    /// How long, nanoseconds.
    pub ns: f64,
}

impl Duration {
    /// In whole nanoseconds, as stout has it.
    pub(super) fn whole_ns(&self) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates, and nothing is below 0"
        )]
        let whole = self.ns as u64;
        whole
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let (number, unit) = text.split_at(digits);
        if number.is_empty() || unit.is_empty() {
            return Err(format!("Invalid duration '{text}': give a number and a unit, as in '30secs'"));
        }
        let value: f64 = number.parse().map_err(|_| format!("Failed to convert '{number}' to number"))?;
        let ns = match unit {
            "ns" => 1.0,
            "us" => 1e3,
            "ms" => 1e6,
            "secs" => 1e9,
            "mins" => 60e9,
            "hrs" => 3_600e9,
            "days" => 86_400e9,
            "weeks" => 604_800e9,
            _ => return Err(format!("Unknown duration unit '{unit}': ns, us, ms, secs, mins, hrs, days or weeks")),
        };
        Ok(Self { text: text.to_owned(), ns: value * ns })
    }
}

/// Checks where the flow classifier is attached: stout's `numify` of both halves of a handle.
pub(super) fn check_classifier_parent(text: &str) -> Result<(), String> {
    if text == "root" {
        return Ok(());
    }
    let refused = |why: String| Err(format!("Failed to parse egress_flow_classifier_parent: {why}"));
    let halves: Vec<_> = text.split(':').filter(|half| !half.is_empty()).collect();
    if halves.len() != 2 {
        return refused(format!("Failed to tokenize string: {text} (root, or MAJOR:MINOR)"));
    }
    match halves.iter().find(|half| u16::from_str_radix(half, 16).is_err()) {
        Some(half) => refused(format!("Failed to convert {half} to a hex integer (0 to ffff, without 0x)")),
        None => Ok(()),
    }
}

/// Bytes a second, in those and in tc's megabits.
pub(super) fn per_second(bytes: u64) -> String {
    format!("{} B/s = {} mbit", grouped(bytes), megabits(bytes))
}

/// Bytes a second as megabits a second, exactly.
fn megabits(bytes: u64) -> String {
    let bits = u128::from(bytes) * 8;
    let (whole, rest) = (bits / 1_000_000, bits % 1_000_000);
    let fraction = format!(".{rest:06}");
    format!("{whole}{}", fraction.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Result<u64, String> {
        text.parse().map(|bytes: Bytes| bytes.count)
    }

    #[test]
    fn bytes_are_binary_and_need_a_unit() {
        assert_eq!(bytes("37500KB"), Ok(38_400_000));
        assert_eq!(bytes("100mb"), Ok(104_857_600));
        assert_eq!(bytes("0B"), Ok(0));
        assert_eq!(bytes("1Tb"), Ok(1 << 40));
        let refused = |text: &str| bytes(text).unwrap_err();
        assert!(refused("37500").starts_with("Invalid bytes '37500'"));
        assert!(refused("").starts_with("Invalid bytes ''"));
        assert!(refused("1.5MB").starts_with("Fractional bytes '1.5MB'"));
        assert!(refused("10mbit").starts_with("Unknown bytes unit 'MBIT'"));
        assert!(refused("-1KB").starts_with("Failed to convert '' to number"));
        assert!(refused("99999999999999999999B").starts_with("Failed to convert '99999999999999999999' to number"));
        assert!(refused("16777216TB").starts_with("Invalid bytes '16777216TB': too many"));
    }

    #[test]
    fn durations_have_stouts_units() {
        let ns = |text: &str| text.parse().map(|duration: Duration| duration.ns);
        assert_eq!(ns("20ms"), Ok(20e6));
        assert_eq!(ns("1.5mins"), Ok(90e9));
        assert_eq!(ns("1weeks"), Ok(7.0 * 86_400e9));
        assert!(ns("20").unwrap_err().starts_with("Invalid duration '20'"));
        assert!(ns("ms").unwrap_err().starts_with("Invalid duration 'ms'"));
        assert!(ns("20sec").unwrap_err().starts_with("Unknown duration unit 'sec'"));
        assert!(ns("1.2.3ms").unwrap_err().starts_with("Failed to convert '1.2.3' to number"));
    }

    #[test]
    fn a_classifiers_parent_is_root_or_a_handle() {
        assert_eq!(check_classifier_parent("root"), Ok(()));
        assert_eq!(check_classifier_parent("1:af"), Ok(()));
        let refused = |text: &str| check_classifier_parent(text).unwrap_err();
        assert!(refused("1").contains("Failed to tokenize string: 1 "));
        assert!(refused("1:2:3").contains("Failed to tokenize string: 1:2:3 "));
        assert!(refused("1:0xg").contains("Failed to convert 0xg to a hex integer"));
        assert!(refused("10000:1").contains("Failed to convert 10000 to a hex integer"));
    }

    #[test]
    fn rates_are_told_exactly() {
        assert_eq!(per_second(38_400_000), "38,400,000 B/s = 307.2 mbit");
        assert_eq!(per_second(125_000), "125,000 B/s = 1 mbit");
        assert_eq!(per_second(1), "1 B/s = 0.000008 mbit");
        assert_eq!(per_second(5_859_375_000), "5,859,375,000 B/s = 46875 mbit");
    }
}
