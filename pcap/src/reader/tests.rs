//! The memory that a reader takes, which only its window shows.

use proptest::prelude::*;

use super::Reader;
use crate::{LinkType, MAX_BLOCK_LEN, Writer, window::size};

const INITIAL: usize = 256 * 1024;

fn capacity_after(capture: &[u8]) -> usize {
    let Ok(mut reader) = Reader::new(capture) else {
        return 0;
    };
    while let Ok(Some(_)) = reader.next() {}
    reader.window.capacity()
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len() + 12).unwrap().to_le_bytes();
    [&kind.to_le_bytes()[..], &len, body, &len].concat()
}

fn capture_of(count: u64, len: usize) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).unwrap();
    for time in 0..count {
        let data = vec![1; len];
        writer.write(LinkType::ETHERNET, time, &data, 9_000).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn a_long_capture_takes_no_more_than_a_short_one() {
    let capture = capture_of(2_000, 1_500);
    assert!(capture.len() > 10 * INITIAL);
    assert_eq!(capacity_after(&capture), INITIAL);
}

#[test]
fn a_claimed_length_takes_nothing() {
    let mut lie = block(5, &[0; 100]);
    lie[4..8].copy_from_slice(&MAX_BLOCK_LEN.to_le_bytes());
    let capture = [capture_of(1, 60), lie].concat();
    assert_eq!(capacity_after(&capture), INITIAL);
}

#[test]
fn the_longest_block_fits_and_takes_its_length() {
    let longest = size(MAX_BLOCK_LEN);
    let skipped = block(0x0bad, &vec![0; longest - 12]);
    let capture = [capture_of(1, 60), skipped, capture_of(1, 60)].concat();
    assert_eq!(capacity_after(&capture), longest);
    let mut reader = Reader::new(capture.as_slice()).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().interface, 0);
    assert_eq!(reader.next().unwrap().unwrap().interface, 1);
}

proptest! {
    #[test]
    fn no_mutation_takes_more_than_the_input_holds(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let mut capture = capture_of(10, 60);
        for (at, value) in changes {
            *at.get_mut(&mut capture) = value;
        }
        prop_assert!(capacity_after(&capture) <= INITIAL);
    }
}
