//! Which ports a container gets that asks for a number of them.

use portlane_classify::PortRange;
use toml::{Table, Value};

use std::time::Duration;

/// Ports that were given back, and are not to be given again before some time: what others still send to them is not for whoever
/// has them next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resting {
    /// The ports.
    pub ports: PortRange,
    /// Since the epoch.
    pub until: Duration,
}

/// What `ports` says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ports {
    /// So many together, wherever they are.
    Block(u16),
    /// These.
    Named(Vec<PortRange>),
}

impl Ports {
    pub(super) fn of(written: &Value) -> Result<Self, String> {
        let one = match written {
            Value::Array(list) if list.len() == 1 => &list[0],
            other => other,
        };
        match one.as_str().and_then(|text| text.strip_prefix("auto:")) {
            Some(size) => match size.parse() {
                Ok(size) if u16::is_power_of_two(size) => Ok(Self::Block(size)),
                _ => Err(format!("auto:{size} is no power of two from 1 to 32768, as auto:1024 is")),
            },
            // What is no list of ranges the parser of containers refuses.
            None => Ok(Self::Named(ranges(written).collect())),
        }
    }
}

/// The ports that a container says that it has.
pub(super) fn of(table: &Table) -> impl Iterator<Item = PortRange> {
    table.get("ports").into_iter().flat_map(ranges)
}

fn ranges(written: &Value) -> impl Iterator<Item = PortRange> {
    written.as_array().into_iter().flatten().filter_map(|range| range.as_str()?.parse().ok())
}

/// The first block of a power of two of ports in the pool that begins at a multiple of it, as Mesos' `port_mapping` gives them: one
/// mask tells whose a port is.
pub(super) fn block(pool: PortRange, size: u16, mut taken: Vec<PortRange>) -> Option<PortRange> {
    taken.sort_unstable_by_key(|range| range.first());
    let mut first = u32::from(pool.first()).next_multiple_of(size.into());
    loop {
        let last = first + u32::from(size) - 1;
        if last > pool.last().into() {
            return None;
        }
        let block = PortRange::new(u16::try_from(first).ok()?, u16::try_from(last).ok()?).ok()?;
        match taken.iter().find_map(|range| range.shared_with(block)) {
            None => return Some(block),
            Some(shared) => first = (u32::from(shared.last()) + 1).next_multiple_of(size.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(first: u16, last: u16) -> PortRange {
        PortRange::new(first, last).unwrap()
    }

    #[test]
    fn mesos_own_examples_fit() {
        let count = |pool, size| {
            let mut given = Vec::new();
            while let Some(block) = block(pool, size, given.clone()) {
                given.push(block);
            }
            given.len()
        };
        assert_eq!((count(range(32_768, 57_344), 1_024), count(range(32_768, 57_344), 512)), (24, 48));
        assert_eq!([16, 256, 512].map(|size| count(range(30_001, 30_999), size)), [61, 3, 1]);
        assert_eq!(count(range(65_520, 65_535), 16), 1, "up to the last port");
    }

    #[test]
    fn a_number_of_ports_is_a_power_of_two() {
        let auto = |text: &str| Ports::of(&Value::from(text));
        assert_eq!(auto("auto:1024"), Ok(Ports::Block(1_024)));
        assert_eq!(Ports::of(&Value::Array(vec!["auto:16".into()])), Ok(Ports::Block(16)));
        for wrong in ["auto:0", "auto:1000", "auto:65536", "auto:x", "auto:"] {
            assert!(auto(wrong).unwrap_err().contains("power of two"), "{wrong}");
        }
        let named = Value::Array(vec!["80".into(), "8000-8099".into()]);
        assert_eq!(Ports::of(&named), Ok(Ports::Named(vec![range(80, 80), range(8_000, 8_099)])));
    }

    proptest! {
        /// Blocks are aligned, in the pool, apart from what is taken, and there is none before them.
        #[test]
        fn the_first_that_fits(
            pool in (1_024..60_000_u16, 0..5_000_u16).prop_map(|(first, more)| range(first, first + more)),
            power in 0..12_u32,
            taken in prop::collection::vec((1_000..65_000_u16, 0..300_u16), 0..40),
        ) {
            let taken: Vec<_> = taken.into_iter().map(|(first, more)| range(first, first + more)).collect();
            let size = 1_u16 << power;
            let is_free = |first: u32| {
                let last = first + u32::from(size) - 1;
                let within = first >= pool.first().into() && last <= pool.last().into();
                within && taken.iter().all(|range| u32::from(range.last()) < first || u32::from(range.first()) > last)
            };
            let expected = (0..=65_535_u32).step_by(size.into()).find(|&first| is_free(first));
            let found = block(pool, size, taken.clone());
            prop_assert_eq!(found.map(|block| u32::from(block.first())), expected);
            prop_assert!(found.is_none_or(|block| block.last() - block.first() == size - 1));
        }
    }
}
