//! What is refused before the first packet.

use std::{fs, path::PathBuf};

use portlane_pcap::{LinkType, ReadError, Reader};

use crate::bytes::*;

#[test]
fn what_is_not_a_capture_is_refused() {
    assert!(matches!(Reader::new(&b""[..]), Err(ReadError::Empty)));
    for bytes in [&b"\xa1"[..], b"PK\x03\x04 a zip file", &[0; 100]] {
        assert!(matches!(Reader::new(bytes), Err(ReadError::NotACapture)));
    }
}

/// The message of a file that cannot be opened, without its path.
fn refusal(path: PathBuf) -> String {
    let error = Reader::open(&path).expect_err("is refused");
    assert_eq!(error.path, path);
    let message = error.to_string();
    let prefix = format!("{}: ", path.display());
    message.strip_prefix(&prefix).expect("names the path").to_owned()
}

#[test]
fn files_that_cannot_be_opened_are_named() {
    let room = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (empty, garbage) = (room.join("empty.pcap"), room.join("garbage.pcap"));
    fs::write(&empty, b"").expect("writable");
    fs::write(&garbage, b"id,name\n1,web\n").expect("writable");
    assert_eq!(refusal(empty), "not a capture: the input is empty");
    assert_eq!(refusal(garbage), "not a capture: neither pcap nor pcapng magic at the start");
    assert!(refusal(room.join("absent.pcap")).starts_with("cannot be read: "));
    assert!(refusal(room).starts_with("cannot be read: "));
}

#[test]
fn a_file_is_read_and_its_progress_told() {
    let capture = [pcap_header(Order::Little, PCAP_MICROS, 1), pcap_record(Order::Little, (1, 1), b"abc", 3)].concat();
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("one.pcap");
    fs::write(&path, &capture).expect("writable");
    let mut reader = Reader::open(&path).expect("a capture");
    let packet = reader.next().expect("whole").expect("a packet");
    assert_eq!((packet.number, packet.offset), (1, 24));
    assert!(reader.next().expect("whole").is_none());
    assert_eq!(reader.bytes_read(), u64::from(len32(&capture)));
}

#[test]
fn a_pcap_of_another_link_type_is_refused_at_once() {
    for order in ORDERS {
        let error = Reader::new(&pcap_header(order, PCAP_MICROS, 105)[..]).expect_err("refused");
        assert_eq!(
            error.to_string(),
            "link type IEEE802_11 (105) from packet 1 on (byte 24) is not supported; supported are \
             ETHERNET (1), RAW (101), LINUX_SLL (113), IPV4 (228), IPV6 (229), LINUX_SLL2 (276)"
        );
    }
}

#[test]
fn a_pcapng_is_refused_for_the_interface_of_its_first_packet() {
    let order = Order::Big;
    let start = [section(order), interface(order, 105, 0, &[]), interface(order, 1, 0, &[])].concat();
    let (wifi, ethernet) = (enhanced(order, 0, 1, b"a", 1), enhanced(order, 1, 1, b"b", 1));

    let refused = [&start[..], &wifi, &ethernet].concat();
    match Reader::new(refused.as_slice()) {
        Err(ReadError::LinkType { link, packet: 1, offset }) => {
            assert_eq!(link, LinkType(105));
            assert_eq!(offset, u64::from(len32(&start)));
        }
        other => panic!("expected a refusal, got {other:?}"),
    }

    let late = [&start[..], &ethernet, &wifi, &ethernet].concat();
    let (packets, error) = read_all(late.as_slice());
    assert_eq!(packets, [owned(1_000, 1, 1, b"b", 1)]);
    assert!(matches!(error, Some(ReadError::LinkType { packet: 2, .. })));
}
