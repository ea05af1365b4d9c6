//! Questions and answers of protocols that have no connections: UDP, and echo of ICMP.

use std::collections::VecDeque;

use crate::SECOND;
use crate::digest::Echo;
use crate::meter::{Meter, Side};

const LONGEST_ART: u64 = 30 * SECOND;
const LONGEST_SRT: u64 = 30 * SECOND;

/// A question by UDP that may still be answered.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    asked_ns: Option<u64>,
}

impl Exchange {
    pub(crate) fn datagram(&mut self, payload: u32, side: Side, now_ns: u64, meter: &mut Meter) {
        match side {
            Side::Client if payload > 0 => self.asked_ns = Some(now_ns),
            Side::Client => {}
            Side::Server => {
                if let Some(asked_ns) = self.asked_ns.take() {
                    meter.art.measure_any(asked_ns, now_ns, LONGEST_ART);
                }
            }
        }
    }
}

/// Echo requests without replies, and replies without requests. Most flows have none.
#[derive(Debug, Default)]
pub(crate) struct Echoes(Option<Box<[Alone; 2]>>);

/// Their times, and by what they are told apart: the oldest first.
type Alone = VecDeque<(u64, u32)>;

impl Echoes {
    /// How many are remembered of each; beyond, the oldest is given up.
    const MOST: usize = 16;

    /// A request or a reply, at `now_ns`. Which of the two is read first does not matter.
    pub(crate) fn echo(&mut self, echo: Echo, now_ns: u64, meter: &mut Meter) {
        let alone = self.0.get_or_insert_default();
        let [same, other] = if echo.reply { [1, 0] } else { [0, 1] };
        let found = alone[other].iter().position(|&(_, id)| id == echo.id);
        if let Some((then_ns, _)) = found.and_then(|place| alone[other].remove(place)) {
            let [asked_ns, replied_ns] = if echo.reply { [then_ns, now_ns] } else { [now_ns, then_ns] };
            return meter.srt.measure_any(asked_ns, replied_ns, LONGEST_SRT);
        }
        if alone[same].len() == Self::MOST {
            alone[same].pop_front();
        }
        alone[same].push_back((now_ns, echo.id));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::meter::Timing;

    const MS: u64 = 1_000_000;

    fn srt(echoes: &[(u64, bool, u32)]) -> Timing {
        let (mut state, mut meter) = (Echoes::default(), Meter::default());
        for &(ms, reply, id) in echoes {
            state.echo(Echo { reply, id }, ms * MS, &mut meter);
        }
        meter.srt
    }

    fn timing(samples: &[u64]) -> Timing {
        let (sum, max) = (samples.iter().sum::<u64>(), samples.iter().max().copied().unwrap_or_default());
        Timing { sum_ns: sum * MS, count: samples.len() as u64, max_ns: max * MS }
    }

    #[test]
    fn a_reply_is_to_the_request_of_its_number() {
        assert_eq!(srt(&[(10, false, 1), (13, true, 1)]), timing(&[3]));
        assert_eq!(srt(&[(10, false, 1), (11, false, 2), (13, true, 2), (18, true, 1)]), timing(&[2, 8]));
        assert_eq!(srt(&[(10, false, 1), (13, true, 2)]), timing(&[]), "another's");
        assert_eq!(srt(&[(10, false, 1), (13, true, 1), (14, true, 1)]), timing(&[3]), "once");
        assert_eq!(srt(&[(10, false, 1), (12, false, 1), (13, true, 1)]), timing(&[3]), "the first of the same");
        assert_eq!(srt(&[(13, true, 1), (10, false, 1)]), timing(&[3]), "read in another order");
        assert_eq!(srt(&[(10, true, 1), (13, false, 1)]), timing(&[]), "it came before it was asked for");
    }

    #[test]
    fn what_took_no_time_counts_and_what_took_too_long_does_not() {
        assert_eq!(srt(&[(10, false, 1), (10, true, 1)]), timing(&[0]));
        assert_eq!(srt(&[(0, false, 1), (30_000, true, 1)]), timing(&[30_000]));
        assert_eq!(srt(&[(0, false, 1), (30_001, true, 1)]), timing(&[]));
    }

    #[test]
    fn sixteen_are_remembered() {
        let replied = |asked: u32, id| {
            let mut echoes: Vec<_> = (0..asked).map(|id| (u64::from(id), false, id)).collect();
            echoes.push((100, true, id));
            srt(&echoes).count
        };
        assert_eq!((replied(16, 0), replied(17, 0), replied(17, 1), replied(17, 16)), (1, 0, 1, 1));
    }

    proptest! {
        #[test]
        fn no_more_replies_count_than_there_are_of_either(
            echoes in prop::collection::vec((0..60_000_u64, any::<bool>(), 0..8_u32), 0..200),
        ) {
            let counted = usize::try_from(srt(&echoes).count).unwrap();
            let replies = echoes.iter().filter(|(_, reply, _)| *reply).count();
            prop_assert!(counted <= replies.min(echoes.len() - replies));
        }
    }
}
