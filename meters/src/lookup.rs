//! For which labels a packet counts, by its addresses.
//!
//! Of each of the two addresses it is found which prefixes it is in: its class. For every pair of classes it is known beforehand which
//! labels count (Gupta and McKeown's recursive flow classification, 1999, with two fields).

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::book::{Book, Direction, Refusal, Rule};
use crate::ranges::{Address, Block, Ranges};

/// The most pairs of classes, of one direction and IP version: 16 MiB.
const MOST_PAIRS: usize = 4 << 20;

/// Labels by addresses; each is known by its position in the [book](Book::labels).
#[derive(Debug)]
pub struct Lookup {
    /// By direction.
    v4: [Plane<u32>; 2],
    v6: [Plane<u128>; 2],
    sets: Sets,
}

/// What the packets of one direction and IP version count for.
#[derive(Debug)]
struct Plane<A> {
    sources: Ranges<A>,
    destinations: Ranges<A>,
    /// Classes of destinations.
    width: u32,
    /// By class of the source, then of the destination.
    sets: Vec<u32>,
}

/// Sets of labels, each once.
#[derive(Debug)]
struct Sets {
    /// Where each begins; and one more, where the last ends.
    begins: Vec<u32>,
    labels: Vec<u32>,
}

impl Lookup {
    /// That of all rules of a book.
    ///
    /// # Errors
    ///
    /// Prefixes of sources and destinations come to more combinations than there is room for.
    pub fn new(book: &Book) -> Result<Self, Refusal> {
        let positions: HashMap<_, _> = (0..).zip(book.labels()).map(|(position, label)| (label.id, position)).collect();
        let rules: Vec<_> = book.rules().iter().map(|rule| (positions[&rule.label_id], rule)).collect();
        let mut known = Known::default();
        let mut v4 = |direction| Plane::<u32>::new(&rules, direction, &mut known);
        let v4 = [v4(Direction::Ingress)?, v4(Direction::Egress)?];
        let mut v6 = |direction| Plane::<u128>::new(&rules, direction, &mut known);
        let v6 = [v6(Direction::Ingress)?, v6(Direction::Egress)?];
        Ok(Self { v4, v6, sets: known.sets })
    }

    /// The labels that a packet counts for, by their positions, each once; none if its addresses are of two IP versions.
    #[must_use]
    pub fn find(&self, direction: Direction, source: IpAddr, destination: IpAddr) -> &[u32] {
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.find_v4(direction, source.to_bits(), destination.to_bits())
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                self.find_v6(direction, source.to_bits(), destination.to_bits())
            }
            _ => &[],
        }
    }

    /// The same for IPv4.
    #[inline]
    #[must_use]
    pub fn find_v4(&self, direction: Direction, source: u32, destination: u32) -> &[u32] {
        self.sets.labels(self.v4[direction as usize].set(source, destination))
    }

    /// The same for IPv6.
    #[inline]
    #[must_use]
    pub fn find_v6(&self, direction: Direction, source: u128, destination: u128) -> &[u32] {
        self.sets.labels(self.v6[direction as usize].set(source, destination))
    }
}

impl Sets {
    #[inline]
    fn labels(&self, set: u32) -> &[u32] {
        let set = set as usize;
        &self.labels[self.begins[set] as usize..self.begins[set + 1] as usize]
    }
}

impl<A: Version> Plane<A> {
    fn new(rules: &[(u32, &Rule)], direction: Direction, known: &mut Known) -> Result<Self, Refusal> {
        let rules: Vec<_> = rules
            .iter()
            .filter(|(_, rule)| rule.direction == direction)
            .filter_map(|&(label, rule)| Compiled::of(label, rule))
            .zip(0..)
            .map(|(rule, number)| Compiled { number, ..rule })
            .collect();
        let sources = Side::new(rules.iter().map(|rule| rule.source));
        let destinations = Side::new(rules.iter().map(|rule| rule.destination));
        let combinations = sources.classes.len() * destinations.classes.len();
        if combinations > MOST_PAIRS {
            return Err(Refusal::Combinations { combinations, most: MOST_PAIRS });
        }
        let mut sets = Vec::with_capacity(combinations);
        let mut verdicts = Verdicts::default();
        for source in &sources.classes {
            for destination in &destinations.classes {
                // Those that name no source are in no class of sources, but count whatever it is.
                let by_source = source.iter().map(|&rule| &rules[rule as usize]);
                let by_source = by_source.filter(|rule| rule.takes_destination(destination));
                let by_destination = destination.iter().map(|&rule| &rules[rule as usize]);
                let by_destination = by_destination.filter(|rule: &&Compiled<A>| rule.source.is_none());
                sets.push(known.number(verdicts.of(by_source.chain(by_destination))));
            }
        }
        let width = u32::try_from(destinations.classes.len()).expect("there are fewer pairs");
        Ok(Self { sources: sources.ranges, destinations: destinations.ranges, width, sets })
    }

