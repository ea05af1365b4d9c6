//! Numbers and sizes with bounds, which hold wherever the key is written: in a node or in `[defaults]`.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use portlane_shaper::Size;
use portlane_shaper::bucket::MAX_BURST;
use portlane_shaper::units::ParseError;
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

use super::values::Written;

/// Ethernet's MTU of 1500 bytes and its header: the longest packet that a burst must pay for.
pub(crate) const FULL_PACKET: Size = Size(1_514);

/// What a number is of, and what it may be.
pub(crate) trait Bounded {
    /// What is expected: for a bare number with its range and an example, for a size what its range follows.
    const EXPECTED: &'static str;
    /// The least and the most.
    const RANGE: [u64; 2];
}

/// Declares a type without values for each thing that numbers are of.
macro_rules! bounded {
    ($($Type:ident: $expected:literal, $min:expr, $max:expr;)*) => {$(
        #[derive(Debug, Clone, Copy)]
        pub(crate) enum $Type {}

        impl Bounded for $Type {
            const EXPECTED: &'static str = $expected;
            const RANGE: [u64; 2] = [$min, $max];
        }
    )*};
}

bounded! {
    Packets: "a number of packets, 1 to 4294967295, as in 1000", 1, 0xffff_ffff;
    Flows: "a number of flows, 1 to 65536, as in 1024", 1, 65_536;
    // As many as `cpu_set_t` has bits.
    Core: "a core's number, 0 to 1023, as in 2", 0, 1_023;
    // Signed in FlowMetrics.
    Id: "a number, 1 to 2147483647, as in 7", 1, 0x7fff_ffff;
    Connections: "a number of connections, 16 to 4194304, as in 65536", 16, 1 << 22;
    LiveFlows: "a number of flows, 16 to 4194304, as in 65536", 16, 1 << 22;
    Priority: "a priority, 0 (first) to 7, as in 1", 0, 7;
    Weight: "a weight, 1 to 10000, as in 2", 1, 10_000;
    Burst: "a burst, which pays for a full packet at least, is", FULL_PACKET.0, MAX_BURST.0;
    Bucket: "a number of bytes here is", 1, MAX_BURST.0;
    Quantum: "a quantum is", 1, MAX_BURST.0;
    // The most that the kernel takes too (`FQ_CODEL_QUANTUM_MAX`).
    FlowQuantum: "a flow's quantum is", 1, 1 << 20;
    Memory: "a memory limit is", 1, 1 << 40;
    Framing: "what framing adds or fills up to is", 0, 0xffff;
}

/// A bare number of what `T` stands for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Number<T>(pub(crate) u32, PhantomData<T>);

impl<'de, T: Bounded> Deserialize<'de> for Number<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor<T>(PhantomData<T>);

        impl<T: Bounded> Visitor<'_> for NumberVisitor<T> {
            type Value = Number<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXPECTED)
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Number<T>, E> {
                let [min, max] = T::RANGE;
                match u32::try_from(number) {
                    Ok(value) if (min..=max).contains(&value.into()) => Ok(Number(value, PhantomData)),
                    _ => Err(E::invalid_value(Unexpected::Signed(number), &self)),
                }
            }
        }

        deserializer.deserialize_any(NumberVisitor(PhantomData))
    }
}

/// A size of what `T` stands for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bytes<T>(pub(crate) Size, PhantomData<T>);

impl<T: Bounded> FromStr for Bytes<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let size: Size = text.parse().map_err(|error: ParseError| error.to_string())?;
        let [min, max] = T::RANGE.map(Size);
        if (min..=max).contains(&size) {
            Ok(Self(size, PhantomData))
        } else {
            Err(format!("{text:?} is out of range: {} {min} to {max}", T::EXPECTED))
        }
    }
}

impl<T: Bounded> Written for Bytes<T> {
    const EXPECTED: &'static str = Size::EXPECTED;
}
