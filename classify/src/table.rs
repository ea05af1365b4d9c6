//! From a port, and where it matters an address, to its owner.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;

use crate::address_map::AddressMap;
use crate::{PortRange, Rule, RuleError};

#[cfg(test)]
mod tests;

const PORTS: usize = 1 << 16;

/// Ports that are renamed together if they have one owner.
const RUN: usize = 64;

/// The owner of every port: one load from an array of 65,536 per lookup.
///
/// Where rules name addresses there is one more such array for each set of rules that some address
/// has, and the address is looked up first. An array takes 65,536 times the size of `V`; addresses
/// with the same rules share one.
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
    everywhere: Box<[V; PORTS]>,
    /// Whether rules name addresses.
    has_addresses: bool,
    /// For the addresses that rules name: which of `on_addresses` is theirs, counted from 1.
    arrays: AddressMap,
    /// The rules of an address and those without addresses.
    on_addresses: Vec<Box<[V; PORTS]>>,
}

impl<V: Copy> Table<V> {
    /// A table in which the ports of no rule return `unmatched`.
    ///
    /// Takes time and memory in proportion to 65,536 times the number of different sets of rules
    /// that addresses have.
    ///
    /// # Errors
    ///
    /// [`RuleError`] if two rules have the same name, if a rule has no ports, or if a port would
    /// have two owners on some address. A rule without addresses owns its ports on all of them.
    pub fn build(unmatched: V, rules: &[Rule<V>]) -> Result<Self, RuleError> {
        check_each(rules)?;
        let mut painter = Painter { unmatched, rules, painted_by: vec![0; PORTS], painted: Vec::new() };
        let everywhere = painter.paint(None, &rules_without_addresses(rules))?;

        let mut array_of_rules = HashMap::new();
        let mut on_addresses = Vec::new();
        let mut arrays = Vec::new();
        for (address, here) in rules_by_address(rules) {
            let array = match array_of_rules.get(&here) {
                Some(&array) => array,
                None => {
                    on_addresses.push(painter.paint(Some(address), &here)?);
                    let array = u32::try_from(on_addresses.len()).expect("memory ends before numbers do");
                    array_of_rules.insert(here, array);
                    array
                }
            };
            arrays.push((address, array));
        }
        let has_addresses = !arrays.is_empty();
        Ok(Self { unmatched, everywhere, has_addresses, arrays: AddressMap::new(&arrays), on_addresses })
    }

    /// The owner of `port` on `address`.
    #[inline(always)]
    #[must_use]
    pub fn lookup(&self, address: IpAddr, port: u16) -> V {
        self.owners(address)[usize::from(port)]
    }

    #[inline(always)]
    fn owners(&self, address: IpAddr) -> &[V; PORTS] {
        if !self.has_addresses {
            return &self.everywhere;
        }
        // An address that is not named has number 0, which is none of the arrays'.
        let array = (self.arrays.get(address) as usize).wrapping_sub(1);
        match self.on_addresses.get(array) {
            Some(owners) => owners,
            None => &self.everywhere,
        }
    }

    /// The same table with other names for the owners.
    #[must_use]
    pub fn map<W: Copy>(&self, name: impl Fn(V) -> W) -> Table<W>
    where
        V: PartialEq,
    {
        let renamed = |owners: &[V; PORTS]| -> Box<[W; PORTS]> {
            let mut renamed = Vec::with_capacity(PORTS);
            // Most ports have the owner of their neighbours.
            for run in owners.chunks(RUN) {
                let first = run[0];
                if run.iter().fold(true, |same, &owner| same & (owner == first)) {
                    renamed.resize(renamed.len() + run.len(), name(first));
                } else {
                    renamed.extend(run.iter().map(|&owner| name(owner)));
                }
            }
            renamed.into_boxed_slice().try_into().unwrap_or_else(|_| unreachable!("as many as before"))
        };
        Table {
            unmatched: name(self.unmatched),
            everywhere: renamed(&self.everywhere),
            has_addresses: self.has_addresses,
            arrays: self.arrays.clone(),
            on_addresses: self.on_addresses.iter().map(|owners| renamed(owners)).collect(),
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
            .field("addresses", &self.arrays)
            .field("arrays", &(1 + self.on_addresses.len()))
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

/// Writes rules into an array of owners, and sees it when a port is written twice.
struct Painter<'a, V> {
    unmatched: V,
    rules: &'a [Rule<V>],
    /// Who painted each port: the place in `painted` of the range, counted from 1; here to be allocated once.
    painted_by: Vec<u32>,
    /// The ranges painted so far, and whose they are.
    painted: Vec<(usize, PortRange)>,
}

impl<V: Copy> Painter<'_, V> {
    fn paint(&mut self, address: Option<IpAddr>, here: &[usize]) -> Result<Box<[V; PORTS]>, RuleError> {
        if !self.painted.is_empty() {
            self.painted.clear();
            self.painted_by.fill(0);
        }
        let mut owners = vec![self.unmatched; PORTS];
        for &index in here {
            let rule = &self.rules[index];
            for &range in &rule.ports {
                let ports = usize::from(range.first())..=usize::from(range.last());
                let painted_by = &mut self.painted_by[ports.clone()];
                if let Some(&earlier) = painted_by.iter().find(|by| **by > 0) {
                    let earlier = self.painted[earlier as usize - 1];
                    return Err(self.overlap(address, earlier, (index, range)));
                }
                self.painted.push((index, range));
                painted_by.fill(u32::try_from(self.painted.len()).expect("no more ranges than ports"));
                owners[ports].fill(rule.owner);
            }
        }
        match owners.into_boxed_slice().try_into() {
            Ok(owners) => Ok(owners),
            Err(_) => unreachable!("the vector was made with as many elements as there are ports"),
        }
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