    #[inline]
    fn set(&self, source: A, destination: A) -> u32 {
        let row = self.sources.class(source) * self.width;
        self.sets[(row + self.destinations.class(destination)) as usize]
    }
}

/// A rule in numbers. One of another IP version is none.
#[derive(Debug)]
struct Compiled<A> {
    number: u32,
    label: u32,
    excluded: bool,
    source: Option<(A, A)>,
    destination: Option<(A, A)>,
}

impl<A: Version> Compiled<A> {
    fn of(label: u32, rule: &Rule) -> Option<Self> {
        let (source, destination) = rule.prefixes.ends(rule.direction);
        let span = |net: Option<IpNet>| net.map(A::span);
        let (source, destination) = (span(source), span(destination));
        // Of this version are both, or the one that there is.
        if source == Some(None) || destination == Some(None) {
            return None;
        }
        let (source, destination) = (source.flatten(), destination.flatten());
        Some(Self { number: 0, label, excluded: rule.excluded, source, destination })
    }

    /// Whether it is among those of a class of destinations, or names no destination.
    fn takes_destination(&self, class: &[u32]) -> bool {
        self.destination.is_none() || class.binary_search(&self.number).is_ok()
    }
}

/// An IP version.
trait Version: Address + std::hash::Hash {
    /// The first and the last address of a prefix; `None` if it is of the other version.
    fn span(net: IpNet) -> Option<(Self, Self)>;
}

impl Version for u32 {
    fn span(net: IpNet) -> Option<(Self, Self)> {
        match net {
            IpNet::V4(net) => Some((net.network().to_bits(), net.broadcast().to_bits())),
            IpNet::V6(_) => None,
        }
    }
}

impl Version for u128 {
    fn span(net: IpNet) -> Option<(Self, Self)> {
        match net {
            IpNet::V6(net) => Some((net.network().to_bits(), net.broadcast().to_bits())),
            IpNet::V4(_) => None,
        }
    }
}

/// One of the two addresses.
struct Side<A> {
    ranges: Ranges<A>,
    /// The rules whose prefix the addresses of each class are in, in ascending order; of class 0 none.
    classes: Vec<Vec<u32>>,
}

impl<A: Version> Side<A> {
    /// Of the prefixes that rules have for this address, in the order of the rules.
    fn new(spans: impl Iterator<Item = Option<(A, A)>>) -> Self {
        let mut by_span: HashMap<(A, A), Vec<u32>> = HashMap::new();
        for (rule, span) in (0..).zip(spans) {
            if let Some(span) = span {
                by_span.entry(span).or_default().push(rule);
            }
        }
        let mut spans: Vec<_> = by_span.into_iter().collect();
        // The larger one first: who is around is there already.
        spans.sort_unstable_by_key(|&((first, last), _)| (first, std::cmp::Reverse(last)));
        let mut classes = vec![Vec::new()];
        let mut blocks: Vec<Block<A>> = Vec::with_capacity(spans.len());
        let mut around: Vec<(A, usize)> = Vec::new();
        for ((first, last), mut rules) in spans {
            while around.pop_if(|(end, _)| *end < first).is_some() {}
            if let Some(&(_, outer)) = around.last() {
                rules.extend_from_slice(&classes[outer]);
                rules.sort_unstable();
            }
            around.push((last, classes.len()));
            blocks.push((first, last, u32::try_from(classes.len()).expect("there are fewer rules")));
            classes.push(rules);
        }
        Self { ranges: Ranges::new(blocks), classes }
    }
}

/// What rules come to, label by label.
#[derive(Debug, Default)]
struct Verdicts {
    included: Vec<u32>,
    excluded: Vec<u32>,
}

