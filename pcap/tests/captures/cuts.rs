//! A capture cut at every byte.

use portlane_pcap::{Damage, ReadError};

use crate::bytes::*;

/// A capture as its records: the packets each one holds (none or one).
struct Parts(Vec<(Vec<u8>, bool)>);

impl Parts {
    fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|(bytes, _)| bytes.clone()).collect()
    }

    /// Whole packets in the first `len` bytes, and the start of the record that `len` is inside.
    fn before(&self, len: usize) -> (u64, Option<usize>) {
        let (mut packets, mut start) = (0, 0);
        for (bytes, is_packet) in &self.0 {
            if len == start {
                return (packets, None);
            }
            if len < start + bytes.len() {
                return (packets, Some(start));
            }
            packets += u64::from(*is_packet);
            start += bytes.len();
        }
        (packets, None)
    }
}

/// Cuts `parts` everywhere and checks packets, number and offset.
fn check_every_cut(parts: &Parts) {
    let capture = parts.bytes();
    let whole = read_whole(&capture);
    let header = parts.0[0].0.len();
    for len in header..=capture.len() {
        let (before, cut_record) = parts.before(len);
        let cut = Trickle { rest: &capture[..len], step: 7, interrupted: true };
        let (packets, error) = read_all(cut);
        assert_eq!(packets, whole[..packets.len()], "cut at {len}");
        assert_eq!(u64::from(len_of(&packets)), before, "cut at {len}");
        match (error, cut_record) {
            (None, None) => {}
            (Some(ReadError::Damaged { packet, offset, damage: Damage::Cut { have, need, .. } }), Some(start)) => {
                assert_eq!(packet, before + 1, "cut at {len}");
                assert_eq!(usize::try_from(offset), Ok(start), "cut at {len}");
                assert_eq!(usize::try_from(have), Ok(len - start), "cut at {len}");
                assert!(need > have);
            }
            (error, start) => panic!("cut at {len} (record at {start:?}) gave {error:?}"),
        }
    }
    for len in 0..header {
        let (packets, error) = read_all(&capture[..len]);
        assert_eq!(packets, []);
        let error = error.expect("a cut header is an error");
        match len {
            0 => assert!(matches!(error, ReadError::Empty)),
            1..4 => assert!(matches!(error, ReadError::NotACapture)),
            _ => assert!(matches!(error, ReadError::Damaged { packet: 1, offset: 0, damage: Damage::Cut { .. } })),
        }
    }
}

#[test]
fn pcap() {
    for order in ORDERS {
        check_every_cut(&Parts(vec![
            (pcap_header(order, PCAP_MICROS, 1), false),
            (pcap_record(order, (1, 1), b"abc", 3), true),
            (pcap_record(order, (1, 2), b"", 0), true),
            (pcap_record(order, (1, 3), b"abcd", 400), true),
        ]));
    }
}

#[test]
fn pcapng() {
    for order in ORDERS {
        check_every_cut(&Parts(vec![
            (section(order), false),
            (interface(order, 1, 0, &[option(order, 9, &[9])]), false),
            (enhanced(order, 0, 1, b"abc", 3), true),
            (block(order, 5, b"statistics"), false),
            (simple(order, b"abcde", 5), true),
            (section(Order::Big), false),
            (interface(Order::Big, 101, 0, &[]), false),
            (obsolete(Order::Big, 0, 2, b"a", 900), true),
        ]));
    }
}

#[test]
fn the_message_names_packet_and_byte() {
    let order = Order::Little;
    let capture = [
        pcap_header(order, PCAP_MICROS, 1),
        pcap_record(order, (1, 1), b"abc", 3),
        pcap_record(order, (1, 2), b"abcd", 4),
    ]
    .concat();
    let (packets, error) = read_all(&capture[..capture.len() - 1]);
    assert_eq!(packets.len(), 1);
    assert_eq!(
        error.expect("cut").to_string(),
        "packet 2 (byte 43): the capture ends inside the packet record that starts here: \
         19 of 20 bytes"
    );
}
