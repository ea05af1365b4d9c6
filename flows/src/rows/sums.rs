//! What was counted, by anything.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::AddAssign;

use crate::meter::Meter;

/// What was counted of something.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) flow_load: u64,
    pub(super) meter: Meter,
}

impl AddAssign<&Tally> for Tally {
    fn add_assign(&mut self, other: &Tally) {
        self.flow_load += other.flow_load;
        self.meter += &other.meter;
    }
}

/// Tallies by key. They are far larger than their keys: so they stay where they are, and are put in order when all are there.
#[derive(Clone, Debug)]
pub(super) struct Sums<K> {
    places: HashMap<K, usize>,
    tallies: Vec<(K, Tally)>,
}

impl<K> Default for Sums<K> {
    fn default() -> Self {
        Self { places: HashMap::new(), tallies: Vec::new() }
    }
}

impl<K: Copy + Eq + Hash + Ord> Sums<K> {
    pub(super) fn len(&self) -> usize {
        self.tallies.len()
    }

    pub(super) fn contains(&self, key: &K) -> bool {
        self.places.contains_key(key)
    }

    /// What was counted, if anything was.
    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut Tally> {
        self.places.get(key).map(|&place| &mut self.tallies[place].1)
    }

    pub(super) fn add(&mut self, key: K, tally: &Tally) {
        let place = *self.places.entry(key).or_insert(self.tallies.len());
        match self.tallies.get_mut(place) {
            Some((_, sum)) => *sum += tally,
            None => self.tallies.push((key, *tally)),
        }
    }

    /// All of them, in the order of their keys.
    pub(super) fn sorted(mut self) -> Vec<(K, Tally)> {
        self.tallies.sort_by_cached_key(|&(key, _)| key);
        self.tallies
    }
}

impl<K: Copy + Eq + Hash + Ord> FromIterator<(K, Tally)> for Sums<K> {
    fn from_iter<I: IntoIterator<Item = (K, Tally)>>(tallies: I) -> Self {
        let mut sums = Self::default();
        tallies.into_iter().for_each(|(key, tally)| sums.add(key, &tally));
        sums
    }
}
