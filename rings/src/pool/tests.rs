//! What a pool keeps, alone.

use super::*;
use crate::ETHERNET;

const LAYOUT: Layout = Layout { frames: 4, frame_size: 256 };

#[test]
fn the_last_frame_home_is_the_first_out() {
    let mut pool = Pool::new(LAYOUT).unwrap();
    let (first, second) = (pool.take().unwrap(), pool.take().unwrap());
    let (first_index, second_index) = (pool.index(&first), pool.index(&second));
    pool.put(second);
    pool.put(first);
    let again = pool.take().unwrap();
    assert_eq!(pool.index(&again), first_index);
    assert_ne!(first_index, second_index);
    pool.put(again);
    assert_eq!(pool.free(), 4);
}

#[test]
fn an_empty_pool_gives_none() {
    let mut pool = Pool::new(LAYOUT).unwrap();
    let held: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
    assert_eq!(held.len(), 4);
    assert_eq!(pool.free(), 0);
}

#[test]
fn what_was_written_is_read() {
    let mut pool = Pool::new(LAYOUT).unwrap();
    let mut frame = pool.take().unwrap();
    pool.write(&mut frame, &[7; 256]).unwrap();
    assert_eq!(pool.bytes(&frame), &[7; 256]);
    let refused = pool.write(&mut frame, &[0; 257]).unwrap_err();
    assert_eq!(refused.to_string(), "a packet of 257 bytes does not fit into a frame of 256");
    assert_eq!(pool.bytes(&frame), &[7; 256]);
    pool.put(frame);
}

#[test]
#[should_panic(expected = "another pool's")]
fn frames_do_not_change_pools() {
    let (mut one, mut other) = (Pool::new(LAYOUT).unwrap(), Pool::new(LAYOUT).unwrap());
    other.put(one.take().unwrap());
}

#[test]
fn phantoms_take_no_frame() {
    let mut pool = Pool::new(LAYOUT).unwrap();
    let mut frame = pool.take().unwrap();
    pool.write(&mut frame, &[7; 100]).unwrap();
    frame.set_wire_len(1_500);
    frame.set_link_type(101);
    let phantoms = [false, true].map(|bit| pool.phantom(&frame, bit));
    assert!(!frame.is_phantom() && !frame.phantom_bit());
    assert_eq!((pool.free(), pool.phantoms()), (3, 2));
    for (phantom, bit) in phantoms.into_iter().zip([false, true]) {
        assert_eq!((phantom.is_phantom(), phantom.phantom_bit()), (true, bit));
        assert_eq!((phantom.len(), phantom.wire_len(), phantom.link_type()), (0, 1_500, 101));
        pool.put(phantom);
    }
    assert_eq!((pool.free(), pool.phantoms()), (3, 0));
    pool.put(frame);
    assert_eq!(pool.free(), 4);
}

#[test]
fn impossible_layouts_are_refused() {
    for (frames, frame_size) in [(0, 2_048), (1 << 22, 2_048), (65_537, 65_535), (8, 0), (8, 63), (8, 65_536)] {
        let refused = Pool::new(Layout { frames, frame_size }).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{frames} of {frame_size}");
    }
    assert!(Pool::new(Layout { frames: 1, frame_size: 64 }).is_ok());
    assert!(Pool::new(Layout { frames: 1, frame_size: 65_535 }).is_ok());
}

#[test]
fn every_byte_is_in_the_frame_that_division_says() {
    for frame_size in [64, 65, 2_047, 2_048, 2_112, 9_001, 32_768, 65_535] {
        let pool = Pool::new(Layout { frames: 3, frame_size }).unwrap();
        let last = u32::MAX / frame_size;
        for frame in [0, 1, 2, 3, 1_000, 46_341, last / 2, last - 1, last] {
            for address in [frame * frame_size, (frame * frame_size).saturating_add(frame_size - 1)] {
                assert_eq!(pool.index_of(address), address / frame_size, "{address} / {frame_size}");
            }
        }
    }
}

#[test]
fn a_packet_written_begins_where_its_frame_does() {
    let mut pool = Pool::over(Area::map(1_024).unwrap(), LAYOUT, 32);
    let frame = pool.take().unwrap();
    // As one that the kernel has filled.
    let address = pool.surrender(frame) + 100;
    pool.restore(address);
    let mut frame = pool.take().unwrap();
    pool.write(&mut frame, &[7; 224]).unwrap();
    assert_eq!((frame.address, frame.len(), frame.wire_len()), (32, 224, 224));
    assert_eq!(pool.write(&mut frame, &[7; 225]).unwrap_err().capacity, 224);
    pool.put(frame);
}

#[test]
#[should_panic(expected = "more frames came home")]
fn a_pool_does_not_grow() {
    let mut pool = Pool::new(LAYOUT).unwrap();
    pool.restore(0);
}

#[test]
fn what_a_frame_says_of_its_packet_ends_with_it() {
    let mut pool = Pool::new(LAYOUT).unwrap();
    let mut frame = pool.take().unwrap();
    assert_eq!(frame.link_type(), ETHERNET);
    pool.write(&mut frame, &[1; 60]).unwrap();
    frame.set_link_type(101);
    frame.set_wire_len(1_500);
    assert_eq!((frame.link_type(), frame.len(), frame.wire_len()), (101, 60, 1_500));
    pool.put(frame);
    let again = pool.take().unwrap();
    assert_eq!((again.link_type(), again.len(), again.wire_len()), (ETHERNET, 0, 0));
    pool.put(again);
}
