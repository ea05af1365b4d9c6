//! What segments are, by examples and beside a simple model.

use proptest::prelude::*;

use super::Arrival::{self, Again, New, OutOfOrder, Overlap};
use super::{MOST, Received};

fn arrivals(segments: &[(u32, u32)]) -> Vec<Arrival> {
    let mut received = Received::default();
    segments.iter().map(|&(seq, len)| received.segment(seq, len)).collect()
}

#[test]
fn in_order_all_is_new_once() {
    assert_eq!(arrivals(&[(100, 10), (110, 10), (120, 10), (110, 10), (100, 30)]), [New, New, New, Again, Again]);
    // The first segment seen says where a capture begins.
    assert_eq!(arrivals(&[(100, 10), (90, 10), (95, 2)]), [New, OutOfOrder, Again]);
}

#[test]
fn what_fills_a_hole_is_out_of_order() {
    let hole = [(100, 10), (130, 10)];
    let then = |segment| arrivals(&[hole[0], hole[1], segment])[2];
    assert_eq!(then((110, 20)), OutOfOrder, "all of it");
    assert_eq!(then((110, 5)), OutOfOrder);
    assert_eq!(then((115, 5)), OutOfOrder);
    assert_eq!(then((140, 5)), New);
    assert_eq!(then((150, 5)), New);
    assert_eq!(then((105, 40)), Again, "where it begins decides");
    assert_eq!(then((115, 20)), Overlap, "into what is above");
    assert_eq!(then((115, 90)), Overlap, "and beyond");
    assert_eq!(then((90, 15)), Overlap, "below all");
    // Where something begins right behind a hole, it is not seen that it came before.
    assert_eq!(then((130, 10)), OutOfOrder);
    assert_eq!(then((131, 5)), Again);
    assert_eq!(
        arrivals(&[hole[0], hole[1], (110, 20), (130, 10)]),
        [New, New, OutOfOrder, Again],
        "once it is full it is"
    );
}

#[test]
fn numbers_come_round() {
    let top = u32::MAX - 9;
    assert_eq!(arrivals(&[(top, 9), (5, 10), (5, 10), (top, 9)]), [New, New, Again, New]);
    assert_eq!(arrivals(&[(100, 5), (u32::MAX - 2, 10), (0, 10), (100, 5)]), [New, New, New, Again]);
}

#[test]
fn when_there_is_no_room_the_lowest_hole_is_forgotten() {
    let far = |n: usize| (u32::try_from(n).unwrap() * 100 + 100, 10);
    let segments: Vec<_> = (0..MOST).map(far).collect();
    assert!(arrivals(&segments).iter().all(|&arrival| arrival == New));
    let then = |segment| *arrivals(&[&segments[..], &[segment]].concat()).last().unwrap();
    assert_eq!(then((150, 10)), Again);
    assert_eq!(then((250, 10)), OutOfOrder);
}

proptest! {
    /// Bytes seen, one by one. It agrees wherever segments are whole multiples of a unit, so that nothing overlaps, and there
    /// is no hole below what comes again.
    #[test]
    fn a_reordered_stream_is_what_its_bytes_say(order in Just((1_u32..15).collect::<Vec<_>>()).prop_shuffle()) {
        let mut received = Received::default();
        let mut seen: Vec<u32> = Vec::new();
        for place in order {
            let arrival = received.segment(place * 10, 10);
            let wanted = if seen.iter().any(|&other| other > place) { OutOfOrder } else { New };
            prop_assert_eq!(arrival, wanted);
            seen.push(place);
        }
        // All of it has come: each comes again.
        for place in 1..15 {
            prop_assert_eq!(received.segment(place * 10, 10), Again);
        }
    }

    #[test]
    fn anything_may_come(segments in proptest::collection::vec((any::<u32>(), 1_u32..70_000), 0..200), near in any::<bool>()) {
        let mut received = Received::default();
        for (seq, len) in segments {
            let seq = if near { seq % 1_000_000 } else { seq };
            received.segment(seq, len);
            prop_assert!(received.runs().len() < MOST && received.runs().is_sorted_by_key(|run| run.start));
            prop_assert!(received.runs().iter().all(|run| run.start < run.end));
        }
    }
}
