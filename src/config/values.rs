//! Single values as they are written: quantities are text with a unit, never bare numbers.

use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use portlane_classify::PortRange;
use portlane_shaper::{Nanos, Rate, Size};
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// A value that is written as text.
pub(crate) trait Written: FromStr<Err: fmt::Display> {
    /// What is expected, with an example.
    const EXPECTED: &'static str;
}

impl Written for Size {
    const EXPECTED: &'static str = "a size with its unit, as in \"64kb\" or \"1600b\"";
}

impl Written for Nanos {
    const EXPECTED: &'static str = "a time with its unit, as in \"5ms\" or \"100us\"";
}

impl Written for PortRange {
    const EXPECTED: &'static str = "ports in quotes, as in \"8080\" or \"31000-31499\"";
}

impl Written for IpAddr {
    const EXPECTED: &'static str = "an IP address in quotes, as in \"10.0.0.1\"";
}

impl Written for SocketAddr {
    const EXPECTED: &'static str = "an address and a port in quotes, as in \"127.0.0.1:9660\"";
}

impl Written for OrNone<Rate> {
    const EXPECTED: &'static str = "a rate with its unit, as in \"300mbit\" or \"37500kbps\", or \"none\"";
}

impl Written for OrNone<Nanos> {
    const EXPECTED: &'static str = "a time with its unit, as in \"5ms\" or \"100us\", or \"none\"";
}

/// A value, or `none`, which lifts a default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OrNone<T>(pub(crate) Option<T>);

impl<T: FromStr> FromStr for OrNone<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" { Ok(Self(None)) } else { text.parse().map(|value| Self(Some(value))) }
    }
}

/// Reads a [`Written`] value from a TOML string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Text<T>(pub(crate) T);

impl<'de, T: Written> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor<T>(PhantomData<T>);

        impl<T: Written> Visitor<'_> for TextVisitor<T> {
            type Value = Text<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXPECTED)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<T>, E> {
                let unexpected = |why: T::Err| {
                    let why = why.to_string();
                    let quoted = format!("{text:?}");
                    // An error that shows no example of its own gets the kind's, and the text if it does not name it.
                    if why.contains(": ") {
                        E::custom(why)
                    } else if why.starts_with(&quoted) {
                        E::custom(format!("{why}: expected {}", T::EXPECTED))
                    } else {
                        E::custom(format!("{quoted}: {why}: expected {}", T::EXPECTED))
                    }
                };
                text.parse().map(Text).map_err(unexpected)
            }
        }

        deserializer.deserialize_any(TextVisitor(PhantomData))
    }
}

/// What a list is made of.
pub(crate) trait Listed {
    /// What is expected where something else than a list stands.
    const EXPECTED: &'static str;
}

/// A list that says what it wants to be when it is not one.
#[derive(Debug, Clone)]
pub(crate) struct List<T>(pub(crate) Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Listed + Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor<T>(PhantomData<T>);

        impl<'de, T: Listed + Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXPECTED)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<List<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(List(list))
            }
        }

        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}
