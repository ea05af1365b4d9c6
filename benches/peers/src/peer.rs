//! What is compared, and how: in alternation.

use crate::Failure;

/// Somebody who does the job.
pub(crate) trait Peer {
    /// What the table calls it.
    fn name(&self) -> String;

    /// Does the job once.
    fn measure(&mut self) -> Result<Sample, Failure>;
}

/// What one round came to.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// Nanoseconds a packet; of a round trip, nanoseconds a trip.
    pub(crate) ns: f64,
    /// What else is worth telling, of the last round.
    pub(crate) note: String,
}

/// What a peer's rounds came to.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) name: String,
    pub(crate) note: String,
    /// In the order in which they were run.
    rounds: Vec<f64>,
}

impl Measured {
    /// Of these rounds.
    pub(crate) fn of(name: &str, rounds: Vec<Sample>) -> Self {
        let note = rounds.last().map(|last| last.note.clone()).unwrap_or_default();
        Self { name: name.to_owned(), note, rounds: rounds.into_iter().map(|sample| sample.ns).collect() }
    }

    /// Of the fastest round, in nanoseconds.
    pub(crate) fn lowest(&self) -> f64 {
        self.rounds.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// Of the round in the middle, in nanoseconds.
    pub(crate) fn median(&self) -> f64 {
        median(self.rounds.clone())
    }

    /// How often `other` could have done its packet in the time that this peer took for one: of the fastest rounds, and
    /// the median of all pairs of rounds that were neighbours in time.
    pub(crate) fn ratios(&self, other: &Self) -> Ratios {
        let pairs = self.rounds.iter().zip(&other.rounds).map(|(mine, others)| mine / others);
        Ratios { of_lowest: self.lowest() / other.lowest(), of_pairs: median(pairs.collect()) }
    }
}

/// How many times one peer is as fast as another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ratios {
    /// Of the fastest rounds of both.
    pub(crate) of_lowest: f64,
    /// In the middle, of all rounds.
    pub(crate) of_pairs: f64,
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) { f64::midpoint(values[middle - 1], values[middle]) } else { values[middle] }
}

/// Lets all peers do their job in turns, `rounds` times; every other round runs backwards, so that nobody always comes
/// after the same one.
pub(crate) fn alternate(rounds: usize, peers: &mut [Box<dyn Peer + '_>]) -> Result<Vec<Measured>, Failure> {
    let mut all: Vec<Measured> = peers
        .iter()
        .map(|peer| Measured { name: peer.name(), note: String::new(), rounds: Vec::with_capacity(rounds) })
        .collect();
    for round in 0..rounds {
        let mut order: Vec<usize> = (0..peers.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for place in order {
            let measured = &mut all[place];
            eprint!("round {} of {rounds}: {:<60}", round + 1, measured.name);
            let sample = peers[place].measure().map_err(|cause| format!("{}: {cause}", measured.name))?;
            eprintln!("{:>10.1} ns", sample.ns);
            measured.rounds.push(sample.ns);
            measured.note = sample.note;
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so long each time.
    struct Steady(f64);

    impl Peer for Steady {
        fn name(&self) -> String {
            format!("{} ns", self.0)
        }

        fn measure(&mut self) -> Result<Sample, Failure> {
            // Slower from round to round, as a machine may get.
            self.0 *= 2.0;
            Ok(Sample { ns: self.0, note: String::new() })
        }
    }

    #[test]
    fn ratios_are_of_rounds_side_by_side() {
        let all = alternate(3, &mut [Box::new(Steady(10.0)), Box::new(Steady(1.0))]).unwrap();
        assert_eq!((all[0].lowest(), all[0].median()), (20.0, 40.0));
        let ratios = all[0].ratios(&all[1]);
        assert_eq!((ratios.of_lowest, ratios.of_pairs), (10.0, 10.0));
    }

    #[test]
    fn a_median_of_an_even_number_is_between_both() {
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 2.5);
    }
}
