//! Tables of later versions. Each is known by its name, so that whoever writes it is told more than that it is
//! unknown.

use serde::de::{Deserialize, Deserializer, Error};

/// For each name a type without values: reading one is its refusal, which names it and says what to do.
macro_rules! later {
    ($($Type:ident = $name:literal,)*) => {$(
        #[derive(Debug, Clone, Copy)]
        pub(crate) enum $Type {}

        impl<'de> Deserialize<'de> for $Type {
            fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
                Err(D::Error::custom(concat!($name, " is not in this version of portlane: leave it out")))
            }
        }
    )*};
}

later! {
    FlowsTable = "[flows]",
}