impl Verdicts {
    /// The labels that rules which all match count for: one that excludes beats all that include.
    fn of<'a, A: 'a>(&mut self, rules: impl Iterator<Item = &'a Compiled<A>>) -> &[u32] {
        self.included.clear();
        self.excluded.clear();
        for rule in rules {
            if rule.excluded { &mut self.excluded } else { &mut self.included }.push(rule.label);
        }
        self.excluded.sort_unstable();
        self.included.sort_unstable();
        self.included.dedup();
        let Self { included, excluded } = self;
        included.retain(|label| excluded.binary_search(label).is_err());
        included
    }
}

/// Sets that there are already.
#[derive(Debug, Default)]
struct Known {
    numbers: HashMap<Vec<u32>, u32>,
    sets: Sets,
}

impl Default for Sets {
    fn default() -> Self {
        Self { begins: vec![0], labels: Vec::new() }
    }
}

impl Known {
    fn number(&mut self, labels: &[u32]) -> u32 {
        if let Some(&number) = self.numbers.get(labels) {
            return number;
        }
        let count = |number: usize| u32::try_from(number).expect("memory is for fewer");
        let number = count(self.numbers.len());
        self.sets.labels.extend_from_slice(labels);
        self.sets.begins.push(count(self.sets.labels.len()));
        self.numbers.insert(labels.to_vec(), number);
        number
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::book::{Label, Prefixes};

    /// What the rules say, one by one.
    fn linear(book: &Book, direction: Direction, source: IpAddr, destination: IpAddr) -> Vec<u32> {
        let matches = |rule: &&Rule| {
            let (of_source, of_destination) = rule.prefixes.ends(direction);
            rule.direction == direction
                && of_source.is_none_or(|net| net.contains(&source))
                && of_destination.is_none_or(|net| net.contains(&destination))
                // A prefix says of which version the other address is, too.
                && of_source.or(of_destination).is_some_and(|net| net.addr().is_ipv4() == source.is_ipv4())
        };
        let mut counted = Vec::new();
        for (position, label) in (0..).zip(book.labels()) {
            let all: Vec<_> = book.rules().iter().filter(|rule| rule.label_id == label.id).filter(matches).collect();
            if !all.is_empty() && all.iter().all(|rule| !rule.excluded) {
                counted.push(position);
            }
        }
        counted
    }

    /// Few addresses, so that prefixes nest and meet.
    fn prefix() -> impl Strategy<Value = Option<String>> {
        let v4 = (0..4_u8, 0..8_u8, 0..=32_u8).prop_map(|(b, d, len)| format!("10.{b}.0.{d}/{len}"));
        let v6 = (0..4_u16, 0..8_u16, 0..=128_u8).prop_map(|(b, d, len)| format!("2001:db8:{b}::{d:x}/{len}"));
        prop_oneof![2 => Just(None), 3 => v4.prop_map(Some), 2 => v6.prop_map(Some)]
    }

    fn direction() -> impl Strategy<Value = Direction> {
        prop_oneof![Just(Direction::Ingress), Just(Direction::Egress)]
    }

    type Wish = (u8, Direction, [Option<String>; 3], bool);

    fn wish() -> impl Strategy<Value = Wish> {
        (0..4_u8, direction(), [prefix(), prefix(), prefix()], prop::bool::weighted(0.3))
    }

    fn book(wishes: Vec<Wish>) -> Book {
        let mut book = Book::default();
        for label in 0..4 {
            book.add_label(Label { id: Uuid::from_u128(label), name: "a".to_owned(), ..Label::default() }).unwrap();
        }
        for (number, (label, direction, [remote, source, destination], excluded)) in (100..).zip(wishes) {
            let remote = remote.filter(|_| source.is_none() && destination.is_none());
            let prefixes = Prefixes::new(remote.as_deref(), source.as_deref(), destination.as_deref());
            let (id, label_id) = (Uuid::from_u128(number), Uuid::from_u128(label.into()));
            if let Ok(prefixes) = prefixes {
                // One that overlaps another is refused.
                let _ = book.add_rule(Rule { id, label_id, direction, prefixes, excluded });
            }
        }
        book
    }

    fn address() -> impl Strategy<Value = [IpAddr; 2]> {
        let v4 =
            [(0..5_u8, 0..10_u8), (0..5_u8, 0..10_u8)].prop_map(|ends| ends.map(|(b, d)| IpAddr::from([10, b, 0, d])));
        let v6 = [(0..5_u16, 0..10_u16), (0..5_u16, 0..10_u16)]
            .prop_map(|ends| ends.map(|(b, d)| IpAddr::from([0x2001, 0xdb8, b, 0, 0, 0, 0, d])));
        prop_oneof![v4, v6]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Found fast is what all rules say one by one.
        #[test]
        fn a_lookup_says_what_the_rules_say(
            wishes in prop::collection::vec(wish(), 0..25),
            asked in prop::collection::vec((direction(), address()), 1..20),
        ) {
            let book = book(wishes);
            let lookup = Lookup::new(&book).unwrap();
            for (direction, [source, destination]) in asked {
                let found = lookup.find(direction, source, destination);
                prop_assert_eq!(found, linear(&book, direction, source, destination), "{} to {}", source, destination);
            }
        }
    }

    #[test]
    fn addresses_have_a_first_and_a_last_one() {
        let mut book = Book::default();
        book.add_label(Label { name: "ends".to_owned(), ..Label::default() }).unwrap();
        for (number, prefix) in (0..).zip(["0.0.0.1/32", "255.255.255.255/32", "128.0.0.0/1", "::1/128", "ffff::/16"]) {
            let prefixes = Prefixes::new(Some(prefix), None, None).unwrap();
            let (id, direction) = (Uuid::from_u128(number), Direction::Ingress);
            let excluded = prefix == "128.0.0.0/1";
            book.add_rule(Rule { id, label_id: Uuid::nil(), direction, prefixes, excluded }).unwrap();
        }
        let lookup = Lookup::new(&book).unwrap();
        let v4 = |source| lookup.find_v4(Direction::Ingress, source, 7).len();
        assert_eq!([0, 1, 2, 1 << 31, u32::MAX - 1, u32::MAX].map(v4), [0, 1, 0, 0, 0, 0]);
        let v6 = |source| lookup.find_v6(Direction::Ingress, source, 7).len();
        assert_eq!([0, 1, 2, (0xffff << 112) - 1, 0xffff << 112, u128::MAX].map(v6), [0, 1, 0, 0, 1, 1]);
    }

    #[test]
    fn ten_thousand_prefixes_are_told_apart() {
        let mut book = Book::default();
        book.add_label(Label { name: "all".to_owned(), ..Label::default() }).unwrap();
        for number in 0..10_000_u32 {
            let text = format!("10.{}.{}.0/25", number / 256, number % 256);
            let prefixes = Prefixes::new(None, Some(&text), None).unwrap();
            let id = Uuid::from_u128(number.into());
            let rule = Rule { id, label_id: Uuid::nil(), direction: Direction::Ingress, prefixes, excluded: false };
            book.add_rule(rule).unwrap();
        }
        let lookup = Lookup::new(&book).unwrap();
        let find = |source: u32| lookup.find_v4(Direction::Ingress, source, 1).len();
        for number in 0..10_000_u32 {
            let first = 10 << 24 | number << 8;
            assert_eq!([first - 1, first, first + 127, first + 128].map(find), [0, 1, 1, 0]);
        }
        assert_eq!([0, u32::MAX].map(find), [0, 0]);
    }

    #[test]
    fn what_would_take_too_much_memory_is_refused() {
        let mut book = Book::default();
        book.add_label(Label { name: "all".to_owned(), ..Label::default() }).unwrap();
        for number in 0..6_000_u32 {
            let text = format!("10.{}.{}.{}/32", number >> 16, number >> 8 & 255, number & 255);
            let other = number % 2 == 0;
            let prefixes = Prefixes::new(None, (!other).then_some(text.as_str()), other.then_some(text.as_str()));
            let (id, prefixes) = (Uuid::from_u128(number.into()), prefixes.unwrap());
            let rule = Rule { id, label_id: Uuid::nil(), direction: Direction::Ingress, prefixes, excluded: false };
            book.add_rule(rule).unwrap();
        }
        let refusal = Lookup::new(&book).unwrap_err();
        assert_eq!(refusal, Refusal::Combinations { combinations: 3_001 * 3_001, most: MOST_PAIRS });
    }
}
