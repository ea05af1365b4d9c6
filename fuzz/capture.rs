//! Any file, called a capture.

use std::io::{Cursor, Read};

use bolero::check;
use portlane_pcap::{LinkType, MAX_PACKET_LEN, ReadError, Reader, Writer};

use crate::{BUDGET, damage};

const SEEDS: [&[u8]; 6] = [
    include_bytes!("__fuzz__/capture/corpus/pcap_micros"),
    include_bytes!("__fuzz__/capture/corpus/pcap_nanos_big_endian"),
    include_bytes!("__fuzz__/capture/corpus/pcap_cut"),
    include_bytes!("__fuzz__/capture/corpus/pcapng_interfaces"),
    include_bytes!("__fuzz__/capture/corpus/pcapng_big_endian"),
    include_bytes!("__fuzz__/capture/corpus/pcapng_sections"),
];

/// The shortest record that holds a packet: pcap's header, and Simple Packet Blocks have as many bytes.
const SHORTEST_RECORD: u64 = 16;

#[test]
fn any_file() {
    check!(name = "capture").with_test_time(BUDGET).for_each(|input: &[u8]| {
        examine(input);
        if let Some((&seed, script)) = input.split_first() {
            examine(&damage::damaged(SEEDS[usize::from(seed) % SEEDS.len()], script));
        }
    });
}

/// A packet with its data.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owned {
    link: LinkType,
    time_ns: u64,
    data: Vec<u8>,
    original_len: u32,
}

fn examine(input: &[u8]) {
    let (packets, error) = read(Cursor::new(input), input.len() as u64);
    if let Some(error) = &error {
        tells_where(error, input.len() as u64, packets.len() as u64);
    }
    let (dribbled, other) = read(Dribble(input), input.len() as u64);
    assert_eq!(packets, dribbled);
    assert_eq!(error.map(|error| error.to_string()), other.map(|error| error.to_string()));
    let written = write(&packets);
    let (again, error) = read(Cursor::new(&written), written.len() as u64);
    assert!(error.is_none() && again == packets, "what was read can be written and read");
}

/// All packets, and the error that ended them.
fn read(input: impl Read, len: u64) -> (Vec<Owned>, Option<ReadError>) {
    let mut reader = match Reader::new(input) {
        Ok(reader) => reader,
        Err(error) => return (vec![], Some(error)),
    };
    let (mut packets, mut last) = (vec![], 0);
    loop {
        let packet = match reader.next() {
            Ok(Some(packet)) => packet,
            Ok(None) => return (packets, None),
            Err(error) => {
                assert!(matches!(reader.next(), Ok(None)), "nothing follows an error");
                return (packets, Some(error));
            }
        };
        assert_eq!(packet.number, packets.len() as u64 + 1);
        assert!(packet.offset >= last && packet.offset + SHORTEST_RECORD <= len, "{packet:?} in {len} bytes");
        last = packet.offset + SHORTEST_RECORD;
        assert!(packet.offset + packet.data.len() as u64 <= len);
        assert!(
            packet.data.len() as u64 <= u64::from(packet.original_len.min(MAX_PACKET_LEN))
                && packet.link.is_supported()
        );
        let (link, time_ns, original_len) = (packet.link, packet.time_ns, packet.original_len);
        packets.push(Owned { link, time_ns, data: packet.data.to_vec(), original_len });
        assert!(reader.bytes_read() <= len);
    }
}

fn tells_where(error: &ReadError, len: u64, delivered: u64) {
    match *error {
        ReadError::Empty => assert_eq!(len, 0),
        ReadError::NotACapture => assert_eq!(delivered, 0),
        ReadError::Io { .. } => panic!("memory does not fail: {error}"),
        ReadError::LinkType { packet, offset, .. } | ReadError::Damaged { packet, offset, .. } => {
            assert!(offset <= len, "{error}, in {len} bytes");
            assert_eq!(packet, delivered + 1, "{error}");
        }
    }
    assert!(!error.to_string().is_empty());
}

fn write(packets: &[Owned]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).expect("memory does not fail");
    for Owned { link, time_ns, data, original_len } in packets {
        writer.write(*link, *time_ns, data, *original_len).expect("what was read can be written");
    }
    writer.finish().expect("memory does not fail")
}

/// An input that gives a few bytes at a time.
struct Dribble<'a>(&'a [u8]);

impl Read for Dribble<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let few = buffer.len().min(self.0.len() % 7 + 1);
        self.0.read(&mut buffer[..few])
    }
}
