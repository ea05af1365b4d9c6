//! The owner of every port of an address.

/// Ports of a page.
const PAGE: usize = 64;
const PAGES: usize = (1 << 16) / PAGE;

/// Neighbouring ports, and which of them are in one range.
#[derive(Debug, Clone, Copy, Default)]
struct Page {
    /// Bit *p*: a range begins at port *p* of the page. That of the first range is not set.
    begins: u64,
    /// The range that the port before the page is in, by its number; of the first page: the first.
    before: u32,
}

/// The owner of every port. Ports are in ranges that have one owner each, and the number of a port's range is that of the ranges
/// which begin before it: so pages of counts and bits tell it, and together they are small enough for the nearest cache.
#[derive(Clone)]
pub(super) struct Owners<V> {
    pages: Box<[Page; PAGES]>,
    /// Of each range.
    owners: Vec<V>,
}

impl<V: Copy> Owners<V> {
    /// Owners of ranges, given by their first ports, ascending from port 0, and each up to the next.
    pub(super) fn new(ranges: &[(u16, V)]) -> Self {
        assert!(ranges.first().is_some_and(|&(first, _)| first == 0), "every port is in a range");
        let mut pages = Box::new([Page::default(); PAGES]);
        for &(first, _) in &ranges[1..] {
            pages[usize::from(first) / PAGE].begins |= 1 << (usize::from(first) % PAGE);
        }
        let mut before = 0;
        for page in pages.iter_mut() {
            page.before = before;
            before += page.begins.count_ones();
        }
        assert!(ranges.len() == before as usize + 1, "ranges ascend");
        Self { pages, owners: ranges.iter().map(|&(_, owner)| owner).collect() }
    }

    /// The owner of a port.
    #[inline(always)]
    pub(super) fn of(&self, port: u16) -> V {
        let port = usize::from(port);
        let Page { begins, before } = self.pages[port / PAGE];
        let up_to_port = begins << (PAGE - 1 - port % PAGE);
        self.owners[(before + up_to_port.count_ones()) as usize]
    }

    /// The same ranges with other names for the owners.
    pub(super) fn map<W>(&self, name: impl Fn(V) -> W) -> Owners<W> {
        Owners { pages: self.pages.clone(), owners: self.owners.iter().map(|&owner| name(owner)).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn every_port_has_the_owner_of_its_range(
            firsts in prop::collection::btree_set(prop_oneof![any::<u16>(), 0..200_u16, 65_400..=u16::MAX], 0..300),
        ) {
            let firsts: BTreeSet<u16> = firsts.into_iter().chain([0]).collect();
            let ranges: Vec<(u16, u16)> = firsts.iter().map(|&first| (first, first)).collect();
            let owners = Owners::new(&ranges).map(u32::from);
            for port in 0..=u16::MAX {
                prop_assert_eq!(owners.of(port), u32::from(*firsts.range(..=port).next_back().unwrap()));
            }
        }
    }

    #[test]
    fn a_range_may_be_a_port_or_all() {
        let each: Vec<(u16, u16)> = (0..=u16::MAX).map(|port| (port, port)).collect();
        let (each, all) = (Owners::new(&each), Owners::new(&[(0, 7)]));
        for port in 0..=u16::MAX {
            assert_eq!((each.of(port), all.of(port)), (port, 7));
        }
    }
}
