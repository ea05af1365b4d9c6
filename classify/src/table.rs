//! From a port, and where it matters an address, to its owner.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;

use self::owners::Owners;
use crate::address_map::AddressMap;
use crate::{PortRange, Rule, RuleError};

mod owners;
#[cfg(test)]
mod tests;

/// The owner of every port: two loads per lookup, from 16 kB of pages and an owner for each range.
///
/// That stays in the nearest cache, where an array of all ports does not. Where rules name addresses there are pages and owners
/// for each set of rules that some address has, and the address is looked up first; addresses with the same rules share theirs.
///
/// A table is built aside and never changed: to change rules, build a new one and move it in.
///
/// ```
/// use portlane_classify::{Rule, Table};
///
/// let web = Rule {
///     name: "web".to_owned(),
///     addresses: vec![],
///     ports: vec!["8080".parse()?, "31000-31499".parse()?],
///     owner: 1_u32,
/// };
/// let table = Table::build(0, &[web])?;
/// let address = "10.0.0.1".parse()?;
/// assert_eq!(table.lookup(address, 31_007), 1);
/// assert_eq!(table.lookup(address, 31_500), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Table<V> {
    unmatched: V,
    /// The rules without addresses.
    everywhere: Owners<V>,
    /// Whether rules name addresses.
    has_addresses: bool,
    /// For the addresses that rules name: which of `on_addresses` is theirs, counted from 1.
    sets: AddressMap,
    /// The rules of an address and those without addresses.
    on_addresses: Vec<Owners<V>>,
}

impl<V: Copy> Table<V> {
    /// A table in which the ports of no rule return `unmatched`.
    ///
    /// Takes time in proportion to the rules that hold on each address, and memory to the different sets of rules that addresses
    /// have: 16 kB and the size of `V` for each range and each gap.
    ///
    /// # Errors
    ///
    /// [`RuleError`] if two rules have the same name, if a rule has no ports, or if a port would
    /// have two owners on some address. A rule without addresses owns its ports on all of them.
    pub fn build(unmatched: V, rules: &[Rule<V>]) -> Result<Self, RuleError> {
        check_each(rules)?;
        let mut painter = Painter { unmatched, rules, painted: BTreeMap::new() };
        let everywhere = painter.paint(None, &rules_without_addresses(rules))?;

        let mut set_of_rules = HashMap::new();
        let mut on_addresses = Vec::new();
        let mut sets = Vec::new();
        for (address, here) in rules_by_address(rules) {
            let set = match set_of_rules.get(&here) {
                Some(&set) => set,
                None => {
                    on_addresses.push(painter.paint(Some(address), &here)?);
                    let set = u32::try_from(on_addresses.len()).expect("memory ends before numbers do");
                    set_of_rules.insert(here, set);
                    set
                }
            };
            sets.push((address, set));
        }
        let has_addresses = !sets.is_empty();
        Ok(Self { unmatched, everywhere, has_addresses, sets: AddressMap::new(&sets), on_addresses })
    }

    /// The owner of `port` on `address`.
    #[inline(always)]
    #[must_use]
    pub fn lookup(&self, address: IpAddr, port: u16) -> V {
        self.owners(address).of(port)
    }

    #[inline(always)]
    fn owners(&self, address: IpAddr) -> &Owners<V> {
        if !self.has_addresses {
            return &self.everywhere;
        }
        // An address that is not named has number 0, which is none of the sets'.
        let set = (self.sets.get(address) as usize).wrapping_sub(1);
        match self.on_addresses.get(set) {
            Some(owners) => owners,
            None => &self.everywhere,
        }
    }

    /// The same table with other names for the owners.
    #[must_use]
    pub fn map<W: Copy>(&self, name: impl Fn(V) -> W) -> Table<W> {
        Table {
            unmatched: name(self.unmatched),
            everywhere: self.everywhere.map(&name),
            has_addresses: self.has_addresses,
            sets: self.sets.clone(),
            on_addresses: self.on_addresses.iter().map(|owners| owners.map(&name)).collect(),
        }
    }

    /// What [`lookup`](Self::lookup) returns for a port that nobody owns.
    #[inline]
    #[must_use]
    pub fn unmatched(&self) -> V {
        self.unmatched
    }
}

impl<V: fmt::Debug> fmt::Debug for Table<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("unmatched", &self.unmatched)
            .field("addresses", &self.sets)
            .field("sets", &(1 + self.on_addresses.len()))
            .finish_non_exhaustive()
    }
}

