//! What is written is read back, and always written alike.

use std::{
    cell::Cell,
    io::{self, Write},
};

use portlane_pcap::{LinkType, MAX_PACKET_LEN, Writer};
use proptest::prelude::*;

use crate::bytes::*;

fn packets() -> impl Strategy<Value = Vec<(LinkType, u64, Vec<u8>, u32)>> {
    let packet = (
        prop::sample::select(LinkType::SUPPORTED.to_vec()),
        any::<u64>(),
        prop::collection::vec(any::<u8>(), 0..200),
        0..3_000_u32,
    )
        .prop_map(|(link, time, data, cut)| {
            let original = len32(&data) + cut;
            (link, time, data, original)
        });
    prop::collection::vec(packet, 0..40)
}

fn write_all(packets: &[(LinkType, u64, Vec<u8>, u32)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).expect("memory");
    for (link, time, data, original) in packets {
        writer.write(*link, *time, data, *original).expect("memory");
    }
    writer.finish().expect("memory")
}

proptest! {
    #[test]
    fn packets_come_back_as_written(packets in packets()) {
        let capture = write_all(&packets);
        prop_assert_eq!(&capture, &write_all(&packets));

        let mut links = Vec::new();
        let mut expected = Vec::new();
        for (link, time, data, original) in &packets {
            if !links.contains(link) {
                links.push(*link);
            }
            let interface = links.iter().position(|known| known == link).expect("just added");
            let interface = u32::try_from(interface).expect("few");
            expected.push(owned(*time, interface, link.0, data, *original));
        }
        prop_assert_eq!(read_whole(&capture), expected);
    }
}

#[test]
fn the_bytes_are_those_of_the_draft() {
    let order = Order::Little;
    let body = [
        &order.u32(0x1a2b_3c4d)[..],
        &order.u16(1),
        &order.u16(0),
        &[0xff; 8],
        &option(order, 4, b"portlane"),
        &[0; 4],
    ];
    let expected = [
        block(order, 0x0a0d_0d0a, &body.concat()),
        interface(order, 1, 0, &[option(order, 9, &[9])]),
        enhanced(order, 0, u64::MAX - 1, b"abcde", 60),
        interface(order, 113, 0, &[option(order, 9, &[9])]),
        enhanced(order, 1, 0, b"", 0),
        enhanced(order, 0, 5, b"abcd", 4),
    ];
    let packets = [
        (LinkType::ETHERNET, u64::MAX - 1, b"abcde".to_vec(), 60),
        (LinkType::LINUX_SLL, 0, Vec::new(), 0),
        (LinkType::ETHERNET, 5, b"abcd".to_vec(), 4),
    ];
    assert_eq!(write_all(&packets), expected.concat());
}

#[test]
fn packets_that_nobody_could_read_are_refused_and_do_no_harm() {
    let mut writer = Writer::new(Vec::new()).expect("memory");
    let longest = vec![0; usize::try_from(MAX_PACKET_LEN).expect("fits")];
    let longer = vec![0; longest.len() + 1];
    for (data, original) in [(&b"abc"[..], 2), (&longer[..], u32::MAX)] {
        let refused = writer.write(LinkType::ETHERNET, 1, data, original);
        assert_eq!(refused.expect_err("refused").kind(), io::ErrorKind::InvalidInput);
    }
    writer.write(LinkType::ETHERNET, 1, &longest, u32::MAX).expect("memory");
    let capture = writer.finish().expect("memory");
    assert_eq!(read_whole(&capture), [owned(1, 0, 1, &longest, u32::MAX)]);
}

/// A disk with room for so many bytes.
struct Disk<'a>(&'a Cell<usize>);

impl Write for Disk<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.0.get());
        if count == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.set(self.0.get() - count);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_told_at_the_latest_at_the_end() {
    let room = Cell::new(100);
    let mut writer = Writer::new(Disk(&room)).expect("buffered");
    writer.write(LinkType::ETHERNET, 1, &[0; 500], 500).expect("buffered");
    let error = writer.finish().err().expect("does not fit");
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}

#[test]
fn after_a_failed_write_nothing_more_is_claimed_to_be_written() {
    let room = Cell::new(1_000);
    let mut writer = Writer::new(Disk(&room)).expect("buffered");
    let error = (0..1_000)
        .find_map(|time| writer.write(LinkType::ETHERNET, time, &[0; 1_500], 1_500).err())
        .expect("does not fit");
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);

    room.set(usize::MAX);
    assert!(writer.write(LinkType::ETHERNET, 1, b"", 0).is_err());
    assert!(writer.finish().is_err());
}
