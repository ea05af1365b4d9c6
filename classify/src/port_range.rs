//! Port ranges as people write them.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Ports from `first` to `last`, both included: never empty, never port 0.
///
/// ```
/// use portlane_classify::PortRange;
///
/// let range: PortRange = "31000-31499".parse()?;
/// assert_eq!((range.first(), range.last()), (31_000, 31_499));
/// assert_eq!("8080".parse::<PortRange>()?.to_string(), "8080");
/// # Ok::<(), portlane_classify::PortRangeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// The ports from `first` to `last`, both included.
    ///
    /// # Errors
    ///
    /// [`PortRangeError::PortZero`] and [`PortRangeError::Reversed`].
    pub fn new(first: u16, last: u16) -> Result<Self, PortRangeError> {
        if first == 0 || last == 0 {
            Err(PortRangeError::PortZero)
        } else if first > last {
            Err(PortRangeError::Reversed { first, last })
        } else {
            Ok(Self { first, last })
        }
    }

    /// The lowest port.
    #[must_use]
    pub const fn first(self) -> u16 {
        self.first
    }

    /// The highest port.
    #[must_use]
    pub const fn last(self) -> u16 {
        self.last
    }

    /// Whether `port` is in the range.
    #[must_use]
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    /// The ports that are in both ranges.
    #[must_use]
    pub fn shared_with(self, other: Self) -> Option<Self> {
        let (first, last) = (self.first.max(other.first), self.last.min(other.last));
        (first <= last).then_some(Self { first, last })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { self.first.fmt(f) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

impl FromStr for PortRange {
    type Err = PortRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(PortRangeError::Empty);
        }
        let port = |digits: &str| {
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(PortRangeError::NotPorts { text: text.to_owned() });
            }
            // Digits alone: the only way to fail is to be too large.
            digits.parse().map_err(|_| PortRangeError::TooLarge { port: digits.to_owned() })
        };
        match text.split_once('-') {
            Some((first, last)) => Self::new(port(first)?, port(last)?),
            None => port(text).and_then(|only| Self::new(only, only)),
        }
    }
}

/// What is wrong with a port range, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PortRangeError {
    /// An empty text.
    #[error("no port given: write one port, as in \"8080\", or a range, as in \"31000-31499\"")]
    Empty,
    /// Something else than one number, or two with a hyphen between them.
    #[error("{text:?} is neither a port nor a range of ports: write \"8080\" or \"31000-31499\", digits only")]
    NotPorts {
        /// What was written.
        text: String,
    },
    /// A number that no port can have.
    #[error("port {port} is too large: ports go from 1 to 65535")]
    TooLarge {
        /// The number as it was written.
        port: String,
    },
    /// Port 0, which no packet can be sent to.
    #[error("port 0 cannot be owned: ports go from 1 to 65535")]
    PortZero,
    /// The first port is above the last.
    #[error("port range {first}-{last} runs backwards: write {last}-{first}")]
    Reversed {
        /// The first port as written.
        first: u16,
        /// The last port as written.
        last: u16,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<(u16, u16), PortRangeError> {
        text.parse::<PortRange>().map(|range| (range.first(), range.last()))
    }

    #[test]
    fn one_port_and_ranges_are_read() {
        assert_eq!(parsed("8080"), Ok((8080, 8080)));
        assert_eq!(parsed("1-65535"), Ok((1, 65_535)));
        assert_eq!(parsed("007-8"), Ok((7, 8)));
    }

    #[test]
    fn what_is_refused_says_what_would_be_right() {
        let message = |text: &str| parsed(text).map_err(|error| error.to_string()).unwrap_err();
        assert_eq!(message(""), "no port given: write one port, as in \"8080\", or a range, as in \"31000-31499\"");
        for text in ["web", "80 - 90", "-", "80-", "-80", "1-2-3", "+80", " 80", "0x50", "8٣"] {
            assert_eq!(
                message(text),
                format!(
                    "{text:?} is neither a port nor a range of ports: write \"8080\" or \"31000-31499\", digits only"
                )
            );
        }
        assert_eq!(message("65536"), "port 65536 is too large: ports go from 1 to 65535");
        assert_eq!(message("80-99999999999999999999"), {
            "port 99999999999999999999 is too large: ports go from 1 to 65535"
        });
        assert_eq!(message("0"), "port 0 cannot be owned: ports go from 1 to 65535");
        assert_eq!(message("0-10"), "port 0 cannot be owned: ports go from 1 to 65535");
        assert_eq!(message("90-80"), "port range 90-80 runs backwards: write 80-90");
        assert_eq!(message("10-0"), "port 0 cannot be owned: ports go from 1 to 65535");
    }
}