/// What can be said of rules without looking at more than their names and whether they have ports.
fn check_each<V>(rules: &[Rule<V>]) -> Result<(), RuleError> {
    let mut by_name = HashMap::new();
    for rule in rules {
        if let Some(first) = by_name.insert(&rule.name, rule) {
            return Err(RuleError::DuplicateName {
                name: rule.name.clone(),
                first_ports: list(&first.ports),
                second_ports: list(&rule.ports),
            });
        }
    }
    match rules.iter().find(|rule| rule.ports.is_empty()) {
        Some(rule) => Err(RuleError::NoPorts { name: rule.name.clone() }),
        None => Ok(()),
    }
}

fn list(ports: &[PortRange]) -> String {
    if ports.is_empty() {
        return "(none)".to_owned();
    }
    ports.iter().map(PortRange::to_string).collect::<Vec<_>>().join(", ")
}

/// Indices of the rules that hold on every address.
fn rules_without_addresses<V>(rules: &[Rule<V>]) -> Vec<usize> {
    let everywhere = |rule: &Rule<V>| rule.addresses.is_empty();
    (0..rules.len()).filter(|&index| everywhere(&rules[index])).collect()
}

/// For each address that is named: indices of the rules that name it, after those without any.
fn rules_by_address<V>(rules: &[Rule<V>]) -> BTreeMap<IpAddr, Vec<usize>> {
    let everywhere = rules_without_addresses(rules);
    let mut by_address = BTreeMap::new();
    for (index, rule) in rules.iter().enumerate() {
        for &address in &rule.addresses {
            let here = by_address.entry(address).or_insert_with(|| everywhere.clone());
            if here.last() != Some(&index) {
                here.push(index);
            }
        }
    }
    by_address
}

/// Gives ports to rules, and sees it when one is given twice.
struct Painter<'a, V> {
    unmatched: V,
    rules: &'a [Rule<V>],
    /// The ranges given so far by their first ports, and whose they are.
    painted: BTreeMap<u16, (usize, PortRange)>,
}

impl<V: Copy> Painter<'_, V> {
    fn paint(&mut self, address: Option<IpAddr>, here: &[usize]) -> Result<Owners<V>, RuleError> {
        self.painted.clear();
        for &index in here {
            for &range in &self.rules[index].ports {
                if let Some(earlier) = self.painted_on(range) {
                    return Err(self.overlap(address, earlier, (index, range)));
                }
                self.painted.insert(range.first(), (index, range));
            }
        }
        Ok(Owners::new(&self.ranges()))
    }

    /// The range that has the lowest port of this one that has been given.
    fn painted_on(&self, range: PortRange) -> Option<(usize, PortRange)> {
        let before = self.painted.range(..range.first()).next_back();
        let within = self.painted.range(range.first()..=range.last()).next();
        [before, within]
            .into_iter()
            .flatten()
            .map(|(_, &earlier)| earlier)
            .find(|earlier| earlier.1.shared_with(range).is_some())
    }

    /// Every port's range, of those that were given and the gaps between them.
    fn ranges(&self) -> Vec<(u16, V)> {
        let mut ranges = Vec::with_capacity(2 * self.painted.len() + 1);
        let mut next = Some(0);
        for &(index, range) in self.painted.values() {
            ranges.extend(next.filter(|&next| next < range.first()).map(|gap| (gap, self.unmatched)));
            ranges.push((range.first(), self.rules[index].owner));
            next = range.last().checked_add(1);
        }
        ranges.extend(next.map(|gap| (gap, self.unmatched)));
        ranges
    }

    #[cold]
    fn overlap(&self, address: Option<IpAddr>, one: (usize, PortRange), other: (usize, PortRange)) -> RuleError {
        // A rule without addresses is painted before one with, whichever comes first.
        let ((first, first_range), (second, second_range)) = if other.0 < one.0 { (other, one) } else { (one, other) };
        // They met on a port that both contain.
        let shared = first_range.shared_with(second_range).unwrap_or(second_range);
        let name = |index: usize| self.rules[index].name.clone();
        if first == second {
            let (first, second) = (first_range, second_range);
            RuleError::OverlapWithin { name: name(one.0), first, second, shared }
        } else {
            let (first, second) = (name(first), name(second));
            RuleError::Overlap { first, first_range, second, second_range, shared, address }
        }
    }
}
